"""The rules that a valid kernel keeps: `verify` raises VerifyError at the first one broken.

Checked for every op: its operands are defined before it and in scope, its regions end as they must,
its result types are those it infers, and the rule of its kind holds. One rule per op.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from canopy.errors import VerifyError
from canopy.ir.contraction import AnyLane, Dot, Reduce, Scan
from canopy.ir.control import (
    Assert,
    Condition,
    For,
    If,
    NumPrograms,
    Print,
    ProgramId,
    While,
    Yield,
)
from canopy.ir.core import Kernel, Op, Region, Value
from canopy.ir.elementwise import (
    Add,
    And,
    Binary,
    Bitcast,
    Cast,
    Clamp,
    Compare,
    Constant,
    Div,
    Fma,
    MathCall,
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
from canopy.ir.math import FUNCTIONS, INTEGER_FUNCTIONS, PREDICATES
from canopy.ir.memory import AtomicCas, AtomicRmw, Barrier, Load, Offset, Scratch, Store
from canopy.ir.shape import (
    Broadcast,
    Concat,
    ExpandDims,
    Gather,
    Histogram,
    Join,
    Range,
    Reshape,
    Splat,
    Split,
    Transpose,
    Unsplat,
)
from canopy.ir.types import (
    BOOL,
    SCALARS,
    PointerType,
    ScalarType,
    TileType,
    Type,
    element_type,
    is_bool,
    is_float,
    is_integer,
    is_pointer,
    with_element,
)

__all__ = ["MAX_RANK", "MAX_TILE_SIZE", "RULES", "verify"]

MAX_TILE_SIZE = 1 << 31  # lanes: beyond it 32-bit lane numbers overflow
MAX_RANK = 32

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
            _require(op, not op.is_terminator, "ends a region, but a kernel body has no end op")

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
            _require(op, last or not op.is_terminator, "ends a region, but ops come after it")

    def _operands(self, op: Op) -> None:
        for operand in op.operands:
            if operand in self._in_scope:
                continue
            where = "used outside of the region that makes it"
            if operand not in self._defined:
                where = "used before it is made"
            _require(op, False, f"has the operand {operand!r}, which is {where}")

    def _region(self, op: Op, region: Region) -> None:
        outer = set(self._in_scope)
        self._define(region.args, op.mnemonic(), op)
        self._ops(region)
        self._in_scope = outer

    def _results(self, op: Op) -> None:
        inferred = op.result_types()
        made = tuple(value.type for value in op.results)
        _require(op, made == inferred, f"has results of type {_list(made)}, not {_list(inferred)}")
        for value in op.results:
            _require(op, value.op is op, f"has the result {value!r}, which another op makes")
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


def _require(op: Op, holds: bool, fact: str, hint: str = "") -> None:
    if not holds:
        raise VerifyError(f"{op.mnemonic()} {fact}", location=op.location, hint=hint)


def _list(types: Sequence[Type]) -> str:
    return ", ".join(map(str, types)) or "none"


def _one_type(op: Op, *values: Value) -> None:
    types = [value.type for value in values]
    _require(op, len(set(types)) == 1, f"needs operands of one type, got {_list(types)}")


def _one_element(op: Op, lhs: Value, rhs: Value) -> None:
    same = element_type(lhs.type) == element_type(rhs.type)
    _require(op, same, f"needs one element type, got {lhs.type} and {rhs.type}")


def _same_shape(op: Op, *values: Value) -> None:
    shapes = [value.shape for value in values]
    _require(
        op,
        len(set(shapes)) == 1,
        f"needs operands of one shape, got {_list([value.type for value in values])}",
        "broadcast or splat the smaller one first",
    )


def _kind(op: Op, value: Value, test: Callable[[Type], bool], name: str) -> None:
    _require(op, test(value.type), f"needs {name}, got {value.type}")


def _tile(op: Op, value: Value) -> None:
    _require(op, value.is_tile, f"needs a tile, got {value.type}")


def _axis(op: Op, axis: int, rank: int) -> None:
    _require(op, 0 <= axis < rank, f"has axis {axis}, but there are {rank} axes")


def _mask(op: Op, mask: Value | None, like: Value) -> None:
    if mask is None:
        return
    _require(op, is_bool(mask.type), f"has a mask of type {mask.type}; masks are bool")
    _require(
        op,
        mask.shape == like.shape,
        f"has a mask of type {mask.type} for lanes of type {like.type}",
        "the mask has the shape of the pointer",
    )


# Elementwise


@rule(Constant)
def _constant(op: Constant) -> None:
    element = element_type(op.type)
    value = op.value
    if is_float(element):
        return
    _require(op, not isinstance(value, float), f"has the value {value} for the type {op.type}")
    low = -(1 << (element.bits - 1)) if is_integer(element) else 0
    fits = low <= value < (1 << element.bits)
    _require(op, fits, f"has the value {value}, which {element} cannot hold")


@rule(Add, Sub, Mul, Div, Rem, Min, Max)
def _arithmetic(op: Binary) -> None:
    _one_type(op, op.lhs, op.rhs)
    _require(op, not is_pointer(op.lhs.type), f"needs numbers, got {op.lhs.type}")


@rule(MulHigh, ShiftLeft, ShiftRight)
def _integer_arithmetic(op: Binary) -> None:
    _one_type(op, op.lhs, op.rhs)
    _kind(op, op.lhs, is_integer, "integers")


@rule(And, Or, Xor)
def _bitwise(op: Binary) -> None:
    _one_type(op, op.lhs, op.rhs)
    _kind(op, op.lhs, _is_integer_or_bool, "integers or bools")


def _is_integer_or_bool(type_: Type) -> bool:
    return is_integer(type_) or is_bool(type_)


@rule(Compare)
def _compare(op: Compare) -> None:
    _one_type(op, op.lhs, op.rhs)


@rule(Select)
def _select(op: Select) -> None:
    _one_type(op, op.if_true, op.if_false)
    _kind(op, op.condition, is_bool, "a bool condition")
    if op.condition.is_tile:
        _same_shape(op, op.condition, op.if_true)


@rule(MathCall)
def _math_call(op: MathCall) -> None:
    name = op.function
    _require(op, name in FUNCTIONS, f"names the unknown function {name!r}")
    count = len(op.arguments)
    _require(op, count == FUNCTIONS[name], f"{name} takes {FUNCTIONS[name]} arguments, got {count}")
    _same_shape(op, *op.arguments)
    first = op.arguments[0]
    if is_integer(first.type):
        _require(op, name in INTEGER_FUNCTIONS, f"{name} takes floats, got {first.type}")
        integer = op.type is None or is_integer(op.type)
        _require(op, integer, f"{name} of integers gives integers, not {op.type}")
        return
    only_integers = name in INTEGER_FUNCTIONS and name not in ("abs", "neg")
    _require(op, is_float(first.type) and not only_integers, f"{name} cannot take {first.type}")
    if name in PREDICATES:
        answers = op.type is not None and _is_integer_or_bool(op.type)
        _require(op, answers, f"{name} needs an integer or bool result type")
        return
    same = op.type is None or op.type == element_type(first.type)
    _require(op, same, f"{name} of {first.type} cannot give {op.type}")
    if name == "ldexp" and is_integer(op.arguments[1].type):
        return
    _one_type(op, *op.arguments)


@rule(Fma)
def _fma(op: Fma) -> None:
    _one_type(op, op.a, op.b, op.c)
    _require(op, is_float(op.a.type) or is_integer(op.a.type), f"needs numbers, got {op.a.type}")


@rule(Clamp)
def _clamp(op: Clamp) -> None:
    _one_type(op, op.source, op.low, op.high)
    _kind(op, op.source, is_float, "floats")


@rule(Cast)
def _cast(op: Cast) -> None:
    numbers = not is_pointer(op.source.type)
    _require(op, numbers, "needs numbers, got a pointer", "bitcast a pointer to a 64-bit integer")


@rule(Bitcast)
def _bitcast(op: Bitcast) -> None:
    bits = element_type(op.source.type).bits
    same = bits == op.type.bits
    _require(op, same, f"of {op.source.type} ({bits} bits) cannot give {op.type}")


# Shape


@rule(Range)
def _range(op: Range) -> None:
    _require(op, op.start < op.end, f"{op.start}..{op.end} is empty")
    _require(op, is_integer(op.type), f"gives integers, not {op.type}")
    signed = 1 if op.type.kind == "int" else 0
    top = 1 << (op.type.bits - signed)
    _require(
        op, -top * signed <= op.start and op.end <= top, f"{op.start}..{op.end} leaves {op.type}"
    )


@rule(Splat)
def _splat(op: Splat) -> None:
    _require(op, not op.source.is_tile, f"needs a scalar, got {op.source.type}")


@rule(Unsplat)
def _unsplat(op: Unsplat) -> None:
    _tile(op, op.source)
    one = isinstance(op.source.type, TileType) and op.source.type.size == 1
    _require(op, one, f"needs a tile of one lane, got {op.source.type}")


@rule(Broadcast)
def _broadcast(op: Broadcast) -> None:
    _tile(op, op.source)
    source = op.source.shape
    fits = len(source) == len(op.shape) and all(
        have in (1, want) for have, want in zip(source, op.shape, strict=True)
    )
    _require(
        op,
        fits,
        f"cannot take {op.source.type} to the shape {op.shape}",
        "axes of extent 1 are repeated, all others stay; add axes with expand_dims",
    )


@rule(ExpandDims)
def _expand_dims(op: ExpandDims) -> None:
    _tile(op, op.source)
    _axis(op, op.axis, len(op.source.shape) + 1)


@rule(Reshape)
def _reshape(op: Reshape) -> None:
    _tile(op, op.source)
    size = TileType(op.shape, BOOL).size
    same = isinstance(op.source.type, TileType) and op.source.type.size == size
    _require(op, same, f"cannot take {op.source.type} to the shape {op.shape}: sizes differ")


@rule(Transpose)
def _transpose(op: Transpose) -> None:
    _tile(op, op.source)
    axes = list(range(len(op.source.shape)))
    _require(op, sorted(op.order) == axes, f"has the order {op.order} for {op.source.type}")


@rule(Concat)
def _concat(op: Concat) -> None:
    _tile(op, op.lhs)
    _tile(op, op.rhs)
    _one_element(op, op.lhs, op.rhs)
    rank = len(op.lhs.shape) == len(op.rhs.shape)
    fits = rank and op.lhs.shape[1:] == op.rhs.shape[1:]
    _require(op, fits, f"needs equal axes but for the first, got {op.lhs.type} and {op.rhs.type}")


@rule(Join)
def _join(op: Join) -> None:
    _one_type(op, op.lhs, op.rhs)


@rule(Split)
def _split(op: Split) -> None:
    _tile(op, op.source)
    _require(op, op.source.shape[-1] == 2, f"needs a last axis of extent 2, got {op.source.type}")


@rule(Gather)
def _gather(op: Gather) -> None:
    _tile(op, op.source)
    _tile(op, op.indices)
    _kind(op, op.indices, is_integer, "integer indices")
    source, indices = op.source.shape, op.indices.shape
    _axis(op, op.axis, len(source))
    fits = len(source) == len(indices) and all(
        axis == op.axis or have == want
        for axis, (have, want) in enumerate(zip(source, indices, strict=True))
    )
    _require(op, fits, f"needs equal axes but for {op.axis}, got {source} and {indices}")


@rule(Histogram)
def _histogram(op: Histogram) -> None:
    _tile(op, op.source)
    _kind(op, op.source, is_integer, "integers")
    _mask(op, op.mask, op.source)
    _require(op, op.bins >= 1, f"has {op.bins} bins")


# Memory


@rule(Offset)
def _offset(op: Offset) -> None:
    _kind(op, op.pointer, is_pointer, "a pointer")
    _kind(op, op.index, is_integer, "an integer index")
    _same_shape(op, op.pointer, op.index)


@rule(Load)
def _load(op: Load) -> None:
    _kind(op, op.pointer, is_pointer, "a pointer")
    _mask(op, op.mask, op.pointer)
    if op.other is None:
        return
    _require(op, op.mask is not None, "has a value for masked lanes, but no mask")
    _value_behind(op, op.other, op.pointer, op.type)


@rule(Store)
def _store(op: Store) -> None:
    _kind(op, op.pointer, is_pointer, "a pointer")
    _mask(op, op.mask, op.pointer)
    _same_shape(op, op.pointer, op.value)


@rule(AtomicRmw)
def _atomic_rmw(op: AtomicRmw) -> None:
    _kind(op, op.pointer, is_pointer, "a pointer")
    _mask(op, op.mask, op.pointer)
    _same_shape(op, op.pointer, op.value)
    bitwise = op.kind in ("and", "or", "xor", "inc", "dec")
    allowed = _is_integer_or_bool(op.value.type) or not bitwise
    _require(op, allowed, f"{op.kind} needs integers, got {op.value.type}")
    pointers = op.kind == "exchange" or not is_pointer(op.value.type)
    _require(op, pointers, f"{op.kind} needs numbers, got {op.value.type}")


@rule(AtomicCas)
def _atomic_cas(op: AtomicCas) -> None:
    _kind(op, op.pointer, is_pointer, "a pointer")
    _mask(op, op.mask, op.pointer)
    _same_shape(op, op.pointer, op.value)
    _one_type(op, op.compare, op.value)


@rule(Scratch)
def _scratch(op: Scratch) -> None:
    _require(op, op.bytes >= 0, f"has {op.bytes} bytes")
    power = op.alignment > 0 and op.alignment & (op.alignment - 1) == 0
    _require(op, power, f"has the alignment {op.alignment}, which is not a power of two")


@rule(Barrier)
def _barrier(op: Barrier) -> None:
    """A barrier may stand anywhere."""


def _value_behind(op: Op, value: Value, pointer: Value, element: ScalarType | PointerType) -> None:
    wanted = with_element(pointer.type, element)
    _require(op, value.type == wanted, f"has a value of type {value.type}, not {wanted}")


# Contraction


@rule(Dot)
def _dot(op: Dot) -> None:
    lhs, rhs, acc = op.lhs.shape, op.rhs.shape, op.acc.shape
    ranks = len(lhs) == len(rhs) == len(acc) and len(lhs) in (2, 3)
    types = f"{op.lhs.type} @ {op.rhs.type} + {op.acc.type}"
    _require(op, ranks, f"needs tiles of 2 or 3 dimensions, got {types}")
    fits = lhs[-1] == rhs[-2] and acc[-2:] == (lhs[-2], rhs[-1])
    _require(op, fits and lhs[:-2] == rhs[:-2] == acc[:-2], f"has shapes that do not fit: {types}")
    values = (op.lhs, op.rhs, op.acc)
    floats = all(is_float(value.type) for value in values)
    integers = all(is_integer(value.type) for value in values)
    _require(op, floats or integers, f"needs floats or integers throughout, got {types}")


@rule(AnyLane)
def _any_lane(op: AnyLane) -> None:
    _tile(op, op.source)
    _kind(op, op.source, is_bool, "a bool tile")


@rule(Reduce, Scan)
def _combining(op: Reduce | Scan) -> None:
    _require(op, bool(op.sources), "needs a source")
    for source in op.sources:
        _tile(op, source)
    _same_shape(op, *op.sources)
    _axis(op, op.axis, len(op.sources[0].shape))
    elements = tuple(element_type(source.type) for source in op.sources)
    _arguments(op, "combine", op.combine, elements * 2)
    _yields(op, "combine", op.combine, elements)


# Control


def _arguments(op: Op, name: str, region: Region, types: Sequence[Type]) -> None:
    have = tuple(arg.type for arg in region.args)
    fact = f"has a {name} region with arguments {_list(have)}, not {_list(types)}"
    _require(op, have == tuple(types), fact)


def _yields(op: Op, name: str, region: Region, types: Sequence[Type]) -> None:
    last = region.ops[-1] if region.ops else None
    _require(op, isinstance(last, Yield), f"has a {name} region that does not end in a yield")
    assert isinstance(last, Yield)
    have = tuple(value.type for value in last.values)
    fact = f"has a {name} region that yields {_list(have)}, not {_list(types)}"
    _require(op, have == tuple(types), fact)


@rule(ProgramId, NumPrograms)
def _grid_axis(op: ProgramId | NumPrograms) -> None:
    _axis(op, op.axis, 3)


@rule(For)
def _for(op: For) -> None:
    _one_type(op, op.lower, op.upper, op.step)
    scalar = is_integer(op.lower.type) and not op.lower.is_tile
    _require(op, scalar, f"needs integer bounds, got {op.lower.type}")
    carried = tuple(value.type for value in op.initial)
    _arguments(op, "body", op.body, (op.lower.type, *carried))
    _yields(op, "body", op.body, carried)


@rule(While)
def _while(op: While) -> None:
    carried = tuple(value.type for value in op.initial)
    _arguments(op, "before", op.before, carried)
    last = op.before.ops[-1] if op.before.ops else None
    ended = isinstance(last, Condition)
    _require(op, ended, "has a before region that does not end in a condition")
    assert isinstance(last, Condition)
    _arguments(op, "body", op.body, tuple(value.type for value in last.values))
    _yields(op, "body", op.body, carried)


@rule(If)
def _if(op: If) -> None:
    _scalar_bool(op, op.condition)
    _arguments(op, "then", op.then_region, ())
    _arguments(op, "else", op.else_region, ())
    types = tuple(value.type for value in op.results)
    for name, region in (("then", op.then_region), ("else", op.else_region)):
        ends = bool(region.ops) and region.terminator.is_terminator
        if types or ends:  # a region that yields nothing may end without a yield
            _yields(op, name, region, types)


def _scalar_bool(op: Op, value: Value) -> None:
    scalar = is_bool(value.type) and not value.is_tile
    _require(op, scalar, f"needs one bool, got {value.type}", "use any_lane on a tile of bools")


@rule(Yield)
def _yield(op: Yield) -> None:
    """What a yield hands over is checked by the op around it."""


@rule(Condition)
def _condition(op: Condition) -> None:
    _scalar_bool(op, op.condition)


@rule(Assert)
def _assert(op: Assert) -> None:
    _kind(op, op.condition, is_bool, "a bool condition")
    _mask(op, op.mask, op.condition)


@rule(Print)
def _print(op: Print) -> None:
    """Anything can be printed."""
