// Prefix sums over cooperative groups. Written for Canopy.
#pragma once

#include "../cooperative_groups.h"

#ifdef __CUDACC__

namespace cooperative_groups {

template <typename Group, typename T, typename Op>
CANOPY_GROUP T inclusive_scan(const Group& group, T value, Op&& op) {
  unsigned int rank = group.thread_rank();
#pragma unroll
  for (unsigned int step = 1; step < 32; step *= 2) {
    if (step >= group.size()) break;
    T before = group.shfl_up(value, step);
    if (rank >= step) value = op(before, value);
  }
  return value;
}
template <typename Group, typename T>
CANOPY_GROUP T inclusive_scan(const Group& group, T value) {
  return inclusive_scan(group, value, plus<T>());
}
// The first member gets T(), as cooperative groups define it.
template <typename Group, typename T, typename Op>
CANOPY_GROUP T exclusive_scan(const Group& group, T value, Op&& op) {
  T shifted = group.shfl_up(inclusive_scan(group, value, op), 1);
  return group.thread_rank() == 0 ? T{} : shifted;
}
template <typename Group, typename T>
CANOPY_GROUP T exclusive_scan(const Group& group, T value) {
  return exclusive_scan(group, value, plus<T>());
}

template <typename Group, typename Place, typename T, typename Op>
CANOPY_GROUP T exclusive_scan_update(const Group& group, Place& place, T value, Op&& op) {
  T up_to = inclusive_scan(group, value, op), old{};
  unsigned int last = group.size() - 1;
  if (group.thread_rank() == last) {
    old = place.load();
    while (!place.compare_exchange_weak(old, op(old, up_to))) {}
  }
  old = group.shfl(old, last);
  T before = group.shfl_up(up_to, 1);
  return group.thread_rank() == 0 ? old : op(old, before);
}
template <typename Group, typename Place, typename T>
CANOPY_GROUP T exclusive_scan_update(const Group& group, Place& place, T value) {
  return exclusive_scan_update(group, place, value, plus<T>());
}
template <typename Group, typename Place, typename T, typename Op>
CANOPY_GROUP T inclusive_scan_update(const Group& group, Place& place, T value, Op&& op) {
  return op(exclusive_scan_update(group, place, value, op), value);
}
template <typename Group, typename Place, typename T>
CANOPY_GROUP T inclusive_scan_update(const Group& group, Place& place, T value) {
  return inclusive_scan_update(group, place, value, plus<T>());
}

}  // namespace cooperative_groups

#endif
