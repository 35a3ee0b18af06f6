// Barriers under a condition that holds for all, in a warp of which some threads have returned.
#include <cstdio>
__global__ void returned(int* o, int n, const int* c) {
  __shared__ int s[64];
  int t = threadIdx.x;
  if (t >= n) return;
  for (int r = 0; r < 3; r++) {
    if (c[t & 1] > 0) {
      s[t] = r + t;
      __syncthreads();
    }
    o[t] = s[(t + 1) % n];
    __syncthreads();
  }
}
int main() {
  int *o, bad = 0;
  cudaMallocManaged(&o, 4096);
  int* c = o + 512;
  c[0] = c[1] = 2;
  for (int n : {1, 40, 63, 64}) {
    returned<<<1, 64>>>(o, n, c);
    bad += cudaDeviceSynchronize();
    for (int t = 0; t < n; t++) bad += o[t] != 2 + (t + 1) % n;
  }
  if (!bad) printf("PASS\n");
  return bad;
}
