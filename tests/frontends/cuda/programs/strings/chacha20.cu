// ChaCha20 with uint4 rows and rotations by __byte_perm; base64 of its output, and back.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#define ROTL(v, n) __funnelshift_l(v, v, n)
#define QUARTER(a, b, c, d)                   \
  a += b, d = __byte_perm(d ^ a, 0, 0x1032); \
  c += d, b = ROTL(b ^ c, 12);                \
  a += b, d = __byte_perm(d ^ a, 0, 0x2103); \
  c += d, b = ROTL(b ^ c, 7)

__global__ void chacha20(const uint4 *in, uint4 *out, int blocks, uint4 key0, uint4 key1, uint4 nonce) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= blocks) return;
  const uint4 s0 = make_uint4(0x61707865, 0x3320646e, 0x79622d32, 0x6b206574);
  nonce.x += i;
  uint4 a = s0, b = key0, c = key1, d = nonce;
  for (int round = 0; round < 10; ++round) {
    QUARTER(a.x, b.x, c.x, d.x);
    QUARTER(a.y, b.y, c.y, d.y);
    QUARTER(a.z, b.z, c.z, d.z);
    QUARTER(a.w, b.w, c.w, d.w);
    QUARTER(a.x, b.y, c.z, d.w);
    QUARTER(a.y, b.z, c.w, d.x);
    QUARTER(a.z, b.w, c.x, d.y);
    QUARTER(a.w, b.x, c.y, d.z);
  }
  auto add_xor = [](uint4 x, const uint4 &y, const uint4 &z) {
    return make_uint4((x.x + y.x) ^ z.x, (x.y + y.y) ^ z.y, (x.z + y.z) ^ z.z, (x.w + y.w) ^ z.w);
  };
  out[4 * i] = add_xor(a, s0, in[4 * i]);
  out[4 * i + 1] = add_xor(b, key0, in[4 * i + 1]);
  out[4 * i + 2] = add_xor(c, key1, in[4 * i + 2]);
  out[4 * i + 3] = add_xor(d, nonce, in[4 * i + 3]);
}

__constant__ char alphabet[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

__global__ void base64(const uchar3 *in, char4 *out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  uchar3 b = in[i];
  out[i] = make_char4(alphabet[b.x >> 2], alphabet[(b.x & 3) << 4 | b.y >> 4], alphabet[(b.y & 15) << 2 | b.z >> 6], alphabet[b.z & 63]);
}

__global__ void unbase64(const char4 *in, uchar3 *out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  auto value = [](char c) -> unsigned { return c == '+' ? 62 : c == '/' ? 63 : c <= '9' ? c - '0' + 52 : c <= 'Z' ? c - 'A' : c - 'a' + 26; };
  char4 t = in[i];
  unsigned v = value(t.x) << 18 | value(t.y) << 12 | value(t.z) << 6 | value(t.w);
  out[i] = make_uchar3(v >> 16, v >> 8, v);
}

int main() {
  // The example of RFC 8439, section 2.4.2.
  std::string text =
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
  const unsigned char known[] = {0x6e, 0x2e, 0x35, 0x9a, 0x25, 0x68, 0xf9, 0x80, 0x41, 0xba, 0x07, 0x28, 0xdd, 0x0d, 0x69, 0x81};
  const unsigned char last[] = {0x5a, 0xf9, 0x0b, 0xbf, 0x74, 0xa3, 0x5b, 0xe6, 0xb4, 0x0b, 0x8e, 0xed, 0xf2, 0x78, 0x5e, 0x42, 0x87, 0x4d};
  const int blocks = 99, bytes = blocks * 64, size = text.size();
  text.resize(bytes, 'x');
  unsigned char key[32];
  for (int i = 0; i < 32; ++i) key[i] = i;
  uint4 key0, key1, nonce = make_uint4(1, 0, 0x4a000000, 0);
  memcpy(&key0, key, 16), memcpy(&key1, key + 16, 16);
  unsigned char *in, *out, *back;
  cudaMallocManaged(&in, bytes), cudaMallocManaged(&out, bytes), cudaMallocManaged(&back, bytes);
  memcpy(in, text.data(), bytes);
  chacha20<<<(blocks + 31) / 32, 32>>>((uint4 *)in, (uint4 *)out, blocks, key0, key1, nonce);
  chacha20<<<(blocks + 31) / 32, 32>>>((uint4 *)out, (uint4 *)back, blocks, key0, key1, nonce);
  bool good = cudaDeviceSynchronize() == cudaSuccess;
  good &= !memcmp(out, known, 16) && !memcmp(out + size - sizeof last, last, sizeof last);
  good &= !memcmp(back, in, bytes) && memcmp(out, in, bytes);
  char *coded;
  cudaMallocManaged(&coded, bytes / 3 * 4);
  cudaMemset(back, 0, bytes);
  base64<<<(bytes / 3 + 63) / 64, 64>>>((uchar3 *)out, (char4 *)coded, bytes / 3);
  unbase64<<<(bytes / 3 + 63) / 64, 64>>>((char4 *)coded, (uchar3 *)back, bytes / 3);
  good &= cudaDeviceSynchronize() == cudaSuccess;
  good &= std::string(coded, 12) == "bi41miVo+YBB" && !memcmp(back, out, bytes / 3 * 3);
  puts(good ? "PASS" : "FAIL");
  return !good;
}
