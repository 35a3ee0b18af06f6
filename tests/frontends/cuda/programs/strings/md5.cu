// MD5: digests of many short words, and the word behind a digest by trying all of them.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

__constant__ uint32_t K[64];
__constant__ unsigned char S[16] = {7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21};
__device__ int found_length;
__device__ char found_word[8];

struct Digest {
  uint32_t a, b, c, d;
  __host__ __device__ bool operator==(const Digest &o) const { return a == o.a && b == o.b && c == o.c && d == o.d; }
};

__device__ Digest md5(const uint32_t *w) {
  Digest h = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
  uint32_t a = h.a, b = h.b, c = h.c, d = h.d;
#pragma unroll 4
  for (int i = 0; i < 64; i++) {
    uint32_t f, g;
    if (i < 16)
      f = (b & c) | (~b & d), g = i;
    else if (i < 32)
      f = (d & b) | (~d & c), g = (5 * i + 1) % 16;
    else if (i < 48)
      f = b ^ c ^ d, g = (3 * i + 5) % 16;
    else
      f = c ^ (b | ~d), g = (7 * i) % 16;
    f += a + K[i] + w[g];
    a = d, d = c, c = b;
    b += __funnelshift_l(f, f, S[i / 16 * 4 + i % 4]);
  }
  return {h.a + a, h.b + b, h.c + c, h.d + d};
}

__device__ void fill(uint32_t *w, const char *text, int length) {
  for (int i = 0; i < 16; i++) w[i] = 0;
  for (int i = 0; i <= length; i++) w[i / 4] |= (uint32_t)(unsigned char)(i < length ? text[i] : 0x80) << 8 * (i % 4);
  w[14] = length * 8;
}

__global__ void digests(const char *text, const int *offsets, int n, Digest *out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  uint32_t w[16];
  fill(w, text + offsets[i], offsets[i + 1] - offsets[i]);
  out[i] = md5(w);
}

__global__ void crack(Digest wanted, int length, int words) {
  for (int number = blockIdx.x * blockDim.x + threadIdx.x; number < words; number += gridDim.x * blockDim.x) {
    char text[8];
    for (int i = 0, rest = number; i < length; i++, rest /= 26) text[i] = 'a' + rest % 26;
    uint32_t w[16];
    fill(w, text, length);
    if (md5(w) == wanted) {
      memcpy(found_word, text, length);
      found_length = length;
    }
  }
}

static std::string hex(const Digest &d) {
  char s[33];
  for (int i = 0; i < 16; i++) snprintf(s + 2 * i, 3, "%02x", (&d.a)[i / 4] >> 8 * (i % 4) & 255);
  return s;
}

int main() {
  uint32_t k[64];
  for (int i = 0; i < 64; i++) k[i] = (uint32_t)(int64_t)(4294967296.0 * __builtin_fabs(__builtin_sin(i + 1)));
  cudaMemcpyToSymbol(K, k, sizeof k);
  // The digests of RFC 1321, and one more.
  const char *words[] = {"", "a", "abc", "message digest", "abcdefghijklmnopqrstuvwxyz", "dog"};
  const char *known[] = {"d41d8cd98f00b204e9800998ecf8427e", "0cc175b9c0f1b6a831c399e269772661", "900150983cd24fb0d6963f7d28e17f72",
                         "f96b697d7cb7938d525a2f31aaf161d0", "c3fcd3d76192e4007dfb496cca67e13b", "06d80eb0c50b49a509b49f2424e8c805"};
  const int n = 6;
  std::string all;
  int offsets[n + 1] = {0};
  for (int i = 0; i < n; i++) all += words[i], offsets[i + 1] = all.size();
  char *d_text;
  int *d_offsets, length = 0;
  Digest *d_out, out[n];
  cudaMalloc(&d_text, all.size()), cudaMalloc(&d_offsets, sizeof offsets), cudaMalloc(&d_out, sizeof out);
  cudaMemcpy(d_text, all.data(), all.size(), cudaMemcpyHostToDevice);
  cudaMemcpy(d_offsets, offsets, sizeof offsets, cudaMemcpyHostToDevice);
  digests<<<1, 32>>>(d_text, d_offsets, n, d_out);
  cudaMemcpy(out, d_out, sizeof out, cudaMemcpyDeviceToHost);
  bool good = true;
  for (int i = 0; i < n; i++)
    if (hex(out[i]) != known[i]) printf("\"%s\": %s\n", words[i], hex(out[i]).c_str()), good = false;
  crack<<<16, 64>>>(out[n - 1], 3, 26 * 26 * 26);
  char word[8] = {};
  cudaMemcpyFromSymbol(word, found_word, sizeof word);
  cudaMemcpyFromSymbol(&length, found_length, sizeof length);
  printf("found %s\n", word);
  good &= length == 3 && !strcmp(word, "dog");
  puts(good ? "PASS" : "FAIL");
  return !good;
}
