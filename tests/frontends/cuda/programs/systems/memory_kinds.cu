// Memory of every kind in one program: pitched, 3-D, mapped, registered, asynchronous, symbols, pointers to pointers.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#define CUDA_CALL(x)                                                                        \
  do {                                                                                      \
    cudaError_t err_ = (x);                                                                 \
    if (err_ != cudaSuccess) {                                                              \
      printf("line %d: %s\nFAIL\n", __LINE__, cudaGetErrorString(err_));                    \
      return EXIT_FAILURE;                                                                  \
    }                                                                                       \
  } while (0)

struct Settings {
  float scale;
  int offset[3];
};
__constant__ Settings settings;
__device__ int counters[4];
__device__ float *published;

__global__ void scale2d(char *base, size_t pitch, int width, int height) {
  int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
  if (x >= width || y >= height) return;
  float *row = (float *)(base + y * pitch);
  row[x] = row[x] * settings.scale + settings.offset[y % 3];
  atomicAdd(&counters[y % 4], 1);
}

__global__ void fill3d(cudaPitchedPtr p, cudaExtent extent) {
  int x = threadIdx.x, y = threadIdx.y, z = threadIdx.z;
  char *slice = (char *)p.ptr + z * p.pitch * extent.height;
  ((short *)(slice + y * p.pitch))[x] = (short)(x + 10 * y + 100 * z);
}

__global__ void publish(float *p) { published = p; }
__global__ void through_tables(float **rows, int n, int m) {
  for (int i = threadIdx.x; i < n * m; i += blockDim.x) rows[i / m][i % m] += published[i % m];
}

int main() {
  const int width = 45, height = 13;
  std::vector<float> host(width * height), back(width * height);
  for (auto &f : host) f = rand() % 1000;
  char *d2;
  size_t pitch = 0;
  CUDA_CALL(cudaMallocPitch((void **)&d2, &pitch, width * sizeof(float), height));
  Settings s = {0.5f, {10, 20, 30}};
  CUDA_CALL(cudaMemcpyToSymbol(settings, &s, sizeof s));
  int three = 33;
  CUDA_CALL(cudaMemcpyToSymbol(settings, &three, sizeof three, offsetof(Settings, offset) + 2 * sizeof(int)));
  CUDA_CALL(cudaMemcpy2D(d2, pitch, host.data(), width * sizeof(float), width * sizeof(float), height, cudaMemcpyHostToDevice));
  scale2d<<<dim3(6, 4), dim3(8, 4)>>>(d2, pitch, width, height);
  CUDA_CALL(cudaMemcpy2D(back.data(), width * sizeof(float), d2, pitch, width * sizeof(float), height, cudaMemcpyDeviceToHost));
  bool good = pitch >= width * sizeof(float) && pitch % 32 == 0;
  for (int i = 0; i < width * height; i++) good &= back[i] == host[i] * 0.5f + (i / width % 3 == 2 ? 33 : 10 + 10 * (i / width % 3));
  int counted[4] = {}, *address = nullptr;
  size_t size = 0;
  CUDA_CALL(cudaMemcpyFromSymbol(counted, counters, sizeof counted));
  good &= counted[0] == 4 * width && counted[1] == 3 * width && counted[2] == 3 * width && counted[3] == 3 * width;
  CUDA_CALL(cudaGetSymbolAddress((void **)&address, counters));
  CUDA_CALL(cudaGetSymbolSize(&size, counters));
  CUDA_CALL(cudaMemset(address, 0, size));
  CUDA_CALL(cudaMemcpyFromSymbol(counted, counters, sizeof counted));
  good &= size == 16 && !(counted[0] | counted[1] | counted[2] | counted[3]);

  cudaExtent extent = make_cudaExtent(9 * sizeof(short), 5, 4);
  cudaPitchedPtr p3;
  CUDA_CALL(cudaMalloc3D(&p3, extent));
  fill3d<<<1, dim3(9, 5, 4)>>>(p3, extent);
  short volume[4][5][9];
  cudaMemcpy3DParms copy = {};
  copy.srcPtr = p3;
  copy.dstPtr = make_cudaPitchedPtr(volume, sizeof volume[0][0], 9, 5);
  copy.extent = extent;
  copy.kind = cudaMemcpyDeviceToHost;
  CUDA_CALL(cudaMemcpy3D(&copy));
  for (int i = 0; i < 180; i++) good &= volume[i / 45][i / 9 % 5][i % 9] == i % 9 + 10 * (i / 9 % 5) + 100 * (i / 45);

  float *mapped, *d_mapped, *table[3], **d_table, *async;
  CUDA_CALL(cudaHostAlloc((void **)&mapped, 20 * sizeof(float), cudaHostAllocMapped | cudaHostAllocWriteCombined));
  CUDA_CALL(cudaHostGetDevicePointer((void **)&d_mapped, mapped, 0));
  std::vector<float> rows(60);
  CUDA_CALL(cudaHostRegister(rows.data(), rows.size() * sizeof(float), cudaHostRegisterMapped));
  for (int i = 0; i < 60; i++) rows[i] = i;
  for (int i = 0; i < 20; i++) mapped[i] = 1000 * i;
  CUDA_CALL(cudaHostGetDevicePointer((void **)&table[0], rows.data(), 0));
  table[1] = table[0] + 20, table[2] = table[0] + 40;
  CUDA_CALL(cudaMalloc(&d_table, sizeof table));
  CUDA_CALL(cudaMemcpy(d_table, table, sizeof table, cudaMemcpyHostToDevice));
  publish<<<1, 1>>>(d_mapped);
  through_tables<<<1, 32>>>(d_table, 3, 20);
  CUDA_CALL(cudaDeviceSynchronize());
  for (int i = 0; i < 60; i++) good &= rows[i] == i + 1000 * (i % 20);
  CUDA_CALL(cudaHostUnregister(rows.data()));
  CUDA_CALL(cudaMallocAsync((void **)&async, 4096, 0));
  CUDA_CALL(cudaMemsetAsync(async, 0x3f, 4096, 0));
  float first = 0;
  CUDA_CALL(cudaMemcpyAsync(&first, async + 1023, sizeof first, cudaMemcpyDeviceToHost, 0));
  CUDA_CALL(cudaFreeAsync(async, 0));
  CUDA_CALL(cudaStreamSynchronize(0));
  unsigned bits;
  memcpy(&bits, &first, 4);
  good &= bits == 0x3f3f3f3f;
  cudaPointerAttributes attributes;
  CUDA_CALL(cudaPointerGetAttributes(&attributes, d2));
  good &= attributes.type == cudaMemoryTypeDevice;
  CUDA_CALL(cudaPointerGetAttributes(&attributes, mapped));
  good &= attributes.type == cudaMemoryTypeHost;
  size_t free_bytes = 0, total = 0;
  CUDA_CALL(cudaMemGetInfo(&free_bytes, &total));
  good &= free_bytes > 0 && free_bytes <= total;
  puts(good ? "PASS" : "FAIL");
  return !good;
}
