// k-means: assignment with centroids in shared memory, sums by float atomics, until nothing moves.
#include <cfloat>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

static const int DIM = 3, K = 5;

struct Sums {
  float coordinate[K][DIM];
  unsigned int count[K];
  int moved;
};

__global__ void assign(const float *points, const float *centroids, int *labels, Sums *sums, int n) {
  __shared__ float c[K * DIM];
  __shared__ Sums local;
  if (threadIdx.x < K * DIM) {
    c[threadIdx.x] = centroids[threadIdx.x];
    local.coordinate[threadIdx.x / DIM][threadIdx.x % DIM] = 0;
  }
  if (threadIdx.x < K) local.count[threadIdx.x] = 0;
  if (threadIdx.x == 0) local.moved = 0;
  __syncthreads();
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) {
    float best = FLT_MAX;
    int label = -1;
    for (int k = 0; k < K; ++k) {
      float d = 0;
      for (int a = 0; a < DIM; ++a) {
        float diff = points[a * n + i] - c[k * DIM + a];
        d = fmaf(diff, diff, d);
      }
      if (d < best) best = d, label = k;
    }
    if (labels[i] != label) atomicAdd(&local.moved, 1);
    labels[i] = label;
    for (int a = 0; a < DIM; ++a) atomicAdd(&local.coordinate[label][a], points[a * n + i]);
    atomicAdd(&local.count[label], 1u);
  }
  __syncthreads();
  if (threadIdx.x < K * DIM) atomicAdd(&sums->coordinate[threadIdx.x / DIM][threadIdx.x % DIM], local.coordinate[threadIdx.x / DIM][threadIdx.x % DIM]);
  if (threadIdx.x < K) atomicAdd(&sums->count[threadIdx.x], local.count[threadIdx.x]);
  if (threadIdx.x == 0) atomicAdd(&sums->moved, local.moved);
}

__global__ void update(float *centroids, const Sums *sums) {
  const int k = threadIdx.x, a = threadIdx.y;
  if (sums->count[k]) centroids[k * DIM + a] = sums->coordinate[k][a] / sums->count[k];
}

int main() {
  const int n = 2003;
  std::vector<float> points(DIM * n), seeds(K * DIM), found(K * DIM);
  std::vector<int> labels(n), truth(n);
  for (int i = 0; i < n; ++i) {
    truth[i] = rand() % K;
    for (int a = 0; a < DIM; ++a) points[a * n + i] = 10.0f * ((truth[i] >> a) & 1) + 4.0f * (truth[i] == 4) + rand() / (float)RAND_MAX;
  }
  for (int k = 0; k < K; ++k) {
    int i = 0;
    while (truth[i] != k) ++i;
    for (int a = 0; a < DIM; ++a) seeds[k * DIM + a] = points[a * n + i];
  }
  float *d_points, *d_centroids;
  int *d_labels;
  Sums *sums;
  cudaMalloc(&d_points, points.size() * sizeof(float));
  cudaMalloc(&d_centroids, seeds.size() * sizeof(float));
  cudaMalloc(&d_labels, n * sizeof(int));
  cudaHostAlloc(&sums, sizeof(Sums), cudaHostAllocMapped);
  Sums *d_sums;
  cudaHostGetDevicePointer((void **)&d_sums, sums, 0);
  cudaMemcpy(d_points, points.data(), points.size() * sizeof(float), cudaMemcpyHostToDevice);
  cudaMemcpy(d_centroids, seeds.data(), seeds.size() * sizeof(float), cudaMemcpyHostToDevice);
  cudaMemset(d_labels, 0xff, n * sizeof(int));
  int rounds = 0;
  do {
    cudaMemset(d_sums, 0, sizeof(Sums));
    assign<<<(n + 127) / 128, 128>>>(d_points, d_centroids, d_labels, d_sums, n);
    update<<<1, dim3(K, DIM)>>>(d_centroids, d_sums);
    if (cudaDeviceSynchronize() != cudaSuccess) return puts("FAIL"), 1;
    if (rounds == 0 && sums->moved != n) return puts("the first round must label every point\nFAIL"), 1;
  } while (sums->moved && ++rounds < 50);
  cudaMemcpy(labels.data(), d_labels, n * sizeof(int), cudaMemcpyDeviceToHost);
  cudaMemcpy(found.data(), d_centroids, found.size() * sizeof(float), cudaMemcpyDeviceToHost);
  int wrong = 0;
  double worst = 0;
  for (int i = 0; i < n; ++i) wrong += labels[i] != truth[i];
  for (int k = 0; k < K; ++k)
    for (int a = 0; a < DIM; ++a) {
      double sum = 0, count = 0;
      for (int i = 0; i < n; ++i)
        if (truth[i] == k) sum += points[a * n + i], ++count;
      double e = std::fabs(found[k * DIM + a] - sum / count);
      worst = e <= worst ? worst : e == e ? e : INFINITY;
    }
  printf("%d rounds, %d wrong, centroids off by %g\n", rounds, wrong, worst);
  bool good = wrong == 0 && worst < 1e-3 && rounds < 50;
  puts(good ? "PASS" : "FAIL");
  return !good;
}
