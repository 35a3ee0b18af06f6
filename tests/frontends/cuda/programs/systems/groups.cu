// Cooperative groups of every kind, against loops over their members.
#include <cooperative_groups.h>
#include <cooperative_groups/memcpy_async.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>
#include <cstdio>
#include <cstdlib>
#include <map>
namespace cg = cooperative_groups;

enum { RANK, META, SHFL, ANYONE, VOTES, SUM, LARGEST, SCANNED, BEFORE, LABEL_SIZE, LABEL_RANK, LABEL_SUM, HALVES, STAGED, COALESCED, COUNT };
constexpr int THREADS = 64, TILE = 8;

__global__ void compute(const int *x, int (*out)[COUNT]) {
  __shared__ int staged[THREADS];
  cg::thread_block block = cg::this_thread_block();
  const int i = block.thread_rank(), v = x[blockIdx.x * THREADS + i];
  int *o = out[blockIdx.x * THREADS + i];
  cg::memcpy_async(block, staged, x + blockIdx.x * THREADS, sizeof(int) * THREADS);
  cg::wait(block);
  o[STAGED] = staged[THREADS - 1 - i];
  block.sync();
  auto tile = cg::tiled_partition<TILE>(block);
  o[RANK] = tile.thread_rank(), o[META] = tile.meta_group_rank() * 100 + tile.meta_group_size();
  o[SHFL] = tile.shfl(v, 5) + 3 * tile.shfl_xor(v, 1) - tile.shfl_up(v, 1);
  o[ANYONE] = tile.any(v > 900) + 2 * tile.all(v > -900);
  o[VOTES] = tile.ballot(v & 1) | tile.match_any(v & 3) << 8;
  o[SUM] = cg::reduce(tile, v, cg::plus<int>());
  o[LARGEST] = cg::reduce(tile, v, cg::greater<int>()) ^ cg::reduce(tile, v, cg::less<int>());
  o[SCANNED] = cg::inclusive_scan(tile, v);
  o[BEFORE] = cg::exclusive_scan(tile, v, cg::plus<int>());
  auto warp = cg::tiled_partition<32>(block);
  auto label = cg::labeled_partition(warp, v & 3);
  o[LABEL_SIZE] = label.size(), o[LABEL_RANK] = label.thread_rank(), o[LABEL_SUM] = cg::reduce(label, v, cg::plus<int>());
  auto half = cg::binary_partition(warp, v > 0);
  o[HALVES] = half.size() * 64 + half.thread_rank();
  o[COALESCED] = 0;
  if (v & 2) {
    cg::coalesced_group active = cg::coalesced_threads();
    o[COALESCED] = active.size() * 1000 + active.thread_rank() * 10 + (active.shfl(v, 0) & 7);
  }
}

// A value goes around the grid: each block adds to what the block before wrote.
__global__ void around(int *ring, int rounds) {
  cg::grid_group grid = cg::this_grid();
  const int b = grid.block_rank(), n = grid.num_blocks();
  for (int r = 0; r < rounds; r++) {
    int before = 0;
    if (threadIdx.x == 0) before = ring[(b + n - 1) % n];
    grid.sync();
    if (threadIdx.x == 0) ring[b] = before + (int)grid.size();
    grid.sync();
  }
}

int main() {
  const int blocks = 3, n = blocks * THREADS;
  int *x, (*out)[COUNT], bad = 0;
  cudaMallocManaged(&x, n * 4), cudaMallocManaged(&out, n * sizeof *out);
  for (int i = 0; i < n; i++) x[i] = rand() % 2000 - 1000;
  compute<<<blocks, THREADS>>>(x, out);
  if (cudaDeviceSynchronize() != cudaSuccess) return puts("FAIL"), 1;
  for (int i = 0; i < n; i++) {
    const int t = i % THREADS, l = t % TILE, *v = x + i - l, *w = x + i - t % 32, lane = t % 32;
    int e[COUNT] = {}, least = v[0], most = v[0], lead = -1;
    e[RANK] = l, e[META] = t / TILE * 100 + THREADS / TILE, e[STAGED] = x[i - t + THREADS - 1 - t];
    e[SHFL] = v[5] + 3 * v[l ^ 1] - v[l ? l - 1 : 0], e[ANYONE] = 2;
    for (int k = 0; k < TILE; k++) {
      e[ANYONE] |= v[k] > 900, e[ANYONE] &= v[k] > -900 ? 3 : 1;
      e[VOTES] |= (v[k] & 1) << k | ((v[k] & 3) == (v[l] & 3)) << (8 + k);
      e[SUM] += v[k], e[SCANNED] += k <= l ? v[k] : 0, e[BEFORE] += k < l ? v[k] : 0;
      least = v[k] < least ? v[k] : least, most = v[k] > most ? v[k] : most;
    }
    e[LARGEST] = least ^ most;
    for (int k = 0; k < 32; k++) {
      bool same = (w[k] & 3) == (x[i] & 3), side = (w[k] > 0) == (x[i] > 0), on = w[k] & 2;
      e[LABEL_SIZE] += same, e[LABEL_RANK] += same && k < lane, e[LABEL_SUM] += same ? w[k] : 0;
      e[HALVES] += side * 64 + (side && k < lane), e[COALESCED] += on * 1000 + (on && k < lane) * 10;
      if (on && lead < 0) lead = w[k] & 7;
    }
    e[COALESCED] = x[i] & 2 ? e[COALESCED] + lead : 0;
    for (int k = 0; k < COUNT; k++)
      if (out[i][k] != e[k] && bad++ < 8) printf("thread %d, %d: %d, not %d\n", i, k, out[i][k], e[k]);
  }
  const int ring_blocks = 2;
  int *ring, rounds = 5, expected[ring_blocks] = {1, 2};
  cudaMallocManaged(&ring, ring_blocks * 4);
  for (int b = 0; b < ring_blocks; b++) ring[b] = expected[b];
  void *args[] = {&ring, &rounds};
  bad += cudaLaunchCooperativeKernel((void *)around, ring_blocks, 32, args) != cudaSuccess;
  bad += cudaDeviceSynchronize() != cudaSuccess;
  for (int r = 0; r < rounds; r++) {
    int last[ring_blocks];
    for (int b = 0; b < ring_blocks; b++) last[b] = expected[(b + ring_blocks - 1) % ring_blocks] + ring_blocks * 32;
    for (int b = 0; b < ring_blocks; b++) expected[b] = last[b];
  }
  for (int b = 0; b < ring_blocks; b++) bad += ring[b] != expected[b];
  puts(bad ? "FAIL" : "PASS");
  return bad != 0;
}
