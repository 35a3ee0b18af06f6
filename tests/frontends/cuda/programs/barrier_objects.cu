// cuda::barrier, latch, semaphores and pipelines, with their copies.
#include <cooperative_groups.h>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <cuda/barrier>
#include <cuda/latch>
#include <cuda/pipeline>
#include <cuda/semaphore>
#include <utility>

namespace cg = cooperative_groups;
static int failures = 0;
#define CHECK(c) do { if (!(c)) { printf("FAIL line %d\n", __LINE__); failures++; } } while (0)
using Barrier = cuda::barrier<cuda::thread_scope_block>;

// Split arrival: what a thread does between arriving and waiting may overlap with the others.
__global__ void neighbours(const int* in, int* out, int rounds) {
  __shared__ Barrier barrier;
  __shared__ int values[2][256];
  if (threadIdx.x == 0) init(&barrier, blockDim.x);
  __syncthreads();
  int own = in[blockIdx.x * blockDim.x + threadIdx.x], next = (threadIdx.x + 37) % blockDim.x;
  for (int k = 0; k < rounds; k++) {
    values[k & 1][threadIdx.x] = own;
    auto token = barrier.arrive();
    own += k;
    barrier.wait(std::move(token));
    own += values[k & 1][next];
  }
  barrier.arrive_and_wait();
  values[0][threadIdx.x] = own;
  barrier.arrive_and_wait();
  out[blockIdx.x * blockDim.x + threadIdx.x] = values[0][blockDim.x - 1 - threadIdx.x];
}

// Warps leave one after another: the barrier expects fewer from then on.
__global__ void leaving(int* out) {
  __shared__ Barrier barrier;
  __shared__ int count;
  if (threadIdx.x == 0) init(&barrier, blockDim.x), count = 0;
  __syncthreads();
  int warp = threadIdx.x / 32;
  for (int k = 0; k < warp; k++) {
    atomicAdd(&count, 1);
    barrier.arrive_and_wait();
  }
  if (threadIdx.x % 32 == 0) out[blockIdx.x * blockDim.x / 32 + warp] = count;
  barrier.arrive_and_drop();
}

// Half of the warps fetch, the other half add up: two stages, each side waits for the other.
__global__ void roles(const int* in, long long* out, int tiles) {
  __shared__ cuda::pipeline_shared_state<cuda::thread_scope_block, 2> state;
  __shared__ int stage[2][64];
  auto block = cg::this_thread_block();
  bool fetches = threadIdx.x < 64;
  auto role = fetches ? cuda::pipeline_role::producer : cuda::pipeline_role::consumer;
  auto pipe = cuda::make_pipeline(block, &state, role);
  long long sum = 0;
  for (int k = 0; k < tiles; k++) {
    if (fetches) {
      pipe.producer_acquire();
      const int* source = in + (blockIdx.x * tiles + k) * 64 + threadIdx.x;
      cuda::memcpy_async(&stage[k % 2][threadIdx.x], source, sizeof(int), pipe);
      pipe.producer_commit();
    } else {
      pipe.consumer_wait();
      sum += (k + 1) * (long long)stage[k % 2][63 - threadIdx.x % 64];
      pipe.consumer_release();
    }
  }
  if (!fetches) out[blockIdx.x * 64 + threadIdx.x - 64] = sum;
}

// Every thread fetches and uses; the group copies together.
template <int Stages> __global__ void unified(const float* in, float* out, int tiles) {
  __shared__ cuda::pipeline_shared_state<cuda::thread_scope_block, Stages> state;
  extern __shared__ float stages[];
  auto block = cg::this_thread_block();
  auto pipe = cuda::make_pipeline(block, &state);
  float sum = 0;
  for (int k = 0, fetched = 0; k < tiles; k++) {
    for (; fetched < tiles && fetched < k + Stages; fetched++) {
      pipe.producer_acquire();
      cuda::memcpy_async(block, stages + fetched % Stages * block.size(), in + fetched * block.size(),
                         cuda::aligned_size_t<4>(block.size() * sizeof(float)), pipe);
      pipe.producer_commit();
    }
    pipe.consumer_wait();
    sum += stages[k % Stages * block.size() + (threadIdx.x + k) % block.size()];
    pipe.consumer_release();
  }
  out[threadIdx.x] = sum;
}

// One thread's pipeline; copies of 16 bytes bound to a barrier.
__global__ void copies(const float4* in, float4* out) {
  __shared__ Barrier barrier;
  __shared__ float4 first[64], second[64];
  auto pipe = cuda::make_pipeline();
  if (threadIdx.x == 0) init(&barrier, blockDim.x);
  __syncthreads();
  pipe.producer_acquire();
  cuda::memcpy_async(&first[threadIdx.x], &in[threadIdx.x], cuda::aligned_size_t<16>(16), pipe);
  pipe.producer_commit();
  cuda::memcpy_async(&second[threadIdx.x], &in[64 + threadIdx.x], sizeof(float4), barrier);
  pipe.consumer_wait();
  barrier.arrive_and_wait();
  pipe.consumer_release();
  float4 a = first[63 - threadIdx.x], b = second[(threadIdx.x + 1) % 64];
  out[threadIdx.x] = make_float4(a.x + b.y, a.y + b.x, a.z - b.w, a.w - b.z);
}

__device__ cuda::binary_semaphore<cuda::thread_scope_device> gate;
__device__ cuda::latch<cuda::thread_scope_device> arrived;
__device__ int total;
__global__ void prepare(int blocks) { init(&gate, 1), init(&arrived, blocks), total = 0; }
__global__ void one_at_a_time(int* out) {
  if (threadIdx.x != 0) return;
  gate.acquire();
  int seen = *(volatile int*)&total;
  *(volatile int*)&total = seen + 1 + blockIdx.x;
  gate.release();
  arrived.count_down();
  if (blockIdx.x == gridDim.x - 1) {  // blocks begin in their order: the last one may wait
    arrived.wait();
    *out = *(volatile int*)&total;
  }
}

int main() {
  srand(time(nullptr));
  const int n = 4096;
  int *in, *out;
  long long* sums;
  float *reals, *results;
  cudaMallocManaged(&in, n * 4), cudaMallocManaged(&out, n * 4), cudaMallocManaged(&sums, n * 8);
  cudaMallocManaged(&reals, n * 4), cudaMallocManaged(&results, n * 4);
  for (int i = 0; i < n; i++) in[i] = rand() % 1000, reals[i] = rand() % 1000;

  neighbours<<<3, 256>>>(in, out, 5);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  for (int b = 0; b < 3; b++) {
    int own[256], before[256];
    for (int t = 0; t < 256; t++) own[t] = in[b * 256 + t];
    for (int k = 0; k < 5; k++) {
      for (int t = 0; t < 256; t++) before[t] = own[t];
      for (int t = 0; t < 256; t++) own[t] += k + before[(t + 37) % 256];
    }
    for (int t = 0; t < 256; t++) CHECK(out[b * 256 + t] == own[255 - t]);
  }
  leaving<<<2, 128>>>(out);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  for (int i = 0; i < 8; i++) CHECK(out[i] >= (i % 4 > 0 ? 96 : 0) && (i % 4 != 3 || out[i] == 192));

  roles<<<4, 128>>>(in, sums, 9);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  for (int i = 0; i < 256; i++) {
    long long want = 0;
    for (int k = 0; k < 9; k++) want += (k + 1) * (long long)in[(i / 64 * 9 + k) * 64 + 63 - i % 64];
    CHECK(sums[i] == want);
  }
  for (int stages = 1; stages <= 3; stages += 2) {
    if (stages == 1) unified<1><<<1, 100, 400>>>(reals, results, 20);
    else unified<3><<<1, 100, 1200>>>(reals, results, 20);
    CHECK(cudaDeviceSynchronize() == cudaSuccess);
    for (int t = 0; t < 100; t++) {
      float want = 0;
      for (int k = 0; k < 20; k++) want += reals[k * 100 + (t + k) % 100];
      CHECK(results[t] == want);
    }
  }
  copies<<<1, 64>>>((const float4*)reals, (float4*)results);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  for (int t = 0; t < 64; t++) {
    const float *a = reals + 4 * (63 - t), *b = reals + 256 + 4 * ((t + 1) % 64), *r = results + 4 * t;
    CHECK(r[0] == a[0] + b[1] && r[1] == a[1] + b[0] && r[2] == a[2] - b[3] && r[3] == a[3] - b[2]);
  }
  prepare<<<1, 1>>>(50);
  one_at_a_time<<<50, 32>>>(out);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  CHECK(out[0] == 50 + 49 * 50 / 2);
  puts(failures ? "FAIL" : "PASS");
  return failures != 0;
}
