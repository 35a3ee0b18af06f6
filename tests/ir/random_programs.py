"""Random valid tile programs, for tests that compare two ways to run or print one.

Everything that a program stores is fully defined and exact: no undefined lane, no division by zero,
no conversion out of range, no sum whose order matters, no function that targets may approximate.
Programs of the grid touch disjoint slices, but for commutative atomics on one counter buffer. So
two correct implementations agree bit for bit (but for which NaN a NaN is).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from canopy.errors import Location
from canopy.ir import (
    Add,
    And,
    AtomicRmw,
    Bitcast,
    Broadcast,
    Builder,
    Cast,
    Compare,
    Condition,
    Constant,
    Div,
    Dot,
    ExpandDims,
    For,
    Gather,
    If,
    Join,
    Kernel,
    Load,
    MathCall,
    Max,
    Min,
    Mul,
    NumPrograms,
    Offset,
    Or,
    Parameter,
    ProgramId,
    Range,
    Reduce,
    Region,
    Rem,
    Reshape,
    Scan,
    Select,
    ShiftLeft,
    ShiftRight,
    Splat,
    Split,
    Store,
    Sub,
    Transpose,
    Value,
    While,
    Xor,
    Yield,
)
from canopy.ir.types import (
    BF16,
    BOOL,
    F16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    PTR,
    U8,
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

__all__ = ["SLICE", "MakeArgs", "random_kernel"]

SLICE = 256  # elements of each buffer that belong to one program
INTEGERS = (I8, I16, I32, I64, U8, U32, U64)
FLOATS = (F16, BF16, F32, F64)
BUFFERS: dict[str, ScalarType] = {
    "floats": F32,
    "integers": I32,
    "halves": F16,
    "brains": BF16,
    "longs": I64,
    "bytes": U8,
}
_DTYPES: dict[ScalarType, Any] = {BF16: ml_dtypes.bfloat16, F32: "f4", F16: "f2", I32: "i4"}
_DTYPES |= {I64: "i8", U8: "u1"}

MakeArgs = Callable[[int], tuple[list[Any], tuple[int, int, int]]]


def random_kernel(seed: int, size: int = 25) -> tuple[Kernel, MakeArgs]:
    """A kernel of about ``size`` steps, and a function from a seed to fresh (args, grid)."""
    kernel = _Generator(random.Random(seed), size).kernel()
    return kernel, _make_args


def _make_args(seed: int) -> tuple[list[Any], tuple[int, int, int]]:
    rng = np.random.default_rng(seed)
    grid = (int(rng.integers(1, 5)), 1, 1)
    args: list[Any] = []
    for element in BUFFERS.values():
        raw = rng.integers(-100, 100, SLICE * grid[0])
        scale = 0.25 if is_float(element) else 1
        args.append((raw * scale).astype(np.int64 if scale == 1 else np.float64))
        args[-1] = args[-1].astype(_DTYPES[element])
    args.append(np.zeros(16, np.int32))  # counters
    args += [int(rng.integers(0, 200)), int(rng.integers(-5, 6)), float(rng.integers(-8, 9)) / 4]
    return args, grid


class _Generator:
    """Grows one kernel; ``_pool`` holds the values in scope."""

    def __init__(self, rng: random.Random, size: int) -> None:
        self._rng = rng
        self._size = size
        self._lanes = rng.choice([1, 4, 7, 16, 24, 32, 64, 100, 128])
        self._builder = Builder(Region())
        self._pool: list[Value] = []
        self._line = 0

    def kernel(self) -> Kernel:
        pointers = [Parameter(Value(PTR), name) for name in (*BUFFERS, "counters")]
        scalars = [
            Parameter(Value(I32), "n"),
            Parameter(Value(I32), "k"),
            Parameter(Value(F32), "f"),
        ]
        self._buffers = {p.name: p.value for p in pointers}
        self._pool += [p.value for p in scalars]
        body = self._builder.region
        self._program = self._add(ProgramId, axis=0)
        self._base = self._add(Mul, lhs=self._program, rhs=self._constant(SLICE, I32))
        self._pool += [self._program, self._add(NumPrograms, axis=0)]
        self._pool.append(self._add(Range, start=0, end=self._lanes))
        for _ in range(self._size):
            self._step(depth=0)
        for value in self._rng.sample(self._pool, min(8, len(self._pool))):
            self._store(value)
        return Kernel("random", (*pointers, *scalars), body, Location("random.py", 1))

    # Making values

    def _add(self, kind: Any, **fields: Any) -> Value:
        self._line += 1
        self._builder.location = Location("random.py", self._line)
        return self._builder.add(kind, **fields)

    def _keep(self, kind: Any, **fields: Any) -> Value:
        self._pool.append(self._add(kind, **fields))
        return self._pool[-1]

    def _constant(self, value: float, type_: Type) -> Value:
        return self._add(Constant, value=value, type=type_)

    def _shape(self) -> tuple[int, ...]:
        n = self._lanes
        shapes: list[tuple[int, ...]] = [(), (n,), (n,), (n,)]
        shapes += [(a, n // a) for a in (2, 4, 8) if n % a == 0]
        return self._rng.choice(shapes)

    def _type(self, elements: tuple[ScalarType, ...]) -> Type:
        shape, element = self._shape(), self._rng.choice(elements)
        return TileType(shape, element) if shape else element

    def _pick(self, type_: Type) -> Value:
        """A value of that type: one in scope, or a new one made from what there is."""
        known = [value for value in self._pool if value.type == type_]
        if known and self._rng.random() < 0.8:
            return self._rng.choice(known)
        element = element_type(type_)
        same_shape = [
            value
            for value in self._pool
            if value.shape == shape_of(type_) and not is_pointer(value.type)
        ]
        if same_shape and self._rng.random() < 0.5:
            return self._converted(self._rng.choice(same_shape), element)
        scalars = [value for value in self._pool if value.type == element]
        if scalars and shape_of(type_) and self._rng.random() < 0.6:
            return self._add(Splat, source=self._rng.choice(scalars), shape=shape_of(type_))
        return self._constant(self._literal(element), type_)

    def _literal(self, element: ElementType) -> float:
        if is_bool(element):
            return self._rng.random() < 0.5
        if is_float(element):
            return self._rng.choice([0.0, 1.0, -0.5, 2.0, float("inf"), 3.25])
        return self._rng.choice([0, 1, 2, 3, 7, 100])

    def _converted(self, value: Value, element: ElementType) -> Value:
        assert isinstance(element, ScalarType)
        if element_type(value.type) == element:
            return value
        if is_float(value.type) and is_integer(element):
            value = self._small_integers(value)
        return self._add(Cast, source=value, type=element)

    def _small_integers(self, value: Value) -> Value:
        """Floats limited to 0 .. 100, NaN to 0, so that every integer type holds them."""
        low = self._constant(0.0, value.type)
        high = self._constant(100.0, value.type)
        limited = self._add(Min, lhs=self._add(Max, lhs=value, rhs=low), rhs=high)
        return self._add(Add, lhs=limited, rhs=low)  # -0.0 + 0.0 == 0.0

    # Steps

    def _step(self, depth: int) -> None:
        steps: list[tuple[Callable[[], None], int]] = [
            (self._integer_op, 6),
            (self._float_op, 5),
            (self._cast, 2),
            (self._compare, 3),
            (self._select, 2),
            (self._reshape, 2),
            (self._broadcast, 2),
            (self._reduce, 2),
            (self._scan, 1),
            (self._gather, 1),
            (self._join_split, 1),
            (self._load, 3),
            (self._store_something, 2),
            (self._atomic, 1),
            (self._dot, 1),
        ]
        if depth < 2:
            steps += [
                (lambda: self._for(depth), 2),
                (lambda: self._if(depth), 1),
                (lambda: self._while(depth), 1),
                (lambda: self._walk_pointer(depth), 1),
            ]
        choices, weights = zip(*steps, strict=True)
        self._rng.choices(choices, weights)[0]()

    def _integer_op(self) -> None:
        type_ = self._type(INTEGERS)
        lhs, rhs = self._pick(type_), self._pick(type_)
        kind: Any = self._rng.choice(
            [Add, Sub, Mul, And, Or, Xor, Min, Max, Div, Rem, ShiftLeft, ShiftRight]
        )
        if kind in (Div, Rem):  # not zero, and not the lowest integer by -1
            rhs = self._add(And, lhs=rhs, rhs=self._constant(7, type_))
            rhs = self._add(Or, lhs=rhs, rhs=self._constant(1, type_))
        self._keep(kind, lhs=lhs, rhs=rhs)

    def _float_op(self) -> None:
        type_ = self._type(FLOATS)
        if self._rng.random() < 0.3:
            function = self._rng.choice(["abs", "neg", "floor", "ceil", "rint", "trunc"])
            self._keep(MathCall, function=function, arguments=(self._pick(type_),))
            return
        kind: Any = self._rng.choice([Add, Sub, Mul, Div])
        self._keep(kind, lhs=self._pick(type_), rhs=self._pick(type_))

    def _cast(self) -> None:
        source = self._pick(self._type((*INTEGERS, *FLOATS, BOOL)))
        if is_integer(source.type) and self._rng.random() < 0.3:
            bits = element_type(source.type).bits
            same = [t for t in INTEGERS if t.bits == bits]
            self._keep(Bitcast, source=source, type=self._rng.choice(same))
            return
        self._pool.append(self._converted(source, self._rng.choice((*INTEGERS, *FLOATS))))

    def _compare(self) -> None:
        type_ = self._type((*INTEGERS, *FLOATS))
        predicate = self._rng.choice(["eq", "ne", "lt", "le", "gt", "ge"])
        unordered = is_float(type_) and self._rng.random() < 0.3
        lhs, rhs = self._pick(type_), self._pick(type_)
        self._keep(Compare, predicate=predicate, lhs=lhs, rhs=rhs, unordered=unordered)

    def _select(self) -> None:
        type_ = self._type((*INTEGERS, *FLOATS, BOOL))
        scalar_condition = self._rng.random() < 0.2
        condition = self._pick(BOOL if scalar_condition else with_element(type_, BOOL))
        self._keep(
            Select, condition=condition, if_true=self._pick(type_), if_false=self._pick(type_)
        )

    def _any_tile(self) -> Value:
        tiles = [v for v in self._pool if v.is_tile and not is_pointer(v.type)]
        return self._rng.choice(tiles)

    def _reshape(self) -> None:
        source = self._any_tile()
        if len(source.shape) == 2 and self._rng.random() < 0.5:
            self._keep(Transpose, source=source, order=(1, 0))
            return
        size = source.type.size if isinstance(source.type, TileType) else 1
        shapes: list[tuple[int, ...]] = [(size,), (1, size)]
        shapes += [(a, size // a) for a in (2, 4, 8) if size % a == 0]
        self._keep(Reshape, source=source, shape=self._rng.choice(shapes))

    def _broadcast(self) -> None:
        source = self._any_tile()
        if len(source.shape) != 1 or source.shape[0] > 64:
            return
        axis, extent = self._rng.choice([0, 1]), self._rng.choice([2, 3, 8])
        expanded = self._add(ExpandDims, source=source, axis=axis)
        shape = list(expanded.shape)
        shape[axis] = extent
        self._keep(Broadcast, source=expanded, shape=tuple(shape))

    def _reduce(self) -> None:
        source = self._any_tile()
        axis = self._rng.randrange(len(source.shape))
        if is_integer(source.type) and self._rng.random() < 0.3:
            self._argmax(source, axis)
            return
        source, kind = self._reducible(source)
        self._keep(Reduce, sources=(source,), axis=axis, combine=self._combine(kind, source))

    def _scan(self) -> None:
        source, kind = self._reducible(self._any_tile())
        axis, reverse = self._rng.randrange(len(source.shape)), self._rng.random() < 0.4
        combine = self._combine(kind, source)
        self._keep(Scan, sources=(source,), axis=axis, reverse=reverse, combine=combine)

    def _reducible(self, source: Value) -> tuple[Value, Any]:
        """A source and an op whose result does not depend on the order of combination."""
        if is_bool(source.type):
            return source, self._rng.choice([And, Or, Xor])
        if is_integer(source.type):
            return source, self._rng.choice([Add, Mul, And, Or, Xor, Min, Max])
        whole = self._add(MathCall, function="rint", arguments=(self._small_integers(source),))
        widened = self._converted(whole, F32)  # sums of small integers are exact
        return widened, self._rng.choice([Add, Min, Max])

    def _combine(self, kind: Any, source: Value) -> Region:
        element = element_type(source.type)
        args = (Value(element), Value(element))
        inner = Builder(Region(args), self._builder.location)
        inner.effect(Yield, values=(inner.add(kind, lhs=args[0], rhs=args[1]),))
        return inner.region

    def _argmax(self, source: Value, axis: int) -> None:
        """The largest value and its lowest index, as Triton reduces a pair."""
        lanes = self._add(Range, start=0, end=source.shape[axis])
        for other in range(len(source.shape)):
            if other != axis:
                lanes = self._add(ExpandDims, source=lanes, axis=other)
        index = self._add(Broadcast, source=lanes, shape=source.shape)
        element = element_type(source.type)
        a, i, b, j = Value(element), Value(I32), Value(element), Value(I32)
        inner = Builder(Region((a, i, b, j)), self._builder.location)
        greater = inner.add(Compare, predicate="gt", lhs=a, rhs=b)
        equal = inner.add(Compare, predicate="eq", lhs=a, rhs=b)
        earlier = inner.add(Compare, predicate="lt", lhs=i, rhs=j)
        wins = inner.add(Or, lhs=greater, rhs=inner.add(And, lhs=equal, rhs=earlier))
        value = inner.add(Select, condition=wins, if_true=a, if_false=b)
        place = inner.add(Select, condition=wins, if_true=i, if_false=j)
        inner.effect(Yield, values=(value, place))
        found = self._builder.effect(
            Reduce, sources=(source, index), axis=axis, combine=inner.region
        )
        self._pool += found.results

    def _gather(self) -> None:
        source = self._any_tile()
        if len(source.shape) != 1:
            return
        indices = self._limited(self._pick(with_element(source.type, I32)), source.shape[0])
        self._keep(Gather, source=source, indices=indices, axis=0)

    def _limited(self, value: Value, extent: int) -> Value:
        """i32 lanes taken into 0 .. extent - 1."""
        positive = self._add(And, lhs=value, rhs=self._constant(0xFFFF, value.type))
        return self._add(Rem, lhs=positive, rhs=self._constant(extent, value.type))

    def _join_split(self) -> None:
        lhs = self._any_tile()
        joined = self._keep(Join, lhs=lhs, rhs=self._pick(lhs.type))
        if self._rng.random() < 0.5:
            self._pool += self._builder.effect(Split, source=joined).results
        if len(joined.shape) > 2:  # keep ranks small
            self._pool.remove(joined)

    def _dot(self) -> None:
        """Of small integers, so that sums are exact in any order."""
        m, k, n = (self._rng.choice([2, 4, 8]) for _ in range(3))
        limit = self._constant(3, TileType((m * k,), I32))
        rows = self._add(And, lhs=self._add(Range, start=0, end=m * k), rhs=limit)
        limit = self._constant(5, TileType((k * n,), I32))
        columns = self._add(And, lhs=self._add(Range, start=0, end=k * n), rhs=limit)
        inputs, total = self._rng.choice([(F32, F32), (F16, F32), (BF16, F32), (I8, I32)])
        lhs = self._add(Cast, source=self._add(Reshape, source=rows, shape=(m, k)), type=inputs)
        rhs = self._add(Cast, source=self._add(Reshape, source=columns, shape=(k, n)), type=inputs)
        acc = self._constant(1, TileType((m, n), total))
        self._keep(Dot, lhs=lhs, rhs=rhs, acc=acc)

    # Memory

    def _addresses(self, name: str, shape: tuple[int, ...]) -> Value:
        """Pointers into this program's slice: contiguous, strided, repeated or at random."""
        scale = BUFFERS[name].bytes
        if not shape:
            index = self._limited(self._pick(I32), SLICE)
            index = self._add(Add, lhs=index, rhs=self._base)
            return self._add(Offset, pointer=self._buffers[name], index=index, scale=scale)
        type_ = TileType(shape, I32)
        flat = self._add(Range, start=0, end=type_.size)
        lanes = self._add(Reshape, source=flat, shape=shape)
        if self._rng.random() < 0.3:
            lanes = self._pick(type_)
        elif self._rng.random() < 0.4:
            lanes = self._add(Mul, lhs=lanes, rhs=self._constant(self._rng.choice([0, 3]), type_))
        lanes = self._add(Add, lhs=lanes, rhs=self._constant(self._rng.choice([0, 1, 5]), type_))
        index = self._limited(lanes, SLICE)
        base = self._add(Splat, source=self._base, shape=shape)
        index = self._add(Add, lhs=index, rhs=base)
        pointer = self._add(Splat, source=self._buffers[name], shape=shape)
        return self._add(Offset, pointer=pointer, index=index, scale=scale)

    def _load(self) -> None:
        name, shape = self._rng.choice(list(BUFFERS)), self._shape()
        pointer = self._addresses(name, shape)
        type_ = with_element(pointer.type, BUFFERS[name])
        mask = other = None
        if self._rng.random() < 0.6:
            mask, other = self._pick(with_element(type_, BOOL)), self._pick(type_)
        self._keep(Load, pointer=pointer, mask=mask, other=other, type=BUFFERS[name])

    def _store_something(self) -> None:
        self._store(self._pick(self._type((*INTEGERS, *FLOATS))))

    def _store(self, value: Value) -> None:
        if isinstance(value.type, TileType) and value.type.size > SLICE:
            return
        names = [n for n, e in BUFFERS.items() if e == element_type(value.type)]
        name = self._rng.choice(names or list(BUFFERS))
        value = self._converted(value, BUFFERS[name])
        pointer = self._addresses(name, value.shape)
        masked = self._rng.random() < 0.5
        mask = self._pick(with_element(value.type, BOOL)) if masked else None
        self._builder.effect(Store, pointer=pointer, value=value, mask=mask)

    def _atomic(self) -> None:
        """Into the counters, without use of the old value: the order of programs does not show.
        Each counter has one kind of update."""
        kinds = ["add", "and", "or", "xor", "min", "max"]
        kind = self._rng.randrange(len(kinds))
        value = self._pick(TileType((self._lanes,), I32))
        index = self._constant(kind, value.type)
        pointer = self._add(Splat, source=self._buffers["counters"], shape=value.shape)
        pointer = self._add(Offset, pointer=pointer, index=index, scale=4)
        mask = self._pick(with_element(value.type, BOOL)) if self._rng.random() < 0.5 else None
        self._builder.effect(AtomicRmw, kind=kinds[kind], pointer=pointer, value=value, mask=mask)

    # Control

    def _inside(self, args: tuple[Value, ...], fill: Callable[[], None]) -> Region:
        """A region filled by ``fill``, with its arguments in scope, and what it makes not after."""
        outer_builder, outer_pool = self._builder, self._pool
        self._builder = Builder(Region(args), outer_builder.location)
        self._pool = [*outer_pool, *args]
        fill()
        region = self._builder.region
        self._builder, self._pool = outer_builder, outer_pool
        return region

    def _carried(self) -> tuple[Value, ...]:
        count = self._rng.randrange(3)
        return tuple(self._pick(self._type((I32, I64, F32, F16, BOOL))) for _ in range(count))

    def _for(self, depth: int) -> None:
        initial = self._carried()
        bound = self._rng.choice([I32, I64])
        upper = self._limited(self._pick(I32), 5)
        upper = self._converted(upper, bound)
        args = (Value(bound, "i"), *(Value(v.type) for v in initial))

        def fill() -> None:
            for _ in range(self._rng.randrange(1, 5)):
                self._step(depth + 1)
            self._builder.effect(Yield, values=tuple(self._pick(v.type) for v in initial))

        loop = self._builder.effect(
            For,
            lower=self._constant(0, bound),
            upper=upper,
            step=self._constant(self._rng.choice([1, 1, 2]), bound),
            initial=initial,
            body=self._inside(args, fill),
        )
        self._pool += loop.results

    def _walk_pointer(self, depth: int) -> None:
        """A loop that carries a pointer tile and an integer tile, each moved by a uniform step."""
        shape = self._shape() or (self._lanes,)
        lanes = self._add(Range, start=0, end=TileType(shape, I32).size)
        lanes = self._limited(self._add(Reshape, source=lanes, shape=shape), SLICE - 64)
        index = self._add(Add, lhs=lanes, rhs=self._add(Splat, source=self._base, shape=shape))
        name = self._rng.choice(list(BUFFERS))
        pointer = self._add(Splat, source=self._buffers[name], shape=shape)
        pointer = self._add(Offset, pointer=pointer, index=index, scale=BUFFERS[name].bytes)
        args = (Value(I32, "i"), Value(pointer.type), Value(index.type))
        scalar_step = self._limited(self._pick(I32), 16)

        def step() -> Value:
            if self._rng.random() < 0.5:
                return self._constant(self._rng.randrange(16), index.type)
            return self._add(Splat, source=scalar_step, shape=shape)

        def fill() -> None:
            self._keep(Load, pointer=args[1], type=BUFFERS[name])
            self._store(self._pool[-1])
            self._step(depth + 1)
            moved = self._add(Offset, pointer=args[1], index=step(), scale=BUFFERS[name].bytes)
            counted = self._add(Add, lhs=args[2], rhs=step())
            self._builder.effect(Yield, values=(moved, counted))

        loop = self._builder.effect(
            For,
            lower=self._constant(0, I32),
            upper=self._constant(self._rng.randrange(5), I32),
            step=self._constant(1, I32),
            initial=(pointer, index),
            body=self._inside(args, fill),
        )
        self._pool.append(loop.results[1])
        # The loop's base index depends on the program: it is reduced before it is an address.
        self._keep(Load, pointer=loop.results[0], type=BUFFERS[name])

    def _if(self, depth: int) -> None:
        condition = self._pick(BOOL)
        types = [v.type for v in self._carried()]

        def fill() -> None:
            for _ in range(self._rng.randrange(1, 4)):
                self._step(depth + 1)
            self._builder.effect(Yield, values=tuple(self._pick(t) for t in types))

        branch = self._builder.effect(
            If,
            condition=condition,
            then_region=self._inside((), fill),
            else_region=self._inside((), fill),
        )
        self._pool += branch.results

    def _while(self, depth: int) -> None:
        """Counts down from a small number."""
        start = self._limited(self._pick(I32), 5)
        carried = self._carried()
        before_args = (Value(I32), *(Value(v.type) for v in carried))
        body_args = (Value(I32), *(Value(v.type) for v in carried))

        def test() -> None:
            zero = self._constant(0, I32)
            more = self._add(Compare, predicate="gt", lhs=before_args[0], rhs=zero)
            self._builder.effect(Condition, condition=more, values=before_args)

        def fill() -> None:
            for _ in range(self._rng.randrange(1, 4)):
                self._step(depth + 1)
            one = self._constant(1, I32)
            fewer = self._add(Sub, lhs=body_args[0], rhs=one)
            values = (fewer, *(self._pick(v.type) for v in carried))
            self._builder.effect(Yield, values=values)

        loop = self._builder.effect(
            While,
            initial=(start, *carried),
            before=self._inside(before_args, test),
            body=self._inside(body_args, fill),
        )
        self._pool += loop.results
