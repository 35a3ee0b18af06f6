template <typename T>
__global__ void reduce(const T* x, size_t n, T* out) {
  __shared__ T part[32];
  T s = 0;
  for (size_t i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) s += x[i];
  for (int o = 16; o; o >>= 1) s += __shfl_down_sync(~0u, s, o);
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  if (lane == 0) part[warp] = s;
  __syncthreads();
  if (warp == 0) {
    s = lane < blockDim.x / 32 ? part[lane] : T(0);
    for (int o = 16; o; o >>= 1) s += __shfl_down_sync(~0u, s, o);
    if (lane == 0) out[blockIdx.x] = s;
  }
}

template __global__ void reduce<float>(const float*, size_t, float*);
template __global__ void reduce<double>(const double*, size_t, double*);
template __global__ void reduce<int>(const int*, size_t, int*);
