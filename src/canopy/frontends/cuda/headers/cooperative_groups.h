// Cooperative groups: threads that belong together, of a block, of a warp, of the grid. For Canopy.
#pragma once

#include "cuda_runtime.h"

#define _CG_HAS_GRID_GROUP
#define _CG_VERSION 11000

#ifdef __CUDACC__

namespace cooperative_groups {

#define CANOPY_GROUP static __device__ __inline__ __attribute__((always_inline))
#define CANOPY_ONE_WARP "a tile of more than 32 threads has no masks of lanes: shfl, any, all, sync, reduce and scans"
#define CANOPY_MEMBER __device__ __inline__ __attribute__((always_inline))

namespace canopy {
extern "C" __attribute__((device, convergent)) void canopy_grid_sync();

CANOPY_GROUP unsigned int thread_in_block() {
  return (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
}
CANOPY_GROUP unsigned int threads_of_block() { return blockDim.x * blockDim.y * blockDim.z; }
CANOPY_GROUP unsigned int lane() { return thread_in_block() & 31; }
CANOPY_GROUP unsigned long long block_in_grid() {
  return ((unsigned long long)blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
}
CANOPY_GROUP unsigned long long blocks_of_grid() {
  return (unsigned long long)gridDim.x * gridDim.y * gridDim.z;
}
CANOPY_GROUP unsigned int bits_below(unsigned int n) { return n >= 32 ? ~0u : (1u << n) - 1; }

// A value of any size moves through shuffles word by word.
template <typename T, typename Shuffle>
CANOPY_GROUP T shuffled(const T& value, Shuffle shuffle) {
  if constexpr (sizeof(T) == 4) {
    return __builtin_bit_cast(T, shuffle(__builtin_bit_cast(unsigned int, value)));
  } else {
    constexpr unsigned long words = (sizeof(T) + 3) / 4;
    unsigned int content[words];
    content[words - 1] = 0;
    __builtin_memcpy(content, &value, sizeof(T));
#pragma unroll
    for (unsigned long k = 0; k < words; k++) content[k] = shuffle(content[k]);
    T result;
    __builtin_memcpy(&result, content, sizeof(T));
    return result;
  }
}

// Tiles of more than a warp have a barrier each, behind the 16 that programs name.
CANOPY_GROUP void sync_tile(unsigned int size) {
  __nvvm_barrier_sync_cnt(16 + thread_in_block() / size, size);
}
// What threads of a block show each other: a place for each of them, which the next call uses again.
template <typename T>
CANOPY_GROUP T* shown() {
  __shared__ alignas(T) alignas(16) unsigned char places[1024 * sizeof(T)];
  return (T*)places;
}
}  // namespace canopy

// ---- what functions over any group take

namespace details {
enum group_kind { of_block, of_tile, of_grid, of_lanes, of_cluster };
}

class thread_group;
template <unsigned int Size, typename ParentT>
class thread_block_tile;

class thread_block {
 public:
  CANOPY_MEMBER static void sync() { __syncthreads(); }
  CANOPY_MEMBER static unsigned int thread_rank() { return canopy::thread_in_block(); }
  CANOPY_MEMBER static unsigned int size() { return canopy::threads_of_block(); }
  CANOPY_MEMBER static unsigned int num_threads() { return canopy::threads_of_block(); }
  CANOPY_MEMBER static dim3 group_index() { return dim3(blockIdx.x, blockIdx.y, blockIdx.z); }
  CANOPY_MEMBER static dim3 thread_index() { return dim3(threadIdx.x, threadIdx.y, threadIdx.z); }
  CANOPY_MEMBER static dim3 group_dim() { return dim3(blockDim.x, blockDim.y, blockDim.z); }
  CANOPY_MEMBER static dim3 dim_threads() { return group_dim(); }
  struct arrival_token {};
  CANOPY_MEMBER static arrival_token barrier_arrive() { return {}; }
  CANOPY_MEMBER static void barrier_wait(arrival_token&&) { __syncthreads(); }
};
CANOPY_GROUP thread_block this_thread_block() { return {}; }
// Memory that tiles of more than a warp may be given: they have their own here.
template <unsigned int MaxBlockSize = 1024>
struct block_tile_memory {};
template <unsigned int MaxBlockSize>
CANOPY_GROUP thread_block this_thread_block(block_tile_memory<MaxBlockSize>&) {
  return {};
}

class grid_group {
 public:
  CANOPY_MEMBER static bool is_valid() { return true; }
  CANOPY_MEMBER static void sync() {
    __syncthreads();
    canopy::canopy_grid_sync();
  }
  CANOPY_MEMBER static unsigned long long thread_rank() {
    return canopy::block_in_grid() * canopy::threads_of_block() + canopy::thread_in_block();
  }
  CANOPY_MEMBER static unsigned long long size() {
    return canopy::blocks_of_grid() * canopy::threads_of_block();
  }
  CANOPY_MEMBER static unsigned long long num_threads() { return size(); }
  CANOPY_MEMBER static dim3 group_dim() { return dim3(gridDim.x, gridDim.y, gridDim.z); }
  CANOPY_MEMBER static dim3 dim_blocks() { return group_dim(); }
  CANOPY_MEMBER static unsigned long long num_blocks() { return canopy::blocks_of_grid(); }
  CANOPY_MEMBER static dim3 block_index() { return dim3(blockIdx.x, blockIdx.y, blockIdx.z); }
  CANOPY_MEMBER static unsigned long long block_rank() { return canopy::block_in_grid(); }
  struct arrival_token {};
  CANOPY_MEMBER static arrival_token barrier_arrive() { return {}; }
  CANOPY_MEMBER static void barrier_wait(arrival_token&&) { sync(); }
};
CANOPY_GROUP grid_group this_grid() { return {}; }

// One device here: the whole of it is the grid.
class multi_grid_group {
 public:
  CANOPY_MEMBER static bool is_valid() { return true; }
  CANOPY_MEMBER static void sync() { grid_group::sync(); }
  CANOPY_MEMBER static unsigned long long thread_rank() { return grid_group::thread_rank(); }
  CANOPY_MEMBER static unsigned long long size() { return grid_group::size(); }
  CANOPY_MEMBER static unsigned int grid_rank() { return 0; }
  CANOPY_MEMBER static unsigned int num_grids() { return 1; }
};
CANOPY_GROUP multi_grid_group this_multi_grid() { return {}; }

// ---- lanes of one warp: a set of them, and this thread's place among them

namespace canopy {
class lanes {
 public:
  CANOPY_MEMBER explicit lanes(unsigned int members) : members_(members) {}
  CANOPY_MEMBER void sync() const { __syncwarp(members_); }
  CANOPY_MEMBER int any(int p) const { return __any_sync(members_, p); }
  CANOPY_MEMBER int all(int p) const { return __all_sync(members_, p); }

 protected:
  unsigned int members_;
};
}  // namespace canopy

class coalesced_group : public canopy::lanes {
 public:
  CANOPY_MEMBER explicit coalesced_group(unsigned int members) : lanes(members) {}
  CANOPY_MEMBER coalesced_group(unsigned int members, unsigned int meta_rank, unsigned int meta_size)
      : lanes(members), meta_rank_(meta_rank), meta_size_(meta_size) {}
  CANOPY_MEMBER unsigned int thread_rank() const {
    return __popc(members_ & canopy::bits_below(canopy::lane()));
  }
  CANOPY_MEMBER unsigned int size() const { return __popc(members_); }
  CANOPY_MEMBER unsigned int num_threads() const { return size(); }
  CANOPY_MEMBER unsigned int meta_group_rank() const { return meta_rank_; }
  CANOPY_MEMBER unsigned int meta_group_size() const { return meta_size_; }
  CANOPY_MEMBER unsigned int canopy_members() const { return members_; }
  template <typename T>
  CANOPY_MEMBER T shfl(T v, int rank) const {
    int from = lane_of((unsigned int)rank % size());
    return canopy::shuffled(v, [&](unsigned int w) { return __shfl_sync(members_, w, from); });
  }
  template <typename T>
  CANOPY_MEMBER T shfl_up(T v, unsigned int delta) const {
    int rank = (int)thread_rank() - (int)delta;
    int from = rank < 0 ? (int)canopy::lane() : lane_of(rank);
    return canopy::shuffled(v, [&](unsigned int w) { return __shfl_sync(members_, w, from); });
  }
  template <typename T>
  CANOPY_MEMBER T shfl_down(T v, unsigned int delta) const {
    unsigned int rank = thread_rank() + delta;
    int from = rank >= size() ? (int)canopy::lane() : lane_of(rank);
    return canopy::shuffled(v, [&](unsigned int w) { return __shfl_sync(members_, w, from); });
  }
  CANOPY_MEMBER unsigned int ballot(int p) const { return packed(__ballot_sync(members_, p)); }
  template <typename T>
  CANOPY_MEMBER unsigned int match_any(T v) const {
    return packed(__match_any_sync(members_, v));
  }
  template <typename T>
  CANOPY_MEMBER unsigned int match_all(T v, int& all) const {
    return packed(__match_all_sync(members_, v, &all));
  }

 private:
  CANOPY_MEMBER int lane_of(unsigned int rank) const {
    if (members_ == ~0u) return rank;
    unsigned int left = members_;
#pragma unroll 1
    for (unsigned int k = 0; k < rank; k++) left &= left - 1;
    return __ffs(left) - 1;
  }
  CANOPY_MEMBER unsigned int packed(unsigned int bits) const {
    if (members_ == ~0u) return bits;
    unsigned int result = 0, at = 0;
#pragma unroll 1
    for (unsigned int left = members_; left; left &= left - 1) result |= (bits >> (__ffs(left) - 1) & 1) << at++;
    return result;
  }
  unsigned int meta_rank_ = 0, meta_size_ = 1;
};
CANOPY_GROUP coalesced_group coalesced_threads() { return coalesced_group(__activemask()); }

// ---- tiles of a size known when compiling: lanes of a warp, or several warps, which have no masks

template <unsigned int Size, typename ParentT = void>
class thread_block_tile : public canopy::lanes {
  static_assert(Size > 0 && (Size & (Size - 1)) == 0 && Size <= 1024, "a tile has 1, 2, 4 .. 1024 threads");

 public:
  CANOPY_MEMBER thread_block_tile(unsigned int meta_rank, unsigned int meta_size)
      : lanes(canopy::bits_below(Size) << (canopy::lane() & ~(Size - 1) & 31)),
        meta_rank_(meta_rank), meta_size_(meta_size) {}
  template <typename Other>
  CANOPY_MEMBER thread_block_tile(const thread_block_tile<Size, Other>& other)
      : thread_block_tile(other.meta_group_rank(), other.meta_group_size()) {}
  CANOPY_MEMBER void sync() const {
    if constexpr (Size <= 32) __syncwarp(members_);
    else canopy::sync_tile(Size);
  }
  CANOPY_MEMBER static unsigned int thread_rank() { return canopy::thread_in_block() & (Size - 1); }
  CANOPY_MEMBER static constexpr unsigned int size() { return Size; }
  CANOPY_MEMBER static constexpr unsigned int num_threads() { return Size; }
  CANOPY_MEMBER unsigned int meta_group_rank() const { return meta_rank_; }
  CANOPY_MEMBER unsigned int meta_group_size() const { return meta_size_; }
  CANOPY_MEMBER unsigned int canopy_members() const {
    static_assert(Size <= 32, CANOPY_ONE_WARP);
    return members_;
  }
  template <typename T>
  CANOPY_MEMBER T shfl(T v, int rank) const {
    if constexpr (Size > 32) {
      T* places = canopy::shown<T>();
      unsigned int own = canopy::thread_in_block();
      places[own] = v;
      sync();
      v = places[(own & ~(Size - 1)) + (rank & (Size - 1))];
      sync();
      return v;
    } else {
      return canopy::shuffled(v, [&](unsigned int w) { return __shfl_sync(~0u, w, rank, Size); });
    }
  }
  template <typename T>
  CANOPY_MEMBER T shfl_up(T v, unsigned int delta) const {
    static_assert(Size <= 32, CANOPY_ONE_WARP);
    return canopy::shuffled(v, [&](unsigned int w) { return __shfl_up_sync(~0u, w, delta, Size); });
  }
  template <typename T>
  CANOPY_MEMBER T shfl_down(T v, unsigned int delta) const {
    static_assert(Size <= 32, CANOPY_ONE_WARP);
    return canopy::shuffled(v, [&](unsigned int w) { return __shfl_down_sync(~0u, w, delta, Size); });
  }
  template <typename T>
  CANOPY_MEMBER T shfl_xor(T v, unsigned int bits) const {
    static_assert(Size <= 32, CANOPY_ONE_WARP);
    return canopy::shuffled(v, [&](unsigned int w) { return __shfl_xor_sync(~0u, w, bits, Size); });
  }
  CANOPY_MEMBER int any(int p) const {
    if constexpr (Size < 32) return ballot(p) != 0;
    int found = __any_sync(~0u, p);
    if constexpr (Size > 32) found = canopy_over_warps(found, [](int a, int b) { return a | b; });
    return found;
  }
  CANOPY_MEMBER int all(int p) const { return !any(!p); }
  CANOPY_MEMBER unsigned int ballot(int p) const {
    static_assert(Size <= 32, CANOPY_ONE_WARP);
    return own(__ballot_sync(~0u, p));
  }
  template <typename T>
  CANOPY_MEMBER unsigned int match_any(T v) const {
    static_assert(Size <= 32, CANOPY_ONE_WARP);
    return own(__match_any_sync(~0u, v));
  }
  template <typename T>
  CANOPY_MEMBER unsigned int match_all(T v, int& all) const {
    unsigned int same = match_any(v);
    all = same == ballot(1);
    return all ? same : 0;
  }
  // All that the warps have, one value each in its last lane, in the order of warps.
  template <typename T, typename Op>
  CANOPY_MEMBER T canopy_over_warps(T of_warp, Op&& op) const {
    T* places = show_last_lane(of_warp);
    T all = places[0];
    for (unsigned int k = 1; k < Size / 32; k++) all = op(all, places[32 * k]);
    sync();
    return all;
  }
  // `v`, up to which a warp has been added up, with the warps before it.
  template <typename T, typename Op>
  CANOPY_MEMBER T canopy_after_warps(T v, Op&& op) const {
    T* places = show_last_lane(v);
    unsigned int warps = thread_rank() / 32;
    if (warps > 0) {
      T before = places[0];
      for (unsigned int k = 1; k < warps; k++) before = op(before, places[32 * k]);
      v = op(before, v);
    }
    sync();
    return v;
  }

 private:
  // The places of the tile's threads, the first one of each warp holding its value.
  template <typename T>
  CANOPY_MEMBER T* show_last_lane(const T& v) const {
    unsigned int own = canopy::thread_in_block();
    T* places = canopy::shown<T>();
    if (own % 32 == 31) places[own - 31] = v;
    sync();
    return places + (own & ~(Size - 1));
  }
  CANOPY_MEMBER unsigned int own(unsigned int bits) const {
    return (bits & members_) >> (canopy::lane() & ~(Size - 1) & 31);
  }
  unsigned int meta_rank_, meta_size_;
};

// ---- a group of any kind

class thread_group {
 public:
  CANOPY_MEMBER thread_group(const thread_block&) : kind_(details::of_block) {}
  CANOPY_MEMBER thread_group(const grid_group&) : kind_(details::of_grid) {}
  CANOPY_MEMBER thread_group(const coalesced_group& g)
      : kind_(details::of_lanes), members_(g.canopy_members()), meta_rank_(g.meta_group_rank()),
        meta_size_(g.meta_group_size()) {}
  template <unsigned int Size, typename P>
  CANOPY_MEMBER thread_group(const thread_block_tile<Size, P>& g)
      : kind_(details::of_lanes), members_(g.canopy_members()), meta_rank_(g.meta_group_rank()),
        meta_size_(g.meta_group_size()) {}
  CANOPY_MEMBER void sync() const {
    if (kind_ == details::of_lanes) __syncwarp(members_);
    else if (kind_ == details::of_block) __syncthreads();
    else grid_group::sync();
  }
  CANOPY_MEMBER unsigned long long size() const {
    if (kind_ == details::of_lanes) return __popc(members_);
    return kind_ == details::of_block ? canopy::threads_of_block() : grid_group::size();
  }
  CANOPY_MEMBER unsigned long long num_threads() const { return size(); }
  CANOPY_MEMBER unsigned long long thread_rank() const {
    if (kind_ == details::of_lanes) return __popc(members_ & canopy::bits_below(canopy::lane()));
    return kind_ == details::of_block ? canopy::thread_in_block() : grid_group::thread_rank();
  }
  CANOPY_MEMBER unsigned int get_type() const { return kind_; }
  CANOPY_MEMBER unsigned int canopy_members() const { return members_; }

 private:
  details::group_kind kind_;
  unsigned int members_ = ~0u, meta_rank_ = 0, meta_size_ = 1;
};

// ---- partitions

template <unsigned int Size, typename ParentT>
CANOPY_GROUP thread_block_tile<Size, ParentT> tiled_partition(const ParentT& parent) {
  unsigned int rank = (unsigned int)parent.thread_rank(), size = (unsigned int)parent.size();
  return thread_block_tile<Size, ParentT>(rank / Size, (size + Size - 1) / Size);
}
template <unsigned int Size>
void tiled_partition(const coalesced_group&) = delete;  // its lanes need not stand side by side
template <typename ParentT>
CANOPY_GROUP coalesced_group tiled_partition(const ParentT& parent, unsigned int size) {
  if (size == 0 || size > 32 || (size & (size - 1)) != 0) __trap();  // as CUDA does
  unsigned int rank = (unsigned int)parent.thread_rank(), all = (unsigned int)parent.size();
  unsigned int first = canopy::lane() - rank % size, end = rank / size * size + size;
  unsigned int count = end > all ? all - rank / size * size : size;
  return coalesced_group(canopy::bits_below(count) << (first & 31), rank / size, (all + size - 1) / size);
}
CANOPY_GROUP coalesced_group tiled_partition(const coalesced_group& parent, unsigned int size) {
  unsigned int rank = parent.thread_rank() / size, members = 0, at = 0;
#pragma unroll 1
  for (unsigned int left = parent.canopy_members(); left; left &= left - 1, at++)
    if (at / size == rank) members |= left & (0 - left);
  return coalesced_group(members, rank, (parent.size() + size - 1) / size);
}

template <typename Group, typename Label>
CANOPY_GROUP coalesced_group labeled_partition(const Group& group, Label label) {
  unsigned int members = __match_any_sync(group.canopy_members(), label), first = members & (0 - members);
  unsigned int firsts = __ballot_sync(group.canopy_members(), first == 1u << canopy::lane());
  return coalesced_group(members, __popc(firsts & (first - 1)), __popc(firsts));
}
template <typename Group>
CANOPY_GROUP coalesced_group binary_partition(const Group& group, bool label) {
  unsigned int on = __ballot_sync(group.canopy_members(), label);
  return coalesced_group(label ? on : group.canopy_members() & ~on, label, 2);
}

// ---- functions over groups

template <typename Group>
CANOPY_GROUP void sync(const Group& group) {
  group.sync();
}
template <typename Group>
CANOPY_GROUP auto thread_rank(const Group& group) -> decltype(group.thread_rank()) {
  return group.thread_rank();
}
template <typename Group>
CANOPY_GROUP auto group_size(const Group& group) -> decltype(group.size()) {
  return group.size();
}
template <typename Group, typename Function, typename... Arguments>
CANOPY_GROUP void invoke_one(const Group& group, Function&& function, Arguments&&... arguments) {
  if (group.thread_rank() == 0) function(static_cast<Arguments&&>(arguments)...);
}
template <typename Group, typename Function, typename... Arguments>
CANOPY_GROUP auto invoke_one_broadcast(const Group& group, Function&& function, Arguments&&... arguments)
    -> decltype(function(static_cast<Arguments&&>(arguments)...)) {
  decltype(function(static_cast<Arguments&&>(arguments)...)) result{};
  if (group.thread_rank() == 0) result = function(static_cast<Arguments&&>(arguments)...);
  return group.shfl(result, 0);
}

// ---- what reduce and scan combine by

template <typename T>
struct plus {
  CANOPY_MEMBER T operator()(T a, T b) const { return a + b; }
};
template <typename T>
struct less {
  CANOPY_MEMBER T operator()(T a, T b) const { return b < a ? b : a; }
};
template <typename T>
struct greater {
  CANOPY_MEMBER T operator()(T a, T b) const { return a < b ? b : a; }
};
template <typename T>
struct bit_and {
  CANOPY_MEMBER T operator()(T a, T b) const { return a & b; }
};
template <typename T>
struct bit_or {
  CANOPY_MEMBER T operator()(T a, T b) const { return a | b; }
};
template <typename T>
struct bit_xor {
  CANOPY_MEMBER T operator()(T a, T b) const { return a ^ b; }
};

}  // namespace cooperative_groups

#endif
