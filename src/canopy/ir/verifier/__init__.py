"""The rules that a valid kernel keeps: `verify` raises VerifyError at the first one broken.

Checked for every op: its operands are defined before it and in scope, its regions end as they must,
its result types are those it infers, and the rule of its kind holds. One rule per op.
"""

from __future__ import annotations

from collections.abc import Sequence

from canopy.errors import VerifyError
from canopy.ir.core import Kernel, Op, Region, Value
from canopy.ir.types import SCALARS, PointerType, TileType, Type, element_type
from canopy.ir.verifier import contraction, control, elementwise, memory, shape, waiting
from canopy.ir.verifier.table import RULES, require, rule, type_list

__all__ = ["MAX_RANK", "MAX_TILE_SIZE", "RULES", "rule", "verify"]

_FAMILIES = (contraction, control, elementwise, memory, shape, waiting)  # imported for their rules

MAX_TILE_SIZE = 1 << 31  # lanes: beyond it 32-bit lane numbers overflow
MAX_RANK = 32


def verify(kernel: Kernel) -> None:
    """Raises VerifyError, with the user's place, if ``kernel`` breaks a rule of the IR."""
    _Checker().kernel(kernel)


class _Checker:
    """Walks a kernel with the set of values that are in scope."""

    def __init__(self) -> None:
        self._in_scope: set[Value] = set()
        self._defined: set[Value] = set()

    def kernel(self, kernel: Kernel) -> None:
        values = [parameter.value for parameter in kernel.parameters]
        for parameter in kernel.parameters:
            if isinstance(parameter.value.type, TileType):
                raise VerifyError(
                    f"parameter {parameter.name} of {kernel.name} is a tile",
                    location=kernel.location,
                    hint="pass a scalar or a pointer",
                )
        if kernel.body.args:
            raise VerifyError(
                f"the body of {kernel.name} has region arguments", location=kernel.location
            )
        self._define(values, f"kernel {kernel.name}", kernel)
        self._ops(kernel.body)
        for op in kernel.body.ops:
            require(op, not op.is_terminator, "ends a region, but a kernel body has no end op")

    def _ops(self, region: Region) -> None:
        for position, op in enumerate(region.ops):
            self._operands(op)
            for inner in op.regions:
                self._region(op, inner)
            checker = RULES.get(type(op))
            if checker is None:
                raise VerifyError(f"{op.mnemonic()} has no verifier rule", location=op.location)
            checker(op)
            self._results(op)
            last = position == len(region.ops) - 1
            require(op, last or not op.is_terminator, "ends a region, but ops come after it")

    def _operands(self, op: Op) -> None:
        for operand in op.operands:
            if operand in self._in_scope:
                continue
            where = "used outside of the region that makes it"
            if operand not in self._defined:
                where = "used before it is made"
            require(op, False, f"has the operand {operand!r}, which is {where}")

    def _region(self, op: Op, region: Region) -> None:
        outer = set(self._in_scope)
        self._define(region.args, op.mnemonic(), op)
        self._ops(region)
        self._in_scope = outer

    def _results(self, op: Op) -> None:
        inferred = op.result_types()
        made = tuple(value.type for value in op.results)
        require(
            op,
            made == inferred,
            f"has results of type {type_list(made)}, not {type_list(inferred)}",
        )
        for value in op.results:
            require(op, value.op is op, f"has the result {value!r}, which another op makes")
        self._define(op.results, op.mnemonic(), op)

    def _define(self, values: Sequence[Value], owner: str, at: Op | Kernel) -> None:
        for value in values:
            fact = _type_fault(value.type)
            if value in self._defined:
                fact = f"makes {value!r} a second time"
            if fact:
                raise VerifyError(f"{owner} {fact}", location=at.location)
            self._defined.add(value)
            self._in_scope.add(value)


def _type_fault(type_: Type) -> str:
    element = element_type(type_)
    if not isinstance(element, PointerType) and SCALARS.get(element.name) != element:
        return f"has the unknown element type {element}"
    if not isinstance(type_, TileType):
        return ""
    if not 1 <= len(type_.shape) <= MAX_RANK:
        return f"has a tile of rank {len(type_.shape)}; tiles have rank 1 to {MAX_RANK}"
    if any(extent < 1 for extent in type_.shape):
        return f"has the tile {type_}; extents are at least 1"
    if type_.size > MAX_TILE_SIZE:
        return f"has the tile {type_} of {type_.size} lanes; at most {MAX_TILE_SIZE} fit"
    return ""
