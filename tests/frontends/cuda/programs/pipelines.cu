// cuda::barrier, cuda::pipeline and cuda::memcpy_async as programs use them: staged copies, phases, producers and consumers.
#include <cooperative_groups.h>
#include <cooperative_groups/memcpy_async.h>
#include <cuda/barrier>
#include <cuda/pipeline>

#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace cg = cooperative_groups;
using block_barrier = cuda::barrier<cuda::thread_scope_block>;

// Each step shifts the tile by one thread: every phase must see all writes of the one before.
__global__ void phases(int* x, int steps) {
#pragma nv_diag_suppress static_var_with_dynamic_init
  __shared__ block_barrier barrier;
  __shared__ int tile[2][128];
  cg::thread_block block = cg::this_thread_block();
  if (block.thread_rank() == 0) init(&barrier, block.size());
  block.sync();
  int t = threadIdx.x, n = blockDim.x;
  tile[0][t] = x[blockIdx.x * n + t];
  barrier.arrive_and_wait();
  for (int s = 0; s < steps; s++) {
    tile[(s + 1) & 1][t] = tile[s & 1][(t + 1) % n] + s;
    block_barrier::arrival_token token = barrier.arrive();
    barrier.wait(std::move(token));
  }
  x[blockIdx.x * n + t] = tile[steps & 1][t];
}

// A sum over batches that come through shared memory with a barrier.
__global__ void batches(const float* in, float* out, int count) {
  extern __shared__ float room[];
  __shared__ block_barrier barrier;
  auto block = cg::this_thread_block();
  if (block.thread_rank() == 0) init(&barrier, block.size());
  block.sync();
  float sum = 0;
  for (int b = 0; b < count; b++) {
    const float* batch = in + (blockIdx.x * count + b) * block.size();
    cuda::memcpy_async(block, room, batch, cuda::aligned_size_t<4>(sizeof(float) * block.size()), barrier);
    barrier.arrive_and_wait();
    sum += room[(threadIdx.x * 7 + 1) % block.size()];
    barrier.arrive_and_wait();
  }
  out[blockIdx.x * block.size() + threadIdx.x] = sum;
}

template <int Stages> __global__ void staged(const float* in, float* out, int count) {
  __shared__ cuda::pipeline_shared_state<cuda::thread_scope_block, Stages> state;
  extern __shared__ float room[];
  auto block = cg::this_thread_block();
  int size = block.size();
  auto pipe = cuda::make_pipeline(block, &state);
  float sum = 0;
  for (int b = 0, fetched = 0; b < count; b++) {
    for (; fetched < count && fetched < b + Stages; fetched++) {
      pipe.producer_acquire();
      const float* batch = in + (blockIdx.x * count + fetched) * size;
      cuda::memcpy_async(block, room + fetched % Stages * size, batch, sizeof(float) * size, pipe);
      pipe.producer_commit();
    }
    pipe.consumer_wait();
    sum += room[b % Stages * size + (threadIdx.x * 7 + 1) % size];
    pipe.consumer_release();
  }
  out[blockIdx.x * size + threadIdx.x] = sum;
}

// One warp fetches, the others add up.
__global__ void specialised(const float* in, float* out, int count) {
  constexpr int Stages = 2;
  __shared__ cuda::pipeline_shared_state<cuda::thread_scope_block, Stages> state;
  __shared__ float room[Stages][96];
  auto block = cg::this_thread_block();
  bool fetches = threadIdx.x < 32;
  auto pipe = cuda::make_pipeline(block, &state, fetches ? cuda::pipeline_role::producer : cuda::pipeline_role::consumer);
  if (fetches) {
    for (int b = 0; b < count; b++) {
      pipe.producer_acquire();
      for (int k = threadIdx.x; k < 96; k += 32)
        cuda::memcpy_async(&room[b % Stages][k], &in[(blockIdx.x * count + b) * 96 + k], sizeof(float), pipe);
      pipe.producer_commit();
    }
  } else {
    int t = threadIdx.x - 32;
    float sum = 0;
    for (int b = 0; b < count; b++) {
      pipe.consumer_wait();
      sum += room[b % Stages][(t * 7 + 1) % 96];
      pipe.consumer_release();
    }
    out[blockIdx.x * 96 + t] = sum;
  }
}

__global__ void of_thread(const float* in, float* out, int count) {
  __shared__ float room[2][128];
  auto pipe = cuda::make_pipeline();
  int t = threadIdx.x, size = blockDim.x;
  float sum = 0;
  for (int b = 0; b < count; b++) {
    pipe.producer_acquire();
    cuda::memcpy_async(&room[b % 2][t], &in[(blockIdx.x * count + b) * size + t], sizeof(float), pipe);
    pipe.producer_commit();
    cuda::pipeline_consumer_wait_prior<0>(pipe);
    __syncthreads();
    sum += room[b % 2][(t * 7 + 1) % size];
    pipe.consumer_release();
  }
  out[blockIdx.x * size + t] = sum;
}

static int failures = 0;

static void check_sums(const char* name, const float* in, const float* out, int size, int count) {
  if (cudaDeviceSynchronize() != cudaSuccess) failures++, printf("%s: %s\n", name, cudaGetErrorString(cudaGetLastError()));
  for (int i = 0; i < 3 * size && failures < 10; i++) {
    float sum = 0;
    for (int b = 0; b < count; b++) sum += in[(i / size * count + b) * size + (i % size * 7 + 1) % size];
    if (out[i] != sum) failures++, printf("%s: %d is %g, not %g\n", name, i, out[i], sum);
  }
}

int main() {
  srand(time(nullptr));
  const int count = 11;
  int* x;
  float *in, *out;
  cudaMallocManaged(&x, 3 * 128 * sizeof *x), cudaMallocManaged(&in, 3 * 128 * count * sizeof *in);
  cudaMallocManaged(&out, 3 * 128 * sizeof *out);
  for (int i = 0; i < 3 * 128 * count; i++) in[i] = rand() % 1000;
  for (int i = 0; i < 3 * 128; i++) x[i] = i * i;
  phases<<<3, 128>>>(x, 9);
  if (cudaDeviceSynchronize() != cudaSuccess) failures++, puts("phases");
  for (int i = 0; i < 3 * 128; i++) {
    int from = i / 128 * 128 + (i + 9) % 128;
    if (x[i] != from * from + 36 && failures++ < 10) printf("phases: %d\n", i);
  }
  batches<<<3, 64, 64 * sizeof(float)>>>(in, out, count), check_sums("batches", in, out, 64, count);
  staged<1><<<3, 96, 96 * sizeof(float)>>>(in, out, count), check_sums("one stage", in, out, 96, count);
  staged<3><<<3, 128, 3 * 128 * sizeof(float)>>>(in, out, count), check_sums("three stages", in, out, 128, count);
  specialised<<<3, 128>>>(in, out, count), check_sums("producers and consumers", in, out, 96, count);
  of_thread<<<3, 128>>>(in, out, count), check_sums("of a thread", in, out, 128, count);
  puts(failures ? "FAIL" : "PASS");
  return failures != 0;
}
