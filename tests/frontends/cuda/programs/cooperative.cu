// Cooperative groups: tiles, coalesced and partitioned groups, reductions and scans, the grid.
#include <cooperative_groups.h>
#include <cooperative_groups/memcpy_async.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>

#include <cuda_pipeline.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

namespace cg = cooperative_groups;

static int failures = 0;
#define CHECK(condition, ...)                             \
  do {                                                    \
    if (!(condition) && failures++ < 10) {                \
      printf("line %d: ", __LINE__), printf(__VA_ARGS__); \
      puts("");                                           \
    }                                                     \
  } while (0)

struct pair {
  int key;
  double value;
};

template <int Size>
__device__ void in_tile(const cg::thread_block_tile<Size>& tile, int v, int* out) {
  pair p{v, v * 0.5};
  pair other = tile.shfl(p, 1 % Size);
  out[0] = cg::reduce(tile, v, cg::plus<int>()) + cg::reduce(tile, v, cg::greater<int>()) * 3;
  out[1] = other.key + (int)(other.value * 2) + tile.shfl_down(v, 1) * 5 + tile.shfl_xor(v, Size / 2) * 7;
  out[2] = tile.ballot(v & 1) + tile.any(v == 3) * 3 + tile.all(v > 0) * 5;
  out[3] = cg::inclusive_scan(tile, v) * 2 + cg::exclusive_scan(tile, v, cg::plus<int>());
  out[4] = tile.meta_group_rank() * 1000 + tile.thread_rank() + tile.size() + tile.meta_group_size();
  out[5] = tile.match_any(v & 3);
}

__global__ void tiles(const int* x, int* out) {
  cg::thread_block block = cg::this_thread_block();
  int i = block.thread_rank();
  int* o = out + (block.group_index().x * block.size() + i) * 24;
  int v = x[block.group_index().x * block.num_threads() + i];
  in_tile<32>(cg::tiled_partition<32>(block), v, o);
  auto sixteen = cg::tiled_partition<16>(block);
  in_tile<4>(cg::tiled_partition<4>(sixteen), v, o + 6);
  cg::thread_group eight = cg::tiled_partition(block, 8);
  o[12] = eight.size() * 100 + eight.thread_rank();
  cg::sync(eight);
  if (v % 3) {
    cg::coalesced_group active = cg::coalesced_threads();
    o[13] = active.size() * 100 + active.thread_rank();
    o[14] = active.shfl(v, 0) + cg::reduce(active, v, cg::plus<int>()) + active.ballot(v & 1);
    o[15] = cg::inclusive_scan(active, v) + active.shfl_up(v, 1) * 3;
  } else {
    o[13] = o[14] = o[15] = -1;
  }
  auto warp = cg::tiled_partition<32>(block);
  auto same = cg::labeled_partition(warp, v & 3);
  o[16] = same.size() * 100 + same.thread_rank() + same.meta_group_size() * 10000;
  auto half = cg::binary_partition(warp, v > 4);
  o[17] = cg::reduce(half, v, cg::bit_xor<int>());
  o[18] = 0;
  cg::invoke_one(warp, [&] { o[18] = 7; });
  auto wide = cg::tiled_partition<64>(block);
  __shared__ int s[256];
  s[i] = v;
  wide.sync();
  o[19] = s[i ^ 63] + wide.thread_rank() + wide.meta_group_rank() * 100;
}

void test_tiles() {
  const int blocks = 3, n = 128, all = blocks * n;
  int *x, *out;
  cudaMallocManaged(&x, all * sizeof(int)), cudaMallocManaged(&out, all * 24 * sizeof(int));
  for (int i = 0; i < all; i++) x[i] = rand() % 9;
  tiles<<<blocks, n>>>(x, out);
  CHECK(cudaDeviceSynchronize() == cudaSuccess, "tiles");
  for (int i = 0; i < all; i++) {
    int v = x[i], *o = out + i * 24;
    for (int size : {32, 4}) {
      int* p = o + (size == 4) * 6;
      int first = i / size * size, rank = i % size, sum = 0, most = -1, bits = 0, up_to = 0, alike = 0, all_ = 1, three = 0;
      for (int k = 0; k < size; k++) {
        int w = x[first + k];
        sum += w, most = w > most ? w : most, bits |= (w & 1) << k, all_ &= w > 0, three |= w == 3;
        if (k <= rank) up_to += w;
        if ((w & 3) == (v & 3)) alike |= 1 << k;
      }
      int down = rank + 1 < size ? x[i + 1] : v;
      CHECK(p[0] == sum + most * 3, "reduce %d of %d", i, size);
      CHECK(p[1] == x[first + 1] * 2 + down * 5 + x[first + (rank ^ size / 2)] * 7, "shuffle %d of %d", i, size);
      CHECK(p[2] == bits + three * 3 + all_ * 5, "vote %d of %d", i, size);
      CHECK(p[3] == up_to * 2 + up_to - v, "scan %d of %d", i, size);
      int outer = size == 4 ? i % 16 / 4 : i % n / 32, count = 4;
      CHECK(p[4] == outer * 1000 + rank + size + count, "place %d of %d: %d", i, size, p[4]);
      CHECK(p[5] == alike, "match %d of %d", i, size);
    }
    CHECK(o[12] == 800 + i % 8, "thread_group %d: %d", i, o[12]);
    int first = i / 32 * 32, size = 0, rank = 0, sum = 0, up_to = 0, lead = -1, before = v, bits = 0;
    int labels[4] = {0}, alike = 0, own = 0, parity = 0;
    for (int k = first; k < first + 32; k++) {
      int w = x[k];
      if (w % 3) {
        if (lead < 0) lead = w;
        bits |= (w & 1) << size;
        size++, sum += w;
        if (k < i) rank++, before = w;
        if (k <= i) up_to += w;
      }
      labels[w & 3] = 1;
      if ((w & 3) == (v & 3)) alike++, own += k < i;
      if ((w > 4) == (v > 4)) parity ^= w;
    }
    int groups = labels[0] + labels[1] + labels[2] + labels[3];
    CHECK(o[13] == (v % 3 ? size * 100 + rank : -1), "coalesced %d", i);
    CHECK(o[14] == (v % 3 ? lead + sum + bits : -1), "coalesced reduce %d: %d", i, o[14]);
    CHECK(o[15] == (v % 3 ? up_to + before * 3 : -1), "coalesced scan %d", i);
    CHECK(o[16] == alike * 100 + own + groups * 10000, "label %d", i);
    CHECK(o[17] == parity, "binary %d", i);
    CHECK(o[18] == (i % 32 ? 0 : 7), "invoke_one %d", i);
    CHECK(o[19] == x[i ^ 63] + i % 64 + i % n / 64 * 100, "wide %d", i);
  }
  cudaFree(x), cudaFree(out);
}

// Several steps over one array, each of which needs what all blocks made in the step before.
__device__ __noinline__ void meet(cg::grid_group& grid) { grid.sync(); }

__global__ void waves(int* a, int* b, int n, int steps) {
  cg::grid_group grid = cg::this_grid();
  for (int k = 0; k < steps; k++) {
    for (int i = (int)grid.thread_rank(); i < n; i += (int)grid.size()) b[i] = a[(i + 1) % n] + a[(i + n / 2) % n];
    meet(grid);
    for (int i = (int)grid.thread_rank(); i < n; i += (int)grid.size()) a[i] = b[n - 1 - i];
    if (k % 2 == 0) cg::sync(grid);
    else meet(grid);
  }
}

void test_grid() {
  int threads = 96, n = 5003, steps = 7, per_processor = 0;
  cudaDeviceProp device;
  cudaGetDeviceProperties(&device, 0);
  CHECK(device.cooperativeLaunch, "no cooperative launches");
  cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_processor, waves, threads, 0);
  int blocks = per_processor * device.multiProcessorCount;
  CHECK(blocks > 1, "%d blocks", blocks);
  int *a, *b;
  cudaMallocManaged(&a, n * sizeof(int)), cudaMallocManaged(&b, n * sizeof(int));
  std::vector<int> x(n), y(n);
  for (int i = 0; i < n; i++) x[i] = a[i] = rand();
  void* arguments[] = {&a, &b, &n, &steps};
  cudaError_t error = cudaLaunchCooperativeKernel((void*)waves, dim3(blocks), dim3(threads), arguments, 0, 0);
  CHECK(error == cudaSuccess, "%s", cudaGetErrorString(error));
  cudaDeviceSynchronize();
  for (int k = 0; k < steps; k++) {
    for (int i = 0; i < n; i++) y[i] = (unsigned)x[(i + 1) % n] + x[(i + n / 2) % n];
    for (int i = 0; i < n; i++) x[i] = y[n - 1 - i];
  }
  for (int i = 0; i < n; i++) CHECK(a[i] == x[i], "wave %d", i);
  error = cudaLaunchCooperativeKernel((void*)waves, dim3(blocks + 1), dim3(threads), arguments, 0, 0);
  CHECK(error == cudaErrorCooperativeLaunchTooLarge, "%s", cudaGetErrorString(error));
  cudaGetLastError();
  cudaFree(a), cudaFree(b);
}

__global__ void staged(const float* x, float* out, int n) {
  __shared__ float s[200];
  auto block = cg::this_thread_block();
  for (int first = 0; first < n; first += 200) {
    int count = n - first < 200 ? n - first : 200;
    cg::memcpy_async(block, s, x + first, sizeof(float) * count);
    cg::wait(block);
    for (int i = block.thread_rank(); i < count; i += block.size()) out[first + i] = s[count - 1 - i];
    block.sync();
  }
}

// Two stages: the next part is on its way while this one is used.
__global__ void pipelined(const float* x, float* out, int parts) {
  __shared__ float s[2][64 * 4];
  int t = threadIdx.x;
  for (int part = -1; part < parts; part++) {
    if (part + 1 < parts) {
      __pipeline_memcpy_async(&s[(part + 1) % 2][t * 4], &x[((part + 1) * 64 + t) * 4], 16, t == 9 ? 4 : 0);
      __pipeline_commit();
    }
    if (part < 0) continue;
    __pipeline_wait_prior(part + 1 < parts ? 1 : 0);
    __syncthreads();
    for (int k = 0; k < 4; k++) out[part * 256 + k * 64 + t] = s[part % 2][255 - (k * 64 + t)];
    __syncthreads();
  }
}

// Text of blocks that meet in the middle of it.
__global__ void talk(int rounds) {
  for (int k = 0; k < rounds; k++) {
    if (threadIdx.x == 0) printf("round %d of block %d\n", k, blockIdx.x);
    cg::this_grid().sync();
  }
}

void test_copies() {
  const int n = 1003;
  float *x, *out;
  cudaMallocManaged(&x, n * sizeof(float)), cudaMallocManaged(&out, n * sizeof(float));
  for (int i = 0; i < n; i++) x[i] = rand();
  staged<<<1, 70>>>(x, out, n);
  CHECK(cudaDeviceSynchronize() == cudaSuccess, "staged");
  for (int i = 0; i < n; i++) {
    int first = i / 200 * 200, count = n - first < 200 ? n - first : 200;
    CHECK(out[i] == x[first + count - 1 - (i - first)], "copy %d", i);
  }
  pipelined<<<1, 64>>>(x, out, 3);
  CHECK(cudaDeviceSynchronize() == cudaSuccess, "pipelined");
  for (int i = 0; i < 768; i++) {
    int from = 255 - i % 256;
    CHECK(out[i] == (from == 39 ? 0 : x[i / 256 * 256 + from]), "pipelined %d", i);
  }
  int rounds = 2;
  void* arguments[] = {&rounds};
  cudaLaunchCooperativeKernel(talk, dim3(3), dim3(40), arguments);
  CHECK(cudaDeviceSynchronize() == cudaSuccess, "talk");
  cudaFree(x), cudaFree(out);
}

// prints: round 0 of block 2
// prints: round 1 of block 0
int main() {
  srand(time(nullptr));
  test_tiles();
  test_grid();
  test_copies();
  puts(failures ? "FAIL" : "PASS");
  return failures != 0;
}
