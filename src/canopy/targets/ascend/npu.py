"""NPU programs: what a core does for one program of the grid.

A program is a list of instructions with structured control flow. Each instruction runs on one pipe;
pipes run side by side, in order each, and events alone order one behind another. Buffers have
addresses; operands are strided views of them. In printed form:

    MTE2  copy_in   ub[0] 1024 x f32 <- x + row * 4096
    V     max       ub[8192] <- ub[0], ub[4096]
    S     for k in 0 .. n step 64 { ... }
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, ClassVar

from canopy import ir
from canopy.errors import UNKNOWN_LOCATION, Location
from canopy.ir.types import ElementType
from canopy.targets.ascend.scalars import ZERO, Number, Poly, Register, Scalar

__all__ = [
    "ALL_GLOBAL",
    "Access",
    "Assign",
    "Barrier",
    "Branch",
    "Buffer",
    "Combine",
    "CopyIn",
    "CopyMatrix",
    "CopyOut",
    "Fill",
    "Fixpipe",
    "Instruction",
    "LaneFill",
    "LaneLoop",
    "LaneMemory",
    "LaneMove",
    "Limit",
    "LoadMatrix",
    "Local",
    "Loop",
    "Matrix",
    "Merged",
    "Mmad",
    "Move",
    "Pipe",
    "Program",
    "ReadLane",
    "SetEvent",
    "Space",
    "Unit",
    "Vector",
    "VectorCall",
    "View",
    "WaitEvent",
    "WhileLoop",
    "bodies",
    "walk",
    "with_bodies",
]


class Pipe(Enum):
    """S runs scalar code. Vector core: MTE2 copies in, V computes, MTE3 copies out. Cube core:
    C_MTE2 copies to L1, MTE1 from L1 to L0, M multiplies, FIX copies products out."""

    S = "S"
    MTE2 = "MTE2"
    V = "V"
    MTE3 = "MTE3"
    C_MTE2 = "C_MTE2"
    MTE1 = "MTE1"
    M = "M"
    FIX = "FIX"


class Space(Enum):
    """Where a buffer lies; WORKSPACE is a core's own part of global memory."""

    UB = "UB"
    L1 = "L1"
    L0A = "L0A"
    L0B = "L0B"
    L0C = "L0C"
    WORKSPACE = "WS"


@dataclass(frozen=True, slots=True)
class Buffer:
    """``lanes`` elements from byte ``address`` of a memory. ``serial``: which allocation this is;
    buffers of one are the same memory under several types. 0: made by hand."""

    space: Space
    address: int
    lanes: int
    type: ElementType
    name: str = ""
    serial: int = 0

    @property
    def bytes(self) -> int:
        return self.lanes * self.type.bytes

    @property
    def end(self) -> int:
        return self.address + self.bytes

    def __str__(self) -> str:
        return f"{self.name or self.space.value.lower()}@{self.address}"


@dataclass(frozen=True, slots=True)
class View:
    """A block of a buffer: ``strides`` and ``offset`` count elements; stride 0 repeats."""

    buffer: Buffer
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: Poly = ZERO

    @property
    def type(self) -> ElementType:
        return self.buffer.type

    def __str__(self) -> str:
        dims = "x".join(map(str, self.shape)) or "1"
        moved = f"[{self.offset}]" if self.offset.terms else ""
        return f"{self.buffer}{moved}:{dims}x{self.type}"


@dataclass(frozen=True, slots=True)
class Local:
    """A LocalTensor operand of a vector call: lanes of ``type`` from byte ``offset`` of a buffer.

    A repeat takes 256 bytes as 8 blocks of 32 bytes, ``block_stride`` blocks apart (0: the first
    block again and again); the next repeat starts ``repeat_stride`` blocks behind this one's start.
    """

    buffer: Buffer
    type: ElementType
    offset: Poly = ZERO
    block_stride: int = 1
    repeat_stride: int = 8

    def __str__(self) -> str:
        moved = f"[{self.offset} B]" if self.offset.terms else ""
        dense = (self.block_stride, self.repeat_stride) == (1, 8)
        strides = "" if dense else f"/{self.block_stride},{self.repeat_stride}"
        return f"{self.buffer}{moved}:{self.type}{strides}"


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix in fractals of 16 rows and 32 bytes: ``rows`` x ``columns`` of what is stored in a
    buffer for ``stored_rows`` x ``stored_columns``, from (``row``, ``column``) on.

    ``layout``: NZ (L1, L0C: columns of fractals, each of rows), zZ (L0A: rows of fractals, each of
    rows), nZ (L0B: rows of fractals, each of columns: 16 columns of 32 bytes of rows). Extents are
    padded to whole fractals; in L0C a fractal has 16 columns whatever the type.
    """

    buffer: Buffer
    layout: str
    rows: int
    columns: int
    stored_rows: int
    stored_columns: int
    row: int = 0
    column: int = 0

    @property
    def type(self) -> ElementType:
        return self.buffer.type

    @property
    def depth(self) -> int:
        """Lanes of the 32 bytes of a fractal; 16 in L0C."""
        return 16 if self.buffer.space is Space.L0C else 32 // self.type.bytes

    @property
    def units(self) -> tuple[int, int]:
        """Rows and columns of a fractal."""
        return (self.depth, 16) if self.layout == "nZ" else (16, self.depth)

    @property
    def padded(self) -> tuple[int, int]:
        """The extents that are stored, in whole fractals."""
        rows, columns = (
            -(-n // unit) * unit
            for n, unit in zip((self.stored_rows, self.stored_columns), self.units, strict=True)
        )
        return rows, columns

    def part(self, row: int, column: int, rows: int, columns: int) -> Matrix:
        moved = self.row + row, self.column + column
        return replace(self, row=moved[0], column=moved[1], rows=rows, columns=columns)

    def __str__(self) -> str:
        place = f"[{self.row}, {self.column}]" if self.row or self.column else ""
        return f"{self.buffer}{place}:{self.rows}x{self.columns}x{self.type} {self.layout}"


@dataclass(frozen=True, slots=True)
class Limit:
    """Lane i along ``axis`` counts where ``factor * i + base < 0``; axis None: all or none do."""

    axis: int | None
    factor: int
    base: Poly

    def __str__(self) -> str:
        return f"{self.factor}*i{self.axis} + {self.base} < 0"


ALL_GLOBAL = "*"


@dataclass(frozen=True, slots=True)
class Access:
    """What an instruction touches: bytes of a core's memory, or a group of the user's arrays."""

    pipe: Pipe
    space: Space | str
    first: int
    end: int
    writes: bool

    def conflicts(self, other: Access) -> bool:
        if not (self.writes or other.writes):
            return False
        if isinstance(self.space, str) or isinstance(other.space, str):
            if not (isinstance(self.space, str) and isinstance(other.space, str)):
                return False
            return self.space == other.space or ALL_GLOBAL in (self.space, other.space)
        return self.space is other.space and self.first < other.end and other.first < self.end


_BLOCK = 32  # bytes; pipes that write different bytes of a block are ordered, too


def _touch(pipe: Pipe, views: tuple[Any, ...], writes: bool) -> Iterator[Access]:
    for view in views:
        if isinstance(view, View | Local | Matrix):
            buffer = view.buffer
            first, end = buffer.address // _BLOCK * _BLOCK, -(-buffer.end // _BLOCK) * _BLOCK
            yield Access(pipe, buffer.space, first, end, writes)


# ---- instructions


@dataclass(frozen=True, kw_only=True, eq=False)
class Instruction:
    """Base of all; ``location`` is the user's line it was made from."""

    location: Location = UNKNOWN_LOCATION

    @property
    def pipe(self) -> Pipe:
        return Pipe.S

    def reads(self) -> tuple[Any, ...]:
        return ()

    def written(self) -> tuple[Any, ...]:
        return ()

    def groups(self) -> Iterator[tuple[str, bool]]:
        """The groups of the user's arrays that are touched, and whether they are written."""
        return iter(())

    def accesses(self) -> Iterator[Access]:
        yield from _touch(self.pipe, self.reads(), False)
        yield from _touch(self.pipe, self.written(), True)
        for group, writes in self.groups():
            yield Access(self.pipe, group, 0, 1, writes)


@dataclass(frozen=True, kw_only=True, eq=False)
class Assign(Instruction):
    """The scalar op ``op`` on registers and constants; ``op`` None copies."""

    target: Register
    op: ir.Op | None
    sources: tuple[Scalar | Poly, ...]

    def __str__(self) -> str:
        name = self.op.mnemonic() if self.op else "="
        return f"{self.target} <- {name} {', '.join(map(str, self.sources))}"


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadLane(Instruction):
    """The first lane of a view into a register."""

    target: Register
    source: View

    def reads(self) -> tuple[Any, ...]:
        return (self.source,)

    def __str__(self) -> str:
        return f"{self.target} <- {self.source}"


@dataclass(frozen=True, kw_only=True, eq=False)
class FromMemory(Instruction):
    """A block of global memory or, with ``source``, of the workspace into a buffer of the core;
    ``strides`` are bytes, ``limits`` and ``conditions`` say which lanes are copied."""

    name: ClassVar[str]
    unit: ClassVar[Pipe]

    target: Any
    address: Poly
    strides: tuple[Poly, ...]
    limits: tuple[Limit, ...] = ()
    conditions: tuple[Scalar, ...] = ()
    source: View | None = None
    pointer: ir.Value | None = None
    group: str = ALL_GLOBAL

    @property
    def pipe(self) -> Pipe:
        return self.unit

    def reads(self) -> tuple[Any, ...]:
        return (self.source,)

    def written(self) -> tuple[Any, ...]:
        return (self.target,)

    def groups(self) -> Iterator[tuple[str, bool]]:
        if self.source is None:
            yield self.group, False

    def __str__(self) -> str:
        bounds = f" where {'; '.join(map(str, self.limits))}" if self.limits else ""
        return f"{self.name} {self.target} <- {self.source or self.address}{bounds}"


@dataclass(frozen=True, kw_only=True, eq=False)
class CopyIn(FromMemory):
    """Into the unified buffer; lanes outside the limits are left."""

    name = "copy_in"
    unit = Pipe.MTE2

    target: View


@dataclass(frozen=True, kw_only=True, eq=False)
class CopyOut(Instruction):
    """A buffer to a block of global memory, or of the workspace (``target``). ``add``: added to
    what stands there, atomically."""

    source: View
    address: Poly
    strides: tuple[Poly, ...]
    limits: tuple[Limit, ...] = ()
    conditions: tuple[Scalar, ...] = ()
    target: View | None = None
    pointer: ir.Value | None = None
    group: str = ALL_GLOBAL

    @property
    def pipe(self) -> Pipe:
        return Pipe.MTE3

    def reads(self) -> tuple[Any, ...]:
        return (self.source,)

    def written(self) -> tuple[Any, ...]:
        return (self.target,)

    def groups(self) -> Iterator[tuple[str, bool]]:
        if self.target is None:
            yield self.group, True

    def __str__(self) -> str:
        bounds = f" where {'; '.join(map(str, self.limits))}" if self.limits else ""
        return f"copy_out {self.target or self.address} <- {self.source}{bounds}"


@dataclass(frozen=True, kw_only=True, eq=False)
class VectorCall(Instruction):
    """One call of the vector unit, ``name`` as Ascend C has it (`calls.CALLS` lists them).

    Count form (``repeats`` None): name(target, sources.., scalars.., lanes): that many lanes, one
    after another. Repeat form: name(target, sources.., scalars.., mask, repeats, strides): in each
    repeat the lanes ``first`` .. ``lanes`` of the 256 bytes that the widest operand has there;
    ``first`` other than 0 needs the mask in bits. Where there are no lanes (a bound known at run
    time), nothing is done. ``mode`` is a round, compare or select mode.
    """

    name: str
    target: Local
    sources: tuple[Local, ...] = ()
    scalars: tuple[Scalar | Poly, ...] = ()
    lanes: Poly
    repeats: Poly | None = None
    first: Poly = ZERO
    mode: str = ""

    @property
    def pipe(self) -> Pipe:
        return Pipe.V

    def reads(self) -> tuple[Any, ...]:
        return self.sources

    def written(self) -> tuple[Any, ...]:
        return (self.target,)

    def __str__(self) -> str:
        given = ", ".join(map(str, (*self.sources, *self.scalars)))
        mode = f" {self.mode}" if self.mode else ""
        if self.repeats is None:
            return f"{self.name}{mode} {self.target} <- {given} count {self.lanes}"
        mask = f"{self.first}..{self.lanes}" if self.first.terms else f"{self.lanes}"
        return f"{self.name}{mode} {self.target} <- {given} mask {mask} x {self.repeats}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Vector(Instruction):
    """The elementwise op, reduction or scan ``op`` on views and scalars, not yet in hardware form:
    `hardware` turns it into vector calls or a loop over its lanes."""

    op: ir.Op
    targets: tuple[View, ...]
    sources: tuple[View | Scalar, ...]
    axis: int = 0

    @property
    def pipe(self) -> Pipe:
        return Pipe.V

    def reads(self) -> tuple[Any, ...]:
        return self.sources

    def written(self) -> tuple[Any, ...]:
        return self.targets

    def __str__(self) -> str:
        name = getattr(self.op, "function", self.op.mnemonic())
        return f"{name} {', '.join(map(str, self.targets))} <- {', '.join(map(str, self.sources))}"


@dataclass(frozen=True, kw_only=True, eq=False)
class LaneLoop(Vector):
    """An op that the vector unit cannot do, lane by lane on the scalar unit: GetValue of the
    sources, scalar arithmetic, SetValue of the targets."""

    @property
    def pipe(self) -> Pipe:
        return Pipe.S

    def __str__(self) -> str:
        return f"lanes: {Vector.__str__(self)}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Combine(Vector):
    """targets = combine region of a reduction on (targets, sources), lane by lane. Not yet in
    hardware form."""

    def reads(self) -> tuple[Any, ...]:
        return (*self.targets, *self.sources)

    def __str__(self) -> str:
        return f"combine {', '.join(map(str, self.targets))}, {', '.join(map(str, self.sources))}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Move(Instruction):
    """Lanes of one view into another: duplicates a scalar, broadcasts, transposes, gathers rows.
    Not yet in hardware form.

    ``first`` makes a range: lane i along the only axis is first + i.
    """

    target: View
    source: View | Scalar | None = None
    range_start: Poly | None = None
    range_steps: tuple[Poly, ...] = ()

    @property
    def pipe(self) -> Pipe:
        return Pipe.V

    def reads(self) -> tuple[Any, ...]:
        return (self.source,)

    def written(self) -> tuple[Any, ...]:
        return (self.target,)

    def __str__(self) -> str:
        if self.range_start is not None:
            return f"range {self.target} <- {self.range_start}"
        return f"move {self.target} <- {self.source}"


@dataclass(frozen=True, kw_only=True, eq=False)
class LaneMove(Move):
    """A move that the vector unit cannot do: GetValue and SetValue, lane by lane."""

    @property
    def pipe(self) -> Pipe:
        return Pipe.S

    def __str__(self) -> str:
        return f"lanes: {Move.__str__(self)}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Fill(Instruction):
    """``content`` into the lanes of target outside the limits. Not yet in hardware form."""

    target: View
    content: View | Scalar
    limits: tuple[Limit, ...]
    conditions: tuple[Scalar, ...] = ()

    @property
    def pipe(self) -> Pipe:
        return Pipe.V

    def reads(self) -> tuple[Any, ...]:
        return (self.content,)

    def written(self) -> tuple[Any, ...]:
        return (self.target,)

    def __str__(self) -> str:
        return f"fill {self.target} <- {self.content} unless {'; '.join(map(str, self.limits))}"


@dataclass(frozen=True, kw_only=True, eq=False)
class LaneFill(Fill):
    """A fill of lanes that the vector unit cannot name: SetValue, lane by lane."""

    @property
    def pipe(self) -> Pipe:
        return Pipe.S

    def __str__(self) -> str:
        return f"lanes: {Fill.__str__(self)}"


@dataclass(frozen=True, kw_only=True, eq=False)
class LaneMemory(Instruction):
    """A load, store or atomic op lane by lane on the scalar unit: pointers, values and masks are
    views or scalars, in the order of the op's operands."""

    op: ir.Op
    sources: tuple[View | Scalar, ...]
    target: View | Register | None
    group: str = ALL_GLOBAL

    def reads(self) -> tuple[Any, ...]:
        return self.sources

    def written(self) -> tuple[Any, ...]:
        return (self.target,)

    def groups(self) -> Iterator[tuple[str, bool]]:
        is_atomic = isinstance(self.op, ir.AtomicRmw | ir.AtomicCas)
        yield ALL_GLOBAL if is_atomic else self.group, not isinstance(self.op, ir.Load)

    def __str__(self) -> str:
        sources = ", ".join(map(str, self.sources))
        return f"{self.op.mnemonic()} {self.target or ''} <- {sources}"


# ---- the cube


@dataclass(frozen=True, kw_only=True, eq=False)
class CopyMatrix(FromMemory):
    """A block of rows into L1 as fractals: DataCopy with Nd2NzParams. ``strides`` are per row and
    per column, columns are adjacent. What lies outside the limits becomes zero (InitConstValue
    before the copy)."""

    name = "copy_matrix"
    unit = Pipe.C_MTE2

    target: Matrix
    address: Poly = ZERO
    strides: tuple[Poly, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadMatrix(Instruction):
    """A part of a matrix in L1 into L0A (zZ) or L0B (nZ), turned if ``transpose``.

    LoadData with LoadData2DParams where fractals keep their order of lanes: to L0A as it stands,
    to L0B turned. The other two need ifTranspose (f16, bf16), or LoadDataWithTranspose.
    """

    target: Matrix
    source: Matrix
    transpose: bool = False

    @property
    def pipe(self) -> Pipe:
        return Pipe.MTE1

    def reads(self) -> tuple[Any, ...]:
        return (self.source,)

    def written(self) -> tuple[Any, ...]:
        return (self.target,)

    def __str__(self) -> str:
        turned = " transposed" if self.transpose else ""
        return f"load_matrix {self.target} <- {self.source}{turned}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Mmad(Instruction):
    """target = lhs @ rhs, added to target where ``first`` (a polynomial) is not zero: Mmad with
    MmadParams(m, n, k, cmatrixInitVal = first == 0). target: L0C, f32 or i32."""

    target: Matrix
    lhs: Matrix
    rhs: Matrix
    first: Poly

    @property
    def pipe(self) -> Pipe:
        return Pipe.M

    def reads(self) -> tuple[Any, ...]:
        return (self.lhs, self.rhs)

    def written(self) -> tuple[Any, ...]:
        return (self.target,)

    def __str__(self) -> str:
        return f"mmad {self.target} <- {self.lhs}, {self.rhs} accumulate if {self.first}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Fixpipe(Instruction):
    """A product from L0C to rows of global memory, converted to ``type`` (Fixpipe with nz2ndEn and
    quantPre F322F16 or F322BF16): to the workspace (``target``), or to the user's array at
    ``address`` with ``strides`` and limits as in CopyOut."""

    source: Matrix
    type: ElementType
    target: View | None = None
    address: Poly = ZERO
    strides: tuple[Poly, ...] = ()
    limits: tuple[Limit, ...] = ()
    conditions: tuple[Scalar, ...] = ()
    pointer: ir.Value | None = None
    group: str = ALL_GLOBAL

    @property
    def pipe(self) -> Pipe:
        return Pipe.FIX

    def reads(self) -> tuple[Any, ...]:
        return (self.source,)

    def written(self) -> tuple[Any, ...]:
        return (self.target,)

    def groups(self) -> Iterator[tuple[str, bool]]:
        if self.target is None:
            yield self.group, True

    def __str__(self) -> str:
        bounds = f" where {'; '.join(map(str, self.limits))}" if self.limits else ""
        return f"fixpipe {self.target or self.address} <- {self.source} as {self.type}{bounds}"


# ---- order and control


@dataclass(frozen=True, kw_only=True, eq=False)
class SetEvent(Instruction):
    """``source`` tells ``target`` that all it was given before is done."""

    source: Pipe
    target: Pipe
    event: int

    @property
    def pipe(self) -> Pipe:
        return self.source

    def __str__(self) -> str:
        return f"set_flag {self.source.value} -> {self.target.value} #{self.event}"


@dataclass(frozen=True, kw_only=True, eq=False)
class WaitEvent(Instruction):
    """``target`` waits for the event that ``source`` sets."""

    source: Pipe
    target: Pipe
    event: int

    @property
    def pipe(self) -> Pipe:
        return self.target

    def __str__(self) -> str:
        return f"wait_flag {self.source.value} -> {self.target.value} #{self.event}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Barrier(Instruction):
    """All pipes wait until all are done."""

    def __str__(self) -> str:
        return "pipe_barrier all"


@dataclass(frozen=True, kw_only=True, eq=False)
class Loop(Instruction):
    """For ``index`` = lower, lower + step, .. below upper."""

    index: Register
    lower: Scalar | Poly
    upper: Scalar | Poly
    step: Scalar | Poly
    body: list[Instruction] = field(default_factory=list)

    def __str__(self) -> str:
        return f"for {self.index} in {self.lower} .. {self.upper} step {self.step}"


@dataclass(frozen=True, kw_only=True, eq=False)
class WhileLoop(Instruction):
    """Runs ``before``; while ``condition`` holds then, ``body`` and ``before`` again."""

    before: list[Instruction]
    condition: Scalar
    body: list[Instruction]

    def __str__(self) -> str:
        return f"while {self.condition}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Branch(Instruction):
    """then_body where the condition holds, else else_body. The condition is a scalar, or limits of
    which all must hold. ``is_rare``: else_body seldom runs, and stands between barriers."""

    condition: Scalar | tuple[Limit, ...]
    then_body: list[Instruction]
    else_body: list[Instruction]
    is_rare: bool = False

    def __str__(self) -> str:
        shown = self.condition
        text = "; ".join(map(str, shown)) if isinstance(shown, tuple) else str(shown)
        return f"if {text}"


@dataclass(frozen=True, slots=True)
class Unit:
    """Programs that a core takes together: along each axis of the grid, ``block`` programs become
    ``parts`` units."""

    block: tuple[int, int, int]
    parts: tuple[int, int, int]

    def grid(self, grid: tuple[int, int, int]) -> tuple[int, int, int]:
        """How many units a grid has along each axis."""
        x, y, z = (
            -(-extent // block) * parts
            for extent, block, parts in zip(grid, self.block, self.parts, strict=True)
        )
        return x, y, z


@dataclass(frozen=True, slots=True)
class Merged:
    """A program that does what the programs of a unit do; its registers ``program`` are the place
    of the unit. ``cost``: of a unit, where one program costs ``one``."""

    program: Program
    unit: Unit
    cost: int
    one: int

    def pays(self, grid: tuple[int, int, int], cores: int) -> bool:
        """Whether the core with the most to do is clearly done sooner by units than by programs."""
        units, programs = math.prod(self.unit.grid(grid)), math.prod(grid)
        return -(-units // cores) * self.cost * 10 < -(-programs // cores) * self.one * 9


@dataclass(slots=True)
class Program:
    """What a core runs for each program of the grid that it is given. ``parameters`` are the
    registers of the arguments; ``program`` and ``grid`` those of the place in the grid. ``merged``
    is the same kernel for units of programs, for grids where that pays."""

    kernel: ir.Kernel
    parameters: tuple[Register, ...]
    program: tuple[Register, ...]
    grid: tuple[Register, ...]
    body: list[Instruction]
    registers: int
    used_bytes: dict[Space, int]
    notes: list[str]
    scalars: dict[ir.Value, Scalar] = field(default_factory=dict)
    scratch: dict[ir.Op, Buffer] = field(default_factory=dict)
    prologue: list[Instruction] = field(default_factory=list)
    epilogue: list[Instruction] = field(default_factory=list)
    multiples: dict[Register, int] = field(default_factory=dict)  # registers that count in steps
    contractions: frozenset[ir.Op] = frozenset()  # loops that were given to the cube whole
    merged: Merged | None = None

    @property
    def name(self) -> str:
        return self.kernel.name

    @property
    def uses_cube(self) -> bool:
        return any(isinstance(i, Mmad) for i in walk(self.body))

    def __str__(self) -> str:
        used = ", ".join(f"{s.value} {n} bytes" for s, n in self.used_bytes.items() if n)
        lines = [f"npu program {self.name}  # {used}"]
        lines += [f"# {note}" for note in self.notes]
        return "\n".join([*lines, *_lines(self.body, 1)]) + "\n"


def _lines(body: list[Instruction], depth: int) -> Iterator[str]:
    pad = "  " * depth
    for instruction in body:
        place = f"  # {instruction.location}" if instruction.location.file else ""
        yield f"{pad}{instruction.pipe.value:<6} {instruction}{place}"
        for title, inner in bodies(instruction):
            yield f"{pad}{title}"
            yield from _lines(inner, depth + 1)


def bodies(instruction: Instruction) -> Iterator[tuple[str, list[Instruction]]]:
    """What stands inside an instruction, in order, each under its title."""
    match instruction:
        case Loop(body=body):
            yield "do", body
        case WhileLoop(before=before, body=body):
            yield "before", before
            yield "do", body
        case Branch(then_body=then_body, else_body=else_body):
            yield "then", then_body
            yield "else", else_body


def with_bodies(
    instruction: Instruction, change: Callable[[list[Instruction]], list[Instruction]]
) -> Instruction:
    """The instruction with what stands inside it changed."""
    match instruction:
        case Loop(body=body):
            return replace(instruction, body=change(body))
        case WhileLoop(before=before, body=body):
            return replace(instruction, before=change(before), body=change(body))
        case Branch(then_body=then_body, else_body=else_body):
            return replace(instruction, then_body=change(then_body), else_body=change(else_body))
        case _:
            return instruction


def walk(body: list[Instruction]) -> Iterator[Instruction]:
    """All instructions, outer before inner."""
    for instruction in body:
        yield instruction
        for _, inner in bodies(instruction):
            yield from walk(inner)


def number(value: int | float | bool, type_: ElementType) -> Number:
    return Number(value, type_)
