"""How the elements of two tiles are multiplied and summed: the arithmetic of a matrix product.

A *group* is what one lane multiplies in one instruction: one number, or two bf16, two i16 or four
i8 along K, which dot instructions sum into 32 bits. Operands are packed in groups.

    inputs          with                     multiplied as       summed as
    f32, f64        any                      itself              itself, by fma
    f16, f8, bf16   any                      f32                 f32, by fma
    bf16            avx512bf16, NEON bf16    pairs of bf16       f32
    i8              avx512vnni, NEON dot     quads of i8         i32
    i8, u8          avx2                     pairs of i16        i32
    integers        any                      i32                 i32

The dot instructions for bf16 take denormal inputs as zero, flush denormal sums to zero, and round
each of the two additions; products are exact. ``fma`` rounds one addition per element of K.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import llvmlite.ir as ll

from canopy.ir.types import BF16, F32, F64, I8, I16, I32, U8, ScalarType, is_float
from canopy.targets.cpu import conversions
from canopy.targets.cpu.features import Machine
from canopy.targets.cpu.llvm import I32 as WORD
from canopy.targets.cpu.llvm import Builder, LLValue, call_intrinsic, constant, vector

__all__ = ["Multiplication", "choose_multiplication"]


class BFloatType(ll.Type):  # type: ignore[misc]
    """LLVM's bfloat, which llvmlite does not have; only dot instructions take it."""

    def __str__(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BFloatType)

    def __hash__(self) -> int:
        return hash(BFloatType)


@dataclass(frozen=True, slots=True)
class Multiplication:
    """What operands are packed as, how many elements make a group, and what sums are."""

    element: ScalarType
    total: ScalarType
    group: int = 1
    instruction: str = ""  # LLVM's dot intrinsic, up to the vector's length

    @property
    def group_bytes(self) -> int:
        return self.element.bytes * self.group

    @property
    def group_type(self) -> Any:
        """The LLVM type of a group: a number, or a word that holds several."""
        return conversions.llvm_type(self.element) if self.group == 1 else WORD

    @property
    def is_biased(self) -> bool:
        """Whether the left operand is taken as unsigned bytes, and is packed with 128 added."""
        return self.instruction.endswith("vpdpbusd")

    def add_product(self, b: Builder, left: LLValue, right: LLValue, total: LLValue) -> LLValue:
        """total + left * right, lane by lane, for vectors of groups."""
        if self.group > 1:
            return self._dot(b, left, right, total)
        if is_float(self.element):
            return call_intrinsic(b, "llvm.fma", total.type, [left, right, total], [total.type])
        return b.add(b.mul(left, right), total)

    def bias(self, lanes: int) -> LLValue:
        """What was added to the left operand, as a vector of groups."""
        return constant(vector(WORD, lanes), -0x7F7F7F80)  # 0x80 in each byte

    def _dot(self, b: Builder, left: LLValue, right: LLValue, total: LLValue) -> LLValue:
        lanes = total.type.count
        type_ = vector(self._lane_type(), lanes * self.group)
        left, right = b.bitcast(left, type_), b.bitcast(right, type_)
        if self.instruction == "llvm.x86.avx2.pmadd.wd":
            return b.add(self._call(b, self.instruction, total.type, [left, right]), total)
        if self.instruction.startswith("llvm.aarch64"):
            name = f"{self.instruction}.v4{'f32' if is_float(self.total) else 'i32'}"
            name += ".v8bf16" if is_float(self.total) else ".v16i8"
        else:
            name = f"{self.instruction}.{lanes * 32}"
        return self._call(b, name, total.type, [total, left, right])

    def _lane_type(self) -> Any:
        if self.element == BF16:
            return BFloatType()
        return ll.IntType(self.element.bits)

    def _call(self, b: Builder, name: str, result: Any, arguments: list[LLValue]) -> LLValue:
        known = b.module.globals.get(name)
        type_ = ll.FunctionType(result, [a.type for a in arguments])
        return b.call(known or ll.Function(b.module, type_, name), arguments)


def choose_multiplication(
    inputs: tuple[ScalarType, ScalarType], total: ScalarType, depth: int, lanes: int, m: Machine
) -> Multiplication:
    """For the elements of both tiles and of the sum; ``lanes``: the sums that a vector holds."""
    native = _dot_instruction(inputs, total, m)
    if native is not None and _fits(native, depth, lanes, m):
        return native
    if is_float(total):
        wide = F64 if total == F64 else F32
        return Multiplication(wide, wide)
    return Multiplication(total, total)


def _dot_instruction(
    inputs: tuple[ScalarType, ScalarType], total: ScalarType, m: Machine
) -> Multiplication | None:
    if inputs == (BF16, BF16) and total != F64:
        if m.has("avx512bf16") and m.vector_bytes == 64:
            return Multiplication(BF16, F32, 2, "llvm.x86.avx512bf16.dpbf16ps")
        if m.is_arm and m.has("bf16"):
            return Multiplication(BF16, F32, 2, "llvm.aarch64.neon.bfdot")
        return None
    if total != I32 or not all(i in (I8, U8) for i in inputs):
        return None
    if inputs == (I8, I8) and m.has("avx512vnni") and m.vector_bytes == 64:
        return Multiplication(I8, I32, 4, "llvm.x86.avx512.vpdpbusd")
    if inputs == (I8, I8) and m.is_arm and m.has("dotprod"):
        return Multiplication(I8, I32, 4, "llvm.aarch64.neon.sdot")
    if m.has("avx512vnni") and m.vector_bytes == 64:
        return Multiplication(I16, I32, 2, "llvm.x86.avx512.vpdpwssd")
    if m.triple.startswith("x86_64") and m.vector_bytes >= 32:
        return Multiplication(I16, I32, 2, "llvm.x86.avx2.pmadd.wd")
    return None


def _fits(native: Multiplication, depth: int, lanes: int, m: Machine) -> bool:
    """Whether the tile divides into whole groups and into vectors that the instruction takes."""
    if depth % native.group:
        return False
    if native.instruction == "llvm.x86.avx2.pmadd.wd":
        return lanes == 8
    return lanes * 4 in ((16, 32, 64) if m.vector_bytes == 64 else (16,))
