// Atomic functions against a plain loop; what programs build of compare-and-swap; fences.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

static int failures = 0;
#define CHECK(condition, ...)                             \
  do {                                                    \
    if (!(condition) && failures++ < 10) {                \
      printf("line %d: ", __LINE__), printf(__VA_ARGS__); \
      puts("");                                           \
    }                                                     \
  } while (0)

enum { PLACES = 16 };

// Each thread applies every operation to a place of its choice, in shared and in global memory.
template <typename T>
__global__ void integers(const T* x, const int* where, T* global, T* out, int n) {
  __shared__ T s[8 * PLACES];
  for (int k = threadIdx.x; k < 8 * PLACES; k += blockDim.x) s[k] = global[k];
  __syncthreads();
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n && i % 5 != 3) {
    T v = x[i];
    int p = where[i];
    atomicAdd(&s[p], v), atomicAdd_block(&global[p], v);
    atomicMin(&s[p + PLACES], v), atomicMin(&global[p + PLACES], v);
    atomicMax(&s[p + 2 * PLACES], v), atomicMax_system(&global[p + 2 * PLACES], v);
    atomicAnd(&s[p + 3 * PLACES], v), atomicAnd(&global[p + 3 * PLACES], v);
    atomicOr(&s[p + 4 * PLACES], v), atomicOr(&global[p + 4 * PLACES], v);
    atomicXor(&s[p + 5 * PLACES], v), atomicXor(&global[p + 5 * PLACES], v);
    atomicCAS(&s[p + 6 * PLACES], (T)p, v), atomicCAS(&global[p + 6 * PLACES], (T)p, v);
    T* either = v & 1 ? &s[p + 7 * PLACES] : &global[p + 7 * PLACES];  // a generic pointer
    atomicAdd(either, (T)1);
  }
  __syncthreads();
  for (int k = threadIdx.x; k < 8 * PLACES; k += blockDim.x) out[k] = s[k];
}

template <typename T>
void test_integers() {
  int n = 333, *where;
  T *x, *global, *out;
  cudaMallocManaged(&x, n * sizeof(T)), cudaMallocManaged(&where, n * sizeof(int));
  cudaMallocManaged(&global, 8 * PLACES * sizeof(T)), cudaMallocManaged(&out, 8 * PLACES * sizeof(T));
  std::vector<T> expected(8 * PLACES), odd(PLACES), even(PLACES);
  for (int k = 0; k < 8 * PLACES; k++) global[k] = expected[k] = k / PLACES == 6 ? (T)(k % PLACES) : (T)((T)rand() * 3000000019ll);
  for (int k = 0; k < PLACES; k++) odd[k] = even[k] = expected[7 * PLACES + k];
  bool swapped[PLACES] = {};
  for (int i = 0; i < n; i++) {
    T v = x[i] = (T)((T)rand() * 4000000007ll);
    int p = where[i] = rand() % PLACES;
    if (i % 5 == 3) continue;
    expected[p] += v;
    T &least = expected[p + PLACES], &most = expected[p + 2 * PLACES];
    least = v < least ? v : least, most = v > most ? v : most;
    expected[p + 3 * PLACES] &= v, expected[p + 4 * PLACES] |= v, expected[p + 5 * PLACES] ^= v;
    if (!swapped[p]) expected[p + 6 * PLACES] = v, swapped[p] = true;
    (v & 1 ? odd : even)[p]++;
  }
  integers<T><<<1, 352>>>(x, where, global, out, n);
  CHECK(cudaDeviceSynchronize() == cudaSuccess, "integers");
  for (int k = 0; k < 7 * PLACES; k++) {
    CHECK(global[k] == expected[k], "global %d of %zu bytes", k, sizeof(T));
    CHECK(out[k] == expected[k], "shared %d of %zu bytes", k, sizeof(T));
  }
  for (int k = 0; k < PLACES; k++) CHECK(out[7 * PLACES + k] == odd[k] && global[7 * PLACES + k] == even[k], "generic %d", k);
  cudaFree(x), cudaFree(where), cudaFree(global), cudaFree(out);
}

__device__ double add_by_cas(double* place, double v) {
  unsigned long long *bits = (unsigned long long*)place, old = *bits, assumed;
  do {
    assumed = old;
    old = atomicCAS(bits, assumed, __double_as_longlong(v + __longlong_as_double(assumed)));
  } while (assumed != old);
  return __longlong_as_double(old);
}

__device__ float max_by_cas(float* place, float v) {
  int old = __float_as_int(*place);
  while (__int_as_float(old) < v) {
    int assumed = old;
    old = atomicCAS((int*)place, assumed, __float_as_int(v));
    if (old == assumed) break;
  }
  return __int_as_float(old);
}

// Values that threads get back: each one once.
__global__ void returned(int* seen, unsigned* counters, float* sums, double* wide, unsigned short* small, const float* x) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  atomicAdd(&seen[atomicAdd(&counters[0], 1u)], 1);
  if (threadIdx.x % 3) atomicAdd(&seen[atomicSub((int*)&counters[1], 1)], 100);
  atomicInc(&counters[2], 6), atomicDec(&counters[3], 10);
  atomicAdd(&sums[0], x[i]), atomicAdd(&wide[0], (double)x[i]);
  add_by_cas(&wide[1], x[i]);
  max_by_cas(&sums[1], x[i]);
  float mine = x[i];
  for (int k = 0; k < 3; k++) mine = atomicExch(&sums[2], mine);
  atomicAdd(&wide[2], (double)mine);  // what was exchanged is somewhere, once
  unsigned short old = small[i % 2], assumed;
  do {
    assumed = old;
    old = atomicCAS(&small[i % 2], assumed, (unsigned short)(assumed + 3));
  } while (old != assumed);
}

void test_returned() {
  int blocks = 4, threads = 90, n = blocks * threads, *seen;
  unsigned* counters;
  float *sums, *x;
  double* wide;
  unsigned short* small;
  cudaMallocManaged(&seen, n * 4), cudaMallocManaged(&counters, 16), cudaMallocManaged(&sums, 12);
  cudaMallocManaged(&wide, 24), cudaMallocManaged(&small, 4), cudaMallocManaged(&x, n * 4);
  memset(seen, 0, n * 4), memset(sums, 0, 12), memset(wide, 0, 24);
  counters[0] = counters[2] = counters[3] = 0, counters[1] = n - 1, small[0] = 65000, small[1] = 7;
  double sum = 0;
  float most = 0;
  for (int i = 0; i < n; i++) x[i] = rand() % 1000 * 0.25f, sum += x[i], most = x[i] > most ? x[i] : most;
  returned<<<blocks, threads>>>(seen, counters, sums, wide, small, x);
  CHECK(cudaDeviceSynchronize() == cudaSuccess, "returned");
  int taken = 0;
  for (int i = 0; i < n; i++) {
    CHECK(seen[i] % 100 == 1, "seen %d: %d", i, seen[i]);
    taken += seen[i] / 100;
  }
  CHECK(taken == blocks * 60, "taken %d", taken);
  CHECK(counters[2] == n % 7 && counters[3] == (11 - n % 11) % 11, "wrapped %u %u", counters[2], counters[3]);
  CHECK(sums[0] == (float)sum && wide[0] == sum && wide[1] == sum, "sums %g %g %g", sums[0], wide[0], wide[1]);
  CHECK(sums[1] == most, "most %g", sums[1]);
  CHECK(wide[2] + sums[2] == sum, "exchanged %g", wide[2] + sums[2]);
  CHECK(small[0] == (unsigned short)(65000 + 3 * n / 2) && small[1] == 7 + 3 * n / 2, "small %d", small[0]);
  cudaFree(seen), cudaFree(counters), cudaFree(sums), cudaFree(wide), cudaFree(small), cudaFree(x);
}

// A hash table with open addressing, and the count of each key.
__global__ void insert(const unsigned* keys, int n, unsigned* table, int* counts, unsigned room) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    unsigned key = keys[i], slot = key * 2654435761u % room;
    while (true) {
      unsigned found = atomicCAS(&table[slot], ~0u, key);
      if (found == ~0u || found == key) break;
      slot = (slot + 1) % room;
    }
    atomicAdd(&counts[slot], 1);
  }
}

void test_hash() {
  const int n = 3001, room = 499;
  unsigned *keys, *table;
  int* counts;
  cudaMallocManaged(&keys, n * 4), cudaMallocManaged(&table, room * 4), cudaMallocManaged(&counts, room * 4);
  std::vector<int> expected(400);
  for (int i = 0; i < n; i++) keys[i] = rand() % 400, expected[keys[i]]++;
  cudaMemset(table, 0xff, room * 4), cudaMemset(counts, 0, room * 4);
  insert<<<5, 64>>>(keys, n, table, counts, room);
  CHECK(cudaDeviceSynchronize() == cudaSuccess, "insert");
  for (int s = 0; s < room; s++) {
    if (table[s] == ~0u) continue;
    CHECK(counts[s] == expected[table[s]], "key %u", table[s]);
    expected[table[s]] = 0;
  }
  for (int k = 0; k < 400; k++) CHECK(expected[k] == 0, "key %d is missing", k);
  cudaFree(keys), cudaFree(table), cudaFree(counts);
}

// The last block to finish adds up what all blocks left.
__global__ void sum_all(const int* x, int n, volatile int* partial, int* out) {
  __shared__ int s[128];
  __shared__ bool last;
  __shared__ unsigned done;
  static __device__ unsigned finished = 0;
  int sum = 0, t = threadIdx.x;
  for (int i = blockIdx.x * 128 + t; i < n; i += gridDim.x * 128) sum += x[i];
  s[t] = sum;
  for (int k = 64; k; k /= 2) {
    __syncthreads();
    if (t < k) s[t] += s[t + k];
  }
  if (t == 0) {
    partial[blockIdx.x] = s[0];
    __threadfence();
    done = atomicInc(&finished, gridDim.x - 1);
    last = done == gridDim.x - 1;
  }
  __syncthreads();
  if (last && t == 0) {
    int total = 0;
    for (unsigned b = 0; b < gridDim.x; b++) total += partial[b];
    *out = total;
  }
}

void test_last_block() {
  const int n = 100003;
  int *x, *partial, *out;
  cudaMallocManaged(&x, n * 4), cudaMallocManaged(&partial, 100 * 4), cudaMallocManaged(&out, 4);
  for (int round = 0; round < 5; round++) {
    int sum = 0;
    for (int i = 0; i < n; i++) sum += x[i] = rand() % 1000;
    sum_all<<<37 + round, 128>>>(x, n, partial, out);
    CHECK(cudaDeviceSynchronize() == cudaSuccess && *out == sum, "last block: %d, not %d", *out, sum);
  }
  cudaFree(x), cudaFree(partial), cudaFree(out);
}

int main() {
  srand(time(nullptr));
  test_integers<int>();
  test_integers<unsigned>();
  test_integers<long long>();
  test_integers<unsigned long long>();
  test_returned();
  test_hash();
  test_last_block();
  puts(failures ? "FAIL" : "PASS");
  return failures != 0;
}
