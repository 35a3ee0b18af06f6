// DataCopy in its forms, and atomic copies to global memory.
#pragma once

#include "sync.h"

namespace AscendC {

struct DataCopyParams {
    uint16_t blockCount = 1;
    uint16_t blockLen = 0;
    union { uint16_t srcStride = 0; uint16_t srcGap; };
    union { uint16_t dstStride = 0; uint16_t dstGap; };
    DataCopyParams() = default;
    DataCopyParams(uint16_t count, uint16_t len, uint16_t src_stride, uint16_t dst_stride)
        : blockCount(count), blockLen(len), srcStride(src_stride), dstStride(dst_stride) {}
};

struct DataCopyExtParams {
    uint16_t blockCount = 1;
    uint32_t blockLen = 0;
    uint32_t srcStride = 0;
    uint32_t dstStride = 0;
    uint32_t rsv = 0;
    DataCopyExtParams() = default;
    DataCopyExtParams(uint16_t count, uint32_t len, uint32_t src_stride, uint32_t dst_stride,
                      uint32_t reserved)
        : blockCount(count), blockLen(len), srcStride(src_stride), dstStride(dst_stride),
          rsv(reserved) {}
};

template <typename T>
struct DataCopyPadExtParams {
    bool isPad = false;
    uint8_t leftPadding = 0;
    uint8_t rightPadding = 0;
    T paddingValue = {};
    DataCopyPadExtParams() = default;
    DataCopyPadExtParams(bool pad, uint8_t left, uint8_t right, T value)
        : isPad(pad), leftPadding(left), rightPadding(right), paddingValue(value) {}
};

struct DataCopyPadParams {
    bool isPad = false;
    uint8_t leftPadding = 0;
    uint8_t rightPadding = 0;
    uint64_t paddingValue = 0;
    DataCopyPadParams() = default;
    DataCopyPadParams(bool pad, uint8_t left, uint8_t right, uint64_t value)
        : isPad(pad), leftPadding(left), rightPadding(right), paddingValue(value) {}
};

struct Nd2NzParams {
    uint16_t ndNum = 0;
    uint16_t nValue = 0;
    uint16_t dValue = 0;
    uint16_t srcNdMatrixStride = 0;
    uint16_t srcDValue = 0;
    uint16_t dstNzC0Stride = 0;
    uint16_t dstNzNStride = 0;
    uint16_t dstNzMatrixStride = 0;
    Nd2NzParams() = default;
    Nd2NzParams(uint16_t nds, uint16_t n, uint16_t d, uint16_t src_nd_stride, uint16_t src_d,
                uint16_t dst_c0_stride, uint16_t dst_n_stride, uint16_t dst_matrix_stride)
        : ndNum(nds), nValue(n), dValue(d), srcNdMatrixStride(src_nd_stride), srcDValue(src_d),
          dstNzC0Stride(dst_c0_stride), dstNzNStride(dst_n_stride),
          dstNzMatrixStride(dst_matrix_stride) {}
};

}  // namespace AscendC

namespace canopy_ascend {

// What a copy in leaves behind the data in the last block of 32 bytes: it is not for use.
constexpr uint8_t kGarbage = 0xCB;

template <typename T>
inline T combined(Atomic how, T old, T value) {
    if constexpr (is_one_of<T, half, bfloat16_t>) {
        return from_float<T>(combined(how, to_float(old), to_float(value)));
    } else {
        switch (how) {
            case Atomic::ADD: return static_cast<T>(old + value);
            case Atomic::MAX: return value > old ? value : old;
            default: return value < old ? value : old;
        }
    }
}

template <typename T>
inline void write_global(Core& self, T* target, const uint8_t* source, uint64_t bytes, Place place) {
    if (self.atomic == Atomic::NONE) {
        memcpy(target, source, bytes);
        return;
    }
    if constexpr (is_one_of<T, float, half, bfloat16_t, int8_t, int16_t, int32_t>) {
        if (self.atomic_bytes != sizeof(T)) {
            fail(place, "SetAtomicAdd<T> and the copy are of one type",
                 "atomic copies are set for elements of %u bytes, and this copy has %u",
                 self.atomic_bytes, (unsigned)sizeof(T));
        }
        pthread_mutex_lock(&atomic_lock);
        for (uint64_t i = 0; i < bytes / sizeof(T); ++i) {
            T value;
            memcpy(&value, source + i * sizeof(T), sizeof(T));
            target[i] = combined(self.atomic, target[i], value);
        }
        pthread_mutex_unlock(&atomic_lock);
    } else {
        fail(place, "use float, half, bfloat16_t, int8_t, int16_t or int32_t",
             "atomic copies do not take this type");
    }
}

// A copy of blocks: all lengths and strides in bytes, from the start of one block to the next.
struct Blocks {
    uint32_t count = 1;
    uint32_t bytes = 0;
    int64_t source_step = 0, target_step = 0;
};

inline Pipe pipe_in(Space space, Place place) {
    if (space != Space::UB && space != Space::L1) {
        fail(place, "copies from global memory go to VECIN, VECCALC, VECOUT, A1, B1 or C1",
             "DataCopy from global memory to %s", name_of(space));
    }
    return Pipe::MTE2;
}

template <typename T>
inline void copy_in(const AscendC::LocalTensor<T>& target, const AscendC::GlobalTensor<T>& source,
                    const Blocks& blocks, uint32_t left, uint32_t right, const T* pad, Place place) {
    Core& self = core();
    const Region& region = target.region();
    check_core(self, region.space, place);
    const Pipe pipe = pipe_in(region.space, place);
    begin(self, pipe);
    check_aligned(region, 0, kBlock, "the target of the copy", place);
    const uint32_t whole = static_cast<uint32_t>(rounded_up(left + blocks.bytes + right, kBlock));
    for (uint32_t b = 0; b < blocks.count && blocks.bytes; ++b) {
        const int64_t from = b * blocks.source_step;
        const T* read = source.elements(self, from / static_cast<int64_t>(sizeof(T)),
                                        (blocks.bytes + sizeof(T) - 1) / sizeof(T), place);
        touch_global(self, pipe, read, blocks.bytes, false, place);
        uint8_t* at = span(self, region, b * blocks.target_step, whole, place);
        touch(self, pipe, region.space, static_cast<uint32_t>(region.byte + b * blocks.target_step),
              whole, true, place);
        memset(at, kGarbage, whole);
        memcpy(at + left, read, blocks.bytes);
        for (uint32_t i = 0; pad && i < left; i += sizeof(T)) memcpy(at + i, pad, sizeof(T));
        for (uint32_t i = 0; pad && i < right; i += sizeof(T)) {
            memcpy(at + left + blocks.bytes + i, pad, sizeof(T));
        }
        memset(shadow(self, region.space, at), 1, left + blocks.bytes + right);
    }
}

template <typename T>
inline void copy_out(const AscendC::GlobalTensor<T>& target, const AscendC::LocalTensor<T>& source,
                     const Blocks& blocks, Place place) {
    Core& self = core();
    const Region& region = source.region();
    check_core(self, region.space, place);
    if (region.space != Space::UB) {
        fail(place, "results of the cube leave with Fixpipe", "DataCopy from %s to global memory",
             name_of(region.space));
    }
    begin(self, Pipe::MTE3);
    check_aligned(region, 0, kBlock, "the source of the copy", place);
    for (uint32_t b = 0; b < blocks.count && blocks.bytes; ++b) {
        const int64_t offset = b * blocks.source_step;
        const uint8_t* at = span(self, region, offset, blocks.bytes, place);
        touch(self, Pipe::MTE3, region.space, static_cast<uint32_t>(region.byte + offset),
              blocks.bytes, false, place);
        check_written(self, region.space, at, blocks.bytes, "DataCopy stores", place);
        T* write = target.elements(self, b * blocks.target_step / static_cast<int64_t>(sizeof(T)),
                                   (blocks.bytes + sizeof(T) - 1) / sizeof(T), place);
        if (self.atomic == Atomic::NONE) {
            touch_global(self, Pipe::MTE3, write, blocks.bytes, true, place);
        }
        write_global(self, write, at, blocks.bytes, place);
    }
}

// Between on-chip memories: UB to UB on V, L1 to the bias table and the fixpipe buffer on MTE1.
template <typename T, typename U>
inline void copy_within(const AscendC::LocalTensor<T>& target, const AscendC::LocalTensor<U>& source,
                        const Blocks& blocks, Place place) {
    Core& self = core();
    const Region &to = target.region(), &from = source.region();
    check_core(self, to.space, place);
    const bool vector = to.space == Space::UB && from.space == Space::UB;
    const bool matrix = from.space == Space::L1 && (to.space == Space::BT || to.space == Space::FB);
    if (!vector && !matrix) {
        fail(place, "L1 to L0A or L0B is LoadData, L0C to global memory Fixpipe",
             "DataCopy from %s to %s", name_of(from.space), name_of(to.space));
    }
    const Pipe pipe = vector ? Pipe::V : Pipe::MTE1;
    begin(self, pipe);
    check_aligned(to, 0, kBlock, "the target of the copy", place);
    check_aligned(from, 0, kBlock, "the source of the copy", place);
    for (uint32_t b = 0; b < blocks.count && blocks.bytes; ++b) {
        const uint8_t* read = span(self, from, b * blocks.source_step, blocks.bytes, place);
        uint8_t* write = span(self, to, b * blocks.target_step, blocks.bytes, place);
        touch(self, pipe, from.space, static_cast<uint32_t>(from.byte + b * blocks.source_step),
              blocks.bytes, false, place);
        touch(self, pipe, to.space, static_cast<uint32_t>(to.byte + b * blocks.target_step),
              blocks.bytes, true, place);
        memmove(write, read, blocks.bytes);
        memmove(shadow(self, to.space, write), shadow(self, from.space, read), blocks.bytes);
    }
}

inline Blocks in_blocks(const AscendC::DataCopyParams& p) {
    const uint32_t bytes = p.blockLen * kBlock;
    return {p.blockCount, bytes, int64_t(bytes) + p.srcStride * kBlock,
            int64_t(bytes) + p.dstStride * kBlock};
}

inline void check_whole_blocks(uint64_t bytes, Place place) {
    if (bytes % kBlock) {
        fail(place, "use DataCopyPad for lengths that are not whole blocks",
             "DataCopy of %llu bytes, which is no multiple of 32", (unsigned long long)bytes);
    }
}

template <typename T>
inline void copy_in_padded(const AscendC::LocalTensor<T>& target,
                           const AscendC::GlobalTensor<T>& source, uint32_t count, uint32_t bytes,
                           uint32_t source_gap, uint32_t target_gap, bool is_pad, uint32_t left,
                           uint32_t right, T value, Place place) {
    if (target.region().space != Space::UB) {
        fail(place, "copies to L1 are DataCopy with Nd2NzParams", "DataCopyPad to %s",
             name_of(target.region().space));
    }
    left = is_pad ? left * sizeof(T) : 0;
    right = is_pad ? right * sizeof(T) : 0;
    if (left > kBlock || right > kBlock) {
        fail(place, "pad with Duplicate", "DataCopyPad pads %u bytes, at most 32 are allowed",
             left > right ? left : right);
    }
    const int64_t whole = static_cast<int64_t>(rounded_up(left + bytes + right, kBlock));
    Blocks blocks = {count, bytes, int64_t(bytes) + source_gap, whole + int64_t(target_gap) * kBlock};
    copy_in(target, source, blocks, left, right, is_pad ? &value : nullptr, place);
}

template <typename T>
inline void copy_out_exactly(const AscendC::GlobalTensor<T>& target,
                             const AscendC::LocalTensor<T>& source, uint32_t count, uint32_t bytes,
                             uint32_t source_gap, uint32_t target_gap, Place place) {
    const int64_t whole = static_cast<int64_t>(rounded_up(bytes, kBlock));
    Blocks blocks = {count, bytes, whole + int64_t(source_gap) * kBlock, int64_t(bytes) + target_gap};
    copy_out(target, source, blocks, place);
}

}  // namespace canopy_ascend

namespace AscendC {

template <typename T>
inline void DataCopy(const LocalTensor<T>& dst, const GlobalTensor<T>& src, uint32_t count,
                     Place place = Place::Here()) {
    canopy_ascend::check_whole_blocks(uint64_t(count) * sizeof(T), place);
    canopy_ascend::copy_in<T>(dst, src, {1, uint32_t(count * sizeof(T)), 0, 0}, 0, 0, nullptr, place);
}
template <typename T>
inline void DataCopy(const GlobalTensor<T>& dst, const LocalTensor<T>& src, uint32_t count,
                     Place place = Place::Here()) {
    canopy_ascend::check_whole_blocks(uint64_t(count) * sizeof(T), place);
    canopy_ascend::copy_out<T>(dst, src, {1, uint32_t(count * sizeof(T)), 0, 0}, place);
}
template <typename T>
inline void DataCopy(const LocalTensor<T>& dst, const LocalTensor<T>& src, uint32_t count,
                     Place place = Place::Here()) {
    canopy_ascend::check_whole_blocks(uint64_t(count) * sizeof(T), place);
    canopy_ascend::copy_within(dst, src, {1, uint32_t(count * sizeof(T)), 0, 0}, place);
}
template <typename T>
inline void DataCopy(const LocalTensor<T>& dst, const GlobalTensor<T>& src,
                     const DataCopyParams& params, Place place = Place::Here()) {
    canopy_ascend::copy_in<T>(dst, src, canopy_ascend::in_blocks(params), 0, 0, nullptr, place);
}
template <typename T>
inline void DataCopy(const GlobalTensor<T>& dst, const LocalTensor<T>& src,
                     const DataCopyParams& params, Place place = Place::Here()) {
    canopy_ascend::copy_out<T>(dst, src, canopy_ascend::in_blocks(params), place);
}
template <typename T>
inline void DataCopy(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                     const DataCopyParams& params, Place place = Place::Here()) {
    canopy_ascend::copy_within(dst, src, canopy_ascend::in_blocks(params), place);
}

// Rows of a matrix in global memory to fractals of L1: columns in groups of 32 bytes.
template <typename T>
inline void DataCopy(const LocalTensor<T>& dst, const GlobalTensor<T>& src, const Nd2NzParams& params,
                     Place place = Place::Here()) {
    using namespace canopy_ascend;
    Core& self = core();
    const Region& region = dst.region();
    check_core(self, region.space, place);
    if (region.space != Space::L1) {
        fail(place, "its target is an A1 or B1 tensor", "DataCopy with Nd2NzParams to %s",
             name_of(region.space));
    }
    begin(self, Pipe::MTE2);
    check_aligned(region, 0, kBlock, "the target of the copy", place);
    constexpr uint32_t lanes = kBlock / sizeof(T);
    for (uint32_t m = 0; m < params.ndNum; ++m) {
        for (uint32_t row = 0; row < params.nValue; ++row) {
            const T* read = src.elements(self, int64_t(m) * params.srcNdMatrixStride +
                                                   int64_t(row) * params.srcDValue,
                                         params.dValue, place);
            touch_global(self, Pipe::MTE2, read, params.dValue * sizeof(T), false, place);
            for (uint32_t c = 0; c * lanes < params.dValue; ++c) {
                const int64_t offset = int64_t(m) * params.dstNzMatrixStride * sizeof(T) +
                                       int64_t(row) * params.dstNzNStride * kBlock +
                                       int64_t(c) * params.dstNzC0Stride * kBlock;
                uint8_t* at = span(self, region, offset, kBlock, place);
                touch(self, Pipe::MTE2, region.space, static_cast<uint32_t>(region.byte + offset),
                      kBlock, true, place);
                const uint32_t left = params.dValue - c * lanes;
                const uint32_t bytes = (left < lanes ? left : lanes) * sizeof(T);
                memset(at, 0, kBlock);
                memcpy(at, read + c * lanes, bytes);
                memset(shadow(self, region.space, at), 1, kBlock);
            }
        }
    }
}

template <typename T>
inline void DataCopyPad(const LocalTensor<T>& dst, const GlobalTensor<T>& src,
                        const DataCopyExtParams& copy, const DataCopyPadExtParams<T>& pad,
                        Place place = Place::Here()) {
    canopy_ascend::copy_in_padded(dst, src, copy.blockCount, copy.blockLen, copy.srcStride,
                                  copy.dstStride, pad.isPad, pad.leftPadding, pad.rightPadding,
                                  pad.paddingValue, place);
}
template <typename T>
inline void DataCopyPad(const LocalTensor<T>& dst, const GlobalTensor<T>& src,
                        const DataCopyParams& copy, const DataCopyPadParams& pad,
                        Place place = Place::Here()) {
    T value;
    memcpy(&value, &pad.paddingValue, sizeof(T));
    canopy_ascend::copy_in_padded(dst, src, copy.blockCount, copy.blockLen, copy.srcStride,
                                  copy.dstStride, pad.isPad, pad.leftPadding, pad.rightPadding, value,
                                  place);
}
template <typename T>
inline void DataCopyPad(const GlobalTensor<T>& dst, const LocalTensor<T>& src,
                        const DataCopyExtParams& copy, Place place = Place::Here()) {
    canopy_ascend::copy_out_exactly(dst, src, copy.blockCount, copy.blockLen, copy.srcStride,
                                    copy.dstStride, place);
}
template <typename T>
inline void DataCopyPad(const GlobalTensor<T>& dst, const LocalTensor<T>& src,
                        const DataCopyParams& copy, Place place = Place::Here()) {
    canopy_ascend::copy_out_exactly(dst, src, copy.blockCount, copy.blockLen, copy.srcStride,
                                    copy.dstStride, place);
}

template <typename T>
inline void SetAtomicAdd() {
    canopy_ascend::core().atomic = canopy_ascend::Atomic::ADD;
    canopy_ascend::core().atomic_bytes = sizeof(T);
}
template <typename T>
inline void SetAtomicMax() {
    canopy_ascend::core().atomic = canopy_ascend::Atomic::MAX;
    canopy_ascend::core().atomic_bytes = sizeof(T);
}
template <typename T>
inline void SetAtomicMin() {
    canopy_ascend::core().atomic = canopy_ascend::Atomic::MIN;
    canopy_ascend::core().atomic_bytes = sizeof(T);
}
inline void SetAtomicNone() { canopy_ascend::core().atomic = canopy_ascend::Atomic::NONE; }

}  // namespace AscendC
