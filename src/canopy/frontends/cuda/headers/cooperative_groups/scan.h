// Prefix sums over cooperative groups. Written for Canopy.
#pragma once

#include "../cooperative_groups.h"

#ifdef __CUDACC__

namespace cooperative_groups {

namespace canopy {
// The value of the member before; the first one gets anything.
template <typename Group, typename T>
CANOPY_GROUP T from_before(const Group& group, T value) {
  return group.shfl_up(value, 1);
}
template <unsigned int Size, typename P, typename T>
CANOPY_GROUP T from_before(const thread_block_tile<Size, P>& group, T value) {
  if constexpr (Size > 32) return group.shfl(value, group.thread_rank() - 1);
  else return group.shfl_up(value, 1);
}
}  // namespace canopy

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
template <unsigned int Size, typename P, typename T, typename Op>
CANOPY_GROUP T inclusive_scan(const thread_block_tile<Size, P>& group, T value, Op&& op) {
  if constexpr (Size > 32) {
    return group.canopy_after_warps(inclusive_scan(tiled_partition<32>(group), value, op), op);
  } else {
#pragma unroll
    for (unsigned int step = 1; step < Size; step *= 2) {
      T before = group.shfl_up(value, step);
      if (group.thread_rank() >= step) value = op(before, value);
    }
    return value;
  }
}
template <typename Group, typename T>
CANOPY_GROUP T inclusive_scan(const Group& group, T value) {
  return inclusive_scan(group, value, plus<T>());
}
// The first member gets T(), as cooperative groups define it.
template <typename Group, typename T, typename Op>
CANOPY_GROUP T exclusive_scan(const Group& group, T value, Op&& op) {
  T shifted = canopy::from_before(group, inclusive_scan(group, value, op));
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
  T before = canopy::from_before(group, up_to);
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
