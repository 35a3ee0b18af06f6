"""A compiled CUDA C++ source, and its kernels as tile IR.

module = compile_cuda(source, "saxpy.cu")
kernel = module.kernel("saxpy", block=(256, 1, 1))
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from canopy import ir
from canopy.errors import CompileError, LaunchError, Location, UnsupportedError
from canopy.frontends.cuda.cfg import ControlFlow
from canopy.frontends.cuda.clang import device_ir
from canopy.frontends.cuda.llvm_reader import (
    Argument,
    ConstantExpression,
    Function,
    Global,
    Instruction,
    LlvmValue,
    Module,
    read_module,
)
from canopy.frontends.cuda.llvm_types import PtrType, size_of
from canopy.frontends.cuda.pipeline import parse_and_prepare
from canopy.frontends.cuda.placement import Placement
from canopy.frontends.cuda.structure import emit_function
from canopy.frontends.cuda.translator import Translator
from canopy.frontends.cuda.uniformity import Uniformity
from canopy.ir.types import PTR

__all__ = ["CudaModule", "LoweredKernel", "compile_cuda"]

MAX_THREADS = 1024


def compile_cuda(source: str, filename: str, options: Sequence[str] = ()) -> CudaModule:
    """Compiles the device half of a CUDA C++ source; CompileError in clang's words otherwise.

    ``filename`` is what errors and source locations name; ``options`` are macros and include
    folders as clang takes them.
    """
    prepared = parse_and_prepare(device_ir(source, filename, options), filename)
    return CudaModule(filename, read_module(prepared, filename))


@dataclass(frozen=True)
class LoweredKernel:
    """A kernel as tile IR; behind its own parameters it takes the addresses of ``variables``."""

    kernel: ir.Kernel
    variables: tuple[Global, ...]
    arguments: tuple[Argument, ...]
    static_shared_bytes: int


@dataclass(frozen=True)
class CudaModule:
    """The kernels of one source; a template has one per instantiation, named like ``f<float>``."""

    filename: str
    _module: Module

    @property
    def kernels(self) -> tuple[Function, ...]:
        return tuple(self._module.kernels.values())

    @property
    def variables(self) -> tuple[Global, ...]:
        """The ``__device__``, ``__constant__`` and ``__managed__`` variables defined here."""
        return self._module.variables

    @property
    def type_lines(self) -> tuple[str, ...]:
        """The lines of LLVM IR that name the structures of `variables`."""
        return self._module.types

    @property
    def kernel_names(self) -> tuple[str, ...]:
        return tuple(function.display_name for function in self._module.kernels.values())

    def kernel(self, name: str, block: tuple[int, int, int], shared_bytes: int = 0) -> ir.Kernel:
        """The tile program of a kernel for thread blocks of shape (x, y, z).

        ``name`` is mangled or as written; ``shared_bytes`` is the size of ``extern __shared__``
        memory. Raises CompileError for an unknown name, LaunchError for an impossible block,
        UnsupportedError, with the user's line, for what the front-end does not cover.
        """
        lowered = self.lower(name, block, shared_bytes)
        if lowered.variables:
            raise UnsupportedError(
                f"{name} uses the device variable {lowered.variables[0].name}",
                location=lowered.kernel.location,
                hint="lower() tells which variables a kernel wants",
            )
        return lowered.kernel

    def lower(self, name: str, block: tuple[int, int, int], shared_bytes: int = 0) -> LoweredKernel:
        """As `kernel`, for kernels that use device variables too."""
        function = self._find(name)
        threads = block[0] * block[1] * block[2]
        if min(block) < 1 or threads > MAX_THREADS:
            raise LaunchError(
                f"a block has 1 to {MAX_THREADS} threads, {block} has {threads}",
                location=function.location,
            )
        return _lower(function, block, shared_bytes)

    def _find(self, name: str) -> Function:
        kernels = self._module.kernels
        if name in kernels:
            return kernels[name]
        found = [f for f in kernels.values() if f.display_name == name]
        found = found or [f for f in kernels.values() if f.display_name.split("<")[0] == name]
        if len(found) == 1:
            return found[0]
        known = ", ".join(f"{f.display_name} ({f.name})" for f in kernels.values()) or "none"
        fact = (
            f"no kernel is named {name}" if not found else f"{len(found)} kernels are named {name}"
        )
        raise CompileError(
            fact,
            location=Location(self.filename),
            hint=f"kernels here: {known}; a template must be instantiated in the source",
        )


def _lower(function: Function, block: tuple[int, int, int], shared_bytes: int) -> LoweredKernel:
    flow = ControlFlow(function)
    uniformity = Uniformity(flow)
    placement = Placement(flow, uniformity)
    shared = _shared_pointers(flow)
    t = Translator(function, block, shared_bytes, uniformity, placement, shared)
    variables = _variables(flow, space=1, other=4)
    parameters = (*_parameters(t, function), *_variable_parameters(t, variables))
    static_bytes = _shared_memory(t, flow)
    emit_function(t, flow)
    kernel = ir.Kernel(function.display_name, parameters, t.body, function.location, block)
    return LoweredKernel(kernel, tuple(variables), function.arguments, static_bytes)


def _parameters(t: Translator, function: Function) -> list[ir.Parameter]:
    """The kernel's own parameters; of a structure passed by value the address of a copy."""
    parameters = []
    for argument in function.arguments:
        value = ir.Value(t.element(argument.type, function.location), argument.name)
        t.env[argument] = value
        parameters.append(ir.Parameter(value, argument.name))
    return parameters


def _variable_parameters(t: Translator, variables: list[Global]) -> list[ir.Parameter]:
    parameters = []
    for variable in variables:
        value = ir.Value(PTR, variable.name)
        t.env[variable] = value
        parameters.append(ir.Parameter(value, variable.name))
    return parameters


def _shared_memory(t: Translator, flow: ControlFlow) -> int:
    """One Scratch per __shared__ variable that the kernel uses; the bytes of the static ones."""
    static = 0
    for variable in _variables(flow, space=3):
        size = size_of(variable.content)
        static += size
        bytes_ = t.shared_bytes if size == 0 else size
        if not bytes_:
            raise LaunchError(
                f"{variable.name} is extern __shared__, and the launch gives it no bytes",
                location=t.function.location,
                hint="give shared_bytes, the third launch parameter",
            )
        t.env[variable] = t.add(ir.Scratch, bytes=bytes_, alignment=max(variable.alignment, 16))
    return static


def _variables(flow: ControlFlow, space: int, other: int = -1) -> list[Global]:
    """The variables in an address space that a function uses."""
    found: dict[Global, None] = {}
    for block in flow.order:
        for instruction in block.instructions:
            for variable in _globals_in(instruction.operands):
                assert isinstance(variable.type, PtrType)
                if variable.type.space in (space, other):
                    found[variable] = None
    return list(found)


def _globals_in(values: tuple[LlvmValue, ...]) -> Iterator[Global]:
    for value in values:
        if isinstance(value, Global):
            yield value
        elif isinstance(value, ConstantExpression):
            yield from _globals_in(value.operands)


_POINTER_MOVES = frozenset({"getelementptr", "addrspacecast", "phi", "select", "freeze", "alloca"})


def _shared_pointers(flow: ControlFlow) -> set[LlvmValue]:
    """Pointers that can only point into the block's own memory, although their type is generic."""
    moves = [i for b in flow.order for i in b.instructions if i.opcode in _POINTER_MOVES]
    shared: set[LlvmValue] = {i for i in moves if isinstance(i.type, PtrType)}

    def is_shared(value: LlvmValue) -> bool:
        if isinstance(value, Global):
            return isinstance(value.type, PtrType) and value.type.space == 3
        if isinstance(value, ConstantExpression):
            return is_shared(value.operands[0])
        return value in shared

    def sources(i: Instruction) -> tuple[LlvmValue, ...]:
        if i.opcode == "phi":
            return i.operands
        return i.operands[1:] if i.opcode == "select" else i.operands[:1]

    changed = True
    while changed:
        wrong = [i for i in moves if i in shared and i.opcode != "alloca"]
        wrong = [i for i in wrong if not all(map(is_shared, sources(i)))]
        shared.difference_update(wrong)
        changed = bool(wrong)
    return shared
