// Reductions, softmax and normalisations, a row at a time.
#include "kernel_operator.h"

using namespace AscendC;

template <typename T>
__aicore__ inline uint32_t Padded(uint32_t n) { return (n * sizeof(T) + 31) / 32 * 32; }

// Scalar code waits for what the vector pipe computed.
__aicore__ inline float ValueOf(const LocalTensor<float>& tensor, uint32_t index = 0) {
    event_t done = static_cast<event_t>(GetTPipePtr()->FetchEventID(HardEvent::V_S));
    SetFlag<HardEvent::V_S>(done);
    WaitFlag<HardEvent::V_S>(done);
    return tensor.GetValue(index);
}

class RowKernel {
public:
    __aicore__ inline void Init(GM_ADDR x, GM_ADDR y, uint32_t rows_, uint32_t n_, uint32_t out_, uint32_t work) {
        rows = rows_;
        n = n_;
        outN = out_;
        xGm.SetGlobalBuffer((__gm__ float*)x, rows * n);
        yGm.SetGlobalBuffer((__gm__ float*)y, rows * outN);
        pipe.InitBuffer(in, 2, Padded<float>(n));
        pipe.InitBuffer(out, 2, Padded<float>(outN));
        pipe.InitBuffer(scratch, work);
        pipe.InitBuffer(result, 32);
    }
    template <typename F>
    __aicore__ inline void EachRow(F compute) {
        for (uint32_t row = GetBlockIdx(); row < rows; row += GetBlockNum()) {
            LocalTensor<float> x = in.AllocTensor<float>();
            DataCopyPad(x, xGm[row * n], {1, static_cast<uint32_t>(n * sizeof(float)), 0, 0, 0}, {false, 0, 0, 0.0f});
            in.EnQue(x);
            x = in.DeQue<float>();
            LocalTensor<float> y = out.AllocTensor<float>();
            compute(x, y);
            in.FreeTensor(x);
            out.EnQue(y);
            y = out.DeQue<float>();
            DataCopyExtParams copy{1, static_cast<uint32_t>(outN * sizeof(float)), 0, 0, 0};
            DataCopyPad(yGm[row * outN], y, copy);
            out.FreeTensor(y);
        }
    }
    TPipe pipe;
    TQue<TPosition::VECIN, 2> in;
    TQue<TPosition::VECOUT, 2> out;
    TBuf<> scratch, result;
    GlobalTensor<float> xGm, yGm;
    uint32_t rows, n, outN;
};

// ---- 9. softmax of rows

extern "C" __global__ __aicore__ void softmax(GM_ADDR x, GM_ADDR y, uint32_t rows, uint32_t n) {
    RowKernel op;
    op.Init(x, y, rows, n, n, Padded<float>(n));
    op.EachRow([&](LocalTensor<float>& x, LocalTensor<float>& y) {
        LocalTensor<float> work = op.scratch.Get<float>();
        LocalTensor<float> one = op.result.Get<float>();
        ReduceMax(one, x, work, n);
        const float top = ValueOf(one);
        Adds(y, x, -top, n);
        Exp(y, y, n);
        ReduceSum(one, y, work, n);
        const float sum = ValueOf(one);
        Muls(y, y, 1.0f / sum, n);
    });
}

// ---- 10. layer norm of rows

extern "C" __global__ __aicore__ void layer_norm(GM_ADDR x, GM_ADDR y, uint32_t rows, uint32_t n, float epsilon) {
    RowKernel op;
    op.Init(x, y, rows, n, n, Padded<float>(n));
    op.EachRow([&](LocalTensor<float>& x, LocalTensor<float>& y) {
        LocalTensor<float> work = op.scratch.Get<float>();
        LocalTensor<float> one = op.result.Get<float>();
        ReduceSum(one, x, work, n);
        const float mean = ValueOf(one) / n;
        Adds(x, x, -mean, n);
        Mul(y, x, x, n);
        ReduceSum(one, y, work, n);
        Muls(one, one, 1.0f / n, 1);
        Adds(one, one, epsilon, 1);
        Sqrt(one, one, 1);
        const float deviation = ValueOf(one);
        Muls(y, x, 1.0f / deviation, n);
    });
}

// ---- 11. argmax of rows: value and index

extern "C" __global__ __aicore__ void row_argmax(GM_ADDR x, GM_ADDR y, uint32_t rows, uint32_t n) {
    RowKernel op;
    op.Init(x, y, rows, n, 2, Padded<float>(n));
    op.EachRow([&](LocalTensor<float>& x, LocalTensor<float>& y) {
        ReduceMax(y, x, op.scratch.Get<float>(), n, true);
    });
}

// ---- 12. sums of groups of 64 by repeats, then of 8 by blocks

extern "C" __global__ __aicore__ void group_sums(GM_ADDR x, GM_ADDR y, uint32_t rows) {
    constexpr uint32_t N = 64 * 16;
    RowKernel op;
    op.Init(x, y, rows, N, 16 + 128, 32);
    op.EachRow([&](LocalTensor<float>& x, LocalTensor<float>& y) {
        WholeReduceSum(y, x, 64, 16, 1, 1, 8);
        BlockReduceSum(y[16], x, 16, 64, 1, 1, 8);
    });
}

// ---- 13. smallest and greatest of repeats under a mask, and sums of pairs

extern "C" __global__ __aicore__ void extremes(GM_ADDR x, GM_ADDR y, uint32_t rows) {
    RowKernel op;
    op.Init(x, y, rows, 256, 8 + 8 + 128, 32);
    op.EachRow([&](LocalTensor<float>& x, LocalTensor<float>& y) {
        WholeReduceMax(y, x, 40, 4, 1, 1, 8, ReduceOrder::ORDER_VALUE_INDEX);
        WholeReduceMin(y[8], x, 64, 4, 1, 1, 8, ReduceOrder::ORDER_INDEX_VALUE);
        PairReduceSum(y[16], x, 4, 64, 1, 1, 8);
    });
}

// ---- 14. one sum over all blocks, by atomic copies

extern "C" __global__ __aicore__ void total(GM_ADDR x, GM_ADDR sum, uint32_t n) {
    constexpr uint32_t TILE = 2048;
    TPipe pipe;
    TQue<TPosition::VECIN, 2> in;
    TQue<TPosition::VECOUT, 1> out;
    TBuf<> work;
    pipe.InitBuffer(in, 2, TILE * sizeof(float));
    pipe.InitBuffer(out, 1, 32);
    pipe.InitBuffer(work, TILE * sizeof(float));
    GlobalTensor<float> xGm, sumGm;
    xGm.SetGlobalBuffer((__gm__ float*)x, n);
    sumGm.SetGlobalBuffer((__gm__ float*)sum, 1);
    for (uint32_t i = TILE * GetBlockIdx(); i < n; i += TILE * GetBlockNum()) {
        const uint32_t count = n - i < TILE ? n - i : TILE;
        auto x = in.AllocTensor<float>();
        DataCopyPad(x, xGm[i], {1, static_cast<uint32_t>(count * sizeof(float)), 0, 0, 0}, {false, 0, 0, 0.0f});
        in.EnQue(x);
        x = in.DeQue<float>();
        auto one = out.AllocTensor<float>();
        ReduceSum(one, x, work.Get<float>(), count);
        in.FreeTensor(x);
        out.EnQue(one);
        one = out.DeQue<float>();
        SetAtomicAdd<float>();
        DataCopyPad(sumGm, one, DataCopyExtParams(1, sizeof(float), 0, 0, 0));
        SetAtomicNone();
        out.FreeTensor(one);
    }
}

// ---- 15. every element over the greatest of all: two phases with all blocks between

extern "C" __global__ __aicore__ void over_maximum(GM_ADDR x, GM_ADDR y, GM_ADDR parts, uint32_t n) {
    constexpr uint32_t TILE = 1024;
    const uint32_t blocks = GetBlockNum(), block = GetBlockIdx();
    const uint32_t per = ((n + 7) / 8 + blocks - 1) / blocks * 8;
    const uint32_t first = per * block, end = first + per < n ? first + per : n;
    TPipe pipe;
    TBuf<> buffer, work, one;
    pipe.InitBuffer(buffer, TILE * sizeof(float));
    pipe.InitBuffer(work, TILE * sizeof(float));
    pipe.InitBuffer(one, 32);
    GlobalTensor<float> xGm, yGm, partsGm;
    xGm.SetGlobalBuffer((__gm__ float*)x, n);
    yGm.SetGlobalBuffer((__gm__ float*)y, n);
    partsGm.SetGlobalBuffer((__gm__ float*)parts, blocks * 8);
    LocalTensor<float> tile = buffer.Get<float>(), scratch = work.Get<float>(), found = one.Get<float>();
    float best = -3.0e38f;
    for (uint32_t i = first; i < end; i += TILE) {
        const uint32_t count = end - i < TILE ? end - i : TILE;
        DataCopyPad(tile, xGm[i], {1, static_cast<uint32_t>(count * sizeof(float)), 0, 0, 0}, {false, 0, 0, 0.0f});
        SetFlag<HardEvent::MTE2_V>(EVENT_ID0);
        WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);
        ReduceMax(found, tile, scratch, count);
        const float top = ValueOf(found);
        best = top > best ? top : best;
        SetFlag<HardEvent::V_MTE2>(EVENT_ID0);
        WaitFlag<HardEvent::V_MTE2>(EVENT_ID0);
    }
    Duplicate(found, best, 8);
    SetFlag<HardEvent::V_MTE3>(EVENT_ID0);
    WaitFlag<HardEvent::V_MTE3>(EVENT_ID0);
    DataCopy(partsGm[block * 8], found, 8);
    PipeBarrier<PIPE_ALL>();
    SyncAll();
    for (uint32_t i = 0; i < blocks; ++i) {
        const float other = partsGm.GetValue(i * 8);
        best = other > best ? other : best;
    }
    for (uint32_t i = first; i < end; i += TILE) {
        const uint32_t count = end - i < TILE ? end - i : TILE;
        DataCopyPad(tile, xGm[i], {1, static_cast<uint32_t>(count * sizeof(float)), 0, 0, 0}, {false, 0, 0, 0.0f});
        SetFlag<HardEvent::MTE2_V>(EVENT_ID0);
        WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);
        Muls(tile, tile, 1.0f / best, count);
        SetFlag<HardEvent::V_MTE3>(EVENT_ID0);
        WaitFlag<HardEvent::V_MTE3>(EVENT_ID0);
        DataCopyPad(yGm[i], tile, DataCopyExtParams(1, count * sizeof(float), 0, 0, 0));
        SetFlag<HardEvent::MTE3_MTE2>(EVENT_ID0);
        WaitFlag<HardEvent::MTE3_MTE2>(EVENT_ID0);
    }
}
