"""How a strip of lanes is known: uniform, an arithmetic progression, a prefix mask, a vector.

Where an index of 32 bits is extended to 64, a guard checks that it does not wrap *inside one
strip*; in addresses a signed one is taken not to. Narrower integers are computed lane by lane.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import llvmlite.ir as ll

from canopy.targets.cpu.llvm import (
    I8,
    I16,
    I64,
    Builder,
    LLValue,
    call_intrinsic,
    constant,
    iota,
    splat,
    vector,
)

__all__ = [
    "Affine",
    "Form",
    "Index",
    "Lanes",
    "Pattern",
    "Prefix",
    "Uniform",
    "prefix_mask",
    "progression",
    "spaced",
]


@dataclass(frozen=True, slots=True, eq=False)
class Uniform:
    """One scalar for all lanes."""

    value: LLValue


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """Lane i holds base + i * step; integers, and pointers (as i64) with the step in bytes."""

    base: LLValue
    step: int


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """Lane i holds base + offsets[i], which is no progression; integers only."""

    base: LLValue
    offsets: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Prefix:
    """A mask: true in the lanes below count (i64, any value)."""

    count: LLValue


@dataclass(frozen=True, slots=True, eq=False)
class Lanes:
    """A vector, nothing known."""

    value: LLValue


Form: TypeAlias = Uniform | Affine | Pattern | Prefix | Lanes


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """Where along one axis a strip stands, as i64, and the loop level that this depends on."""

    form: Form
    level: int


def progression(builder: Builder, base: LLValue, step: int, lanes: int) -> LLValue:
    """The vector base, base + step, ..."""
    return builder.add(splat(builder, base, lanes), iota(base.type, lanes, step))


def spaced(builder: Builder, base: LLValue, offsets: tuple[int, ...]) -> LLValue:
    """The vector base + offsets[0], base + offsets[1], ..."""
    type_ = vector(base.type, len(offsets))
    if isinstance(base, ll.Constant):
        return ll.Constant(type_, [ll.Constant(base.type, base.constant + o) for o in offsets])
    distances = ll.Constant(type_, [ll.Constant(base.type, o) for o in offsets])
    return builder.add(splat(builder, base, len(offsets)), distances)


def prefix_mask(builder: Builder, count: LLValue, lanes: int) -> LLValue:
    """The i1 vector of the lanes below ``count``, through compares of bytes where they suffice."""
    zero, full = constant(I64, 0), constant(I64, lanes)
    limited = _call(builder, "smin", _call(builder, "smax", count, zero), full)
    narrow = I8 if lanes < 256 else I16
    limit = splat(builder, builder.trunc(limited, narrow), lanes)
    return builder.icmp_unsigned("<", iota(narrow, lanes), limit)


def _call(builder: Builder, name: str, left: LLValue, right: LLValue) -> Any:
    return call_intrinsic(builder, f"llvm.{name}", I64, [left, right], [I64])


def all_true(lanes: int) -> LLValue:
    """The mask with every lane set."""
    return constant(vector(ll.IntType(1), lanes), 1)
