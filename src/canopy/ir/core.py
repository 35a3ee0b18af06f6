"""Values, ops, regions, kernels, and the builder: the frame that every op fits in.

An op is a frozen dataclass with named fields: operands are fields that hold a `Value`, an optional
one or a tuple of them; regions are fields that hold a `Region`; everything else is an attribute.
Its results are made when it is made, with the types that `result_types` infers.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from canopy.errors import UNKNOWN_LOCATION, Location
from canopy.ir.types import TileType, Type, shape_of

__all__ = ["Builder", "Kernel", "Op", "Parameter", "Region", "Value", "clone_ops", "walk"]


class Value:
    """One SSA value: made once, by an op (``op``) or as a region's argument (``op`` is None)."""

    __slots__ = ("name", "op", "type")

    def __init__(self, type_: Type, name: str = "", op: Op | None = None) -> None:
        self.type = type_
        self.name = name
        self.op = op

    @property
    def shape(self) -> tuple[int, ...]:
        return shape_of(self.type)

    @property
    def is_tile(self) -> bool:
        return isinstance(self.type, TileType)

    def __repr__(self) -> str:
        return f"%{self.name or '?'}: {self.type}"


@dataclass(eq=False, slots=True)
class Region:
    """A list of ops with arguments; the last is a terminator (yield, condition) if one is due."""

    args: tuple[Value, ...] = ()
    ops: list[Op] = field(default_factory=list)

    @property
    def terminator(self) -> Op:
        return self.ops[-1]


@dataclass(frozen=True, eq=False, kw_only=True)
class Op:
    """Base of all ops. Subclasses add fields and say in one sentence what they mean."""

    has_side_effects: ClassVar[bool] = False
    is_terminator: ClassVar[bool] = False

    location: Location = UNKNOWN_LOCATION
    results: tuple[Value, ...] = ()

    def __post_init__(self) -> None:
        if not self.results:
            made = tuple(Value(t, op=self) for t in self.result_types())
            object.__setattr__(self, "results", made)
        else:
            for value in self.results:
                value.op = self

    def result_types(self) -> tuple[Type, ...]:
        """The types of the results, inferred from operands and attributes."""
        return ()

    @property
    def result(self) -> Value:
        (value,) = self.results
        return value

    @classmethod
    def mnemonic(cls) -> str:
        """The op's name in printed IR: the class name in snake_case."""
        name = cls.__name__
        return "".join(
            f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name)
        )

    def payload(self) -> Iterator[tuple[str, Any]]:
        """The op's own fields, in order, without location and results."""
        for name in _payload_names(type(self)):
            yield name, getattr(self, name)

    @functools.cached_property  # asked for about 15 times per op of a large kernel
    def operands(self) -> tuple[Value, ...]:
        found: list[Value] = []
        for _, content in self.payload():
            if isinstance(content, Value):
                found.append(content)
            elif isinstance(content, tuple):
                found.extend(item for item in content if isinstance(item, Value))
        return tuple(found)

    @functools.cached_property
    def regions(self) -> tuple[Region, ...]:
        return tuple(content for _, content in self.payload() if isinstance(content, Region))

    def rebuilt(self, substitute: Callable[[Value], Value]) -> Op:
        """The same op on other operands, with fresh results; regions are cloned."""
        changed: dict[str, Any] = {}
        for name, content in self.payload():
            if isinstance(content, Value):
                changed[name] = substitute(content)
            elif isinstance(content, tuple) and any(isinstance(c, Value) for c in content):
                changed[name] = tuple(substitute(c) if isinstance(c, Value) else c for c in content)
            elif isinstance(content, Region):
                changed[name] = _clone_region(content, substitute)
        fresh = tuple(Value(v.type, v.name) for v in self.results)
        return dataclasses.replace(self, **changed, results=fresh)


_names_of_payloads: dict[type[Op], tuple[str, ...]] = {}


def _payload_names(kind: type[Op]) -> tuple[str, ...]:
    if kind not in _names_of_payloads:
        names = (declared.name for declared in dataclasses.fields(kind))
        kept = tuple(name for name in names if name not in ("location", "results"))
        _names_of_payloads[kind] = kept
    return _names_of_payloads[kind]


def _clone_region(region: Region, outer: Callable[[Value], Value]) -> Region:
    inner: dict[Value, Value] = {arg: Value(arg.type, arg.name) for arg in region.args}
    args = tuple(inner.values())
    return Region(args, clone_ops(region.ops, inner, outer))


def clone_ops(
    ops: list[Op], mapping: dict[Value, Value], outer: Callable[[Value], Value] | None = None
) -> list[Op]:
    """Clones of ``ops``; ``mapping`` gives replacements and learns the new results."""

    def substitute(value: Value) -> Value:
        if value in mapping:
            return mapping[value]
        return outer(value) if outer else value

    cloned = []
    for op in ops:
        copy = op.rebuilt(substitute)
        mapping.update(zip(op.results, copy.results, strict=True))
        cloned.append(copy)
    return cloned


@dataclass(frozen=True, slots=True, eq=False)
class Parameter:
    """A kernel parameter; ``divisibility``: bytes for pointers, units for integers (1: unknown)."""

    value: Value
    name: str
    divisibility: int = 1
    pointee: str = ""  # element type as the front-end declared it, for messages and headers


@dataclass(eq=False, slots=True)
class Kernel:
    """A grid of programs that run ``body``; ``block`` is CUDA's thread block shape (x, y, z)."""

    name: str
    parameters: tuple[Parameter, ...]
    body: Region
    location: Location = UNKNOWN_LOCATION
    block: tuple[int, int, int] | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


def walk(ops: list[Op]) -> Iterator[Op]:
    """All ops, outer before inner, in program order."""
    for op in ops:
        yield op
        for region in op.regions:
            yield from walk(region.ops)


OpT = TypeVar("OpT", bound=Op)


class Builder:
    """Appends ops to a region; ``location`` is given to every op that names none."""

    def __init__(self, region: Region, location: Location = UNKNOWN_LOCATION) -> None:
        self.region = region
        self.location = location

    def insert(self, op: OpT) -> OpT:
        self.region.ops.append(op)
        return op

    def add(self, kind: type[Op], /, **fields: Any) -> Value:
        """Makes an op with one result, appends it, and returns the result."""
        fields.setdefault("location", self.location)
        return self.insert(kind(**fields)).result

    def effect(self, kind: type[OpT], /, **fields: Any) -> OpT:
        """Makes and appends an op with no or several results, and returns the op."""
        fields.setdefault("location", self.location)
        return self.insert(kind(**fields))
