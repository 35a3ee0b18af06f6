"""TTIR -> tile IR.

In:   the printed TTIR of a module, after Triton's own passes
Out:  a `canopy.ir.Kernel`; calls are inlined, early returns become nested ifs

The rule of each operation stands in ``rules_*.py``; this file holds the walk, the values by name,
and the restructuring of the block graph that early returns leave behind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from canopy.errors import (
    UNKNOWN_LOCATION,
    CanopyError,
    CompileError,
    Location,
    UnsupportedError,
)
from canopy.frontends.triton import (  # noqa: F401  (imported for the rules that they declare)
    rules_arithmetic,
    rules_combine,
    rules_control,
    rules_conversion,
    rules_extern,
    rules_math,
    rules_memory,
    rules_scaled,
    rules_shape,
)
from canopy.frontends.triton.block_graph import BlockGraph
from canopy.frontends.triton.rules import RULES
from canopy.frontends.triton.text import Block, Function, Operation, parse_module
from canopy.frontends.triton.types import parse_type, pointee_of
from canopy.ir import (
    Bitcast,
    Builder,
    Constant,
    Kernel,
    Parameter,
    Region,
    Splat,
    Value,
    Yield,
)
from canopy.ir.types import ElementType, TileType, Type, element_type, signed, unsigned

__all__ = ["Reader", "ttir_to_kernel"]

_HINTS = {
    "tt.elementwise_inline_asm": (
        "tl.inline_asm_elementwise holds PTX, which this target cannot run",
        "write it in tl.* operations, or keep it for NVIDIA GPUs behind a tl.constexpr switch",
    ),
}
_MOST_CALLS = 64


def ttir_to_kernel(
    text: str, name: str | None = None, names: Sequence[str] | None = None
) -> Kernel:
    """The kernel in a printed TTIR module.

    ``name`` chooses the function (the public one by default); ``names`` overrides the parameters'
    names. Raises UnsupportedError, with the user's place, for what has no rule.
    """
    functions = {function.name: function for function in parse_module(text)}
    entry = functions[name] if name else next(f for f in functions.values() if f.is_public)
    parameters = []
    for index, (declared, type_, attributes) in enumerate(entry.parameters):
        label = names[index] if names else declared
        divisibility = int(attributes.get("tt.divisibility", "1").split(":")[0])
        pointee = str(pointee_of(type_)) if type_.startswith("!tt.ptr") else ""
        value = Value(parse_type(type_), label)
        parameters.append(Parameter(value, label, divisibility, pointee))
    body = Region()
    kernel = Kernel(entry.name, tuple(parameters), body, entry.location)
    reader = Reader(functions, Builder(body, entry.location))
    reader.run_function(entry, [parameter.value for parameter in parameters])
    return kernel


class Reader:
    """Walks one function; ``build`` appends to the current region."""

    def __init__(self, functions: dict[str, Function], build: Builder, depth: int = 0) -> None:
        self.functions = functions
        self.build = build
        self.depth = depth
        self.known: dict[str, Value] = {}

    # ---- values ----------------------------------------------------------------------------

    def values(self, op: Operation) -> tuple[Value, ...]:
        """The operands of ``op``."""
        return tuple(self.known[name] for name in op.operands)

    def bind(self, name: str, value: Value) -> None:
        self.known[name] = value
        if not value.name and not name[0].isdigit():
            value.name = re.sub(r"\W", "_", name)

    def constant(self, number: float | bool, type_: Type) -> Value:
        return self.build.add(Constant, value=number, type=type_)

    def add(self, kind: type[Any], /, **fields: Any) -> Value:
        return self.build.add(kind, **fields)

    def as_unsigned(self, value: Value) -> Value:
        """The same bits as an unsigned integer; bools stay."""
        return self._resigned(value, unsigned(value.type))

    def as_signed(self, value: Value) -> Value:
        return self._resigned(value, signed(value.type))

    def _resigned(self, value: Value, wanted: Type) -> Value:
        if value.type == wanted:
            return value
        return self.add(Bitcast, source=value, type=element_type(wanted))

    def bitcast(self, value: Value, element: ElementType) -> Value:
        if element_type(value.type) == element:
            return value
        return self.add(Bitcast, source=value, type=element)

    def splat_like(self, value: Value, other: Value) -> Value:
        """``value`` as a tile of the shape of ``other`` where that is a tile."""
        if isinstance(other.type, TileType) and not value.is_tile:
            return self.add(Splat, source=value, shape=other.shape)
        return value

    # ---- operations and regions ------------------------------------------------------------

    def run(self, op: Operation) -> None:
        """Reads one operation and learns its results."""
        rule = RULES.get(op.name)
        location = op.location if op.location.file else self.build.location
        if rule is None:
            raise self.unsupported(op, location)
        outer, self.build.location = self.build.location, location
        try:
            made = rule(self, op)
        except CanopyError as error:
            if error.location == UNKNOWN_LOCATION:
                error.location = location
            raise
        except (AssertionError, IndexError, KeyError, ValueError) as error:
            raise CompileError(
                f"the TTIR operation {op.name} could not be read ({error!r})",
                location=location,
                hint="`canopy report` writes a reproduction to attach to an issue",
            ) from error
        finally:
            self.build.location = outer
        values = () if made is None else (made,) if isinstance(made, Value) else made
        for name, value in zip(op.results, values, strict=True):
            self.bind(name, value)

    def unsupported(self, op: Operation, location: Location) -> UnsupportedError:
        fact, hint = _HINTS.get(
            op.name,
            (
                f"the operation {op.name} is not supported yet",
                "see docs for the op table",
            ),
        )
        return UnsupportedError(fact, location=location, hint=hint)

    def region(
        self,
        block: Block,
        arguments: Sequence[tuple[str, Type]],
        ender: type[Any] | None = Yield,
    ) -> Region:
        """A single-block region; a missing terminator is added if ``ender`` is given."""

        def fill() -> None:
            for op in block.operations:
                self.run(op)
            ops = self.build.region.ops
            if ender is not None and not (ops and ops[-1].is_terminator):
                self.build.effect(ender)

        return self._region(arguments, fill)

    def function_region(self, blocks: list[Block]) -> Region:
        """The region of a reduction, scan or map: a function, which may return early."""
        arguments = self.block_arguments(blocks[0])
        if len(blocks) == 1:
            return self.region(blocks[0], arguments, None)

        def fill() -> None:
            self.build.effect(Yield, values=BlockGraph(self, blocks).emit(0))

        return self._region(arguments, fill)

    def _region(self, arguments: Sequence[tuple[str, Type]], fill: Callable[[], None]) -> Region:
        values = tuple(Value(type_, re.sub(r"\W", "_", name)) for name, type_ in arguments)
        region = Region(values)
        outer, self.build = self.build, Builder(region, self.build.location)
        try:
            for (name, _), value in zip(arguments, values, strict=True):
                self.known[name] = value
            fill()
        finally:
            self.build = outer
        return region

    def block_arguments(self, block: Block) -> list[tuple[str, Type]]:
        return [(name, parse_type(type_)) for name, type_ in block.arguments]

    # ---- functions ---------------------------------------------------------------------------

    def call(self, op: Operation) -> tuple[Value, ...]:
        """Inlines the called function here."""
        match = re.match(r"@§?([\w$.\-]+)", op.body)
        name = op.strings[0] if op.strings else match[1] if match else ""
        if self.depth >= _MOST_CALLS:
            raise UnsupportedError(
                f"the function {name} calls itself",
                hint="use a loop instead of recursion",
            )
        callee = Reader(self.functions, self.build, self.depth + 1)
        return callee.run_function(self.functions[name], self.values(op))

    def run_function(self, function: Function, values: Sequence[Value]) -> tuple[Value, ...]:
        """Reads the body of ``function`` here; gives what it returns."""
        for (name, _, _), value in zip(function.parameters, values, strict=True):
            self.known[name] = value
        return BlockGraph(self, function.blocks).emit(0)
