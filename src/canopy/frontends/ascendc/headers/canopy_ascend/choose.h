// Compare, Select and Cast.
#pragma once

#include "elementwise.h"

namespace AscendC {

enum class CMPMODE : uint8_t { LT = 0, GT, EQ, LE, GE, NE };
enum class SELMODE : uint8_t { VSEL_CMPMASK_SPR = 0, VSEL_TENSOR_SCALAR_MODE, VSEL_TENSOR_TENSOR_MODE };
enum class RoundMode : uint8_t {
    CAST_NONE = 0, CAST_RINT, CAST_FLOOR, CAST_CEIL, CAST_ROUND, CAST_TRUNC, CAST_ODD
};

}  // namespace AscendC

namespace canopy_ascend {

using AscendC::CMPMODE;
using AscendC::RoundMode;
using AscendC::SELMODE;

template <typename T>
inline bool compares(CMPMODE mode, T a, T b) {
    switch (mode) {
        case CMPMODE::LT: return a < b;
        case CMPMODE::GT: return a > b;
        case CMPMODE::EQ: return a == b;
        case CMPMODE::LE: return a <= b;
        case CMPMODE::GE: return a >= b;
        default: return a != b;
    }
}

template <typename T>
constexpr bool comparable = is_one_of<T, half, float>;
template <typename T>
constexpr bool equatable = is_one_of<T, half, float, int32_t>;

inline void check_comparison(bool is_whole_number, CMPMODE mode, Place place) {
    if (is_whole_number && mode != CMPMODE::EQ) {
        fail(place, "cast to float, or subtract and compare the sign",
             "comparing int32_t tensors is possible with CMPMODE::EQ alone");
    }
}

// A mask of one bit per lane, the lowest bit of a byte first. `read` gives lane i's operands.
template <typename T, typename U, typename Read>
inline void compare_lanes(Core& self, const Tensor<U>& dst, int64_t first_lane, uint32_t lanes,
                          CMPMODE mode, Read read, Place place) {
    const Operand<U> target{dst};
    const int64_t offset = first_lane / 8;
    const uint32_t bytes = (lanes + 7) / 8;
    uint8_t* out = lanes_at(self, target, offset, bytes, true, place);
    memset(out, 0, bytes);
    for (uint32_t i = 0; i < lanes; ++i) {
        T a, b;
        read(first_lane + i, a, b);
        out[i / 8] |= uint8_t(compares(mode, a, b)) << (i % 8);
    }
}

template <typename T, typename U>
inline void compare_count(const Tensor<U>& dst, const Tensor<T>& a, const Tensor<T>* b, T scalar,
                          CMPMODE mode, uint32_t count, Place place) {
    static_assert(equatable<T>, "comparisons take half, float and int32_t");
    static_assert(is_one_of<U, uint8_t, int8_t>, "a mask is uint8_t or int8_t: one bit per lane");
    check_comparison(std::is_same_v<T, int32_t>, mode, place);
    Core& self = core();
    begin(self, Pipe::V);
    if (uint64_t(count) * sizeof(T) % kRepeat) {
        fail(place, "round the number of elements up to 256 bytes",
             "a comparison of %u elements of %u bytes, which is no multiple of 256 bytes", count,
             (unsigned)sizeof(T));
    }
    check_operand(self, Operand<U>{dst}, "the target", place);
    check_operand(self, Operand<T>{a}, "a source", place);
    const T* left = reinterpret_cast<const T*>(
        lanes_at(self, Operand<T>{a}, 0, uint64_t(count) * sizeof(T), false, place));
    const T* right = nullptr;
    if (b) {
        check_operand(self, Operand<T>{*b}, "a source", place);
        right = reinterpret_cast<const T*>(
            lanes_at(self, Operand<T>{*b}, 0, uint64_t(count) * sizeof(T), false, place));
    }
    compare_lanes<T>(self, dst, 0, count, mode, [&](int64_t i, T& x, T& y) {
        x = left[i];
        y = right ? right[i] : scalar;
    }, place);
    uint8_t* out = span(self, dst.region(), 0, count / 8, place);
    uint8_t* marks = shadow(self, Space::UB, out);
    const uint8_t* known = shadow(self, Space::UB, reinterpret_cast<const uint8_t*>(left));
    const uint8_t* also = right ? shadow(self, Space::UB, reinterpret_cast<const uint8_t*>(right)) : known;
    for (uint32_t byte = 0; byte < count / 8; ++byte) {
        const uint64_t from = uint64_t(byte) * 8 * sizeof(T);
        // A byte with one lane of data is data; what its other lanes hold nobody selects by.
        marks[byte] = memchr(known + from, 1, 8 * sizeof(T)) && memchr(also + from, 1, 8 * sizeof(T));
    }
}

template <typename T, typename U>
inline void compare_masked(const Tensor<U>& dst, const Tensor<T>& a, const Tensor<T>* b, T scalar,
                           CMPMODE mode, uint32_t repeats, Stride left, Stride right, Place place) {
    static_assert(equatable<T>, "comparisons take half, float and int32_t");
    static_assert(is_one_of<U, uint8_t, int8_t>, "a mask is uint8_t or int8_t: one bit per lane");
    check_comparison(std::is_same_v<T, int32_t>, mode, place);
    Core& self = core();
    begin(self, Pipe::V);
    constexpr uint32_t lanes = lanes_of<T>;
    const Operand<T> first{a, left};
    const Operand<T> second{b ? *b : a, right};
    for (uint32_t r = 0; r < repeats; ++r) {
        compare_lanes<T>(self, dst, int64_t(r) * lanes, lanes, mode, [&](int64_t i, T& x, T& y) {
            const uint32_t lane = static_cast<uint32_t>(i % lanes);
            x = *reinterpret_cast<const T*>(lanes_at(self, first, first.place(r, lane), sizeof(T), false, place));
            y = scalar;
            if (b) {
                y = *reinterpret_cast<const T*>(
                    lanes_at(self, second, second.place(r, lane), sizeof(T), false, place));
            }
        }, place);
        uint8_t* out = span(self, dst.region(), int64_t(r) * lanes / 8, lanes / 8, place);
        memset(shadow(self, Space::UB, out), 1, lanes / 8);
    }
}

// The comparison operators write the mask of all lanes of their left operand.
template <int mode>
struct CompareOp {};
template <int mode, typename T>
struct Expression<CompareOp<mode>, T> {
    Tensor<T> a, b;
    Place place;
    template <typename U>
    void into(const Tensor<U>& dst) const {
        compare_count(dst, a, &b, T(), static_cast<CMPMODE>(mode), a.GetSize(), place);
    }
};

// Lane i of repeat r: where its bit is set, the first source, else the second.
template <typename T, typename U>
inline void select_lanes(const Tensor<T>& dst, const Tensor<U>& mask, const Tensor<T>& a,
                         const Tensor<T>* b, T scalar, SELMODE mode, const Walk& walk,
                         const AscendC::BinaryRepeatParams& p, Place place) {
    static_assert(is_one_of<T, half, float>, "Select takes half and float");
    static_assert(is_one_of<U, uint8_t, uint16_t, uint32_t, uint64_t>, "a mask is of unsigned words");
    Core& self = core();
    begin(self, Pipe::V);
    check_operand(self, Operand<T>{dst}, "the target", place);
    check_operand(self, Operand<U>{mask}, "the mask", place);
    check_operand(self, Operand<T>{a}, "a source", place);
    if ((mode == SELMODE::VSEL_TENSOR_SCALAR_MODE) == (b != nullptr)) {
        fail(place, "VSEL_TENSOR_SCALAR_MODE is for a tensor and a scalar",
             "the mode of Select does not fit its operands");
    }
    constexpr uint32_t lanes = lanes_of<T>;
    const bool counted = walk.count >= 0;
    const int64_t repeats = counted ? (walk.count + lanes - 1) / lanes : walk.repeats;
    const Operand<T> target{dst, {p.dstBlkStride, p.dstRepStride}};
    const Operand<T> first{a, {p.src0BlkStride, p.src0RepStride}};
    const Operand<T> second{b ? *b : a, {p.src1BlkStride, p.src1RepStride}};
    const Operand<U> words{mask};
    for (int64_t r = 0; r < repeats; ++r) {
        for (uint32_t lane = 0; lane < lanes; ++lane) {
            if (counted ? r * lanes + lane >= walk.count : !walk.has(uint32_t(r), lane, lanes)) continue;
            const int64_t bit = mode == SELMODE::VSEL_CMPMASK_SPR ? lane : r * lanes + lane;
            const uint8_t* word = lanes_at(self, words, bit / 8, 1, false, place);
            check_written(self, Space::UB, word, 1, "Select reads a mask of", place);
            const bool is_set = *word >> (bit % 8) & 1;
            const Operand<T>& chosen = is_set || !b ? first : second;
            const uint8_t* from = nullptr;
            T value = scalar;
            if (is_set || b) {
                from = lanes_at(self, chosen, chosen.place(uint32_t(r), lane), sizeof(T), false, place);
                memcpy(&value, from, sizeof(T));
            }
            uint8_t* to = lanes_at(self, target, target.place(uint32_t(r), lane), sizeof(T), true, place);
            memcpy(to, &value, sizeof(T));
            memset(shadow(self, Space::UB, to), from ? *shadow(self, Space::UB, from) : 1, sizeof(T));
        }
    }
}

// ---- conversions

inline double rounded(double x, RoundMode mode) {
    switch (mode) {
        case RoundMode::CAST_FLOOR: return floor(x);
        case RoundMode::CAST_CEIL: return ceil(x);
        case RoundMode::CAST_ROUND: return round(x);
        case RoundMode::CAST_TRUNC: return trunc(x);
        default: return nearbyint(x);
    }
}

template <typename T>
inline T saturated(double x) {
    constexpr double low = std::is_signed_v<T> ? -double(1ull << (sizeof(T) * 8 - 1)) : 0.0;
    const double high = std::is_signed_v<T> ? -low - 1.0 : double(~0ull >> (64 - 8 * sizeof(T)));
    if (x != x) return 0;
    if (sizeof(T) == 8) {
        if (x >= 9223372036854775808.0) return static_cast<T>(INT64_MAX);
        if (x < -9223372036854775808.0) return static_cast<T>(INT64_MIN);
        return static_cast<T>(x);
    }
    return static_cast<T>(x < low ? low : x > high ? high : x);
}

// The neighbour of `found` (the nearest T to x) on the side that the mode wants.
template <typename T>
inline T directed(float x, T found, RoundMode mode) {
    uint16_t word;
    const float back = to_float(found);
    if (back == x || x != x || mode == RoundMode::CAST_NONE || mode == RoundMode::CAST_RINT) return found;
    const bool want_up = mode == RoundMode::CAST_CEIL || (mode == RoundMode::CAST_TRUNC && x < 0);
    const bool want_down = mode == RoundMode::CAST_FLOOR || (mode == RoundMode::CAST_TRUNC && x > 0);
    memcpy(&word, &found, 2);
    if ((want_up && back < x) || (want_down && back > x)) {
        const bool negative = word & 0x8000u;
        if ((word & 0x7fffu) == 0) word = want_up ? 0x0001u : 0x8001u;
        else word = static_cast<uint16_t>(word + (negative == want_up ? -1 : 1));
    } else if (mode == RoundMode::CAST_ROUND) {  // a tie goes away from zero
        const uint16_t next = static_cast<uint16_t>(word + 1);
        T other;
        memcpy(&other, &next, 2);
        const float far = to_float(other);
        if (fabs(double(far) - x) == fabs(double(back) - x)) word = next;
    }
    T result;
    memcpy(&result, &word, 2);
    return result;
}

template <typename D, typename S>
inline D converted(S value, RoundMode mode) {
    if constexpr (std::is_same_v<D, S>) {
        if constexpr (is_real<S>) return from_float<D>(static_cast<float>(rounded(to_float(value), mode)));
        else return value;
    } else if constexpr (is_real<S> && std::is_integral_v<D>) {
        return saturated<D>(rounded(to_float(value), mode));
    } else if constexpr (is_real<D> && sizeof(D) == 2) {
        const float wide = to_float(value);
        return directed<D>(wide, from_float<D>(wide), mode);
    } else if constexpr (std::is_integral_v<S> && std::is_integral_v<D>) {
        return sizeof(D) < sizeof(S) ? saturated<D>(double(value)) : static_cast<D>(value);
    } else {
        return static_cast<D>(to_float(value));
    }
}

// D and S are the two types, in either order.
template <typename D, typename S, typename A, typename B>
constexpr bool is_same_pair = (std::is_same_v<D, A> && std::is_same_v<S, B>) ||
                              (std::is_same_v<D, B> && std::is_same_v<S, A>);

template <typename D, typename S>
constexpr bool castable =
    (is_same_pair<D, S, float, half> || is_same_pair<D, S, float, bfloat16_t> ||
     is_same_pair<D, S, float, int32_t> || is_same_pair<D, S, float, int16_t> ||
     is_same_pair<D, S, float, int64_t> || is_same_pair<D, S, half, int16_t> ||
     is_same_pair<D, S, half, int8_t> || is_same_pair<D, S, half, uint8_t> ||
     is_same_pair<D, S, int32_t, int16_t> || is_same_pair<D, S, int32_t, int64_t> ||
     (std::is_same_v<D, int32_t> && is_one_of<S, half, bfloat16_t>) ||
     (std::is_same_v<D, float> && std::is_same_v<S, float>));

template <typename D, typename S>
inline auto caster(RoundMode mode) {
    static_assert(castable<D, S>, "Cast has no conversion between these types on this chip");
    return [mode](S value) { return converted<D>(value, mode); };
}

// A conversion that loses digits needs a rule, and one that loses none has none.
template <typename D, typename S>
inline void check_rounding(RoundMode mode, Place place) {
    constexpr bool loses = (is_real<S> && std::is_integral_v<D>) ||
                           (std::is_same_v<S, float> && sizeof(D) == 2 && is_real<D>);
    if (loses && mode == RoundMode::CAST_NONE && std::is_integral_v<D>) {
        fail(place, "name the rounding: CAST_RINT, CAST_FLOOR, CAST_CEIL, CAST_ROUND or CAST_TRUNC",
             "Cast to whole numbers with CAST_NONE");
    }
}

}  // namespace canopy_ascend

namespace AscendC {

template <typename T, typename U>
inline void Compare(const LocalTensor<U>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1,
                    CMPMODE mode, uint32_t count, Place place = Place::Here()) {
    canopy_ascend::compare_count(dst, src0, &src1, T(), mode, count, place);
}
template <typename T, typename U, bool isSetMask = true>
inline void Compare(const LocalTensor<U>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1,
                    CMPMODE mode, const uint64_t mask, uint8_t repeatTime, const BinaryRepeatParams& p,
                    Place place = Place::Here()) {
    (void)mask;  // all lanes of a repeat are compared
    canopy_ascend::compare_masked(dst, src0, &src1, T(), mode, repeatTime,
                                  {p.src0BlkStride, p.src0RepStride}, {p.src1BlkStride, p.src1RepStride},
                                  place);
}
template <typename T, typename U>
inline void CompareScalar(const LocalTensor<U>& dst, const LocalTensor<T>& src0,
                          const typename LocalTensor<T>::PrimType scalar, CMPMODE mode, uint32_t count,
                          Place place = Place::Here()) {
    canopy_ascend::compare_count<T, U>(dst, src0, nullptr, scalar, mode, count, place);
}
template <typename T, typename U, bool isSetMask = true>
inline void CompareScalar(const LocalTensor<U>& dst, const LocalTensor<T>& src0,
                          const typename LocalTensor<T>::PrimType scalar, CMPMODE mode,
                          const uint64_t mask, uint8_t repeatTime, const UnaryRepeatParams& p,
                          Place place = Place::Here()) {
    (void)mask;
    canopy_ascend::compare_masked<T, U>(dst, src0, nullptr, scalar, mode, repeatTime,
                                        {p.srcBlkStride, p.srcRepStride}, {}, place);
}

template <typename T, typename U>
inline void Select(const LocalTensor<T>& dst, const LocalTensor<U>& mask, const LocalTensor<T>& src0,
                   const LocalTensor<T>& src1, SELMODE mode, uint32_t count, Place place = Place::Here()) {
    canopy_ascend::select_lanes(dst, mask, src0, &src1, T(), mode,
                                canopy_ascend::Walk::of_count(count, place), BinaryRepeatParams(), place);
}
template <typename T, typename U>
inline void Select(const LocalTensor<T>& dst, const LocalTensor<U>& mask, const LocalTensor<T>& src0,
                   typename LocalTensor<T>::PrimType src1, SELMODE mode, uint32_t count,
                   Place place = Place::Here()) {
    canopy_ascend::select_lanes<T, U>(dst, mask, src0, nullptr, src1, mode,
                                      canopy_ascend::Walk::of_count(count, place), BinaryRepeatParams(),
                                      place);
}
template <typename T, typename U, bool isSetMask = true>
inline void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask, const LocalTensor<T>& src0,
                   const LocalTensor<T>& src1, SELMODE mode, uint64_t mask, uint8_t repeatTime,
                   const BinaryRepeatParams& params, Place place = Place::Here()) {
    const auto walk = canopy_ascend::walk_of<isSetMask>(mask, repeatTime, canopy_ascend::lanes_of<T>, place);
    canopy_ascend::select_lanes(dst, selMask, src0, &src1, T(), mode, walk, params, place);
}
template <typename T, typename U, bool isSetMask = true>
inline void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask, const LocalTensor<T>& src0,
                   typename LocalTensor<T>::PrimType src1, SELMODE mode, uint64_t mask,
                   uint8_t repeatTime, const BinaryRepeatParams& params, Place place = Place::Here()) {
    const auto walk = canopy_ascend::walk_of<isSetMask>(mask, repeatTime, canopy_ascend::lanes_of<T>, place);
    canopy_ascend::select_lanes<T, U>(dst, selMask, src0, nullptr, src1, mode, walk, params, place);
}

template <typename T, typename U, bool isSetMask = true>
inline void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask, const LocalTensor<T>& src0,
                   const LocalTensor<T>& src1, SELMODE mode, uint64_t mask[], uint8_t repeatTime,
                   const BinaryRepeatParams& params, Place place = Place::Here()) {
    const auto walk = canopy_ascend::walk_of<isSetMask>(mask, repeatTime, canopy_ascend::lanes_of<T>, place);
    canopy_ascend::select_lanes(dst, selMask, src0, &src1, T(), mode, walk, params, place);
}
template <typename T, typename U, bool isSetMask = true>
inline void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask, const LocalTensor<T>& src0,
                   typename LocalTensor<T>::PrimType src1, SELMODE mode, uint64_t mask[],
                   uint8_t repeatTime, const BinaryRepeatParams& params, Place place = Place::Here()) {
    const auto walk = canopy_ascend::walk_of<isSetMask>(mask, repeatTime, canopy_ascend::lanes_of<T>, place);
    canopy_ascend::select_lanes<T, U>(dst, selMask, src0, nullptr, src1, mode, walk, params, place);
}

template <typename T1, typename T2>
inline void Cast(const LocalTensor<T1>& dst, const LocalTensor<T2>& src, const RoundMode& mode,
                 const uint32_t count, Place place = Place::Here()) {
    using namespace canopy_ascend;
    check_rounding<T1, T2>(mode, place);
    compute(Walk::of_count(count, place), place, caster<T1, T2>(mode), Operand<T1>{dst}, Operand<T2>{src});
}
template <typename T1, typename T2, bool isSetMask = true>
inline void Cast(const LocalTensor<T1>& dst, const LocalTensor<T2>& src, const RoundMode& mode,
                 const uint64_t mask, const uint8_t repeatTime, const UnaryRepeatParams& p,
                 Place place = Place::Here()) {
    using namespace canopy_ascend;
    check_rounding<T1, T2>(mode, place);
    const auto walk = walk_of<isSetMask>(mask, repeatTime, lanes_of<T1, T2>, place);
    compute(walk, place, caster<T1, T2>(mode), Operand<T1>{dst, {p.dstBlkStride, p.dstRepStride}},
            Operand<T2>{src, {p.srcBlkStride, p.srcRepStride}});
}
template <typename T1, typename T2, bool isSetMask = true>
inline void Cast(const LocalTensor<T1>& dst, const LocalTensor<T2>& src, const RoundMode& mode,
                 const uint64_t mask[], const uint8_t repeatTime, const UnaryRepeatParams& p,
                 Place place = Place::Here()) {
    using namespace canopy_ascend;
    check_rounding<T1, T2>(mode, place);
    const auto walk = walk_of<isSetMask>(mask, repeatTime, lanes_of<T1, T2>, place);
    compute(walk, place, caster<T1, T2>(mode), Operand<T1>{dst, {p.dstBlkStride, p.dstRepStride}},
            Operand<T2>{src, {p.srcBlkStride, p.srcRepStride}});
}

}  // namespace AscendC
