// Reductions: of a whole tensor, of each repeat, of each block of 32 bytes, of pairs.
#pragma once

#include "choose.h"

namespace AscendC {

enum class ReduceOrder : uint8_t { ORDER_VALUE_INDEX = 0, ORDER_INDEX_VALUE, ORDER_ONLY_VALUE, ORDER_ONLY_INDEX };

}  // namespace AscendC

namespace canopy_ascend {

struct Found {
    float value;
    uint32_t index;
};

// One lane of a repeat, whether it takes part, and where it stands.
template <typename T>
inline T lane_value(Core& self, const Operand<T>& source, int64_t at, const char* what, Place place) {
    const uint8_t* from = lanes_at(self, source, at, sizeof(T), false, place);
    check_written(self, Space::UB, from, sizeof(T), what, place);
    T value;
    memcpy(&value, from, sizeof(T));
    return value;
}

template <typename T>
inline void put(Core& self, const Tensor<T>& dst, int64_t lane, T value, Place place) {
    uint8_t* to = lanes_at(self, Operand<T>{dst}, lane * sizeof(T), sizeof(T), true, place);
    memcpy(to, &value, sizeof(T));
    memset(shadow(self, Space::UB, to), 1, sizeof(T));
}

// Sums in pairs, as the adder tree of the chip does.
template <typename T>
inline T tree_sum(T* values, uint32_t count) {
    for (uint32_t width = count; width > 1; width = (width + 1) / 2) {
        for (uint32_t i = 0; i < width / 2; ++i) {
            values[i] = static_cast<T>(values[2 * i] + values[2 * i + 1]);
        }
        if (width % 2) values[width / 2] = values[width - 1];
    }
    return count ? values[0] : T(0);
}

template <typename T>
inline T index_as(uint32_t index) {
    T made;
    if constexpr (sizeof(T) == 2) {
        const uint16_t narrow = static_cast<uint16_t>(index);
        memcpy(&made, &narrow, 2);
    } else {
        memcpy(&made, &index, 4);
    }
    return made;
}

// Lanes [first, first + count) of a repeat, the active ones.
template <typename T>
inline uint32_t gather_lanes(Core& self, const Operand<T>& source, const Walk& walk, uint32_t repeat,
                             uint32_t first, uint32_t count, T* values, uint32_t* lanes, Place place) {
    uint32_t found = 0;
    for (uint32_t lane = first; lane < first + count; ++lane) {
        if (!walk.has(repeat, lane, lanes_of<T>)) continue;
        values[found] = lane_value(self, source, source.place(repeat, lane), "a reduction reads", place);
        lanes[found++] = lane;
    }
    return found;
}

enum class Reduction { SUM, MAX, MIN };

template <Reduction how, typename T>
inline uint32_t best_of(const T* values, uint32_t count) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < count; ++i) {
        if (how == Reduction::MAX ? values[i] > values[best] : values[i] < values[best]) best = i;
    }
    return best;
}

template <Reduction how, typename T>
inline T reduce_values(T* values, uint32_t count) {
    if constexpr (how == Reduction::SUM) return tree_sum(values, count);
    else return values[best_of<how>(values, count)];
}

template <typename T>
inline void check_reduction(Core& self, const Tensor<T>& dst, const Tensor<T>& src, Place place) {
    static_assert(is_one_of<T, half, float>, "reductions take half and float");
    begin(self, Pipe::V);
    check_vector(self, dst.region(), place);
    check_aligned(dst.region(), 0, sizeof(T), "the target", place);
    check_operand(self, Operand<T>{src}, "the source", place);
}

// One value per repeat; `target_step` counts results (pairs for a value with its index).
template <Reduction how, typename T>
inline void reduce_repeats(const Tensor<T>& dst, const Tensor<T>& src, const Walk& walk,
                           int32_t target_step, Stride stride, AscendC::ReduceOrder order, Place place) {
    using AscendC::ReduceOrder;
    Core& self = core();
    check_reduction(self, dst, src, place);
    const Operand<T> source{src, stride};
    for (uint32_t r = 0; r < walk.repeats; ++r) {
        T values[lanes_of<T>];
        uint32_t lanes[lanes_of<T>];
        const uint32_t n = gather_lanes(self, source, walk, r, 0, lanes_of<T>, values, lanes, place);
        if (!n) continue;
        if constexpr (how == Reduction::SUM) {
            put(self, dst, int64_t(r) * target_step, tree_sum(values, n), place);
            continue;
        }
        const uint32_t best = best_of<how>(values, n);
        const T value = values[best], index = index_as<T>(lanes[best]);
        const int64_t pair = int64_t(r) * target_step * 2, single = int64_t(r) * target_step;
        switch (order) {
            case ReduceOrder::ORDER_VALUE_INDEX:
                put(self, dst, pair, value, place);
                put(self, dst, pair + 1, index, place);
                break;
            case ReduceOrder::ORDER_INDEX_VALUE:
                put(self, dst, pair, index, place);
                put(self, dst, pair + 1, value, place);
                break;
            case ReduceOrder::ORDER_ONLY_VALUE: put(self, dst, single, value, place); break;
            default: {
                const uint32_t lane = lanes[best];
                uint8_t* to = lanes_at(self, Operand<T>{dst}, single * 4, 4, true, place);
                memcpy(to, &lane, 4);
                memset(shadow(self, Space::UB, to), 1, 4);
            }
        }
    }
}

// One value per block of 32 bytes, eight per repeat; or one per pair of lanes.
template <Reduction how, typename T>
inline void reduce_parts(const Tensor<T>& dst, const Tensor<T>& src, const Walk& walk,
                         uint32_t part, int32_t target_step, Stride stride, Place place) {
    Core& self = core();
    check_reduction(self, dst, src, place);
    const Operand<T> source{src, stride};
    const uint32_t parts = lanes_of<T> / part;
    for (uint32_t r = 0; r < walk.repeats; ++r) {
        for (uint32_t p = 0; p < parts; ++p) {
            T values[lanes_of<T>];
            uint32_t lanes[lanes_of<T>];
            const uint32_t n = gather_lanes(self, source, walk, r, p * part, part, values, lanes, place);
            if (!n) continue;
            put(self, dst, int64_t(r) * target_step * parts + p, reduce_values<how>(values, n), place);
        }
    }
}

// A whole tensor to its first element; with its index behind it where that is asked for.
template <Reduction how, typename T>
inline void reduce_all(const Tensor<T>& dst, const Tensor<T>& src, const Tensor<T>& work, int64_t count,
                       bool with_index, Place place) {
    Core& self = core();
    check_reduction(self, dst, src, place);
    check_operand(self, Operand<T>{work}, "the work tensor", place);
    if (count < 1) fail(place, "reduce at least one element", "a reduction of %lld elements", (long long)count);
    const Operand<T> source{src};
    const uint8_t* from = lanes_at(self, source, 0, uint64_t(count) * sizeof(T), false, place);
    check_written(self, Space::UB, from, uint64_t(count) * sizeof(T), "a reduction reads", place);
    const T* values = reinterpret_cast<const T*>(from);
    const int64_t partial = (count + lanes_of<T> - 1) / lanes_of<T> * (how == Reduction::SUM ? 1 : 2);
    const uint64_t work_bytes = rounded_up(uint64_t(partial) * sizeof(T), kBlock);
    uint8_t* scratch = lanes_at(self, Operand<T>{work}, 0, work_bytes, true, place);
    if constexpr (how == Reduction::SUM) {
        T* sums = static_cast<T*>(malloc(uint64_t(count) * sizeof(T)));
        memcpy(sums, values, uint64_t(count) * sizeof(T));
        const T total = tree_sum(sums, static_cast<uint32_t>(count));
        free(sums);
        if (scratch != reinterpret_cast<uint8_t*>(const_cast<T*>(values))) {
            memset(shadow(self, Space::UB, scratch), 0, work_bytes);
        }
        put(self, dst, 0, total, place);
    } else {
        const uint32_t best = best_of<how>(values, static_cast<uint32_t>(count));
        const T value = values[best];
        memset(shadow(self, Space::UB, scratch), 0, work_bytes);
        self.reduced_index = best;
        put(self, dst, 0, value, place);
        if (with_index) put(self, dst, 1, index_as<T>(best), place);
    }
}

}  // namespace canopy_ascend

namespace AscendC {

template <typename T>
inline void ReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<T>& work,
                      const int32_t count, Place place = Place::Here()) {
    canopy_ascend::reduce_all<canopy_ascend::Reduction::SUM>(dst, src, work, count, false, place);
}
#define CANOPY_REDUCE(name, how)                                                                   \
    template <typename T>                                                                          \
    inline void Reduce##name(const LocalTensor<T>& dst, const LocalTensor<T>& src,                 \
                             const LocalTensor<T>& work, const int32_t count, bool calIndex = false, \
                             Place place = Place::Here()) {                                        \
        canopy_ascend::reduce_all<canopy_ascend::Reduction::how>(dst, src, work, count, calIndex, place); \
    }                                                                                              \
    template <typename T, bool isSetMask = true>                                                   \
    inline void WholeReduce##name(const LocalTensor<T>& dst, const LocalTensor<T>& src,            \
                                  const int32_t mask, const int32_t repeatTime,                    \
                                  const int32_t dstRepStride, const int32_t srcBlkStride,          \
                                  const int32_t srcRepStride,                                      \
                                  ReduceOrder order = ReduceOrder::ORDER_VALUE_INDEX,              \
                                  Place place = Place::Here()) {                                   \
        using namespace canopy_ascend;                                                             \
        const auto walk = walk_of<isSetMask>(static_cast<uint64_t>(mask), repeatTime, lanes_of<T>, place); \
        reduce_repeats<Reduction::how>(dst, src, walk, dstRepStride,                               \
                                       {uint32_t(srcBlkStride), uint32_t(srcRepStride)}, order, place); \
    }
CANOPY_REDUCE(Max, MAX)
CANOPY_REDUCE(Min, MIN)
#undef CANOPY_REDUCE

template <typename T, bool isSetMask = true>
inline void WholeReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src, const int32_t mask,
                           const int32_t repeatTime, const int32_t dstRepStride,
                           const int32_t srcBlkStride, const int32_t srcRepStride,
                           Place place = Place::Here()) {
    using namespace canopy_ascend;
    const auto walk = walk_of<isSetMask>(static_cast<uint64_t>(mask), repeatTime, lanes_of<T>, place);
    reduce_repeats<Reduction::SUM>(dst, src, walk, dstRepStride,
                                   {uint32_t(srcBlkStride), uint32_t(srcRepStride)},
                                   ReduceOrder::ORDER_ONLY_VALUE, place);
}

#define CANOPY_PART_REDUCE(call, how, part)                                                        \
    template <typename T, bool isSetMask = true>                                                   \
    inline void call(const LocalTensor<T>& dst, const LocalTensor<T>& src, const int32_t repeatTime, \
                     const int32_t mask, const int32_t dstRepStride, const int32_t srcBlkStride,   \
                     const int32_t srcRepStride, Place place = Place::Here()) {                    \
        using namespace canopy_ascend;                                                             \
        const auto walk = walk_of<isSetMask>(static_cast<uint64_t>(mask), repeatTime, lanes_of<T>, place); \
        reduce_parts<Reduction::how>(dst, src, walk, part, dstRepStride,                           \
                                     {uint32_t(srcBlkStride), uint32_t(srcRepStride)}, place);     \
    }
CANOPY_PART_REDUCE(BlockReduceSum, SUM, 32 / sizeof(T))
CANOPY_PART_REDUCE(BlockReduceMax, MAX, 32 / sizeof(T))
CANOPY_PART_REDUCE(BlockReduceMin, MIN, 32 / sizeof(T))
CANOPY_PART_REDUCE(PairReduceSum, SUM, 2)
#undef CANOPY_PART_REDUCE

template <typename T>
inline void GetReduceMaxMinCount(uint32_t& index) { index = canopy_ascend::core().reduced_index; }

}  // namespace AscendC
