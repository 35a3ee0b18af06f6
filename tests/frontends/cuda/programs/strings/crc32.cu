// CRC-32 with a table made on the device, of chunks that are then combined; Adler-32 by a block; reflected bits.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

__device__ uint32_t table[256];

__global__ void make_table(uint32_t polynomial) {
  uint32_t c = threadIdx.x;
#pragma unroll
  for (int k = 0; k < 8; k++) c = c & 1 ? __brev(polynomial) ^ (c >> 1) : c >> 1;
  table[threadIdx.x] = c;
}

__global__ void crc_chunks(const uint8_t *data, size_t size, int chunk, uint32_t *out) {
  __shared__ uint32_t t[256];
  for (int i = threadIdx.x; i < 256; i += blockDim.x) t[i] = table[i];
  __syncthreads();
  size_t first = (size_t)(blockIdx.x * blockDim.x + threadIdx.x) * chunk;
  if (first >= size) return;
  uint32_t crc = ~0u;
  for (size_t i = first; i < first + chunk && i < size; i++) crc = t[(crc ^ data[i]) & 0xff] ^ (crc >> 8);
  out[first / chunk] = ~crc;
}

// Adler-32: the sum of bytes and the sum of sums, as a weighted sum.
__global__ void adler32(const uint8_t *data, int size, uint32_t *result) {
  __shared__ unsigned long long a, b;
  if (threadIdx.x == 0) a = 1, b = size;
  __syncthreads();
  unsigned long long sum = 0, weighted = 0;
  for (int i = threadIdx.x; i < size; i += blockDim.x) sum += data[i], weighted += (unsigned long long)(size - i) * data[i];
  atomicAdd(&a, sum);
  atomicAdd(&b, weighted);
  __syncthreads();
  if (threadIdx.x == 0) *result = (uint32_t)(b % 65521) << 16 | (uint32_t)(a % 65521);
}

// crc(A + B) of crc(A), crc(B) and the length of B, by squaring the matrix of one zero bit.
static uint32_t combine(uint32_t crc1, uint32_t crc2, size_t length) {
  uint32_t even[32], odd[32];
  auto times = [](const uint32_t *m, uint32_t v) {
    uint32_t sum = 0;
    for (; v; v >>= 1, m++)
      if (v & 1) sum ^= *m;
    return sum;
  };
  odd[0] = 0xEDB88320;
  for (int i = 1; i < 32; i++) odd[i] = 1u << (i - 1);
  for (int i = 0; i < 32; i++) even[i] = times(odd, odd[i]);
  for (int i = 0; i < 32; i++) odd[i] = times(even, even[i]);
  for (uint32_t *now = even, *before = odd; length; length >>= 1) {
    for (int i = 0; i < 32; i++) now[i] = times(before, before[i]);
    if (length & 1) crc1 = times(now, crc1);
    uint32_t *t = now;
    now = before, before = t;
  }
  return crc1 ^ crc2;
}

static uint32_t reference(const std::vector<uint8_t> &data) {
  uint32_t crc = ~0u;
  for (uint8_t byte : data) {
    crc ^= byte;
    for (int k = 0; k < 8; k++) crc = crc & 1 ? 0xEDB88320 ^ (crc >> 1) : crc >> 1;
  }
  return ~crc;
}

int main(int argc, char **argv) {
  const size_t size = argc > 1 ? strtoul(argv[1], nullptr, 10) : 50021;
  const int chunk = 500, chunks = (size + chunk - 1) / chunk;
  std::vector<uint8_t> data(size);
  for (uint8_t &b : data) b = rand() >> 3;
  uint8_t *d_data;
  uint32_t *d_out, adler = 0;
  cudaMalloc(&d_data, size);
  cudaMalloc(&d_out, chunks * sizeof(uint32_t));
  cudaMemcpy(d_data, data.data(), size, cudaMemcpyHostToDevice);
  make_table<<<1, 256>>>(0x04C11DB7);
  crc_chunks<<<(chunks + 31) / 32, 32>>>(d_data, size, chunk, d_out);
  std::vector<uint32_t> parts(chunks);
  cudaMemcpy(parts.data(), d_out, chunks * sizeof(uint32_t), cudaMemcpyDeviceToHost);
  uint32_t crc = parts[0];
  for (int i = 1; i < chunks; i++) crc = combine(crc, parts[i], i == chunks - 1 ? size - (size_t)i * chunk : chunk);
  adler32<<<1, 96>>>(d_data, (int)size, d_out);
  cudaMemcpy(&adler, d_out, 4, cudaMemcpyDeviceToHost);
  uint32_t a = 1, b = 0;
  for (uint8_t byte : data) a = (a + byte) % 65521, b = (b + a) % 65521;
  printf("crc %08x, adler %08x\n", crc, adler);
  bool good = crc == reference(data) && adler == (b << 16 | a) && reference({'1', '2', '3', '4', '5', '6', '7', '8', '9'}) == 0xCBF43926;
  puts(good ? "PASS" : "FAIL");
  return !good;
}
