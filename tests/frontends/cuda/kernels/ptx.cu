__device__ __forceinline__ unsigned to_shared(const void* p) {
  unsigned a;
  asm("{ .reg .u64 t; cvta.to.shared.u64 t, %1; cvt.u32.u64 %0, t; }" : "=r"(a) : "l"(p));
  return a;
}
__device__ __forceinline__ unsigned add_cc(unsigned a, unsigned b) {
  unsigned r; asm volatile("add.cc.u32 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b)); return r;
}
__device__ __forceinline__ unsigned addc_cc(unsigned a, unsigned b) {
  unsigned r; asm volatile("addc.cc.u32 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b)); return r;
}
__global__ void big_sums(int words, const unsigned* a, const unsigned* b, unsigned* out) {
  int i = threadIdx.x;
  out[i] = add_cc(a[i], b[i]);
  for (int k = 1; k < 4; k++) out[64 * k + i] = addc_cc(a[64 * k + i], b[64 * k + i]);
  out[256 + i] = addc_cc(0, 0);
}
__global__ void copies(const float* in, float* out, int n) {
  __shared__ __align__(16) float tile[256];
  __shared__ float other[64];
  int i = threadIdx.x, left = n - 4 * i;
  unsigned target = to_shared(&tile[4 * i]);
  int bytes = left >= 4 ? 16 : left > 0 ? 4 * left : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(target), "l"(in + 4 * i), "r"(bytes));
  asm volatile("cp.async.commit_group;\n cp.async.wait_group %0;" ::"n"(0));
  asm volatile("bar.sync 0;" ::: "memory");
  other[i] = tile[(4 * i + 5) % 256];
  asm volatile("st.shared.f32 [%0+-4], %1;" ::"r"((unsigned)__cvta_generic_to_shared(&other[63 - i]) + 4),
               "f"(tile[i] * 2));
  __syncthreads();
  float a, b, c, d;
  asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(a), "=f"(b), "=f"(c), "=f"(d) : "r"(target));
  asm volatile("st.global.cs.v2.f32 [%0], {%1, %2};" ::"l"(out + 2 * i), "f"(a + b + c + d), "f"(other[i]));
}
__global__ void narrow(const unsigned char* in, int* out) {
  int i = threadIdx.x, a, b;
  asm("ld.global.nc.L1::no_allocate.s8 %0, [%1];" : "=r"(a) : "l"(in + i));
  asm("ld.global.u16 %0, [%1];" : "=r"(b) : "l"(in + i));
  out[i] = a * 100000 + b;
}
__global__ void atomics(int* sum, unsigned* most, float* total, int* old, unsigned long long* swapped) {
  int i = threadIdx.x;
  asm volatile("atom.global.add.s32 %0, [%1], %2;" : "=r"(old[i]) : "l"(sum), "r"(i));
  asm volatile("red.relaxed.gpu.global.max.u32 [%0], %1;" ::"l"(most), "r"(i * 0x04000000u));
  asm volatile("red.global.add.f32 [%0], %1;" ::"l"(total), "f"(0.5f));
  unsigned long long was;
  asm volatile("atom.cas.b64 %0, [%1], %2, %3;" : "=l"(was) : "l"(swapped), "l"(7ull), "l"(100ull + i));
  __shared__ int cell;
  if (i == 0) cell = 5;
  __syncthreads();
  asm volatile("red.shared.xor.b32 [%0], %1;" ::"r"(to_shared(&cell)), "r"(1 << (i & 31)));
  __syncthreads();
  if (i == 0) sum[1] = cell;
}
__global__ void place(unsigned* out) {
  unsigned v[8];
  asm("mov.u32 %0, %%tid.x; mov.u32 %1, %%ntid.x;" : "=r"(v[0]), "=r"(v[1]));
  asm("mov.u32 %0, %%laneid;" : "=r"(v[2]));
  asm("mov.u32 %0, %%warpid;" : "=r"(v[3]));
  asm("mov.u32 %0, %%lanemask_lt;" : "=r"(v[4]));
  asm("mov.u32 %0, %%lanemask_ge;" : "=r"(v[5]));
  asm volatile("{ .reg .pred p; setp.gt.u32 p, %1, 40;\n vote.sync.ballot.b32 %0, p, 0xffffffff; }"
               : "=r"(v[6]) : "r"(v[0]));
  asm volatile("shfl.sync.bfly.b32 %0, %1, 3, 31, 0xffffffff;" : "=r"(v[7]) : "r"(v[0]));
  for (int k = 0; k < 8; k++) out[64 * k + threadIdx.x] = v[k];
}
