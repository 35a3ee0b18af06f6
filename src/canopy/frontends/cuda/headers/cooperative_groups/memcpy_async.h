// Copies by all threads of a group: done when they return, so waiting is a barrier. For Canopy.
#pragma once

#include "../cooperative_groups.h"

#ifdef __CUDACC__

namespace cooperative_groups {

template <typename Group, typename T, typename U, typename Size>
CANOPY_GROUP void memcpy_async(const Group& group, T* target, const U* source, const Size& bytes) {
  static_assert(sizeof(T) == sizeof(U), "both sides of memcpy_async have elements of one size");
  unsigned long size = (unsigned long)bytes, whole = size / sizeof(T) * sizeof(T);
  for (unsigned long at = group.thread_rank() * sizeof(T); at < whole; at += group.size() * sizeof(T))
    __builtin_memcpy((char*)target + at, (const char*)source + at, sizeof(T));
  for (unsigned long at = whole + group.thread_rank(); at < size; at += group.size())
    ((char*)target)[at] = ((const char*)source)[at];
}
// Counts in elements of both sides: the shorter one limits the copy.
template <typename Group, typename T, typename U, typename N, typename M>
CANOPY_GROUP void memcpy_async(const Group& group, T* target, const N& room, const U* source, const M& count) {
  unsigned long elements = (unsigned long)room < (unsigned long)count ? room : count;
  memcpy_async(group, target, source, elements * sizeof(T));
}
template <typename Group>
CANOPY_GROUP void wait(const Group& group) {
  group.sync();
}
template <unsigned int Stages, typename Group>
CANOPY_GROUP void wait_prior(const Group& group) {
  group.sync();
}

}  // namespace cooperative_groups

#endif
