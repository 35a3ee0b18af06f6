// How a vector instruction walks its operands: by count, or in repeats of 256 bytes under a mask.
#pragma once

#include <initializer_list>

#include "copy.h"

namespace AscendC {

struct UnaryRepeatParams {
    uint16_t dstBlkStride = 1, srcBlkStride = 1;
    uint8_t dstRepStride = 8, srcRepStride = 8;
    bool halfBlock = false;
    UnaryRepeatParams() = default;
    UnaryRepeatParams(uint16_t dst_block, uint16_t src_block, uint8_t dst_repeat, uint8_t src_repeat)
        : dstBlkStride(dst_block), srcBlkStride(src_block), dstRepStride(dst_repeat),
          srcRepStride(src_repeat) {}
};

struct BinaryRepeatParams {
    uint8_t dstBlkStride = 1, src0BlkStride = 1, src1BlkStride = 1;
    uint8_t dstRepStride = 8, src0RepStride = 8, src1RepStride = 8;
    BinaryRepeatParams() = default;
    BinaryRepeatParams(uint8_t dst_block, uint8_t src0_block, uint8_t src1_block, uint8_t dst_repeat,
                       uint8_t src0_repeat, uint8_t src1_repeat)
        : dstBlkStride(dst_block), src0BlkStride(src0_block), src1BlkStride(src1_block),
          dstRepStride(dst_repeat), src0RepStride(src0_repeat), src1RepStride(src1_repeat) {}
};

struct CopyRepeatParams {
    uint16_t dstStride = 1, srcStride = 1;
    uint16_t dstRepeatSize = 8, srcRepeatSize = 8;
    CopyRepeatParams() = default;
    CopyRepeatParams(uint16_t dst, uint16_t src, uint16_t dst_repeat, uint16_t src_repeat)
        : dstStride(dst), srcStride(src), dstRepeatSize(dst_repeat), srcRepeatSize(src_repeat) {}
};

enum class MaskMode : uint8_t { NORMAL = 0, COUNTER };
constexpr uint64_t MASK_PLACEHOLDER = 0;

inline void SetMaskNorm() { canopy_ascend::core().counts_mask = false; }
inline void SetMaskCount() { canopy_ascend::core().counts_mask = true; }
template <typename T, MaskMode mode = MaskMode::NORMAL>
inline void SetVectorMask(uint64_t high, uint64_t low) {
    canopy_ascend::core().mask[0] = low;
    canopy_ascend::core().mask[1] = high;
}
template <typename T, MaskMode mode = MaskMode::NORMAL>
inline void SetVectorMask(int32_t length) {
    uint64_t* mask = canopy_ascend::core().mask;
    if (mode == MaskMode::COUNTER) {
        mask[0] = static_cast<uint64_t>(length);
        mask[1] = 0;
        return;
    }
    mask[0] = length >= 64 ? ~0ull : (1ull << length) - 1;
    mask[1] = length >= 128 ? ~0ull : length > 64 ? (1ull << (length - 64)) - 1 : 0;
}
inline void ResetMask() { SetVectorMask<half>(~0ull, ~0ull); }

}  // namespace AscendC

namespace canopy_ascend {

// Strides of an operand in blocks of 32 bytes.
struct Stride {
    uint32_t block = 1, repeat = 8;
};

// Which lanes of an instruction are computed: the first `count`, or `repeats` under a mask.
struct Walk {
    int64_t count = -1;      // the form with a number of elements
    uint32_t repeats = 0;
    uint64_t mask[2] = {0, 0};
    int64_t total = -1;      // lanes in all, where the mask counts them

    static Walk of_count(int64_t count, Place place) {
        Walk walk;
        walk.count = count;
        if (count < 0) fail(place, "lengths are not negative", "%lld elements", (long long)count);
        return walk;
    }
    bool has(uint32_t repeat, uint32_t lane, uint32_t lanes) const {
        if (total >= 0) return int64_t(repeat) * lanes + lane < total;
        return mask[lane / 64] >> (lane % 64) & 1;
    }
};

inline Walk outer_mask(Core& self, uint32_t lanes, uint32_t repeats) {
    Walk walk;
    walk.repeats = repeats;
    walk.mask[0] = self.mask[0];
    walk.mask[1] = self.mask[1];
    if (self.counts_mask) {
        walk.total = static_cast<int64_t>(self.mask[0]);
        walk.repeats = static_cast<uint32_t>((walk.total + lanes - 1) / lanes);
    }
    return walk;
}

// `mask` counts the lanes of a repeat that are computed, from the first.
template <bool set_mask>
inline Walk walk_of(uint64_t mask, uint32_t repeats, uint32_t lanes, Place place) {
    Core& self = core();
    if constexpr (!set_mask) return outer_mask(self, lanes, repeats);
    if (self.counts_mask) {
        self.mask[0] = mask;
        return outer_mask(self, lanes, repeats);
    }
    if (mask < 1 || mask > lanes) {
        fail(place, "a repeat has 256 bytes", "the mask is %llu, and a repeat has %u lanes",
             (unsigned long long)mask, lanes);
    }
    AscendC::SetVectorMask<half>(static_cast<int32_t>(mask));
    return outer_mask(self, lanes, repeats);
}

template <bool set_mask>
inline Walk walk_of(const uint64_t* mask, uint32_t repeats, uint32_t lanes, Place) {
    Core& self = core();
    if constexpr (set_mask) {
        self.mask[0] = mask[0];
        self.mask[1] = lanes > 64 ? mask[1] : 0;
    }
    return outer_mask(self, lanes, repeats);
}

template <typename... T>
constexpr uint32_t widest() {
    uint32_t found = 1;
    ((found = sizeof(T) > found ? static_cast<uint32_t>(sizeof(T)) : found), ...);
    return found;
}

template <typename... T>
constexpr uint32_t lanes_of = kRepeat / widest<T...>();

// A source or target of an instruction: its tensor and its strides.
template <typename T>
struct Operand {
    const AscendC::LocalTensor<T>& tensor;
    Stride stride = {};
    using Type = T;

    // The byte where lane `lane` of repeat `repeat` stands.
    int64_t place(uint32_t repeat, uint32_t lane) const {
        constexpr uint32_t per_block = kBlock / sizeof(T);
        return (int64_t(repeat) * stride.repeat + int64_t(lane / per_block) * stride.block) * kBlock +
               (lane % per_block) * sizeof(T);
    }
};

inline void check_vector(Core& self, const Region& region, Place place) {
    if (region.space != Space::UB) {
        fail(place, "vector instructions work on VECIN, VECCALC and VECOUT",
             "a vector instruction gets a tensor in %s", name_of(region.space));
    }
    check_core(self, Space::UB, place);
}

template <typename T>
inline void check_operand(Core& self, const Operand<T>& operand, const char* what, Place place) {
    check_vector(self, operand.tensor.region(), place);
    check_aligned(operand.tensor.region(), 0, kBlock, what, place);
}

template <typename T>
inline uint8_t* lanes_at(Core& self, const Operand<T>& operand, int64_t offset, uint64_t bytes,
                         bool writes, Place place) {
    const Region& region = operand.tensor.region();
    uint8_t* at = span(self, region, offset, bytes, place);
    touch(self, Pipe::V, Space::UB, static_cast<uint32_t>(region.byte + offset),
          static_cast<uint32_t>(bytes), writes, place);
    return at;
}

// The lanes of one piece whose sources are all written make written lanes; others stay unwritten.
template <typename D, typename F, typename... S>
inline void compute_piece(Core& self, uint8_t* target, uint32_t lanes, F& function,
                          const S*... sources) {
    Memory& memory = self.memory[static_cast<int>(Space::UB)];
    auto marks = [&](const void* at) {
        return memory.written + (static_cast<const uint8_t*>(at) - memory.bytes);
    };
    uint8_t* made = marks(target);
    D* out = reinterpret_cast<D*>(target);
    const bool whole = (all_written(marks(sources), uint64_t(lanes) * sizeof(S)) && ...);
    if (whole) {
        memset(made, 1, uint64_t(lanes) * sizeof(D));
        for (uint32_t i = 0; i < lanes; ++i) out[i] = function(sources[i]...);
        return;
    }
    for (uint32_t i = 0; i < lanes; ++i) {
        const uint8_t known = (marks(sources + i)[0] & ... & uint8_t(1));
        memset(made + i * sizeof(D), known, sizeof(D));
        out[i] = function(sources[i]...);
    }
}

inline void check_overlap(const Region& target, uint64_t target_bytes, const Region& source,
                          uint64_t source_bytes, Place place) {
    const int64_t distance = source.byte - target.byte;
    const bool apart = distance >= int64_t(target_bytes) || -distance >= int64_t(source_bytes);
    if (distance == 0 || apart) return;
    fail(place, "operands are the same memory or apart",
         "target and source overlap in part: they begin %lld bytes apart", (long long)distance);
}

// target = function(sources...), lane by lane.
template <typename D, typename F, typename... S>
inline void compute(const Walk& walk, Place place, F function, const Operand<D>& target,
                    const Operand<S>&... sources) {
    Core& self = core();
    begin(self, Pipe::V);
    check_operand(self, target, "the target", place);
    (check_operand(self, sources, "a source", place), ...);
    if (walk.count >= 0) {
        const uint32_t n = static_cast<uint32_t>(walk.count);
        if (!n) return;
        span(self, target.tensor.region(), 0, uint64_t(n) * sizeof(D), place);
        (span(self, sources.tensor.region(), 0, uint64_t(n) * sizeof(S), place), ...);
        (check_overlap(target.tensor.region(), uint64_t(n) * sizeof(D), sources.tensor.region(),
                       uint64_t(n) * sizeof(S), place), ...);
        (void)std::initializer_list<uint8_t*>{
            lanes_at(self, sources, 0, uint64_t(n) * sizeof(S), false, place)...};
        uint8_t* out = lanes_at(self, target, 0, uint64_t(n) * sizeof(D), true, place);
        compute_piece<D>(self, out, n, function,
                         reinterpret_cast<const S*>(span(self, sources.tensor.region(), 0, 0, place))...);
        return;
    }
    constexpr uint32_t lanes = lanes_of<D, S...>;
    constexpr uint32_t piece = kBlock / widest<D, S...>();
    for (uint32_t r = 0; r < walk.repeats; ++r) {
        for (uint32_t first = 0; first < lanes; first += piece) {
            for (uint32_t lane = first; lane < first + piece;) {
                if (!walk.has(r, lane, lanes)) { ++lane; continue; }
                uint32_t end = lane + 1;
                while (end < first + piece && walk.has(r, end, lanes)) ++end;
                const uint32_t n = end - lane;
                uint8_t* out = lanes_at(self, target, target.place(r, lane), n * sizeof(D), true, place);
                compute_piece<D>(self, out, n, function,
                                 reinterpret_cast<const S*>(lanes_at(
                                     self, sources, sources.place(r, lane), n * sizeof(S), false, place))...);
                lane = end;
            }
        }
    }
}

}  // namespace canopy_ascend
