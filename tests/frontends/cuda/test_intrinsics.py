"""CUDA's intrinsics of integers, bits, lanes of a word, and conversions, on random numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ziglang")

from canopy.frontends.cuda import compile_cuda
from tests.frontends.cuda.test_kernels import run_on_cpu

RNG = np.random.default_rng()
LANES = 64
M32 = 0xFFFFFFFF
Reference = Callable[..., Any]


def signed(x: int, bits: int = 32) -> int:
    x &= (1 << bits) - 1
    return x - (x >> (bits - 1) << bits)


def wide(a: int, b: int) -> int:
    return b << 32 | a


def halved(a: int, b: int, up: int = 0) -> int:
    return (a + b + up) >> 1


def product_sum(a: int, b: int, c: int, read: Callable[[int, int], int]) -> int:
    return c + sum(read(a >> k, 8) * read(b >> k, 8) for k in range(0, 32, 8))


def halves_sum(a: int, b: int, c: int, start: int, read: Callable[[int, int], int]) -> int:
    return c + sum(read(a >> 16 * k, 16) * read(b >> start + 8 * k, 8) for k in range(2))


def unsigned(x: int, bits: int) -> int:
    return x & ((1 << bits) - 1)


INTEGERS: list[tuple[str, Reference]] = [
    ("__popc(a)", lambda a, b, c: a.bit_count()),
    ("__popcll(w)", lambda a, b, c: wide(a, b).bit_count()),
    ("__clz(a)", lambda a, b, c: 32 - a.bit_length()),
    ("__clzll(w)", lambda a, b, c: 64 - wide(a, b).bit_length()),
    ("__ffs(a)", lambda a, b, c: (a & -a).bit_length()),
    ("__ffsll(w)", lambda a, b, c: (wide(a, b) & -wide(a, b)).bit_length()),
    ("__brev(a)", lambda a, b, c: int(f"{a:032b}"[::-1], 2)),
    ("__brevll(w) >> 7", lambda a, b, c: int(f"{wide(a, b):064b}"[::-1], 2) >> 7),
    ("__byte_perm(a, b, c)", lambda a, b, c: sum(
        (wide(a, b) >> 8 * (c >> 4 * k & 7) & 255) << 8 * k for k in range(4))),
    ("__funnelshift_l(a, b, c)", lambda a, b, c: wide(a, b) << (c & 31) >> 32),
    ("__funnelshift_r(a, b, c)", lambda a, b, c: wide(a, b) >> (c & 31)),
    ("__funnelshift_lc(a, b, c)", lambda a, b, c: wide(a, b) << min(c, 32) >> 32),
    ("__funnelshift_rc(a, b, c)", lambda a, b, c: wide(a, b) >> min(c, 32)),
    ("__mulhi((int)a, (int)b)", lambda a, b, c: signed(a) * signed(b) >> 32),
    ("__umulhi(a, b)", lambda a, b, c: a * b >> 32),
    ("__mul64hi(w, -w)", lambda a, b, c: signed(wide(a, b), 64) * signed(-wide(a, b), 64) >> 64),
    ("__umul64hi(w, w)", lambda a, b, c: wide(a, b) ** 2 >> 64),
    ("__mul24(a, b)", lambda a, b, c: signed(a, 24) * signed(b, 24)),
    ("__umul24(a, b)", lambda a, b, c: unsigned(a, 24) * unsigned(b, 24)),
    ("__sad((int)a, (int)b, c)", lambda a, b, c: abs(signed(a) - signed(b)) + c),
    ("__usad(a, b, c)", lambda a, b, c: abs(a - b) + c),
    ("__hadd((int)a, (int)b)", lambda a, b, c: halved(signed(a), signed(b))),
    ("__rhadd((int)a, (int)b)", lambda a, b, c: halved(signed(a), signed(b), 1)),
    ("__uhadd(a, b)", lambda a, b, c: halved(a, b)),
    ("__urhadd(a, b)", lambda a, b, c: halved(a, b, 1)),
    ("__dp4a((int)a, (int)b, (int)c)", lambda a, b, c: product_sum(a, b, c, signed)),
    ("__dp4a(a, b, c)", lambda a, b, c: product_sum(a, b, c, unsigned)),
    ("__dp2a_lo((int)a, (int)b, (int)c)", lambda a, b, c: halves_sum(a, b, c, 0, signed)),
    ("__dp2a_hi(a, b, c)", lambda a, b, c: halves_sum(a, b, c, 16, unsigned)),
    ("min((int)a, b)", lambda a, b, c: min(a, b)),
    ("max((int)a, (int)b)", lambda a, b, c: max(signed(a), signed(b))),
    ("abs((int)a)", lambda a, b, c: abs(signed(a))),
    ("__viaddmax_s32_relu(a, b, c)", lambda a, b, c: max(signed(a + b), signed(c), 0)),
    ("__vimin3_u32(a, b, c)", lambda a, b, c: min(a, b, c)),
    ("__double2hiint(__hiloint2double(b, a))", lambda a, b, c: b),
    ("__double_as_longlong(__longlong_as_double(w)) >> 5", lambda a, b, c: wide(a, b) >> 5),
    ("__float_as_uint(__int_as_float(a))", lambda a, b, c: a),
]  # fmt: skip
PER_LANE: dict[str, Reference] = {
    "vabsdiffs": lambda s, u, low, high: abs(s[0] - s[1]),
    "vabsdiffu": lambda s, u, low, high: abs(u[0] - u[1]),
    "vadd": lambda s, u, low, high: sum(u),
    "vaddss": lambda s, u, low, high: max(low, min(high, sum(s))),
    "vaddus": lambda s, u, low, high: min(high - low, sum(u)),
    "vsub": lambda s, u, low, high: u[0] - u[1],
    "vsubss": lambda s, u, low, high: max(low, min(high, s[0] - s[1])),
    "vsubus": lambda s, u, low, high: max(0, u[0] - u[1]),
    "vavgs": lambda s, u, low, high: (sum(s) + (sum(s) >= 0)) >> 1,
    "vavgu": lambda s, u, low, high: (sum(u) + 1) >> 1,
    "vhaddu": lambda s, u, low, high: sum(u) >> 1,
    "vmaxs": lambda s, u, low, high: max(s),
    "vmaxu": lambda s, u, low, high: max(u),
    "vmins": lambda s, u, low, high: min(s),
    "vminu": lambda s, u, low, high: min(u),
    "vcmpeq": lambda s, u, low, high: -(u[0] == u[1]),
    "vcmpne": lambda s, u, low, high: -(u[0] != u[1]),
    "vcmpges": lambda s, u, low, high: -(s[0] >= s[1]),
    "vcmpgtu": lambda s, u, low, high: -(u[0] > u[1]),
    "vcmples": lambda s, u, low, high: -(s[0] <= s[1]),
    "vsetltu": lambda s, u, low, high: int(u[0] < u[1]),
    "vsetgts": lambda s, u, low, high: int(s[0] > s[1]),
    "vseteq": lambda s, u, low, high: int(u[0] == u[1]),
}
ONE_LANE: dict[str, Reference] = {
    "vabs": lambda s, low, high: abs(s),
    "vabsss": lambda s, low, high: min(high, abs(s)),
    "vneg": lambda s, low, high: -s,
    "vnegss": lambda s, low, high: min(high, -s),
}


def lane_rows() -> list[tuple[str, Reference]]:
    """The SIMD intrinsics of two and of four lanes as rows like those above."""

    def joined(function: Reference, bits: int, unary: bool) -> Reference:
        low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1

        def whole(a: int, b: int, c: int) -> int:
            total = 0
            for k in range(0, 32, bits):
                s = [signed(v >> k, bits) for v in (a, b)]
                u = [unsigned(v >> k, bits) for v in (a, b)]
                lane = function(s[0], low, high) if unary else function(s, u, low, high)
                total |= unsigned(lane, bits) << k
            return total

        return whole

    def difference(read: Callable[[int, int], int], bits: int) -> Reference:
        return lambda a, b, c: sum(
            abs(read(a >> k, bits) - read(b >> k, bits)) for k in range(0, 32, bits)
        )

    rows: list[tuple[str, Reference]] = []
    for count, bits in ((2, 16), (4, 8)):
        rows += [(f"__{n}{count}(a, b)", joined(f, bits, False)) for n, f in PER_LANE.items()]
        rows += [(f"__{n}{count}(a)", joined(f, bits, True)) for n, f in ONE_LANE.items()]
        rows.append((f"__vsads{count}(a, b)", difference(signed, bits)))
        rows.append((f"__vsadu{count}(a, b)", difference(unsigned, bits)))
    return rows


def words() -> list[int]:
    special = [0, 1, M32, 1 << 31, (1 << 31) - 1, 0x80808080, 0x7F80FF00, 0x8000FFFF, 32, 33]
    random = RNG.integers(0, M32, LANES - len(special), np.uint64, endpoint=True)
    values = [*special, *map(int, random)]
    RNG.shuffle(values)
    return values


def run(source: str, *arguments: Any) -> None:
    lowered = compile_cuda(source, "intrinsics.cu").kernel("f", (LANES, 1, 1))
    run_on_cpu(lowered, arguments, (1,), (LANES, 1, 1))


def kernel_of(parameters: str, head: str, calls: list[str]) -> str:
    lines = [f"out[{n} * {LANES} + i] = {call};" for n, call in enumerate(calls)]
    body = "\n  ".join([f"int i = threadIdx.x; {head}", *lines])
    return f"__global__ void f({parameters}) {{\n  {body}\n}}\n"


def test_integers_and_words_of_lanes() -> None:
    rows = [*INTEGERS, *lane_rows()]
    a, b, c = words(), words(), words()
    b[::9] = a[::9]
    c[::2] = [v & 63 for v in c[::2]]
    parameters = "const unsigned* pa, const unsigned* pb, const unsigned* pc, unsigned* out"
    head = "unsigned a = pa[i], b = pb[i], c = pc[i]; long long w = (long long)b << 32 | a;"
    out = np.zeros((len(rows), LANES), np.uint32)
    run(
        kernel_of(parameters, head, [call for call, _ in rows]),
        *(np.array(v, np.uint32) for v in (a, b, c)),
        out,
    )
    for row, (call, reference) in zip(out, rows, strict=True):
        for got, x, y, z in zip(row, a, b, c, strict=True):
            assert int(got) == reference(x, y, z) & M32, (call, hex(x), hex(y), hex(z))


# ---- conversions

ROUND: dict[str, Callable[[Fraction], int]] = {
    "rn": round,
    "rz": math.trunc,
    "rd": math.floor,
    "ru": math.ceil,
}
TARGETS = {"int": (-(2**31), 2**31 - 1), "uint": (0, 2**32 - 1)}
TARGETS |= {"ll": (-(2**63), 2**63 - 1), "ull": (0, 2**64 - 1)}


def to_integer(x: float, mode: str, low: int, high: int) -> int:
    if math.isnan(x):
        return 0
    if math.isinf(x):
        return low if x < 0 else high
    return max(low, min(high, ROUND[mode](Fraction(x))))


@pytest.mark.parametrize("type_", ["float", "double"])
def test_floats_to_integers(type_: str) -> None:
    """Saturating, NaN to 0; a plain cast is the one toward zero."""
    dtype = np.dtype(type_) if type_ == "double" else np.dtype(np.float32)
    x = (RNG.standard_normal(LANES) * 10.0 ** RNG.integers(-1, 21, LANES)).astype(dtype)
    x[:12] = [0.5, 1.5, -2.5, -0.0, np.nan, np.inf, -np.inf, 2.0**31, 2.0**32, 2.0**63, 1e30, -0.25]
    rows = [(f"__{type_}2{t}_{m}(x[i])", m, TARGETS[t]) for t in TARGETS for m in ROUND]
    casts = {"int": "int", "uint": "unsigned", "ll": "long long", "ull": "unsigned long long"}
    rows += [(f"({casts[t]})x[i]", "rz", TARGETS[t]) for t in TARGETS]
    out = np.zeros((len(rows), LANES), np.uint64)
    run(kernel_of(f"const {type_}* x, long long* out", "", [row[0] for row in rows]), x, out)
    for row, (call, mode, (low, high)) in zip(out, rows, strict=True):
        for got, value in zip(row, x, strict=True):
            want = to_integer(float(value), mode, low, high)
            assert int(got) == want & (2**64 - 1), (call, value)


def nearest(exact: Fraction, mode: str, dtype: Any) -> Any:
    """The float beside an exact number in a direction."""
    near = dtype(float(exact))
    if mode == "rn":
        return near
    down = mode == "rd" or (mode == "rz" and exact > 0)
    if Fraction(float(near)) > exact and down:
        return np.nextafter(near, dtype(-np.inf))
    if Fraction(float(near)) < exact and not down:
        return np.nextafter(near, dtype(np.inf))
    return near


def test_integers_to_floats() -> None:
    values = RNG.integers(-(2**63), 2**63 - 1, LANES, np.int64)
    values[::3] >>= RNG.integers(20, 60, len(values[::3]))
    values[:3] = [0, -(2**63), 2**63 - 1]
    names = {"int": 32, "uint": 32, "ll": 64, "ull": 64}
    rows = [
        (f"__{n}2{f}_{m}(x[i])", n, m, np.float32 if f == "float" else np.float64)
        for n in names
        for f in ("float", "double")
        for m in ROUND
        if names[n] == 64 or f == "float"
    ]
    out = np.zeros((len(rows), LANES))
    run(kernel_of("const long long* x, double* out", "", [row[0] for row in rows]), values, out)
    for row, (call, name, mode, dtype) in zip(out, rows, strict=True):
        for got, value in zip(row, values, strict=True):
            read = unsigned if name.startswith("u") else signed
            exact = read(int(value), names[name])
            if mode == "rn" and dtype is np.float32:  # float() would round twice
                source = {"int": np.int32, "uint": np.uint32, "ll": np.int64, "ull": np.uint64}
                want = source[name](exact).astype(np.float32)
            else:
                want = nearest(Fraction(exact), mode, dtype)
            assert got == want, (call, exact)


# ---- one operation with a direction of rounding

OPERATIONS: dict[str, Callable[[Fraction, Fraction, Fraction], Fraction]] = {
    "add": lambda x, y, z: x + y,
    "sub": lambda x, y, z: x - y,
    "mul": lambda x, y, z: x * y,
    "div": lambda x, y, z: x / y,
    "rcp": lambda x, y, z: 1 / x,
}


@pytest.mark.parametrize("letter", ["f", "d"])
def test_directions_of_rounding(letter: str) -> None:
    type_, dtype = ("float", np.float32) if letter == "f" else ("double", np.float64)
    x, y, z = ((RNG.standard_normal(LANES) * 100).astype(dtype) for _ in range(3))
    rows = []
    for name, exact in OPERATIONS.items():
        arguments = "x[i]" if name == "rcp" else "x[i], y[i]"
        rows += [(f"__{letter}{name}_{m}({arguments})", exact, m) for m in ROUND if m != "rn"]
    fma = "fmaf" if letter == "f" else "fma"
    rows += [
        (f"__{fma}_{m}(x[i], y[i], z[i])", lambda x, y, z: x * y + z, m) for m in ROUND if m != "rn"
    ]
    out = np.zeros((len(rows), LANES), dtype)
    parameters = f"const {type_}* x, const {type_}* y, const {type_}* z, {type_}* out"
    run(kernel_of(parameters, "", [row[0] for row in rows]), x, y, z, out)
    for row, (call, exact, mode) in zip(out, rows, strict=True):
        for got, *given in zip(row, x, y, z, strict=True):
            want = nearest(exact(*(Fraction(float(v)) for v in given)), mode, dtype)
            assert got == want, (call, given)
