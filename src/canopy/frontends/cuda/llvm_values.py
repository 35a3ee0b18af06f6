"""What the reader makes of a module: plain Python objects, without rules of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from canopy.errors import Location
from canopy.frontends.cuda.llvm_types import LlvmType

__all__ = [
    "CONSTANT_OPCODES",
    "Aggregate",
    "Argument",
    "Block",
    "ConstantExpression",
    "Function",
    "Global",
    "Instruction",
    "LlvmValue",
    "Module",
    "Number",
    "Undefined",
]


@dataclass(eq=False, slots=True)
class LlvmValue:
    """Anything an instruction may take as an operand."""

    type: LlvmType


@dataclass(eq=False, slots=True)
class Number(LlvmValue):
    """A constant integer (signed), float, or the null pointer (0)."""

    value: int | float


@dataclass(eq=False, slots=True)
class Undefined(LlvmValue):
    """undef or poison, or a constant that no rule reads (``text``)."""

    text: str = ""


@dataclass(eq=False, slots=True)
class Aggregate(LlvmValue):
    """A constant structure or array."""

    fields: tuple[LlvmValue, ...]


@dataclass(eq=False, slots=True)
class Global(LlvmValue):
    """A module-level variable; ``content`` is the type of what it points to."""

    name: str
    content: LlvmType
    is_external: bool
    alignment: int
    text: str = ""  # its definition


CONSTANT_OPCODES = (
    *("addrspacecast", "getelementptr", "bitcast", "ptrtoint", "inttoptr"),
    *("trunc", "add", "sub", "xor"),
)


@dataclass(eq=False, slots=True)
class ConstantExpression(LlvmValue):
    """What the linker computes of a global's address: one of ``CONSTANT_OPCODES``."""

    opcode: str
    operands: tuple[LlvmValue, ...]
    source_type: LlvmType | None = None


@dataclass(eq=False, slots=True)
class Argument(LlvmValue):
    name: str
    by_value: LlvmType | None = None  # the structure that the pointer stands for

    @property
    def is_by_value(self) -> bool:
        return self.by_value is not None


@dataclass(eq=False, slots=True)
class Instruction(LlvmValue):
    """One instruction. ``targets`` are the blocks of a branch (true, false), ``incoming`` those of
    a phi, beside its operands; ``text`` is its line without metadata."""

    opcode: str
    operands: tuple[LlvmValue, ...]
    text: str
    location: Location
    block: Block
    callee: str = ""
    predicate: str = ""
    source_type: LlvmType | None = None
    targets: tuple[Block, ...] = ()
    incoming: tuple[Block, ...] = ()


@dataclass(eq=False, slots=True)
class Block:
    name: str
    instructions: list[Instruction] = field(default_factory=list)
    predecessors: list[Block] = field(default_factory=list)

    @property
    def terminator(self) -> Instruction:
        return self.instructions[-1]

    @property
    def successors(self) -> tuple[Block, ...]:
        return self.terminator.targets

    @property
    def phis(self) -> Iterator[Instruction]:
        return (i for i in self.instructions if i.opcode == "phi")

    def __repr__(self) -> str:
        return f"Block({self.name})"


@dataclass(eq=False, slots=True)
class Function:
    name: str
    display_name: str  # as the user wrote it, with template arguments
    arguments: tuple[Argument, ...]
    blocks: list[Block]
    location: Location
    max_threads: int = 1024  # of a block, by __launch_bounds__


@dataclass(eq=False, slots=True)
class Module:
    kernels: dict[str, Function]
    variables: tuple[Global, ...] = ()  # defined here, in global or constant memory
    types: tuple[str, ...] = ()  # the lines that name structures
