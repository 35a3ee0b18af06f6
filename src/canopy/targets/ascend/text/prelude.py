"""Small functions that printed kernels call, each printed only where it is used."""

from __future__ import annotations

__all__ = ["HELPERS", "SCALAR_FUNCTIONS"]

_INLINE = "__aicore__ inline"

# What scalar code has no instruction for, by the vector unit: 8 lanes of a scratch tensor.
SCALAR_FUNCTIONS = {
    "exp": "Exp",
    "log": "Ln",
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
    **{f"Scalar{call}": _scalar_function(call) for call in SCALAR_FUNCTIONS.values()},
    **{f"{call}Lane": _atomic(call) for call in ("AtomicAdd", "AtomicMax", "AtomicMin")},
}
