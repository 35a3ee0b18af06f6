// Elementwise vector calls: the form with a count, with a mask and repeats, and as operators.
#pragma once

#include "lanes.h"

namespace canopy_ascend {

template <typename T>
using Tensor = AscendC::LocalTensor<T>;

// What an operation computes, and of which types; half goes through float, as its rounding allows.
#define CANOPY_BINARY(name, types, expression)                                               \
    struct name##Op {                                                                        \
        template <typename T>                                                                \
        static constexpr bool takes = types;                                                 \
        template <typename T>                                                                \
        T operator()(T a, T b) const { return expression; }                                  \
    };
#define CANOPY_UNARY(name, types, expression)                                                \
    struct name##Op {                                                                        \
        template <typename T>                                                                \
        static constexpr bool takes = types;                                                 \
        template <typename T>                                                                \
        T operator()(T a) const { return expression; }                                       \
    };

template <typename T>
using Unsigned = std::conditional_t<sizeof(T) == 2, uint16_t, uint32_t>;
template <typename T>
inline T wrapped(uint32_t value) { return static_cast<T>(static_cast<Unsigned<T>>(value)); }
template <typename T>
constexpr bool is_whole = std::is_integral_v<T>;

template <typename T>
inline T greater(T a, T b) {
    if constexpr (is_whole<T>) return a > b ? a : b;
    else return a != a ? b : b != b ? a : a > b ? a : b;  // as the simulator: the number
}
template <typename T>
inline T lesser(T a, T b) {
    if constexpr (is_whole<T>) return a < b ? a : b;
    else return a != a ? b : b != b ? a : a < b ? a : b;
}
template <typename T>
inline T sum_of(T a, T b) {
    if constexpr (is_whole<T>) return wrapped<T>(uint32_t(a) + uint32_t(b));
    else return static_cast<T>(a + b);
}
template <typename T>
inline T difference_of(T a, T b) {
    if constexpr (is_whole<T>) return wrapped<T>(uint32_t(a) - uint32_t(b));
    else return static_cast<T>(a - b);
}
template <typename T>
inline T product_of(T a, T b) {
    if constexpr (is_whole<T>) return wrapped<T>(uint32_t(a) * uint32_t(b));
    else return static_cast<T>(a * b);
}

template <typename T>
constexpr bool arithmetic = is_one_of<T, half, float, int16_t, int32_t>;
template <typename T>
constexpr bool floating = is_one_of<T, half, float>;
template <typename T>
constexpr bool bits = is_one_of<T, int16_t, uint16_t>;

CANOPY_BINARY(Add, arithmetic<T>, sum_of(a, b))
CANOPY_BINARY(Sub, arithmetic<T>, difference_of(a, b))
CANOPY_BINARY(Mul, arithmetic<T>, product_of(a, b))
CANOPY_BINARY(Div, floating<T>, static_cast<T>(a / b))
CANOPY_BINARY(Max, arithmetic<T>, greater(a, b))
CANOPY_BINARY(Min, arithmetic<T>, lesser(a, b))
CANOPY_BINARY(And, bits<T>, static_cast<T>(a & b))
CANOPY_BINARY(Or, bits<T>, static_cast<T>(a | b))
CANOPY_BINARY(AddRelu, (is_one_of<T, half, float, int16_t>), greater(sum_of(a, b), T(0)))
CANOPY_BINARY(SubRelu, (is_one_of<T, half, float, int16_t>), greater(difference_of(a, b), T(0)))

CANOPY_UNARY(Exp, floating<T>, from_float<T>(expf(to_float(a))))
CANOPY_UNARY(Ln, floating<T>, from_float<T>(logf(to_float(a))))
CANOPY_UNARY(Sqrt, floating<T>, from_float<T>(sqrtf(to_float(a))))
CANOPY_UNARY(Rsqrt, floating<T>, from_float<T>(1.0f / sqrtf(to_float(a))))
CANOPY_UNARY(Reciprocal, floating<T>, from_float<T>(1.0f / to_float(a)))
CANOPY_UNARY(Abs, floating<T>, from_float<T>(fabsf(to_float(a))))
CANOPY_UNARY(Relu, (is_one_of<T, half, float, int32_t>), greater(a, T(0)))
CANOPY_UNARY(Not, bits<T>, static_cast<T>(~a))

CANOPY_BINARY(Adds, arithmetic<T>, sum_of(a, b))
CANOPY_BINARY(Muls, arithmetic<T>, product_of(a, b))
CANOPY_BINARY(Maxs, arithmetic<T>, greater(a, b))
CANOPY_BINARY(Mins, arithmetic<T>, lesser(a, b))
CANOPY_BINARY(LeakyRelu, floating<T>, (a >= T(0) ? a : static_cast<T>(a * b)))
template <typename T>
constexpr bool shifts = is_one_of<T, int16_t, uint16_t, int32_t, uint32_t>;
// Shifts by the width or more leave nothing but the sign.
CANOPY_BINARY(ShiftLeft, shifts<T>, wrapped<T>(uint32_t(a) << (b & 31)))
CANOPY_BINARY(ShiftRight, shifts<T>, static_cast<T>(a >> (b & 31)))

}  // namespace canopy_ascend

// A binary call in its forms. `mask` is a number of lanes, or two words of bits.
#define CANOPY_BINARY_CALLS(name)                                                                  \
    template <typename T>                                                                          \
    inline void name(const LocalTensor<T>& dst, const LocalTensor<T>& src0,                        \
                     const LocalTensor<T>& src1, const int32_t& count, Place place = Place::Here()) { \
        canopy_ascend::binary_count<canopy_ascend::name##Op>(dst, src0, src1, count, place);       \
    }                                                                                              \
    template <typename T, bool isSetMask = true>                                                   \
    inline void name(const LocalTensor<T>& dst, const LocalTensor<T>& src0,                        \
                     const LocalTensor<T>& src1, uint64_t mask, const uint8_t repeatTime,          \
                     const BinaryRepeatParams& params, Place place = Place::Here()) {              \
        const auto walk = canopy_ascend::walk_of<isSetMask>(mask, repeatTime,                      \
                                                            canopy_ascend::lanes_of<T>, place);    \
        canopy_ascend::binary_masked<canopy_ascend::name##Op>(dst, src0, src1, walk, params, place); \
    }                                                                                              \
    template <typename T, bool isSetMask = true>                                                   \
    inline void name(const LocalTensor<T>& dst, const LocalTensor<T>& src0,                        \
                     const LocalTensor<T>& src1, uint64_t mask[], const uint8_t repeatTime,        \
                     const BinaryRepeatParams& params, Place place = Place::Here()) {              \
        const auto walk = canopy_ascend::walk_of<isSetMask>(mask, repeatTime,                      \
                                                            canopy_ascend::lanes_of<T>, place);    \
        canopy_ascend::binary_masked<canopy_ascend::name##Op>(dst, src0, src1, walk, params, place); \
    }

#define CANOPY_UNARY_CALLS(name)                                                                   \
    template <typename T>                                                                          \
    inline void name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const int32_t& count,   \
                     Place place = Place::Here()) {                                                \
        canopy_ascend::unary_count<canopy_ascend::name##Op>(dst, src, count, place);               \
    }                                                                                              \
    template <typename T, bool isSetMask = true>                                                   \
    inline void name(const LocalTensor<T>& dst, const LocalTensor<T>& src, uint64_t mask,          \
                     const uint8_t repeatTime, const UnaryRepeatParams& params,                    \
                     Place place = Place::Here()) {                                                \
        const auto walk = canopy_ascend::walk_of<isSetMask>(mask, repeatTime,                      \
                                                            canopy_ascend::lanes_of<T>, place);    \
        canopy_ascend::unary_masked<canopy_ascend::name##Op>(dst, src, walk, params, place);       \
    }                                                                                              \
    template <typename T, bool isSetMask = true>                                                   \
    inline void name(const LocalTensor<T>& dst, const LocalTensor<T>& src, uint64_t mask[],        \
                     const uint8_t repeatTime, const UnaryRepeatParams& params,                    \
                     Place place = Place::Here()) {                                                \
        const auto walk = canopy_ascend::walk_of<isSetMask>(mask, repeatTime,                      \
                                                            canopy_ascend::lanes_of<T>, place);    \
        canopy_ascend::unary_masked<canopy_ascend::name##Op>(dst, src, walk, params, place);       \
    }

// A tensor with a scalar. The scalar's type is the tensor's: it is converted, not deduced.
#define CANOPY_SCALAR_CALLS(name)                                                                  \
    template <typename T>                                                                          \
    inline void name(const LocalTensor<T>& dst, const LocalTensor<T>& src,                         \
                     const typename LocalTensor<T>::PrimType& scalar, const int32_t& count,        \
                     Place place = Place::Here()) {                                                \
        canopy_ascend::scalar_count<canopy_ascend::name##Op>(dst, src, scalar, count, place);      \
    }                                                                                              \
    template <typename T, bool isSetMask = true>                                                   \
    inline void name(const LocalTensor<T>& dst, const LocalTensor<T>& src,                         \
                     const typename LocalTensor<T>::PrimType& scalar, uint64_t mask,               \
                     const uint8_t repeatTime, const UnaryRepeatParams& params,                    \
                     Place place = Place::Here()) {                                                \
        const auto walk = canopy_ascend::walk_of<isSetMask>(mask, repeatTime,                      \
                                                            canopy_ascend::lanes_of<T>, place);    \
        canopy_ascend::scalar_masked<canopy_ascend::name##Op>(dst, src, scalar, walk, params, place); \
    }                                                                                              \
    template <typename T, bool isSetMask = true>                                                   \
    inline void name(const LocalTensor<T>& dst, const LocalTensor<T>& src,                         \
                     const typename LocalTensor<T>::PrimType& scalar, uint64_t mask[],             \
                     const uint8_t repeatTime, const UnaryRepeatParams& params,                    \
                     Place place = Place::Here()) {                                                \
        const auto walk = canopy_ascend::walk_of<isSetMask>(mask, repeatTime,                      \
                                                            canopy_ascend::lanes_of<T>, place);    \
        canopy_ascend::scalar_masked<canopy_ascend::name##Op>(dst, src, scalar, walk, params, place); \
    }

namespace canopy_ascend {

template <typename Op, typename T>
inline void binary_count(const Tensor<T>& dst, const Tensor<T>& a, const Tensor<T>& b, int64_t count,
                         Place place) {
    static_assert(Op::template takes<T>, "this call does not take tensors of this type");
    compute(Walk::of_count(count, place), place, Op(), Operand<T>{dst}, Operand<T>{a}, Operand<T>{b});
}
template <typename Op, typename T>
inline void binary_masked(const Tensor<T>& dst, const Tensor<T>& a, const Tensor<T>& b,
                          const Walk& walk, const AscendC::BinaryRepeatParams& p, Place place) {
    static_assert(Op::template takes<T>, "this call does not take tensors of this type");
    compute(walk, place, Op(), Operand<T>{dst, {p.dstBlkStride, p.dstRepStride}},
            Operand<T>{a, {p.src0BlkStride, p.src0RepStride}},
            Operand<T>{b, {p.src1BlkStride, p.src1RepStride}});
}
template <typename Op, typename T>
inline void unary_count(const Tensor<T>& dst, const Tensor<T>& a, int64_t count, Place place) {
    static_assert(Op::template takes<T>, "this call does not take tensors of this type");
    compute(Walk::of_count(count, place), place, Op(), Operand<T>{dst}, Operand<T>{a});
}
template <typename Op, typename T>
inline void unary_masked(const Tensor<T>& dst, const Tensor<T>& a, const Walk& walk,
                         const AscendC::UnaryRepeatParams& p, Place place) {
    static_assert(Op::template takes<T>, "this call does not take tensors of this type");
    compute(walk, place, Op(), Operand<T>{dst, {p.dstBlkStride, p.dstRepStride}},
            Operand<T>{a, {p.srcBlkStride, p.srcRepStride}});
}
template <typename Op, typename T>
inline void scalar_count(const Tensor<T>& dst, const Tensor<T>& a, T scalar, int64_t count,
                         Place place) {
    static_assert(Op::template takes<T>, "this call does not take tensors of this type");
    compute(Walk::of_count(count, place), place, [scalar](T x) { return Op()(x, scalar); },
            Operand<T>{dst}, Operand<T>{a});
}
template <typename Op, typename T>
inline void scalar_masked(const Tensor<T>& dst, const Tensor<T>& a, T scalar, const Walk& walk,
                          const AscendC::UnaryRepeatParams& p, Place place) {
    static_assert(Op::template takes<T>, "this call does not take tensors of this type");
    compute(walk, place, [scalar](T x) { return Op()(x, scalar); },
            Operand<T>{dst, {p.dstBlkStride, p.dstRepStride}},
            Operand<T>{a, {p.srcBlkStride, p.srcRepStride}});
}

template <typename T>
inline void copy_masked(const Tensor<T>& dst, const Tensor<T>& src, const Walk& walk,
                        const AscendC::CopyRepeatParams& p, Place place) {
    static_assert(is_one_of<T, half, bfloat16_t, float, int16_t, uint16_t, int32_t, uint32_t>,
                  "Copy takes 16- and 32-bit types");
    compute(walk, place, [](T x) { return x; }, Operand<T>{dst, {p.dstStride, p.dstRepeatSize}},
            Operand<T>{src, {p.srcStride, p.srcRepeatSize}});
}

// dst = a op b, as an operator: all of dst is computed.
template <typename Op, typename T>
struct Expression {
    Tensor<T> a, b;
    Place place;
    void into(const Tensor<T>& dst) const { binary_count<Op>(dst, a, b, dst.GetSize(), place); }
};

// A left operand that knows where its operator stands.
template <typename T>
struct Located {
    Tensor<T> tensor;
    Place place;
    Located(const Tensor<T>& tensor, Place place = Place::Here()) : tensor(tensor), place(place) {}
};

}  // namespace canopy_ascend

namespace AscendC {

CANOPY_BINARY_CALLS(Add)
CANOPY_BINARY_CALLS(Sub)
CANOPY_BINARY_CALLS(Mul)
CANOPY_BINARY_CALLS(Div)
CANOPY_BINARY_CALLS(Max)
CANOPY_BINARY_CALLS(Min)
CANOPY_BINARY_CALLS(And)
CANOPY_BINARY_CALLS(Or)
CANOPY_BINARY_CALLS(AddRelu)
CANOPY_BINARY_CALLS(SubRelu)
CANOPY_UNARY_CALLS(Exp)
CANOPY_UNARY_CALLS(Ln)
CANOPY_UNARY_CALLS(Sqrt)
CANOPY_UNARY_CALLS(Rsqrt)
CANOPY_UNARY_CALLS(Reciprocal)
CANOPY_UNARY_CALLS(Abs)
CANOPY_UNARY_CALLS(Relu)
CANOPY_UNARY_CALLS(Not)
CANOPY_SCALAR_CALLS(Adds)
CANOPY_SCALAR_CALLS(Muls)
CANOPY_SCALAR_CALLS(Maxs)
CANOPY_SCALAR_CALLS(Mins)
CANOPY_SCALAR_CALLS(LeakyRelu)
CANOPY_SCALAR_CALLS(ShiftLeft)
CANOPY_SCALAR_CALLS(ShiftRight)

#undef CANOPY_BINARY_CALLS
#undef CANOPY_UNARY_CALLS
#undef CANOPY_SCALAR_CALLS

// dst += src * scalar; half may be added up in float.
template <typename T, typename U>
inline void Axpy(const LocalTensor<T>& dst, const LocalTensor<U>& src, const U& scalar,
                 const int32_t& count, Place place = Place::Here()) {
    using namespace canopy_ascend;
    static_assert(floating<U> && (std::is_same_v<T, U> || std::is_same_v<T, float>),
                  "Axpy takes half and float, and adds half to float");
    compute(Walk::of_count(count, place), place,
            [scalar](T d, U s) { return static_cast<T>(d + static_cast<T>(s) * static_cast<T>(scalar)); },
            Operand<T>{dst}, Operand<T>{dst}, Operand<U>{src});
}
template <typename T, typename U, bool isSetMask = true>
inline void Axpy(const LocalTensor<T>& dst, const LocalTensor<U>& src, const U& scalar, uint64_t mask,
                 const uint8_t repeatTime, const UnaryRepeatParams& p, Place place = Place::Here()) {
    using namespace canopy_ascend;
    static_assert(floating<U> && (std::is_same_v<T, U> || std::is_same_v<T, float>),
                  "Axpy takes half and float, and adds half to float");
    const Stride stride = {p.dstBlkStride, p.dstRepStride};
    compute(walk_of<isSetMask>(mask, repeatTime, lanes_of<T>, place), place,
            [scalar](T d, U s) { return static_cast<T>(d + static_cast<T>(s) * static_cast<T>(scalar)); },
            Operand<T>{dst, stride}, Operand<T>{dst, stride},
            Operand<U>{src, {p.srcBlkStride, p.srcRepStride}});
}

// MulAddDst: dst += src0 * src1; FusedMulAdd: dst = src0 * dst + src1.
template <typename T, typename U>
inline void MulAddDst(const LocalTensor<T>& dst, const LocalTensor<U>& src0, const LocalTensor<U>& src1,
                      const int32_t& count, Place place = Place::Here()) {
    using namespace canopy_ascend;
    static_assert(floating<U> && (std::is_same_v<T, U> || std::is_same_v<T, float>),
                  "MulAddDst takes half and float, and adds half to float");
    compute(Walk::of_count(count, place), place,
            [](T d, U a, U b) { return static_cast<T>(d + static_cast<T>(a) * static_cast<T>(b)); },
            Operand<T>{dst}, Operand<T>{dst}, Operand<U>{src0}, Operand<U>{src1});
}
template <typename T>
inline void FusedMulAdd(const LocalTensor<T>& dst, const LocalTensor<T>& src0,
                        const LocalTensor<T>& src1, const int32_t& count, Place place = Place::Here()) {
    using namespace canopy_ascend;
    static_assert(floating<T>, "FusedMulAdd takes half and float");
    compute(Walk::of_count(count, place), place,
            [](T d, T a, T b) { return static_cast<T>(a * d + b); }, Operand<T>{dst}, Operand<T>{dst},
            Operand<T>{src0}, Operand<T>{src1});
}

template <typename T>
constexpr bool canopy_is_scalar = canopy_ascend::is_one_of<T, half, bfloat16_t, float, int16_t, uint16_t,
                                                           int32_t, uint32_t>;

template <typename T>
inline void Duplicate(const LocalTensor<T>& dst, const typename LocalTensor<T>::PrimType& scalar,
                      const int32_t& count, Place place = Place::Here()) {
    static_assert(canopy_is_scalar<T>, "Duplicate takes 16- and 32-bit types");
    canopy_ascend::compute(canopy_ascend::Walk::of_count(count, place), place,
                           [scalar]() { return scalar; }, canopy_ascend::Operand<T>{dst});
}
template <typename T, bool isSetMask = true>
inline void Duplicate(const LocalTensor<T>& dst, const typename LocalTensor<T>::PrimType& scalar,
                      uint64_t mask, const uint8_t repeatTime, const uint16_t dstBlockStride,
                      const uint8_t dstRepeatStride, Place place = Place::Here()) {
    using namespace canopy_ascend;
    static_assert(canopy_is_scalar<T>, "Duplicate takes 16- and 32-bit types");
    compute(walk_of<isSetMask>(mask, repeatTime, lanes_of<T>, place), place, [scalar]() { return scalar; },
            Operand<T>{dst, {dstBlockStride, dstRepeatStride}});
}
template <typename T, bool isSetMask = true>
inline void Duplicate(const LocalTensor<T>& dst, const typename LocalTensor<T>::PrimType& scalar,
                      uint64_t mask[], const uint8_t repeatTime, const uint16_t dstBlockStride,
                      const uint8_t dstRepeatStride, Place place = Place::Here()) {
    using namespace canopy_ascend;
    static_assert(canopy_is_scalar<T>, "Duplicate takes 16- and 32-bit types");
    compute(walk_of<isSetMask>(mask, repeatTime, lanes_of<T>, place), place, [scalar]() { return scalar; },
            Operand<T>{dst, {dstBlockStride, dstRepeatStride}});
}

// UB to UB, in repeats under a mask.
template <typename T, bool isSetMask = true>
inline void Copy(const LocalTensor<T>& dst, const LocalTensor<T>& src, const uint64_t mask,
                 const uint8_t repeatTime, const CopyRepeatParams& p, Place place = Place::Here()) {
    canopy_ascend::copy_masked(dst, src,
                               canopy_ascend::walk_of<isSetMask>(mask, repeatTime,
                                                                 canopy_ascend::lanes_of<T>, place),
                               p, place);
}
template <typename T, bool isSetMask = true>
inline void Copy(const LocalTensor<T>& dst, const LocalTensor<T>& src, const uint64_t mask[],
                 const uint8_t repeatTime, const CopyRepeatParams& p, Place place = Place::Here()) {
    canopy_ascend::copy_masked(dst, src,
                               canopy_ascend::walk_of<isSetMask>(mask, repeatTime,
                                                                 canopy_ascend::lanes_of<T>, place),
                               p, place);
}

}  // namespace AscendC
