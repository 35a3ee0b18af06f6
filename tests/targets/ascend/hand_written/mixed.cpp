// Cube and vector cores together: a product, and its bias and activation on the vector cores.
#include "kernel_operator.h"

using namespace AscendC;

constexpr uint32_t M = 32, K = 64, N = 64;
constexpr uint16_t PRODUCT_DONE = 3, PRODUCT_USED = 4;

__aicore__ inline void Product(GM_ADDR a, GM_ADDR b, GM_ADDR workspace, uint32_t blocks) {
    TPipe pipe;
    TQue<TPosition::A1, 1> inA1;
    TQue<TPosition::B1, 1> inB1;
    TQue<TPosition::A2, 1> inA2;
    TQue<TPosition::B2, 1> inB2;
    TQue<TPosition::CO1, 1> outC;
    pipe.InitBuffer(inA1, 1, M * K * sizeof(half));
    pipe.InitBuffer(inB1, 1, N * K * sizeof(half));
    pipe.InitBuffer(inA2, 1, M * K * sizeof(half));
    pipe.InitBuffer(inB2, 1, N * K * sizeof(half));
    pipe.InitBuffer(outC, 1, M * N * sizeof(float));
    GlobalTensor<half> aGm, bGm;
    GlobalTensor<float> cGm;
    aGm.SetGlobalBuffer((__gm__ half*)a, blocks * M * K);
    bGm.SetGlobalBuffer((__gm__ half*)b, K * N);
    cGm.SetGlobalBuffer((__gm__ float*)workspace + GetBlockIdx() * M * N, M * N);
    for (uint32_t block = GetBlockIdx(); block < blocks; block += GetBlockNum()) {
        auto a1 = inA1.AllocTensor<half>();
        auto b1 = inB1.AllocTensor<half>();
        DataCopy(a1, aGm[block * M * K], Nd2NzParams(1, M, K, 0, K, M, 1, 0));
        DataCopy(b1, bGm, Nd2NzParams(1, K, N, 0, N, K, 1, 0));
        inA1.EnQue(a1);
        inB1.EnQue(b1);
        a1 = inA1.DeQue<half>();
        b1 = inB1.DeQue<half>();
        auto a2 = inA2.AllocTensor<half>();
        auto b2 = inB2.AllocTensor<half>();
        for (uint32_t i = 0; i < M / 16; ++i) LoadData(a2[i * 16 * K], a1, LoadData2DParams(i, K / 16, M / 16, 0, 0, false, 0));
        for (uint32_t i = 0; i < K / 16; ++i) LoadData(b2[i * 16 * N], b1, LoadData2DParams(i, N / 16, K / 16, 0, 0, true, 0));
        inA1.FreeTensor(a1);
        inB1.FreeTensor(b1);
        inA2.EnQue(a2);
        inB2.EnQue(b2);
        a2 = inA2.DeQue<half>();
        b2 = inB2.DeQue<half>();
        auto product = outC.AllocTensor<float>();
        MmadParams params;
        params.m = M;
        params.n = N;
        params.k = K;
        Mmad(product, a2, b2, params);
        inA2.FreeTensor(a2);
        inB2.FreeTensor(b2);
        outC.EnQue(product);
        product = outC.DeQue<float>();
        if (block != GetBlockIdx()) CrossCoreWaitFlag(PRODUCT_USED);
        Fixpipe(cGm, product, FixpipeParamsV220(N, M, M, N, false));
        outC.FreeTensor(product);
        CrossCoreSetFlag<2, PIPE_FIX>(PRODUCT_DONE);
    }
}

__aicore__ inline void Activation(GM_ADDR workspace, GM_ADDR bias, GM_ADDR c, uint32_t blocks) {
    constexpr uint32_t HALF = M / 2;  // rows of one of the two vector cores
    TPipe pipe;
    TQue<TPosition::VECIN, 1> in, biases;
    TQue<TPosition::VECOUT, 1> out;
    pipe.InitBuffer(in, 1, HALF * N * sizeof(float));
    pipe.InitBuffer(biases, 1, N * sizeof(float));
    pipe.InitBuffer(out, 1, HALF * N * sizeof(float));
    const uint32_t group = GetBlockIdx() / GetSubBlockNum();
    GlobalTensor<float> productGm, biasGm, cGm;
    productGm.SetGlobalBuffer((__gm__ float*)workspace + (group * M + GetSubBlockIdx() * HALF) * N, HALF * N);
    biasGm.SetGlobalBuffer((__gm__ float*)bias, N);
    cGm.SetGlobalBuffer((__gm__ float*)c, blocks * M * N);
    auto row = biases.AllocTensor<float>();
    DataCopy(row, biasGm, N);
    biases.EnQue(row);
    row = biases.DeQue<float>();
    for (uint32_t block = group; block < blocks; block += GetBlockNum()) {
        CrossCoreWaitFlag(PRODUCT_DONE);
        auto x = in.AllocTensor<float>();
        DataCopy(x, productGm, HALF * N);
        CrossCoreSetFlag<2, PIPE_MTE2>(PRODUCT_USED);
        in.EnQue(x);
        x = in.DeQue<float>();
        auto y = out.AllocTensor<float>();
        Add(y, x, row, 64, HALF, {1, 1, 1, 8, 8, 0});
        Relu(y, y, HALF * N);
        in.FreeTensor(x);
        out.EnQue(y);
        y = out.DeQue<float>();
        DataCopy(cGm[(block * M + GetSubBlockIdx() * HALF) * N], y, HALF * N);
        out.FreeTensor(y);
    }
    biases.FreeTensor(row);
}

// ---- 26.

extern "C" __global__ __aicore__ void linear_relu(GM_ADDR a, GM_ADDR b, GM_ADDR bias, GM_ADDR c, GM_ADDR workspace,
                                                  uint32_t blocks) {
    KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
    if ASCEND_IS_AIC {
        Product(a, b, workspace, blocks);
    }
    if ASCEND_IS_AIV {
        Activation(workspace, bias, c, blocks);
    }
}
