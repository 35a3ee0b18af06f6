// The first program of everyone: vector addition, with sizes from the command line and device properties.
#include <stdio.h>
#include <stdlib.h>

static void HandleError(cudaError_t err, const char *file, int line) {
  if (err != cudaSuccess) {
    printf("%s in %s at line %d\n", cudaGetErrorString(err), file, line);
    exit(EXIT_FAILURE);
  }
}
#define HANDLE_ERROR(err) (HandleError(err, __FILE__, __LINE__))

__global__ void add(int *a, int *b, int *c, int n) {
  int tid = threadIdx.x + blockIdx.x * blockDim.x;
  while (tid < n) {
    c[tid] = a[tid] + b[tid];
    tid += blockDim.x * gridDim.x;
  }
}

__global__ void add_one_block_each(const double *a, const double *b, double *c) { c[blockIdx.x] = a[blockIdx.x] - 2 * b[blockIdx.x]; }

int main(int argc, char **argv) {
  int n = argc > 1 ? atoi(argv[1]) : 33333;
  int threads = argc > 2 ? atoi(argv[2]) : 200;
  int count;
  cudaDeviceProp prop;
  HANDLE_ERROR(cudaGetDeviceCount(&count));
  for (int i = 0; i < count; i++) {
    HANDLE_ERROR(cudaGetDeviceProperties(&prop, i));
    printf("%s, compute capability %d.%d, warps of %d, %zu bytes of shared memory\n", prop.name, prop.major, prop.minor, prop.warpSize,
           prop.sharedMemPerBlock);
  }
  HANDLE_ERROR(cudaSetDevice(0));
  if (threads > prop.maxThreadsPerBlock) return puts("FAIL"), 1;
  int *a = (int *)malloc(n * sizeof(int)), *b = (int *)malloc(n * sizeof(int)), *c = (int *)malloc(n * sizeof(int));
  int *dev_a, *dev_b, *dev_c;
  HANDLE_ERROR(cudaMalloc((void **)&dev_a, n * sizeof(int)));
  HANDLE_ERROR(cudaMalloc((void **)&dev_b, n * sizeof(int)));
  HANDLE_ERROR(cudaMalloc((void **)&dev_c, n * sizeof(int)));
  for (int i = 0; i < n; i++) a[i] = i, b[i] = i * i;
  HANDLE_ERROR(cudaMemcpy(dev_a, a, n * sizeof(int), cudaMemcpyHostToDevice));
  HANDLE_ERROR(cudaMemcpy(dev_b, b, n * sizeof(int), cudaMemcpyHostToDevice));
  add<<<37, threads>>>(dev_a, dev_b, dev_c, n);
  HANDLE_ERROR(cudaGetLastError());
  HANDLE_ERROR(cudaMemcpy(c, dev_c, n * sizeof(int), cudaMemcpyDeviceToHost));
  bool success = count > 0 && prop.warpSize == 32;
  for (int i = 0; i < n; i++)
    if (a[i] + b[i] != c[i]) {
      printf("Error:  %d + %d != %d\n", a[i], b[i], c[i]);
      success = false;
      break;
    }
  double host[3][50], *device[3];
  for (int i = 0; i < 3; i++) HANDLE_ERROR(cudaMalloc((void **)&device[i], sizeof host[i]));
  for (int i = 0; i < 50; i++) host[0][i] = i * 0.5, host[1][i] = 7.0 / (i + 1), host[2][i] = -1;
  for (int i = 0; i < 2; i++) HANDLE_ERROR(cudaMemcpy(device[i], host[i], sizeof host[i], cudaMemcpyHostToDevice));
  add_one_block_each<<<50, 1>>>(device[0], device[1], device[2]);
  HANDLE_ERROR(cudaMemcpy(host[2], device[2], sizeof host[2], cudaMemcpyDeviceToHost));
  for (int i = 0; i < 50; i++) success &= host[2][i] == host[0][i] - 2 * host[1][i];
  HANDLE_ERROR(cudaFree(dev_a));
  HANDLE_ERROR(cudaFree(dev_b));
  HANDLE_ERROR(cudaFree(dev_c));
  free(a), free(b), free(c);
  HANDLE_ERROR(cudaDeviceReset());
  if (success) printf("We did it!\n");
  puts(success ? "PASS" : "FAIL");
  return !success;
}
