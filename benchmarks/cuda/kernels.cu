// CUDA kernels in their usual forms, as a shared library: what benchmarks/cases_cuda.py measures.
// Every function launches on memory of the caller and waits for the result.
#include <cmath>
#include <cuda_runtime.h>

#define EXPORT extern "C" __attribute__((visibility("default")))

static int blocks(long long n, int threads) { return (int)((n + threads - 1) / threads); }

// ---- streams

__global__ void saxpy_kernel(int n, float a, const float *x, float *y) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = a * x[i] + y[i];
}

EXPORT void saxpy(int n, float a, const float *x, float *y) {
  saxpy_kernel<<<blocks(n, 256), 256>>>(n, a, x, y);
  cudaDeviceSynchronize();
}

__global__ void triad_kernel(float *a, const float *b, const float *c, float s, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x) a[i] = b[i] + s * c[i];
}

EXPORT void triad(float *a, const float *b, const float *c, float s, int n) {
  triad_kernel<<<1024, 256>>>(a, b, c, s, n);
  cudaDeviceSynchronize();
}

// ---- reduction: grid-stride loop, tree in shared memory, shuffles in the last warp

__global__ void sum_kernel(const float *in, float *out, int n) {
  __shared__ float partial[256];
  float sum = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x) sum += in[i];
  partial[threadIdx.x] = sum;
  __syncthreads();
  for (int width = blockDim.x / 2; width >= 32; width >>= 1) {
    if (threadIdx.x < width) partial[threadIdx.x] += partial[threadIdx.x + width];
    __syncthreads();
  }
  if (threadIdx.x < 32) {
    sum = partial[threadIdx.x];
    for (int offset = 16; offset > 0; offset >>= 1) sum += __shfl_down_sync(0xffffffff, sum, offset);
    if (threadIdx.x == 0) atomicAdd(out, sum);
  }
}

EXPORT void sum(const float *in, float *out, int n) {
  cudaMemsetAsync(out, 0, sizeof(float));
  sum_kernel<<<1024, 256>>>(in, out, n);
  cudaDeviceSynchronize();
}

// ---- stencil: seven points of a cube

__global__ void stencil_kernel(const float *in, float *out, int nx, int ny, int nz, float a, float b) {
  int x = blockIdx.x * blockDim.x + threadIdx.x;
  int y = blockIdx.y * blockDim.y + threadIdx.y;
  int z = blockIdx.z * blockDim.z + threadIdx.z;
  if (x < 1 || y < 1 || z < 1 || x >= nx - 1 || y >= ny - 1 || z >= nz - 1) return;
  int row = nx, plane = nx * ny, i = z * plane + y * row + x;
  out[i] = a * in[i] + b * (in[i - 1] + in[i + 1] + in[i - row] + in[i + row] + in[i - plane] + in[i + plane]);
}

EXPORT void stencil(const float *in, float *out, int nx, int ny, int nz, float a, float b) {
  dim3 block(32, 4, 2);
  stencil_kernel<<<dim3(blocks(nx, 32), blocks(ny, 4), blocks(nz, 2)), block>>>(in, out, nx, ny, nz, a, b);
  cudaDeviceSynchronize();
}

// ---- n-body: tiles of bodies in shared memory

__global__ void nbody_kernel(const float4 *bodies, float4 *forces, int n, float softening) {
  __shared__ float4 tile[256];
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  float4 me = i < n ? bodies[i] : make_float4(0, 0, 0, 0);
  float fx = 0, fy = 0, fz = 0;
  for (int first = 0; first < n; first += blockDim.x) {
    int j = first + threadIdx.x;
    tile[threadIdx.x] = j < n ? bodies[j] : make_float4(0, 0, 0, 0);
    __syncthreads();
    for (int k = 0; k < blockDim.x; ++k) {
      float dx = tile[k].x - me.x, dy = tile[k].y - me.y, dz = tile[k].z - me.z;
      float inverse = rsqrtf(dx * dx + dy * dy + dz * dz + softening);
      float s = tile[k].w * inverse * inverse * inverse;
      fx += dx * s;
      fy += dy * s;
      fz += dz * s;
    }
    __syncthreads();
  }
  if (i < n) forces[i] = make_float4(fx, fy, fz, 0);
}

EXPORT void nbody(const float *bodies, float *forces, int n, float softening) {
  nbody_kernel<<<blocks(n, 256), 256>>>((const float4 *)bodies, (float4 *)forces, n, softening);
  cudaDeviceSynchronize();
}

// ---- matrix products

#define TILE 32

__global__ void matmul_tiled_kernel(const float *a, const float *b, float *c, int n) {
  __shared__ float as[TILE][TILE], bs[TILE][TILE];
  int row = blockIdx.y * TILE + threadIdx.y, column = blockIdx.x * TILE + threadIdx.x;
  float sum = 0;
  for (int t = 0; t < (n + TILE - 1) / TILE; ++t) {
    int k = t * TILE;
    as[threadIdx.y][threadIdx.x] = row < n && k + threadIdx.x < n ? a[row * n + k + threadIdx.x] : 0;
    bs[threadIdx.y][threadIdx.x] = k + threadIdx.y < n && column < n ? b[(k + threadIdx.y) * n + column] : 0;
    __syncthreads();
    for (int i = 0; i < TILE; ++i) sum += as[threadIdx.y][i] * bs[i][threadIdx.x];
    __syncthreads();
  }
  if (row < n && column < n) c[row * n + column] = sum;
}

EXPORT void matmul_tiled(const float *a, const float *b, float *c, int n) {
  matmul_tiled_kernel<<<dim3(blocks(n, TILE), blocks(n, TILE)), dim3(TILE, TILE)>>>(a, b, c, n);
  cudaDeviceSynchronize();
}

// 64x64 outputs per block of 256 threads, 4x4 of them in each thread's registers.
template <int BM, int BN, int BK, int TM, int TN>
__global__ void matmul_registers_kernel(const float *a, const float *b, float *c, int n) {
  __shared__ float as[BK][BM], bs[BK][BN];
  int tx = threadIdx.x % (BN / TN), ty = threadIdx.x / (BN / TN);
  const int threads = (BM / TM) * (BN / TN);
  float sums[TM][TN] = {};
  for (int k = 0; k < n; k += BK) {
    for (int i = threadIdx.x; i < BM * BK; i += threads) {
      int r = i / BK, s = i % BK;
      as[s][r] = a[(blockIdx.y * BM + r) * n + k + s];
    }
    for (int i = threadIdx.x; i < BK * BN; i += threads) {
      int r = i / BN, s = i % BN;
      bs[r][s] = b[(k + r) * n + blockIdx.x * BN + s];
    }
    __syncthreads();
#pragma unroll
    for (int p = 0; p < BK; ++p) {
      float left[TM], right[TN];
#pragma unroll
      for (int i = 0; i < TM; ++i) left[i] = as[p][ty * TM + i];
#pragma unroll
      for (int j = 0; j < TN; ++j) right[j] = bs[p][tx * TN + j];
#pragma unroll
      for (int i = 0; i < TM; ++i)
#pragma unroll
        for (int j = 0; j < TN; ++j) sums[i][j] += left[i] * right[j];
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < TM; ++i)
#pragma unroll
    for (int j = 0; j < TN; ++j) c[(blockIdx.y * BM + ty * TM + i) * n + blockIdx.x * BN + tx * TN + j] = sums[i][j];
}

EXPORT void matmul_registers(const float *a, const float *b, float *c, int n) {
  matmul_registers_kernel<64, 64, 16, 4, 4><<<dim3(n / 64, n / 64), 256>>>(a, b, c, n);
  cudaDeviceSynchronize();
}

// ---- transpose through shared memory

__global__ void transpose_kernel(const float *in, float *out, int width, int height) {
  __shared__ float tile[32][33];
  int x = blockIdx.x * 32 + threadIdx.x, y = blockIdx.y * 32 + threadIdx.y;
  for (int j = 0; j < 32; j += 8)
    if (x < width && y + j < height) tile[threadIdx.y + j][threadIdx.x] = in[(y + j) * width + x];
  __syncthreads();
  x = blockIdx.y * 32 + threadIdx.x;
  y = blockIdx.x * 32 + threadIdx.y;
  for (int j = 0; j < 32; j += 8)
    if (x < height && y + j < width) out[(y + j) * height + x] = tile[threadIdx.x][threadIdx.y + j];
}

EXPORT void transpose(const float *in, float *out, int width, int height) {
  transpose_kernel<<<dim3(blocks(width, 32), blocks(height, 32)), dim3(32, 8)>>>(in, out, width, height);
  cudaDeviceSynchronize();
}

// ---- histogram with shared atomics

__global__ void histogram_kernel(const unsigned char *data, int n, unsigned int *bins) {
  __shared__ unsigned int local[256];
  local[threadIdx.x] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x)
    atomicAdd(&local[data[i]], 1u);
  __syncthreads();
  atomicAdd(&bins[threadIdx.x], local[threadIdx.x]);
}

EXPORT void histogram(const unsigned char *data, int n, unsigned int *bins) {
  cudaMemsetAsync(bins, 0, 256 * sizeof(unsigned int));
  histogram_kernel<<<256, 256>>>(data, n, bins);
  cudaDeviceSynchronize();
}

// ---- Black-Scholes, with the polynomial of Abramowitz and Stegun 26.2.17

__device__ float cumulative_normal(float d) {
  float k = 1.0f / (1.0f + 0.2316419f * fabsf(d));
  float tail = 0.39894228040143267794f * expf(-0.5f * d * d) *
               (k * (0.31938153f + k * (-0.356563782f + k * (1.781477937f + k * (-1.821255978f + k * 1.330274429f)))));
  return d > 0 ? 1.0f - tail : tail;
}

__global__ void black_scholes_kernel(const float *price, const float *strike, const float *years, float *call,
                                     float *put, float rate, float volatility, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float s = price[i], x = strike[i], t = years[i];
  float root = sqrtf(t);
  float d1 = (logf(s / x) + (rate + 0.5f * volatility * volatility) * t) / (volatility * root);
  float d2 = d1 - volatility * root;
  float n1 = cumulative_normal(d1), n2 = cumulative_normal(d2), discount = expf(-rate * t);
  call[i] = s * n1 - x * discount * n2;
  put[i] = x * discount * (1.0f - n2) - s * (1.0f - n1);
}

EXPORT void black_scholes(const float *price, const float *strike, const float *years, float *call, float *put,
                          float rate, float volatility, int n) {
  black_scholes_kernel<<<blocks(n, 128), 128>>>(price, strike, years, call, put, rate, volatility, n);
  cudaDeviceSynchronize();
}

// ---- Mandelbrot: divergent loops

__global__ void mandelbrot_kernel(int *out, int width, int height, int most) {
  int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
  if (x >= width || y >= height) return;
  float cr = -2.0f + 3.0f * x / width, ci = -1.5f + 3.0f * y / height, zr = 0, zi = 0;
  int count = 0;
  while (count < most && zr * zr + zi * zi < 4.0f) {
    float next = zr * zr - zi * zi + cr;
    zi = 2 * zr * zi + ci;
    zr = next;
    ++count;
  }
  out[y * width + x] = count;
}

EXPORT void mandelbrot(int *out, int width, int height, int most) {
  dim3 block(16, 16);
  mandelbrot_kernel<<<dim3(blocks(width, 16), blocks(height, 16)), block>>>(out, width, height, most);
  cudaDeviceSynchronize();
}

// ---- rows by warps: a warp per row, reductions by shuffles

__device__ float warp_sum(float value) {
  for (int offset = 16; offset > 0; offset >>= 1) value += __shfl_xor_sync(0xffffffff, value, offset);
  return value;
}

__device__ float warp_max(float value) {
  for (int offset = 16; offset > 0; offset >>= 1) value = fmaxf(value, __shfl_xor_sync(0xffffffff, value, offset));
  return value;
}

__global__ void softmax_kernel(const float *in, float *out, int rows, int columns) {
  int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32;
  if (row >= rows) return;
  const float *x = in + (long long)row * columns;
  float *y = out + (long long)row * columns;
  float most = -INFINITY;
  for (int i = lane; i < columns; i += 32) most = fmaxf(most, x[i]);
  most = warp_max(most);
  float sum = 0;
  for (int i = lane; i < columns; i += 32) {
    float e = expf(x[i] - most);
    y[i] = e;
    sum += e;
  }
  float scale = 1.0f / warp_sum(sum);
  for (int i = lane; i < columns; i += 32) y[i] *= scale;
}

EXPORT void softmax(const float *in, float *out, int rows, int columns) {
  softmax_kernel<<<blocks(rows * 32LL, 256), 256>>>(in, out, rows, columns);
  cudaDeviceSynchronize();
}

__global__ void layer_norm_kernel(const float *in, const float *weight, const float *bias, float *out, int rows,
                                  int columns, float eps) {
  int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32;
  if (row >= rows) return;
  const float *x = in + (long long)row * columns;
  float *y = out + (long long)row * columns;
  float sum = 0, squares = 0;
  for (int i = lane; i < columns; i += 32) {
    sum += x[i];
    squares += x[i] * x[i];
  }
  float mean = warp_sum(sum) / columns;
  float scale = rsqrtf(warp_sum(squares) / columns - mean * mean + eps);
  for (int i = lane; i < columns; i += 32) y[i] = (x[i] - mean) * scale * weight[i] + bias[i];
}

EXPORT void layer_norm(const float *in, const float *weight, const float *bias, float *out, int rows, int columns,
                       float eps) {
  layer_norm_kernel<<<blocks(rows * 32LL, 256), 256>>>(in, weight, bias, out, rows, columns, eps);
  cudaDeviceSynchronize();
}

// ---- bitonic sort: one launch per step

__global__ void bitonic_kernel(float *values, int j, int k, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, other = i ^ j;
  if (other <= i || other >= n) return;
  float a = values[i], b = values[other];
  if ((a > b) == ((i & k) == 0)) {
    values[i] = b;
    values[other] = a;
  }
}

EXPORT void bitonic_sort(float *values, int n) {
  for (int k = 2; k <= n; k <<= 1)
    for (int j = k >> 1; j > 0; j >>= 1) bitonic_kernel<<<blocks(n, 256), 256>>>(values, j, k, n);
  cudaDeviceSynchronize();
}

// ---- inclusive scan: blocks of 1024 by shuffles, their totals by one block, then added

__device__ float block_scan(float value) {
  __shared__ float totals[32];
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  for (int offset = 1; offset < 32; offset <<= 1) {
    float below = __shfl_up_sync(0xffffffff, value, offset);
    if (lane >= offset) value += below;
  }
  if (lane == 31) totals[warp] = value;
  __syncthreads();
  if (warp == 0) {
    float total = totals[lane];
    for (int offset = 1; offset < 32; offset <<= 1) {
      float below = __shfl_up_sync(0xffffffff, total, offset);
      if (lane >= offset) total += below;
    }
    totals[lane] = total;
  }
  __syncthreads();
  return warp ? value + totals[warp - 1] : value;
}

__global__ void scan_blocks_kernel(const float *in, float *out, float *sums, int n) {
  int i = blockIdx.x * 1024 + threadIdx.x;
  float value = block_scan(i < n ? in[i] : 0);
  if (i < n) out[i] = value;
  if (threadIdx.x == 1023) sums[blockIdx.x] = value;
}

__global__ void scan_sums_kernel(float *sums, int count) {
  float before = 0;
  for (int first = 0; first < count; first += 1024) {
    int i = first + threadIdx.x;
    __shared__ float last;
    float value = block_scan(i < count ? sums[i] : 0) + before;
    if (i < count) sums[i] = value;
    if (threadIdx.x == 1023) last = value;
    __syncthreads();
    before = last;
    __syncthreads();
  }
}

__global__ void add_sums_kernel(float *out, const float *sums, int n) {
  int i = blockIdx.x * 1024 + threadIdx.x;
  if (blockIdx.x > 0 && i < n) out[i] += sums[blockIdx.x - 1];
}

EXPORT void scan(const float *in, float *out, float *sums, int n) {
  int count = blocks(n, 1024);
  scan_blocks_kernel<<<count, 1024>>>(in, out, sums, n);
  scan_sums_kernel<<<1, 1024>>>(sums, count);
  add_sums_kernel<<<count, 1024>>>(out, sums, n);
  cudaDeviceSynchronize();
}

// ---- launches

__global__ void empty_kernel() {}

EXPORT void launches(int count) {
  for (int i = 0; i < count; ++i) empty_kernel<<<1, 32>>>();
  cudaDeviceSynchronize();
}

// ---- memory that the runtime knows, so that kernels need not fear overlaps

EXPORT void *allocate(size_t bytes) {
  void *memory = nullptr;
  return cudaMalloc(&memory, bytes) == cudaSuccess ? memory : nullptr;
}

EXPORT void release(void *memory) { cudaFree(memory); }
