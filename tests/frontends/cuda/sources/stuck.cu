// Kernels that real devices hang in: each is to end with an error that says why. The case is argv[1].
#include <cstdio>
#include <cstdlib>

__device__ int volatile shared_lock;

__global__ void part_of_a_warp(int* x) {
  if (threadIdx.x < 40) {
    x[threadIdx.x] = 1;
    __syncthreads();  // LINE
  } else {
    x[threadIdx.x] = 2;
    __syncthreads();
  }
}

// Lanes of one warp, in a kernel that shuffles: they cannot run apart.
__global__ void lanes_and_lock(int* x) {
  while (atomicCAS(&x[0], 0, 1) != 0) {}
  x[1] = __shfl_sync(~0u, x[2], 0);
  atomicExch(&x[0], 0);
}

__global__ void nobody_arrives(int* x) {
  if (threadIdx.x < 32) asm volatile("bar.sync 3, 96;" ::: "memory");
  x[threadIdx.x] = 1;
}

int main(int, char** arguments) {
  int* x;
  cudaMallocManaged(&x, 4096);
  switch (atoi(arguments[1])) {
    case 0: part_of_a_warp<<<2, 64>>>(x); break;
    case 1: lanes_and_lock<<<2, 64>>>(x); break;
    case 2: nobody_arrives<<<2, 64>>>(x); break;
  }
  cudaError_t error = cudaDeviceSynchronize();
  puts(cudaGetErrorName(error));
}
