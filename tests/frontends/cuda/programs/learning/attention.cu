// Causal attention with an online softmax over tiles of keys in dynamic shared memory.
#include <cuda_runtime.h>
#include <cfloat>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

inline void cudaCheck(cudaError_t error, const char *file, int line) {
  if (error != cudaSuccess) {
    printf("[CUDA ERROR] at file %s:%d:\n%s\n", file, line, cudaGetErrorString(error));
    exit(EXIT_FAILURE);
  }
}
#define cudaCheck(err) (cudaCheck(err, __FILE__, __LINE__))

// q, k, v, out: (batch * heads, T, D). A block has one tile of Br queries of one head, a thread each.
template <int D, int Br, int Bc>
__global__ void flash_forward(const float *__restrict__ Q, const float *__restrict__ K, const float *__restrict__ V, float *__restrict__ O,
                              float *__restrict__ lse, int T, float scale) {
  extern __shared__ float sram[];
  float *Kj = sram, *Vj = Kj + Bc * D;
  const int head = blockIdx.y, row = blockIdx.x * Br + threadIdx.x;
  const size_t base = (size_t)head * T * D;
  float q[D], acc[D] = {0.f};
#pragma unroll
  for (int d = 0; d < D; ++d) q[d] = row < T ? Q[base + row * D + d] : 0.f;
  float m = -FLT_MAX, l = 0.f;
  const int last = min(T, (int)(blockIdx.x + 1) * Br);
  for (int j0 = 0; j0 < last; j0 += Bc) {
    for (int i = threadIdx.x; i < Bc * D; i += Br) {
      bool inside = j0 + i / D < T;
      Kj[i] = inside ? K[base + j0 * D + i] : 0.f;
      Vj[i] = inside ? V[base + j0 * D + i] : 0.f;
    }
    __syncthreads();
    for (int j = 0; j < Bc && j0 + j <= row; ++j) {  // divergent: each row has its own end
      float s = 0.f;
#pragma unroll
      for (int d = 0; d < D; ++d) s += q[d] * Kj[j * D + d];
      s *= scale;
      float m_new = fmaxf(m, s), fade = __expf(m - m_new), p = __expf(s - m_new);
      l = l * fade + p;
#pragma unroll
      for (int d = 0; d < D; ++d) acc[d] = acc[d] * fade + p * Vj[j * D + d];
      m = m_new;
    }
    __syncthreads();
  }
  if (row >= T) return;
#pragma unroll
  for (int d = 0; d < D; ++d) O[base + row * D + d] = acc[d] / l;
  lse[head * T + row] = m + logf(l);
}

int main() {
  constexpr int D = 16, Br = 32, Bc = 24;
  const int heads = 3, T = 77;
  const float scale = 1.f / std::sqrt((float)D);
  std::mt19937 gen(1234);
  std::normal_distribution<float> normal;
  std::vector<float> q(heads * T * D), k(q.size()), v(q.size()), o(q.size()), lse(heads * T);
  for (auto *x : {&q, &k, &v})
    for (float &f : *x) f = normal(gen);
  float *dq, *dk, *dv, *d_o, *dl;
  const size_t bytes = q.size() * sizeof(float);
  for (float **p : {&dq, &dk, &dv, &d_o}) cudaCheck(cudaMalloc(p, bytes));
  cudaCheck(cudaMalloc(&dl, lse.size() * sizeof(float)));
  cudaCheck(cudaMemcpy(dq, q.data(), bytes, cudaMemcpyHostToDevice));
  cudaCheck(cudaMemcpy(dk, k.data(), bytes, cudaMemcpyHostToDevice));
  cudaCheck(cudaMemcpy(dv, v.data(), bytes, cudaMemcpyHostToDevice));
  const int smem = 2 * Bc * D * sizeof(float);
  int max_sram;
  cudaCheck(cudaDeviceGetAttribute(&max_sram, cudaDevAttrMaxSharedMemoryPerBlock, 0));
  if (smem > max_sram) return puts("FAIL"), 1;
  flash_forward<D, Br, Bc><<<dim3((T + Br - 1) / Br, heads), Br, smem>>>(dq, dk, dv, d_o, dl, T, scale);
  cudaCheck(cudaGetLastError());
  cudaCheck(cudaMemcpy(o.data(), d_o, bytes, cudaMemcpyDeviceToHost));
  cudaCheck(cudaMemcpy(lse.data(), dl, lse.size() * sizeof(float), cudaMemcpyDeviceToHost));
  double worst = 0;
  for (int h = 0; h < heads; ++h)
    for (int i = 0; i < T; ++i) {
      std::vector<double> s(i + 1);
      double top = -1e30, sum = 0;
      for (int j = 0; j <= i; ++j) {
        for (int d = 0; d < D; ++d) s[j] += (double)q[(h * T + i) * D + d] * k[(h * T + j) * D + d] * scale;
        top = std::max(top, s[j]);
      }
      for (double &x : s) sum += x = std::exp(x - top);
      worst = std::max(worst, std::isnan(lse[h * T + i]) ? 1e9 : std::fabs(lse[h * T + i] - top - std::log(sum)));
      for (int d = 0; d < D; ++d) {
        double want = 0;
        for (int j = 0; j <= i; ++j) want += s[j] / sum * v[(h * T + j) * D + d];
        double e = std::fabs(o[(h * T + i) * D + d] - want);
        worst = e <= worst ? worst : e == e ? e : INFINITY;
      }
    }
  printf("largest error %g\n", worst);
  puts(worst < 1e-5 ? "PASS" : "FAIL");
  return worst < 1e-5 ? 0 : 1;
}
