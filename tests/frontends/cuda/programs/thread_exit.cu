// PTX's exit: a thread ends in the middle of a function, of a loop, or behind a predicate.
#include <cstdio>

__device__ int half(int x) {
  if (x & 1) asm volatile("exit;");
  return x / 2;
}

__global__ void ends(int* out, int n) {
  int i = threadIdx.x, sum = 0;
  if (i >= n) asm volatile("exit;");
  for (int j = 0; j < 10; j++) {
    sum += half(i * 2);
    if (sum > 200) asm("exit;");
  }
  asm volatile("{ .reg .pred p; setp.eq.s32 p, %0, 7; @p exit; }" ::"r"(i));
  __syncthreads();
  out[i] = sum + __syncthreads_count(1);  // of those who are left
}

int main() {
  int* out;
  cudaMallocManaged(&out, 64 * sizeof(int));
  for (int i = 0; i < 64; i++) out[i] = -1;
  ends<<<1, 64>>>(out, 40);
  bool good = cudaDeviceSynchronize() == cudaSuccess;
  int left = 0;
  auto stays = [](int i) { return i < 40 && i * 10 <= 200 && i != 7; };
  for (int i = 0; i < 64; i++) left += stays(i);
  for (int i = 0; i < 64; i++) good = good && out[i] == (stays(i) ? i * 10 + left : -1);
  puts(good ? "PASS" : "FAIL");
  return !good;
}
