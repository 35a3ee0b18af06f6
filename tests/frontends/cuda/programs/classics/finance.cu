// Black-Scholes in closed form, by a Monte Carlo simulation with a generator of our own, and binomially.
#include <cmath>
#include <cstdio>
#include <cstdlib>

__host__ __device__ inline float normal_cdf(float d) {
  const float a1 = 0.31938153f, a2 = -0.356563782f, a3 = 1.781477937f, a4 = -1.821255978f, a5 = 1.330274429f;
  float k = 1.0f / (1.0f + 0.2316419f * fabsf(d));
  float cnd = 0.39894228040143267793994605993438f * expf(-0.5f * d * d) * (k * (a1 + k * (a2 + k * (a3 + k * (a4 + k * a5)))));
  return d > 0 ? 1.0f - cnd : cnd;
}

__host__ __device__ inline void black_scholes(float &call, float &put, float s, float x, float t, float r, float v) {
  float root = sqrtf(t), d1 = (logf(s / x) + (r + 0.5f * v * v) * t) / (v * root), d2 = d1 - v * root;
  float n1 = normal_cdf(d1), n2 = normal_cdf(d2), discount = expf(-r * t);
  call = s * n1 - x * discount * n2;
  put = x * discount * (1.0f - n2) - s * (1.0f - n1);
}

__global__ void options(float2 *__restrict__ results, const float *__restrict__ s, const float *__restrict__ x,
                        const float *__restrict__ t, float r, float v, int n) {
  for (int i = blockDim.x * blockIdx.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x) {
    float call, put;
    black_scholes(call, put, s[i], x[i], t[i], r, v);
    results[i] = make_float2(call, put);
  }
}

__device__ unsigned int xorshift(unsigned int &state) {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state;
}

__global__ void monte_carlo(double *sums, float s, float x, float t, float r, float v, int paths) {
  __shared__ double partial[128];
  unsigned int state = 1234567u + 7919u * (blockIdx.x * blockDim.x + threadIdx.x);
  for (int i = 0; i < 16; ++i) xorshift(state);
  double sum = 0;
  for (int i = 0; i < paths; ++i) {
    float u1 = (xorshift(state) + 1.0f) * 2.3283064e-10f, u2 = xorshift(state) * 2.3283064e-10f, sine, cosine;
    __sincosf(6.2831853f * u2, &sine, &cosine);
    float z = sqrtf(-2.0f * __logf(fminf(u1, 1.0f))) * cosine;
    sum += fmaxf(s * __expf((r - 0.5f * v * v) * t + v * sqrtf(t) * z) - x, 0.0f);
  }
  partial[threadIdx.x] = sum;
  __syncthreads();
  for (int width = blockDim.x / 2; width; width /= 2) {
    if (threadIdx.x < width) partial[threadIdx.x] += partial[threadIdx.x + width];
    __syncthreads();
  }
  if (threadIdx.x == 0) atomicAdd(sums, partial[0]);
}

// One block per option walks the tree backwards.
__global__ void binomial(float *prices, const float *s, const float *x, const float *t, float r, float v, int steps) {
  extern __shared__ float value[];
  const int o = blockIdx.x;
  const float dt = t[o] / steps, up = expf(v * sqrtf(dt)), down = 1 / up;
  const float discount = expf(-r * dt), p = (expf(r * dt) - down) / (up - down);
  for (int i = threadIdx.x; i <= steps; i += blockDim.x) value[i] = fmaxf(s[o] * powf(up, 2.0f * i - steps) - x[o], 0.0f);
  for (int step = steps; step > 0; --step) {
    for (int first = 0; first < step; first += blockDim.x) {
      int i = first + threadIdx.x;
      __syncthreads();
      float fresh = i < step ? discount * (p * value[i + 1] + (1 - p) * value[i]) : 0;
      __syncthreads();
      if (i < step) value[i] = fresh;
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) prices[o] = value[0];
}

int main() {
  const int n = 3001;
  const float rate = 0.02f, volatility = 0.3f;
  float *s, *x, *t, *tree;
  float2 *found;
  double *sum;
  for (float **p : {&s, &x, &t, &tree}) cudaMallocManaged(p, n * sizeof(float));
  cudaMallocManaged(&found, n * sizeof(float2));
  cudaMallocManaged(&sum, sizeof(double));
  for (int i = 0; i < n; ++i) s[i] = 5 + rand() % 2500 * 0.01f, x[i] = 5 + rand() % 2500 * 0.01f, t[i] = 0.25f + rand() % 1000 * 0.00975f;
  options<<<40, 64>>>(found, s, x, t, rate, volatility, n);
  *sum = 0;
  monte_carlo<<<32, 128>>>(sum, 20, 18, 1, rate, volatility, 250);
  binomial<<<20, 96, 257 * sizeof(float)>>>(tree, s, x, t, rate, volatility, 256);
  if (cudaDeviceSynchronize() != cudaSuccess) return puts("FAIL"), 1;
  int failures = 0;
  float call, put;
  for (int i = 0; i < n; ++i) {
    black_scholes(call, put, s[i], x[i], t[i], rate, volatility);
    failures += !(fabsf(call - found[i].x) < 2e-4f) || !(fabsf(put - found[i].y) < 2e-4f);
    if (i < 20) failures += !(fabsf(tree[i] - call) < 0.02f);
  }
  black_scholes(call, put, 20, 18, 1, rate, volatility);
  double simulated = *sum / (32 * 128 * 250.0) * exp(-rate);
  printf("closed form %.4f, simulated %.4f\n", call, simulated);
  failures += !(fabs(simulated - call) < 0.03);
  puts(failures ? "FAIL" : "PASS");
  return failures != 0;
}
