// The mathematical functions of the high-level interface, in their forms with a count.
#pragma once

#include "sort.h"

namespace canopy_ascend {

inline float fraction(float x) { return x - truncf(x); }
inline float sign_of(float x) { return x > 0 ? 1.0f : x < 0 ? -1.0f : x; }
inline float logistic(float x) { return 1.0f / (1.0f + expf(-x)); }
inline float half_to_even(float x) { return nearbyintf(x); }
inline float silu(float x) { return x * logistic(x); }
inline float gelu(float x) {
    return x / (1.0f + expf(-1.5957691216f * (x + 0.044715f * x * x * x)));
}

template <typename T, typename F>
inline void apply(const Tensor<T>& dst, const Tensor<T>& src, uint32_t count, F function, Place place) {
    static_assert(is_one_of<T, half, float>, "mathematical functions take half and float");
    compute(Walk::of_count(count, place), place,
            [function](T x) { return from_float<T>(function(to_float(x))); }, Operand<T>{dst},
            Operand<T>{src});
}

}  // namespace canopy_ascend

namespace AscendC {

// (dst, src), (dst, src, count), and both with a temporary tensor of bytes.
#define CANOPY_FUNCTION(name, function)                                                            \
    template <typename T, bool isReuseSource = false>                                              \
    inline void name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const uint32_t count,   \
                     Place place = Place::Here()) {                                                \
        canopy_ascend::apply(dst, src, count, function, place);                                    \
    }                                                                                              \
    template <typename T, bool isReuseSource = false>                                              \
    inline void name(const LocalTensor<T>& dst, const LocalTensor<T>& src, Place place = Place::Here()) { \
        canopy_ascend::apply(dst, src, src.GetSize(), function, place);                            \
    }                                                                                              \
    template <typename T, bool isReuseSource = false>                                              \
    inline void name(const LocalTensor<T>& dst, const LocalTensor<T>& src,                         \
                     const LocalTensor<uint8_t>&, const uint32_t count, Place place = Place::Here()) { \
        canopy_ascend::apply(dst, src, count, function, place);                                    \
    }                                                                                              \
    template <typename T, bool isReuseSource = false>                                              \
    inline void name(const LocalTensor<T>& dst, const LocalTensor<T>& src,                         \
                     const LocalTensor<uint8_t>&, Place place = Place::Here()) {                   \
        canopy_ascend::apply(dst, src, src.GetSize(), function, place);                            \
    }
CANOPY_FUNCTION(Tanh, tanhf)
CANOPY_FUNCTION(Sinh, sinhf)
CANOPY_FUNCTION(Cosh, coshf)
CANOPY_FUNCTION(Tan, tanf)
CANOPY_FUNCTION(Sin, sinf)
CANOPY_FUNCTION(Cos, cosf)
CANOPY_FUNCTION(Asin, asinf)
CANOPY_FUNCTION(Acos, acosf)
CANOPY_FUNCTION(Atan, atanf)
CANOPY_FUNCTION(Asinh, asinhf)
CANOPY_FUNCTION(Acosh, acoshf)
CANOPY_FUNCTION(Atanh, atanhf)
CANOPY_FUNCTION(Erf, erff)
CANOPY_FUNCTION(Erfc, erfcf)
CANOPY_FUNCTION(Log, logf)
CANOPY_FUNCTION(Log2, log2f)
CANOPY_FUNCTION(Log10, log10f)
CANOPY_FUNCTION(Floor, floorf)
CANOPY_FUNCTION(Ceil, ceilf)
CANOPY_FUNCTION(Trunc, truncf)
CANOPY_FUNCTION(Round, canopy_ascend::half_to_even)
CANOPY_FUNCTION(Frac, canopy_ascend::fraction)
CANOPY_FUNCTION(Sign, canopy_ascend::sign_of)
CANOPY_FUNCTION(Lgamma, lgammaf)
CANOPY_FUNCTION(Sigmoid, canopy_ascend::logistic)
CANOPY_FUNCTION(Silu, canopy_ascend::silu)
CANOPY_FUNCTION(Gelu, canopy_ascend::gelu)
#undef CANOPY_FUNCTION

// dst = src0 to the power src1.
template <typename T, bool isReuseSource = false>
inline void Power(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1,
                  uint32_t count, Place place = Place::Here()) {
    using namespace canopy_ascend;
    static_assert(is_one_of<T, half, float>, "Power takes half and float here");
    compute(Walk::of_count(count, place), place,
            [](T x, T y) { return from_float<T>(powf(to_float(x), to_float(y))); }, Operand<T>{dst},
            Operand<T>{src0}, Operand<T>{src1});
}
template <typename T, bool isReuseSource = false>
inline void Power(const LocalTensor<T>& dst, const LocalTensor<T>& src0,
                  const typename LocalTensor<T>::PrimType& exponent, uint32_t count,
                  Place place = Place::Here()) {
    const float y = canopy_ascend::to_float(exponent);
    canopy_ascend::apply(dst, src0, count, [y](float x) { return powf(x, y); }, place);
}

template <typename T, bool isReuseSource = false>
inline void ClampMax(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<uint8_t>&,
                     const T limit, const uint32_t count, Place place = Place::Here()) {
    canopy_ascend::scalar_count<canopy_ascend::MinsOp>(dst, src, limit, count, place);
}
template <typename T, bool isReuseSource = false>
inline void ClampMin(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<uint8_t>&,
                     const T limit, const uint32_t count, Place place = Place::Here()) {
    canopy_ascend::scalar_count<canopy_ascend::MaxsOp>(dst, src, limit, count, place);
}

}  // namespace AscendC
