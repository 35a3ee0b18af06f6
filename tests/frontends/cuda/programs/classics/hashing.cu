// A hash table with linear probing and compare-and-swap, string search, and AES-128 with tables.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

struct Slot {
  unsigned int key, value;
};
const unsigned int EMPTY = 0xffffffffu;

__device__ unsigned int hash(unsigned int k) {
  k ^= k >> 16;
  k *= 0x85ebca6b;
  k ^= k >> 13;
  k *= 0xc2b2ae35;
  return k ^ (k >> 16);
}

__global__ void insert(Slot *table, unsigned int capacity, const unsigned int *keys, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  unsigned int key = keys[i], slot = hash(key) & (capacity - 1);
  while (true) {
    unsigned int previous = atomicCAS(&table[slot].key, EMPTY, key);
    if (previous == EMPTY || previous == key) {
      atomicAdd(&table[slot].value, 1);
      return;
    }
    slot = (slot + 1) & (capacity - 1);
  }
}

__global__ void lookup(const Slot *table, unsigned int capacity, const unsigned int *keys, unsigned int *found, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) {
    unsigned int slot = hash(keys[i]) & (capacity - 1);
    found[i] = 0;
    for (;; slot = (slot + 1) & (capacity - 1)) {
      if (table[slot].key == keys[i]) {
        found[i] = table[slot].value;
        break;
      }
      if (table[slot].key == EMPTY) break;
    }
  }
}

__constant__ char pattern[32];

__global__ void search(const char *text, int n, int length, int *count, int *first) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i + length > n) return;
  for (int k = 0; k < length; ++k)
    if (text[i + k] != pattern[k]) return;
  atomicAdd(count, 1);
  atomicMin(first, i);
}

__device__ unsigned char sbox[256];

__global__ void make_sbox() {
  // The inverse in GF(2^8) and an affine map, by its definition.
  int x = threadIdx.x;
  auto multiply = [](int a, int b) {
    int product = 0;
    for (int i = 0; i < 8; ++i) {
      if (b & 1) product ^= a;
      a = (a << 1) ^ (a & 0x80 ? 0x11b : 0);
      b >>= 1;
    }
    return product & 0xff;
  };
  int inverse = 1;
  for (int i = 0; i < 254; ++i) inverse = multiply(inverse, x);
  if (x == 0) inverse = 0;
  int s = inverse;
  for (int i = 1; i < 5; ++i) s ^= ((inverse << i) | (inverse >> (8 - i))) & 0xff;
  sbox[x] = s ^ 0x63;
}

__device__ unsigned char twice(unsigned char x) { return (x << 1) ^ (x & 0x80 ? 0x1b : 0); }

__global__ void aes128(const uint4 *in, uint4 *out, const unsigned char *key, int blocks) {
  __shared__ unsigned char round_keys[176], table[256];
  for (int i = threadIdx.x; i < 256; i += blockDim.x) table[i] = sbox[i];
  if (threadIdx.x < 16) round_keys[threadIdx.x] = key[threadIdx.x];
  __syncthreads();
  if (threadIdx.x == 0) {
    unsigned char constant = 1;
    for (int i = 16; i < 176; i += 4) {
      unsigned char t[4];
      memcpy(t, round_keys + i - 4, 4);
      if (i % 16 == 0) {
        unsigned char front = t[0];
        t[0] = table[t[1]] ^ constant;
        t[1] = table[t[2]];
        t[2] = table[t[3]];
        t[3] = table[front];
        constant = twice(constant);
      }
      for (int k = 0; k < 4; ++k) round_keys[i + k] = round_keys[i - 16 + k] ^ t[k];
    }
  }
  __syncthreads();
  int b = blockIdx.x * blockDim.x + threadIdx.x;
  if (b >= blocks) return;
  union {
    uint4 words;
    unsigned char bytes[16];
  } state;
  state.words = in[b];
  for (int i = 0; i < 16; ++i) state.bytes[i] ^= round_keys[i];
  for (int round = 1; round <= 10; ++round) {
    unsigned char shifted[16];
    for (int i = 0; i < 16; ++i) shifted[i] = table[state.bytes[(i + 4 * (i % 4)) % 16]];
    for (int c = 0; c < 16; c += 4) {
      unsigned char *x = shifted + c, all = x[0] ^ x[1] ^ x[2] ^ x[3], front = x[0];
      for (int i = 0; i < 4; ++i) {
        unsigned char mixed = x[i] ^ all ^ twice(x[i] ^ (i < 3 ? x[i + 1] : front));
        state.bytes[c + i] = (round < 10 ? mixed : x[i]) ^ round_keys[16 * round + c + i];
      }
    }
  }
  out[b] = state.words;
}

int main() {
  const int n = 20000;
  const unsigned int capacity = 1 << 15;
  Slot *table;
  unsigned int *keys, *found;
  cudaMallocManaged(&table, capacity * sizeof(Slot));
  cudaMallocManaged(&keys, n * sizeof(unsigned int));
  cudaMallocManaged(&found, n * sizeof(unsigned int));
  for (unsigned int i = 0; i < capacity; ++i) table[i] = {EMPTY, 0};
  std::map<unsigned int, unsigned int> expected;
  for (int i = 0; i < n; ++i) ++expected[keys[i] = rand() % 12345];
  insert<<<(n + 255) / 256, 256>>>(table, capacity, keys, n);
  lookup<<<(n + 127) / 128, 128>>>(table, capacity, keys, found, n);
  int failures = cudaDeviceSynchronize() != cudaSuccess;
  for (int i = 0; i < n; ++i) failures += found[i] != expected[keys[i]];

  std::string text;
  for (int i = 0; i < 10000; ++i) text += "abcab"[rand() % 5];
  const char *needle = "abcab";
  int times = 0;
  for (size_t at = text.find(needle); at != std::string::npos; at = text.find(needle, at + 1)) ++times;
  char *haystack;
  int *numbers;
  cudaMalloc(&haystack, text.size());
  cudaMallocManaged(&numbers, 2 * sizeof(int));
  numbers[0] = 0, numbers[1] = 1 << 30;
  cudaMemcpy(haystack, text.data(), text.size(), cudaMemcpyHostToDevice);
  cudaMemcpyToSymbol(pattern, needle, strlen(needle));
  search<<<((int)text.size() + 99) / 100, 100>>>(haystack, (int)text.size(), (int)strlen(needle), &numbers[0], &numbers[1]);
  cudaDeviceSynchronize();
  failures += numbers[0] != times || numbers[1] != (int)text.find(needle);

  // FIPS 197, appendix C.1
  unsigned char *key, *plain, *cipher;
  cudaMallocManaged(&key, 16);
  cudaMallocManaged(&plain, 32);
  cudaMallocManaged(&cipher, 32);
  for (int i = 0; i < 16; ++i) key[i] = i, plain[i] = plain[16 + i] = 0x11 * i;
  make_sbox<<<1, 256>>>();
  aes128<<<1, 32>>>((uint4 *)plain, (uint4 *)cipher, key, 2);
  cudaDeviceSynchronize();
  const unsigned char right[] = {0x69, 0xc4, 0xe0, 0xd8, 0x6a, 0x7b, 0x04, 0x30, 0xd8, 0xcd, 0xb7, 0x80, 0x70, 0xb4, 0xc5, 0x5a};
  failures += memcmp(cipher, right, 16) != 0 || memcmp(cipher + 16, right, 16) != 0;
  puts(failures ? "FAIL" : "PASS");
  return failures != 0;
}
