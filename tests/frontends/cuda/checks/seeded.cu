// One bug per kernel, chosen by the first argument; the line of each is marked with its name.
#include <cooperative_groups.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>

constexpr int N = 1000;  // not a multiple of the block

__global__ void past_end(float *x, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i <= n)
    x[i] = 2.0f;  // past_end
}

__global__ void negative(const float *x, float *out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n)
    out[i] = x[i]
             - x[i - 1];  // negative
}

__global__ void shared_past_end(float *out) {
  __shared__ float other[64];
  __shared__ float tile[64];
  __shared__ float third[64];
  other[threadIdx.x] = third[threadIdx.x] = 1.0f;
  tile[threadIdx.x + 1] = threadIdx.x;  // shared_past_end
  __syncthreads();
  out[threadIdx.x] = tile[threadIdx.x] + other[63 - threadIdx.x] + third[63 - threadIdx.x];
}

__global__ void dynamic_past_end(float *out, int n) {
  extern __shared__ float room[];
  room[threadIdx.x] = threadIdx.x;  // dynamic_past_end
  __syncthreads();
  out[threadIdx.x] = room[(threadIdx.x + 1) % n];
}

__global__ void local_past_end(int *out, int n) {
  int few[6];
  for (int i = 0; i < n; i++)
    few[i] = i * threadIdx.x;  // local_past_end
  out[threadIdx.x] = few[out[threadIdx.x] % 6];
}

__global__ void reduction(const float *x, float *out) {
  __shared__ float tile[256];
  int t = threadIdx.x;
  tile[t] = x[blockIdx.x * 256 + t];
  __syncthreads();
  for (int s = 128; s > 0; s >>= 1) {
    if (t < s)
      tile[t] += tile[t + s];  // reduction
  }
  if (t == 0) out[blockIdx.x] = tile[0];
}

template <int T>
__device__ float dot(const float (&a)[T][T], const float (&b)[T][T]) {
  float sum = 0;
  for (int k = 0; k < T; k++) sum += a[threadIdx.y][k] * b[k][threadIdx.x];
  return sum;
}

__global__ void tiled_matmul(const float *a, const float *b, float *c, int n) {
  constexpr int T = 16;
  __shared__ float as[T][T], bs[T][T];
  int row = blockIdx.y * T + threadIdx.y, col = blockIdx.x * T + threadIdx.x;
  float sum = 0;
  for (int k = 0; k < n; k += T) {
    as[threadIdx.y][threadIdx.x] = a[row * n + k + threadIdx.x];
    bs[threadIdx.y][threadIdx.x] = b[(k + threadIdx.y) * n + col];  // tiled_matmul
    __syncthreads();
    sum += dot(as, bs);
  }
  c[row * n + col] = sum;
}

__global__ void without_syncwarp(int *out) {
  __shared__ int lanes[32];
  lanes[threadIdx.x] = threadIdx.x;
  __syncwarp();
  int next = lanes[(threadIdx.x + 1) % 32];
  lanes[threadIdx.x] = next * 2;  // without_syncwarp
  __syncwarp();
  out[threadIdx.x] = lanes[31 - threadIdx.x];
}

__global__ void two_blocks(int *out) {
  if (threadIdx.x == 5) out[7] = blockIdx.x;  // two_blocks
}

__global__ void neighbour_block(float *x, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  float right = x[(i + blockDim.x) % n];
  x[i] = right + i;  // neighbour_block
}

__global__ void global_in_block(int *x) {
  x[threadIdx.x] = threadIdx.x * 3;
  x[255 - threadIdx.x] += 1;  // global_in_block
}

__global__ void after_free(const float *x, float *out) {
  out[threadIdx.x] = x[threadIdx.x];  // after_free
}

__global__ void host_memory(const float *x, float *out) {
  out[threadIdx.x] = x[threadIdx.x];  // host_memory
}

__global__ void misaligned(const float *x, float *out) {
  float4 v = *reinterpret_cast<const float4 *>(x + 1 + 4 * threadIdx.x);  // misaligned
  out[threadIdx.x] = v.x + v.w;
}

__global__ void divergent(int *out) {
  int t = threadIdx.x;
  out[t] = t;
  if (t % 2 == 0)
    __syncthreads();  // divergent
  out[t] += out[t] / 2;
}

__global__ void divergent_loop(int *out, int n) {
  __shared__ int turn;
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    if (i == threadIdx.x) turn = n;
    __syncthreads();  // divergent_loop
    out[i] = turn;
  }
  atomicAdd(out, 1);
}

__global__ void divergent_warps(int *out) {
  if (threadIdx.x < 32)
    __syncthreads();
  out[threadIdx.x] = 1;
  __syncthreads();  // divergent_warps
  out[threadIdx.x] += 1;
}

__global__ void unwritten(float *out) {
  __shared__ float tile[128];
  if (threadIdx.x != 77) tile[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = tile[127 - threadIdx.x];  // unwritten
}

__global__ void init_and_count(int *out) {
  __shared__ int bins[64];
  if (threadIdx.x < 64) bins[threadIdx.x] = 0;
  atomicAdd(&bins[63 - threadIdx.x % 64], 1);  // init_and_count
  __syncthreads();
  if (threadIdx.x < 64) out[threadIdx.x] = bins[threadIdx.x];
}

__device__ int table[10];
__global__ void variable_past_end(int n) {
  if (threadIdx.x < n) table[threadIdx.x] = 1;  // variable_past_end
}

__global__ void copied(char *to, const char *from, int bytes) {
  memcpy(to + threadIdx.x * bytes, from + threadIdx.x * bytes, bytes);  // copied
}

__global__ void in_fibers(int *flag, float *x) {  // lanes wait for each other: each runs by itself
  __shared__ float tile[64];
  if (threadIdx.x == 40) atomicExch(flag, 1);
  if (threadIdx.x == 2) while (atomicAdd(flag, 0) == 0);
  tile[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = tile[(threadIdx.x + 32) % 64];  // in_fibers
  tile[threadIdx.x] = 0;
}

__global__ void in_members(float *x) {  // warps part at barriers: each runs by itself
  __shared__ float tile[128];
  int t = threadIdx.x;
  tile[t] = x[t];
  if (t < 64) asm volatile("bar.sync 1, 64;");
  else asm volatile("bar.sync 2, 64;");
  float sum = tile[t ^ 32];
  if (t < 64) asm volatile("bar.sync 1, 64;");
  else asm volatile("bar.sync 2, 64;");
  tile[t] = sum;
  x[t] = tile[t ^ 64];  // in_members
}

__global__ void fine(float *x, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] += 1;
}

int main(int argc, char **argv) {
  const char *bug = argv[1];
  auto is = [&](const char *name) { return !strcmp(bug, name); };
  float *x, *y, *out;
  int *ints;
  cudaMalloc(&x, N * sizeof(float));
  cudaMalloc(&y, 4096 * sizeof(float));
  cudaMalloc(&out, 4096 * sizeof(float));
  cudaMalloc(&ints, 4096 * sizeof(int));
  float host[4096];
  for (int i = 0; i < 4096; i++) host[i] = rand() % 1000 + 1;
  cudaMemcpy(x, host, N * sizeof(float), cudaMemcpyHostToDevice);
  cudaMemcpy(y, host, sizeof host, cudaMemcpyHostToDevice);
  cudaMemset(ints, 0, 4096 * sizeof(int));
  dim3 tile(16, 16);
  if (is("past_end")) past_end<<<4, 256>>>(x, N);
  if (is("negative")) negative<<<4, 256>>>(x, out, N);
  if (is("shared_past_end")) shared_past_end<<<2, 64>>>(out);
  if (is("dynamic_past_end")) dynamic_past_end<<<1, 128, 100 * sizeof(float)>>>(out, 100);
  if (is("local_past_end")) local_past_end<<<1, 32>>>(ints, 7);
  if (is("reduction")) reduction<<<4, 256>>>(y, out);
  if (is("tiled_matmul")) tiled_matmul<<<dim3(2, 2), tile>>>(y, y + 1024, out, 32);
  if (is("without_syncwarp")) without_syncwarp<<<1, 32>>>(ints);
  if (is("two_blocks")) two_blocks<<<3, 32>>>(ints);
  if (is("neighbour_block")) neighbour_block<<<4, 64>>>(y, 256);
  if (is("global_in_block")) global_in_block<<<1, 256>>>(ints);
  if (is("after_free")) {
    cudaFree(y);
    float *again;
    cudaMalloc(&again, 4096 * sizeof(float));
    after_free<<<1, 64>>>(y, out);
  }
  if (is("host_memory")) host_memory<<<1, 32>>>(host, out);
  if (is("misaligned")) misaligned<<<1, 32>>>(y, out);
  if (is("divergent")) divergent<<<2, 64>>>(ints);
  if (is("divergent_loop")) divergent_loop<<<1, 64>>>(ints, 100);
  if (is("divergent_warps")) divergent_warps<<<1, 64>>>(ints);
  if (is("unwritten")) unwritten<<<1, 128>>>(out);
  if (is("init_and_count")) init_and_count<<<1, 128>>>(ints);
  if (is("variable_past_end")) variable_past_end<<<1, 32>>>(11);
  if (is("copied")) copied<<<1, 16>>>((char *)out, (const char *)x, 255);
  if (is("in_fibers")) in_fibers<<<1, 64>>>(ints, y);
  if (is("in_members")) in_members<<<1, 128>>>(y);
  cudaError_t code = cudaDeviceSynchronize();
  printf("%s\n", cudaGetErrorName(code));
  fine<<<4, 256>>>(out, N);  // a sticky error stays
  printf("%s\n", cudaGetErrorName(cudaDeviceSynchronize()));
  return 0;
}
