// Moving lanes: transposes, gathers, broadcasts of blocks, ranges.
#pragma once

#include "reduce.h"

namespace AscendC {

struct TransDataTo5HDParams {
    bool dstHighHalf = false, srcHighHalf = false;
    uint8_t repeatTimes = 1;
    uint16_t dstRepStride = 0, srcRepStride = 0;
    TransDataTo5HDParams() = default;
    TransDataTo5HDParams(bool dst_high, bool src_high, uint8_t repeats, uint16_t dst_stride, uint16_t src_stride)
        : dstHighHalf(dst_high), srcHighHalf(src_high), repeatTimes(repeats), dstRepStride(dst_stride),
          srcRepStride(src_stride) {}
};
struct GatherRepeatParams {
    uint32_t dstBlkStride = 1, dstRepStride = 8;
    GatherRepeatParams() = default;
    GatherRepeatParams(uint8_t block, uint8_t repeat) : dstBlkStride(block), dstRepStride(repeat) {}
};
struct BrcbRepeatParams {
    uint16_t dstBlkStride = 1, dstRepStride = 8;
    BrcbRepeatParams() = default;
    BrcbRepeatParams(uint16_t block, uint16_t repeat) : dstBlkStride(block), dstRepStride(repeat) {}
};
struct GatherMaskParams {
    uint8_t src0BlockStride = 1;
    uint16_t repeatTimes = 1, src0RepeatStride = 8;
    uint8_t src1RepeatStride = 8;
    GatherMaskParams() = default;
    GatherMaskParams(uint8_t block, uint16_t repeats, uint16_t repeat_stride, uint8_t mask_stride)
        : src0BlockStride(block), repeatTimes(repeats), src0RepeatStride(repeat_stride),
          src1RepeatStride(mask_stride) {}
};

}  // namespace AscendC

namespace canopy_ascend {

// Bytes of UB to bytes of UB, with what is known of them.
inline void carry(Core& self, uint8_t* to, const uint8_t* from, uint32_t bytes) {
    memcpy(to, from, bytes);
    memcpy(shadow(self, Space::UB, to), shadow(self, Space::UB, from), bytes);
}

template <typename T>
inline void transpose_block(Core& self, const Tensor<T>& dst, const Tensor<T>& src, Place place) {
    const uint8_t* from = lanes_at(self, Operand<T>{src}, 0, 512, false, place);
    T values[256];
    uint8_t marks[256];
    for (int i = 0; i < 256; ++i) {
        memcpy(&values[i], from + i * 2, 2);
        marks[i] = *shadow(self, Space::UB, from + i * 2);
    }
    uint8_t* to = lanes_at(self, Operand<T>{dst}, 0, 512, true, place);
    for (int row = 0; row < 16; ++row) {
        for (int column = 0; column < 16; ++column) {
            const int at = (column * 16 + row) * 2;
            memcpy(to + at, &values[row * 16 + column], 2);
            memset(shadow(self, Space::UB, to + at), marks[row * 16 + column], 2);
        }
    }
}

// 16 rows of one block each, transposed: of 32-bit types 16 x 8 to 8 pairs of blocks.
template <typename T>
inline void to_5hd(const Tensor<T>* dst, const Tensor<T>* src, const AscendC::TransDataTo5HDParams& p,
                   Place place) {
    static_assert(sizeof(T) == 2 || sizeof(T) == 4, "TransDataTo5HD takes 16- and 32-bit types here");
    Core& self = core();
    begin(self, Pipe::V);
    constexpr uint32_t lanes = kBlock / sizeof(T);
    for (uint32_t r = 0; r < p.repeatTimes; ++r) {
        T values[16][lanes];
        uint8_t marks[16][lanes];
        for (int row = 0; row < 16; ++row) {
            check_operand(self, Operand<T>{src[row]}, "a source", place);
            const uint8_t* from = lanes_at(self, Operand<T>{src[row]}, int64_t(r) * p.srcRepStride * kBlock,
                                           kBlock, false, place);
            memcpy(values[row], from, kBlock);
            for (uint32_t i = 0; i < lanes; ++i) marks[row][i] = *shadow(self, Space::UB, from + i * sizeof(T));
        }
        for (int row = 0; row < 16; ++row) {
            check_operand(self, Operand<T>{dst[row]}, "a target", place);
            uint8_t* to = lanes_at(self, Operand<T>{dst[row]}, int64_t(r) * p.dstRepStride * kBlock, kBlock,
                                   true, place);
            for (uint32_t i = 0; i < lanes; ++i) {
                const uint32_t from_row = sizeof(T) == 2 ? i : i + (row % 2) * 8;
                const uint32_t from_lane = sizeof(T) == 2 ? row : row / 2;
                memcpy(to + i * sizeof(T), &values[from_row][from_lane], sizeof(T));
                memset(shadow(self, Space::UB, to + i * sizeof(T)), marks[from_row][from_lane], sizeof(T));
            }
        }
    }
}

template <typename T>
inline uint8_t* gathered_from(Core& self, const Tensor<T>& src, int64_t byte, uint32_t bytes, Place place) {
    if (byte % sizeof(T)) {
        fail(place, "offsets of Gather count bytes", "the offset %lld is no multiple of the type's %u bytes",
             (long long)byte, (unsigned)sizeof(T));
    }
    return lanes_at(self, Operand<T>{src}, byte, bytes, false, place);
}

}  // namespace canopy_ascend

namespace AscendC {

// A block of 16 x 16 elements of 16 bits.
template <typename T>
inline void Transpose(const LocalTensor<T>& dst, const LocalTensor<T>& src, Place place = Place::Here()) {
    using namespace canopy_ascend;
    static_assert(sizeof(T) == 2, "Transpose takes 16-bit types: 16 x 16 elements");
    Core& self = core();
    begin(self, Pipe::V);
    check_operand(self, Operand<T>{dst}, "the target", place);
    check_operand(self, Operand<T>{src}, "the source", place);
    transpose_block(self, dst, src, place);
}

template <typename T>
inline void TransDataTo5HD(const LocalTensor<T> (&dst)[16], const LocalTensor<T> (&src)[16],
                           const TransDataTo5HDParams& params, Place place = Place::Here()) {
    canopy_ascend::to_5hd(dst, src, params, place);
}
template <typename T>
inline void TransDataTo5HD(uint64_t dst[16], uint64_t src[16], const TransDataTo5HDParams& params,
                           Place place = Place::Here()) {
    using namespace canopy_ascend;
    Core& self = core();
    Region all;
    all.first = 0;
    all.end = self.memory[static_cast<int>(Space::UB)].size;
    LocalTensor<T> to[16], from[16];
    for (int i = 0; i < 16; ++i) {
        all.byte = static_cast<int64_t>(dst[i]);
        to[i] = LocalTensor<T>(all, kBlock / sizeof(T));
        all.byte = static_cast<int64_t>(src[i]);
        from[i] = LocalTensor<T>(all, kBlock / sizeof(T));
    }
    to_5hd(to, from, params, place);
}

// dst[i] = src at byte offset[i] + base.
template <typename T>
inline void Gather(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<uint32_t>& offset,
                   const uint32_t base, const uint32_t count, Place place = Place::Here()) {
    using namespace canopy_ascend;
    static_assert(sizeof(T) == 2 || sizeof(T) == 4, "Gather takes 16- and 32-bit types");
    Core& self = core();
    begin(self, Pipe::V);
    check_operand(self, Operand<T>{dst}, "the target", place);
    check_operand(self, Operand<uint32_t>{offset}, "the offsets", place);
    for (uint32_t i = 0; i < count; ++i) {
        const uint32_t byte = lane_value(self, Operand<uint32_t>{offset}, int64_t(i) * 4, "Gather reads offsets in", place);
        const uint8_t* from = gathered_from(self, src, int64_t(byte) + base, sizeof(T), place);
        uint8_t* to = lanes_at(self, Operand<T>{dst}, int64_t(i) * sizeof(T), sizeof(T), true, place);
        carry(self, to, from, sizeof(T));
    }
}
template <typename T>
inline void Gather(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<uint32_t>& offset,
                   const uint32_t base, const uint64_t mask, const uint8_t repeatTimes,
                   const uint16_t dstRepStride, Place place = Place::Here()) {
    using namespace canopy_ascend;
    Core& self = core();
    begin(self, Pipe::V);
    const Walk walk = walk_of<true>(mask, repeatTimes, lanes_of<T>, place);
    const Operand<T> target{dst, {1, dstRepStride}};
    for (uint32_t r = 0; r < walk.repeats; ++r) {
        for (uint32_t lane = 0; lane < lanes_of<T>; ++lane) {
            if (!walk.has(r, lane, lanes_of<T>)) continue;
            const int64_t i = int64_t(r) * lanes_of<T> + lane;
            const uint32_t byte = lane_value(self, Operand<uint32_t>{offset}, i * 4, "Gather reads offsets in", place);
            const uint8_t* from = gathered_from(self, src, int64_t(byte) + base, sizeof(T), place);
            carry(self, lanes_at(self, target, target.place(r, lane), sizeof(T), true, place), from, sizeof(T));
        }
    }
}

// Eight blocks of 32 bytes per repeat, each from its own byte offset.
template <typename T>
inline void Gatherb(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<uint32_t>& offset,
                    const uint8_t repeatTimes, const GatherRepeatParams& p, Place place = Place::Here()) {
    using namespace canopy_ascend;
    Core& self = core();
    begin(self, Pipe::V);
    for (uint32_t r = 0; r < repeatTimes; ++r) {
        for (uint32_t b = 0; b < 8; ++b) {
            const uint32_t byte = lane_value(self, Operand<uint32_t>{offset}, int64_t(r * 8 + b) * 4, "Gatherb reads offsets in", place);
            if (byte % kBlock) fail(place, "Gatherb moves blocks of 32 bytes", "the offset %u is no multiple of 32", byte);
            const uint8_t* from = lanes_at(self, Operand<T>{src}, byte, kBlock, false, place);
            const int64_t at = (int64_t(r) * p.dstRepStride + int64_t(b) * p.dstBlkStride) * kBlock;
            carry(self, lanes_at(self, Operand<T>{dst}, at, kBlock, true, place), from, kBlock);
        }
    }
}

// The lanes whose bit of the pattern is set, packed. Patterns 1 to 7 are built in.
template <typename T, typename U>
inline void GatherMask(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<U>& pattern,
                       const bool reduceMode, const uint32_t mask, const GatherMaskParams& p, uint64_t& rsvdCnt,
                       Place place = Place::Here()) {
    using namespace canopy_ascend;
    static_assert((sizeof(T) == 2 && sizeof(U) == 2) || (sizeof(T) == 4 && sizeof(U) == 4),
                  "the pattern of GatherMask has words as wide as the elements");
    Core& self = core();
    begin(self, Pipe::V);
    const Operand<T> source{src, {p.src0BlockStride, p.src0RepeatStride}};
    const uint32_t lanes = reduceMode ? mask : lanes_of<T>;
    rsvdCnt = 0;
    for (uint32_t r = 0; r < p.repeatTimes; ++r) {
        for (uint32_t lane = 0; lane < lanes; ++lane) {
            const int64_t bit = int64_t(r) * p.src1RepeatStride * kBlock * 8 + lane;
            const uint8_t word = static_cast<uint8_t>(*lanes_at(self, Operand<U>{pattern}, bit / 8, 1, false, place));
            if (!(word >> (bit % 8) & 1)) continue;
            const uint8_t* from = lanes_at(self, source, source.place(r, lane), sizeof(T), false, place);
            carry(self, lanes_at(self, Operand<T>{dst}, int64_t(rsvdCnt++) * sizeof(T), sizeof(T), true, place), from, sizeof(T));
        }
    }
}
template <typename T>
inline void GatherMask(const LocalTensor<T>& dst, const LocalTensor<T>& src, const uint8_t pattern,
                       const bool reduceMode, const uint32_t mask, const GatherMaskParams& p, uint64_t& rsvdCnt,
                       Place place = Place::Here()) {
    using namespace canopy_ascend;
    Core& self = core();
    begin(self, Pipe::V);
    if (pattern < 1 || pattern > 7) fail(place, "built-in patterns are 1 to 7", "pattern %d", pattern);
    const Operand<T> source{src, {p.src0BlockStride, p.src0RepeatStride}};
    const uint32_t lanes = reduceMode ? mask : lanes_of<T>;
    rsvdCnt = 0;
    for (uint32_t r = 0; r < p.repeatTimes; ++r) {
        for (uint32_t lane = 0; lane < lanes; ++lane) {
            const bool taken = pattern == 7 || (pattern <= 2 ? lane % 2 == pattern - 1u : lane % 4 == pattern - 3u);
            if (!taken) continue;
            const uint8_t* from = lanes_at(self, source, source.place(r, lane), sizeof(T), false, place);
            carry(self, lanes_at(self, Operand<T>{dst}, int64_t(rsvdCnt++) * sizeof(T), sizeof(T), true, place), from, sizeof(T));
        }
    }
}

// Eight elements of src per repeat, each over a whole block of dst.
template <typename T>
inline void Brcb(const LocalTensor<T>& dst, const LocalTensor<T>& src, const uint8_t repeatTime,
                 const BrcbRepeatParams& p, Place place = Place::Here()) {
    using namespace canopy_ascend;
    static_assert(sizeof(T) == 2 || sizeof(T) == 4, "Brcb takes 16- and 32-bit types");
    Core& self = core();
    begin(self, Pipe::V);
    check_operand(self, Operand<T>{dst}, "the target", place);
    check_operand(self, Operand<T>{src}, "the source", place);
    for (uint32_t r = 0; r < repeatTime; ++r) {
        for (uint32_t b = 0; b < 8; ++b) {
            const uint8_t* from = lanes_at(self, Operand<T>{src}, int64_t(r * 8 + b) * sizeof(T), sizeof(T), false, place);
            const int64_t at = (int64_t(r) * p.dstRepStride + int64_t(b) * p.dstBlkStride) * kBlock;
            uint8_t* to = lanes_at(self, Operand<T>{dst}, at, kBlock, true, place);
            for (uint32_t i = 0; i < kBlock / sizeof(T); ++i) carry(self, to + i * sizeof(T), from, sizeof(T));
        }
    }
}

// first, first + 1, .. and first, first + difference, ..
template <typename T>
inline void CreateVecIndex(LocalTensor<T> dst, const T& first, uint32_t count, Place place = Place::Here()) {
    using namespace canopy_ascend;
    static_assert(is_one_of<T, int16_t, half, int32_t, float>, "CreateVecIndex takes half, float, int16_t and int32_t");
    int64_t lane = 0;
    compute(Walk::of_count(count, place), place,
            [&]() { return static_cast<T>(first + static_cast<T>(lane++)); }, Operand<T>{dst});
}
template <typename T>
inline void ArithProgression(const LocalTensor<T>& dst, const T first, const T difference, const int32_t count,
                             Place place = Place::Here()) {
    using namespace canopy_ascend;
    static_assert(is_one_of<T, int16_t, half, int32_t, float>, "ArithProgression takes half, float, int16_t and int32_t");
    int64_t lane = 0;
    compute(Walk::of_count(count, place), place,
            [&]() { return static_cast<T>(first + static_cast<T>(lane++) * difference); }, Operand<T>{dst});
}

}  // namespace AscendC
