// Products on the cube core: L1 to L0A and L0B, Mmad, Fixpipe.
#include "kernel_operator.h"

using namespace AscendC;

__aicore__ inline uint32_t Up(uint32_t value, uint32_t unit) { return (value + unit - 1) / unit * unit; }

// A block of 64 x 64 of c = a @ b at a time, along k in steps of 64.
template <typename T, typename C>
class KernelMatmul {
public:
    static constexpr uint32_t BASE = 64;
    static constexpr uint32_t C0 = 32 / sizeof(T);

    __aicore__ inline void Init(GM_ADDR a, GM_ADDR b, GM_ADDR c, uint32_t m_, uint32_t n_, uint32_t k_) {
        m = m_;
        n = n_;
        k = k_;
        aGm.SetGlobalBuffer((__gm__ T*)a, m * k);
        bGm.SetGlobalBuffer((__gm__ T*)b, k * n);
        cGm.SetGlobalBuffer((__gm__ C*)c, m * n);
        pipe.InitBuffer(inQueueA1, 2, BASE * BASE * sizeof(T));
        pipe.InitBuffer(inQueueB1, 2, BASE * BASE * sizeof(T));
        pipe.InitBuffer(inQueueA2, 2, BASE * BASE * sizeof(T));
        pipe.InitBuffer(inQueueB2, 2, BASE * BASE * sizeof(T));
        pipe.InitBuffer(outQueueCO1, 1, BASE * BASE * sizeof(float));
    }
    __aicore__ inline void Process() {
        const uint32_t down = Up(m, BASE) / BASE, across = Up(n, BASE) / BASE;
        for (uint32_t block = GetBlockIdx(); block < down * across; block += GetBlockNum()) {
            Block(block / across * BASE, block % across * BASE);
        }
    }

private:
    __aicore__ inline void Block(uint32_t row, uint32_t column) {
        height = m - row < BASE ? m - row : BASE;
        width = n - column < BASE ? n - column : BASE;
        LocalTensor<float> product = outQueueCO1.AllocTensor<float>();
        for (uint32_t depth = 0; depth < k; depth += BASE) {
            length = k - depth < BASE ? k - depth : BASE;
            CopyIn(row, column, depth);
            SplitA();
            SplitB();
            Compute(product, depth == 0);
        }
        outQueueCO1.EnQue(product);
        CopyOut(row, column);
    }
    __aicore__ inline void CopyIn(uint32_t row, uint32_t column, uint32_t depth) {
        LocalTensor<T> a1 = inQueueA1.AllocTensor<T>();
        LocalTensor<T> b1 = inQueueB1.AllocTensor<T>();
        Nd2NzParams params;
        params.ndNum = 1;
        params.nValue = height;
        params.dValue = length;
        params.srcDValue = k;
        params.dstNzC0Stride = Up(height, 16);
        params.dstNzNStride = 1;
        // Rows and columns beyond the matrix are products that nobody stores, of zeros.
        Clear(a1);
        Clear(b1);
        DataCopy(a1, aGm[row * k + depth], params);
        params.nValue = length;
        params.dValue = width;
        params.srcDValue = n;
        params.dstNzC0Stride = Up(length, 16);
        DataCopy(b1, bGm[depth * n + column], params);
        inQueueA1.EnQue(a1);
        inQueueB1.EnQue(b1);
    }
    __aicore__ inline void Clear(const LocalTensor<T>& tensor) {
        InitConstValueParams<T> zero(1, BASE * BASE * sizeof(T) / 32, 0, T(0));
        Fill(tensor, zero);
    }
    __aicore__ inline void SplitA() {
        LocalTensor<T> a1 = inQueueA1.DeQue<T>();
        LocalTensor<T> a2 = inQueueA2.AllocTensor<T>();
        const uint32_t m1 = Up(height, 16) / 16, k1 = Up(length, C0) / C0;
        for (uint32_t i = 0; i < m1; ++i) {
            LoadData2DParams params;
            params.startIndex = i;
            params.repeatTimes = k1;
            params.srcStride = m1;
            params.ifTranspose = false;
            LoadData(a2[i * k1 * 16 * C0], a1, params);
        }
        inQueueA1.FreeTensor(a1);
        inQueueA2.EnQue(a2);
    }
    __aicore__ inline void SplitB() {
        LocalTensor<T> b1 = inQueueB1.DeQue<T>();
        LocalTensor<T> b2 = inQueueB2.AllocTensor<T>();
        const uint32_t k1 = Up(length, 16) / 16, n1 = Up(width, 16) / 16;
        for (uint32_t i = 0; i < k1; ++i) {
            LoadData2DParams params;
            params.startIndex = i;
            params.repeatTimes = n1;
            params.srcStride = k1;
            params.ifTranspose = true;
            LoadData(b2[i * n1 * 256], b1, params);
        }
        inQueueB1.FreeTensor(b1);
        inQueueB2.EnQue(b2);
    }
    __aicore__ inline void Compute(const LocalTensor<float>& product, bool first) {
        LocalTensor<T> a2 = inQueueA2.DeQue<T>();
        LocalTensor<T> b2 = inQueueB2.DeQue<T>();
        MmadParams params;
        params.m = height == 1 ? 16 : height;
        params.n = width;
        params.k = length;
        params.cmatrixInitVal = first;
        Mmad(product, a2, b2, params);
        inQueueA2.FreeTensor(a2);
        inQueueB2.FreeTensor(b2);
    }
    __aicore__ inline void CopyOut(uint32_t row, uint32_t column) {
        LocalTensor<float> product = outQueueCO1.DeQue<float>();
        FixpipeParamsV220 params;
        params.nSize = width;
        params.mSize = height;
        params.srcStride = Up(height, 16);
        params.dstStride = n;
        params.ndNum = 1;
        if constexpr (IsSameType<C, half>::value) params.quantPre = QuantMode_t::F322F16;
        Fixpipe(cGm[row * n + column], product, params);
        outQueueCO1.FreeTensor(product);
    }

    TPipe pipe;
    TQue<TPosition::A1, 2> inQueueA1;
    TQue<TPosition::B1, 2> inQueueB1;
    TQue<TPosition::A2, 2> inQueueA2;
    TQue<TPosition::B2, 2> inQueueB2;
    TQue<TPosition::CO1, 1> outQueueCO1;
    GlobalTensor<T> aGm, bGm;
    GlobalTensor<C> cGm;
    uint32_t m, n, k, height, width, length;
};

// ---- 22. half x half to float, 23. bfloat16 to float, 24. half to half

extern "C" __global__ __aicore__ void matmul_half(GM_ADDR a, GM_ADDR b, GM_ADDR c, uint32_t m, uint32_t n, uint32_t k) {
    KernelMatmul<half, float> op;
    op.Init(a, b, c, m, n, k);
    op.Process();
}

extern "C" __global__ __aicore__ void matmul_bf16(GM_ADDR a, GM_ADDR b, GM_ADDR c, uint32_t m, uint32_t n, uint32_t k) {
    KernelMatmul<bfloat16_t, float> op;
    op.Init(a, b, c, m, n, k);
    op.Process();
}

extern "C" __global__ __aicore__ void matmul_narrow(GM_ADDR a, GM_ADDR b, GM_ADDR c, uint32_t m, uint32_t n, uint32_t k) {
    KernelMatmul<half, half> op;
    op.Init(a, b, c, m, n, k);
    op.Process();
}

// ---- 25. float, one block: 16 columns of L1 make a square for LoadDataWithTranspose

extern "C" __global__ __aicore__ void matmul_float(GM_ADDR a, GM_ADDR b, GM_ADDR c) {
    constexpr uint32_t M = 32, N = 48, K = 64;
    TPipe pipe;
    TBuf<TPosition::A1> a1Buffer;
    TBuf<TPosition::B1> b1Buffer;
    TBuf<TPosition::A2> a2Buffer;
    TBuf<TPosition::B2> b2Buffer;
    TBuf<TPosition::CO1> cBuffer;
    pipe.InitBuffer(a1Buffer, M * K * sizeof(float));
    pipe.InitBuffer(b1Buffer, N * K * sizeof(float));
    pipe.InitBuffer(a2Buffer, M * K * sizeof(float));
    pipe.InitBuffer(b2Buffer, N * K * sizeof(float));
    pipe.InitBuffer(cBuffer, M * N * sizeof(float));
    auto a1 = a1Buffer.Get<float>(), b1 = b1Buffer.Get<float>();
    auto a2 = a2Buffer.Get<float>(), b2 = b2Buffer.Get<float>();
    auto product = cBuffer.Get<float>();
    GlobalTensor<float> aGm, bGm, cGm;
    aGm.SetGlobalBuffer((__gm__ float*)a, M * K);
    bGm.SetGlobalBuffer((__gm__ float*)b, K * N);
    cGm.SetGlobalBuffer((__gm__ float*)c, M * N);
    DataCopy(a1, aGm, Nd2NzParams(1, M, K, 0, K, M, 1, 0));
    // The rows of b in groups of 16: in each, fractals of 16 x 8 lie side by side.
    for (uint32_t group = 0; group < K / 16; ++group) {
        DataCopy(b1[group * 16 * N], bGm[group * 16 * N], Nd2NzParams(1, 16, N, 0, N, 16, 1, 0));
    }
    SetFlag<HardEvent::MTE2_MTE1>(EVENT_ID0);
    WaitFlag<HardEvent::MTE2_MTE1>(EVENT_ID0);
    for (uint32_t i = 0; i < M / 16; ++i) {
        LoadData(a2[i * 16 * K], a1, LoadData2DParams(i, K / 8, M / 16, 0, 0, false, 0));
    }
    for (uint32_t group = 0; group < K / 16; ++group) {
        LoadData2dTransposeParams params;
        params.repeatTimes = N / 16;
        params.srcStride = 1;
        params.dstGap = 0;
        params.dstFracGap = N / 16 - 1;
        LoadDataWithTranspose(b2[group * 16 * N], b1[group * 16 * N], params);
    }
    SetFlag<HardEvent::MTE1_M>(EVENT_ID0);
    WaitFlag<HardEvent::MTE1_M>(EVENT_ID0);
    MmadParams params;
    params.m = M;
    params.n = N;
    params.k = K;
    Mmad(product, a2, b2, params);
    SetFlag<HardEvent::M_FIX>(EVENT_ID0);
    WaitFlag<HardEvent::M_FIX>(EVENT_ID0);
    Fixpipe(cGm, product, FixpipeParamsV220(N, M, M, N, false));
}
