// Pointers that step back, and shared memory indexed by unsigned numbers that wrap around.

extern "C" __global__ void one_based(const int* values, int* out, int n) {
  values--;  // as Fortran counts
  int i = blockIdx.x * blockDim.x + threadIdx.x + 1;
  const int* after = values + n + 1;
  if (i <= n) out[i - 1] = values[i] - *--after;
}

extern "C" __global__ void mirrored(const unsigned* values, unsigned* out) {
  __shared__ unsigned tile[64];
  __shared__ double wide[64];
  unsigned lane = threadIdx.x;
  tile[lane] = values[lane];
  wide[lane] = values[lane] * 0.5;
  __syncthreads();
  unsigned* behind = tile + 64;
  double* middle = wide + lane;
  unsigned before = lane < 32 ? -lane : 0u - 32;  // at most 32 back
  out[lane] = behind[~lane] + (unsigned)middle[before];
}
