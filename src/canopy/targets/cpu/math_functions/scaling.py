"""x * 2**n in one instruction: AVX-512's vscalef, which rounds once, underflows gradually too."""

from __future__ import annotations

from llvmlite import ir

from canopy.targets.cpu.math_functions.lanes import Lanes, lanes_of

__all__ = ["can_scale", "scaled"]

REGISTER_BITS = 512
CURRENT_ROUNDING = 4


def can_scale(x: Lanes) -> bool:
    """Whether the module of ``x`` is for a processor that has the instruction, and x fills it."""
    features = getattr(x.builder.module, "features", "")
    return "+avx512f," in f"{features}," and lanes_of(x.type) * x.format.bits >= REGISTER_BITS


def scaled(x: Lanes, exponent: Lanes) -> Lanes:
    """x * 2**exponent, for integral floats ``exponent``; register by register."""
    total, count = lanes_of(x.type), REGISTER_BITS // x.format.bits
    parts = [
        _scaled_register(_part(x, start, count), _part(exponent, start, count))
        for start in range(0, total, count)
    ]
    while len(parts) > 1:
        parts = [_joined(*parts[i : i + 2]) for i in range(0, len(parts), 2)]
    return parts[0]


def _scaled_register(x: Lanes, exponent: Lanes) -> Lanes:
    b, bits = x.builder, x.format.bits
    mask, rounding = ir.IntType(REGISTER_BITS // bits), ir.IntType(32)
    name = f"llvm.x86.avx512.mask.scalef.p{'s' if bits == 32 else 'd'}.512"
    function = b.module.globals.get(name)
    if function is None:
        type_ = ir.FunctionType(x.type, [x.type, x.type, x.type, mask, rounding])
        function = ir.Function(b.module, type_, name)
    operands = [x.value, exponent.value, ir.Constant(x.type, ir.Undefined), mask(-1)]
    return Lanes(b, b.call(function, [*operands, rounding(CURRENT_ROUNDING)]))


def _part(x: Lanes, start: int, count: int) -> Lanes:
    if lanes_of(x.type) == count:
        return x
    return _shuffled(x, x, range(start, start + count))


def _joined(low: Lanes, high: Lanes) -> Lanes:
    return _shuffled(low, high, range(2 * lanes_of(low.type)))


def _shuffled(left: Lanes, right: Lanes, order: range) -> Lanes:
    lane = ir.IntType(32)
    mask = ir.Constant(ir.VectorType(lane, len(order)), [lane(i) for i in order])
    return Lanes(left.builder, left.builder.shuffle_vector(left.value, right.value, mask))
