// LocalTensor and GlobalTensor: typed views of on-chip and global memory.
#pragma once

#include "order.h"

namespace AscendC {

enum class TPosition : uint8_t {
    GM, A1, A2, B1, B2, C1, C2, CO1, CO2, VECIN, VECOUT, VECCALC, LCM = VECCALC, SPM, SHM = SPM, TSCM,
    C2PIPE2GM, C2PIPE2LOCAL, MAX
};
using QuePosition = TPosition;

enum class CacheMode { CACHE_MODE_DISABLE, CACHE_MODE_NORMAL, CACHE_MODE_LAST, CACHE_MODE_PERSISTENT };

}  // namespace AscendC

namespace canopy_ascend {

using AscendC::TPosition;

constexpr Space space_of(TPosition position) {
    switch (position) {
        case TPosition::A1: case TPosition::B1: case TPosition::C1: case TPosition::SPM:
        case TPosition::TSCM: return Space::L1;
        case TPosition::A2: return Space::L0A;
        case TPosition::B2: return Space::L0B;
        case TPosition::C2: return Space::BT;
        case TPosition::CO1: return Space::L0C;
        case TPosition::C2PIPE2GM: return Space::FB;
        case TPosition::GM: case TPosition::CO2: return Space::GM;
        default: return Space::UB;
    }
}

// Bytes [first, end) of a memory that a tensor may touch, and where it begins.
struct Region {
    Space space = Space::UB;
    TPosition position = TPosition::VECCALC;
    int64_t byte = 0;
    uint32_t first = 0, end = 0;
    int16_t queue = -1, slot = -1;
};

inline void check_core(Core& self, Space space, Place place) {
    const bool of_vector = space == Space::UB;
    const bool is_vector = self.kind == CoreKind::VECTOR;
    if (of_vector != is_vector) {
        fail(place, "guard it: if ASCEND_IS_AIV { ... } or if ASCEND_IS_AIC { ... }",
             "%s belongs to the %s core, and this is a %s core", name_of(space),
             of_vector ? "vector" : "cube", is_vector ? "vector" : "cube");
    }
}

// The bytes [offset, offset + bytes) of a region, in bounds.
inline uint8_t* span(Core& self, const Region& region, int64_t offset, uint64_t bytes, Place place) {
    const int64_t start = region.byte + offset;
    if (region.end == region.first) {
        fail(place, "take it from a queue (AllocTensor, DeQue) or a TBuf (Get)",
             "the tensor has no memory");
    }
    if (start < region.first || start + static_cast<int64_t>(bytes) > region.end) {
        fail(place, "the length or the offset is wrong, or InitBuffer gives too little",
             "bytes %lld to %lld of a buffer in %s that has %u", (long long)(start - region.first),
             (long long)(start - region.first + (int64_t)bytes), name_of(region.space),
             region.end - region.first);
    }
    return self.memory[static_cast<int>(region.space)].bytes + start;
}

inline uint8_t* shadow(Core& self, Space space, const uint8_t* address) {
    Memory& memory = self.memory[static_cast<int>(space)];
    return memory.written + (address - memory.bytes);
}

inline bool all_written(const uint8_t* shadow, uint64_t bytes) {
    return !memchr(shadow, 0, bytes);
}

[[noreturn]] __attribute__((noinline)) inline void unwritten(Place place, const char* what,
                                                             Space space, int64_t byte) {
    fail(place, "copy or compute it first; lanes beyond the data may be computed with, not used",
         "%s bytes of %s that were never written (from byte %lld)", what, name_of(space),
         (long long)byte);
}

inline void check_written(Core& self, Space space, const uint8_t* address, uint64_t bytes,
                          const char* what, Place place) {
    const uint8_t* marks = shadow(self, space, address);
    const void* found = memchr(marks, 0, bytes);
    if (found) {
        const Memory& memory = self.memory[static_cast<int>(space)];
        unwritten(place, what, space, static_cast<const uint8_t*>(found) - memory.written);
    }
}

inline void check_aligned(const Region& region, int64_t offset, uint32_t unit, const char* what,
                          Place place) {
    if ((region.byte + offset) % unit) {
        fail(place, "offsets count elements: make offset * sizeof(T) a multiple of it",
             "%s begins at byte %lld of %s, which is no multiple of %u", what,
             (long long)(region.byte + offset), name_of(region.space), unit);
    }
}

// A place in global memory, within one of the kernel's arguments.
__attribute__((noinline)) inline void check_global(Core& self, const void* address, uint64_t bytes,
                                                   Place place) {
    const uint8_t* start = static_cast<const uint8_t*>(address);
    const Launch& launch = *self.launch;
    const Argument* nearest = nullptr;
    for (uint32_t i = 0; i < launch.argument_count; ++i) {
        const Argument& argument = launch.arguments[i];
        if (!argument.bytes) continue;
        if (start >= argument.address && start + bytes <= argument.address + argument.bytes) return;
        if (start >= argument.address && (!nearest || nearest->address < argument.address)) {
            nearest = &argument;
        }
    }
    if (launch.anywhere) return;
    if (!nearest) {
        fail(place, "SetGlobalBuffer takes an address that the kernel was given",
             "the address %p is in no argument of the kernel", address);
    }
    const long long first = start - nearest->address;
    fail(place, "the length or the offset is wrong, or the array is too short",
         "bytes %lld to %lld of argument %s, which has %llu", first, first + (long long)bytes,
         nearest->name, (unsigned long long)nearest->bytes);
}

// What `a + b` is until it is assigned: `dst = a + b` computes all of dst.
template <typename Op, typename T>
struct Expression;
// A left operand that knows where its operator stands.
template <typename T>
struct Located;
struct AddOp;
struct SubOp;
struct MulOp;
struct DivOp;
struct AndOp;
struct OrOp;
template <int mode>
struct CompareOp;

// Reads or writes one element by scalar code.
template <typename Tensor>
struct Lane {
    const Tensor& tensor;
    Index index;
    using T = typename Tensor::PrimType;
    operator T() const { return tensor.GetValue(static_cast<uint32_t>(index.value), index.place); }
    const Lane& operator=(T value) const {
        tensor.SetValue(static_cast<uint32_t>(index.value), value, index.place);
        return *this;
    }
};

}  // namespace canopy_ascend

namespace AscendC {

using canopy_ascend::Index;
using canopy_ascend::Place;

template <typename T>
class LocalTensor {
public:
    using PrimType = T;

    LocalTensor() = default;
    LocalTensor(TPosition position, uint32_t address, uint32_t elements, Place place = Place::Here())
        : size_(elements) {
        region_.space = canopy_ascend::space_of(position);
        region_.position = position;
        region_.byte = region_.first = address;
        region_.end = address + elements * sizeof(T);
        const uint32_t limit =
            canopy_ascend::core().memory[static_cast<int>(region_.space)].size;
        if (region_.end > limit) {
            canopy_ascend::fail(place, "use smaller tiles", "the tensor ends at byte %u of %s, which has %u",
                                region_.end, canopy_ascend::name_of(region_.space), limit);
        }
    }

    T GetValue(uint32_t index, Place place = Place::Here()) const {
        using namespace canopy_ascend;
        Core& self = core();
        begin(self, Pipe::S);
        uint8_t* at = span(self, region_, static_cast<int64_t>(index) * sizeof(T), sizeof(T), place);
        check_core(self, region_.space, place);
        touch(self, Pipe::S, region_.space, static_cast<uint32_t>(region_.byte + index * sizeof(T)),
              sizeof(T), false, place);
        check_written(self, region_.space, at, sizeof(T), "GetValue reads", place);
        T value;
        memcpy(&value, at, sizeof(T));
        return value;
    }

    void SetValue(uint32_t index, T value, Place place = Place::Here()) const {
        using namespace canopy_ascend;
        Core& self = core();
        begin(self, Pipe::S);
        uint8_t* at = span(self, region_, static_cast<int64_t>(index) * sizeof(T), sizeof(T), place);
        check_core(self, region_.space, place);
        touch(self, Pipe::S, region_.space, static_cast<uint32_t>(region_.byte + index * sizeof(T)),
              sizeof(T), true, place);
        memset(shadow(self, region_.space, at), 1, sizeof(T));
        memcpy(at, &value, sizeof(T));
    }

    LocalTensor operator[](Index offset) const {
        LocalTensor moved = *this;
        const int64_t bytes = offset.value * static_cast<int64_t>(sizeof(T));
        moved.region_.byte += bytes;
        if (moved.region_.byte < region_.first || moved.region_.byte > region_.end) {
            canopy_ascend::fail(offset.place, "offsets count elements",
                                "the offset %lld leaves the buffer, which has %u elements",
                                (long long)offset.value,
                                (unsigned)((region_.end - region_.first) / sizeof(T)));
        }
        moved.size_ = offset.value >= 0 && offset.value <= size_
                          ? size_ - static_cast<uint32_t>(offset.value) : size_;
        return moved;
    }
    canopy_ascend::Lane<LocalTensor> operator()(Index index) const { return {*this, index}; }

    template <typename U>
    LocalTensor<U> ReinterpretCast() const {
        return LocalTensor<U>(region_, static_cast<uint32_t>(uint64_t(size_) * sizeof(T) / sizeof(U)));
    }

    void SetSize(uint32_t size) { size_ = size; }
    uint32_t GetSize() const { return size_; }
    uint32_t GetLength() const { return size_ * sizeof(T); }
    int32_t GetPosition() const { return static_cast<int32_t>(region_.position); }
    uint64_t GetPhyAddr() const { return static_cast<uint64_t>(region_.byte); }
    uint64_t GetPhyAddr(uint32_t offset) const { return GetPhyAddr() + offset * sizeof(T); }
    void SetAddrWithOffset(LocalTensor& source, uint32_t offset) { *this = source[offset]; }
    void SetUserTag(int32_t tag) { tag_ = tag; }
    int32_t GetUserTag() const { return tag_; }

    // dst = a + b and so on; over GetSize() elements of dst.
    template <typename Op, typename U>
    void operator=(const canopy_ascend::Expression<Op, U>& expression) {
        expression.into(*this);
    }
#define CANOPY_OPERATOR(symbol, Op)                                                               \
    friend canopy_ascend::Expression<canopy_ascend::Op, T> operator symbol(                       \
        canopy_ascend::Located<T> a, const LocalTensor& b) {                                      \
        return {a.tensor, b, a.place};                                                            \
    }
    CANOPY_OPERATOR(+, AddOp)
    CANOPY_OPERATOR(-, SubOp)
    CANOPY_OPERATOR(*, MulOp)
    CANOPY_OPERATOR(/, DivOp)
    CANOPY_OPERATOR(&, AndOp)
    CANOPY_OPERATOR(|, OrOp)
    CANOPY_OPERATOR(<, CompareOp<0>)
    CANOPY_OPERATOR(>, CompareOp<1>)
    CANOPY_OPERATOR(==, CompareOp<2>)
    CANOPY_OPERATOR(<=, CompareOp<3>)
    CANOPY_OPERATOR(>=, CompareOp<4>)
    CANOPY_OPERATOR(!=, CompareOp<5>)
#undef CANOPY_OPERATOR

    explicit LocalTensor(const canopy_ascend::Region& region, uint32_t size)
        : region_(region), size_(size) {}
    const canopy_ascend::Region& region() const { return region_; }

private:
    canopy_ascend::Region region_;
    uint32_t size_ = 0;
    int32_t tag_ = 0;
};

template <typename T>
class GlobalTensor {
public:
    using PrimType = T;

    void SetGlobalBuffer(__gm__ T* buffer) { start_ = first_ = buffer; end_ = nullptr; }
    void SetGlobalBuffer(__gm__ T* buffer, uint64_t elements) {
        start_ = first_ = buffer;
        end_ = buffer + elements;
    }
    const __gm__ T* GetPhyAddr() const { return start_; }
    __gm__ T* GetPhyAddr(uint64_t offset) const { return start_ + offset; }
    uint64_t GetSize() const { return end_ ? end_ - start_ : 0; }
    template <CacheMode mode = CacheMode::CACHE_MODE_NORMAL>
    void SetL2CacheHint(CacheMode = mode) {}

    GlobalTensor operator[](Index offset) const {
        GlobalTensor moved = *this;
        moved.start_ += offset.value;
        return moved;
    }
    T GetValue(uint64_t index, Place place = Place::Here()) const {
        using namespace canopy_ascend;
        Core& self = core();
        begin(self, Pipe::S);
        T* at = elements(self, static_cast<int64_t>(index), 1, place);
        touch_global(self, Pipe::S, at, sizeof(T), false, place);
        return *at;
    }
    void SetValue(uint64_t index, T value, Place place = Place::Here()) const {
        using namespace canopy_ascend;
        Core& self = core();
        begin(self, Pipe::S);
        T* at = elements(self, static_cast<int64_t>(index), 1, place);
        touch_global(self, Pipe::S, at, sizeof(T), true, place);
        *at = value;
    }
    canopy_ascend::Lane<GlobalTensor> operator()(Index index) const { return {*this, index}; }

    // The address of `count` elements from `index`, in bounds of the tensor and of an argument.
    T* elements(canopy_ascend::Core& self, int64_t index, uint64_t count, Place place) const {
        if (!start_) {
            canopy_ascend::fail(place, "call SetGlobalBuffer first", "the GlobalTensor has no memory");
        }
        T* at = start_ + index;
        if (end_ && (at < first_ || at + count > end_)) {
            canopy_ascend::fail(place, "the length or the offset is wrong, or SetGlobalBuffer's size",
                                "elements %lld to %lld of a GlobalTensor that has %lld",
                                (long long)(at - first_), (long long)(at - first_ + (int64_t)count),
                                (long long)(end_ - first_));
        }
        canopy_ascend::check_global(self, at, count * sizeof(T), place);
        return at;
    }

private:
    T* start_ = nullptr;
    T* first_ = nullptr;
    T* end_ = nullptr;
};

}  // namespace AscendC
