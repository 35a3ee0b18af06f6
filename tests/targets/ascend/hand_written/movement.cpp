// Kernels that move data: transposes, gathers, sorts.
#include "kernel_operator.h"

using namespace AscendC;

// ---- 16. transpose of half matrices by blocks of 16 x 16

extern "C" __global__ __aicore__ void transpose_half(GM_ADDR x, GM_ADDR y, uint32_t rows, uint32_t columns) {
    TPipe pipe;
    TQue<TPosition::VECIN, 2> in;
    TQue<TPosition::VECOUT, 2> out;
    pipe.InitBuffer(in, 2, 512);
    pipe.InitBuffer(out, 2, 512);
    GlobalTensor<half> xGm, yGm;
    xGm.SetGlobalBuffer((__gm__ half*)x, rows * columns);
    yGm.SetGlobalBuffer((__gm__ half*)y, rows * columns);
    const uint32_t down = (rows + 15) / 16, across = (columns + 15) / 16;
    for (uint32_t block = GetBlockIdx(); block < down * across; block += GetBlockNum()) {
        const uint32_t r = block / across * 16, c = block % across * 16;
        const uint16_t height = rows - r < 16 ? rows - r : 16, width = columns - c < 16 ? columns - c : 16;
        auto a = in.AllocTensor<half>();
        DataCopyExtParams get{height, static_cast<uint32_t>(width * sizeof(half)),
                              static_cast<uint32_t>((columns - width) * sizeof(half)), 0, 0};
        DataCopyPad(a, xGm[r * columns + c], get, DataCopyPadExtParams<half>());
        in.EnQue(a);
        a = in.DeQue<half>();
        auto b = out.AllocTensor<half>();
        Transpose(b, a);
        in.FreeTensor(a);
        out.EnQue(b);
        b = out.DeQue<half>();
        DataCopyExtParams put{width, static_cast<uint32_t>(height * sizeof(half)), 0,
                              static_cast<uint32_t>((rows - height) * sizeof(half)), 0};
        DataCopyPad(yGm[c * rows + r], b, put);
        out.FreeTensor(b);
    }
}

// ---- 17. transpose of 16 x 8 float blocks with TransDataTo5HD

extern "C" __global__ __aicore__ void transpose_float(GM_ADDR x, GM_ADDR y, uint32_t blocks) {
    TPipe pipe;
    TQue<TPosition::VECIN, 1> in;
    TQue<TPosition::VECOUT, 1> out;
    pipe.InitBuffer(in, 1, 512);
    pipe.InitBuffer(out, 1, 512);
    GlobalTensor<float> xGm, yGm;
    xGm.SetGlobalBuffer((__gm__ float*)x, blocks * 128);
    yGm.SetGlobalBuffer((__gm__ float*)y, blocks * 128);
    for (uint32_t block = GetBlockIdx(); block < blocks; block += GetBlockNum()) {
        auto a = in.AllocTensor<float>();
        DataCopy(a, xGm[block * 128], 128);
        in.EnQue(a);
        a = in.DeQue<float>();
        auto b = out.AllocTensor<float>();
        LocalTensor<float> from[16], to[16];
        for (int32_t i = 0; i < 16; ++i) {
            from[i] = a[i * 8];
            to[i] = b[i / 2 * 16 + i % 2 * 8];
        }
        TransDataTo5HDParams params;
        params.repeatTimes = 1;
        TransDataTo5HD<float>(to, from, params);
        in.FreeTensor(a);
        out.EnQue(b);
        b = out.DeQue<float>();
        DataCopy(yGm[block * 128], b, 128);
        out.FreeTensor(b);
    }
}

// ---- 18. an embedding: rows of a table by indices that scalar code reads

extern "C" __global__ __aicore__ void embedding(GM_ADDR table, GM_ADDR indices, GM_ADDR y, uint32_t entries,
                                               uint32_t count, uint32_t width) {
    TPipe pipe;
    TQueBind<TPosition::VECIN, TPosition::VECOUT, 2> queue;
    pipe.InitBuffer(queue, 2, (width * sizeof(float) + 31) / 32 * 32);
    GlobalTensor<float> tableGm, yGm;
    GlobalTensor<int32_t> indexGm;
    tableGm.SetGlobalBuffer((__gm__ float*)table, entries * width);
    indexGm.SetGlobalBuffer((__gm__ int32_t*)indices, count);
    yGm.SetGlobalBuffer((__gm__ float*)y, count * width);
    DataCopyExtParams copy{1, static_cast<uint32_t>(width * sizeof(float)), 0, 0, 0};
    for (uint32_t i = GetBlockIdx(); i < count; i += GetBlockNum()) {
        const int32_t index = indexGm.GetValue(i);
        auto row = queue.AllocTensor<float>();
        DataCopyPad(row, tableGm[index * width], copy, DataCopyPadExtParams<float>());
        queue.EnQue(row);
        row = queue.DeQue<float>();
        DataCopyPad(yGm[i * width], row, copy);
        queue.FreeTensor(row);
    }
}

// ---- 19. a permutation within a row by Gather; offsets from indices by vector code

extern "C" __global__ __aicore__ void gather_row(GM_ADDR x, GM_ADDR indices, GM_ADDR y, uint32_t n) {
    TPipe pipe;
    TQue<TPosition::VECIN, 1> in, ids;
    TQue<TPosition::VECOUT, 1> out;
    const uint32_t bytes = (n * 4 + 31) / 32 * 32;
    pipe.InitBuffer(in, 1, bytes);
    pipe.InitBuffer(ids, 1, bytes);
    pipe.InitBuffer(out, 1, bytes);
    GlobalTensor<float> xGm, yGm;
    GlobalTensor<int32_t> indexGm;
    xGm.SetGlobalBuffer((__gm__ float*)x, n);
    indexGm.SetGlobalBuffer((__gm__ int32_t*)indices, n);
    yGm.SetGlobalBuffer((__gm__ float*)y, n);
    const DataCopyExtParams copy{1, n * 4, 0, 0, 0};
    auto a = in.AllocTensor<float>();
    auto index = ids.AllocTensor<int32_t>();
    DataCopyPad(a, xGm, copy, DataCopyPadExtParams<float>());
    DataCopyPad(index, indexGm, copy, DataCopyPadExtParams<int32_t>());
    in.EnQue(a);
    ids.EnQue(index);
    a = in.DeQue<float>();
    index = ids.DeQue<int32_t>();
    auto b = out.AllocTensor<float>();
    Muls(index, index, 4, n);
    Gather(b, a, index.ReinterpretCast<uint32_t>(), 0, n);
    in.FreeTensor(a);
    ids.FreeTensor(index);
    out.EnQue(b);
    b = out.DeQue<float>();
    DataCopyPad(yGm, b, copy);
    out.FreeTensor(b);
}

// ---- 20. descending sort of 128 values with their places: Sort32, MrgSort, Extract

extern "C" __global__ __aicore__ void sort_row(GM_ADDR x, GM_ADDR values, GM_ADDR places) {
    constexpr uint32_t N = 128;
    TPipe pipe;
    TQue<TPosition::VECIN, 1> in;
    TQue<TPosition::VECOUT, 1> outValues, outPlaces;
    TBuf<> numbers, lists, merged;
    pipe.InitBuffer(in, 1, N * 4);
    pipe.InitBuffer(outValues, 1, N * 4);
    pipe.InitBuffer(outPlaces, 1, N * 4);
    pipe.InitBuffer(numbers, N * 4);
    pipe.InitBuffer(lists, N * 8);
    pipe.InitBuffer(merged, N * 8);
    GlobalTensor<float> xGm, valuesGm;
    GlobalTensor<uint32_t> placesGm;
    xGm.SetGlobalBuffer((__gm__ float*)x + GetBlockIdx() * N, N);
    valuesGm.SetGlobalBuffer((__gm__ float*)values + GetBlockIdx() * N, N);
    placesGm.SetGlobalBuffer((__gm__ uint32_t*)places + GetBlockIdx() * N, N);
    auto a = in.AllocTensor<float>();
    DataCopy(a, xGm, N);
    in.EnQue(a);
    a = in.DeQue<float>();
    auto index = numbers.Get<int32_t>();
    CreateVecIndex(index, 0, N);
    auto parts = lists.Get<float>();
    auto whole = merged.Get<float>();
    Sort32(parts, a, index.ReinterpretCast<uint32_t>(), N / 32);
    in.FreeTensor(a);
    const uint16_t lengths[4] = {32, 32, 32, 32};
    MrgSort4Info info(lengths, false, 15, 1);
    MrgSortSrcList<float> sources(parts, parts[64], parts[128], parts[192]);
    MrgSort(whole, sources, info);
    auto v = outValues.AllocTensor<float>();
    auto p = outPlaces.AllocTensor<uint32_t>();
    Extract(v, p, whole, N / 32);
    outValues.EnQue(v);
    outPlaces.EnQue(p);
    v = outValues.DeQue<float>();
    p = outPlaces.DeQue<uint32_t>();
    DataCopy(valuesGm, v, N);
    DataCopy(placesGm, p, N);
    outValues.FreeTensor(v);
    outPlaces.FreeTensor(p);
}

// ---- 21. eight scalars over a block each (Brcb), and every second lane (GatherMask)

extern "C" __global__ __aicore__ void spread(GM_ADDR x, GM_ADDR y, GM_ADDR z) {
    TPipe pipe;
    TQue<TPosition::VECIN, 1> in;
    TQue<TPosition::VECOUT, 1> out, even;
    pipe.InitBuffer(in, 1, 256);
    pipe.InitBuffer(out, 1, 64 * 32);
    pipe.InitBuffer(even, 1, 128);
    GlobalTensor<float> xGm, yGm, zGm;
    xGm.SetGlobalBuffer((__gm__ float*)x, 64);
    yGm.SetGlobalBuffer((__gm__ float*)y, 512);
    zGm.SetGlobalBuffer((__gm__ float*)z, 32);
    auto a = in.AllocTensor<float>();
    DataCopy(a, xGm, 64);
    in.EnQue(a);
    a = in.DeQue<float>();
    auto b = out.AllocTensor<float>();
    auto c = even.AllocTensor<float>();
    Brcb(b, a, 8, {1, 8});
    uint64_t kept = 0;
    GatherMask(c, a, 1, false, 0, {1, 1, 8, 0}, kept);
    in.FreeTensor(a);
    out.EnQue(b);
    even.EnQue(c);
    b = out.DeQue<float>();
    c = even.DeQue<float>();
    DataCopy(yGm, b, 512);
    DataCopy(zGm, c, kept);
    out.FreeTensor(b);
    even.FreeTensor(c);
}
