#include <cstdio>
#include <cassert>
__device__ const char* names[2] = {"even", "odd"};
__global__ void formats(int n, const char* word) {
  int t = threadIdx.x;
  printf("%d %u %x %X %o|%c|%s|%s|%%|%5d|%-5d|%05d|%+d|% d|%#x|%*d|%.*f\n", -t, 3000000000u, 255, 255, 8, 'a' + t,
         word, names[t & 1], t, t, t, t, t, 255, 4, t, 2, 0.5 + t);
  printf("%ld %lld %llu %lx %hd|%f %.3e %g %G %a|%10.3f|%zu\n", -1L << 40, 1LL << 50, ~0ULL, 1L << 33, (short)-7,
         t + 0.25f, 12345.678, 1e-10, 1e20, 1.0, 3.14159, sizeof(int));
  printf("no values\n");
  printf("%s|%q|%5", (const char*)nullptr);
  printf("\n%d\n", printf("%p\n", word == nullptr ? nullptr : (void*)0x1234));
}
__global__ void blocks() {
  for (int k = 0; k < 2; k++)
    if ((threadIdx.x + threadIdx.y + k) % 2) printf("%d %d %d %d\n", blockIdx.x, k, threadIdx.y, threadIdx.x);
}
__global__ void checked(int limit) { assert(threadIdx.x + blockIdx.x < limit && "in range"); }
__global__ void trapped(int* p) { if (*p == 3) __trap(); *p = 9; }
int main(int argc, char** argv) {
  char* word;
  cudaMallocManaged(&word, 16);
  snprintf(word, 16, "managed");
  formats<<<1, 2>>>(4, word);
  printf("launched\n");
  cudaDeviceSynchronize();
  printf("done\n");
  blocks<<<40, dim3(2, 2)>>>();
  cudaDeviceSynchronize();
  if (argv[1][0] == 'a') checked<<<1, 40>>>(38);
  else { *(int*)word = 3; trapped<<<1, 1>>>((int*)word); }
  printf("%d\n", cudaDeviceSynchronize());
  printf("%s %d\n", cudaGetErrorName(cudaGetLastError()), cudaMalloc(&word, 4));
  blocks<<<1, 1>>>();
}
