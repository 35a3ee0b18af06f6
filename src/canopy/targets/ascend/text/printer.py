"""An NPU program as Ascend C: buffers by address, events, the user's names and lines.

    text = print_program(program, chip).source     # one `extern "C" __global__ __aicore__` kernel

The kernel takes the user's parameters, then the workspace if it needs one, then the extents of the
grid; each block runs every n-th program of the grid.
"""

from __future__ import annotations

import linecache
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from canopy import ir
from canopy.errors import Location, UnsupportedError
from canopy.ir.types import ElementType, is_pointer
from canopy.targets.ascend.chip import Chip
from canopy.targets.ascend.npu import (
    ALL_GLOBAL,
    Assign,
    Barrier,
    Branch,
    Buffer,
    CopyIn,
    CopyMatrix,
    CopyOut,
    Fixpipe,
    Instruction,
    LaneFill,
    LaneLoop,
    LaneMemory,
    LaneMove,
    Limit,
    LoadMatrix,
    Local,
    Loop,
    Mmad,
    Pipe,
    Program,
    ReadLane,
    SetEvent,
    Space,
    VectorCall,
    View,
    WaitEvent,
    WhileLoop,
    walk,
)
from canopy.targets.ascend.scalars import Number, Poly, Register, Scalar, constant, poly_of
from canopy.targets.ascend.text.atomics import LOCK_BYTES, takes_turns
from canopy.targets.ascend.text.calls import call_text
from canopy.targets.ascend.text.copies import Axis, as_rows, axes_of
from canopy.targets.ascend.text.expressions import (
    Names,
    cpp_type,
    divided,
    number_text,
    operation,
)
from canopy.targets.ascend.text.handover import HANDOVER_BYTES, Handover
from canopy.targets.ascend.text.lanes import print_lanes
from canopy.targets.ascend.text.matrices import grouped_buffers, print_matrix
from canopy.targets.ascend.text.prelude import HELPERS, SCALAR_FUNCTIONS
from canopy.targets.ascend.text.registers import Declarations
from canopy.targets.ascend.text.sides import (
    crossing_flags,
    crossing_text,
    is_crossing,
    pruned,
    sides,
)

__all__ = ["Printed", "print_program"]

_PIPES = {Pipe.C_MTE2: "MTE2"}
_CUBE_SPACES = {Space.L1: "A1", Space.L0A: "A2", Space.L0B: "B2", Space.L0C: "CO1"}


@dataclass(frozen=True)
class Printed:
    """The text, and what a launcher has to give: ``workspace_bytes`` of global memory per core, and
    not more than ``cores`` blocks. ``anywhere``: it follows addresses that stand in memory."""

    name: str
    source: str
    parameters: tuple[str, ...]
    workspace_bytes: int
    cores: int
    anywhere: bool = False


def print_program(program: Program, chip: Chip) -> Printed:
    """The text of a program; UnsupportedError with the user's line for what has no form yet."""
    return _Printer(program, chip).run()


class _Printer:
    def __init__(self, program: Program, chip: Chip) -> None:
        self._program = program
        self._chip = chip
        self.names = Names()
        self._lines: list[str] = []
        self._depth = 1
        self._location = Location()
        self._helpers: set[str] = set()
        self._needs_scratch = False
        self.grouped = grouped_buffers(walk(program.body))
        self._tensors: dict[tuple[Buffer, str], str] = {}
        self._globals: dict[tuple[Register | Buffer, str], str] = {}
        self._declarations = Declarations(program)
        self._places: dict[Register, Poly] = {}
        self._flags: dict[tuple[Pipe, Pipe, int], int] = {}
        self._core = ""
        self._workspace_bytes = 0
        self._handover = self._tickets = 0
        self.lock: str | None = None  # of programs whose cores take turns
        groups = {group for i in walk(program.body) for group, writes in i.groups() if writes}
        self._written = groups
        self._pointers = {r for r, p in self._parameters() if is_pointer(p.value.type)}

    def _parameters(self) -> list[tuple[Register, ir.Parameter]]:
        return list(zip(self._program.parameters, self._program.kernel.parameters, strict=True))

    # ---- the frame

    def run(self) -> Printed:
        program = self._program
        if program.uses_cube:
            *parts, whole = sides(program)
            self._flags = crossing_flags(whole)
        else:
            parts = [pruned(program)]
        self._lay_out_workspace(parts)
        parameters = self._signature(self._workspace_bytes)
        if program.uses_cube:
            for core, part in zip(("AIC", "AIV"), parts, strict=True):
                self._side(core, part)
        else:
            self._declarations = Declarations(parts[0])
            self._core_body(parts[0])
        source = self._assemble(parameters)
        return Printed(
            program.name,
            source,
            tuple(parameters),
            self._workspace_bytes,
            self._chip.cube_cores if program.uses_cube else self._chip.vector_cores,
            _follows_addresses(program.kernel),
        )

    def _lay_out_workspace(self, parts: Sequence[Program]) -> None:
        """A core's part of global memory: the program's buffers, and what the text itself needs."""
        used = self._program.used_bytes.get(Space.WORKSPACE, 0)
        used += -used % HANDOVER_BYTES
        self._handover = used
        if any(isinstance(i, Handover) for part in parts for i in walk(part.body)):
            used += HANDOVER_BYTES
        self._tickets = used
        if takes_turns(self._program, self._chip):
            self.lock = self.names.give("lock", "lock")
            used += LOCK_BYTES
        self._workspace_bytes = used + -used % 512

    def _side(self, core: str, part: Program) -> None:
        """One core's share of a mixed kernel, with tensors of its own."""
        outer, self._lines = self._lines, []
        self._core = core
        self._tensors, self._globals, self._places = {}, {}, {}
        self._needs_scratch = False
        self._location = Location()
        self._declarations = Declarations(part)
        self._depth += 1
        self._core_body(part)
        body, self._lines = self._lines, outer
        self._depth -= 1
        self.line(f"if ASCEND_IS_{core} {{")
        self._depth += 1
        spaces = _CUBE_SPACES if core == "AIC" else {Space.UB: "VECCALC"}
        for text in self._frame_lines(spaces):
            self.line(text)
        self._depth -= 1
        self._lines += body
        self.line("}")
        self._tensors, self._globals, self._needs_scratch = {}, {}, False

    def _core_body(self, program: Program) -> None:
        """The programs of the grid that fall to a core, one after the other."""
        self.body(program.prologue)
        x, y, z = (self.names.of(r) for r in program.grid)
        self.line("")
        self.line(f"const int64_t programs = int64_t({x}) * {y} * {z};")
        self.line(
            "for (int64_t number = GetBlockIdx(); number < programs; number += GetBlockNum()) {"
        )
        self._depth += 1
        used = self._declarations.used
        for register, text in zip(
            program.program,
            (f"number % {x}", f"number / {x} % {y}", f"number / (int64_t({x}) * {y})"),
            strict=True,
        ):
            if register in used:
                name = self.names.of(register)
                self.line(f"const int32_t {name} = static_cast<int32_t>({text});")
        self.body(program.body)
        self._depth -= 1
        self.line("}")
        self.body(program.epilogue)

    def _signature(self, workspace: int) -> list[str]:
        made = []
        for register, parameter in self._parameters():
            pointer = is_pointer(parameter.value.type)
            kind = "GM_ADDR" if pointer else cpp_type(register.type)
            made.append(f"{kind} {self.names.of(register)}")
        if workspace:
            made.append("GM_ADDR workspace")
        made += [f"int32_t {self.names.of(register)}" for register in self._program.grid]
        return made

    def _assemble(self, parameters: Sequence[str]) -> str:
        program = self._program
        where = program.kernel.location
        kind = "    KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_1);"
        # Of a kernel for both cores, each side has a frame of its own.
        frame = [] if program.uses_cube else self._frame_lines({Space.UB: "VECCALC"})
        head = [
            f"// {program.name}: Ascend C for {self._chip.name}, by Canopy, from {where}.",
            "// Compiled and run on a CPU header; it has never run on a card.",
            *(f"// Slow: {note}" for note in program.notes),
            '#include "kernel_operator.h"',
            "",
            "using namespace AscendC;",
            "",
            *(text for name, text in HELPERS.items() if name in self._wanted_helpers()),
            f'extern "C" __global__ __aicore__ void {program.name}({", ".join(parameters)})',
            "{",
            *([kind] if program.uses_cube else []),
            "    TPipe pipe;",
            *(f"    {text}" for text in frame),
        ]
        return "\n".join([*head, *self._lines, "}", ""])

    def _frame_lines(self, spaces: dict[Space, str]) -> list[str]:
        """The buffers of a core's memories, and the tensors in them."""
        lines: list[str] = []
        for space, position in spaces.items():
            used = self._program.used_bytes.get(space, 0)
            used += -used % 512 if space is not Space.UB else -used % 256
            needs = self._needs_scratch and space is Space.UB
            if needs and used + 32 > self._chip.ub_bytes:
                raise UnsupportedError(
                    f"{self._program.name} leaves no 32 bytes of the unified buffer for scalar "
                    "functions",
                    location=self._program.kernel.location,
                )
            if used or needs:
                name = _memory_name(space)
                lines.append(f"TBuf<TPosition::{position}> {name};")
                lines.append(f"pipe.InitBuffer({name}, {used + 32 * needs});")
            if needs:
                lines.append(
                    f"LocalTensor<float> scratch = ubBuffer.GetWithOffset<float>(8, {used});"
                )
        if self.lock is not None and Space.UB in spaces:
            lines.append(self._lock_line())
        return [*lines, *self._tensor_lines(), *self._global_lines(self._workspace_bytes)]

    def _lock_line(self) -> str:
        """The lock that the vector cores of a launch share."""
        helper = self.helper("CoreLock")
        tickets = "reinterpret_cast<int64_t>(workspace)"
        tickets += f" + {self._tickets}" if self._tickets else ""
        return f"const {helper} {self.lock}({tickets}, {self._workspace_bytes});"

    def is_written(self, group: str) -> bool:
        """Whether the kernel writes to arrays of a group, so that what a cache holds may be old."""
        return bool(self._written) and (
            group == ALL_GLOBAL or group in self._written or ALL_GLOBAL in self._written
        )

    def _wanted_helpers(self) -> set[str]:
        """Helpers and those that they call."""
        wanted = set(self._helpers)
        for name in reversed(HELPERS):
            if name in wanted:
                text = HELPERS[name]
                wanted |= {h for h in HELPERS if f"{h}(" in text or f"{h}<" in text}
        return wanted

    def _tensor_lines(self) -> Iterator[str]:
        for (buffer, kind), name in self._tensors.items():
            size = max(buffer.bytes, 1)
            size += -size % 256
            width = _width(kind)
            memory = _memory_name(buffer.space)
            yield (
                f"LocalTensor<{kind}> {name} = {memory}.GetWithOffset<{kind}>"
                f"({size // width}, {buffer.address});"
            )

    def _global_lines(self, workspace: int) -> Iterator[str]:
        for (place, kind), name in self._globals.items():
            if isinstance(place, Register):
                start = self.names.of(place)
            else:
                start = f"workspace + {self._group()} * {workspace} + {place.address}"
            yield f"GlobalTensor<{kind}> {name};"
            yield f"{name}.SetGlobalBuffer(reinterpret_cast<__gm__ {kind}*>({start}));"

    def _group(self) -> str:
        """The number of the core, or of the pair of a cube and a vector core."""
        return "GetBlockIdx()"

    # ---- lines

    def line(self, text: str) -> None:
        self._lines.append(f"{'    ' * self._depth}{text}" if text else "")

    def deeper(self, by: int) -> None:
        self._depth += by

    def _comment(self, location: Location) -> None:
        """The user's line, where it changes."""
        if not location.file or (location.file, location.line) == (
            self._location.file,
            self._location.line,
        ):
            return
        self._location = location
        text = linecache.getline(location.file, location.line).strip()
        name = location.file.rpartition("/")[2]
        self.line(f"// {name}:{location.line}{': ' + text if text else ''}")

    def helper(self, name: str) -> str:
        self._helpers.add(name)
        return name

    def body(self, body: Sequence[Instruction]) -> None:
        for register in self._declarations.at_start(body):
            self.line(f"{cpp_type(register.type)} {self.names.of(register)};")
        for instruction in body:
            self._comment(instruction.location)
            self._instruction(instruction)

    def block(self, body: Sequence[Instruction]) -> None:
        self._depth += 1
        self.body(body)
        self._depth -= 1

    def _instruction(self, instruction: Instruction) -> None:
        match instruction:
            case Assign():
                self._assign(instruction)
            case ReadLane():
                self._set(instruction.target, instruction, f"{self._lane(instruction.source)}")
            case CopyIn() | CopyOut():
                self._copy(instruction)
            case VectorCall():
                self.line(call_text(instruction, self))
            case SetEvent() | WaitEvent():
                self._event(instruction)
            case Barrier():
                self._barrier()
            case CopyMatrix() | LoadMatrix() | Mmad() | Fixpipe():
                print_matrix(self, instruction)
            case Loop():
                self._loop(instruction)
            case WhileLoop():
                self._while(instruction)
            case Branch():
                self._branch(instruction)
            case LaneLoop() | LaneMove() | LaneFill() | LaneMemory():
                print_lanes(self, instruction)
            case Handover():
                self._hand_over(instruction)
            case _:
                raise self.unsupported(instruction)

    def _hand_over(self, handover: Handover) -> None:
        """A scalar of the vector core to the cube core."""
        register = handover.register
        kind = cpp_type(register.type, in_memory=True)
        place = f"reinterpret_cast<int64_t>(workspace) + {self._group()} * {self._workspace_bytes}"
        place = f"{place} + {self._handover}" if self._handover else place
        if handover.gives:
            name = self.helper("GiveScalar")
            self.line(f"{name}<{kind}>({place}, {self.names.of(register)});")
        else:
            self._set(register, handover, f"{self.helper('TakeScalar')}<{kind}>({place})")

    def unsupported(self, instruction: Instruction, what: str = "") -> UnsupportedError:
        shown = what or f"`{instruction}`"
        return UnsupportedError(
            f"{shown} has no printed form in Ascend C yet", location=instruction.location
        )

    # ---- scalars

    def declare(self, instruction: Instruction, register: Register) -> None:
        """Declares what an instruction sets in several statements, if it is the first to."""
        if self._declarations.declares(instruction, register):
            self.line(f"{cpp_type(register.type)} {self.names.of(register)} = {{}};")

    def _set(self, register: Register, instruction: Instruction, text: str) -> None:
        kind = cpp_type(register.type)
        declared = self._declarations.declares(instruction, register)
        prefix = f"{'const ' if self._declarations.is_constant(register) else ''}{kind} "
        self.line(f"{prefix if declared else ''}{self.names.of(register)} = {text};")

    def _is_place(self, assign: Assign) -> bool:
        """Whether this only moves a pointer, once and by what never changes: it is printed where
        memory is accessed. Then its form is kept."""
        if not isinstance(assign.op, ir.Offset) or not self._declarations.is_constant(
            assign.target
        ):
            return False
        base, index = (s if isinstance(s, Poly) else poly_of(s) for s in assign.sources)
        form = self._expanded(base) + self._expanded(index).scaled(assign.op.scale)
        for monomial, _ in form.terms:
            if not all(self._declarations.is_constant(r) for r in monomial):
                return False
        self._places[assign.target] = form
        return True

    def _expanded(self, poly: Poly) -> Poly:
        """With the forms of pointers in place of their registers."""
        found = Poly()
        for monomial, factor in poly.terms:
            term = constant(factor)
            for register in monomial:
                term = term * self._places.get(register, poly_of(register))
            found = found + term
        return found

    def _assign(self, assign: Assign) -> None:
        if self._is_place(assign):
            return
        if assign.op is None:
            text = self.value(assign.sources[0], assign.target.type)
        else:
            texts = [
                self.value(s, ir.types.element_type(v.type))
                for v, s in zip(assign.op.operands, assign.sources, strict=True)
            ]
            is_scratch = isinstance(assign.op, ir.Scratch)
            text = self._own_memory(assign.op) if is_scratch else self.operation(assign.op, texts)
        self._set(assign.target, assign, text)

    def _own_memory(self, op: ir.Op) -> str:
        """Where a core has memory of a program, such as __shared__ arrays."""
        start = f"reinterpret_cast<int64_t>(workspace) + {self._group()} * {self._workspace_bytes}"
        return f"{start} + {self._program.scratch[op].address}"

    def operation(self, op: ir.Op, operands: Sequence[str]) -> str:
        """The expression of a scalar op, with the helpers it calls."""
        text = operation(op, operands)
        if isinstance(op, ir.Bitcast):
            self.helper("BitCast")
        name = getattr(op, "function", "")
        if isinstance(op, ir.MathCall) and (name == "exp2" or name in SCALAR_FUNCTIONS):
            self.helper(f"Scalar{SCALAR_FUNCTIONS.get(name, 'Exp')}")
            self.scratch()
        return text

    def scratch(self) -> str:
        """A tensor of 8 floats behind all buffers."""
        self._needs_scratch = True
        return "scratch"

    def value(self, scalar: Scalar | Poly, type_: ElementType | None = None) -> str:
        """An operand; pointers of the kernel as numbers."""
        if isinstance(scalar, Number):
            return number_text(scalar.value, type_ or scalar.type)
        if isinstance(scalar, Register):
            if scalar in self._places:
                return f"({self.poly(self._places[scalar])})"
            name = self.names.of(scalar)
            return f"reinterpret_cast<int64_t>({name})" if scalar in self._pointers else name
        return self.poly(scalar)

    def scalar_of(self, value: ir.Value) -> Scalar:
        return self._program.scalars[value]

    def constant(self, op: ir.Constant) -> str:
        return number_text(op.value, ir.types.element_type(op.type))

    def poly(self, poly: Poly) -> str:
        poly = self._expanded(poly)
        text = self.names.poly(poly)
        for pointer in self._pointers:
            if any(pointer in monomial for monomial, _ in poly.terms):
                rest = Poly(tuple(t for t in poly.terms if t[0] != (pointer,)))
                base = f"reinterpret_cast<int64_t>({self.names.of(pointer)})"
                text = base if not rest.terms else f"{base} + {self.poly(rest)}"
        return text

    # ---- control

    def _loop(self, loop: Loop) -> None:
        name, kind = self.names.of(loop.index), cpp_type(loop.index.type)
        lower, upper, step = (
            self.value(v, loop.index.type) for v in (loop.lower, loop.upper, loop.step)
        )
        by = f"++{name}" if step == "1" else f"{name} += {step}"
        self.line(f"for ({kind} {name} = {lower}; {name} < {upper}; {by}) {{")
        self.block(loop.body)
        self.line("}")

    def _while(self, loop: WhileLoop) -> None:
        self.line("while (true) {")
        self.block(loop.before)
        self._depth += 1
        self.line(f"if (!({self.value(loop.condition)})) break;")
        self._depth -= 1
        self.block(loop.body)
        self.line("}")

    def _branch(self, branch: Branch) -> None:
        condition = branch.condition
        if isinstance(condition, tuple):
            text = " && ".join(f"{self.poly(limit.base)} < 0" for limit in condition) or "true"
        else:
            text = self.value(condition)
        self.line(f"if ({text}) {{")
        self.block(branch.then_body)
        if branch.else_body:
            self.line("} else {")
            self.block(branch.else_body)
        self.line("}")

    def _event(self, event: SetEvent | WaitEvent) -> None:
        if is_crossing(event):
            flag = self._flags[event.source, event.target, event.event]
            for text in crossing_text(event, flag, self._core):
                self.line(text)
            return
        source, target = (_PIPES.get(p, p.value) for p in (event.source, event.target))
        verb = "SetFlag" if isinstance(event, SetEvent) else "WaitFlag"
        self.line(f"{verb}<HardEvent::{source}_{target}>(EVENT_ID{event.event});")

    def _barrier(self) -> None:
        self.line("PipeBarrier<PIPE_ALL>();")
        if self._program.uses_cube:
            self.line(f"{self.helper('MeetOtherCore')}();")

    # ---- tensors

    def tensor(self, buffer: Buffer, type_: ElementType) -> str:
        """The LocalTensor over a buffer of the unified buffer, as elements of a type."""
        kind = cpp_type(type_, in_memory=True)
        key = (buffer, kind)
        if key not in self._tensors:
            self._tensors[key] = self.names.give(("tensor", buffer, kind), buffer.name or "tile")
        return self._tensors[key]

    def local(self, local: Local) -> str:
        """An operand of a vector call."""
        name = self.tensor(local.buffer, local.type)
        if not local.offset.terms:
            return name
        lanes = divided(local.offset, local.type.bytes)
        if lanes is not None:
            return f"{name}[{self.poly(lanes)}]"
        return f"{name}[({self.poly(local.offset)}) / {local.type.bytes}]"

    def view_start(self, view: View, more: str = "") -> str:
        """A view's first lane as a tensor."""
        name = self.tensor(view.buffer, view.type)
        parts = [self.poly(view.offset)] if view.offset.terms else []
        parts += [more] if more else []
        return f"{name}[{' + '.join(parts)}]" if parts else name

    def _lane(self, view: View) -> str:
        if view.buffer.space is not Space.UB:
            return self.workspace_lane(view, self.poly(view.offset))
        name = self.tensor(view.buffer, view.type)
        return f"{name}.GetValue({self.poly(view.offset)})"

    def workspace(self, view: View) -> str:
        kind = cpp_type(view.type, in_memory=True)
        key = (view.buffer, kind)
        if key not in self._globals:
            wanted = f"{view.buffer.name or 'spill'}Gm"
            self._globals[key] = self.names.give(("global", view.buffer, kind), wanted)
        return self._globals[key]

    def workspace_lane(self, view: View, place: str) -> str:
        """A lane of the workspace, read by scalar code."""
        kind = cpp_type(view.type, in_memory=True)
        return f"{self.helper('LoadFresh')}<{kind}>({self.workspace(view)}, {place})"

    def global_tensor(self, address: Poly, type_: ElementType) -> tuple[str, Poly]:
        """The GlobalTensor an address lies in, and which element: an argument's, where known."""
        kind = cpp_type(type_, in_memory=True)
        address = self._expanded(address)
        pointers = [
            m[0] for m, f in address.terms if len(m) == 1 and f == 1 and m[0] in self._pointers
        ]
        rest = Poly(tuple(t for t in address.terms if t[0] not in {(p,) for p in pointers}))
        lanes = divided(rest, type_.bytes)
        if len(pointers) != 1 or lanes is None:
            helper = self.helper("GlobalAt")
            return f"{helper}<{kind}>({self.poly(address)})", Poly()
        key = (pointers[0], kind)
        if key not in self._globals:
            wanted = f"{self.names.of(pointers[0])}Gm"
            self._globals[key] = self.names.give(("global", *key), wanted)
        return self._globals[key], lanes

    # ---- copies

    def _copy(self, copy: CopyIn | CopyOut) -> None:
        inside = copy.target if isinstance(copy, CopyIn) else copy.source
        outside = copy.source if isinstance(copy, CopyIn) else copy.target
        assert isinstance(inside, View)
        if inside.buffer.space is not Space.UB:
            raise self.unsupported(copy)
        conditions = [self.value(c) for c in copy.conditions]
        conditions += [
            f"{self.poly(limit.base)} < 0"
            for limit in copy.limits
            if limit.axis is None or not limit.factor
        ]
        if conditions:
            self.line(f"if ({' && '.join(conditions)}) {{")
            self._depth += 1
        self._copy_block(copy, inside, outside)
        if conditions:
            self._depth -= 1
            self.line("}")

    def _copy_block(self, copy: CopyIn | CopyOut, inside: View, outside: View | None) -> None:
        if outside is not None:
            name, start = self.workspace(outside), outside.offset
        else:
            name, start = self.global_tensor(copy.address, inside.type)
        axes = axes_of(copy, inside, outside)
        rows = as_rows(axes, inside.type.bytes)
        if rows is None:
            self._copy_lanes(copy, inside, name, start, axes)
            return
        loops, across, along = rows
        depth = len(loops)
        inner: list[str] = []
        outer = [self.poly(start)] if start.terms else []
        for axis in loops:
            index = self.names.fresh("i")
            low, high = self.range_of(axis)
            self.line(f"for (int64_t {index} = {low}; {index} < {high}; ++{index}) {{")
            self._depth += 1
            inner.append(f"{index} * {axis.inner}")
            outer.append(f"{index} * {self._elements(axis, inside)}")
        low, rows_text = self.range_of(across)
        if low != "0":
            first = self.names.fresh("first")
            self.line(f"const int64_t {first} = {low};")
            inner.append(f"{first} * {across.inner}")
            outer.append(f"{first} * {self._elements(across, inside)}")
            rows_text = f"{rows_text} - {first}"
        _, length = self.range_of(along)
        self._rows_call(copy, inside, name, (inner, outer), (rows_text, length), across)
        for _ in range(depth):
            self._depth -= 1
            self.line("}")

    def _rows_call(
        self,
        copy: CopyIn | CopyOut,
        inside: View,
        name: str,
        places: tuple[list[str], list[str]],
        counts: tuple[str, str],
        across: Axis,
    ) -> None:
        inner, outer = places
        local = self.view_start(inside, " + ".join(inner))
        remote = f"{name}[{' + '.join(outer)}]" if outer else name
        pair = (local, remote) if isinstance(copy, CopyIn) else (remote, local)
        verb = "CopyIn" if isinstance(copy, CopyIn) else "CopyOut"
        rows, length = counts
        if across.extent == 1 and not across.limits:
            self.line(f"{self.helper(f'{verb}Row')}({pair[0]}, {pair[1]}, {length});")
            return
        steps = f"{self._elements(across, inside)}, {across.inner}"
        self.line(f"{self.helper(f'{verb}Rows')}({pair[0]}, {pair[1]}, {rows}, {length}, {steps});")

    def _elements(self, axis: Axis, view: View) -> str:
        """The step of an axis in global memory, in elements."""
        return self.elements(axis.outer, view.type)

    def elements(self, step: Poly, type_: ElementType) -> str:
        """A step of bytes in elements."""
        lanes = divided(step, type_.bytes)
        text = self.poly(lanes) if lanes is not None else ""
        if lanes is None:
            text = f"({self.poly(step)}) / {type_.bytes}"
        return f"({text})" if " " in text else text

    def range_of(self, axis: Axis) -> tuple[str, str]:
        """First lane and the end, of the lanes inside an axis' limits."""
        low, high = "0", str(axis.extent)
        for limit in axis.limits:
            bound = self._bound(limit)
            if limit.factor > 0:
                high = f"{self.helper('Least')}({high}, {bound})"
            else:
                low = f"{self.helper('Most')}({low}, {bound})"
        return low, high

    def _bound(self, limit: Limit) -> str:
        """The end of the lanes below an upper limit, or the first lane above a lower one."""
        base = limit.base
        if limit.factor == 1:
            return self.poly(base.scaled(-1))
        if limit.factor == -1:
            return f"{self.poly(base)} + 1"
        floor = self.helper("FloorDivide")
        if limit.factor > 0:
            return f"-{floor}({self.poly(base)}, {limit.factor})"
        return f"{floor}({self.poly(base)}, {-limit.factor}) + 1"

    def _copy_lanes(
        self, copy: CopyIn | CopyOut, inside: View, name: str, start: Poly, axes: list[Axis]
    ) -> None:
        """By scalar code, between barriers: what the copy's events order, they order too."""
        self.line("PipeBarrier<PIPE_ALL>();")
        inner = [self.poly(inside.offset)] if inside.offset.terms else []
        outer = [self.poly(start)] if start.terms else []
        for axis in axes:
            index = self.names.fresh("i")
            low, high = self.range_of(axis)
            self.line(f"for (int64_t {index} = {low}; {index} < {high}; ++{index}) {{")
            self._depth += 1
            inner.append(f"{index} * {axis.inner}")
            outer.append(f"{index} * {self._elements(axis, inside)}")
        tensor = self.tensor(inside.buffer, inside.type)
        here, there = " + ".join(inner) or "0", " + ".join(outer) or "0"
        if isinstance(copy, CopyIn):
            self.line(f"{tensor}.SetValue({here}, {name}.GetValue({there}));")
        else:
            kind = cpp_type(inside.type, in_memory=True)
            store = self.helper("StoreLane")
            self.line(f"{store}<{kind}>({name}, {there}, {tensor}.GetValue({here}));")
        for _ in axes:
            self._depth -= 1
            self.line("}")
        self.line("PipeBarrier<PIPE_ALL>();")


def _follows_addresses(kernel: ir.Kernel) -> bool:
    """Whether addresses are made of integers, as of those that a table in memory holds."""
    return any(
        isinstance(op, ir.Bitcast | ir.Cast)
        and is_pointer(op.results[0].type)
        and not is_pointer(op.source.type)
        for op in ir.walk(kernel.body.ops)
    )


def _memory_name(space: Space) -> str:
    return f"{space.value.lower()}Buffer"


def _width(kind: str) -> int:
    return {"half": 2, "bfloat16_t": 2, "float": 4, "bool": 1}.get(kind) or int(
        "".join(c for c in kind if c.isdigit())
    ) // 8
