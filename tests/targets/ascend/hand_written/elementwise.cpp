// Elementwise kernels in the documented styles: queues with two buffers, operators, masks, tilings.
#include "kernel_operator.h"

using namespace AscendC;

// The share of a block, in whole blocks of 32 bytes but for the last.
struct Share {
    uint32_t first, length;
    __aicore__ inline Share(uint32_t n, uint32_t unit) {
        const uint32_t blocks = GetBlockNum();
        const uint32_t per = ((n + unit - 1) / unit + blocks - 1) / blocks * unit;
        first = per * GetBlockIdx();
        length = first >= n ? 0 : (n - first < per ? n - first : per);
    }
};

template <typename T>
__aicore__ inline void LoadRow(const LocalTensor<T>& to, const GlobalTensor<T>& from, uint32_t count) {
    DataCopyExtParams copy{1, static_cast<uint32_t>(count * sizeof(T)), 0, 0, 0};
    DataCopyPadExtParams<T> pad{false, 0, 0, 0};
    DataCopyPad(to, from, copy, pad);
}

template <typename T>
__aicore__ inline void StoreRow(const GlobalTensor<T>& to, const LocalTensor<T>& from, uint32_t count) {
    DataCopyExtParams copy{1, static_cast<uint32_t>(count * sizeof(T)), 0, 0, 0};
    DataCopyPad(to, from, copy);
}

// ---- 1. the vector addition of every introduction

constexpr int32_t BUFFER_NUM = 2;

class KernelAdd {
public:
    __aicore__ inline KernelAdd() {}
    __aicore__ inline void Init(GM_ADDR x, GM_ADDR y, GM_ADDR z, uint32_t n, uint32_t tile) {
        Share share(n, 8);
        length = share.length;
        tileLength = tile;
        xGm.SetGlobalBuffer((__gm__ float*)x + share.first, length);
        yGm.SetGlobalBuffer((__gm__ float*)y + share.first, length);
        zGm.SetGlobalBuffer((__gm__ float*)z + share.first, length);
        pipe.InitBuffer(inQueueX, BUFFER_NUM, tileLength * sizeof(float));
        pipe.InitBuffer(inQueueY, BUFFER_NUM, tileLength * sizeof(float));
        pipe.InitBuffer(outQueueZ, BUFFER_NUM, tileLength * sizeof(float));
    }
    __aicore__ inline void Process() {
        for (uint32_t i = 0; i < length; i += tileLength) {
            const uint32_t count = length - i < tileLength ? length - i : tileLength;
            CopyIn(i, count);
            Compute(count);
            CopyOut(i, count);
        }
    }

private:
    __aicore__ inline void CopyIn(uint32_t i, uint32_t count) {
        LocalTensor<float> xLocal = inQueueX.AllocTensor<float>();
        LocalTensor<float> yLocal = inQueueY.AllocTensor<float>();
        LoadRow(xLocal, xGm[i], count);
        LoadRow(yLocal, yGm[i], count);
        inQueueX.EnQue(xLocal);
        inQueueY.EnQue(yLocal);
    }
    __aicore__ inline void Compute(uint32_t count) {
        LocalTensor<float> xLocal = inQueueX.DeQue<float>();
        LocalTensor<float> yLocal = inQueueY.DeQue<float>();
        LocalTensor<float> zLocal = outQueueZ.AllocTensor<float>();
        Add(zLocal, xLocal, yLocal, count);
        outQueueZ.EnQue<float>(zLocal);
        inQueueX.FreeTensor(xLocal);
        inQueueY.FreeTensor(yLocal);
    }
    __aicore__ inline void CopyOut(uint32_t i, uint32_t count) {
        LocalTensor<float> zLocal = outQueueZ.DeQue<float>();
        StoreRow(zGm[i], zLocal, count);
        outQueueZ.FreeTensor(zLocal);
    }

    TPipe pipe;
    TQue<QuePosition::VECIN, BUFFER_NUM> inQueueX, inQueueY;
    TQue<QuePosition::VECOUT, BUFFER_NUM> outQueueZ;
    GlobalTensor<float> xGm, yGm, zGm;
    uint32_t length, tileLength;
};

extern "C" __global__ __aicore__ void add_custom(GM_ADDR x, GM_ADDR y, GM_ADDR z, uint32_t n, uint32_t tile) {
    KernelAdd op;
    op.Init(x, y, z, n, tile);
    op.Process();
}

// ---- 2. operators on whole tensors: (x + y) * (x - y)

extern "C" __global__ __aicore__ void squares_difference(GM_ADDR x, GM_ADDR y, GM_ADDR z, uint32_t n) {
    constexpr uint32_t TILE = 1024;
    Share share(n, 16);
    TPipe pipe;
    TQue<TPosition::VECIN, 1> inX, inY;
    TQue<TPosition::VECOUT, 1> out;
    TBuf<TPosition::VECCALC> work;
    pipe.InitBuffer(inX, 1, TILE * sizeof(half));
    pipe.InitBuffer(inY, 1, TILE * sizeof(half));
    pipe.InitBuffer(out, 1, TILE * sizeof(half));
    pipe.InitBuffer(work, TILE * sizeof(half));
    GlobalTensor<half> xGm, yGm, zGm;
    xGm.SetGlobalBuffer((__gm__ half*)x, n);
    yGm.SetGlobalBuffer((__gm__ half*)y, n);
    zGm.SetGlobalBuffer((__gm__ half*)z, n);
    for (uint32_t i = 0; i < share.length; i += TILE) {
        const uint32_t count = share.length - i < TILE ? share.length - i : TILE;
        LocalTensor<half> xLocal = inX.AllocTensor<half>();
        LocalTensor<half> yLocal = inY.AllocTensor<half>();
        LoadRow(xLocal, xGm[share.first + i], count);
        LoadRow(yLocal, yGm[share.first + i], count);
        inX.EnQue(xLocal);
        inY.EnQue(yLocal);
        xLocal = inX.DeQue<half>();
        yLocal = inY.DeQue<half>();
        LocalTensor<half> sum = work.Get<half>();
        LocalTensor<half> result = out.AllocTensor<half>();
        sum = xLocal + yLocal;
        result = xLocal - yLocal;
        result = sum * result;
        out.EnQue(result);
        inX.FreeTensor(xLocal);
        inY.FreeTensor(yLocal);
        result = out.DeQue<half>();
        StoreRow(zGm[share.first + i], result, count);
        out.FreeTensor(result);
    }
}

// ---- 3. a tiling structure in global memory

struct LeakyTiling {
    uint32_t totalLength;
    uint32_t tileLength;
    float slope;
};

extern "C" __global__ __aicore__ void leaky_relu(GM_ADDR x, GM_ADDR y, GM_ADDR workspace, GM_ADDR tiling) {
    GET_TILING_DATA_WITH_STRUCT(LeakyTiling, data, tiling);
    Share share(data.totalLength, 8);
    TPipe pipe;
    TQueBind<TPosition::VECIN, TPosition::VECOUT, 2> queue;
    pipe.InitBuffer(queue, 2, data.tileLength * sizeof(float));
    TQue<TPosition::VECIN, 2> in;
    TQue<TPosition::VECOUT, 2> out;
    pipe.InitBuffer(in, 2, data.tileLength * sizeof(float));
    pipe.InitBuffer(out, 2, data.tileLength * sizeof(float));
    GlobalTensor<float> xGm, yGm;
    xGm.SetGlobalBuffer((__gm__ float*)x, data.totalLength);
    yGm.SetGlobalBuffer((__gm__ float*)y, data.totalLength);
    for (uint32_t i = 0; i < share.length; i += data.tileLength) {
        const uint32_t count = share.length - i < data.tileLength ? share.length - i : data.tileLength;
        auto xLocal = in.AllocTensor<float>();
        LoadRow(xLocal, xGm[share.first + i], count);
        in.EnQue(xLocal);
        xLocal = in.DeQue<float>();
        auto yLocal = out.AllocTensor<float>();
        LeakyRelu(yLocal, xLocal, data.slope, count);
        in.FreeTensor(xLocal);
        out.EnQue(yLocal);
        yLocal = out.DeQue<float>();
        StoreRow(yGm[share.first + i], yLocal, count);
        out.FreeTensor(yLocal);
    }
}

// ---- 4. masks and repeats: every row of 64 lanes scaled by a row of 64 that stays

extern "C" __global__ __aicore__ void scale_rows(GM_ADDR x, GM_ADDR scale, GM_ADDR y, uint32_t rows, uint32_t columns) {
    constexpr uint32_t LANES = 64;
    TPipe pipe;
    TQue<TPosition::VECIN, 1> in, scales;
    TQue<TPosition::VECOUT, 1> out;
    pipe.InitBuffer(in, 1, rows * LANES * sizeof(float));
    pipe.InitBuffer(scales, 1, LANES * sizeof(float));
    pipe.InitBuffer(out, 1, rows * LANES * sizeof(float));
    GlobalTensor<float> xGm, scaleGm, yGm;
    xGm.SetGlobalBuffer((__gm__ float*)x, rows * columns);
    scaleGm.SetGlobalBuffer((__gm__ float*)scale, columns);
    yGm.SetGlobalBuffer((__gm__ float*)y, rows * columns);
    if (GetBlockIdx() != 0) return;
    auto xLocal = in.AllocTensor<float>();
    auto scaleLocal = scales.AllocTensor<float>();
    const uint32_t bytes = columns * sizeof(float);
    const uint32_t padded = (bytes + 31) / 32;
    DataCopyExtParams copy{static_cast<uint16_t>(rows), bytes, 0, 8 - padded, 0};
    DataCopyPad(xLocal, xGm, copy, DataCopyPadExtParams<float>(false, 0, 0, 0));
    LoadRow(scaleLocal, scaleGm, columns);
    in.EnQue(xLocal);
    scales.EnQue(scaleLocal);
    xLocal = in.DeQue<float>();
    scaleLocal = scales.DeQue<float>();
    auto yLocal = out.AllocTensor<float>();
    BinaryRepeatParams params{1, 1, 1, 8, 8, 0};
    Mul(yLocal, xLocal, scaleLocal, columns, rows, params);
    in.FreeTensor(xLocal);
    scales.FreeTensor(scaleLocal);
    out.EnQue(yLocal);
    yLocal = out.DeQue<float>();
    DataCopyExtParams back{static_cast<uint16_t>(rows), bytes, 8 - padded, 0, 0};
    DataCopyPad(yGm, yLocal, back);
    out.FreeTensor(yLocal);
}

// ---- 5. gelu in bfloat16, computed in float

extern "C" __global__ __aicore__ void gelu_bf16(GM_ADDR x, GM_ADDR y, uint32_t n) {
    constexpr uint32_t TILE = 2048;
    Share share(n, 16);
    TPipe pipe;
    TQue<TPosition::VECIN, 2> in;
    TQue<TPosition::VECOUT, 2> out;
    TBuf<> wide, other;
    pipe.InitBuffer(in, 2, TILE * sizeof(bfloat16_t));
    pipe.InitBuffer(out, 2, TILE * sizeof(bfloat16_t));
    pipe.InitBuffer(wide, TILE * sizeof(float));
    pipe.InitBuffer(other, TILE * sizeof(float));
    GlobalTensor<bfloat16_t> xGm, yGm;
    xGm.SetGlobalBuffer((__gm__ bfloat16_t*)x, n);
    yGm.SetGlobalBuffer((__gm__ bfloat16_t*)y, n);
    for (uint32_t i = 0; i < share.length; i += TILE) {
        const int32_t count = share.length - i < TILE ? share.length - i : TILE;
        auto xLocal = in.AllocTensor<bfloat16_t>();
        DataCopyParams copy;
        copy.blockLen = count * sizeof(bfloat16_t);
        DataCopyPadParams pad;
        DataCopyPad(xLocal, xGm[share.first + i], copy, pad);
        in.EnQue(xLocal);
        xLocal = in.DeQue<bfloat16_t>();
        auto f = wide.Get<float>();
        auto g = other.Get<float>();
        Cast(f, xLocal, RoundMode::CAST_NONE, count);
        in.FreeTensor(xLocal);
        Mul(g, f, f, count);
        Mul(g, g, f, count);
        Muls(g, g, 0.044715f, count);
        Add(g, g, f, count);
        Muls(g, g, -1.5957691216057308f, count);
        Exp(g, g, count);
        Adds(g, g, 1.0f, count);
        Div(f, f, g, count);
        auto yLocal = out.AllocTensor<bfloat16_t>();
        Cast(yLocal, f, RoundMode::CAST_RINT, count);
        out.EnQue(yLocal);
        yLocal = out.DeQue<bfloat16_t>();
        DataCopyPad(yGm[share.first + i], yLocal, copy);
        out.FreeTensor(yLocal);
    }
}

// ---- 6. compare and select: |x| where x < limit, else y

extern "C" __global__ __aicore__ void choose(GM_ADDR x, GM_ADDR y, GM_ADDR z, uint32_t n, float limit) {
    constexpr uint32_t TILE = 512;
    Share share(n, 8);
    TPipe pipe;
    TQue<TPosition::VECIN, 1> inX, inY;
    TQue<TPosition::VECOUT, 1> out;
    TBuf<> mask;
    pipe.InitBuffer(inX, 1, TILE * sizeof(float));
    pipe.InitBuffer(inY, 1, TILE * sizeof(float));
    pipe.InitBuffer(out, 1, TILE * sizeof(float));
    pipe.InitBuffer(mask, TILE / 8);
    GlobalTensor<float> xGm, yGm, zGm;
    xGm.SetGlobalBuffer((__gm__ float*)x, n);
    yGm.SetGlobalBuffer((__gm__ float*)y, n);
    zGm.SetGlobalBuffer((__gm__ float*)z, n);
    for (uint32_t i = 0; i < share.length; i += TILE) {
        const uint32_t count = share.length - i < TILE ? share.length - i : TILE;
        auto xLocal = inX.AllocTensor<float>();
        auto yLocal = inY.AllocTensor<float>();
        LoadRow(xLocal, xGm[share.first + i], count);
        LoadRow(yLocal, yGm[share.first + i], count);
        inX.EnQue(xLocal);
        inY.EnQue(yLocal);
        xLocal = inX.DeQue<float>();
        yLocal = inY.DeQue<float>();
        auto bits = mask.Get<uint8_t>();
        const uint32_t whole = (count + 63) / 64 * 64;
        CompareScalar(bits, xLocal, limit, CMPMODE::LT, whole);
        Abs(xLocal, xLocal, count);
        auto zLocal = out.AllocTensor<float>();
        Select(zLocal, bits, xLocal, yLocal, SELMODE::VSEL_TENSOR_TENSOR_MODE, count);
        inX.FreeTensor(xLocal);
        inY.FreeTensor(yLocal);
        out.EnQue(zLocal);
        zLocal = out.DeQue<float>();
        StoreRow(zGm[share.first + i], zLocal, count);
        out.FreeTensor(zLocal);
    }
}

// ---- 7. whole numbers: shifts, and, or, not, conversions

extern "C" __global__ __aicore__ void bits_of(GM_ADDR x, GM_ADDR y, uint32_t n) {
    TPipe pipe;
    TQue<TPosition::VECIN, 1> in;
    TQue<TPosition::VECOUT, 1> out;
    TBuf<> work;
    const uint32_t bytes = (n * sizeof(int16_t) + 31) / 32 * 32;
    pipe.InitBuffer(in, 1, bytes);
    pipe.InitBuffer(out, 1, bytes);
    pipe.InitBuffer(work, bytes);
    GlobalTensor<int16_t> xGm, yGm;
    xGm.SetGlobalBuffer((__gm__ int16_t*)x, n);
    yGm.SetGlobalBuffer((__gm__ int16_t*)y, n);
    auto xLocal = in.AllocTensor<int16_t>();
    LoadRow(xLocal, xGm, n);
    in.EnQue(xLocal);
    xLocal = in.DeQue<int16_t>();
    auto a = work.Get<int16_t>();
    auto yLocal = out.AllocTensor<int16_t>();
    ShiftRight(a, xLocal, static_cast<int16_t>(3), n);
    Not(yLocal, xLocal, n);
    And(a, a, yLocal, n);
    ShiftLeft(yLocal, xLocal, static_cast<int16_t>(2), n);
    Or(yLocal, a, yLocal, n);
    in.FreeTensor(xLocal);
    out.EnQue(yLocal);
    yLocal = out.DeQue<int16_t>();
    StoreRow(yGm, yLocal, n);
    out.FreeTensor(yLocal);
}

// ---- 8. buffers by address, events by hand, two tiles in turn

__aicore__ inline void SwishTile(const LocalTensor<float>& x, const LocalTensor<float>& y, uint32_t count) {
    Muls(y, x, -1.0f, count);
    Exp(y, y, count);
    Adds(y, y, 1.0f, count);
    Div(y, x, y, count);
}

extern "C" __global__ __aicore__ void swish_events(GM_ADDR x, GM_ADDR y, uint32_t n) {
    constexpr uint32_t TILE = 1024;
    Share share(n, 8);
    TPipe pipe;
    TBuf<TPosition::VECCALC> ub;
    pipe.InitBuffer(ub, 4 * TILE * sizeof(float));
    LocalTensor<float> in[2] = {ub.GetWithOffset<float>(TILE, 0), ub.GetWithOffset<float>(TILE, TILE * 4)};
    LocalTensor<float> out[2] = {ub.GetWithOffset<float>(TILE, TILE * 8), ub.GetWithOffset<float>(TILE, TILE * 12)};
    GlobalTensor<float> xGm, yGm;
    xGm.SetGlobalBuffer((__gm__ float*)x, n);
    yGm.SetGlobalBuffer((__gm__ float*)y, n);
    for (int32_t b = 0; b < 2; ++b) {
        SetFlag<HardEvent::V_MTE2>(b);
        SetFlag<HardEvent::MTE3_V>(b);
    }
    int32_t b = 0;
    for (uint32_t i = 0; i < share.length; i += TILE, b ^= 1) {
        const uint32_t count = share.length - i < TILE ? share.length - i : TILE;
        WaitFlag<HardEvent::V_MTE2>(b);
        LoadRow(in[b], xGm[share.first + i], count);
        SetFlag<HardEvent::MTE2_V>(b);
        WaitFlag<HardEvent::MTE2_V>(b);
        WaitFlag<HardEvent::MTE3_V>(b);
        SwishTile(in[b], out[b], count);
        SetFlag<HardEvent::V_MTE2>(b);
        SetFlag<HardEvent::V_MTE3>(b);
        WaitFlag<HardEvent::V_MTE3>(b);
        StoreRow(yGm[share.first + i], out[b], count);
        SetFlag<HardEvent::MTE3_V>(b);
    }
    for (int32_t b = 0; b < 2; ++b) {
        WaitFlag<HardEvent::V_MTE2>(b);
        WaitFlag<HardEvent::MTE3_V>(b);
    }
}
