__global__ void warp_ops(const int* x, int* ballot, int* rotated, int* prefix, int* any) {
  int i = threadIdx.x, lane = i % 32, v = x[i];
  ballot[i] = __ballot_sync(~0u, v > 0);
  rotated[i] = __shfl_sync(~0u, v, (lane + 5) % 32);
  int s = v;
  for (int d = 1; d < 32; d *= 2) {
    int o = __shfl_up_sync(~0u, s, d);
    if (lane >= d) s += o;
  }
  prefix[i] = s;
  any[i] = __any_sync(~0u, v == 77) + 2 * __all_sync(~0u, v > -50) + 4 * __syncthreads_or(v == 77);
}
