// Bits: Morton codes, population counts, rotations, byte permutations, SIMD of bytes, wide products, PTX.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

__host__ __device__ inline uint32_t spread(uint32_t v) {
  v = (v | v << 8) & 0x00FF00FF;
  v = (v | v << 4) & 0x0F0F0F0F;
  v = (v | v << 2) & 0x33333333;
  return (v | v << 1) & 0x55555555;
}

enum { MORTON, POPC, CLZ, FFS, BREV, PERM, FUNNEL_L, FUNNEL_R, MULHI, UMULHI, MUL24, SAD, HADD, RHADD, VADD4, VABSDIFF4, VMAXU2, VCMPEQ4, DP4A,
       DP2A, BFE, LOP3, MAD, PRMT, CARRY, ROTATE64, POPCLL, CLZLL, FFSLL, BREVLL, MUL64HI, COUNT };

__global__ void compute(const uint32_t *a, const uint32_t *b, const uint32_t *c, uint64_t (*out)[COUNT], int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  uint32_t x = a[i], y = b[i], z = c[i], r, high;
  uint64_t w = (uint64_t)x << 32 | y, *o = out[i];
  o[MORTON] = spread(x & 0xffff) | spread(y & 0xffff) << 1;
  o[POPC] = __popc(x), o[CLZ] = __clz(x), o[FFS] = __ffs(x), o[BREV] = __brev(x);
  o[PERM] = __byte_perm(x, y, z);
  o[FUNNEL_L] = __funnelshift_l(x, y, z), o[FUNNEL_R] = __funnelshift_rc(x, y, z & 63);
  o[MULHI] = (uint32_t)__mulhi((int)x, (int)y), o[UMULHI] = __umulhi(x, y), o[MUL24] = (uint32_t)__mul24((int)x, (int)y);
  o[SAD] = __usad(x, y, z), o[HADD] = __uhadd(x, y), o[RHADD] = (uint32_t)__rhadd((int)x, (int)y);
  o[VADD4] = __vadd4(x, y), o[VABSDIFF4] = __vabsdiffu4(x, y), o[VMAXU2] = __vmaxu2(x, y), o[VCMPEQ4] = __vcmpeq4(x, y ^ (z & 1 ? x ^ y : 0));
  o[DP4A] = (uint32_t)__dp4a((int)x, (int)y, (int)z), o[DP2A] = (uint32_t)__dp2a_lo((int)x, (int)y, (int)z);
  asm("bfe.u32 %0, %1, %2, %3;" : "=r"(r) : "r"(x), "r"(z & 31), "r"(7));
  o[BFE] = r;
  asm("lop3.b32 %0, %1, %2, %3, 0x96;" : "=r"(r) : "r"(x), "r"(y), "r"(z));
  o[LOP3] = r;
  asm volatile("mad.lo.u32 %0, %1, %2, %3;" : "=r"(r) : "r"(x), "r"(y), "r"(z));
  o[MAD] = r;
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(r) : "r"(x), "r"(y), "r"(0x0123));
  o[PRMT] = r;
  asm("add.cc.u32 %0, %2, %3;\n\taddc.u32 %1, %4, 0;" : "=r"(r), "=r"(high) : "r"(x), "r"(y), "r"(z));
  o[CARRY] = (uint64_t)high << 32 | r;
  o[ROTATE64] = w << (z & 63) | w >> (-z & 63);
  o[POPCLL] = __popcll(w), o[CLZLL] = __clzll(w), o[FFSLL] = __ffsll(w), o[BREVLL] = __brevll(w);
  o[MUL64HI] = __umul64hi(w, (uint64_t)z << 32 | x);
}

static uint64_t reversed(uint64_t v, int bits) {
  uint64_t r = 0;
  for (int k = 0; k < bits; k++) r |= (v >> k & 1) << (bits - 1 - k);
  return r;
}
static uint8_t byte(uint64_t v, int k) { return v >> 8 * k; }

static void reference(uint32_t x, uint32_t y, uint32_t z, uint64_t *o) {
  uint64_t w = (uint64_t)x << 32 | y, both = (uint64_t)y << 32 | x;
  for (int k = 0; k < COUNT; k++) o[k] = 0;
  for (int k = 0; k < 16; k++) o[MORTON] |= (uint64_t)(x >> k & 1) << 2 * k | (uint64_t)(y >> k & 1) << (2 * k + 1);
  for (int k = 0; k < 32; k++) o[POPC] += x >> k & 1;
  for (int k = 31; k >= 0 && !(x >> k & 1); k--) o[CLZ]++;
  for (int k = 31; k >= 0; k--) o[FFS] = x >> k & 1 ? k + 1 : o[FFS];
  o[BREV] = reversed(x, 32);
  for (int k = 0; k < 4; k++) o[PERM] |= (uint64_t)byte(both, z >> 4 * k & 7) << 8 * k;
  o[FUNNEL_L] = (uint32_t)(both << (z & 31) >> 32);
  o[FUNNEL_R] = (z & 63) < 32 ? (uint32_t)(both >> (z & 31)) : y;
  o[MULHI] = (uint32_t)((int64_t)(int)x * (int)y >> 32), o[UMULHI] = (uint64_t)x * y >> 32;
  o[MUL24] = (uint32_t)((int64_t)((int)(x << 8) >> 8) * ((int)(y << 8) >> 8));
  o[SAD] = (uint32_t)(z + (x > y ? x - y : y - x)), o[HADD] = ((uint64_t)x + y) >> 1;
  o[RHADD] = (uint32_t)(((int64_t)(int)x + (int)y + 1) >> 1);
  uint32_t other = y ^ (z & 1 ? x ^ y : 0);
  int dp4 = z, dp2 = z;
  for (int k = 0; k < 4; k++) {
    uint8_t p = byte(x, k), q = byte(y, k);
    o[VADD4] |= (uint64_t)(uint8_t)(p + q) << 8 * k;
    o[VABSDIFF4] |= (uint64_t)(p > q ? p - q : q - p) << 8 * k;
    o[VCMPEQ4] |= p == byte(other, k) ? 0xffull << 8 * k : 0;
    dp4 = (int)((unsigned)dp4 + (unsigned)((int8_t)p * (int8_t)q));
    o[PRMT] |= (uint64_t)p << 8 * (3 - k);
  }
  for (int k = 0; k < 2; k++) {
    uint16_t p = x >> 16 * k, q = y >> 16 * k;
    o[VMAXU2] |= (uint64_t)(p > q ? p : q) << 16 * k;
    dp2 = (int)((unsigned)dp2 + (unsigned)((int16_t)p * (int8_t)byte(y, k)));
  }
  o[DP4A] = (uint32_t)dp4, o[DP2A] = (uint32_t)dp2;
  o[BFE] = (uint64_t)x >> (z & 31) & 127, o[LOP3] = x ^ y ^ z, o[MAD] = (uint32_t)(x * y + z);
  uint64_t sum = (uint64_t)x + y;
  o[CARRY] = (uint64_t)(uint32_t)(z + (sum >> 32)) << 32 | (uint32_t)sum;
  o[ROTATE64] = z & 63 ? w << (z & 63) | w >> (64 - (z & 63)) : w;
  o[POPCLL] = __builtin_popcountll(w), o[CLZLL] = w ? __builtin_clzll(w) : 64, o[FFSLL] = __builtin_ffsll(w), o[BREVLL] = reversed(w, 64);
  o[MUL64HI] = (unsigned __int128)w * ((uint64_t)z << 32 | x) >> 64;
}

int main() {
  const int n = 500;
  uint32_t *in[3];
  uint64_t(*out)[COUNT], expected[COUNT];
  for (auto &p : in) cudaMallocManaged(&p, n * 4);
  cudaMallocManaged(&out, n * sizeof *out);
  for (int i = 0; i < n; i++)
    for (auto &p : in) p[i] = i < 8 ? (uint32_t[]){0, 1, ~0u, 1u << 31}[rand() % 4] : (uint32_t)rand() << (rand() % 3) ^ rand() >> 7;
  compute<<<(n + 63) / 64, 64>>>(in[0], in[1], in[2], out, n);
  int bad = cudaDeviceSynchronize() != cudaSuccess;
  for (int i = 0; i < n; i++) {
    reference(in[0][i], in[1][i], in[2][i], expected);
    for (int k = 0; k < COUNT; k++)
      if (out[i][k] != expected[k] && bad++ < 5)
        printf("function %d of %x %x %x: %llx, not %llx\n", k, in[0][i], in[1][i], in[2][i], (unsigned long long)out[i][k], (unsigned long long)expected[k]);
  }
  puts(bad ? "FAIL" : "PASS");
  return bad != 0;
}
