// Layers of a small GPT, forward and backward: embedding, layer norm, GELU, residual, bias gradients.
#include <assert.h>
#include <cuda_runtime.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define GELU_SCALING_FACTOR sqrtf(2.0f / M_PI)
template <class T>
__host__ __device__ T ceil_div(T dividend, T divisor) {
  return (dividend + divisor - 1) / divisor;
}
void cuda_check(cudaError_t error, const char *file, int line) {
  if (error != cudaSuccess) {
    printf("[CUDA ERROR] at file %s:%d:\n%s\n", file, line, cudaGetErrorString(error));
    exit(EXIT_FAILURE);
  }
}
#define cudaCheck(err) (cuda_check(err, __FILE__, __LINE__))

__device__ inline float4 add_float4(const float4 &a, const float4 &b) { return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w); }

__global__ void encoder_forward(float4 *out, const int *inp, const float4 *wte, const float4 *wpe, int B, int T, int C) {
  int C4 = C / 4, idx = blockIdx.x * blockDim.x + threadIdx.x;
  if (idx < B * T * C4) {
    int bt = idx / C4, b = bt / T, t = bt % T, c4 = idx % C4, ix = inp[b * T + t];
    out[b * T * C4 + t * C4 + c4] = add_float4(wte[ix * C4 + c4], wpe[t * C4 + c4]);
  }
}
__global__ void encoder_backward(float *dwte, float *dwpe, const float *dout, const int *inp, int B, int T, int C) {
  int idx = blockIdx.x * blockDim.x + threadIdx.x;
  if (idx < B * T * C) {
    int bt = idx / C, t = bt % T, c = idx % C;
    atomicAdd(dwte + inp[bt] * C + c, dout[idx]);
    atomicAdd(dwpe + t * C + c, dout[idx]);
  }
}
__global__ void gelu_forward(float *out, const float *inp, int N) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < N) {
    float x = inp[i], cube = 0.044715f * x * x * x;
    out[i] = 0.5f * x * (1.0f + tanhf(GELU_SCALING_FACTOR * (x + cube)));
  }
}
__global__ void gelu_backward(float *dinp, const float *inp, const float *dout, const int N) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < N) {
    float x = inp[i], cube = 0.044715f * x * x * x;
    float tanh_arg = GELU_SCALING_FACTOR * (x + cube), tanh_out = tanhf(tanh_arg), coshf_out = coshf(tanh_arg);
    float sech_out = 1.0f / (coshf_out * coshf_out);
    float local_grad = 0.5f * (1.0f + tanh_out) + x * 0.5f * sech_out * GELU_SCALING_FACTOR * (1.0f + 3.0f * 0.044715f * x * x);
    dinp[i] += local_grad * dout[i];
  }
}
__device__ float warpReduceSum(float val) {
  for (int offset = 16; offset > 0; offset /= 2) val += __shfl_xor_sync(0xFFFFFFFF, val, offset);
  return val;
}
__global__ void layernorm_backward(float *dinp, float *dweight, float *dbias, const float *dout, const float *inp, const float *weight,
                                   const float *mean, const float *rstd, int BT, int C) {
  extern __shared__ float shared[];  // size = 2 * C
  int warpId = threadIdx.x / warpSize, warpsInBlock = blockDim.x / warpSize, laneId = threadIdx.x % warpSize;
  int idx = blockIdx.x * warpsInBlock + warpId;
  float *dbias_shared = shared, *dweight_shared = shared + C;
  for (int i = threadIdx.x; i < C; i += blockDim.x) dbias_shared[i] = 0.0f, dweight_shared[i] = 0.0f;
  __syncthreads();
  if (idx < BT) {
    const float *dout_bt = dout + idx * C, *inp_bt = inp + idx * C;
    float *dinp_bt = dinp + idx * C, mean_bt = mean[idx], rstd_bt = rstd[idx];
    float dnorm_mean = 0.0f, dnorm_norm_mean = 0.0f;
    for (int i = laneId; i < C; i += warpSize) {
      float norm_bti = (inp_bt[i] - mean_bt) * rstd_bt, dnorm_i = weight[i] * dout_bt[i];
      dnorm_mean += dnorm_i;
      dnorm_norm_mean += dnorm_i * norm_bti;
    }
    dnorm_mean = warpReduceSum(dnorm_mean) / C;
    dnorm_norm_mean = warpReduceSum(dnorm_norm_mean) / C;
    for (int i = laneId; i < C; i += warpSize) {
      float norm_bti = (inp_bt[i] - mean_bt) * rstd_bt, dnorm_i = weight[i] * dout_bt[i];
      atomicAdd(&dbias_shared[i], dout_bt[i]);
      atomicAdd(&dweight_shared[i], norm_bti * dout_bt[i]);
      dinp_bt[i] += (dnorm_i - dnorm_mean - norm_bti * dnorm_norm_mean) * rstd_bt;
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < C; i += blockDim.x) {
    atomicAdd(&dbias[i], dbias_shared[i]);
    atomicAdd(&dweight[i], dweight_shared[i]);
  }
}

static float *make_random(size_t n) {
  float *p;
  cudaCheck(cudaMallocManaged(&p, n * sizeof(float)));
  for (size_t i = 0; i < n; i++) p[i] = (float)rand() / RAND_MAX * 2.0f - 1.0f;
  return p;
}
static double gelu(double x) { return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }

int main() {
  srand(0);
  const int B = 3, T = 11, C = 52, V = 20, N = B * T * C;
  float *wte = make_random(V * C), *wpe = make_random(T * C), *out = make_random(N), *dout = make_random(N);
  float *dwte = make_random(V * C), *dwpe = make_random(T * C), *g = make_random(N), *dg = make_random(N);
  float *weight = make_random(C), *dweight = make_random(C), *dbias = make_random(C), *dinp = make_random(N);
  float *mean = make_random(B * T), *rstd = make_random(B * T);
  int *inp;
  cudaCheck(cudaMallocManaged(&inp, B * T * sizeof(int)));
  for (int i = 0; i < B * T; i++) inp[i] = rand() % V;
  cudaCheck(cudaMemset(dwte, 0, V * C * sizeof(float)));
  cudaCheck(cudaMemset(dwpe, 0, T * C * sizeof(float)));
  cudaCheck(cudaMemset(dg, 0, N * sizeof(float)));
  cudaCheck(cudaMemset(dinp, 0, N * sizeof(float)));
  cudaCheck(cudaMemset(dweight, 0, C * sizeof(float)));
  cudaCheck(cudaMemset(dbias, 0, C * sizeof(float)));
  const int block = 96;
  encoder_forward<<<ceil_div(N / 4, block), block>>>((float4 *)out, inp, (float4 *)wte, (float4 *)wpe, B, T, C);
  encoder_backward<<<ceil_div(N, block), block>>>(dwte, dwpe, dout, inp, B, T, C);
  gelu_forward<<<ceil_div(N, block), block>>>(g, out, N);
  gelu_backward<<<ceil_div(N, block), block>>>(dg, out, dout, N);
  cudaCheck(cudaDeviceSynchronize());
  for (int r = 0; r < B * T; r++) {
    double m = 0, v = 0;
    for (int c = 0; c < C; c++) m += out[r * C + c] / C;
    for (int c = 0; c < C; c++) v += pow(out[r * C + c] - m, 2) / C;
    mean[r] = m, rstd[r] = 1 / sqrt(v + 1e-5);
  }
  layernorm_backward<<<ceil_div(B * T * 32, block), block, 2 * C * sizeof(float)>>>(dinp, dweight, dbias, dout, out, weight, mean, rstd, B * T, C);
  cudaCheck(cudaGetLastError());
  cudaCheck(cudaDeviceSynchronize());
  double worst = 0;
  auto compare = [&](const char *what, double got, double want) {
    double e = fabs(got - want) / (1 + fabs(want));
    if (!(e <= 1e-4)) printf("%s: %g, not %g\n", what, got, want);
    if (!(e <= worst)) worst = e == e ? e : INFINITY;
  };
  double *rte = (double *)calloc(V * C, 8), *rpe = (double *)calloc(T * C, 8), *rw = (double *)calloc(C, 8), *rb = (double *)calloc(C, 8);
  for (int i = 0; i < N; i++) {
    int c = i % C, bt = i / C, t = bt % T;
    compare("encoder", out[i], wte[inp[bt] * C + c] + wpe[t * C + c]);
    compare("gelu", g[i], gelu(out[i]));
    compare("gelu'", dg[i], (gelu(out[i] + 1e-5) - gelu(out[i] - 1e-5)) / 2e-5 * dout[i]);
    rte[inp[bt] * C + c] += dout[i], rpe[t * C + c] += dout[i];
    rb[c] += dout[i], rw[c] += dout[i] * (out[i] - mean[bt]) * rstd[bt];
  }
  for (int i = 0; i < V * C; i++) compare("dwte", dwte[i], rte[i]);
  for (int i = 0; i < T * C; i++) compare("dwpe", dwpe[i], rpe[i]);
  for (int c = 0; c < C; c++) compare("dweight", dweight[c], rw[c]), compare("dbias", dbias[c], rb[c]);
  for (int r = 0; r < B * T; r++) {
    double a = 0, b = 0;
    for (int c = 0; c < C; c++) {
      double n = (out[r * C + c] - mean[r]) * rstd[r], d = weight[c] * dout[r * C + c];
      a += d / C, b += d * n / C;
    }
    for (int c = 0; c < C; c++)
      compare("dinp", dinp[r * C + c], (weight[c] * dout[r * C + c] - a - (out[r * C + c] - mean[r]) * rstd[r] * b) * rstd[r]);
  }
  printf("worst error %g\n", worst);
  puts(worst < 1e-4 ? "PASS" : "FAIL");
  return !(worst < 1e-4);
}
