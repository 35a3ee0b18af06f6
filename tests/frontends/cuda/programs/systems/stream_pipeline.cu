// Chunks go through copy, two kernels and copy on several streams; events order them; a callback counts.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cuda_runtime.h>

#define CHECK(call)                                                                                  \
  {                                                                                                  \
    const cudaError_t error = call;                                                                  \
    if (error != cudaSuccess) {                                                                      \
      printf("Error: %s:%d, code: %d, reason: %s\n", __FILE__, __LINE__, error, cudaGetErrorString(error)); \
      puts("FAIL");                                                                                  \
      exit(1);                                                                                       \
    }                                                                                                \
  }

__global__ void work(const float *in, float *out, int n, float factor) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float v = in[i];
  for (int k = 0; k < 20; k++) v = v * factor + 0.5f * sinf(v);
  out[i] = v;
}

__global__ void accumulate(double *total, const float *in, int n) {
  __shared__ double sums[64];
  double sum = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) sum += in[i];
  sums[threadIdx.x] = sum;
  __syncthreads();
  for (int s = 32; s > 0; s >>= 1) {
    if (threadIdx.x < s) sums[threadIdx.x] += sums[threadIdx.x + s];
    __syncthreads();
  }
  if (threadIdx.x == 0) *total += sums[0];  // not atomic: events keep the chunks apart
}

static void CUDART_CB count_chunk(void *data) { ++*static_cast<int *>(data); }

int main() {
  const int n = 4000, chunks = 8, streams = 3, size = n / chunks;
  float *in, *out, *d_in, *d_out;
  double *d_total, total = -1;
  int done = 0, least, greatest;
  CHECK(cudaMallocHost(&in, n * sizeof(float)));
  CHECK(cudaHostAlloc(&out, n * sizeof(float), cudaHostAllocDefault));
  CHECK(cudaMalloc(&d_in, n * sizeof(float)));
  CHECK(cudaMalloc(&d_out, n * sizeof(float)));
  CHECK(cudaMalloc(&d_total, sizeof(double)));
  CHECK(cudaDeviceGetStreamPriorityRange(&least, &greatest));
  cudaStream_t stream[streams], sums;
  cudaEvent_t computed[chunks], begin, end;
  for (int s = 0; s < streams; s++) CHECK(cudaStreamCreate(&stream[s]));
  CHECK(cudaStreamCreateWithPriority(&sums, cudaStreamNonBlocking, greatest));
  for (auto &event : computed) CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  CHECK(cudaEventCreate(&begin));
  CHECK(cudaEventCreate(&end));
  for (int i = 0; i < n; i++) in[i] = rand() / (float)RAND_MAX, out[i] = NAN;
  CHECK(cudaMemsetAsync(d_total, 0, sizeof(double), sums));
  CHECK(cudaEventRecord(begin, stream[0]));
  for (int c = 0; c < chunks; c++) {
    cudaStream_t s = stream[c % streams];
    const int at = c * size;
    CHECK(cudaMemcpyAsync(d_in + at, in + at, size * sizeof(float), cudaMemcpyHostToDevice, s));
    work<<<(size + 63) / 64, 64, 0, s>>>(d_in + at, d_out + at, size, 0.75f);
    work<<<(size + 63) / 64, 64, 0, s>>>(d_out + at, d_in + at, size, 0.5f);
    CHECK(cudaEventRecord(computed[c], s));
    CHECK(cudaMemcpyAsync(out + at, d_in + at, size * sizeof(float), cudaMemcpyDeviceToHost, s));
    CHECK(cudaStreamWaitEvent(sums, computed[c], 0));
    accumulate<<<1, 64, 0, sums>>>(d_total, d_in + at, size);
    CHECK(cudaLaunchHostFunc(sums, count_chunk, &done));
  }
  for (int s = 1; s < streams; s++) {
    CHECK(cudaEventRecord(computed[s], stream[s]));
    CHECK(cudaStreamWaitEvent(stream[0], computed[s], 0));
  }
  CHECK(cudaEventRecord(end, stream[0]));
  CHECK(cudaEventSynchronize(end));
  CHECK(cudaMemcpyAsync(&total, d_total, sizeof total, cudaMemcpyDeviceToHost, sums));
  CHECK(cudaStreamSynchronize(sums));
  float ms = -1;
  CHECK(cudaEventElapsedTime(&ms, begin, end));
  double worst = 0, expected = 0;
  for (int i = 0; i < n; i++) {
    double v = in[i];
    for (int k = 0; k < 40; k++) v = v * (k < 20 ? 0.75 : 0.5) + 0.5 * std::sin(v);
    double e = std::fabs(v - out[i]);
    worst = e <= worst ? worst : e == e ? e : INFINITY;
    expected += out[i];
  }
  printf("%d chunks, %.3f ms, off by %g\n", done, ms, worst);
  bool good = worst < 1e-3 && std::fabs(total - expected) < 1e-6 && done == chunks && ms > 0;
  for (int s = 0; s < streams; s++) CHECK(cudaStreamDestroy(stream[s]));
  CHECK(cudaStreamDestroy(sums));
  for (auto &event : computed) CHECK(cudaEventDestroy(event));
  CHECK(cudaFreeHost(in));
  CHECK(cudaFreeHost(out));
  puts(good ? "PASS" : "FAIL");
  return !good;
}
