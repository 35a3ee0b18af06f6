// Run-length coding and its inverse, Huffman-coded symbols packed into words: flags, scans, scattered bits.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#define BLOCK 128

__device__ int inclusive_scan(int v, int *warps) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
  for (int d = 1; d < 32; d *= 2) {
    int other = __shfl_up_sync(0xffffffff, v, d);
    v += lane >= d ? other : 0;
  }
  if (lane == 31) warps[warp] = v;
  __syncthreads();
  for (int w = 0; w < warp; ++w) v += warps[w];
  __syncthreads();
  return v;
}

// One block scans everything: `carry` goes from tile to tile.
__global__ void run_starts(const uint8_t *in, int n, int *starts, uint8_t *symbols, int *runs) {
  __shared__ int warps[BLOCK / 32], carry;
  if (threadIdx.x == 0) carry = 0;
  __syncthreads();
  for (int base = 0; base < n; base += BLOCK) {
    int i = base + threadIdx.x, is_start = i < n && (i == 0 || in[i] != in[i - 1]);
    int at = carry + inclusive_scan(is_start, warps);
    if (is_start) starts[at - 1] = i, symbols[at - 1] = in[i];
    __syncthreads();
    if (threadIdx.x == BLOCK - 1) carry = at;
    __syncthreads();
  }
  if (threadIdx.x == 0) *runs = carry, starts[carry] = n;
}

__global__ void expand(const int *starts, const uint8_t *symbols, int runs, uint8_t *out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  int low = 0, high = runs - 1;
  do {
    int mid = (low + high + 1) / 2;
    if (starts[mid] <= i)
      low = mid;
    else
      high = mid - 1;
  } while (low < high);
  out[i] = symbols[low];
}

struct Code {
  uint16_t bits;
  uint8_t length;
};
__constant__ Code codes[8];

// Each symbol's bits go where the lengths before it end, by atomicOr into zeroed words.
__global__ void pack(const uint8_t *in, int n, uint32_t *words, int *total) {
  __shared__ int warps[BLOCK / 32], carry;
  if (threadIdx.x == 0) carry = 0;
  __syncthreads();
  for (int base = 0; base < n; base += BLOCK) {
    int i = base + threadIdx.x;
    Code code = {0, 0};
    if (i < n) code = codes[in[i]];
    int end = carry + inclusive_scan(code.length, warps), begin = end - code.length;
    if (i < n) {
      uint64_t shifted = (uint64_t)code.bits << (64 - code.length - begin % 32);
      atomicOr(&words[begin / 32], (uint32_t)(shifted >> 32));
      if ((uint32_t)shifted) atomicOr(&words[begin / 32 + 1], (uint32_t)shifted);
    }
    __syncthreads();
    if (threadIdx.x == BLOCK - 1) carry = end;
    __syncthreads();
  }
  if (threadIdx.x == 0) *total = carry;
}

int main() {
  const int n = 3000;
  // A canonical prefix code of eight symbols.
  const Code host_codes[8] = {{0, 1}, {4, 3}, {5, 3}, {12, 4}, {13, 4}, {14, 4}, {30, 5}, {31, 5}};
  cudaMemcpyToSymbol(codes, host_codes, sizeof host_codes);
  uint8_t *in, *symbols, *out;
  int *starts, *runs, *total;
  uint32_t *words;
  cudaMallocManaged(&in, n), cudaMallocManaged(&symbols, n), cudaMallocManaged(&out, n), cudaMallocManaged(&words, n * 4);
  cudaMallocManaged(&starts, (n + 1) * 4), cudaMallocManaged(&runs, 4), cudaMallocManaged(&total, 4);
  for (int i = 0; i < n; ++i) in[i] = i && rand() % 3 ? in[i - 1] : rand() % 8;
  run_starts<<<1, BLOCK>>>(in, n, starts, symbols, runs);
  cudaDeviceSynchronize();
  int expected = 0;
  bool good = true;
  for (int i = 0; i < n; ++i)
    if (i == 0 || in[i] != in[i - 1]) good &= starts[expected] == i && symbols[expected] == in[i], ++expected;
  good &= *runs == expected;
  if (good) expand<<<(n + BLOCK - 1) / BLOCK, BLOCK>>>(starts, symbols, *runs, out, n);
  cudaMemset(words, 0, n * 4);
  pack<<<1, BLOCK>>>(in, n, words, total);
  good &= cudaDeviceSynchronize() == cudaSuccess;
  int bit = 0;
  for (int i = 0; i < n; ++i) {
    good &= out[i] == in[i];
    unsigned code = 0, length = 0, symbol = 8;
    while (symbol == 8 && length < 8) {
      code = code << 1 | (words[bit / 32] >> (31 - bit % 32) & 1), ++length, ++bit;
      for (unsigned s = 0; s < 8; ++s)
        if (host_codes[s].length == length && host_codes[s].bits == code) symbol = s;
    }
    good &= symbol == in[i];
  }
  printf("%d runs, %d bits\n", *runs, *total);
  good &= bit == *total;
  puts(good ? "PASS" : "FAIL");
  return !good;
}
