"""Scalars of NPU programs: registers of the scalar unit, and integer polynomials of them.

Addresses and bounds are polynomials, so that two of them can be compared and printed as they are:
``x + row * stride * 4`` is ``Poly`` of the registers x, row and stride.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from canopy.ir.types import I64, ElementType

__all__ = ["ZERO", "Number", "Poly", "Register", "Scalar", "constant", "poly_of"]


@dataclass(frozen=True, slots=True)
class Register:
    """A scalar register; ``name`` is what the user called the value, where that is known."""

    index: int
    type: ElementType = I64
    name: str = ""

    def __str__(self) -> str:
        return f"{self.name}_{self.index}" if self.name else f"s{self.index}"


@dataclass(frozen=True, slots=True)
class Number:
    """A constant of an element type."""

    value: int | float | bool
    type: ElementType

    def __str__(self) -> str:
        return str(self.value)


Monomial: TypeAlias = tuple[Register, ...]


@dataclass(frozen=True, slots=True)
class Poly:
    """A sum of products of registers with integer coefficients; () is the constant term."""

    terms: tuple[tuple[Monomial, int], ...] = ()

    def __add__(self, other: Poly) -> Poly:
        if not self.terms or not other.terms:
            return self if self.terms else other
        merged = dict(self.terms)
        for monomial, factor in other.terms:
            merged[monomial] = merged.get(monomial, 0) + factor
        return _normal(merged)

    def __mul__(self, other: Poly) -> Poly:
        merged: dict[Monomial, int] = {}
        for left, a in self.terms:
            for right, b in other.terms:
                monomial = tuple(sorted((*left, *right), key=lambda r: r.index))
                merged[monomial] = merged.get(monomial, 0) + a * b
        return _normal(merged)

    def __sub__(self, other: Poly) -> Poly:
        return self + other.scaled(-1)

    def scaled(self, factor: int) -> Poly:
        return _normal({monomial: f * factor for monomial, f in self.terms})

    @property
    def number(self) -> int | None:
        """The value of a polynomial without registers."""
        if not self.terms:
            return 0
        return self.terms[0][1] if len(self.terms) == 1 and not self.terms[0][0] else None

    def value(self, registers: Sequence[Any]) -> int:
        """The value for these contents of the registers."""
        total = 0
        for monomial, factor in self.terms:
            for register in monomial:
                factor *= int(registers[register.index])
            total += factor
        return total

    def __str__(self) -> str:
        parts = []
        for monomial, factor in self.terms:
            names = [str(register) for register in monomial]
            if factor != 1 or not names:
                names.append(str(factor))
            parts.append(" * ".join(names))
        return " + ".join(parts) or "0"


ZERO = Poly()
Scalar: TypeAlias = Number | Register


def _normal(terms: Mapping[Monomial, int]) -> Poly:
    kept = [(monomial, factor) for monomial, factor in terms.items() if factor]
    return Poly(tuple(sorted(kept, key=lambda term: (-len(term[0]), [r.index for r in term[0]]))))


def constant(value: int) -> Poly:
    return Poly((((), value),)) if value else Poly()


def poly_of(scalar: Scalar) -> Poly:
    """An integer scalar as a polynomial."""
    if isinstance(scalar, Number):
        return constant(int(scalar.value))
    return Poly((((scalar,), 1),))
