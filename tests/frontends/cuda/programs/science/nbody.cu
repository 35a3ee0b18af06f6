// All-pairs n-body with tiles of bodies in shared memory; positions and masses as float4.
#include <cuda_runtime.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SOFTENING 1e-4f
#define BLOCK 64

#define CHECK_CUDA(call)                                                                         \
  do {                                                                                           \
    cudaError_t status_ = call;                                                                  \
    if (status_ != cudaSuccess) {                                                                \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, cudaGetErrorString(status_));           \
      exit(1);                                                                                   \
    }                                                                                            \
  } while (0)

__device__ float3 interaction(float4 bi, float4 bj, float3 ai) {
  float3 r = {bj.x - bi.x, bj.y - bi.y, bj.z - bi.z};
  float distSqr = r.x * r.x + r.y * r.y + r.z * r.z + SOFTENING;
  float inv = rsqrtf(distSqr);
  float s = bj.w * (inv * inv * inv);
  ai.x += r.x * s;
  ai.y += r.y * s;
  ai.z += r.z * s;
  return ai;
}

__global__ void step(const float4 *__restrict__ pos, float4 *__restrict__ next, float4 *__restrict__ vel, int n, float dt) {
  __shared__ float4 tile[BLOCK];
  int i = blockDim.x * blockIdx.x + threadIdx.x;
  float4 mine = i < n ? pos[i] : make_float4(0.f, 0.f, 0.f, 0.f);
  float3 acc = make_float3(0.0f, 0.0f, 0.0f);
  for (int t = 0; t < gridDim.x; t++) {
    int j = t * BLOCK + threadIdx.x;
    tile[threadIdx.x] = j < n ? pos[j] : make_float4(0.f, 0.f, 0.f, 0.f);
    __syncthreads();
#pragma unroll 8
    for (int k = 0; k < BLOCK; k++) acc = interaction(mine, tile[k], acc);
    __syncthreads();
  }
  if (i >= n) return;
  float4 v = vel[i];
  v.x += acc.x * dt, v.y += acc.y * dt, v.z += acc.z * dt;
  vel[i] = v;
  next[i] = make_float4(mine.x + v.x * dt, mine.y + v.y * dt, mine.z + v.z * dt, mine.w);
}

static void reference(double (*p)[4], double (*v)[4], int n, double dt) {
  for (int i = 0; i < n; i++) {
    double a[3] = {};
    for (int j = 0; j < n; j++) {
      double r[3], d = SOFTENING;
      for (int c = 0; c < 3; c++) r[c] = p[j][c] - p[i][c], d += r[c] * r[c];
      for (int c = 0; c < 3; c++) a[c] += p[j][3] * r[c] / (d * sqrt(d));
    }
    for (int c = 0; c < 3; c++) v[i][c] += a[c] * dt;
  }
  for (int i = 0; i < n; i++)
    for (int c = 0; c < 3; c++) p[i][c] += v[i][c] * dt;
}

int main(int argc, char **argv) {
  int n = argc > 1 ? atoi(argv[1]) : 300, steps = argc > 2 ? atoi(argv[2]) : 4;
  const float dt = 0.001f;
  size_t bytes = n * sizeof(float4);
  float4 *h_pos = (float4 *)malloc(bytes), *d_pos, *d_next, *d_vel;
  double(*p)[4] = (double(*)[4])malloc(n * sizeof *p), (*v)[4] = (double(*)[4])calloc(n, sizeof *v);
  for (int i = 0; i < n; i++) {
    float *f = &h_pos[i].x;
    for (int c = 0; c < 4; c++) p[i][c] = f[c] = rand() / (float)RAND_MAX + (c == 3 ? 0.5f : -0.5f);
  }
  CHECK_CUDA(cudaMalloc((void **)&d_pos, bytes));
  CHECK_CUDA(cudaMalloc((void **)&d_next, bytes));
  CHECK_CUDA(cudaMalloc((void **)&d_vel, bytes));
  CHECK_CUDA(cudaMemcpy(d_pos, h_pos, bytes, cudaMemcpyHostToDevice));
  CHECK_CUDA(cudaMemset(d_vel, 0, bytes));
  cudaEvent_t start, stop;
  CHECK_CUDA(cudaEventCreate(&start));
  CHECK_CUDA(cudaEventCreate(&stop));
  CHECK_CUDA(cudaEventRecord(start));
  for (int s = 0; s < steps; s++) {
    step<<<(n + BLOCK - 1) / BLOCK, BLOCK>>>(d_pos, d_next, d_vel, n, dt);
    CHECK_CUDA(cudaGetLastError());
    float4 *swap = d_pos;
    d_pos = d_next, d_next = swap;
    reference(p, v, n, dt);
  }
  CHECK_CUDA(cudaEventRecord(stop));
  CHECK_CUDA(cudaEventSynchronize(stop));
  float ms = -1;
  CHECK_CUDA(cudaEventElapsedTime(&ms, start, stop));
  CHECK_CUDA(cudaMemcpy(h_pos, d_pos, bytes, cudaMemcpyDeviceToHost));
  double worst = 0;
  for (int i = 0; i < n; i++)
    for (int c = 0; c < 3; c++) {
      double e = fabs((&h_pos[i].x)[c] - p[i][c]) / (1e-3 + fabs(p[i][c]));
      if (!(e <= worst)) worst = e == e ? e : INFINITY;
    }
  printf("%d bodies, %d steps, %.3f ms, worst error %g\n", n, steps, ms, worst);
  CHECK_CUDA(cudaEventDestroy(start));
  CHECK_CUDA(cudaEventDestroy(stop));
  CHECK_CUDA(cudaFree(d_pos));
  CHECK_CUDA(cudaFree(d_next));
  CHECK_CUDA(cudaFree(d_vel));
  bool good = worst < 1e-3 && ms >= 0;
  puts(good ? "PASS" : "FAIL");
  free(h_pos);
  return !good;
}
