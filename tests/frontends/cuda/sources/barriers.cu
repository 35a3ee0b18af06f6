#include <cstdio>
__global__ void both(int* o) {
  __shared__ int s[64];
  int t = threadIdx.x;
  if (t < 32) {
    s[t] = 1;
    __syncthreads();  // missed
    o[t] = s[t + 32];
  } else {
    s[t] = 2;
    __syncthreads();
    o[t] = s[t - 32];
  }
}
__global__ void lag(int* o, int n) {
  __shared__ int s;
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    __syncthreads();  // missed
    o[i] = i;
  }
  __syncthreads();
  if (threadIdx.x == 0) s = 1;
  __syncthreads();
  o[n] = s;
}
// These may diverge as far as the compiler can see, and do not.
__global__ void uniform(int* o, int* c) {
  __shared__ int s[64];
  for (int r = 0; r < 3; r++) {
    if (c[threadIdx.x & 1] > r) {
      s[threadIdx.x] = r;
      __syncthreads();
      o[threadIdx.x] = s[63 - threadIdx.x];
    }
    __syncthreads();
  }
}
// Threads that have returned are waited for by nobody.
__global__ void returned(int* o, int n, int* c) {
  __shared__ int s[64];
  int t = threadIdx.x;
  if (t >= n) return;
  for (int r = 0; r < 3; r++) {
    if (c[t & 1] > 0) {
      s[t] = r;
      __syncthreads();
    }
    o[t] = s[t];
  }
}
int main() {
  int* o;
  cudaMallocManaged(&o, 4096);
  int* c = o + 512;
  c[0] = c[1] = 2;
  uniform<<<1, 64>>>(o, c);
  printf("%d\n", cudaDeviceSynchronize());
  returned<<<1, 64>>>(o, 40, c);
  printf("%d\n", cudaDeviceSynchronize());
  lag<<<1, 64>>>(o, 70);
  cudaError_t code = cudaDeviceSynchronize();
  printf("%d %d\n", code, o[69]);
  both<<<1, 64>>>(o);
  printf("%d\n", cudaDeviceSynchronize());
}
