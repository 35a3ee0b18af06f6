"""Folds constants and drops ops that do nothing.

    %1 = constant value=0 : i32
    %2 = add %x, %1 : i32
    %3 = splat %2, shape=(8) : tile<8xi32>          ->   %0 = splat %x, shape=(8) : tile<8xi32>
    %4 = reshape %3, shape=(8) : tile<8xi32>

Each rule gets an op whose operands are simplified already, and returns a value, an op to take its
place, or None. Floats keep every operation that could round or change the sign of a zero.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from canopy.ir.contraction import Reduce
from canopy.ir.control import If, Yield
from canopy.ir.core import Kernel, Op, Value
from canopy.ir.elementwise import (
    Add,
    And,
    Binary,
    Bitcast,
    Cast,
    Compare,
    Constant,
    Div,
    Max,
    Min,
    Mul,
    MulHigh,
    Or,
    Rem,
    Select,
    ShiftLeft,
    ShiftRight,
    Sub,
    Xor,
)
from canopy.ir.interpreter import RULES as MEANING
from canopy.ir.interpreter.machine import Machine
from canopy.ir.interpreter.memory import Memory
from canopy.ir.interpreter.numeric import Array, from_python
from canopy.ir.memory import AtomicCas, AtomicRmw, Load, Offset, Store
from canopy.ir.shape import Broadcast, ExpandDims, Flip, Reshape, Splat, Transpose, Unsplat
from canopy.ir.types import element_type, is_bool, is_float, is_integer, is_pointer
from canopy.passes.rewriter import Rewriter

__all__ = ["simplify"]

Replacement = Value | Op | None
RuleT = TypeVar("RuleT", bound=Callable[[Any], Replacement])
_RULES: dict[type[Op], Callable[[Any], Replacement]] = {}


def simplify(kernel: Kernel) -> Kernel:
    """``kernel`` with constants folded and ops that do nothing left out."""
    return _Simplifier().kernel(kernel)


def _rewrites(*kinds: type[Op]) -> Callable[[RuleT], RuleT]:
    def register(function: RuleT) -> RuleT:
        for kind in kinds:
            if kind in _RULES:
                raise TypeError(f"{kind.__name__} has a rule already")
            _RULES[kind] = function
        return function

    return register


class _Simplifier(Rewriter):
    def op(self, op: Op) -> Sequence[Value]:
        if isinstance(op, If):
            chosen = self._chosen_branch(op)
            if chosen is not None:
                return chosen
        current = self.translated(op)
        while True:
            found = _replacement(current)
            if isinstance(found, Value):
                return (found,)
            if found is None:
                return self.emit(current).results
            current = found

    def _chosen_branch(self, op: If) -> Sequence[Value] | None:
        """The ops of the branch that a constant condition takes, in place of the if."""
        condition = _constant(self.values[op.condition])
        if condition is None:
            return None
        region = op.then_region if condition.value else op.else_region
        for inner in region.ops:
            if isinstance(inner, Yield):
                return tuple(self.values[value] for value in inner.values)
            self.values.update(zip(inner.results, self.op(inner), strict=True))
        return ()


def _replacement(op: Op) -> Replacement:
    folded = _folded(op)
    if folded is not None:
        return folded
    rule = _RULES.get(type(op))
    return rule(op) if rule else None


def _constant(value: Value) -> Constant | None:
    return value.op if isinstance(value.op, Constant) else None


def _is(value: Value, number: int) -> bool:
    """Is it an integer constant, in all lanes, equal to ``number`` in its type?"""
    known = _constant(value)
    if known is None or is_float(value.type):
        return False
    return bool(from_python(known.value, value.type) == from_python(number, value.type))


def _number(op: Op, value: int, like: Value) -> Constant:
    return Constant(value=value, type=like.type, location=op.location)


# Constants

_FOLDABLE = (
    *(Add, Sub, Mul, MulHigh, Div, Rem, And, Or, Xor, ShiftLeft, ShiftRight, Min, Max),
    *(Compare, Select, Cast, Bitcast),
)
_UNIFORM_SHAPE = (Splat, Broadcast, Reshape, ExpandDims, Transpose, Flip)


def _folded(op: Op) -> Constant | None:
    """The constant that an op on integer constants gives: its meaning is the interpreter's. A tile
    constant is the same in every lane, so one lane tells all."""
    known = [_constant(operand) for operand in op.operands]
    if not known or None in known:
        return None
    constants = [constant for constant in known if constant is not None]
    if isinstance(op, _UNIFORM_SHAPE):
        return _like(op, constants[0].value)
    if not isinstance(op, _FOLDABLE) or any(
        is_float(c.type) or is_pointer(c.type) for c in constants
    ):
        return None
    if is_float(op.result.type) or is_pointer(op.result.type):
        return None
    if isinstance(op, Div | Rem) and _is(op.rhs, 0):
        return None
    values: dict[Value, Array] = {c.result: from_python(c.value, c.type) for c in constants}
    machine = Machine(Memory((), check=False), (0, 0, 0), (1, 1, 1), values, {}, {})
    with np.errstate(all="ignore"):
        lane = np.asarray(MEANING[type(op)](machine, op))
    return _like(op, lane.item())


def _like(op: Op, value: float | bool) -> Constant:
    return Constant(value=value, type=op.result.type, location=op.location)


# Elementwise


@_rewrites(Add, Or)
def _no_change_by_zero_on_either_side(op: Binary) -> Replacement:
    if _is(op.rhs, 0):
        return op.lhs
    return op.rhs if _is(op.lhs, 0) else None


@_rewrites(Xor)
def _exchange(op: Xor) -> Replacement:
    """x ^ (x reduced by xor over an axis of extent 2) is x with that axis flipped: how Triton
    writes the exchanges of `tl.sort`, `tl.topk` and `tl.flip`."""
    for lanes, spread in ((op.lhs, op.rhs), (op.rhs, op.lhs)):
        folded = _folded_by_xor(lanes, spread)
        if folded is not None:
            return Flip(source=lanes, axis=folded.axis, location=op.location)
    return _no_change_by_zero_on_either_side(op)


def _folded_by_xor(lanes: Value, spread: Value) -> Reduce | None:
    """The reduction of ``lanes`` that ``spread`` repeats along the axis which it folded."""
    expanded = spread.op.source if isinstance(spread.op, Broadcast) else spread
    origin = expanded.op
    if not isinstance(origin, ExpandDims | Splat) or not isinstance(origin.source.op, Reduce):
        return None
    reduce = origin.source.op
    if isinstance(origin, ExpandDims) and origin.axis != reduce.axis:
        return None
    if reduce.sources != (lanes,) or lanes.shape[reduce.axis] != 2 or spread.shape != lanes.shape:
        return None
    step = reduce.combine.ops[0]
    is_xor = isinstance(step, Xor) and set(step.operands) == set(reduce.combine.args)
    return reduce if is_xor and len(reduce.combine.ops) == 2 else None


@_rewrites(Sub, ShiftLeft, ShiftRight)
def _no_change_by_zero(op: Binary) -> Replacement:
    return op.lhs if _is(op.rhs, 0) else None


@_rewrites(Mul)
def _multiply(op: Mul) -> Replacement:
    for one, other in ((op.rhs, op.lhs), (op.lhs, op.rhs)):
        if _is(one, 1):
            return other
        if _is(one, 0):
            return _number(op, 0, op.lhs)
    return None


@_rewrites(Div)
def _divide(op: Div) -> Replacement:
    return op.lhs if _is(op.rhs, 1) else None


@_rewrites(And)
def _and(op: And) -> Replacement:
    for one, other in ((op.rhs, op.lhs), (op.lhs, op.rhs)):
        all_ones = (1 << element_type(one.type).bits) - 1
        if _is(one, all_ones):
            return other
        if _is(one, 0):
            return _number(op, 0, op.lhs)
    return None


@_rewrites(Select)
def _select(op: Select) -> Replacement:
    if op.if_true is op.if_false:
        return op.if_true
    condition = _constant(op.condition)
    if condition is None:
        return None
    return op.if_true if condition.value else op.if_false


@_rewrites(Cast)
def _cast(op: Cast) -> Replacement:
    return op.source if element_type(op.source.type) == op.type else None


@_rewrites(Bitcast)
def _bitcast(op: Bitcast) -> Replacement:
    if element_type(op.source.type) == op.type:
        return op.source
    if isinstance(op.source.op, Bitcast):
        return Bitcast(source=op.source.op.source, type=op.type, location=op.location)
    flip = op.source.op
    if isinstance(flip, Flip) and isinstance(flip.source.op, Bitcast):
        bits = flip.source.op.source
        if element_type(bits.type) == op.type:  # flipped as bits
            return Flip(source=bits, axis=flip.axis, location=op.location)
    return None


# Shape


@_rewrites(Broadcast)
def _broadcast(op: Broadcast) -> Replacement:
    return op.source if op.source.shape == op.shape else _resplat(op)


@_rewrites(Reshape)
def _reshape(op: Reshape) -> Replacement:
    if op.source.shape == op.shape:
        return op.source
    if isinstance(op.source.op, Reshape):
        return Reshape(source=op.source.op.source, shape=op.shape, location=op.location)
    return _resplat(op)


@_rewrites(Transpose)
def _transpose(op: Transpose) -> Replacement:
    if op.order == tuple(range(len(op.order))):
        return op.source
    if isinstance(op.source.op, Transpose):
        order = tuple(op.source.op.order[axis] for axis in op.order)
        return Transpose(source=op.source.op.source, order=order, location=op.location)
    return _resplat(op)


@_rewrites(ExpandDims, Flip)
def _resplat(op: Broadcast | Reshape | Transpose | ExpandDims | Flip) -> Replacement:
    """A splat under another shape is a splat."""
    if not isinstance(op.source.op, Splat):
        return None
    return Splat(source=op.source.op.source, shape=op.result.shape, location=op.location)


@_rewrites(Unsplat)
def _unsplat(op: Unsplat) -> Replacement:
    return op.source.op.source if isinstance(op.source.op, Splat) else None


# Memory


@_rewrites(Offset)
def _offset(op: Offset) -> Replacement:
    if _is(op.index, 0):
        return op.pointer
    narrow = _before_widening(op.index)
    if narrow is op.index:
        return None
    return Offset(pointer=op.pointer, index=narrow, scale=op.scale, location=op.location)


def _before_widening(index: Value) -> Value:
    """The integer that an index of 64 bits is the extension of: an offset extends it alike."""
    current = index
    while element_type(current.type).bits == 64 and is_integer(current.type):
        match current.op:
            case Bitcast(source=source) if is_integer(source.type):
                current = source
            case Cast(source=source) if is_integer(source.type) and not is_bool(source.type):
                current = source
            case _:
                return index
    return current if is_integer(current.type) else index


@_rewrites(Load, Store, AtomicRmw, AtomicCas)
def _mask_that_always_holds(op: Load | Store | AtomicRmw | AtomicCas) -> Replacement:
    mask = _constant(op.mask) if op.mask is not None else None
    if mask is None or not mask.value:
        return None
    results = tuple(Value(value.type, value.name) for value in op.results)
    if isinstance(op, Load):
        return dataclasses.replace(op, mask=None, other=None, results=results)
    return dataclasses.replace(op, mask=None, results=results)
