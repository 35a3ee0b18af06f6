"""`canopy.cuda.RawKernel` and `RawModule`: CUDA C++ source, launched on Python's arrays.

k = RawKernel(code, "saxpy")
k((n // 256,), (256,), (n, np.float32(2), x, y))

The interface is CuPy's. A launch runs to its end before the call returns, on all threads.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from canopy import config
from canopy.errors import (
    CanopyError,
    CompileError,
    KernelError,
    LaunchError,
    Location,
    UnsupportedError,
)
from canopy.frontends.cuda.command_line import read_command_line
from canopy.frontends.cuda.dtypes import numpy_dtype
from canopy.frontends.cuda.jit import (
    DYNAMIC_SHARED_BYTES,
    DeviceVariable,
    JitModule,
    KernelInfo,
    Shape,
    Source,
    jit_module,
)
from canopy.frontends.cuda.options import Options
from canopy.frontends.cuda.packing import RefusalError, kind_of, packer_for
from canopy.runtime import trace
from canopy.runtime.observers import launch_observers

__all__ = ["Function", "RawKernel", "RawModule", "raw_function"]

MAX_THREADS = 1024
STATIC_SHARED_BYTES = 48 << 10
_GRID_LIMITS = (2**31 - 1, 65535, 65535)
_BLOCK_LIMITS = (1024, 1024, 64)
_POSITION = re.compile(r"^argument (\d+): ")


def _options(words: Sequence[str], check: bool = False) -> Options:
    """NVRTC's and nvcc's options, as the compiler takes them; ``check`` is nvcc's ``--check``."""
    if isinstance(words, str):
        raise CompileError("options are a sequence of words, not one text", hint="('-DN=4',)")
    line = read_command_line([str(word) for word in words])
    if line.inputs:
        raise CompileError(f"{line.inputs[0]} is no option", hint="options begin with -")
    preprocessor = tuple(line.preprocessor)
    warnings, checked = tuple(line.warnings), check or line.checked or config.check()
    options = Options(preprocessor, line.standard, line.optimization, warnings)
    return replace(options, checked=checked)


# ---- launching ---------------------------------------------------------------------------------


class _Launcher:
    """A kernel for one block shape and one amount of dynamic shared memory; ``native(x, y, z,
    *values)`` launches it."""

    native: Callable[..., None]

    def __init__(
        self, function: Function, variables: Sequence[str], by_value: Sequence[bool]
    ) -> None:
        self.memory = tuple(function.module.memory[name] for name in variables)
        self.packers = tuple(
            packer_for(parameter, is_copied, function.check_layout)
            for parameter, is_copied in zip(function.info.parameters, by_value, strict=True)
        )

    def values(self, args: Sequence[Any], info: KernelInfo) -> list[Any]:
        """What the native launcher takes; LaunchError that names the parameter otherwise."""
        packers = self.packers
        if len(args) != len(packers):
            listed = ", ".join(f"{p.type.text} {p.name}" for p in info.parameters)
            raise LaunchError(
                f"{info.display} takes {len(packers)} arguments, {len(args)} are given",
                location=trace.caller_location(),
                hint=f"{info.display}({listed})",
            )
        values: list[Any] = []
        for packer, value in zip(packers, args, strict=True):
            if packer is None:
                values.append(value)
                continue
            try:
                values.append(packer(value))
            except RefusalError as refusal:
                raise _argument_error(info, len(values), str(refusal), refusal.hint) from None
        values.extend(self.memory)
        return values


class _NativeLauncher(_Launcher):
    """On the processor at hand."""

    def __init__(self, function: Function, block: Shape, shared_bytes: int) -> None:
        from canopy.runtime.launch import make_launcher
        from canopy.runtime.native_library import native

        module, info = function.module, function.info
        variant = module.variant(info, block, shared_bytes)
        super().__init__(function, variant.variables, variant.by_value)
        written = variant.written
        kinds = [
            "P" if variant.by_value[at] else kind_of(parameter.type, written[at])
            for at, parameter in enumerate(info.parameters)
        ]
        kinds += ["W" if flag else "P" for flag in written[len(kinds) :]]
        native.set_timing(True)
        made = make_launcher(
            variant.address,
            variant.scratch_bytes,
            "".join(kinds).encode(),
            name=info.display,
            block=block,
            keep=variant.keep,
            checked_shared=shared_bytes if module.source.options.checked else -1,
        )
        self.native = made
        _native_launchers.append((info.display, made))


class _SimulatedLauncher(_Launcher):
    """On the Ascend simulator, or on all targets that `canopy compare` compares."""

    def __init__(self, function: Function, block: Shape, shared_bytes: int) -> None:
        from canopy.frontends.triton.comparing import kernel_for

        lowered = function.module.lowered(function.info, block, shared_bytes)
        variables = [variable.name for variable in lowered.variables]
        super().__init__(function, variables, [a.is_by_value for a in lowered.arguments])
        self._kernel = kernel_for(lowered.kernel, block)
        self.native = self._launch

    def _launch(self, x: int, y: int, z: int, *values: Any) -> None:
        self._kernel.launch(values, (x, y, z))


def _argument_error(info: KernelInfo, position: int, fact: str, hint: str) -> LaunchError:
    parameter = info.parameters[position]
    return LaunchError(
        f"argument {parameter.name} ({parameter.type.text}) of {info.display}: {fact}",
        location=trace.caller_location(),
        hint=hint,
    )


_native_launchers: list[tuple[str, Any]] = []


def _collect_launches() -> None:
    """Moves the native launchers' counts into the records of the reports."""
    for name, native in _native_launchers:
        if native.launches:
            trace.record_kernel(name, launches=native.launches, run_s=native.total_ns / 1e9)
            native.launches = native.total_ns = 0


trace.add_collector(_collect_launches)


class Function:
    """A kernel that can be launched: what `RawModule.get_function` gives.

    ``function(grid, block, args, shared_mem=0, stream=None)``: ``grid`` and ``block`` have one to
    three extents, ``shared_mem`` is in bytes. Launches are ordered whatever their ``stream``.
    Raises LaunchError for what cannot be launched, KernelError for a kernel that fails.
    """

    def __init__(self, module: JitModule, info: KernelInfo, check_layout: bool = True) -> None:
        self.module = module
        self.info = info
        self.check_layout = check_layout
        self._launchers: dict[tuple[Any, int], _Launcher] = {}
        self._own_launchers: dict[tuple[Any, int], _Launcher] = {}  # of `canopy.simulate`
        self._max_dynamic_shared: int | None = None
        self._carveout = -1

    @property
    def name(self) -> str:
        """The name as written in the source."""
        return self.info.display

    @property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        """(C type, name) of every parameter."""
        return tuple((p.type.text, p.name) for p in self.info.parameters)

    def __call__(
        self,
        grid: Sequence[int],
        block: Sequence[int],
        args: Sequence[Any] = (),
        *,
        shared_mem: int = 0,
        stream: Any = None,
    ) -> None:
        launcher = self._launchers.get((block, shared_mem)) if type(block) is tuple else None
        if launcher is None:
            launcher = self._launcher_for(block, shared_mem)
        x, y, z = grid if type(grid) is tuple and len(grid) == 3 else _extents(grid, "grid")
        if y > 65535 or z > 65535 or x < 1 or y < 1 or z < 1:
            raise _grid_error((x, y, z))
        values = launcher.values(args, self.info)
        if launch_observers and self._is_taken(launcher, (x, y, z), values):
            return
        try:
            launcher.native(x, y, z, *values)
        except (TypeError, ValueError, RuntimeError) as error:
            raise _explained(error, self.info) from None

    @contextmanager
    def own_launchers(self) -> Iterator[None]:
        """Inside, launches know nothing of those outside: the target is another one."""
        outer, self._launchers = self._launchers, self._own_launchers
        try:
            yield
        finally:
            self._launchers = outer

    def _is_taken(self, launcher: _Launcher, grid: Shape, values: list[Any]) -> bool:
        """Whether somebody who watches launches (a graph's capture) has taken this one over."""

        def launch() -> None:
            try:
                launcher.native(*grid, *values)
            except (TypeError, ValueError, RuntimeError) as error:
                raise _explained(error, self.info) from None

        tensors = [value for value in values if hasattr(value, "untyped_storage")]
        return any(observer(launch, tensors) for observer in launch_observers)

    def _launcher_for(self, block: Sequence[int], shared_mem: int) -> _Launcher:
        shape, shared_bytes = _extents(block, "block"), operator.index(shared_mem)
        self._check_block(shape)
        self._check_shared(shared_bytes)
        launcher = self._launchers.get((shape, shared_bytes))
        if launcher is None:
            kind = _SimulatedLauncher if config.simulates() else _NativeLauncher
            launcher = kind(self, shape, shared_bytes)
        self._launchers[shape, shared_bytes] = launcher
        if type(block) is tuple:
            self._launchers[block, shared_mem] = launcher
        return launcher

    def _check_block(self, shape: Shape) -> None:
        threads = shape[0] * shape[1] * shape[2]
        limit = min(self.info.max_threads, MAX_THREADS)
        if min(shape) >= 1 and threads <= limit and shape[2] <= _BLOCK_LIMITS[2]:
            return
        why = "" if limit == MAX_THREADS else " (its __launch_bounds__)"
        raise LaunchError(
            f"a block of {self.name} has 1 to {limit} threads{why}, {shape} has {threads}",
            location=trace.caller_location(),
            hint="z is at most 64" if shape[2] > _BLOCK_LIMITS[2] else "",
        )

    def _check_shared(self, shared_bytes: int) -> None:
        limit = self.max_dynamic_shared_size_bytes
        if 0 <= shared_bytes <= limit:
            return
        raise LaunchError(
            f"{self.name} may have {limit} bytes of dynamic shared memory, "
            f"shared_mem is {shared_bytes}",
            location=trace.caller_location(),
            hint="set max_dynamic_shared_size_bytes of the kernel first, "
            f"at most {DYNAMIC_SHARED_BYTES}",
        )

    # ---- attributes

    @property
    def attributes(self) -> dict[str, int]:
        """CuPy's: sizes in bytes; what a CPU has no notion of is as small kernels have it."""
        return {
            "max_threads_per_block": self.max_threads_per_block,
            "shared_size_bytes": self.shared_size_bytes,
            "const_size_bytes": self.const_size_bytes,
            "local_size_bytes": self.local_size_bytes,
            "num_regs": self.num_regs,
            "ptx_version": self.ptx_version,
            "binary_version": self.binary_version,
            "cache_mode_ca": self.cache_mode_ca,
            "max_dynamic_shared_size_bytes": self.max_dynamic_shared_size_bytes,
            "preferred_shared_memory_carveout": self.preferred_shared_memory_carveout,
        }

    const_size_bytes = 0
    local_size_bytes = 0
    num_regs = 32
    ptx_version = 80
    binary_version = 80
    cache_mode_ca = 0

    @property
    def max_threads_per_block(self) -> int:
        """1,024, or what ``__launch_bounds__`` says."""
        return min(self.info.max_threads, MAX_THREADS)

    @property
    def shared_size_bytes(self) -> int:
        """The ``__shared__`` variables of the kernel."""
        return self.module.static_shared_bytes(self.info)

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        """What a launch may ask for as ``shared_mem``; may be set, to 227 KiB at most."""
        if self._max_dynamic_shared is None:
            return STATIC_SHARED_BYTES
        return self._max_dynamic_shared

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, value: int) -> None:
        if not 0 <= value <= DYNAMIC_SHARED_BYTES:
            raise LaunchError(
                f"max_dynamic_shared_size_bytes is 0 to {DYNAMIC_SHARED_BYTES}, not {value}",
                location=trace.caller_location(),
            )
        self._max_dynamic_shared = int(value)

    @property
    def preferred_shared_memory_carveout(self) -> int:
        """Kept and without effect: a CPU has one memory."""
        return self._carveout

    @preferred_shared_memory_carveout.setter
    def preferred_shared_memory_carveout(self, value: int) -> None:
        self._carveout = int(value)


def _extents(values: Any, what: str) -> Shape:
    """One to three extents as three; a single number stands for one."""
    try:
        given = [operator.index(v) for v in (values if hasattr(values, "__iter__") else (values,))]
    except TypeError:
        raise LaunchError(
            f"the {what} is {values!r}, expected one to three integers",
            location=trace.caller_location(),
            hint="divide with //: (n + 255) // 256",
        ) from None
    if not 1 <= len(given) <= 3:
        raise LaunchError(
            f"a {what} has one to three extents, this one has {len(given)}",
            location=trace.caller_location(),
        )
    x, y, z = (*given, 1, 1)[:3]
    return x, y, z


def _grid_error(grid: Shape) -> LaunchError:
    limits = ", ".join(map(str, _GRID_LIMITS))
    return LaunchError(
        f"the grid is {grid}; its extents are at least 1, and at most {limits}",
        location=trace.caller_location(),
    )


def _explained(error: Exception, info: KernelInfo) -> Exception:
    """A native launcher's error with the parameter's name."""
    text = str(error)
    if isinstance(error, CanopyError):
        return error
    if type(error).__name__ == "KernelFailure":
        return KernelError(text)  # the text begins with the failing line
    if match := _POSITION.match(text):
        position = int(match[1])
        if position < len(info.parameters):
            return _argument_error(info, position, text[match.end() :], "")
    return LaunchError(f"{info.display}: {text}", location=trace.caller_location())


# ---- what users make ---------------------------------------------------------------------------


def _check_backend(backend: str) -> None:
    if backend not in ("nvrtc", "nvcc"):
        raise CompileError(f"backend is 'nvrtc' or 'nvcc', not {backend!r}")


def raw_function(
    code: str,
    name: str,
    options: Sequence[str],
    filename: str,
    check_layout: bool = False,
    check: bool = False,
) -> Function:
    """The kernel ``name``, which may have template arguments, of a source that messages call
    ``filename``. ``check_layout``: arrays with gaps between their elements are refused; ``check``:
    the kernel checks its accesses."""
    expressions = (name,) if "<" in name else ()
    module = jit_module(Source(code, filename, _options(options, check), expressions))
    return Function(module, module.find(name), check_layout)


class RawKernel:
    """A kernel given by its source.

    ``code``: CUDA C++, ``name``: the kernel in it, a template's with its arguments
    (``"scale<float>"``). ``options``: those of NVRTC or nvcc. Compiled at the first launch or use
    of an attribute, per block shape, and kept on disk. Raises CompileError in clang's words.
    ``check``: every access of the kernel is checked; one that is out of bounds raises KernelError
    with its line, thread and block, a race is told on standard error.
    """

    def __init__(
        self,
        code: str,
        name: str,
        options: Sequence[str] = (),
        backend: str = "nvrtc",
        *,
        translate_cucomplex: bool = False,
        enable_cooperative_groups: bool = False,
        jitify: bool = False,
        check: bool = False,
    ) -> None:
        _check_backend(backend)
        self.check = check
        self.code = code
        self.name = name
        self.options = tuple(options)
        self.backend = backend
        self.file_path: str | None = None
        self.enable_cooperative_groups = enable_cooperative_groups
        self._function: Function | None = None

    def compile(self, log_stream: Any = None) -> None:
        """Compiles the source now. ``log_stream`` gets what clang says of errors."""
        try:
            self.kernel  # noqa: B018
        except CompileError as error:
            if log_stream is not None:
                log_stream.write(getattr(error, "output", str(error)))
            raise

    @property
    def kernel(self) -> Function:
        """The compiled kernel."""
        if self._function is None:
            filename = f"<RawKernel {self.name}>"
            self._function = raw_function(
                self.code, self.name, self.options, filename, True, self.check
            )
        return self._function

    def __call__(
        self,
        grid: Sequence[int],
        block: Sequence[int],
        args: Sequence[Any] = (),
        *,
        shared_mem: int = 0,
        stream: Any = None,
    ) -> None:
        """Launches, as `Function` does."""
        function = self._function or self.kernel
        function(grid, block, args, shared_mem=shared_mem, stream=stream)

    def __getattr__(self, name: str) -> Any:
        """Attributes of the compiled kernel: ``attributes``, ``num_regs``..."""
        if name.startswith("_") or not hasattr(Function, name):
            raise AttributeError(f"'RawKernel' object has no attribute {name!r}")
        return getattr(self.kernel, name)

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        """What a launch may ask for as ``shared_mem``; may be set, to 227 KiB at most."""
        return self.kernel.max_dynamic_shared_size_bytes

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, value: int) -> None:
        self.kernel.max_dynamic_shared_size_bytes = value

    @property
    def preferred_shared_memory_carveout(self) -> int:
        """Kept and without effect."""
        return self.kernel.preferred_shared_memory_carveout

    @preferred_shared_memory_carveout.setter
    def preferred_shared_memory_carveout(self, value: int) -> None:
        self.kernel.preferred_shared_memory_carveout = value


class RawModule:
    """Kernels and device variables of one source: ``code``, or the file ``path`` with it.

    ``name_expressions``: templates to instantiate, by which `get_function` then finds them. Binary
    modules (PTX, cubin) raise UnsupportedError. ``check``: as in `RawKernel`.
    """

    def __init__(
        self,
        *,
        code: str | None = None,
        path: str | None = None,
        options: Sequence[str] = (),
        backend: str = "nvrtc",
        translate_cucomplex: bool = False,
        enable_cooperative_groups: bool = False,
        name_expressions: Sequence[str] | None = None,
        jitify: bool = False,
        check: bool = False,
    ) -> None:
        _check_backend(backend)
        self.check = check
        if (code is None) == (path is None):
            raise CompileError("RawModule takes either code= or path=")
        self.code = _read_source(str(path)) if code is None else code
        self.file_path = path
        self.options = tuple(options)
        self.backend = backend
        self.name_expressions = tuple(name_expressions or ())
        self.enable_cooperative_groups = enable_cooperative_groups
        self._module: JitModule | None = None
        self._functions: dict[str, Function] = {}

    @property
    def module(self) -> JitModule:
        """The compiled source."""
        if self._module is None:
            filename = str(self.file_path or "<RawModule>")
            options = _options(self.options, self.check)
            self._module = jit_module(Source(self.code, filename, options, self.name_expressions))
        return self._module

    def compile(self, log_stream: Any = None) -> None:
        """Compiles the source now. ``log_stream`` gets what clang says of errors."""
        try:
            self.module  # noqa: B018
        except CompileError as error:
            if log_stream is not None:
                log_stream.write(getattr(error, "output", str(error)))
            raise

    def get_function(self, name: str) -> Function:
        """The kernel of that name, or of that name expression. CompileError lists what there is."""
        if name not in self._functions:
            self._functions[name] = Function(self.module, self.module.find(name))
        return self._functions[name]

    def get_global(self, name: str) -> np.ndarray[Any, Any]:
        """A ``__device__`` or ``__constant__`` variable as an array over its own memory, with its C
        type's dtype and shape (a scalar has shape ())."""
        variable: DeviceVariable = self.module.variable(name)
        whole = np.asarray(variable)
        element = variable.type.element if variable.type.kind == "array" else variable.type
        shape = variable.type.extents if variable.type.kind == "array" else ()
        return whole.view(numpy_dtype(element or variable.type)).reshape(shape)


def _read_source(path: str) -> str:
    data = Path(path).read_bytes()
    if path.endswith((".cubin", ".fatbin", ".ptx")) or data[:4] == b"\x7fELF":
        raise UnsupportedError(
            f"{path} holds machine code of NVIDIA's processors, which the cpu target cannot run",
            location=Location(path),
            hint="give the CUDA C++ source: RawModule(code=...), or the path of a .cu file",
        )
    return data.decode("utf-8", errors="replace")
