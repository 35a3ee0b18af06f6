// Rows: softmax (warp, block, online) and layer norm with warp shuffles, as in the small GPT trainers.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <vector>
namespace cg = cooperative_groups;

#define CEIL_DIV(a, b) (((a) + (b)-1) / (b))

__device__ float warpReduceMax(float val) {
  for (int offset = 16; offset > 0; offset /= 2) val = fmaxf(val, __shfl_down_sync(0xFFFFFFFF, val, offset));
  return val;
}
__device__ float warpReduceSum(float val) {
  for (int offset = 16; offset > 0; offset /= 2) val += __shfl_xor_sync(0xFFFFFFFF, val, offset);
  return val;
}

// one block per row, warps talk through shared memory
__global__ void softmax_block(float *out, const float *inp, int N, int C) {
  extern __shared__ float shared[];
  int idx = blockIdx.x, tid = threadIdx.x, warpId = threadIdx.x / 32, laneId = threadIdx.x % 32;
  int warps = blockDim.x / 32;
  float *maxvals = shared, *sumvals = &shared[warps];
  const float *x = inp + idx * C;
  float maxval = -INFINITY;
  for (int i = tid; i < C; i += blockDim.x) maxval = fmaxf(maxval, x[i]);
  maxval = warpReduceMax(maxval);
  if (laneId == 0) maxvals[warpId] = maxval;
  __syncthreads();
  if (tid == 0) {
    float val = maxvals[tid];
    for (int i = 1; i < warps; i++) val = fmaxf(val, maxvals[i]);
    maxvals[0] = val;
  }
  __syncthreads();
  float offset = maxvals[0];
  for (int i = tid; i < C; i += blockDim.x) out[idx * C + i] = expf(x[i] - offset);
  float sumval = 0.0f;
  for (int i = tid; i < C; i += blockDim.x) sumval += out[idx * C + i];
  sumval = warpReduceSum(sumval);
  if (laneId == 0) sumvals[warpId] = sumval;
  __syncthreads();
  if (tid == 0) {
    float val = sumvals[tid];
    for (int i = 1; i < warps; ++i) val += sumvals[i];
    sumvals[0] = val;
  }
  __syncthreads();
  for (int i = tid; i < C; i += blockDim.x) out[idx * C + i] /= sumvals[0];
}

struct __align__(8) SumMax {
  float maxval, sum;
};
__device__ __forceinline__ SumMax combine(SumMax a, SumMax b) {
  bool bigger = a.maxval > b.maxval;
  SumMax big = bigger ? a : b, small = bigger ? b : a, r;
  r.sum = big.sum + small.sum * __expf(small.maxval - big.maxval);
  r.maxval = big.maxval;
  return r;
}

// one warp per row, maximum and sum in one go
__global__ void softmax_online(float *out, const float *inp, int N, int C) {
  cg::thread_block block = cg::this_thread_block();
  cg::thread_block_tile<32> warp = cg::tiled_partition<32>(block);
  int row = blockIdx.x * warp.meta_group_size() + warp.meta_group_rank();
  if (row >= N) return;
  const float *x = inp + row * C;
  SumMax sm = {-FLT_MAX, 0.0f};
  for (int i = warp.thread_rank(); i < C; i += warp.size()) sm = combine(sm, {x[i], 1.0f});
  SumMax all = cg::reduce(warp, sm, combine);
  for (int i = warp.thread_rank(); i < C; i += warp.size()) __stcs(out + row * C + i, __expf(x[i] - all.maxval) / all.sum);
}

__global__ void layernorm(float *__restrict__ out, float *__restrict__ mean, float *__restrict__ rstd, const float *__restrict__ inp,
                          const float *__restrict__ weight, const float *__restrict__ bias, int N, int C) {
  cg::thread_block_tile<32> warp = cg::tiled_partition<32>(cg::this_thread_block());
  int idx = blockIdx.x * warp.meta_group_size() + warp.meta_group_rank();
  if (idx >= N) return;
  const float *x = inp + idx * C;
  float sum = 0.0f;
  for (int i = warp.thread_rank(); i < C; i += warp.size()) sum += x[i];
  sum = cg::reduce(warp, sum, cg::plus<float>{});
  float m = sum / C;
  if (warp.thread_rank() == 0 && mean != nullptr) __stcs(mean + idx, m);
  sum = 0.0f;
  for (int i = warp.thread_rank(); i < C; i += warp.size()) {
    float diff = x[i] - m;
    sum += diff * diff;
  }
  sum = cg::reduce(warp, sum, cg::plus<float>{});
  float s = rsqrtf(sum / C + 1e-5f);
  if (warp.thread_rank() == 0 && rstd != nullptr) __stcs(rstd + idx, s);
  for (int c = warp.thread_rank(); c < C; c += warp.size()) out[idx * C + c] = s * (__ldcs(x + c) - m) * weight[c] + bias[c];
}

int main() {
  const int N = 37, C = 203;
  float *inp, *out, *weight, *bias, *mean, *rstd;
  for (float **p : {&inp, &out}) cudaMallocManaged(p, N * C * sizeof(float));
  for (float **p : {&weight, &bias}) cudaMallocManaged(p, C * sizeof(float));
  for (float **p : {&mean, &rstd}) cudaMallocManaged(p, N * sizeof(float));
  for (int i = 0; i < N * C; i++) inp[i] = rand() / (float)RAND_MAX * 12 - 6;
  for (int i = 0; i < C; i++) weight[i] = rand() / (float)RAND_MAX, bias[i] = rand() / (float)RAND_MAX - 0.5f;
  double worst = 0;
  auto seen = [&](double got, double want) {
    double e = fabs(got - want) / (1e-6 + fabs(want));
    if (!(e <= worst)) worst = e == e ? e : INFINITY;
  };
  for (int kernel = 1; kernel <= 2; kernel++) {
    cudaMemset(out, 0xff, N * C * sizeof(float));
    if (kernel == 1) softmax_block<<<N, 96, 2 * 96 / 32 * sizeof(float)>>>(out, inp, N, C);
    if (kernel == 2) softmax_online<<<CEIL_DIV(N, 4), 128>>>(out, inp, N, C);
    cudaDeviceSynchronize();
    for (int r = 0; r < N; r++) {
      double top = -1e30, sum = 0;
      for (int c = 0; c < C; c++) top = fmax(top, inp[r * C + c]);
      for (int c = 0; c < C; c++) sum += exp(inp[r * C + c] - top);
      for (int c = 0; c < C; c++) seen(out[r * C + c], exp(inp[r * C + c] - top) / sum);
    }
  }
  layernorm<<<CEIL_DIV(N, 4), 128>>>(out, mean, rstd, inp, weight, bias, N, C);
  cudaDeviceSynchronize();
  for (int r = 0; r < N; r++) {
    double m = 0, v = 0;
    for (int c = 0; c < C; c++) m += inp[r * C + c] / (double)C;
    for (int c = 0; c < C; c++) v += (inp[r * C + c] - m) * (inp[r * C + c] - m) / C;
    double s = 1 / sqrt(v + 1e-5);
    seen(10 + mean[r], 10 + m), seen(rstd[r], s);
    for (int c = 0; c < C; c++) seen(10 + out[r * C + c], 10 + s * (inp[r * C + c] - m) * weight[c] + bias[c]);
  }
  printf("worst relative error %g\n", worst);
  bool good = cudaGetLastError() == cudaSuccess && worst < 1e-4;
  puts(good ? "PASS" : "FAIL");
  return !good;
}
