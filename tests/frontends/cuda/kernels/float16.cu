// Conversions and arithmetic of the small floats, for test_float16.py and programs/float16.cu.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#define BOTH __host__ __device__ inline

// What becomes of one float: 18 codes.
BOTH void narrow_one(float x, unsigned short* out) {
  __half h[5] = {__float2half(x), __float2half_rn(x), __float2half_rz(x), __float2half_rd(x), __float2half_ru(x)};
  __nv_bfloat16 b[5] = {__float2bfloat16(x), __float2bfloat16_rn(x), __float2bfloat16_rz(x), __float2bfloat16_rd(x),
                        __float2bfloat16_ru(x)};
  for (int i = 0; i < 5; i++) {
    out[i] = __half_as_ushort(h[i]);
    out[5 + i] = __bfloat16_as_ushort(b[i]);
  }
  out[10] = __nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E4M3);
  out[11] = __nv_cvt_float_to_fp8(x, __NV_NOSAT, __NV_E4M3);
  out[12] = __nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E5M2);
  out[13] = __nv_cvt_float_to_fp8(x, __NV_NOSAT, __NV_E5M2);
  out[14] = __nv_fp8_e4m3(__half(x)).__x;
  out[15] = __nv_fp8_e5m2(__nv_bfloat16(x)).__x;
  out[16] = __half_as_ushort((__half)__ushort2half_rn((unsigned short)0));
  out[17] = __nv_fp8x2_e4m3(make_float2(x, 1.0f)).__x;
}
BOTH void narrow_double_one(double x, unsigned short* out) {
  out[0] = __half_as_ushort(__double2half(x));
  out[1] = __bfloat16_as_ushort(__double2bfloat16(x));
  out[2] = __nv_fp8_e4m3(x).__x;
  out[3] = __nv_fp8_e5m2(x).__x;
}
// Of an integer: in four modes in half, then in bfloat16.
BOTH void integer_one(long long x, unsigned short* out) {
  __half h[8] = {__ll2half_rn(x), __ll2half_rz(x), __ll2half_rd(x), __ll2half_ru(x),
                 __int2half_rn((int)x), __int2half_rz((int)x), __ull2half_rn(x), __uint2half_rn((unsigned)x)};
  __nv_bfloat16 b[8] = {__ll2bfloat16_rn(x), __ll2bfloat16_rz(x), __ll2bfloat16_rd(x), __ll2bfloat16_ru(x),
                        __int2bfloat16_rn((int)x), __int2bfloat16_rz((int)x), __ull2bfloat16_rn(x),
                        __uint2bfloat16_rn((unsigned)x)};
  for (int i = 0; i < 8; i++) {
    out[i] = __half_as_ushort(h[i]);
    out[8 + i] = __bfloat16_as_ushort(b[i]);
  }
}
// What one code of 16 bits is as a float and as integers.
BOTH void widen_one(unsigned short code, float* wide, long long* whole) {
  __half h = __ushort_as_half(code);
  __nv_bfloat16 b = __ushort_as_bfloat16(code);
  wide[0] = __half2float(h);
  wide[1] = __bfloat162float(b);
  wide[2] = (float)__half(__nv_cvt_fp8_to_halfraw((unsigned char)code, __NV_E4M3));
  wide[3] = (float)__half(__nv_cvt_fp8_to_halfraw((unsigned char)code, __NV_E5M2));
  long long all[12] = {__half2int_rn(h),   __half2int_rz(h),    __half2int_rd(h),         __half2int_ru(h),
                       __half2uint_rz(h),  __half2short_rn(h),  __half2ushort_rd(h),      __half2char_rz(h),
                       __half2ll_ru(h),    __bfloat162int_rn(b), __bfloat162ll_rz(b),     __bfloat162uchar_rz(b)};
  for (int i = 0; i < 12; i++) whole[i] = all[i];
}
template <class T> BOTH void pair_one(T a, T b, T c, T* out) {
  T all[12] = {a + b, a - b, a * b, a / b, __hmax(a, b), __hmin(a, b), __hfma(a, b, c), __hfma(-a, b, c),
               __hadd_sat(a, b), __hfma_relu(a, b, c), __hmax_nan(a, b), a * b + c};
  for (int i = 0; i < 12; i++) out[i] = all[i];
}
template <class T2> BOTH void two_one(T2 a, T2 b, T2 c, T2* out) {
  T2 all[12] = {a + b, a - b, a * b, a / b, __hmax2(a, b), __hmin2(a, b), __hfma2(a, b, c), __hfma2(-a, b, c),
                __hadd2_sat(a, b), __hfma2_relu(a, b, c), __hmax2_nan(a, b), a * b + c};
  for (int i = 0; i < 12; i++) out[i] = all[i];
}
template <class T> BOTH unsigned compare_one(T a, T b) {
  return __heq(a, b) | __hne(a, b) << 1 | __hlt(a, b) << 2 | __hle(a, b) << 3 | __hgt(a, b) << 4 | __hge(a, b) << 5 |
         __hequ(a, b) << 6 | __hneu(a, b) << 7 | __hltu(a, b) << 8 | __hleu(a, b) << 9 | __hgtu(a, b) << 10 |
         __hgeu(a, b) << 11 | (a == b) << 12 | (a != b) << 13 | (a < b) << 14 | __hisnan(a) << 15;
}

#define INDEX int i = blockIdx.x * blockDim.x + threadIdx.x; if (i >= n) return
__global__ void narrow(int n, const float* x, unsigned short* out) { INDEX; narrow_one(x[i], out + 18 * i); }
__global__ void narrow_double(int n, const double* x, unsigned short* out) { INDEX; narrow_double_one(x[i], out + 4 * i); }
__global__ void integers(int n, const long long* x, unsigned short* out) { INDEX; integer_one(x[i], out + 16 * i); }
__global__ void widen(int n, float* wide, long long* whole) { INDEX; widen_one(i, wide + 4 * i, whole + 12 * i); }
template <class T> __global__ void pairs(int n, const T* x, T* out) {
  INDEX;
  pair_one(x[3 * i], x[3 * i + 1], x[3 * i + 2], out + 12 * i);
}
template <class T2> __global__ void twos(int n, const T2* x, T2* out) {
  INDEX;
  two_one(x[3 * i], x[3 * i + 1], x[3 * i + 2], out + 12 * i);
}
template <class T> __global__ void comparisons(int n, const T* x, unsigned* out) {
  INDEX;
  out[i] = compare_one(x[2 * i], x[2 * i + 1]);
}
template <class T> __global__ void functions(int n, const T* x, T* out) {
  INDEX;
  T a = x[i];
  T all[12] = {hexp(a), hexp2(a), hlog(a), hlog2(a), hsqrt(a), hrsqrt(a), hrcp(a), hsin(a), hcos(a), hfloor(a), hrint(a), htanh(a)};
  for (int j = 0; j < 12; j++) out[12 * i + j] = all[j];
}
template __global__ void pairs(int, const __half*, __half*);
template __global__ void pairs(int, const __nv_bfloat16*, __nv_bfloat16*);
template __global__ void twos(int, const __half2*, __half2*);
template __global__ void twos(int, const __nv_bfloat162*, __nv_bfloat162*);
template __global__ void comparisons(int, const __half*, unsigned*);
template __global__ void comparisons(int, const __nv_bfloat16*, unsigned*);
template __global__ void functions(int, const __half*, __half*);
template __global__ void functions(int, const __nv_bfloat16*, __nv_bfloat16*);
