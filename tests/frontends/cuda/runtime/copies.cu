// Copies and fills in one, two and three dimensions, on streams, between "devices" and to variables.
#include "check.h"
#include <vector>

__constant__ int coefficients[8];
__device__ int counter[4];
__global__ void use(int* out) { out[threadIdx.x] = coefficients[threadIdx.x] + counter[threadIdx.x & 3]; }

static std::vector<int> sequence(int n, int start) {
  std::vector<int> v(n);
  for (int i = 0; i < n; i++) v[i] = start + i * 7;
  return v;
}

static void flat() {
  std::vector<int> from = sequence(1001, 3), to(1001);
  int *a, *b;
  OK(cudaMalloc(&a, 4004));
  OK(cudaMalloc(&b, 4004));
  OK(cudaMemcpy(a, from.data(), 4004, cudaMemcpyHostToDevice));
  OK(cudaMemcpy(b, a, 4004, cudaMemcpyDeviceToDevice));
  OK(cudaMemcpy(to.data(), b, 4004, cudaMemcpyDefault));
  CHECK(to == from);
  FAILS(cudaErrorInvalidValue, cudaMemcpy(a, from.data(), 4005, cudaMemcpyHostToDevice));
  FAILS(cudaErrorInvalidValue, cudaMemcpy(a + 1, from.data(), 4004, cudaMemcpyHostToDevice));
  FAILS(cudaErrorInvalidValue, cudaMemcpy(nullptr, from.data(), 4, cudaMemcpyHostToDevice));
  FAILS(cudaErrorInvalidValue, cudaMemcpy(to.data(), from.data(), 4, cudaMemcpyDeviceToHost));
  FAILS(cudaErrorInvalidMemcpyDirection, cudaMemcpy(a, b, 4, (cudaMemcpyKind)9));
  OK(cudaMemset(a, 0, 4004));
  OK(cudaMemset(a, 0x101, 400));  // the low byte counts
  OK(cudaMemcpyPeer(b, 0, a, 0, 4004));
  OK(cudaMemcpy(to.data(), b, 4004, cudaMemcpyDeviceToHost));
  CHECK(to[99] == 0x01010101 && to[100] == 0);
  FAILS(cudaErrorInvalidDevice, cudaMemcpyPeer(b, 0, a, 2, 4));
  OK(cudaFree(a));
  OK(cudaFree(b));
}

static void on_streams() {
  cudaStream_t stream;
  int *a, *b, *pinned;
  std::vector<int> from = sequence(1000, 5), kept = from;
  OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  OK(cudaMalloc(&a, 4000));
  OK(cudaMalloc(&b, 4000));
  OK(cudaMallocHost(&pinned, 4000));
  // Pageable memory has been read when the call returns, although the stream is busy.
  OK(cudaMemsetAsync(a, 0, 4000, stream));
  add_late<<<1, 1, 0, stream>>>(a, 1, 20000000);
  OK(cudaMemcpyAsync(b, from.data(), 4000, cudaMemcpyHostToDevice, stream));
  for (int& v : from) v = -1;
  OK(cudaMemcpyPeerAsync(a, 0, b, 0, 4000, stream));
  add<<<4, 250, 0, stream>>>(a, 1, 1000);
  OK(cudaMemcpyAsync(pinned, a, 4000, cudaMemcpyDeviceToHost, stream));
  OK(cudaStreamSynchronize(stream));
  for (int i = 0; i < 1000; i++) CHECK(pinned[i] == kept[i] + 1);
  add_late<<<1, 1, 0, stream>>>(a, 1000, 20000000);
  OK(cudaMemcpyAsync(from.data(), a, 4000, cudaMemcpyDeviceToHost, stream));
  CHECK(from[0] == kept[0] + 1001);  // pageable: it is there
  OK(cudaMemsetAsync(a, 0xff, 4000, stream));
  OK(cudaMemcpyAsync(pinned, a, 4000, cudaMemcpyDeviceToHost, stream));
  OK(cudaStreamSynchronize(stream));
  CHECK(pinned[999] == -1);
  OK(cudaFree(a));
  OK(cudaFree(b));
  OK(cudaFreeHost(pinned));
  OK(cudaStreamDestroy(stream));
}

static void planes() {
  const int width = 37, height = 11;
  std::vector<int> from = sequence(width * height, 1), to(width * height), other(width * height);
  int* plane;
  size_t pitch;
  OK(cudaMallocPitch(&plane, &pitch, width * 4, height));
  OK(cudaMemcpy2D(plane, pitch, from.data(), width * 4, width * 4, height, cudaMemcpyHostToDevice));
  OK(cudaMemcpy2D(to.data(), width * 4, plane, pitch, width * 4, height, cudaMemcpyDeviceToHost));
  CHECK(to == from);
  FAILS(cudaErrorInvalidPitchValue, cudaMemcpy2D(to.data(), 4, plane, pitch, 8, 2, cudaMemcpyDeviceToHost));
  cudaStream_t stream;
  OK(cudaStreamCreate(&stream));
  OK(cudaMemset2D(plane, pitch, 0, width * 4, height));
  OK(cudaMemset2DAsync(plane, pitch, 0x22, 5 * 4, 3, stream));
  OK(cudaMemcpy2DAsync(other.data(), width * 4, plane, pitch, width * 4, height, cudaMemcpyDeviceToHost, stream));
  OK(cudaStreamSynchronize(stream));
  CHECK(other[0] == 0x22222222 && other[4] == 0x22222222 && other[5] == 0);
  CHECK(other[2 * width] == 0x22222222 && other[3 * width] == 0 && other[width * height - 1] == 0);
  OK(cudaFree(plane));
  OK(cudaStreamDestroy(stream));
}

static void volumes() {
  const size_t w = 13 * 4, h = 5, d = 4;
  std::vector<int> from = sequence(13 * 5 * 4, 2), to(13 * 5 * 4);
  cudaPitchedPtr volume;
  OK(cudaMalloc3D(&volume, make_cudaExtent(w, h, d)));
  cudaMemcpy3DParms up = {};
  up.srcPtr = make_cudaPitchedPtr(from.data(), w, w, h);
  up.dstPtr = volume;
  up.extent = make_cudaExtent(w, h, d);
  up.kind = cudaMemcpyHostToDevice;
  OK(cudaMemcpy3D(&up));
  cudaMemcpy3DParms down = {};
  down.srcPtr = volume;
  down.dstPtr = make_cudaPitchedPtr(to.data(), w, w, h);
  down.extent = up.extent;
  down.kind = cudaMemcpyDeviceToHost;
  OK(cudaMemcpy3DAsync(&down, 0));
  CHECK(to == from);
  // A part, from the middle to a corner.
  std::vector<int> part(13 * 5 * 4, -7);
  down.srcPos = make_cudaPos(4, 2, 1);
  down.dstPtr = make_cudaPitchedPtr(part.data(), w, w, h);
  down.extent = make_cudaExtent(8, 2, 3);
  OK(cudaMemcpy3D(&down));
  CHECK(part[0] == from[(1 * 5 + 2) * 13 + 1] && part[1] == from[(1 * 5 + 2) * 13 + 2] && part[2] == -7);
  CHECK(part[(2 * 5 + 1) * 13] == from[(3 * 5 + 3) * 13 + 1]);
  down.extent = make_cudaExtent(8, 2, 4);
  FAILS(cudaErrorInvalidValue, cudaMemcpy3D(&down));
  cudaStream_t stream;
  OK(cudaStreamCreate(&stream));
  OK(cudaMemset3D(volume, 0, make_cudaExtent(w, h, d)));
  OK(cudaMemset3DAsync(volume, 0x33, make_cudaExtent(8, 2, 3), stream));
  down.srcPos = down.dstPos = make_cudaPos(0, 0, 0);
  down.dstPtr = make_cudaPitchedPtr(to.data(), w, w, h);
  down.extent = make_cudaExtent(w, h, d);
  OK(cudaMemcpy3DAsync(&down, stream));
  OK(cudaStreamSynchronize(stream));
  int set = 0;
  for (int v : to) set += v == 0x33333333;
  CHECK(set == 2 * 2 * 3 && to[(2 * 5 + 1) * 13 + 1] == 0x33333333 && to[(3 * 5) * 13] == 0);
  FAILS(cudaErrorInvalidValue, cudaMemset3D(volume, 0, make_cudaExtent(w, h, d + 1)));
  OK(cudaFree(volume.ptr));
  OK(cudaStreamDestroy(stream));
}

static void variables() {
  int values[8] = {1, 2, 3, 4, 5, 6, 7, 8}, back[8] = {}, *out;
  size_t bytes = 0;
  void* address = nullptr;
  cudaStream_t stream;
  OK(cudaStreamCreate(&stream));
  OK(cudaMalloc(&out, 32));
  OK(cudaMemcpyToSymbol(coefficients, values, 32));
  OK(cudaMemcpyToSymbolAsync(counter, values, 8, 8, cudaMemcpyHostToDevice, stream));
  OK(cudaStreamSynchronize(stream));
  use<<<1, 8>>>(out);
  OK(cudaMemcpy(back, out, 32, cudaMemcpyDeviceToHost));
  CHECK(back[0] == 1 && back[2] == 4 && back[3] == 6 && back[7] == 10);
  OK(cudaMemcpyFromSymbol(back, counter, 8, 8));
  CHECK(back[0] == 1 && back[1] == 2);
  OK(cudaMemcpyFromSymbolAsync(back, coefficients, 12, 4, cudaMemcpyDeviceToHost, stream));
  OK(cudaStreamSynchronize(stream));
  CHECK(back[0] == 2 && back[2] == 4);
  OK(cudaGetSymbolSize(&bytes, coefficients));
  CHECK(bytes == 32);
  OK(cudaGetSymbolAddress(&address, counter));
  OK(cudaMemcpy(address, values, 16, cudaMemcpyHostToDevice));
  OK(cudaMemcpyFromSymbol(back, counter, 16));
  CHECK(back[3] == 4);
  FAILS(cudaErrorInvalidValue, cudaMemcpyToSymbol(counter, values, 32));
  FAILS(cudaErrorInvalidSymbol, cudaMemcpyToSymbol(back, values, 4));
  OK(cudaFree(out));
  OK(cudaStreamDestroy(stream));
}

int main() {
  flat();
  on_streams();
  planes();
  volumes();
  variables();
  printf("PASS\n");
}
