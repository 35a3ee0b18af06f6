"""Small functions that printed kernels call, each printed only where it is used."""

from __future__ import annotations

__all__ = ["HELPERS"]

_INLINE = "__aicore__ inline"

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
    "CopyInRows": f"""// Rows of elements; `far` and `near` are the steps between them, in elements.
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
    "CopyOutRows": f"""// Rows of elements; `far` and `near` are the steps between them, in elements.
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
}
