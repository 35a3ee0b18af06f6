"""The cube core's instructions as text: Nd2Nz copies, LoadData by fractals, Mmad, Fixpipe."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from canopy.errors import UnsupportedError
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
    """The buffers of L1 whose rows lie in groups of 16: 32-bit matrices whose lanes are turned on
    their way to L0, which needs fractals of one group of rows side by side."""
    return {
        load.source.buffer
        for load in body
        if isinstance(load, LoadMatrix) and not _keeps(load) and load.source.type.bytes == 4
    }


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


def _load(p: _Printer, load: LoadMatrix) -> None:
    if _keeps(load) or load.target.type.bytes == 2:
        _load_fractals(p, load)
    else:
        _load_squares(p, load)


def _steps(p: _Printer, source: Matrix) -> tuple[int, int]:
    """Fractals of L1 from one group of 16 rows to the next, and from one column of fractals to the
    next."""
    if source.buffer in p.grouped:
        return source.padded[1] // source.depth, 1
    return 1, source.padded[0] // 16


def _load_fractals(p: _Printer, load: LoadMatrix) -> None:
    """Fractal by fractal, each turned where LoadData can."""
    source, target = load.source, load.target
    to_left = target.buffer.space is Space.L0A
    depth = source.depth
    outer = _up(target.rows, 16 if to_left else depth) // (16 if to_left else depth)
    inner = _up(target.columns, depth if to_left else 16) // (depth if to_left else 16)
    down, across = _steps(p, source)
    step, along = (across, down) if load.transpose else (down, across)
    rows = target.padded[1] // (depth if to_left else 16) * 16 * depth
    given = [_start(p, target), _start(p, source), str(outer), str(inner)]
    given += [str(rows), str(step * 16 * depth), str(along), "false" if _keeps(load) else "true"]
    p.line(f"{p.helper('LoadFractals')}({', '.join(given)});")


def _load_squares(p: _Printer, load: LoadMatrix) -> None:
    """Types of 8 and 32 bits are turned in squares of two fractals: of 32 x 32 lanes, whose
    fractals stand one below the other, or of 16 x 16, whose fractals stand side by side."""
    source, target = load.source, load.target
    to_left, edge = target.buffer.space is Space.L0A, max(source.depth, 16)
    if any(n % edge for n in (*source.padded, *target.padded)):
        raise UnsupportedError(
            f"a {target.type} matrix of {target.rows} x {target.columns} is transposed on its way "
            f"to {target.buffer.space.value}, which LoadDataWithTranspose does in squares of "
            f"{edge} x {edge}",
            location=load.location,
            hint=f"use tiles whose sizes are multiples of {edge}",
        )
    # Of the target, fractals: side by side in a row of L0A or L0B, and from one row to the next.
    width = target.padded[1] // (source.depth if to_left else 16)
    rows, columns = (target.columns, target.rows) if to_left else (target.rows, target.columns)
    high, wide = edge // 16, edge // source.depth  # fractals of a square of the source
    k_step, n_step = (wide, high * width) if to_left else (wide * width, high)
    part = width if to_left == (high > 1) else 1
    down, across = _steps(p, source)
    size = 16 * source.depth
    given = [_start(p, target), _start(p, source), str(_up(rows, edge) // edge)]
    given += [str(_up(columns, edge) // edge), str(k_step * size), str(down * high * size)]
    given += [str(across * wide // 2), str(n_step - 1), str(part - 1)]
    p.line(f"{p.helper('LoadSquares')}({', '.join(given)});")


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
