"""The cube core's instructions as text: Nd2Nz copies, LoadData by fractals, Mmad, Fixpipe."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from canopy.ir.types import ElementType
from canopy.targets.ascend.npu import (
    Buffer,
    CopyMatrix,
    Fixpipe,
    Instruction,
    Limit,
    LoadMatrix,
    Matrix,
    Mmad,
    Space,
)
from canopy.targets.ascend.scalars import Poly, constant
from canopy.targets.ascend.text.copies import Axis
from canopy.targets.ascend.text.expressions import cpp_type

if TYPE_CHECKING:
    from canopy.targets.ascend.text.printer import _Printer

__all__ = ["grouped_buffers", "print_matrix"]


def print_matrix(p: _Printer, instruction: Instruction) -> None:
    """Prints an instruction of the cube core; UnsupportedError for what has no form."""
    match instruction:
        case CopyMatrix():
            _copy(p, instruction)
        case LoadMatrix():
            _load(p, instruction)
        case Mmad():
            _mmad(p, instruction)
        case Fixpipe():
            _fixpipe(p, instruction)


def grouped_buffers(body: Iterable[Instruction]) -> set[Buffer]:
    """The buffers of L1 whose rows lie in groups of 16: 32-bit matrices that are transposed on
    their way to L0B, which needs fractals of one group of rows side by side."""
    turned: set[Buffer] = set()
    kept: set[Buffer] = set()
    for load in body:
        if isinstance(load, LoadMatrix):
            (kept if _keeps(load) else turned).add(load.source.buffer)
    return {buffer for buffer in turned - kept if buffer.type.bytes == 4}


def _keeps(load: LoadMatrix) -> bool:
    """Whether the lanes of a fractal stay in their order."""
    return (load.target.buffer.space is Space.L0A) != load.transpose


def _start(p: _Printer, matrix: Matrix) -> str:
    """A matrix's first element as a tensor."""
    name = p.tensor(matrix.buffer, matrix.type)
    rows, columns = matrix.padded
    depth = matrix.depth
    if matrix.buffer in p.grouped:
        place = matrix.row * columns + matrix.column * 16
    elif matrix.layout == "NZ":
        place = matrix.column // depth * rows * depth + matrix.row * depth
    elif matrix.layout == "zZ":
        place = matrix.row * columns + matrix.column * 16
    else:
        place = matrix.row * columns + matrix.column * depth
    return f"{name}[{place}]" if place else name


def _up(value: int, unit: int) -> int:
    return value + -value % unit


def _bounds(p: _Printer, instruction: CopyMatrix | Fixpipe, axis: int, extent: int) -> str:
    """The end of the lanes of an axis inside its limits. Blocks that begin before their array, as
    descriptors allow, have no form: the core stops there."""
    limits = tuple(x for x in instruction.limits if x.axis == axis and x.factor)
    low, high = p.range_of(Axis(extent, 0, Poly(), limits))
    if low != "0":
        p.line(f"if ({low} > 0) Trap();")
    return high


def _guards(p: _Printer, instruction: CopyMatrix | Fixpipe) -> list[str]:
    found = [p.value(condition) for condition in instruction.conditions]
    always: list[Limit] = [x for x in instruction.limits if x.axis is None or not x.factor]
    return [*found, *(f"{p.poly(limit.base)} < 0" for limit in always)]


def _outside(p: _Printer, instruction: CopyMatrix | Fixpipe, type_: ElementType) -> tuple[str, str]:
    """The global tensor of a block, and the step of its rows in elements."""
    view = instruction.source if isinstance(instruction, CopyMatrix) else instruction.target
    if view is not None:
        place = p.poly(view.offset)
        name = p.workspace(view)
        strides = tuple(constant(stride * type_.bytes) for stride in view.strides)
    else:
        name, start = p.global_tensor(instruction.address, type_)
        place, strides = p.poly(start), instruction.strides
    if len(strides) != 2 or strides[1] != constant(type_.bytes):
        raise p.unsupported(instruction, "a matrix whose rows are not contiguous")
    step = p.elements(strides[0], type_)
    return (f"{name}[{place}]" if place != "0" else name), step


def _copy(p: _Printer, copy: CopyMatrix) -> None:
    target = copy.target
    outside, step = _outside(p, copy, target.type)
    rows, columns = (
        _bounds(p, copy, axis, n) for axis, n in enumerate((target.rows, target.columns))
    )
    guards = _guards(p, copy)
    if guards:
        held = " && ".join(guards)
        rows = f"({held} ? {rows} : 0)"
    whole = _up(target.rows, 16), _up(target.columns, target.depth)
    given = [_start(p, target), outside, rows, columns, step]
    given += [str(whole[0]), str(whole[1]), str(target.padded[0])]
    if target.buffer in p.grouped:
        given[-1] = str(target.padded[1])
        p.line(f"{p.helper('CopyGroups')}({', '.join(given)});")
        return
    p.line(f"{p.helper('CopyMatrix')}({', '.join(given)});")


def _load_groups(p: _Printer, load: LoadMatrix) -> None:
    """A 32-bit matrix to L0B, transposed in squares of two fractals."""
    source, target = load.source, load.target
    groups, squares = _up(target.rows, 16) // 16, _up(target.columns, 16) // 16
    if source.padded[1] % 16 or target.padded[0] % 16:
        raise p.unsupported(load, "a transposed load of half a square of fractals")
    given = [_start(p, target), _start(p, source), str(groups), str(squares)]
    given += [str(target.padded[1]), str(source.padded[1])]
    p.line(f"{p.helper('LoadSquares')}({', '.join(given)});")


def _load(p: _Printer, load: LoadMatrix) -> None:
    source, target = load.source, load.target
    to_left = target.buffer.space is Space.L0A
    keeps = _keeps(load)
    if source.buffer in p.grouped and not to_left:
        _load_groups(p, load)
        return
    if not keeps and target.type.bytes != 2:
        raise p.unsupported(load, f"a transposed load of {target.type} fractals")
    depth, stored = source.depth, source.padded[0]
    outer = _up(target.rows, 16 if to_left else depth) // (16 if to_left else depth)
    inner = _up(target.columns, depth if to_left else 16) // (depth if to_left else 16)
    # Fractals of a column of the source follow each other; from column to column they are apart.
    along = "1" if load.transpose else str(stored // 16)
    step = stored * depth if load.transpose else 16 * depth
    rows = target.padded[1] // (depth if to_left else 16) * 16 * depth
    given = [_start(p, target), _start(p, source), str(outer), str(inner)]
    given += [str(rows), str(step), along, "false" if keeps else "true"]
    p.line(f"{p.helper('LoadFractals')}({', '.join(given)});")


def _mmad(p: _Printer, mmad: Mmad) -> None:
    target = mmad.target
    if target.columns > 16 and _up(target.rows, 16) != target.padded[0]:
        raise p.unsupported(mmad, "a product into a part of a larger one")
    first = mmad.first.number
    starts = p.poly(mmad.first) + " == 0" if first is None else str(first == 0).lower()
    rows = max(target.rows, 16)
    params = f"MmadParams({rows}, {target.columns}, {mmad.lhs.columns}, 0, false, {starts})"
    given = [_start(p, target), _start(p, mmad.lhs), _start(p, mmad.rhs), params]
    p.line(f"Mmad({', '.join(given)});")


_QUANT = {("f32", "f16"): "F322F16", ("f32", "bf16"): "F322BF16"}


def _fixpipe(p: _Printer, fix: Fixpipe) -> None:
    source = fix.source
    outside, step = _outside(p, fix, fix.type)
    rows, columns = (
        _bounds(p, fix, axis, n) for axis, n in enumerate((source.rows, source.columns))
    )
    types = str(source.type), str(fix.type)
    if types[0] != types[1] and types not in _QUANT:
        raise p.unsupported(fix, f"a product of {types[0]} stored as {types[1]}")
    quant = _QUANT.get(types, "NoQuant")
    guards = _guards(p, fix)
    if guards:
        p.line(f"if ({' && '.join(guards)}) {{")
        p.deeper(1)
    kind = cpp_type(fix.type, in_memory=True)
    given = [outside, _start(p, source), rows, columns, step, str(source.padded[0]), quant]
    p.line(f"{p.helper('StoreProduct')}<{kind}>({', '.join(given)});")
    if guards:
        p.deeper(-1)
        p.line("}")
