// extern __shared__ arrays of one kernel begin in the same place, whatever their names and types.
#include <cstdio>
#include <cstdlib>

template <class T> __device__ T *dynamic_memory() {
  extern __shared__ __align__(16) unsigned char raw[];
  return reinterpret_cast<T *>(raw);
}

__device__ int second_half(int n) {
  extern __shared__ int words[];
  return words[n + threadIdx.x];
}

__global__ void parts(const float *in, int *bits, float *sums, int n) {
  extern __shared__ float values[];
  extern __shared__ int patterns[];
  __shared__ float fixed[64];
  fixed[threadIdx.x] = in[threadIdx.x] + 1;
  values[threadIdx.x] = in[threadIdx.x];
  values[n + threadIdx.x] = in[threadIdx.x] * 2;
  __syncthreads();
  bits[threadIdx.x] = patterns[n - 1 - threadIdx.x] ^ second_half(n);
  sums[threadIdx.x] = dynamic_memory<float>()[threadIdx.x] + fixed[n - 1 - threadIdx.x];
}

int main() {
  const int n = 61;
  float in[n], sums[n], *d_in, *d_sums;
  int bits[n], *d_bits;
  for (float &v : in) v = rand() % 1000;
  cudaMalloc(&d_in, sizeof in), cudaMalloc(&d_sums, sizeof in), cudaMalloc(&d_bits, sizeof bits);
  cudaMemcpy(d_in, in, sizeof in, cudaMemcpyHostToDevice);
  parts<<<1, n, 2 * n * sizeof(float)>>>(d_in, d_bits, d_sums, n);
  cudaMemcpy(sums, d_sums, sizeof in, cudaMemcpyDeviceToHost);
  cudaMemcpy(bits, d_bits, sizeof bits, cudaMemcpyDeviceToHost);
  bool good = cudaGetLastError() == cudaSuccess;
  for (int i = 0; i < n; i++) {
    int first, second;
    float doubled = in[i] * 2;
    memcpy(&first, &in[n - 1 - i], 4), memcpy(&second, &doubled, 4);
    good &= bits[i] == (first ^ second) && sums[i] == in[i] + in[n - 1 - i] + 1;
  }
  puts(good ? "PASS" : "FAIL");
  return !good;
}
