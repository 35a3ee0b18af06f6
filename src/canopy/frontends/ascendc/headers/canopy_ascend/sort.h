// Sorting by value, largest first, with an index carried along: records of eight bytes.
#pragma once

#include "rearrange.h"

namespace AscendC {

template <typename T>
struct MrgSortSrcList {
    LocalTensor<T> src1, src2, src3, src4;
    MrgSortSrcList() = default;
    MrgSortSrcList(const LocalTensor<T>& a, const LocalTensor<T>& b, const LocalTensor<T>& c, const LocalTensor<T>& d)
        : src1(a), src2(b), src3(c), src4(d) {}
};
struct MrgSort4Info {
    uint16_t elementLengths[4] = {};
    bool ifExhaustedSuspension = false;
    uint16_t validBit = 0;
    uint8_t repeatTimes = 1;
    MrgSort4Info() = default;
    MrgSort4Info(const uint16_t lengths[4], bool suspension, uint16_t valid, uint8_t repeats)
        : ifExhaustedSuspension(suspension), validBit(valid), repeatTimes(repeats) {
        for (int i = 0; i < 4; ++i) elementLengths[i] = lengths[i];
    }
};

}  // namespace AscendC

namespace canopy_ascend {

// The value in the low half (of half, its first two bytes), the index in the high half.
struct Record {
    float key;
    uint8_t bytes[8];
};

template <typename T>
inline Record record_of(T value, uint32_t index) {
    Record record = {to_float(value), {}};
    memcpy(record.bytes, &value, sizeof(T));
    memcpy(record.bytes + 4, &index, 4);
    return record;
}

template <typename T>
inline Record read_record(Core& self, const Tensor<T>& source, int64_t number, Place place) {
    const uint8_t* at = lanes_at(self, Operand<T>{source}, number * 8, 8, false, place);
    check_written(self, Space::UB, at, sizeof(T), "sorting reads", place);
    Record record;
    memcpy(record.bytes, at, 8);
    T value;
    memcpy(&value, at, sizeof(T));
    record.key = to_float(value);
    return record;
}

template <typename T>
inline void write_record(Core& self, const Tensor<T>& target, int64_t number, const Record& record, Place place) {
    uint8_t* at = lanes_at(self, Operand<T>{target}, number * 8, 8, true, place);
    memcpy(at, record.bytes, 8);
    memset(shadow(self, Space::UB, at), 1, 8);
}

// A stable insertion sort: what comes first stays first.
inline void sort_records(Record* records, uint32_t count) {
    for (uint32_t i = 1; i < count; ++i) {
        const Record moved = records[i];
        uint32_t at = i;
        for (; at > 0 && records[at - 1].key < moved.key; --at) records[at] = records[at - 1];
        records[at] = moved;
    }
}

}  // namespace canopy_ascend

namespace AscendC {

template <typename T>
inline void Sort32(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<uint32_t>& src1,
                   const int32_t repeatTime, Place place = Place::Here()) {
    using namespace canopy_ascend;
    static_assert(is_one_of<T, half, float>, "Sort32 takes half and float");
    Core& self = core();
    begin(self, Pipe::V);
    for (int32_t r = 0; r < repeatTime; ++r) {
        Record records[32];
        for (int i = 0; i < 32; ++i) {
            const int64_t lane = int64_t(r) * 32 + i;
            const T value = lane_value(self, Operand<T>{src0}, lane * sizeof(T), "Sort32 reads", place);
            records[i] = record_of(value, lane_value(self, Operand<uint32_t>{src1}, lane * 4, "Sort32 reads", place));
        }
        sort_records(records, 32);
        for (int i = 0; i < 32; ++i) write_record(self, dst, int64_t(r) * 32 + i, records[i], place);
    }
}

// Up to four sorted lists to one. With several repeats the lists lie one behind the other.
template <typename T>
inline void MrgSort(const LocalTensor<T>& dst, const MrgSortSrcList<T>& src, const MrgSort4Info& info,
                    Place place = Place::Here()) {
    using namespace canopy_ascend;
    static_assert(is_one_of<T, half, float>, "MrgSort takes half and float");
    Core& self = core();
    begin(self, Pipe::V);
    const LocalTensor<T>* lists[4] = {&src.src1, &src.src2, &src.src3, &src.src4};
    uint32_t lengths[4], all = 0;
    for (int i = 0; i < 4; ++i) {
        lengths[i] = info.validBit >> i & 1 ? info.elementLengths[i] : 0;
        all += lengths[i];
    }
    for (uint32_t r = 0; r < info.repeatTimes; ++r) {
        uint32_t taken[4] = {};
        for (uint32_t out = 0; out < all; ++out) {
            int best = -1;
            Record chosen = {};
            bool exhausted = false;
            for (int i = 0; i < 4; ++i) {
                if (lengths[i] && taken[i] == lengths[i]) exhausted = true;
                if (taken[i] >= lengths[i]) continue;
                const Record candidate = read_record(self, *lists[i], int64_t(r) * all + taken[i], place);
                if (best < 0 || candidate.key > chosen.key) { best = i; chosen = candidate; }
            }
            if (best < 0 || (info.ifExhaustedSuspension && exhausted)) break;
            ++taken[best];
            write_record(self, dst, int64_t(r) * all + out, chosen, place);
        }
        for (int i = 0; i < 4; ++i) self.merged[i] = static_cast<uint16_t>(taken[i]);
    }
}

inline void GetMrgSortResult(uint16_t& first, uint16_t& second, uint16_t& third, uint16_t& fourth) {
    const uint16_t* merged = canopy_ascend::core().merged;
    first = merged[0];
    second = merged[1];
    third = merged[2];
    fourth = merged[3];
}

// Values and indices of sorted records, 32 per repeat.
template <typename T>
inline void Extract(const LocalTensor<T>& values, const LocalTensor<uint32_t>& indices, const LocalTensor<T>& sorted,
                    const int32_t repeatTime, Place place = Place::Here()) {
    using namespace canopy_ascend;
    Core& self = core();
    begin(self, Pipe::V);
    for (int64_t i = 0; i < int64_t(repeatTime) * 32; ++i) {
        const Record record = read_record(self, sorted, i, place);
        T value;
        uint32_t index;
        memcpy(&value, record.bytes, sizeof(T));
        memcpy(&index, record.bytes + 4, 4);
        put(self, values, i, value, place);
        put(self, indices, i, index, place);
    }
}

}  // namespace AscendC
