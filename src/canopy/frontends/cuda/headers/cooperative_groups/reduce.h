// Reductions over cooperative groups. Written for Canopy.
#pragma once

#include "../cooperative_groups.h"

#ifdef __CUDACC__

namespace cooperative_groups {

template <unsigned int Size, typename P, typename T, typename Op>
CANOPY_GROUP T reduce(const thread_block_tile<Size, P>& group, T value, Op&& op) {
  if constexpr (Size > 32) {
    return group.canopy_over_warps(reduce(tiled_partition<32>(group), value, op), op);
  } else {
#pragma unroll
    for (unsigned int step = Size / 2; step; step /= 2) value = op(value, group.shfl_xor(value, step));
    return value;
  }
}

// Steps of 1, 2, 4 ... keep the order of the members, as operations need that do not commute.
template <typename T, typename Op>
CANOPY_GROUP T reduce(const coalesced_group& group, T value, Op&& op) {
  unsigned int rank = group.thread_rank(), size = group.size();
#pragma unroll
  for (unsigned int step = 1; step < 32; step *= 2) {
    T other = group.shfl_down(value, step);
    if (rank + step < size) value = op(value, other);
  }
  return group.shfl(value, 0);
}

template <typename Group, typename T, typename Place, typename Op>
CANOPY_GROUP void reduce_update_async(const Group& group, Place& place, T value, Op&& op) {
  T total = reduce(group, value, op);
  if (group.thread_rank() == 0) {
    T old = place.load();
    while (!place.compare_exchange_weak(old, op(old, total))) {}
  }
}
template <typename Group, typename T, typename Place, typename Op>
CANOPY_GROUP void reduce_store_async(const Group& group, Place& place, T value, Op&& op) {
  T total = reduce(group, value, op);
  if (group.thread_rank() == 0) place.store(total);
}

}  // namespace cooperative_groups

#endif
