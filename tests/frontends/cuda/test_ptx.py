"""Inline PTX: the parser, and every group of instructions against Python's integers and NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ziglang")

from canopy.errors import UnsupportedError
from canopy.frontends.cuda import compile_cuda
from canopy.frontends.cuda.ptx.parser import (
    Address,
    Instruction,
    Label,
    Name,
    Number,
    PtxError,
    Register,
    Slot,
    Special,
    Vector,
    parse_ptx,
)
from tests.frontends.cuda.test_kernels import module_of, run_on_cpu

RNG = np.random.default_rng()
LANES = 64
M32, M64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF


def test_parser() -> None:
    text = """{ .reg .pred p; // a comment
      .reg .b32 r<2>; /* more */
      setp.lt.s32 p|q, $0, -0x10;
      @!p ld.global.v2.f32 {$1, _}, [r0+4];
      { .reg.f32 r0; mov.f32 r0, 0f3F800000; }
      again: @p bra again;
      mov.u32 $2, %laneid }"""
    pred, r0, r1, compare, load, inner, move, label, jump, place = parse_ptx(text)
    assert pred == Register("p.1", "pred")
    assert (r0, r1) == (Register("r0.2", "b32"), Register("r1.3", "b32"))
    assert compare == Instruction(
        ("setp", "lt", "s32"), (Name("p.1"), Slot(0), Number(-16)), second=Name("q")
    )
    assert load.guard == Name("p.1")
    assert load.guard_negated
    assert load.operands == (Vector((Slot(1), Name("_"))), Address(Name("r0.2"), 4))
    assert inner == Register("r0.4", "f32")
    assert move.operands == (Name("r0.4"), Number(1.0))
    assert label == Label("again")
    assert jump.operands == (Name("again"),)
    assert place.operands == (Slot(2), Special("laneid"))


@pytest.mark.parametrize("text", ["add.s32 $0 $1;", "mov.u32 $0, ?;", "}", "ld.u32 $0, [$1;"])
def test_what_the_parser_refuses(text: str) -> None:
    with pytest.raises((PtxError, IndexError)):
        parse_ptx(text)


# ---- one instruction each, on random and special numbers

Reference = Callable[..., Any]


def s32(x: int) -> int:
    return (x & M32) - ((x & 0x80000000) << 1)


def s64(x: int) -> int:
    return (x & M64) - ((x & (1 << 63)) << 1)


def clipped(x: int, low: int, high: int) -> int:
    return max(low, min(high, x))


def field(x: int, start: int, length: int, signed: bool) -> int:
    start, length = start & 255, length & 255
    if not length:
        return 0
    sign = (x >> min(start + length - 1, 31)) & 1 if signed else 0
    low = x >> start & ((1 << min(length, 64)) - 1)
    have = max(0, min(32 - start, length))
    return (low | (-1 << have if sign else 0)) & M32


def inserted(a: int, b: int, start: int, length: int) -> int:
    start, length = start & 255, length & 255
    mask = (((1 << length) - 1) << start) & M32
    return b & ~mask | (a << start) & mask


def permuted(a: int, b: int, s: int) -> int:
    both, out = b << 32 | a, 0
    for k in range(4):
        n = s >> 4 * k & 15
        byte = both >> 8 * (n & 7) & 255
        out |= (255 * (byte >> 7) if n & 8 else byte) << 8 * k
    return out


def table_logic(a: int, b: int, c: int) -> int:
    """The table 0xCA: a ? b : c."""
    return a & b | ~a & c


def dot(a: int, b: int, c: int, signed: bool) -> int:
    def byte(x: int, k: int) -> int:
        v = x >> 8 * k & 255
        return v - 256 * (v >> 7) if signed else v

    return c + sum(byte(a, k) * byte(b, k) for k in range(4))


def leading(x: int, bits: int = 32) -> int:
    return bits - x.bit_length()


def by_halves(function: Any, a: int, b: int, signed: bool = False) -> int:
    """A function of the two 16-bit lanes of words."""
    flip = 0x8000 if signed else 0  # signed lanes are ordered as unsigned ones with this bit turned
    lanes = [function(a >> n & 0xFFFF ^ flip, b >> n & 0xFFFF ^ flip) ^ flip for n in (0, 16)]
    return int(lanes[0] | lanes[1] << 16)


INTEGERS: list[tuple[str, Reference]] = [
    ("add.u32 %0, %1, %2;", lambda a, b, c: a + b),
    ("sub.s32 %0, %1, %2;", lambda a, b, c: a - b),
    ("add.sat.s32 %0, %1, %2;", lambda a, b, c: clipped(s32(a) + s32(b), -(2**31), 2**31 - 1)),
    ("mul.lo.s32 %0, %1, %2;", lambda a, b, c: a * b),
    ("mul.hi.u32 %0, %1, %2;", lambda a, b, c: a * b >> 32),
    ("mul.hi.s32 %0, %1, %2;", lambda a, b, c: s32(a) * s32(b) >> 32),
    ("mad.lo.u32 %0, %1, %2, %3;", lambda a, b, c: a * b + c),
    ("mad.hi.u32 %0, %1, %2, %3;", lambda a, b, c: (a * b >> 32) + c),
    ("mul24.lo.u32 %0, %1, %2;", lambda a, b, c: (a & 0xFFFFFF) * (b & 0xFFFFFF)),
    ("min.s32 %0, %1, %2;", lambda a, b, c: min(s32(a), s32(b))),
    ("max.u32 %0, %1, %2;", lambda a, b, c: max(a, b)),
    ("min.u16x2 %0, %1, %2;", lambda a, b, c: by_halves(min, a, b)),
    ("max.s16x2 %0, %1, %2;", lambda a, b, c: by_halves(max, a, b, signed=True)),
    ("abs.s32 %0, %1;", lambda a, b, c: abs(s32(a))),
    ("neg.s32 %0, %1;", lambda a, b, c: -a),
    ("and.b32 %0, %1, %2;", lambda a, b, c: a & b),
    ("xor.b32 %0, %1, 0xff00ff00;", lambda a, b, c: a ^ 0xFF00FF00),
    ("not.b32 %0, %1;", lambda a, b, c: ~a),
    ("cnot.b32 %0, %3;", lambda a, b, c: int(c == 0)),
    ("shl.b32 %0, %1, %3;", lambda a, b, c: a << c if c < 32 else 0),
    ("shr.u32 %0, %1, %3;", lambda a, b, c: a >> c if c < 32 else 0),
    ("shr.s32 %0, %1, %3;", lambda a, b, c: s32(a) >> min(c, 31)),
    ("lop3.b32 %0, %1, %2, %3, 0xCA;", table_logic),
    ("bfe.u32 %0, %1, %3, 9;", lambda a, b, c: field(a, c, 9, False)),
    ("bfe.s32 %0, %1, %3, 9;", lambda a, b, c: field(a, c, 9, True)),
    ("bfe.s32 %0, %1, 7, %3;", lambda a, b, c: field(a, 7, c, True)),
    ("bfi.b32 %0, %1, %2, %3, 7;", lambda a, b, c: inserted(a, b, c, 7)),
    ("bfi.b32 %0, %1, %2, 4, %3;", lambda a, b, c: inserted(a, b, 4, c)),
    ("bfind.u32 %0, %1;", lambda a, b, c: a.bit_length() - 1),
    ("bfind.shiftamt.u32 %0, %1;", lambda a, b, c: leading(a) if a else -1),
    ("bfind.s32 %0, %1;", lambda a, b, c: (a if s32(a) >= 0 else ~a & M32).bit_length() - 1),
    ("brev.b32 %0, %1;", lambda a, b, c: int(f"{a:032b}"[::-1], 2)),
    ("popc.b32 %0, %1;", lambda a, b, c: a.bit_count()),
    ("clz.b32 %0, %1;", lambda a, b, c: leading(a)),
    ("prmt.b32 %0, %1, %2, %3;", permuted),
    ("prmt.b32 %0, %1, %2, 0x7b2c;", lambda a, b, c: permuted(a, b, 0x7B2C)),
    ("shf.l.wrap.b32 %0, %1, %2, %3;", lambda a, b, c: (b << 32 | a) << (c & 31) >> 32),
    ("shf.r.clamp.b32 %0, %1, %2, %3;", lambda a, b, c: (b << 32 | a) >> min(c, 32)),
    ("sad.u32 %0, %1, %2, %3;", lambda a, b, c: abs(a - b) + c),
    ("dp4a.u32.u32 %0, %1, %2, %3;", lambda a, b, c: dot(a, b, c, False)),
    ("dp4a.s32.s32 %0, %1, %2, %3;", lambda a, b, c: dot(a, b, c, True)),
    ("div.u32 %0, %1, 7;", lambda a, b, c: a // 7),
    ("rem.s32 %0, %1, 7;", lambda a, b, c: int(math.fmod(s32(a), 7))),
    ("selp.b32 %0, %1, %2, 1;", lambda a, b, c: a),
    ("slct.u32.s32 %0, %1, %3, %2;", lambda a, b, c: a if s32(b) >= 0 else c),
    ("set.lt.u32.u32 %0, %1, %2;", lambda a, b, c: -(a < b)),
    ("cvt.s8.s32 %0, %1;", lambda a, b, c: (a & 255) - 2 * (a & 128)),
    ("cvt.sat.u8.s32 %0, %1;", lambda a, b, c: clipped(s32(a), 0, 255)),
    ("cvt.sat.s16.u32 %0, %1;", lambda a, b, c: clipped(a, 0, 32767)),
    (
        "{ .reg .u16 l, h; mov.b32 {l, h}, %1; mov.b32 %0, {h, l}; }",
        lambda a, b, c: a << 16 | a >> 16,
    ),
    (
        """{ .reg .pred p, q; setp.lt.s32 p|q, %1, %2; @p mov.u32 %0, %3;
          @!p mov.u32 %0, %2; @q add.u32 %0, %0, 1; }""",
        lambda a, b, c: c if s32(a) < s32(b) else b + 1,
    ),
    (
        """{ .reg .pred p, q; setp.hs.u32 q, %1, %2; setp.eq.or.s32 p, %3, 0, q;
          selp.u32 %0, 5, 6, p; }""",
        lambda a, b, c: 5 if c == 0 or a >= b else 6,
    ),
    (
        """{ .reg .u32 n; .reg .pred p; mov.u32 n, 5; mov.u32 %0, 0;
          again: add.u32 %0, %0, %1; sub.u32 n, n, 1; setp.ne.u32 p, n, 0; @p bra again; }""",
        lambda a, b, c: 5 * a,
    ),
    ("{ add.cc.u32 %0, %1, %2; addc.u32 %0, 0, 0; }", lambda a, b, c: a + b >> 32),
    ("{ sub.cc.u32 %0, %1, %2; subc.u32 %0, 0, 0; }", lambda a, b, c: -(a < b)),
    (
        "{ mad.lo.cc.u32 %0, %1, %2, %3; madc.hi.u32 %0, %1, %2, 0; }",
        lambda a, b, c: a * b + c >> 32,
    ),
]
LONGS: list[tuple[str, Reference]] = [
    ("add.u64 %0, %1, %2;", lambda a, b: a + b),
    ("mul.hi.u64 %0, %1, %2;", lambda a, b: a * b >> 64),
    ("mul.hi.s64 %0, %1, %2;", lambda a, b: s64(a) * s64(b) >> 64),
    (
        "{ .reg .u32 l, h; mov.b64 {l, h}, %1; mul.wide.u32 %0, l, h; }",
        lambda a, b: (a & M32) * (a >> 32),
    ),
    (
        "{ .reg .s32 l, h; mov.b64 {l, h}, %1; mad.wide.s32 %0, l, h, %2; }",
        lambda a, b: s32(a) * s32(a >> 32) + b,
    ),
    ("{ .reg .u32 n; popc.b64 n, %1; cvt.u64.u32 %0, n; }", lambda a, b: a.bit_count()),
    ("{ .reg .u32 n; bfind.u64 n, %1; cvt.s64.s32 %0, n; }", lambda a, b: a.bit_length() - 1),
    ("bfe.u64 %0, %1, 13, 40;", lambda a, b: a >> 13 & ((1 << 40) - 1)),
    ("brev.b64 %0, %1;", lambda a, b: int(f"{a:064b}"[::-1], 2)),
    (
        """{ .reg .u32 a, b, c, d, e, f; mov.b64 {a, b}, %1; mov.b64 {c, d}, %2;
          add.cc.u32 e, a, c; addc.u32 f, b, d; mov.b64 %0, {e, f}; }""",
        lambda a, b: a + b,
    ),
]


def _words(bits: int) -> list[int]:
    special = [0, 1, (1 << bits) - 1, 1 << (bits - 1), (1 << (bits - 1)) - 1, 31, 32, 33]
    random = RNG.integers(0, (1 << bits) - 1, LANES - len(special), np.uint64, endpoint=True)
    values = [*special, *map(int, random)]
    RNG.shuffle(values)
    return values


def _program(type_: str, letter: str, texts: Sequence[str], count: int) -> str:
    pointers = ", ".join(f"const {type_}* p{n}" for n in range(count))
    loads = " ".join(f"{type_} v{n} = p{n}[i];" for n in range(count))
    given = ", ".join(f'"{letter}"(v{n})' for n in range(count))
    lines = [f"__global__ void f({pointers}, {type_}* out) {{", f"int i = threadIdx.x; {loads}"]
    for n, text in enumerate(texts):
        quoted = text.replace("\n", "\\n").replace("again", f"again{n}")
        statement = f'asm("{quoted}" : "=&{letter}"(r) : {given});'
        lines.append(f"{{ {type_} r; {statement} out[{n} * {LANES} + i] = r; }}")
    return "\n".join([*lines, "}"])


def _run(source: str, *arguments: Any, kernel: str = "f", threads: int = LANES) -> None:
    lowered = compile_cuda(source, "ptx.cu").kernel(kernel, (threads, 1, 1))
    run_on_cpu(lowered, arguments, (1,), (threads, 1, 1))


@pytest.mark.parametrize("bits", [32, 64])
def test_integers(bits: int) -> None:
    table, count = (INTEGERS, 3) if bits == 32 else (LONGS, 2)
    dtype, type_ = (np.uint32, "unsigned") if bits == 32 else (np.uint64, "unsigned long long")
    inputs = [_words(bits) for _ in range(count)]
    if bits == 32:
        inputs[2] = [v & 63 if n % 2 else v for n, v in enumerate(inputs[2])]
    out = np.zeros((len(table), LANES), dtype)
    source = _program(type_, "r" if bits == 32 else "l", [text for text, _ in table], count)
    _run(source, *(np.array(v, dtype) for v in inputs), out)
    for row, (text, reference) in zip(out, table, strict=True):
        want = [reference(*v) & ((1 << bits) - 1) for v in zip(*inputs, strict=True)]
        wrong = [
            (v, int(g), w)
            for g, w, v in zip(row, want, zip(*inputs, strict=True), strict=True)
            if g != w
        ]
        assert not wrong, (text, wrong[:3])


# ---- floats

F = np.float32
FLOATS: list[tuple[str, Reference, float]] = [
    ("add.rn.f32 %0, %1, %2;", lambda a, b, c: a + b, 0),
    ("sub.f32 %0, %1, %2;", lambda a, b, c: a - b, 0),
    ("mul.ftz.f32 %0, %1, %2;", lambda a, b, c: a * b, 0),
    ("div.rn.f32 %0, %1, %2;", lambda a, b, c: a / b, 0),
    ("fma.rn.f32 %0, %1, %2, %3;", lambda a, b, c: F(a.astype(np.float64) * b + c), 1),
    ("mad.f32 %0, %1, %2, %3;", lambda a, b, c: F(a.astype(np.float64) * b + c), 1),
    ("add.sat.f32 %0, %1, %2;", lambda a, b, c: np.clip(np.nan_to_num(a + b, nan=0), 0, 1), 0),
    ("min.f32 %0, %1, %2;", np.fmin, 0),
    ("max.NaN.f32 %0, %1, %2;", lambda a, b, c: np.maximum(a, b), 0),
    ("abs.f32 %0, %1;", lambda a, b, c: abs(a), 0),
    ("neg.f32 %0, %1;", lambda a, b, c: -a, 0),
    ("copysign.f32 %0, %1, %2;", lambda a, b, c: np.copysign(b, a), 0),
    ("rcp.approx.ftz.f32 %0, %1;", lambda a, b, c: F(1) / a, 1),
    (
        "{ .reg .f32 t; abs.f32 t, %1; rsqrt.approx.f32 %0, t; }",
        lambda a, b, c: F(1 / np.sqrt(abs(a).astype(np.float64))),
        2,
    ),
    ("{ .reg .f32 t; abs.f32 t, %1; sqrt.rn.f32 %0, t; }", lambda a, b, c: np.sqrt(abs(a)), 0),
    (
        "{ .reg .f32 t; abs.f32 t, %1; lg2.approx.f32 %0, t; }",
        lambda a, b, c: F(np.log2(abs(a).astype(np.float64))),
        2,
    ),
    ("ex2.approx.ftz.f32 %0, %2;", lambda a, b, c: F(np.exp2(b.astype(np.float64))), 2),
    ("sin.approx.f32 %0, %2;", lambda a, b, c: F(np.sin(b.astype(np.float64))), 2),
    ("tanh.approx.f32 %0, %2;", lambda a, b, c: F(np.tanh(b.astype(np.float64))), 2),
    ("cvt.rni.f32.f32 %0, %1;", lambda a, b, c: np.rint(a), 0),
    ("cvt.rmi.f32.f32 %0, %1;", lambda a, b, c: np.floor(a), 0),
    (
        "{ .reg .s32 t; cvt.rzi.s32.f32 t, %1; cvt.rn.f32.s32 %0, t; }",
        lambda a, b, c: F(
            np.clip(np.nan_to_num(np.trunc(a.astype(np.float64))), -(2**31), 2**31 - 1)
        ),
        0,
    ),
    (
        "{ .reg .u8 t; cvt.rni.u8.f32 t, %1; cvt.rn.f32.u8 %0, t; }",
        lambda a, b, c: np.clip(np.nan_to_num(np.rint(a)), 0, 255),
        0,
    ),
    (
        "{ .reg .b16 h; cvt.rn.f16.f32 h, %1; cvt.f32.f16 %0, h; }",
        lambda a, b, c: a.astype(np.float16).astype(F),
        0,
    ),
    (
        """{ .reg .f64 d; cvt.f64.f32 d, %1; mul.f64 d, d, 0d3FD5555555555555;
          cvt.rn.f32.f64 %0, d; }""",
        lambda a, b, c: F(a.astype(np.float64) * (1 / 3)),
        0,
    ),
    (
        "{ .reg .pred p; setp.gt.f32 p, %1, %2; selp.f32 %0, %1, %2, p; }",
        lambda a, b, c: np.where(a > b, a, b),
        0,
    ),
    (
        "{ .reg .pred p; setp.gtu.f32 p, %1, %2; selp.f32 %0, %1, %2, p; }",
        lambda a, b, c: np.where(a <= b, b, a),
        0,
    ),
    (
        "{ .reg .pred p; testp.infinite.f32 p, %1; selp.f32 %0, 0f3F800000, 0f00000000, p; }",
        lambda a, b, c: F(np.isinf(a)),
        0,
    ),
    (
        """{ .reg .b32 h, g; cvt.rn.f16x2.f32 h, %1, %2; cvt.rn.f16x2.f32 g, %2, %1;
          max.f16x2 h, h, g; .reg .b16 l, u; mov.b32 {l, u}, h; cvt.f32.f16 %0, u; }""",
        lambda a, b, c: np.fmax(a.astype(np.float16), b.astype(np.float16)).astype(F),
        0,
    ),
    (
        """{ .reg .b32 h, g; cvt.rn.f16x2.f32 h, %1, %2; cvt.rn.f16x2.f32 g, %2, %1;
          min.NaN.f16x2 h, h, g; .reg .b16 l, u; mov.b32 {l, u}, h; cvt.f32.f16 %0, l; }""",
        lambda a, b, c: np.minimum(a.astype(np.float16), b.astype(np.float16)).astype(F),
        0,
    ),
    (
        """{ .reg .b32 h; cvt.rn.f16x2.f32 h, %1, %2; mul.f16x2 h, h, h;
          .reg .b16 l, u; mov.b32 {l, u}, h;
          cvt.f32.f16 %0, u; }""",
        lambda a, b, c: (a.astype(np.float16) ** 2).astype(F),
        0,
    ),
]


def test_floats() -> None:
    a, b, c = (RNG.standard_normal(LANES).astype(F) * 4 for _ in range(3))
    a[:8] = [0, -0.0, np.inf, -np.inf, np.nan, 3e9, -3e9, 0.5]
    a[8:20] *= 1e5
    out = np.zeros((len(FLOATS), LANES), F)
    _run(_program("float", "f", [row[0] for row in FLOATS], 3), a, b, c, out)
    with np.errstate(all="ignore"):
        for row, (text, reference, ulps) in zip(out, FLOATS, strict=True):
            want = reference(a, b, c) if reference is not np.fmin else np.fmin(a, b)
            close = np.abs(row - want) <= ulps * np.spacing(np.abs(want))
            same = close | (row == want) | (np.isnan(row) & np.isnan(want))
            assert same.all(), (text, a[~same][:3], b[~same][:3], row[~same][:3], want[~same][:3])


@pytest.mark.parametrize("direction", ["rz", "rm", "rp"])
def test_directions_of_rounding(direction: str) -> None:
    """The neighbour of the exact sum or product on the side of the direction."""
    a, b = (RNG.standard_normal(LANES).astype(F) for _ in range(2))
    texts = [f"add.{direction}.f32 %0, %1, %2;", f"mul.{direction}.f32 %0, %1, %2;"]
    out = np.zeros((2, LANES), F)
    _run(_program("float", "f", texts, 2), a, b, out)
    for row, exact in zip(out, (a.astype(np.float64) + b, a.astype(np.float64) * b), strict=True):
        below, above = F(exact), F(exact)
        below = np.where(below > exact, np.nextafter(below, F(-np.inf)), below)
        above = np.where(above < exact, np.nextafter(above, F(np.inf)), above)
        toward_zero = np.where(exact > 0, below, above)
        want = {"rz": toward_zero, "rm": below, "rp": above}[direction]
        np.testing.assert_array_equal(row, want)


# ---- memory, the thread's place, warps


def launch(kernel: str, *arguments: Any) -> None:
    lowered = module_of("ptx.cu").kernel(kernel, (LANES, 1, 1))
    run_on_cpu(lowered, arguments, (1,), (LANES, 1, 1))


def test_the_carry_goes_from_statement_to_statement() -> None:
    a, b = (RNG.integers(0, 1 << 32, (4, LANES), np.uint32) for _ in range(2))
    a[:, :9], b[1:3, :5] = M32, 0
    out = np.zeros((5, LANES), np.uint32)
    launch("big_sums", 4, a, b, out)

    def whole(words: np.ndarray, lane: int) -> int:
        return sum(int(w) << 32 * k for k, w in enumerate(words[:, lane]))

    for lane in range(LANES):
        assert whole(out, lane) == whole(a, lane) + whole(b, lane)


@pytest.mark.parametrize("n", [0, 131])
def test_shared_memory_and_copies(n: int) -> None:
    x, out = RNG.standard_normal(256).astype(F), np.zeros((LANES, 2), F)
    launch("copies", x, out, n)
    tile = np.where(np.arange(256) < n, x, F(0))
    np.testing.assert_allclose(out[:, 0], tile.reshape(LANES, 4).sum(1), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(out[:, 1], 2 * tile[63::-1])


def test_narrow_loads() -> None:
    data, out = RNG.integers(0, 256, LANES + 1).astype(np.uint8), np.zeros(LANES, np.int32)
    launch("narrow", data, out)
    wide = data.astype(np.int32)
    want = data[:-1].view(np.int8).astype(np.int32) * 100000 + wide[:-1] + 256 * wide[1:]
    np.testing.assert_array_equal(out, want)


def test_atomics() -> None:
    total, most, sum_ = np.ones(1, F), np.array([3], np.uint32), np.array([10, 0], np.int32)
    old, swapped = np.zeros(LANES, np.int32), np.array([7], np.uint64)
    launch("atomics", sum_, most, total, old, swapped)
    np.testing.assert_array_equal(sum_, [10 + LANES * (LANES - 1) // 2, 5])
    np.testing.assert_array_equal(most, [63 * 0x04000000])
    np.testing.assert_array_equal(total, [33])
    assert 100 <= swapped[0] < 164
    assert set(old) <= {10 + n for n in range(2017)}
    assert 10 in old


def test_special_registers_and_warps() -> None:
    out = np.zeros((8, LANES), np.uint32)
    launch("place", out)
    i = np.arange(LANES)
    lane = i % 32
    below = (1 << lane) - 1
    ballot = [sum(1 << k for k in range(32) if 32 * w + k > 40) for w in (0, 1)]
    want = [i, i * 0 + LANES, lane, i // 32, below, M32 & ~below, np.repeat(ballot, 32), i ^ 3]
    np.testing.assert_array_equal(out, np.array(want, np.uint32))


# ---- what is not supported


@pytest.mark.parametrize(
    ("statement", "fact"),
    [
        ('asm("wgmma.fence.sync.aligned;");', "wgmma.fence.sync.aligned"),
        ('asm("mov.u32 %0, %%pm0;" : "=r"(p[1]));', "%pm0"),
        ('asm("lop3.b32 %0, %0, %0, %0, %1;" : "+r"(p[1]) : "r"(p[2]));', "must be a constant"),
        ('asm("mov.u32 %0, nobody;" : "=r"(p[1]));', "nobody"),
    ],
)
def test_errors_name_the_users_line(statement: str, fact: str) -> None:
    source = f"__global__ void f(int* p) {{\n  p[0] = 1;\n  {statement}\n}}\n"
    with pytest.raises(UnsupportedError) as caught:
        compile_cuda(source, "bad.cu").kernel("f", (32, 1, 1))
    assert "bad.cu:3" in str(caught.value)
    assert fact in str(caught.value)
