"""What the op families share: the program that grows, and the values in scope.

A step adds a few ops and leaves what they give in the pool, where later steps find their operands.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from canopy import ir
from canopy.errors import Location
from canopy.ir import Builder, Kernel, Parameter, Region, Value
from canopy.ir.types import (
    BF16,
    BOOL,
    F8E4M3,
    F8E4M3B8,
    F8E5M2,
    F8E5M2B16,
    F16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    PTR,
    U8,
    U16,
    U32,
    U64,
    ElementType,
    ScalarType,
    TileType,
    Type,
    element_type,
    is_bool,
    is_float,
    is_integer,
    is_pointer,
    shape_of,
    with_element,
)

__all__ = [
    "ALL",
    "ATOMICS",
    "FLOATS",
    "FLOATS8",
    "GAP",
    "INTEGERS",
    "LOG",
    "MAX_SIZE",
    "SLICE",
    "STEPS",
    "WIDE_FLOATS",
    "Generator",
    "is_unsigned",
    "step",
]

SLICE = 256  # elements of each buffer that belong to one program, but for the GAP at its end
GAP = 16  # so far may an overlapping operand be shifted
ATOMICS = 64  # elements of each buffer for atomics that belong to one program
LOG = 2048  # elements of each log that belong to one program
MAX_SIZE = 512  # lanes of the largest tile
MAX_RANK = 5

INTEGERS = (I8, I16, I32, I64, U8, U16, U32, U64)
FLOATS8 = (F8E4M3, F8E5M2, F8E4M3B8, F8E5M2B16)
WIDE_FLOATS = (F16, BF16, F32, F64)
FLOATS = (*WIDE_FLOATS, *FLOATS8)
ALL = (*INTEGERS, *FLOATS, BOOL)

StepT = TypeVar("StepT", bound=Callable[..., None])
STEPS: list[tuple[Callable[..., None], int]] = []


def step(weight: int) -> Callable[[StepT], StepT]:
    """Registers a step, drawn with that weight."""

    def register(function: StepT) -> StepT:
        STEPS.append((function, weight))
        return function

    return register


class Generator:
    """Grows one kernel. ``pool``: the values in scope; ``palette``: the element types in use;
    ``without``: element types, and ops on floats, that the program must do without."""

    def __init__(
        self, rng: random.Random, size: int, without: frozenset[Any] = frozenset()
    ) -> None:
        self.rng = rng
        self._without = without
        self.builder = Builder(Region())
        self.pool: list[Value] = []
        self.depth = 0  # of control flow
        self.lanes = rng.choice([1, 2, 4, 8, 16, 16, 32, 32, 64, 64, 128, 128, 7, 12, 24, 100])
        self.palette = self._palette()
        self._size = size
        self._line = 0

    def _palette(self) -> list[ScalarType]:
        rng = self.rng
        floats = self.known(WIDE_FLOATS)
        chosen = {I32, rng.choice(floats), *rng.sample(INTEGERS, rng.randrange(3))}
        chosen |= {F32} if rng.random() < 0.6 else set()
        chosen |= {rng.choice(self.known(FLOATS8) or floats)} if rng.random() < 0.25 else set()
        chosen |= {BOOL} if rng.random() < 0.3 else set()
        return sorted(chosen, key=str)

    def kernel(self, name: str) -> Kernel:
        self.buffers: dict[str, Value] = {}
        self.elements: dict[str, ScalarType] = {}
        self.logged: Counter[str] = Counter()
        parameters = [self._buffer(f"{e}", e) for e in self.palette]
        twice = self.rng.choice([e for e in self.palette if not is_bool(e)])
        parameters.append(self._buffer(f"{twice}_again", twice))
        for prefix, choices in (("near_", (F16, F32, F32, F64)), ("atomic_", self._atomic_types())):
            element = self.rng.choice(self.known(choices))
            parameters.append(self._buffer(f"{prefix}{element}", element))
        parameters.append(self._buffer("counters_i32", I32))
        parameters += [self._buffer(f"log_{element}", element) for element in (I64, self.widest)]
        scalars = [self._scalar("n", I32), self._scalar("k", I32), self._scalar("f", F32)]
        body = self.builder.region
        self._place()
        self.pool += [p.value for p in scalars]
        self.keep(ir.Range, start=0, end=self.lanes)
        self.steps(self._size)
        self._store_some()
        return Kernel(name, (*parameters, *scalars), body, Location("random.py", 1))

    def _atomic_types(self) -> tuple[ScalarType, ...]:
        return (I32, U32, I64, U64, F32, F32, F64, F16, BF16, I16, U8)

    def _buffer(self, name: str, element: ScalarType) -> Parameter:
        parameter = Parameter(Value(PTR), name, pointee=str(element))
        self.buffers[name], self.elements[name] = parameter.value, element
        return parameter

    def _scalar(self, name: str, element: ScalarType) -> Parameter:
        return Parameter(Value(element), name)

    def _place(self) -> None:
        """This program's number in the grid, and where its slices start."""
        x, y, z = (self.add(ir.ProgramId, axis=axis) for axis in range(3))
        width, height = (self.add(ir.NumPrograms, axis=axis) for axis in range(2))
        row = self.add(ir.Add, lhs=y, rhs=self.add(ir.Mul, lhs=z, rhs=height))
        self.program = self.add(ir.Add, lhs=x, rhs=self.add(ir.Mul, lhs=row, rhs=width))
        self.base = self.add(ir.Mul, lhs=self.program, rhs=self.constant(SLICE, I32))
        self.atomic_base = self.add(ir.Mul, lhs=self.program, rhs=self.constant(ATOMICS, I32))
        self.log_base = self.add(ir.Mul, lhs=self.program, rhs=self.constant(LOG, I32))
        self.pool += [self.program, x, width]

    def _store(self, value: Value) -> None:
        from tests.fuzz.programs.memory import store

        store(self, value)

    def record(self, value: Value) -> None:
        """Stores all of a value where no other store hides it."""
        from tests.fuzz.programs.memory import log

        log(self, value)

    def _store_some(self) -> None:
        """What the steps left behind, the last of it first, and what nothing has used."""
        chosen = self.pool[-2:] + self.rng.sample(self.pool, self.rng.randrange(4))
        for value in dict.fromkeys(chosen):
            self._store(value)
        used = {operand for op in ir.walk(self.builder.region.ops) for operand in op.operands}
        for value in [v for v in reversed(self.pool) if v not in used][:6]:
            self.record(value)

    # ---- adding ops ------------------------------------------------------------------------

    def add(self, kind: Any, /, **fields: Any) -> Value:
        self._line += 1
        self.builder.location = Location("random.py", self._line)
        return self.builder.add(kind, **fields)

    def effect(self, kind: Any, /, **fields: Any) -> Any:
        self._line += 1
        self.builder.location = Location("random.py", self._line)
        return self.builder.effect(kind, **fields)

    def keep(self, kind: Any, /, **fields: Any) -> Value:
        """Adds an op and leaves its result for later steps."""
        return self.leave(self.add(kind, **fields))

    def leave(self, *values: Value) -> Value:
        self.pool += values
        return values[-1]

    def constant(self, value: float, type_: Type) -> Value:
        return self.add(ir.Constant, value=value, type=type_)

    def splat(self, scalar: Value, shape: Sequence[int]) -> Value:
        return self.add(ir.Splat, source=scalar, shape=tuple(shape)) if shape else scalar

    def steps(self, count: int) -> None:
        functions, weights = zip(*STEPS, strict=True)
        for function in self.rng.choices(functions, weights, k=count):
            before = len(self.pool)
            function(self)
            if len(self.pool) > before and self.chance(0.3):
                self._store(self.pool[-1])
            elif len(self.pool) > before and self.chance(0.5):
                self.record(self.pool[-1])

    # ---- choosing --------------------------------------------------------------------------

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def shape(self) -> tuple[int, ...]:
        n, rng = self.lanes, self.rng
        shapes: list[tuple[int, ...]] = [(), (n,), (n,), (n,)]
        shapes += [(a, n // a) for a in (2, 4, 8, 16) if n % a == 0]
        shapes += [(2, n // 4, 2)] if n % 4 == 0 else []
        return rng.choice(shapes)

    @property
    def widest(self) -> ScalarType:
        """A float type that holds all others."""
        return self.known((F64, F32))[0]

    def may_use(self, op: type[ir.Op]) -> bool:
        return op not in self._without

    def known(self, among: Sequence[ScalarType]) -> Sequence[ScalarType]:
        """Those of the types that the program may use."""
        return [element for element in among if element not in self._without]

    def element(self, among: Sequence[ScalarType] = ALL) -> ScalarType:
        """An element type of that kind: mostly one of the palette."""
        among = self.known(among)
        known = [e for e in self.palette if e in among]
        return self.rng.choice(known if known and self.chance(0.85) else list(among))

    def type(self, among: Sequence[ScalarType] = ALL) -> Type:
        shape, element = self.shape(), self.element(among)
        return TileType(shape, element) if shape else element

    def type_like(self, shape: Sequence[int], element: ElementType) -> Type:
        return TileType(tuple(shape), element) if shape else element

    def pick(self, type_: Type) -> Value:
        """A value of that type: one in scope, or a new one made from what there is."""
        known = [value for value in self.pool if value.type == type_]
        if known and self.chance(0.8):
            return self.rng.choice(known[-12:])
        element = element_type(type_)
        assert isinstance(element, ScalarType)
        shape = shape_of(type_)
        alike = [v for v in self.pool if v.shape == shape and not is_pointer(v.type)]
        if alike and self.chance(0.6):
            return self.converted(self.rng.choice(alike[-12:]), element)
        scalars = [v for v in self.pool if v.type == element]
        if scalars and shape and self.chance(0.5):
            return self.splat(self.rng.choice(scalars), shape)
        if shape and self.chance(0.6):
            return self.converted(self.index(shape, I32), element)
        return self.constant(self.literal(element), type_)

    def varied(self, type_: Type) -> Value:
        """A value of that type, likely with numbers of all sizes and both signs."""
        from tests.fuzz.programs.memory import load_row

        loaded = load_row(self, type_) if self.chance(0.6) else None
        return self.pick(type_) if loaded is None else loaded

    def any_tile(self) -> Value:
        tiles = [v for v in self.pool if v.is_tile and not is_pointer(v.type)]
        return self.rng.choice(tiles[-16:] if self.chance(0.7) else tiles)

    def literal(self, element: ElementType) -> float | int | bool:
        rng = self.rng
        if is_bool(element):
            return self.chance(0.5)
        if is_float(element):
            return rng.choice([0.0, -0.0, 1.0, -0.5, 2.0, float("inf"), float("nan"), 3.25, 1e-40])
        top = 1 << (element.bits - 1)
        negative = [-1, -7, -top] if element.kind == "int" else [2 * top - 1]  # type: ignore[union-attr]
        return rng.choice([0, 1, 2, 3, 7, 100, top - 1, *negative])

    # ---- values in a range -----------------------------------------------------------------

    def converted(self, value: Value, element: ElementType) -> Value:
        assert isinstance(element, ScalarType)
        if element_type(value.type) == element:
            return value
        narrows = is_float(value.type) and is_float(element) and not is_bool(element)
        toward_zero = narrows and element.bits < element_type(value.type).bits and self.chance(0.2)
        rounding = "rtz" if toward_zero else "rtne"
        return self.add(ir.Cast, source=value, type=element, rounding=rounding)

    def index(self, shape: Sequence[int], element: ScalarType) -> Value:
        """The row-major number of each lane, made in one of the ways that kernels do."""
        size = TileType(tuple(shape), element).size
        if len(shape) == 2 and self.chance(0.6):
            rows = self.add(ir.Range, start=0, end=shape[0], type=element)
            columns = self.add(ir.Range, start=0, end=shape[1], type=element)
            stride = self.constant(shape[1], rows.type)
            rows = self.add(ir.Mul, lhs=rows, rhs=stride)
            rows = self.add(ir.ExpandDims, source=rows, axis=1)
            columns = self.add(ir.ExpandDims, source=columns, axis=0)
            rows = self.add(ir.Broadcast, source=rows, shape=tuple(shape))
            columns = self.add(ir.Broadcast, source=columns, shape=tuple(shape))
            return self.add(ir.Add, lhs=rows, rhs=columns)
        flat = self.add(ir.Range, start=0, end=size, type=element)
        return self.add(ir.Reshape, source=flat, shape=tuple(shape)) if len(shape) > 1 else flat

    def limited(self, value: Value, extent: int) -> Value:
        """Integers taken into 0 .. extent - 1."""
        type_ = value.type
        if extent & (extent - 1) == 0 and self.chance(0.5):
            return self.add(ir.And, lhs=value, rhs=self.constant(extent - 1, type_))
        if self.chance(0.2):
            zero, last = self.constant(0, type_), self.constant(extent - 1, type_)
            return self.add(ir.Max, lhs=self.add(ir.Min, lhs=value, rhs=last), rhs=zero)
        top = (1 << (element_type(type_).bits - 1)) - 1
        positive = self.add(ir.And, lhs=value, rhs=self.constant(min(top, 0xFFFF), type_))
        return self.add(ir.Rem, lhs=positive, rhs=self.constant(extent, type_))

    def without_nan(self, value: Value) -> Value:
        """Floats with zero for NaN, so that their bits are defined."""
        number = self.add(ir.Compare, predicate="eq", lhs=value, rhs=value)
        zero = self.constant(0.0, value.type)
        return self.add(ir.Select, condition=number, if_true=value, if_false=zero)

    def with_one_zero(self, value: Value) -> Value:
        """Floats with 0.0 for -0.0: of min and max, either zero may come out."""
        return self.add(ir.Add, lhs=value, rhs=self.constant(0.0, value.type))

    def whole(self, value: Value, low: float, high: float) -> Value:
        """Floats as whole numbers in low .. high; NaN becomes low."""
        low_tile, high_tile = self.constant(low, value.type), self.constant(high, value.type)
        above = self.add(ir.Max, lhs=value, rhs=low_tile)
        inside = self.add(ir.Min, lhs=above, rhs=high_tile)
        rounded = self.add(ir.MathCall, function="rint", arguments=(inside,))
        return self.with_one_zero(rounded)

    def small(self, value: Value, element: ScalarType, low: int = -3, high: int = 3) -> Value:
        """``value`` as whole numbers in low .. high of type ``element``."""
        type_ = with_element(value.type, element)
        if is_float(value.type):
            return self.converted_exactly(self.whole(value, low, high), element)
        if is_bool(value.type):
            return self.converted_exactly(value, element)
        mask = self.constant(7, value.type)
        number = self.add(ir.And, lhs=value, rhs=mask)
        limit = self.constant(max(high, 1), value.type)
        number = self.add(ir.Min, lhs=number, rhs=limit)
        made = self.converted_exactly(number, element)
        if low < 0 and self.chance(0.5) and not is_unsigned(element):
            made = self.add(ir.Sub, lhs=self.constant(1, type_), rhs=made)
        return made

    def converted_exactly(self, value: Value, element: ScalarType) -> Value:
        if element_type(value.type) == element:
            return value
        return self.add(ir.Cast, source=value, type=element)

    # ---- regions ---------------------------------------------------------------------------

    def region(self, args: tuple[Value, ...], fill: Callable[[], None]) -> Region:
        """A region filled by ``fill``, with its arguments in scope, and what it makes not after."""
        builder, pool = self.builder, self.pool
        self.builder = Builder(Region(args), builder.location)
        self.pool = [*pool, *args]
        self.depth += 1
        fill()
        region = self.builder.region
        self.builder, self.pool = builder, pool
        self.depth -= 1
        return region

    def combiner(
        self, types: Sequence[ElementType], yields: Callable[..., Sequence[Value]]
    ) -> Region:
        """A combine region: ``yields`` gets the builder's ``add`` and the arguments."""
        args = tuple(Value(t) for t in (*types, *types))
        inner = Builder(Region(args), self.builder.location)
        inner.effect(ir.Yield, values=tuple(yields(inner.add, *args)))
        return inner.region


def is_unsigned(element: ScalarType) -> bool:
    return is_integer(element) and element.kind == "uint"
