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
from canopy.frontends.cuda.checks import (
    ARGUMENT,
    SHARED,
    Checks,
    check_array,
    check_enter,
    shared_name,
)
from canopy.frontends.cuda.clang import device_ir
from canopy.frontends.cuda.llvm_reader import read_module
from canopy.frontends.cuda.llvm_types import PtrType, size_of
from canopy.frontends.cuda.llvm_values import (
    Argument,
    ConstantExpression,
    Function,
    Global,
    LlvmValue,
    Module,
)
from canopy.frontends.cuda.memory_calls import SHARED_ADDRESSES
from canopy.frontends.cuda.pipeline import parse_and_prepare
from canopy.frontends.cuda.placement import Placement
from canopy.frontends.cuda.returned import keep_returned
from canopy.frontends.cuda.shared_addresses import shared_pointers, wrap_shared_indices
from canopy.frontends.cuda.structure import emit_function
from canopy.frontends.cuda.translator import Translator
from canopy.frontends.cuda.uniformity import Uniformity
from canopy.frontends.cuda.waits import WARP_WIDE, Waits
from canopy.ir.types import I32, PTR

__all__ = ["CudaModule", "LoweredKernel", "compile_cuda", "module_of"]

MAX_THREADS = 1024
WARP = 32
DYNAMIC_ALIGNMENT = 128  # at least what any __align__ of extern __shared__ arrays asks for
BLOCK_MEMORIES = 64  # MEMORIES of runtime/native/apart.c


def compile_cuda(source: str, filename: str, options: Sequence[str] = ()) -> CudaModule:
    """Compiles the device half of a CUDA C++ source; CompileError in clang's words otherwise.

    ``filename`` is what errors and source locations name; ``options`` are macros and include
    folders as clang takes them.
    """
    return module_of(device_ir(source, filename, options), filename)


def module_of(ir: str, filename: str, checked: bool = False) -> CudaModule:
    """The module of device code that clang has compiled; ``checked``: kernels look at every access
    before they make it."""
    prepared = parse_and_prepare(ir, filename, checked)
    return CudaModule(filename, read_module(prepared, filename), checked)


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
    checked: bool = False

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

    def shapes_at_launch(self, name: str) -> list[tuple[int, int, int]]:
        """The forms, as `lower` takes them, that together run every block `name` may get."""
        function = self._find(name)
        most = min(function.max_threads, MAX_THREADS)
        sizes = [*(n for n in _BUCKETS if n < most and not self.checked), most]
        if not self.expects_lines(name):
            return [(n, 0, 0) for n in sizes]
        return [*((n, 1, 0) for n in sizes), (most, 0, 0)]

    def expects_lines(self, name: str) -> bool:
        """Whether a kernel does not look at y and z: it is hardly launched with blocks that have
        them."""
        return not _is_planar(self._find(name))

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
        """As `kernel`, for kernels that use device variables too.

        ``block`` may leave its extents to the launch: (n, 0, 0) stands for any block of at most n
        threads, (n, 1, 0) for those with y = z = 1; x, y, z are then three more parameters.
        """
        function = self._find(name)
        threads = block[0] * max(block[1], 1) * max(block[2], 1)
        at_launch = block[1:] in ((0, 0), (1, 0))
        if (min(block) < 1 and not at_launch) or not 1 <= threads <= MAX_THREADS:
            raise LaunchError(
                f"a block has 1 to {MAX_THREADS} threads, {block} has {threads}",
                location=function.location,
            )
        return _lower(function, block, shared_bytes, self.checked)

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


_BUCKETS = (64, 256)
_PLANAR = tuple(f"llvm.nvvm.read.ptx.sreg.{r}.{a}" for r in ("tid", "ntid") for a in "yz")


def _is_planar(function: Function) -> bool:
    """Whether a kernel looks at y or z."""
    return any(i.callee in _PLANAR for b in function.blocks for i in b.instructions)


def _lower(
    function: Function, block: tuple[int, int, int], shared_bytes: int, checked: bool
) -> LoweredKernel:
    flow = ControlFlow(function)
    shared = shared_pointers(flow)
    wrap_shared_indices(flow, shared)
    uniformity = Uniformity(flow)
    placement = Placement(flow, uniformity)
    waits = Waits(flow, uniformity)
    lanes = (waits.grain, 1, 1) if waits.grain else _lanes(flow, block)
    t = Translator(function, lanes, shared_bytes, uniformity, placement, shared, waits)
    t.checks = Checks(flow) if checked else None
    variables = _variables(flow, 0, 1, 4)
    for variable in variables:
        if variable.is_external:
            raise UnsupportedError(
                f"the device variable {variable.name} is declared here and defined nowhere",
                location=function.location,
                hint="nvcc -rdc=true (or -dc) with the source that defines it",
            )
    parameters = [*_parameters(t, function), *_variable_parameters(t, variables)]
    if block[2] == 0:
        parameters += _extent_parameters(t, is_line=block[1] == 1)
    elif lanes != block:
        extents = [t.constant(extent, I32) for extent in block]
        t.set_extents(extents, is_line=block[1] * block[2] == 1)
    check_enter(t)
    _check_arguments(t, function)
    static_bytes = _shared_memory(t, flow)
    keep_returned(t)
    emit_function(t, flow)
    kernel = ir.Kernel(function.display_name, tuple(parameters), t.body, function.location, lanes)
    return LoweredKernel(kernel, tuple(variables), function.arguments, static_bytes)


def _check_arguments(t: Translator, function: Function) -> None:
    for argument in function.arguments:
        if argument.by_value is not None:
            size = size_of(argument.by_value)
            check_array(t, t.env[argument], size, ARGUMENT, argument.name)


def _lanes(flow: ControlFlow, block: tuple[int, int, int]) -> tuple[int, int, int]:
    """The lanes that run a block, some of them idle: of blocks known at the launch, and where
    warps that are not full talk."""
    x, y, z = block
    if z == 0:
        return (x, 1, 1)
    calls = (i.callee for b in flow.order for i in b.instructions if i.callee)
    if x * y * z % WARP == 0 or not any(c.startswith(WARP_WIDE) for c in calls):
        return block
    return (-(-x * y * z // WARP) * WARP, 1, 1)


def _extent_parameters(t: Translator, is_line: bool) -> list[ir.Parameter]:
    extents = [ir.Value(I32, name) for name in ("blockDim.x", "blockDim.y", "blockDim.z")]
    t.set_extents(extents, is_line)
    return [ir.Parameter(value, str(value.name)) for value in extents]


def _parameters(t: Translator, function: Function) -> list[ir.Parameter]:
    """The kernel's own parameters; of a structure passed by value the address of a copy."""
    parameters = []
    for argument in function.arguments:
        value = ir.Value(t.element(argument.type, function.location), argument.name)
        t.env[argument] = value
        if t.checks and isinstance(argument.type, PtrType):
            t.checks.roots.add(value)
        parameters.append(ir.Parameter(value, argument.name))
    return parameters


def _variable_parameters(t: Translator, variables: list[Global]) -> list[ir.Parameter]:
    parameters = []
    for variable in variables:
        value = ir.Value(PTR, variable.name)
        t.env[variable] = value
        if t.checks:
            t.checks.roots.add(value)
        parameters.append(ir.Parameter(value, variable.name))
    return parameters


def _shared_memory(t: Translator, flow: ControlFlow) -> int:
    """One Scratch per __shared__ variable that the kernel uses; the bytes of the static ones."""
    static = 0
    if any(i.callee in SHARED_ADDRESSES for b in flow.order for i in b.instructions):
        t.env["shared base"] = _block_memory(t, 0, 16, 16)
    dynamic = None
    for index, variable in enumerate(_variables(flow, 3), start=1):
        size = size_of(variable.content)
        static += size
        if size:
            t.env[variable] = _block_memory(t, index, size, max(variable.alignment, 16))
        else:
            dynamic = t.env[variable] = dynamic or _dynamic_memory(t, index, variable)
        check_array(t, t.env[variable], size, SHARED, shared_name(variable.name))
    return static


def _dynamic_memory(t: Translator, index: int, variable: Global) -> ir.Value:
    """The memory that all extern __shared__ arrays of a kernel begin in."""
    if not t.shared_bytes:
        raise LaunchError(
            f"{variable.name} is extern __shared__, and the launch gives it no bytes",
            location=t.function.location,
            hint="give shared_bytes, the third launch parameter",
        )
    return _block_memory(t, index, t.shared_bytes, max(variable.alignment, DYNAMIC_ALIGNMENT))


def _block_memory(t: Translator, index: int, bytes_: int, alignment: int) -> ir.Value:
    """Memory of a block: of its one program, or of all its members."""
    if t.waits.grain:
        if index >= BLOCK_MEMORIES:
            raise UnsupportedError(
                f"a kernel whose warps run apart has at most {BLOCK_MEMORIES - 1} __shared__ "
                "variables",
                location=t.function.location,
                hint="put several into one structure",
            )
        return t.add(ir.BlockMemory, index=index, bytes=bytes_)
    return t.add(ir.Scratch, bytes=bytes_, alignment=alignment)


def _variables(flow: ControlFlow, *spaces: int) -> list[Global]:
    """The variables in some address spaces that a function uses."""
    found: dict[Global, None] = {}
    for block in flow.order:
        for instruction in block.instructions:
            for variable in _globals_in(instruction.operands):
                assert isinstance(variable.type, PtrType)
                if variable.type.space in spaces:
                    found[variable] = None
    return list(found)


def _globals_in(values: tuple[LlvmValue, ...]) -> Iterator[Global]:
    for value in values:
        if isinstance(value, Global):
            yield value
        elif isinstance(value, ConstantExpression):
            yield from _globals_in(value.operands)
