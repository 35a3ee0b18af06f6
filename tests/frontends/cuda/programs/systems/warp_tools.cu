// What lanes of a warp do together, one function each, on random data: votes, shuffles, matches, reductions.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

enum { IDX, UP, DOWN, XOR, SEGMENT, WIDE, OLD, ANY, ALL, BALLOT, UNIFORM, ACTIVE, MATCH, ADD, MIN, MAX, UMIN, UMAX, AND, OR, BITXOR, MASKED, LESS, GREATER, COUNT };

__global__ void compute(const int *x, const int *y, int (*out)[COUNT], unsigned odd) {
  const int i = threadIdx.x, lane = i % 32;
  const int v = x[i], w = y[i];
  int *o = out[i];
  o[IDX] = __shfl_sync(~0u, v, w & 31);
  o[UP] = __shfl_up_sync(~0u, v, 3);
  o[DOWN] = __shfl_down_sync(~0u, v, 5);
  o[XOR] = __shfl_xor_sync(~0u, v, 9);
  o[SEGMENT] = __shfl_down_sync(~0u, v, 2, 8);
  long long wide = (long long)v << 32 | (unsigned)w;
  wide = __shfl_up_sync(~0u, wide, 1);
  o[WIDE] = (int)(wide >> 32) ^ (int)wide;
#ifdef __CANOPY__  // gone from today's CUDA
  o[OLD] = __shfl_xor(w, 16);
#else
  o[OLD] = __shfl_xor_sync(~0u, w, 16);
#endif
  o[ANY] = __any_sync(~0u, v % 16 == 0);
  o[ALL] = __all_sync(~0u, w > -90);
  o[BALLOT] = __ballot_sync(~0u, v & 1);
  o[UNIFORM] = o[MATCH] = o[ACTIVE] = 0;
  asm("{.reg .pred p, q; setp.gt.s32 p, %1, 20; vote.sync.uni.pred q, p, 0xffffffff; selp.s32 %0, 1, 0, q;}" : "=r"(o[UNIFORM]) : "r"(w));
  o[MATCH] = __match_any_sync(~0u, v % 4);
  o[ADD] = __reduce_add_sync(~0u, v), o[MIN] = __reduce_min_sync(~0u, v), o[MAX] = __reduce_max_sync(~0u, v);
  o[UMIN] = __reduce_min_sync(~0u, (unsigned)v), o[UMAX] = __reduce_max_sync(~0u, (unsigned)v);
  o[AND] = __reduce_and_sync(~0u, (unsigned)v | 0x0f0f0f0f), o[OR] = __reduce_or_sync(~0u, v & 0x700 << lane % 3);
  o[BITXOR] = __reduce_xor_sync(~0u, (unsigned)v);
  unsigned below, above;
  asm("mov.u32 %0, %%lanemask_lt;" : "=r"(below));
  asm("mov.u32 %0, %%lanemask_gt;" : "=r"(above));
  o[LESS] = below, o[GREATER] = above;
  o[MASKED] = 0;
  if (lane & 1) {  // only the members count
    o[ACTIVE] = __activemask();
    o[MASKED] = __ballot_sync(odd, v > 0) ^ __reduce_add_sync(odd, v) ^ __any_sync(odd, w == 77) << 20;
  }
}

int main() {
  const int n = 96;
  int *x, *y, (*out)[COUNT], bad = 0;
  cudaMallocManaged(&x, n * 4), cudaMallocManaged(&y, n * 4), cudaMallocManaged(&out, n * sizeof *out);
  for (int i = 0; i < n; ++i) x[i] = rand() % 2000 - 1000, y[i] = i / 32 == 2 ? 50 + i % 5 : rand() % 200 - 100;
  compute<<<1, 96>>>(x, y, out, 0xaaaaaaaa);
  if (cudaDeviceSynchronize() != cudaSuccess) return puts("FAIL"), 1;
  for (int i = 0; i < n; ++i) {
    const int lane = i % 32, *v = x + i - lane, *w = y + i - lane;
    int e[COUNT] = {};
    e[IDX] = v[w[lane] & 31], e[UP] = v[lane < 3 ? lane : lane - 3], e[DOWN] = v[lane + 5 > 31 ? lane : lane + 5], e[XOR] = v[lane ^ 9];
    e[SEGMENT] = v[lane % 8 + 2 > 7 ? lane : lane + 2], e[WIDE] = lane ? v[lane - 1] ^ w[lane - 1] : v[0] ^ w[0], e[OLD] = w[lane ^ 16];
    e[ALL] = 1, e[UNIFORM] = 1, e[MIN] = e[UMIN] = v[0], e[MAX] = e[UMAX] = v[0], e[AND] = -1;
    for (int k = 0; k < 32; ++k) {
      e[ANY] |= v[k] % 16 == 0, e[ALL] &= w[k] > -90, e[BALLOT] |= (v[k] & 1) << k, e[UNIFORM] &= (w[k] > 20) == (w[0] > 20);
      e[MATCH] |= (v[k] % 4 == v[lane] % 4) << k;
      e[ADD] += v[k], e[MIN] = std::min(e[MIN], v[k]), e[MAX] = std::max(e[MAX], v[k]);
      e[UMIN] = std::min((unsigned)e[UMIN], (unsigned)v[k]), e[UMAX] = std::max((unsigned)e[UMAX], (unsigned)v[k]);
      e[AND] &= v[k] | 0x0f0f0f0f, e[OR] |= v[k] & 0x700 << k % 3, e[BITXOR] ^= v[k];
    }
    e[LESS] = (1u << lane) - 1, e[GREATER] = lane == 31 ? 0 : ~0u << (lane + 1);
    if (lane & 1) {
      int votes = 0, sum = 0, any = 0;
      for (int k = 1; k < 32; k += 2) votes |= (v[k] > 0) << k, sum += v[k], any |= w[k] == 77;
      e[ACTIVE] = 0xaaaaaaaa, e[MASKED] = votes ^ sum ^ any << 20;
    }
    for (int k = 0; k < COUNT; ++k)
      if (out[i][k] != e[k] && bad++ < 8) printf("thread %d, function %d: %x, not %x\n", i, k, out[i][k], e[k]);
  }
  puts(bad ? "FAIL" : "PASS");
  return bad != 0;
}
