"""The table of the verifier's rules, and the checks that several of them make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from canopy.errors import VerifyError
from canopy.ir.control import Yield
from canopy.ir.core import Op, Region, Value
from canopy.ir.types import Type, element_type, is_bool, is_integer

__all__ = [
    "RULES",
    "a_tile",
    "an_axis",
    "fitting_mask",
    "is_integer_or_bool",
    "of_kind",
    "one_element",
    "one_type",
    "region_arguments",
    "region_yields",
    "require",
    "rule",
    "same_shape",
    "type_list",
]

RULES: dict[type[Op], Callable[[Any], None]] = {}
RuleT = TypeVar("RuleT", bound=Callable[[Any], None])


def rule(*kinds: type[Op]) -> Callable[[RuleT], RuleT]:
    """Registers the function as the rule of the given ops; an op has one rule."""

    def register(function: RuleT) -> RuleT:
        for kind in kinds:
            if kind in RULES:
                raise TypeError(f"{kind.__name__} has a verifier rule already")
            RULES[kind] = function
        return function

    return register


def require(op: Op, holds: bool, fact: str, hint: str = "") -> None:
    if not holds:
        raise VerifyError(f"{op.mnemonic()} {fact}", location=op.location, hint=hint)


def type_list(types: Sequence[Type]) -> str:
    return ", ".join(map(str, types)) or "none"


def one_type(op: Op, *values: Value) -> None:
    types = [value.type for value in values]
    require(op, len(set(types)) == 1, f"needs operands of one type, got {type_list(types)}")


def one_element(op: Op, lhs: Value, rhs: Value) -> None:
    same = element_type(lhs.type) == element_type(rhs.type)
    require(op, same, f"needs one element type, got {lhs.type} and {rhs.type}")


def same_shape(op: Op, *values: Value) -> None:
    shapes = [value.shape for value in values]
    require(
        op,
        len(set(shapes)) == 1,
        f"needs operands of one shape, got {type_list([value.type for value in values])}",
        "broadcast or splat the smaller one first",
    )


def of_kind(op: Op, value: Value, test: Callable[[Type], bool], name: str) -> None:
    require(op, test(value.type), f"needs {name}, got {value.type}")


def a_tile(op: Op, value: Value) -> None:
    require(op, value.is_tile, f"needs a tile, got {value.type}")


def an_axis(op: Op, axis: int, rank: int) -> None:
    require(op, 0 <= axis < rank, f"has axis {axis}, but there are {rank} axes")


def fitting_mask(op: Op, mask: Value | None, like: Value) -> None:
    if mask is None:
        return
    require(op, is_bool(mask.type), f"has a mask of type {mask.type}; masks are bool")
    require(
        op,
        mask.shape == like.shape,
        f"has a mask of type {mask.type} for lanes of type {like.type}",
        "the mask has the shape of the pointer",
    )


def region_arguments(op: Op, name: str, region: Region, types: Sequence[Type]) -> None:
    have = tuple(arg.type for arg in region.args)
    fact = f"has a {name} region with arguments {type_list(have)}, not {type_list(types)}"
    require(op, have == tuple(types), fact)


def region_yields(op: Op, name: str, region: Region, types: Sequence[Type]) -> None:
    last = region.ops[-1] if region.ops else None
    require(op, isinstance(last, Yield), f"has a {name} region that does not end in a yield")
    assert isinstance(last, Yield)
    have = tuple(value.type for value in last.values)
    fact = f"has a {name} region that yields {type_list(have)}, not {type_list(types)}"
    require(op, have == tuple(types), fact)


def is_integer_or_bool(type_: Type) -> bool:
    return is_integer(type_) or is_bool(type_)
