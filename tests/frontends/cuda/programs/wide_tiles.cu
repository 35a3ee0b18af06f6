// Tiles of two to sixteen warps: shuffles, votes, reductions and scans, also nested and with 16 barriers at once.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace cg = cooperative_groups;

struct linear {  // composition of y = a * x + b, which does not commute
  unsigned int a, b;
};
struct compose {
  __device__ linear operator()(linear f, linear g) const { return {f.a * g.a, g.a * f.b + g.b}; }
};

struct result {
  unsigned int from, any, all, sum, up_to, before, group, groups;
  linear composed;
  double largest;
};

template <unsigned int Size, typename Parent>
__device__ void in_tile(const cg::thread_block_tile<Size, Parent>& tile, unsigned int v, result& r) {
  unsigned int rank = tile.thread_rank();
  r.from = tile.shfl(v, v % Size);
  r.any = tile.any(v == 17);
  r.all = tile.all(v != 33);
  r.sum = cg::reduce(tile, v, cg::plus<unsigned int>());
  r.up_to = cg::inclusive_scan(tile, v);
  r.before = cg::exclusive_scan(tile, v);
  r.composed = cg::inclusive_scan(tile, linear{v, rank}, compose());
  r.largest = cg::reduce(tile, v * 0.5, cg::greater<double>());
  r.group = tile.meta_group_rank(), r.groups = tile.meta_group_size();
}

template <int Size>
__global__ void tiles(const unsigned int* x, result* out, result* nested) {
  __shared__ cg::block_tile_memory<1024> memory;
  cg::thread_block block = cg::this_thread_block(memory);
  auto tile = cg::tiled_partition<Size>(block);
  unsigned int i = blockIdx.x * blockDim.x + threadIdx.x;
  in_tile(tile, x[i], out[i]);
  if constexpr (Size > 64) in_tile(cg::tiled_partition<64>(tile), x[i], nested[i]);
}

static int failures = 0;
static void expect(bool holds, const char* what, int size, int i) {
  if (!holds && failures++ < 10) printf("%s of thread %d, tiles of %d\n", what, i, size);
}

static void check(const unsigned int* x, const result* out, int size, int outer, int i) {
  const result& r = out[i];
  int first = i / size * size;
  unsigned int any = 0, all = 1, sum = 0, up_to = 0, largest = 0;
  linear whole{1, 0}, part{1, 0};
  for (int k = 0; k < size; k++) {
    unsigned int v = x[first + k];
    any |= v == 17, all &= v != 33, sum += v;
    largest = v > largest ? v : largest;
    whole = {whole.a * v, v * whole.b + k};
    if (first + k <= i) part = whole, up_to = sum;
  }
  expect(r.from == x[first + x[i] % size], "shfl", size, i);
  expect(r.any == any && r.all == all, "votes", size, i);
  expect(r.sum == sum && r.largest == largest * 0.5, "reduce", size, i);
  expect(r.up_to == up_to && r.before == up_to - x[i], "scan", size, i);
  expect(r.composed.a == part.a && r.composed.b == part.b, "ordered scan", size, i);
  expect(r.group == (unsigned)(i % outer / size) && r.groups == (unsigned)(outer / size), "place", size, i);
}

template <int Size>
static void run(int threads, const unsigned int* x, result* out, result* nested) {
  const int blocks = 2;
  tiles<Size><<<blocks, threads>>>(x, out, nested);
  expect(cudaDeviceSynchronize() == cudaSuccess, "launch", Size, 0);
  for (int i = 0; i < blocks * threads; i++) {
    check(x, out, Size, threads, i);
    if (Size > 64) check(x, nested, 64, Size, i);
  }
}

int main() {
  srand(time(nullptr));
  unsigned int* x;
  result *out, *nested;
  cudaMallocManaged(&x, 2048 * sizeof *x);
  cudaMallocManaged(&out, 2048 * sizeof *out), cudaMallocManaged(&nested, 2048 * sizeof *nested);
  for (int i = 0; i < 2048; i++) x[i] = rand() % 97;
  run<64>(1024, x, out, nested);
  run<256>(512, x, out, nested);
  puts(failures ? "FAIL" : "PASS");
  return failures != 0;
}
