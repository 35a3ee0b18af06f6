// Prefix sums: Hillis-Steele, Blelloch's work-efficient tree, and a decoupled look-back over blocks.
#include <cstdio>
#include <cstdlib>
#include <vector>

constexpr int THREADS = 128;

__global__ void hillis_steele(const int *in, int *out, int n) {
  __shared__ int buffer[2][THREADS];
  int t = threadIdx.x, now = 0;
  buffer[0][t] = t < n ? in[t] : 0;
  __syncthreads();
  for (int offset = 1; offset < THREADS; offset <<= 1) {
    now = 1 - now;
    buffer[now][t] = buffer[1 - now][t] + (t >= offset ? buffer[1 - now][t - offset] : 0);
    __syncthreads();
  }
  if (t < n) out[t] = buffer[now][t];
}

__global__ void blelloch(const int *in, int *out) {
  __shared__ int tree[2 * THREADS];
  int t = threadIdx.x, offset = 1;
  tree[2 * t] = in[2 * t];
  tree[2 * t + 1] = in[2 * t + 1];
  for (int d = THREADS; d > 0; d >>= 1) {
    __syncthreads();
    if (t < d) tree[offset * (2 * t + 2) - 1] += tree[offset * (2 * t + 1) - 1];
    offset *= 2;
  }
  if (t == 0) tree[2 * THREADS - 1] = 0;
  for (int d = 1; d < 2 * THREADS; d *= 2) {
    offset >>= 1;
    __syncthreads();
    if (t < d) {
      int left = offset * (2 * t + 1) - 1, right = offset * (2 * t + 2) - 1;
      int kept = tree[left];
      tree[left] = tree[right];
      tree[right] += kept;
    }
  }
  __syncthreads();
  out[2 * t] = tree[2 * t];
  out[2 * t + 1] = tree[2 * t + 1];
}

// State of a block: 0 nothing yet, 1 its own sum, 2 the sum of all blocks up to it.
struct Status {
  volatile int flag, sum, prefix;
};

__global__ void look_back(const int *in, int *out, Status *status, unsigned int *ticket, int n) {
  __shared__ int values[THREADS], before;
  __shared__ unsigned int block;
  if (threadIdx.x == 0) block = atomicAdd(ticket, 1);
  __syncthreads();
  int i = block * THREADS + threadIdx.x;
  values[threadIdx.x] = i < n ? in[i] : 0;
  __syncthreads();
  for (int offset = 1; offset < THREADS; offset <<= 1) {
    int below = threadIdx.x >= offset ? values[threadIdx.x - offset] : 0;
    __syncthreads();
    values[threadIdx.x] += below;
    __syncthreads();
  }
  if (threadIdx.x == 0) {
    int total = values[THREADS - 1], sum = 0;
    status[block].sum = total;
    __threadfence();
    status[block].flag = 1;
    for (int other = (int)block - 1; other >= 0; --other) {
      int flag;
      while ((flag = status[other].flag) == 0) {
      }
      __threadfence();
      if (flag == 2) {
        sum += status[other].prefix;
        break;
      }
      sum += status[other].sum;
    }
    status[block].prefix = sum + total;
    __threadfence();
    status[block].flag = 2;
    before = sum;
  }
  __syncthreads();
  if (i < n) out[i] = values[threadIdx.x] + before;
}

int main() {
  const int n = 40007, blocks = (n + THREADS - 1) / THREADS;
  int *in, *out, failures = 0;
  Status *status;
  unsigned int *ticket;
  cudaMallocManaged(&in, n * sizeof(int));
  cudaMallocManaged(&out, n * sizeof(int));
  cudaMalloc(&status, blocks * sizeof(Status));
  cudaMalloc(&ticket, sizeof(unsigned int));
  cudaMemset(status, 0, blocks * sizeof(Status));
  cudaMemset(ticket, 0, sizeof(unsigned int));
  for (int i = 0; i < n; ++i) in[i] = rand() % 19 - 9;
  hillis_steele<<<1, THREADS>>>(in, out, 100);
  cudaDeviceSynchronize();
  for (int i = 0, sum = 0; i < 100; ++i) failures += out[i] != (sum += in[i]);
  blelloch<<<1, THREADS>>>(in, out);
  cudaDeviceSynchronize();
  for (int i = 0, sum = 0; i < 2 * THREADS; sum += in[i++]) failures += out[i] != sum;
  look_back<<<blocks, THREADS>>>(in, out, status, ticket, n);
  if (cudaDeviceSynchronize() != cudaSuccess) ++failures;
  for (int i = 0, sum = 0; i < n; ++i) failures += out[i] != (sum += in[i]);
  puts(failures ? "FAIL" : "PASS");
  return failures != 0;
}
