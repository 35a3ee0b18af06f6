// Images: histogram in shared memory, equalisation, Sobel, separable blur with a constant kernel, transposes.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#define RADIUS 3
__constant__ float weights[2 * RADIUS + 1];

typedef unsigned char byte;

__global__ void histogram(const byte *image, int n, unsigned int *bins) {
  __shared__ unsigned int local[256];
  for (int i = threadIdx.x; i < 256; i += blockDim.x) local[i] = 0;
  __syncthreads();
  for (int i = threadIdx.x + blockIdx.x * blockDim.x; i < n; i += blockDim.x * gridDim.x) atomicAdd(&local[image[i]], 1);
  __syncthreads();
  for (int i = threadIdx.x; i < 256; i += blockDim.x) atomicAdd(&bins[i], local[i]);
}

__global__ void sobel(const byte *in, byte *out, int width, int height) {
  int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
  if (x >= width || y >= height) return;
  auto at = [=](int dx, int dy) -> int {
    int px = min(max(x + dx, 0), width - 1), py = min(max(y + dy, 0), height - 1);
    return in[py * width + px];
  };
  int gx = at(1, -1) + 2 * at(1, 0) + at(1, 1) - at(-1, -1) - 2 * at(-1, 0) - at(-1, 1);
  int gy = at(-1, 1) + 2 * at(0, 1) + at(1, 1) - at(-1, -1) - 2 * at(0, -1) - at(1, -1);
  out[y * width + x] = (byte)min(255, abs(gx) + abs(gy));
}

template <bool vertical>
__global__ void blur(const float *in, float *out, int width, int height) {
  extern __shared__ float line[];
  int across = vertical ? blockIdx.x : blockIdx.y, along = (vertical ? blockIdx.y : blockIdx.x) * blockDim.x + threadIdx.x;
  int length = vertical ? height : width;
  auto index = [&](int i) { return vertical ? i * width + across : across * width + i; };
  for (int i = threadIdx.x; i < blockDim.x + 2 * RADIUS; i += blockDim.x) {
    int place = along - (int)threadIdx.x + i - RADIUS;
    line[i] = place >= 0 && place < length ? in[index(place)] : 0.0f;
  }
  __syncthreads();
  if (along >= length) return;
  float sum = 0;
#pragma unroll
  for (int k = -RADIUS; k <= RADIUS; ++k) sum += weights[k + RADIUS] * line[threadIdx.x + RADIUS + k];
  out[index(along)] = sum;
}

__global__ void transpose(const uchar4 *in, uchar4 *out, int width, int height) {
  __shared__ uchar4 tile[16][17];
  int x = blockIdx.x * 16 + threadIdx.x, y = blockIdx.y * 16 + threadIdx.y;
  if (x < width && y < height) tile[threadIdx.y][threadIdx.x] = in[y * width + x];
  __syncthreads();
  x = blockIdx.y * 16 + threadIdx.x;
  y = blockIdx.x * 16 + threadIdx.y;
  if (x < height && y < width) out[y * height + x] = tile[threadIdx.x][threadIdx.y];
}

int main() {
  const int width = 203, height = 117, n = width * height;
  byte *image, *edges;
  unsigned int *bins;
  float *in, *middle, *out;
  uchar4 *colours, *turned;
  cudaMallocManaged(&image, n);
  cudaMallocManaged(&edges, n);
  cudaMallocManaged(&bins, 256 * sizeof(unsigned int));
  for (float **p : {&in, &middle, &out}) cudaMallocManaged(p, n * sizeof(float));
  for (uchar4 **p : {&colours, &turned}) cudaMallocManaged(p, n * sizeof(uchar4));
  unsigned int expected[256] = {0};
  for (int i = 0; i < n; ++i) {
    image[i] = rand() % 256, ++expected[image[i]], in[i] = image[i] / 255.0f;
    colours[i] = make_uchar4(i, i >> 8, i * 7, 255);
  }
  float host[2 * RADIUS + 1] = {0.05f, 0.1f, 0.2f, 0.3f, 0.2f, 0.1f, 0.05f};
  cudaMemcpyToSymbol(weights, host, sizeof(host));
  cudaMemset(bins, 0, 256 * sizeof(unsigned int));
  histogram<<<7, 100>>>(image, n, bins);
  sobel<<<dim3((width + 15) / 16, (height + 7) / 8), dim3(16, 8)>>>(image, edges, width, height);
  const size_t bytes = (64 + 2 * RADIUS) * sizeof(float);
  blur<false><<<dim3((width + 63) / 64, height), 64, bytes>>>(in, middle, width, height);
  blur<true><<<dim3(width, (height + 63) / 64), 64, bytes>>>(middle, out, width, height);
  transpose<<<dim3((width + 15) / 16, (height + 15) / 16), dim3(16, 16)>>>(colours, turned, width, height);
  if (cudaDeviceSynchronize() != cudaSuccess) return puts("FAIL"), 1;
  int failures = memcmp(bins, expected, sizeof(expected)) != 0;
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      auto at = [&](int px, int py) {
        px = px < 0 ? 0 : px >= width ? width - 1 : px;
        py = py < 0 ? 0 : py >= height ? height - 1 : py;
        return (int)image[py * width + px];
      };
      int gx = at(x + 1, y - 1) + 2 * at(x + 1, y) + at(x + 1, y + 1) - at(x - 1, y - 1) - 2 * at(x - 1, y) - at(x - 1, y + 1);
      int gy = at(x - 1, y + 1) + 2 * at(x, y + 1) + at(x + 1, y + 1) - at(x - 1, y - 1) - 2 * at(x, y - 1) - at(x + 1, y - 1);
      int edge = abs(gx) + abs(gy);
      failures += edges[y * width + x] != (edge > 255 ? 255 : edge);
      double sum = 0;
      for (int dy = -RADIUS; dy <= RADIUS; ++dy)
        for (int dx = -RADIUS; dx <= RADIUS; ++dx)
          if (x + dx >= 0 && x + dx < width && y + dy >= 0 && y + dy < height)
            sum += (double)host[dx + RADIUS] * host[dy + RADIUS] * in[(y + dy) * width + x + dx];
      double difference = out[y * width + x] - sum;
      failures += difference > 1e-6 || difference < -1e-6;
      failures += memcmp(&turned[x * height + y], &colours[y * width + x], 4) != 0;
    }
  puts(failures ? "FAIL" : "PASS");
  return failures != 0;
}
