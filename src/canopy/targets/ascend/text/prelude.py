"""Small functions that printed kernels call, each printed only where it is used."""

from __future__ import annotations

__all__ = ["HELPERS", "SCALAR_FUNCTIONS"]

_INLINE = "__aicore__ inline"

# What scalar code has no instruction for, by the vector unit: 8 lanes of a scratch tensor.
SCALAR_FUNCTIONS = {
    "exp": "Exp",
    "log": "Ln",
    "log2": "Log2",
    "sqrt": "Sqrt",
    "rsqrt": "Rsqrt",
    "tanh": "Tanh",
    "erf": "Erf",
    "sin": "Sin",
    "cos": "Cos",
}


def _scalar_function(call: str) -> str:
    return f"""{_INLINE} float Scalar{call}(const LocalTensor<float>& scratch, float x)
{{
    PipeBarrier<PIPE_ALL>();
    Duplicate(scratch, x, 8);
    {call}(scratch, scratch, 8);
    PipeBarrier<PIPE_ALL>();
    return scratch.GetValue(0);
}}
"""


def _atomic(call: str) -> str:
    return f"""// One element, atomically: scalar code has no atomics, copies have.
template <typename T>
{_INLINE} void {call}Lane(const LocalTensor<float>& scratch, int64_t address, T value)
{{
    const LocalTensor<T> lane = scratch.ReinterpretCast<T>();
    PipeBarrier<PIPE_ALL>();
    lane.SetValue(0, value);
    PipeBarrier<PIPE_ALL>();
    Set{call}<T>();
    DataCopyPad(GlobalAt<T>(address), lane, DataCopyExtParams(1, sizeof(T), 0, 0, 0));
    SetAtomicNone();
    PipeBarrier<PIPE_ALL>();
}}
"""


HELPERS: dict[str, str] = {
    "Least": f"{_INLINE} int64_t Least(int64_t a, int64_t b) {{ return a < b ? a : b; }}\n",
    "Most": f"{_INLINE} int64_t Most(int64_t a, int64_t b) {{ return a > b ? a : b; }}\n",
    "FloorDivide": f"""{_INLINE} int64_t FloorDivide(int64_t a, int64_t b)
{{
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}}
""",
    "BitCast": f"""template <typename T, typename U>
{_INLINE} T BitCast(U value)
{{
    static_assert(sizeof(T) == sizeof(U), "the same bits");
    return *reinterpret_cast<T*>(&value);
}}
""",
    "GlobalAt": f"""// Global memory from an address on.
template <typename T>
{_INLINE} GlobalTensor<T> GlobalAt(int64_t address)
{{
    GlobalTensor<T> tensor;
    tensor.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(address));
    return tensor;
}}
""",
    "StoreLane": f"""// One element by scalar code, written through to memory.
template <typename T>
{_INLINE} void StoreLane(const GlobalTensor<T>& to, int64_t index, T value)
{{
    to.SetValue(index, value);
    DataCacheCleanAndInvalid<T, CacheLine::SINGLE_CACHE_LINE, DcciDst::CACHELINE_OUT>(to[index]);
}}
template <typename T>
{_INLINE} void StoreLane(int64_t address, T value)
{{
    StoreLane(GlobalAt<T>(address), 0, value);
}}
""",
    "LoadFresh": f"""// One element by scalar code, as it stands in memory now.
template <typename T>
{_INLINE} T LoadFresh(const GlobalTensor<T>& from, int64_t index)
{{
    DataCacheCleanAndInvalid<T, CacheLine::SINGLE_CACHE_LINE, DcciDst::CACHELINE_OUT>(from[index]);
    return from.GetValue(index);
}}
template <typename T>
{_INLINE} T LoadFresh(int64_t address)
{{
    return LoadFresh(GlobalAt<T>(address), 0);
}}
""",
    "WriteLane": f"""// One element and no byte beside it, by a copy.
template <typename T>
{_INLINE} void WriteLane(const LocalTensor<float>& scratch, int64_t address, T value)
{{
    const LocalTensor<T> lane = scratch.ReinterpretCast<T>();
    PipeBarrier<PIPE_ALL>();
    lane.SetValue(0, value);
    PipeBarrier<PIPE_ALL>();
    DataCopyPad(GlobalAt<T>(address), lane, DataCopyExtParams(1, sizeof(T), 0, 0, 0));
    PipeBarrier<PIPE_ALL>();
}}
""",
    "SameBits": f"""template <typename T>
{_INLINE} bool SameBits(T a, T b)
{{
    const uint8_t* left = reinterpret_cast<const uint8_t*>(&a);
    const uint8_t* right = reinterpret_cast<const uint8_t*>(&b);
    for (uint32_t i = 0; i < sizeof(T); ++i) {{
        if (left[i] != right[i]) return false;
    }}
    return true;
}}
""",
    "CasLane": f"""// Compare and swap; of 16 bits, in the 32 around them.
template <typename T>
{_INLINE} T CasLane(int64_t address, T expected, T desired)
{{
    if constexpr (sizeof(T) == 8) {{
        return BitCast<T>(AtomicCas(reinterpret_cast<__gm__ uint64_t*>(address),
                                    BitCast<uint64_t>(expected), BitCast<uint64_t>(desired)));
    }} else if constexpr (sizeof(T) == 4) {{
        return BitCast<T>(AtomicCas(reinterpret_cast<__gm__ uint32_t*>(address),
                                    BitCast<uint32_t>(expected), BitCast<uint32_t>(desired)));
    }} else {{
        const int64_t word = address & ~int64_t(3), shift = (address & 2) * 8;
        const uint32_t around = ~(0xFFFFu << shift), wanted = BitCast<uint16_t>(desired);
        uint32_t all = LoadFresh<uint32_t>(word);
        while (true) {{
            const T old = BitCast<T>(static_cast<uint16_t>(all >> shift));
            if (!SameBits(old, expected)) return old;
            const uint32_t seen = AtomicCas(reinterpret_cast<__gm__ uint32_t*>(word), all,
                                            (all & around) | (wanted << shift));
            if (seen == all) return old;
            all = seen;
        }}
    }}
}}
""",
    "CoreLock": f"""// One vector core at a time, by reads and writes of memory (Lamport's bakery).
// A core's ticket is in a cache line of its own: 0 if it does not wait, -1 while it takes one.
struct CoreLock {{
    int64_t tickets, step;
    {_INLINE} CoreLock(int64_t tickets, int64_t step) : tickets(tickets), step(step)
    {{
        Show(0);
        SyncAll();
    }}
    {_INLINE} void Take() const
    {{
        PipeBarrier<PIPE_ALL>();
        Show(-1);
        const int64_t here = GetBlockIdx(), cores = GetBlockNum() * GetSubBlockNum();
        int32_t ticket = 0;
        for (int64_t core = 0; core < cores; ++core) {{
            const int32_t other = TicketOf(core);
            if (other > ticket) ticket = other;
        }}
        Show(++ticket);
        for (int64_t core = 0; core < cores; ++core) {{
            if (core == here) continue;
            int32_t other = TicketOf(core);
            while (other != 0 && (other < ticket || (other == ticket && core < here))) {{
                other = TicketOf(core);
            }}
        }}
    }}
    {_INLINE} void Give() const
    {{
        PipeBarrier<PIPE_ALL>();
        Show(0);
    }}
    {_INLINE} int32_t TicketOf(int64_t core) const
    {{
        return LoadFresh<int32_t>(tickets + core * step);
    }}
    {_INLINE} void Show(int32_t ticket) const
    {{
        StoreLane<int32_t>(tickets + GetBlockIdx() * step, ticket);
        DataSyncBarrier<MemDsbT::ALL>();
    }}
}};
""",
    "GiveScalar": f"""// A scalar for the cube core, through memory; taken when this returns.
template <typename T>
{_INLINE} void GiveScalar(int64_t address, T value)
{{
    StoreLane(address, value);
    PipeBarrier<PIPE_ALL>();
    CrossCoreSetFlag<2, PIPE_MTE3>(7);
    CrossCoreWaitFlag(8);
}}
""",
    "TakeScalar": f"""// A scalar of the vector core, through memory.
template <typename T>
{_INLINE} T TakeScalar(int64_t address)
{{
    CrossCoreWaitFlag(7);
    const T value = LoadFresh<T>(address);
    PipeBarrier<PIPE_ALL>();
    CrossCoreSetFlag<2, PIPE_FIX>(8);
    return value;
}}
""",
    "Lanes": f"""// The mask of the lanes first .. end of a repeat, in bits.
struct Lanes {{
    uint64_t bits[2];
    {_INLINE} Lanes(int64_t first, int64_t end)
    {{
        for (int64_t word = 0; word < 2; ++word) {{
            bits[word] = Below(end - 64 * word) & ~Below(first - 64 * word);
        }}
    }}
    static {_INLINE} uint64_t Below(int64_t lanes)
    {{
        return lanes <= 0 ? 0 : lanes >= 64 ? ~0ull : (1ull << lanes) - 1;
    }}
}};
""",
    "CopyInRow": f"""// A row of elements, of any length.
template <typename T>
{_INLINE} void CopyInRow(const LocalTensor<T>& to, const GlobalTensor<T>& from, int64_t length)
{{
    if (length <= 0) return;
    const DataCopyExtParams copy(1, static_cast<uint32_t>(length * sizeof(T)), 0, 0, 0);
    DataCopyPad(to, from, copy, DataCopyPadExtParams<T>(false, 0, 0, T()));
}}
""",
    "CopyOutRow": f"""// A row of elements, of any length.
template <typename T>
{_INLINE} void CopyOutRow(const GlobalTensor<T>& to, const LocalTensor<T>& from, int64_t length)
{{
    if (length <= 0) return;
    const DataCopyExtParams copy(1, static_cast<uint32_t>(length * sizeof(T)), 0, 0, 0);
    DataCopyPad(to, from, copy);
}}
""",
    "CopyInRows": f"""// Rows of elements; `far` and `near` are the steps between them.
template <typename T>
{_INLINE} void CopyInRows(const LocalTensor<T>& to, const GlobalTensor<T>& from, int64_t rows,
                                  int64_t length, int64_t far, int64_t near)
{{
    if (rows <= 0 || length <= 0) return;
    const int64_t size = sizeof(T), gap = near * size / 32 - (length * size + 31) / 32;
    if (far < length || gap < 0 || rows > 4095) {{  // what one instruction cannot say
        for (int64_t row = 0; row < rows; ++row) {{
            CopyInRow(to[row * near], from[row * far], length);
        }}
        return;
    }}
    const DataCopyExtParams copy(
        static_cast<uint16_t>(rows), static_cast<uint32_t>(length * size),
        static_cast<uint32_t>((far - length) * size), static_cast<uint32_t>(gap), 0);
    DataCopyPad(to, from, copy, DataCopyPadExtParams<T>(false, 0, 0, T()));
}}
""",
    "CopyOutRows": f"""// Rows of elements; `far` and `near` are the steps between them.
template <typename T>
{_INLINE} void CopyOutRows(const GlobalTensor<T>& to, const LocalTensor<T>& from, int64_t rows,
                                   int64_t length, int64_t far, int64_t near)
{{
    if (rows <= 0 || length <= 0) return;
    const int64_t size = sizeof(T), gap = near * size / 32 - (length * size + 31) / 32;
    if (far < length || gap < 0 || rows > 4095) {{  // what one instruction cannot say
        for (int64_t row = 0; row < rows; ++row) {{
            CopyOutRow(to[row * far], from[row * near], length);
        }}
        return;
    }}
    const DataCopyExtParams copy(
        static_cast<uint16_t>(rows), static_cast<uint32_t>(length * size),
        static_cast<uint32_t>(gap), static_cast<uint32_t>((far - length) * size), 0);
    DataCopyPad(to, from, copy);
}}
""",
    "MeetOtherCore": f"""// The cube core and its vector core wait for each other.
{_INLINE} void MeetOtherCore()
{{
    if ASCEND_IS_AIC {{
        CrossCoreSetFlag<2, PIPE_FIX>(9);
        CrossCoreWaitFlag(10);
    }}
    if ASCEND_IS_AIV {{
        CrossCoreSetFlag<2, PIPE_MTE3>(10);
        CrossCoreWaitFlag(9);
    }}
}}
""",
    "CopyMatrix": f"""// Rows of global memory to fractals of L1, with zeros around them.
// `far` is the step of rows in global memory, `height` that of columns of fractals in L1.
template <typename T>
{_INLINE} void CopyMatrix(const LocalTensor<T>& to, const GlobalTensor<T>& from, int64_t rows,
                                  int64_t columns, int64_t far, int64_t allRows, int64_t allColumns,
                                  int64_t height)
{{
    const int64_t lanes = 32 / sizeof(T);
    if (rows < allRows || columns < allColumns) {{
        Fill(to, InitConstValueParams<T>(static_cast<uint16_t>(allColumns / lanes),
                                         static_cast<uint16_t>(allRows),
                                         static_cast<uint16_t>(height - allRows), T(0)));
        PipeBarrier<PIPE_MTE2>();
    }}
    if (rows <= 0 || columns <= 0) return;
    const int64_t step = far <= 65535 ? rows : 1;  // what one instruction can say
    for (int64_t row = 0; row < rows; row += step) {{
        DataCopy(to[row * lanes], from[row * far],
                 Nd2NzParams(1, static_cast<uint16_t>(step), static_cast<uint16_t>(columns), 0,
                             static_cast<uint16_t>(far <= 65535 ? far : columns),
                             static_cast<uint16_t>(height), 1, 0));
    }}
}}
""",
    "CopyGroups": f"""// As CopyMatrix, in groups of 16 rows; `width` is that of L1.
template <typename T>
{_INLINE} void CopyGroups(const LocalTensor<T>& to, const GlobalTensor<T>& from, int64_t rows,
                                  int64_t columns, int64_t far, int64_t allRows, int64_t allColumns,
                                  int64_t width)
{{
    for (int64_t row = 0; row < allRows; row += 16) {{
        CopyMatrix(to[row * width], from[row < rows ? row * far : 0],
                   rows - row < 16 ? rows - row : 16, columns, far, 16, allColumns, 16);
    }}
}}
""",
    "LoadSquares": f"""// Squares of two fractals, turned: 16 x 16 of 32 bits, or 32 x 32 of 8 bits.
template <typename T>
{_INLINE} void LoadSquares(const LocalTensor<T>& to, const LocalTensor<T>& from, int64_t outer,
                                   int64_t inner, int64_t toStep, int64_t fromStep, int64_t along,
                                   int64_t gap, int64_t fractalGap)
{{
    LoadData2dTransposeParams params;
    params.repeatTimes = static_cast<uint8_t>(inner);
    params.srcStride = static_cast<uint16_t>(along);
    params.dstGap = static_cast<uint16_t>(gap);
    params.dstFracGap = static_cast<uint16_t>(fractalGap);
    for (int64_t i = 0; i < outer; ++i) {{
        LoadDataWithTranspose(to[i * toStep], from[i * fromStep], params);
    }}
}}
""",
    "LoadFractals": f"""
// Fractals of L1 to L0A or L0B: `inner` of them side by side, `outer` times.
template <typename T>
{_INLINE} void LoadFractals(const LocalTensor<T>& to, const LocalTensor<T>& from, int64_t outer,
                                    int64_t inner, int64_t toStep, int64_t fromStep, int64_t along,
                                    bool turn)
{{
    for (int64_t i = 0; i < outer; ++i) {{
        LoadData(to[i * toStep], from[i * fromStep],
                 LoadData2DParams(0, static_cast<uint8_t>(inner), static_cast<uint16_t>(along), 0,
                                  0, turn, 0));
    }}
}}
""",
    "StoreProduct": f"""// A product to rows of global memory, converted on its way.
template <typename T, typename U>
{_INLINE} void StoreProduct(const GlobalTensor<T>& to, const LocalTensor<U>& from, int64_t rows,
                                    int64_t columns, int64_t far, int64_t height, QuantMode_t mode)
{{
    if (rows <= 0 || columns <= 0) return;
    Fixpipe(to, from, FixpipeParamsV220(static_cast<uint16_t>(columns), static_cast<uint16_t>(rows),
                                        static_cast<uint16_t>(height), static_cast<uint32_t>(far),
                                        false, mode, 0, 1, 0, 0));
}}
""",
    **{f"Scalar{call}": _scalar_function(call) for call in SCALAR_FUNCTIONS.values()},
    **{f"{call}Lane": _atomic(call) for call in ("AtomicAdd", "AtomicMax", "AtomicMin")},
}
