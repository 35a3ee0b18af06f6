// The cube core: loads of fractals, products, and the way of results out.
//
// A fractal is 512 bytes: 16 rows of 32 bytes in L0A and L1, 16 columns of 32 bytes in L0B. L0A holds
// fractals row by row, L0B along k and then n; L0C holds blocks of 16 x 16, a column of them after
// the other.
#pragma once

#include "functions.h"

namespace AscendC {

struct LoadData2DParams {
    uint16_t startIndex = 0;
    uint8_t repeatTimes = 0;
    uint16_t srcStride = 0;
    uint8_t sid = 0;
    uint16_t dstGap = 0;
    bool ifTranspose = false;
    uint8_t addrMode = 0;
    LoadData2DParams() = default;
    LoadData2DParams(uint16_t start, uint8_t repeats, uint16_t src_stride, uint8_t sid, uint16_t dst_gap,
                     bool transpose, uint8_t mode)
        : startIndex(start), repeatTimes(repeats), srcStride(src_stride), sid(sid), dstGap(dst_gap),
          ifTranspose(transpose), addrMode(mode) {}
};
using LoadData2dParams = LoadData2DParams;

struct LoadData2dTransposeParams {
    uint16_t startIndex = 0;
    uint8_t repeatTimes = 0;
    uint16_t srcStride = 0;
    uint16_t dstGap = 0;
    uint16_t dstFracGap = 0;
    uint8_t addrMode = 0;
    LoadData2dTransposeParams() = default;
    LoadData2dTransposeParams(uint16_t start, uint8_t repeats, uint16_t src_stride, uint16_t dst_gap,
                              uint16_t dst_fractal_gap, uint8_t mode = 0)
        : startIndex(start), repeatTimes(repeats), srcStride(src_stride), dstGap(dst_gap),
          dstFracGap(dst_fractal_gap), addrMode(mode) {}
};

struct MmadParams {
    uint16_t m = 0, n = 0, k = 0;
    bool isBias = false;
    int32_t fmOffset = 0;
    bool enSsparse = false, enWinogradA = false, enWinogradB = false;
    int8_t unitFlag = 0;
    bool kDirectionAlign = false;
    bool cmatrixSource = false;
    bool cmatrixInitVal = true;
    MmadParams() = default;
    MmadParams(uint16_t m, uint16_t n, uint16_t k, uint8_t unit_flag, bool source, bool init)
        : m(m), n(n), k(k), unitFlag(static_cast<int8_t>(unit_flag)), cmatrixSource(source),
          cmatrixInitVal(init) {}
};

template <typename T>
struct InitConstValueParams {
    uint16_t repeatTimes = 0, blockNum = 0, dstGap = 0;
    T initValue = {};
    InitConstValueParams() = default;
    InitConstValueParams(uint16_t repeats, uint16_t blocks, uint16_t gap, T value)
        : repeatTimes(repeats), blockNum(blocks), dstGap(gap), initValue(value) {}
};

enum class CO2Layout : uint8_t { NZ = 0, ROW_MAJOR, COLUMN_MAJOR };
struct FixpipeConfig {
    CO2Layout format;
};
constexpr FixpipeConfig CFG_NZ = {CO2Layout::NZ};
constexpr FixpipeConfig CFG_ROW_MAJOR = {CO2Layout::ROW_MAJOR};

}  // namespace AscendC

enum QuantMode_t {
    NoQuant, F322F16, F322BF16, DEQF16, VDEQF16, QF322B8_PRE, VQF322B8_PRE, REQ8, VREQ8
};

namespace AscendC {

struct FixpipeParamsV220 {
    uint16_t nSize = 0, mSize = 0, srcStride = 0;
    uint32_t dstStride = 0;
    QuantMode_t quantPre = NoQuant;
    uint64_t deqScalar = 0;
    uint16_t ndNum = 1, srcNdStride = 0, dstNdStride = 0;
    bool reluEn = false;
    uint8_t unitFlag = 0;
    bool isChannelSplit = false;
    FixpipeParamsV220() = default;
    FixpipeParamsV220(uint16_t n, uint16_t m, uint16_t src_stride, uint32_t dst_stride, bool relu)
        : nSize(n), mSize(m), srcStride(src_stride), dstStride(dst_stride), reluEn(relu) {}
    FixpipeParamsV220(uint16_t n, uint16_t m, uint16_t src_stride, uint32_t dst_stride, bool relu,
                      QuantMode_t quant, int64_t scale, uint16_t nds, uint16_t src_nd, uint16_t dst_nd)
        : nSize(n), mSize(m), srcStride(src_stride), dstStride(dst_stride), quantPre(quant),
          deqScalar(static_cast<uint64_t>(scale)), ndNum(nds), srcNdStride(src_nd), dstNdStride(dst_nd),
          reluEn(relu) {}
};

}  // namespace AscendC

namespace canopy_ascend {

constexpr uint32_t kFractal = 512;

// A place in a cube memory, noted for the order of pipes.
inline uint8_t* matrix_at(Core& self, Pipe pipe, const Region& region, int64_t offset, uint32_t bytes,
                          bool writes, Place place) {
    uint8_t* at = span(self, region, offset, bytes, place);
    touch(self, pipe, region.space, static_cast<uint32_t>(region.byte + offset), bytes, writes, place);
    return at;
}

inline void check_matrix(Core& self, const Region& region, Space wanted, uint32_t unit, const char* what,
                         Place place) {
    check_core(self, region.space, place);
    if (region.space != wanted) {
        fail(place, "A2 is L0A, B2 is L0B, CO1 is L0C, A1 and B1 are L1", "%s is in %s, and belongs in %s",
             what, name_of(region.space), name_of(wanted));
    }
    check_aligned(region, 0, unit, what, place);
}

inline void check_load(Core& self, const Region& target, Place place) {
    check_core(self, target.space, place);
    if (target.space != Space::L0A && target.space != Space::L0B) {
        fail(place, "LoadData goes to A2 or B2", "LoadData to %s", name_of(target.space));
    }
    check_aligned(target, 0, kFractal, "the target", place);
}

// Fractals merged to squares of `edge` elements, transposed, and cut into fractals again.
template <typename T>
inline void transpose_squares(const AscendC::LocalTensor<T>& dst, const AscendC::LocalTensor<T>& src,
                              uint32_t start, uint32_t repeats, uint32_t source_step, uint32_t target_step,
                              uint32_t part_step, Place place) {
    Core& self = core();
    constexpr uint32_t lanes = kBlock / sizeof(T);     // columns of a fractal
    constexpr uint32_t edge = lanes < 16 ? 16 : lanes;  // of a square
    constexpr uint32_t parts = edge * edge * sizeof(T) / kFractal;
    for (uint32_t r = 0; r < repeats; ++r) {
        T square[edge][edge];
        const int64_t from = int64_t(start + r * source_step) * parts * kFractal;
        const uint8_t* read = matrix_at(self, Pipe::MTE1, src.region(), from, parts * kFractal, false, place);
        check_written(self, src.region().space, read, parts * kFractal, "LoadData reads", place);
        for (uint32_t p = 0; p < parts; ++p) {
            for (uint32_t row = 0; row < 16; ++row) {
                for (uint32_t i = 0; i < lanes; ++i) {
                    // Fractals of a square lie side by side where they are narrow, else one below the other.
                    const uint32_t y = lanes < 16 ? row : p * 16 + row;
                    const uint32_t x = lanes < 16 ? p * lanes + i : i;
                    memcpy(&square[x][y], read + p * kFractal + (row * lanes + i) * sizeof(T), sizeof(T));
                }
            }
        }
        for (uint32_t p = 0; p < parts; ++p) {
            const int64_t to = (int64_t(r) * target_step + int64_t(p) * part_step) * kFractal;
            uint8_t* write = matrix_at(self, Pipe::MTE1, dst.region(), to, kFractal, true, place);
            for (uint32_t row = 0; row < 16; ++row) {
                for (uint32_t i = 0; i < lanes; ++i) {
                    const uint32_t y = lanes < 16 ? row : p * 16 + row;
                    const uint32_t x = lanes < 16 ? p * lanes + i : i;
                    memcpy(write + (row * lanes + i) * sizeof(T), &square[y][x], sizeof(T));
                }
            }
            memset(shadow(self, dst.region().space, write), 1, kFractal);
        }
    }
}

template <typename T>
using Product = std::conditional_t<std::is_same_v<T, int8_t>, int32_t, float>;

// One row of fractals of L0A times one column of L0B, added to a block of L0C.
template <typename C, typename A>
inline void multiply(const uint8_t* lhs, const uint8_t* rhs, uint8_t* out, uint32_t m, uint32_t n,
                     uint32_t k) {
    constexpr uint32_t depth = kBlock / sizeof(A);
    const uint32_t m1 = (m + 15) / 16, n1 = (n + 15) / 16, k1 = (k + depth - 1) / depth;
    const bool vector = m == 1;  // a single row lies in L0A as it is
    for (uint32_t i = 0; i < m; ++i) {
        for (uint32_t j = 0; j < n; ++j) {
            C* target = reinterpret_cast<C*>(out) + (uint64_t(j / 16) * m1 * 16 + i) * 16 + j % 16;
            C sum = *target;
            for (uint32_t kb = 0; kb < k1; ++kb) {
                const A* a = reinterpret_cast<const A*>(
                    vector ? lhs + kb * kBlock : lhs + (uint64_t(i / 16) * k1 + kb) * kFractal + i % 16 * kBlock);
                const A* b = reinterpret_cast<const A*>(rhs + (uint64_t(kb) * n1 + j / 16) * kFractal + j % 16 * kBlock);
                const uint32_t left = k - kb * depth;
                for (uint32_t d = 0; d < (left < depth ? left : depth); ++d) {
                    if constexpr (std::is_same_v<C, int32_t>) sum += int32_t(a[d]) * int32_t(b[d]);
                    else sum += to_float(a[d]) * to_float(b[d]);
                }
            }
            *target = sum;
        }
    }
}

template <typename C, typename A, typename B, typename Start>
inline void mmad(const AscendC::LocalTensor<C>& dst, const AscendC::LocalTensor<A>& fm,
                 const AscendC::LocalTensor<B>& filter, const AscendC::MmadParams& p, Start start, Place place) {
    static_assert(std::is_same_v<A, B>, "Mmad takes matrices of one type");
    static_assert(is_one_of<A, half, bfloat16_t, float, int8_t>, "Mmad takes half, bfloat16_t, float and int8_t");
    static_assert(std::is_same_v<C, Product<A>>, "Mmad gives float, and int32_t for int8_t");
    Core& self = core();
    begin(self, Pipe::M);
    check_matrix(self, dst.region(), Space::L0C, 64, "the product", place);
    check_matrix(self, fm.region(), Space::L0A, kFractal, "the left matrix", place);
    check_matrix(self, filter.region(), Space::L0B, kFractal, "the right matrix", place);
    if (!p.m || !p.n || !p.k) fail(place, "set m, n and k of MmadParams", "Mmad of %d x %d x %d", p.m, p.n, p.k);
    constexpr uint32_t depth = kBlock / sizeof(A);
    const uint32_t m1 = (p.m + 15) / 16, n1 = (p.n + 15) / 16, k1 = (p.k + depth - 1) / depth;
    const uint32_t left_bytes = p.m == 1 ? k1 * kBlock : m1 * k1 * kFractal;
    const uint32_t right_bytes = n1 * k1 * kFractal, bytes = m1 * n1 * 256 * sizeof(C);
    const uint8_t* a = matrix_at(self, Pipe::M, fm.region(), 0, left_bytes, false, place);
    const uint8_t* b = matrix_at(self, Pipe::M, filter.region(), 0, right_bytes, false, place);
    check_written(self, Space::L0A, a, left_bytes, "Mmad reads", place);
    check_written(self, Space::L0B, b, right_bytes, "Mmad reads", place);
    uint8_t* out = matrix_at(self, Pipe::M, dst.region(), 0, bytes, true, place);
    start(out, m1, n1);
    check_written(self, Space::L0C, out, bytes, "Mmad adds to", place);
    multiply<C, A>(a, b, out, p.m, p.n, p.k);
}

template <typename D, typename S>
inline void check_quantisation(QuantMode_t mode, Place place) {
    constexpr QuantMode_t wanted = std::is_same_v<S, float> && std::is_same_v<D, half>       ? F322F16
                                   : std::is_same_v<S, float> && std::is_same_v<D, bfloat16_t> ? F322BF16
                                                                                                : NoQuant;
    const bool scaled = mode == DEQF16 || mode == QF322B8_PRE || mode == REQ8;
    const bool fits = scaled ? (mode == DEQF16 ? std::is_same_v<S, int32_t> && std::is_same_v<D, half>
                                               : std::is_same_v<D, int8_t> || std::is_same_v<D, uint8_t>)
                             : mode == wanted && (mode != NoQuant || std::is_same_v<D, S>);
    if (!fits) {
        fail(place, "F322F16 for half, F322BF16 for bfloat16_t, NoQuant for the type of the product, "
             "DEQF16 for int32_t to half", "quantPre does not fit the type of the target");
    }
}

template <typename D, typename S>
inline D left_fixpipe(S value, const AscendC::FixpipeParamsV220& p) {
    if (p.reluEn && value < S(0)) value = S(0);
    if (p.quantPre == NoQuant && std::is_same_v<D, S>) return static_cast<D>(value);
    float scale = 1.0f;
    const uint32_t bits = static_cast<uint32_t>(p.deqScalar);
    if (p.quantPre != F322F16 && p.quantPre != F322BF16) memcpy(&scale, &bits, 4);
    const float scaled = static_cast<float>(value) * scale;
    if constexpr (std::is_integral_v<D>) return saturated<D>(nearbyint(scaled));
    else return from_float<D>(scaled);
}

}  // namespace canopy_ascend

namespace AscendC {

template <typename T>
inline void LoadData(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LoadData2DParams& p,
                     Place place = Place::Here()) {
    using namespace canopy_ascend;
    Core& self = core();
    begin(self, Pipe::MTE1);
    check_load(self, dst.region(), place);
    check_matrix(self, src.region(), Space::L1, kBlock, "the source", place);
    if (p.ifTranspose) {
        if constexpr (sizeof(T) == 2) {
            transpose_squares(dst, src, p.startIndex, p.repeatTimes, p.srcStride, p.dstGap + 1u, 0, place);
        } else {
            fail(place, "use LoadDataWithTranspose", "ifTranspose is for 16-bit types");
        }
        return;
    }
    for (uint32_t r = 0; r < p.repeatTimes; ++r) {
        const int64_t step = p.addrMode ? -int64_t(p.srcStride) : int64_t(p.srcStride);
        const uint8_t* read = matrix_at(self, Pipe::MTE1, src.region(), (p.startIndex + r * step) * kFractal,
                                        kFractal, false, place);
        uint8_t* write = matrix_at(self, Pipe::MTE1, dst.region(), int64_t(r) * (p.dstGap + 1) * kFractal,
                                   kFractal, true, place);
        memcpy(write, read, kFractal);
        memcpy(shadow(self, dst.region().space, write), shadow(self, Space::L1, read), kFractal);
    }
}

template <typename T>
inline void LoadDataWithTranspose(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                                  const LoadData2dTransposeParams& p, Place place = Place::Here()) {
    using namespace canopy_ascend;
    Core& self = core();
    begin(self, Pipe::MTE1);
    check_load(self, dst.region(), place);
    check_matrix(self, src.region(), Space::L1, kBlock, "the source", place);
    transpose_squares(dst, src, p.startIndex, p.repeatTimes, p.srcStride, p.dstGap + 1u, p.dstFracGap + 1u, place);
}

// A constant into L1, L0A or L0B, in blocks: of 32 bytes in L1, of a fractal in L0.
template <typename T, typename U>
inline void Fill(const LocalTensor<T>& dst, const InitConstValueParams<U>& p, Place place = Place::Here()) {
    using namespace canopy_ascend;
    Core& self = core();
    const Region& region = dst.region();
    const bool level1 = region.space == Space::L1;
    const Pipe pipe = level1 ? Pipe::MTE2 : Pipe::MTE1;
    begin(self, pipe);
    check_core(self, region.space, place);
    const uint32_t unit = level1 ? kBlock : kFractal;
    for (uint32_t r = 0; r < p.repeatTimes; ++r) {
        const uint32_t bytes = p.blockNum * unit;
        uint8_t* at = matrix_at(self, pipe, region, int64_t(r) * (p.blockNum + p.dstGap) * unit, bytes, true, place);
        for (uint32_t i = 0; i < bytes; i += sizeof(U)) memcpy(at + i, &p.initValue, sizeof(U));
        memset(shadow(self, region.space, at), 1, bytes);
    }
}

template <typename C, typename A, typename B>
inline void Mmad(const LocalTensor<C>& dst, const LocalTensor<A>& fm, const LocalTensor<B>& filter,
                 const MmadParams& p, Place place = Place::Here()) {
    using namespace canopy_ascend;
    mmad(dst, fm, filter, p, [&](uint8_t* out, uint32_t m1, uint32_t n1) {
        if (!p.cmatrixInitVal) return;
        memset(out, 0, m1 * n1 * 256 * sizeof(C));
        memset(shadow(core(), Space::L0C, out), 1, m1 * n1 * 256 * sizeof(C));
    }, place);
}

// With a row of biases in C2, which the product begins with.
template <typename C, typename A, typename B, typename V>
inline void Mmad(const LocalTensor<C>& dst, const LocalTensor<A>& fm, const LocalTensor<B>& filter,
                 const LocalTensor<V>& bias, const MmadParams& p, Place place = Place::Here()) {
    using namespace canopy_ascend;
    Core& self = core();
    static_assert(std::is_same_v<V, C>, "the bias has the type of the product");
    mmad(dst, fm, filter, p, [&](uint8_t* out, uint32_t m1, uint32_t n1) {
        check_matrix(self, bias.region(), Space::BT, kBlock, "the bias", place);
        const uint8_t* row = matrix_at(self, Pipe::M, bias.region(), 0, p.n * sizeof(V), false, place);
        check_written(self, Space::BT, row, p.n * sizeof(V), "Mmad reads", place);
        C* values = reinterpret_cast<C*>(out);
        for (uint32_t i = 0; i < m1 * n1 * 256; ++i) {
            const uint32_t column = i / (m1 * 256) * 16 + i % 16;
            values[i] = C(0);
            if (column < p.n) memcpy(&values[i], row + column * sizeof(V), sizeof(V));
        }
        memset(shadow(self, Space::L0C, out), 1, m1 * n1 * 256 * sizeof(C));
    }, place);
}

inline void SetFixpipeNz2ndFlag(uint16_t, uint16_t, uint16_t) {}
inline void SetHF32Mode(bool) {}
inline void SetHF32TransMode(bool) {}

// A product from L0C to global memory: rows, or fractals with CFG_NZ; converted on the way.
template <typename T, typename U, const FixpipeConfig& config = CFG_ROW_MAJOR>
inline void Fixpipe(const GlobalTensor<T>& dst, const LocalTensor<U>& src, const FixpipeParamsV220& p,
                    Place place = Place::Here()) {
    using namespace canopy_ascend;
    static_assert(is_one_of<U, float, int32_t>, "Fixpipe takes float and int32_t");
    Core& self = core();
    begin(self, Pipe::FIX);
    check_matrix(self, src.region(), Space::L0C, 64, "the source", place);
    check_quantisation<T, U>(p.quantPre, place);
    for (uint32_t d = 0; d < p.ndNum; ++d) {
        for (uint32_t column = 0; column < p.nSize; column += 16) {
            const uint32_t width = p.nSize - column < 16 ? p.nSize - column : 16;
            for (uint32_t row = 0; row < p.mSize; ++row) {
                const int64_t at = (int64_t(d) * p.srcNdStride * 16 + int64_t(column / 16) * p.srcStride + row) * 16;
                const uint8_t* read = matrix_at(self, Pipe::FIX, src.region(), at * sizeof(U), width * sizeof(U), false, place);
                check_written(self, Space::L0C, read, width * sizeof(U), "Fixpipe stores", place);
                T values[16];
                for (uint32_t i = 0; i < width; ++i) {
                    U value;
                    memcpy(&value, read + i * sizeof(U), sizeof(U));
                    values[i] = left_fixpipe<T>(value, p);
                }
                const bool rows = config.format == CO2Layout::ROW_MAJOR;
                const int64_t to = rows ? int64_t(d) * p.dstNdStride + int64_t(row) * p.dstStride + column
                                        : int64_t(column / 16) * p.dstStride * (kBlock / sizeof(T)) + int64_t(row) * 16;
                T* write = dst.elements(self, to, width, place);
                if (self.atomic == Atomic::NONE) touch_global(self, Pipe::FIX, write, width * sizeof(T), true, place);
                write_global(self, write, reinterpret_cast<const uint8_t*>(values), width * sizeof(T), place);
            }
        }
    }
}

}  // namespace AscendC
