// A Bloom filter with murmur hashes and atomicOr; a count-min sketch; the exact set beside them.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <unordered_map>
#include <vector>

__host__ __device__ inline uint32_t rotl32(uint32_t x, int8_t r) { return (x << r) | (x >> (32 - r)); }

__host__ __device__ uint32_t murmur3(const uint32_t *key, int words, uint32_t seed) {
  uint32_t h = seed;
  for (int i = 0; i < words; i++) {
    uint32_t k = key[i] * 0xcc9e2d51u;
    k = rotl32(k, 15) * 0x1b873593u;
    h = rotl32(h ^ k, 13) * 5 + 0xe6546b64u;
  }
  h ^= words * 4;
  h ^= h >> 16, h *= 0x85ebca6bu, h ^= h >> 13, h *= 0xc2b2ae35u;
  return h ^ h >> 16;
}

template <int HASHES>
class BloomFilter {
 public:
  __host__ __device__ BloomFilter(unsigned *bits, unsigned size) : bits_(bits), size_(size) {}
  __device__ bool insert(uint64_t key) {
    bool is_new = false;
#pragma unroll
    for (int i = 0; i < HASHES; i++) {
      unsigned bit = place(key, i);
      is_new |= !(atomicOr(&bits_[bit / 32], 1u << bit % 32) >> bit % 32 & 1);
    }
    return is_new;
  }
  __host__ __device__ bool contains(uint64_t key) const {
    for (int i = 0; i < HASHES; i++) {
      unsigned bit = place(key, i);
      if (!(bits_[bit / 32] >> bit % 32 & 1)) return false;
    }
    return true;
  }

 private:
  __host__ __device__ unsigned place(uint64_t key, int i) const {
    union {
      uint64_t whole;
      uint32_t half[2];
    } u;
    u.whole = key;
    return murmur3(u.half, 2, i * 7919) % size_;
  }
  unsigned *bits_, size_;
};

using Filter = BloomFilter<4>;
enum { ROWS = 4, COLUMNS = 256 };

__global__ void insert(Filter filter, const uint64_t *keys, int n, int *fresh) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x)
    if (filter.insert(keys[i])) atomicAdd(fresh, 1);
}

__global__ void query(Filter filter, const uint64_t *keys, int n, bool *found) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x) found[i] = filter.contains(keys[i]);
}

__global__ void sketch(const uint64_t *keys, int n, int (*counts)[COLUMNS]) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  for (int r = 0; r < ROWS; r++) {
    uint32_t words[2] = {(uint32_t)keys[i], (uint32_t)(keys[i] >> 32)};
    atomicAdd(&counts[r][murmur3(words, 2, 100 + r) % COLUMNS], 1);
  }
}

int main() {
  const int n = 1000, m = 3000;
  const unsigned size = 20011;
  uint64_t *keys;
  unsigned *bits;
  bool *found;
  int *fresh, (*counts)[COLUMNS];
  cudaMallocManaged(&keys, m * sizeof(uint64_t)), cudaMallocManaged(&bits, (size + 31) / 32 * 4);
  cudaMallocManaged(&found, m), cudaMallocManaged(&fresh, 4), cudaMallocManaged(&counts, sizeof(int[ROWS][COLUMNS]));
  for (int i = 0; i < m; i++) keys[i] = ((uint64_t)rand() << 31 | rand()) * 3 + (i >= n);
  for (int i = 0; i < 200; i++) keys[i] = keys[200 + i % 5];
  cudaMemset(bits, 0, (size + 31) / 32 * 4), cudaMemset(counts, 0, sizeof(int[ROWS][COLUMNS]));
  *fresh = 0;
  Filter filter(bits, size);
  insert<<<5, 64>>>(filter, keys, n, fresh);
  query<<<5, 64>>>(filter, keys, m, found);
  sketch<<<(n + 63) / 64, 64>>>(keys, n, counts);
  if (cudaDeviceSynchronize() != cudaSuccess) return puts("FAIL"), 1;
  std::vector<unsigned> expected((size + 31) / 32);
  std::unordered_map<uint64_t, int> exact;
  for (int i = 0; i < n; i++) {
    exact[keys[i]]++;
    for (int k = 0; k < 4; k++) {
      uint32_t words[2] = {(uint32_t)keys[i], (uint32_t)(keys[i] >> 32)};
      unsigned bit = murmur3(words, 2, k * 7919) % size;
      expected[bit / 32] |= 1u << bit % 32;
    }
  }
  bool good = *fresh <= (int)exact.size() && *fresh > (int)exact.size() * 9 / 10;
  for (size_t i = 0; i < expected.size(); i++) good &= bits[i] == expected[i];
  int false_hits = 0;
  for (int i = 0; i < m; i++) {
    good &= found[i] == filter.contains(keys[i]) && (i >= n || found[i]);
    false_hits += i >= n && found[i];
  }
  for (auto &[key, times] : exact) {
    int least = 1 << 30;
    uint32_t words[2] = {(uint32_t)key, (uint32_t)(key >> 32)};
    for (int r = 0; r < ROWS; r++) least = std::min(least, counts[r][murmur3(words, 2, 100 + r) % COLUMNS]);
    good &= least >= times && least <= times + 60;
  }
  for (auto &row : std::vector<int(*)[COLUMNS]>{counts, counts + 1, counts + 2, counts + 3}) {
    int sum = 0;
    for (int c : *row) sum += c;
    good &= sum == n;
  }
  printf("%zu keys, %d false hits of %d\n", exact.size(), false_hits, m - n);
  good &= false_hits < 60;
  puts(good ? "PASS" : "FAIL");
  return !good;
}
