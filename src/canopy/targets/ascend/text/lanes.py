"""What the scalar unit does lane by lane, as loops of GetValue and SetValue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from canopy import ir
from canopy.ir.types import ElementType, element_type
from canopy.targets.ascend.npu import (
    Instruction,
    LaneFill,
    LaneLoop,
    LaneMemory,
    LaneMove,
    Space,
    View,
)
from canopy.targets.ascend.scalars import Poly, Register, Scalar
from canopy.targets.ascend.text.atomics import print_atomic
from canopy.targets.ascend.text.expressions import cpp_type

if TYPE_CHECKING:
    from canopy.targets.ascend.text.printer import _Printer

__all__ = ["print_lanes"]


def print_lanes(p: _Printer, instruction: Instruction) -> None:
    """Prints a loop over lanes; UnsupportedError with the user's line for what has no form."""
    match instruction:
        case LaneMove():
            _move(p, instruction)
        case LaneFill():
            _fill(p, instruction)
        case LaneMemory():
            _memory(p, instruction)
        case LaneLoop(op=ir.Reduce() as op):
            _reduce(p, instruction, op)
        case LaneLoop(op=ir.Scan() as op):
            _scan(p, instruction, op)
        case LaneLoop(targets=(target,)) if not instruction.op.regions:
            _elementwise(p, instruction, target)
        case _:
            raise p.unsupported(instruction)


@contextmanager
def _loops(p: _Printer, shape: Sequence[int]) -> Iterator[list[str]]:
    """Loops over a shape; the indices' names ("0" for an axis of one lane)."""
    names = []
    for extent in shape:
        if extent == 1:
            names.append("0")
            continue
        name = p.names.fresh("i")
        p.line(f"for (int64_t {name} = 0; {name} < {extent}; ++{name}) {{")
        p.deeper(1)
        names.append(name)
    yield names
    for extent in shape:
        if extent != 1:
            p.deeper(-1)
            p.line("}")


def _place(p: _Printer, view: View, indices: Sequence[str]) -> str:
    parts = [p.poly(view.offset)] if view.offset.terms else []
    for index, stride in zip(indices, view.strides, strict=True):
        if index != "0" and stride:
            parts.append(index if stride == 1 else f"{index} * {stride}")
    return " + ".join(parts) or "0"


def read_lane(p: _Printer, view: View, indices: Sequence[str]) -> str:
    """The expression of a lane; bools as bools."""
    if view.buffer.space is not Space.UB:
        return p.workspace_lane(view, _place(p, view, indices))
    return f"{p.tensor(view.buffer, view.type)}.GetValue({_place(p, view, indices)})"


def write_lane(p: _Printer, view: View, indices: Sequence[str], text: str) -> None:
    p.line(f"{p.tensor(view.buffer, view.type)}.SetValue({_place(p, view, indices)}, {text});")


def _operand(
    p: _Printer, source: View | Scalar | Poly, type_: ElementType, indices: Sequence[str]
) -> str:
    if isinstance(source, View):
        return read_lane(p, source, indices[len(indices) - len(source.shape) :])
    return p.value(source, type_)


def _elementwise(p: _Printer, loop: LaneLoop, target: View) -> None:
    op = loop.op
    with _loops(p, target.shape) as indices:
        texts = [
            _operand(p, source, element_type(value.type), indices)
            for value, source in zip(op.operands, loop.sources, strict=True)
        ]
        write_lane(p, target, indices, p.operation(op, texts))


def _move(p: _Printer, move: LaneMove) -> None:
    with _loops(p, move.target.shape) as indices:
        if move.range_start is not None:
            text = f"{p.poly(move.range_start)} + {indices[0]}"
            kind = cpp_type(move.target.type, in_memory=True)
            write_lane(p, move.target, indices, f"static_cast<{kind}>({text})")
            return
        assert move.source is not None
        write_lane(p, move.target, indices, _operand(p, move.source, move.target.type, indices))


def _fill(p: _Printer, fill: LaneFill) -> None:
    with _loops(p, fill.target.shape) as indices:
        inside = [p.value(condition) for condition in fill.conditions]
        for limit in fill.limits:
            base = p.poly(limit.base)
            if limit.axis is not None and limit.factor:
                base = f"{limit.factor} * {indices[limit.axis]} + {base}"
            inside.append(f"{base} < 0")
        text = _operand(p, fill.content, fill.target.type, indices)
        p.line(f"if (!({' && '.join(inside) or 'true'})) {{")
        p.deeper(1)
        write_lane(p, fill.target, indices, text)
        p.deeper(-1)
        p.line("}")


# ---- global memory


def _memory(p: _Printer, access: LaneMemory) -> None:
    op = access.op
    if not isinstance(op, ir.Load | ir.Store | ir.AtomicRmw | ir.AtomicCas):
        raise p.unsupported(access, f"{op.mnemonic()} on the scalar unit")
    if isinstance(access.target, Register):
        p.declare(access, access.target)
    in_turn = p.lock if isinstance(op, ir.AtomicRmw | ir.AtomicCas) else None
    if in_turn is not None:
        p.line(f"{in_turn}.Take();")
    with _loops(p, _shape_of(access)) as indices:
        _memory_lane(p, access, op, indices)
    if in_turn is not None:
        p.line(f"{in_turn}.Give();")


def _shape_of(access: LaneMemory) -> tuple[int, ...]:
    shape: tuple[int, ...] = ()
    for view in (*access.sources, access.target):
        if isinstance(view, View) and len(view.shape) >= len(shape):
            shape = view.shape
    return shape


def _memory_lane(
    p: _Printer,
    access: LaneMemory,
    op: ir.Load | ir.Store | ir.AtomicRmw | ir.AtomicCas,
    indices: list[str],
) -> None:
    given = dict(zip(op.operands, access.sources, strict=True))

    def text(value: ir.Value) -> str:
        return _operand(p, given[value], element_type(value.type), indices)

    if op.mask is not None:
        p.line(f"if ({text(op.mask)}) {{")
        p.deeper(1)
    if isinstance(op, ir.Load):
        _load(p, access, op, text(op.pointer), indices)
    elif isinstance(op, ir.Store):
        kind = cpp_type(element_type(op.value.type), in_memory=True)
        p.line(f"{p.helper('StoreLane')}<{kind}>({text(op.pointer)}, {text(op.value)});")
    else:
        operands = [text(op.pointer), text(op.value)]
        operands += [text(op.compare)] if isinstance(op, ir.AtomicCas) else []
        print_atomic(p, access, operands, lambda old: _give(p, access, old, indices))
    if op.mask is not None:
        p.deeper(-1)
        if isinstance(op, ir.Load) and op.other is not None:
            p.line("} else {")
            p.deeper(1)
            _give(p, access, text(op.other), indices)
            p.deeper(-1)
        p.line("}")


def _load(p: _Printer, access: LaneMemory, op: ir.Load, pointer: str, indices: list[str]) -> None:
    kind = cpp_type(op.type, in_memory=True)
    if p.is_written(access.group):
        _give(p, access, f"{p.helper('LoadFresh')}<{kind}>({pointer})", indices)
    else:
        _give(p, access, f"{p.helper('GlobalAt')}<{kind}>({pointer}).GetValue(0)", indices)


def _give(p: _Printer, access: LaneMemory, text: str, indices: list[str]) -> None:
    if isinstance(access.target, View):
        write_lane(p, access.target, indices, text)
    elif isinstance(access.target, Register):
        p.line(f"{p.names.of(access.target)} = {text};")


# ---- regions


def _region(p: _Printer, region: ir.Region, given: Sequence[str]) -> list[str]:
    """The statements of a combine region, and what it yields."""
    texts: dict[ir.Value, str] = dict(zip(region.args, given, strict=True))

    def of(value: ir.Value) -> str:
        if value in texts:
            return texts[value]
        return p.value(p.scalar_of(value), element_type(value.type))

    for op in region.ops:
        if isinstance(op, ir.Yield):
            return [of(value) for value in op.values]
        if isinstance(op, ir.Constant):
            texts[op.result] = p.constant(op)
            continue
        name = p.names.fresh("c")
        kind = cpp_type(element_type(op.results[0].type))
        p.line(f"const {kind} {name} = {p.operation(op, [of(v) for v in op.operands])};")
        texts[op.results[0]] = name
    raise AssertionError("a region ends with what it yields")


def _accumulators(
    p: _Printer, sources: Sequence[View], indices: list[str], axis: int, first: str
) -> list[str]:
    names = []
    start = [*indices[:axis], first, *indices[axis:]]
    for view in sources:
        name = p.names.fresh("sum")
        p.line(f"{cpp_type(view.type)} {name} = {read_lane(p, view, start)};")
        names.append(name)
    return names


def _combine(
    p: _Printer, region: ir.Region, sums: list[str], sources: Sequence[View], place: list[str]
) -> None:
    lanes = [read_lane(p, view, place) for view in sources]
    found = _region(p, region, [*sums, *lanes])
    if len(sums) > 1:  # all results before any is overwritten
        held = [p.names.fresh("c") for _ in sums]
        for name, text in zip(held, found, strict=True):
            p.line(f"const auto {name} = {text};")
        found = held
    for name, text in zip(sums, found, strict=True):
        p.line(f"{name} = {text};")


def _views(p: _Printer, loop: LaneLoop) -> list[View]:
    views = [source for source in loop.sources if isinstance(source, View)]
    if len(views) != len(loop.sources):
        raise p.unsupported(loop)
    return views


def _reduce(p: _Printer, loop: LaneLoop, op: ir.Reduce) -> None:
    sources = _views(p, loop)
    axis, shape = op.axis, sources[0].shape
    with _loops(p, (*shape[:axis], *shape[axis + 1 :])) as indices:
        sums = _accumulators(p, sources, indices, axis, "0")
        j = p.names.fresh("j")
        p.line(f"for (int64_t {j} = 1; {j} < {shape[axis]}; ++{j}) {{")
        p.deeper(1)
        _combine(p, op.combine, sums, sources, [*indices[:axis], j, *indices[axis:]])
        p.deeper(-1)
        p.line("}")
        for target, name in zip(loop.targets, sums, strict=True):
            write_lane(p, target, indices[len(indices) - len(target.shape) :], name)


def _scan(p: _Printer, loop: LaneLoop, op: ir.Scan) -> None:
    sources = _views(p, loop)
    axis, shape = op.axis, sources[0].shape
    first = str(shape[axis] - 1) if op.reverse else "0"
    with _loops(p, (*shape[:axis], *shape[axis + 1 :])) as indices:
        sums = _accumulators(p, sources, indices, axis, first)
        for target, name in zip(loop.targets, sums, strict=True):
            write_lane(p, target, [*indices[:axis], first, *indices[axis:]], name)
        j = p.names.fresh("j")
        if op.reverse:
            p.line(f"for (int64_t {j} = {shape[axis] - 2}; {j} >= 0; --{j}) {{")
        else:
            p.line(f"for (int64_t {j} = 1; {j} < {shape[axis]}; ++{j}) {{")
        p.deeper(1)
        place = [*indices[:axis], j, *indices[axis:]]
        _combine(p, op.combine, sums, sources, place)
        for target, name in zip(loop.targets, sums, strict=True):
            write_lane(p, target, place, name)
        p.deeper(-1)
        p.line("}")
