"""Launching: from the arguments of ``kernel[grid](...)`` to the native launcher, and errors back.

A launch costs the native launcher's time and one Python call; everything else (hooks, tuples,
tensor descriptors, recording, the interpreter, error messages) stands off that path.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from triton.backends.driver import decompose_descriptor, expand_signature

from canopy import config
from canopy.errors import (
    CacheError,
    CanopyError,
    KernelError,
    LaunchError,
    Location,
    MissingDependencyError,
)
from canopy.frontends.triton.binary import Binary, is_fresh
from canopy.frontends.triton.cooperative import make_cooperative
from canopy.frontends.triton.options import CpuOptions
from canopy.frontends.triton.places import launch_site
from canopy.runtime import trace
from canopy.runtime.observers import launch_observers

__all__ = ["collect_launches", "load_binary", "make_launcher"]

_KINDS = {
    "i1": b"b",
    "u1": b"b",
    "i8": b"k",
    "u8": b"K",
    "i16": b"s",
    "u16": b"S",
    "i32": b"i",
    "u32": b"I",
    "i64": b"l",
    "u64": b"L",
    "fp16": b"e",
    "bf16": b"y",
    "fp32": b"f",
    "f32": b"f",
    "fp64": b"d",
    "f64": b"d",
    "constexpr": b"c",
}
_POSITION = re.compile(r"^argument (\d+): ")
_MOST_PROGRAMS = 2**31 - 1


@dataclass(slots=True)
class LoadedKernel:
    """A kernel in memory: ready to be called, or to be interpreted."""

    binary: Binary
    address: int
    keep: Any  # owns the machine code, or is the kernel to interpret


# ---- loading -----------------------------------------------------------------------------------

_pending = threading.local()  # the launcher that was made last: Triton loads its binary next
_native_launchers: list[tuple[Binary, Any]] = []


def load_binary(name: str, data: bytes) -> LoadedKernel:
    """The kernel in ``data``, as Triton's cache gave it; compiled again where that is damaged."""
    try:
        binary = Binary.unpack(data)
    except (CacheError, ValueError, KeyError, TypeError):
        binary = Binary.unpack(_recompiled())
    loaded = _interpreted(binary) if binary.interpreted else _native(binary)
    _trace_load(binary)
    return loaded


def _recompiled() -> bytes:
    import triton
    from triton import knobs

    made = getattr(_pending, "made", None)
    if made is None:
        raise CacheError(
            "a compiled kernel in the cache is damaged", hint="run `canopy cache clear`"
        )
    source, metadata = made
    fields = {name: getattr(metadata, name, None) for name in CpuOptions.__dataclass_fields__}
    options = {name: _as_tuples(value) for name, value in fields.items()}
    with knobs.compilation.scope():
        knobs.compilation.always_compile = True
        kernel = triton.compile(source, target=metadata.target, options=options)
    return bytes(kernel.asm["obj"])


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(item) for item in value) if isinstance(value, list) else value


def _interpreted(binary: Binary) -> LoadedKernel:
    from canopy.frontends.triton.reader import ttir_to_kernel

    return LoadedKernel(binary, 0, ttir_to_kernel(binary.code.decode()))


def _native(binary: Binary) -> LoadedKernel:
    from canopy.compiler import Executable

    fields = {
        "name": binary.name,
        "entry_name": binary.entry_name,
        "scratch_bytes": binary.scratch_bytes,
        "written": list(binary.written),
    }
    executable = Executable.from_metadata(binary.code, fields)
    return LoadedKernel(binary, executable.load(), executable)


def _trace_load(binary: Binary) -> None:
    fresh = is_fresh(binary)
    trace.record_kernel(
        binary.name,
        compile_s=binary.compile_s if fresh else 0.0,
        cache_hits=0 if fresh else 1,
        location=Location(binary.file, binary.line),
    )


def collect_launches() -> None:
    """Moves the native launchers' counts into `canopy.runtime.trace`, for the reports."""
    for binary, native in _native_launchers:
        if native.launches:
            trace.record_kernel(binary.name, launches=native.launches, run_s=native.total_ns / 1e9)
            native.launches = native.total_ns = 0


trace.add_collector(collect_launches)


# ---- arguments ---------------------------------------------------------------------------------


def _flat(signature: Any, name: str) -> Iterator[tuple[str, str]]:
    """(type, name) of every argument; those inside tuples are named ``point.0``."""
    if isinstance(signature, tuple | list):
        for index, inner in enumerate(signature):
            yield from _flat(inner, f"{name}.{index}")
    else:
        yield signature, name


def _flatten(values: Iterable[Any], signature: Iterable[Any]) -> Iterator[Any]:
    """The argument values in the order of `_flat`, descriptors taken apart."""
    for value, kind in zip(values, signature, strict=True):
        if isinstance(kind, tuple | list):
            yield from _flatten(value, kind)
        elif isinstance(kind, str) and kind.startswith("tensordesc"):
            yield from decompose_descriptor(value)
        else:
            yield value


class _Arguments:
    """The launch signature of one compiled kernel."""

    def __init__(self, signature: dict[str, Any]) -> None:
        self.declared = tuple(signature.values())
        self.types: list[str] = []
        self.names: list[str] = []
        for name, type_ in signature.items():
            for inner, label in _flat(type_, str(name)):
                expanded = expand_signature([inner], None, "")
                self.types += expanded
                self.names += [label] * len(expanded)
        self.runtime_positions = [i for i, t in enumerate(self.types) if t != "constexpr"]
        self.is_flat = all(
            isinstance(kind, str) and not kind.startswith("tensordesc") for kind in self.declared
        )

    def flat(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        return values if self.is_flat else tuple(_flatten(values, self.declared))

    def kinds(self, written: tuple[bool, ...]) -> bytes:
        """One character per argument, as the native launcher reads them."""
        runtime = iter(written)
        return b"".join(self._kind(type_, runtime) for type_ in self.types)

    @staticmethod
    def _kind(type_: str, written: Iterator[bool]) -> bytes:
        if type_ == "constexpr":
            return b"c"
        is_written = next(written, True)
        if type_.startswith("*"):
            return b"W" if is_written else b"P"
        if type_ not in _KINDS:
            raise LaunchError(f"arguments of the type {type_} cannot be passed to a kernel")
        return _KINDS[type_]

    def runtime(self, values: tuple[Any, ...]) -> list[Any]:
        """The values that become kernel parameters: all but constants."""
        return [values[position] for position in self.runtime_positions]


# ---- errors ------------------------------------------------------------------------------------


def _explained(error: Exception, binary: Binary, names: list[str]) -> Exception:
    """A launcher's error with the launch's place and the argument's name; others as they are."""
    if isinstance(error, CanopyError):
        if not error.location.file and isinstance(error, LaunchError):
            error.location = launch_site()
        return error
    location, text = launch_site(), str(error)
    if type(error).__name__ == "KernelFailure":
        return KernelError(text)  # the text begins with the failing line
    if match := _POSITION.match(text):
        name = names[int(match[1])]
        text = f"argument {name} of {binary.name}: {text[match.end() :]}"
        return LaunchError(text, location=location, hint=_argument_hint(text))
    if text.startswith("grid: "):
        hint = "each axis of a grid is a number from 0 to 2147483647"
        if "expected an integer" in text:
            hint = "each axis of a grid is an integer: triton.cdiv(n, BLOCK), not n / BLOCK"
        return LaunchError(f"the grid of {binary.name}: {text[6:]}", location=location, hint=hint)
    return error


def _argument_hint(text: str) -> str:
    if "on device" in text:
        return "kernels read and write real memory: create the tensor on the CPU"
    if "does not fit" in text:
        return "annotate the parameter with a wider type, or pass a smaller number"
    return "pass a torch tensor for a pointer, and a number for a scalar"


# ---- launching ---------------------------------------------------------------------------------


def make_launcher(source: Any, metadata: Any) -> Callable[..., None]:
    """The function that Triton calls for every launch of one compiled kernel."""
    _pending.made = (source, metadata)
    arguments = _Arguments(source.signature)
    is_flat = arguments.is_flat
    is_cooperative = getattr(metadata, "launch_cooperative_grid", False)
    native: Callable[..., None] | None = None

    def launch(
        grid_x: int,
        grid_y: int,
        grid_z: int,
        stream: Any,
        function: LoadedKernel,
        packed_metadata: Any,
        launch_metadata: Any,
        enter_hook: Any,
        exit_hook: Any,
        *values: Any,
    ) -> None:
        nonlocal native
        if native is None:
            native = _callable(function, arguments, is_cooperative)
        if not is_flat:
            values = arguments.flat(values)
        if enter_hook is not None and _has_hooks(enter_hook):
            enter_hook(launch_metadata)
        try:
            if not launch_observers:
                native(grid_x, grid_y, grid_z, *values)
            else:
                grid = (grid_x, grid_y, grid_z)
                _observed(native, grid, values, function.binary, arguments.names)
        except Exception as error:
            explained = _explained(error, function.binary, arguments.names)
            if explained is error:
                raise
            raise explained from None
        if exit_hook is not None and _has_hooks(exit_hook):
            exit_hook(launch_metadata)

    return launch


def _has_hooks(hook: Any) -> bool:
    return bool(getattr(hook, "calls", True))


def _observed(
    native: Callable[..., None],
    grid: tuple[int, int, int],
    values: tuple[Any, ...],
    binary: Binary,
    names: list[str],
) -> None:
    """Offers the launch to the observers, and launches where none takes it."""

    def launch() -> None:  # whoever has taken it may call it later, and again
        try:
            native(*grid, *values)
        except Exception as error:
            explained = _explained(error, binary, names)
            if explained is error:
                raise
            raise explained from None

    tensors = [value for value in values if hasattr(value, "untyped_storage")]
    for observer in launch_observers:
        if observer(launch, tensors):
            return
    launch()


def _callable(
    function: LoadedKernel, arguments: _Arguments, is_cooperative: bool
) -> Callable[..., None]:
    if function.binary.interpreted:
        return _interpreting(function, arguments)
    try:
        from canopy.runtime.launch import make_launcher as make_native
        from canopy.runtime.native_library import native
    except ImportError as error:
        raise MissingDependencyError(
            f"the native runtime cannot be loaded: {error}", hint="reinstall canopy-nn"
        ) from error
    native.set_timing(True)
    kinds = arguments.kinds(function.binary.written)
    if is_cooperative:
        counting, launch = make_cooperative(function, kinds)
        _native_launchers.append((function.binary, counting))
        return launch
    made = make_native(
        function.address,
        function.binary.scratch_bytes,
        kinds,
        name=function.binary.name,
        keep=function.keep,
    )
    _native_launchers.append((function.binary, made))
    return made


def _interpreting(function: LoadedKernel, arguments: _Arguments) -> Callable[..., None]:
    from canopy.ir import Bitcast, walk
    from canopy.ir.interpreter import Interpreter
    from canopy.ir.types import is_pointer

    # Memory behind an address that was computed or loaded belongs to no argument.
    opaque = [
        op
        for op in walk(function.keep.body.ops)
        if isinstance(op, Bitcast) and is_pointer(op.result.type)
    ]

    simulated = None
    if config.simulates():
        from canopy.frontends.triton.comparing import kernel_for

        simulated = kernel_for(function.keep)

    def run(grid_x: int, grid_y: int, grid_z: int, *values: Any) -> None:
        grid = (grid_x, grid_y, grid_z)
        for axis, extent in zip("xyz", grid, strict=True):
            if not isinstance(extent, int):
                raise TypeError(f"grid: expected an integer along {axis}, got {extent!r}")
            if not 0 <= extent <= _MOST_PROGRAMS:
                raise ValueError(f"grid: {extent} along {axis} is outside 0..{_MOST_PROGRAMS}")
        if grid_x * grid_y * grid_z >= 2**63:
            raise ValueError(f"grid: {grid} holds more than 2^63 - 1 programs")
        given = arguments.runtime(values)
        for position, value in enumerate(given):
            if getattr(value, "is_meta", False):
                refused = "expected a tensor in CPU memory, got one on device 'meta'"
                raise ValueError(f"argument {arguments.runtime_positions[position]}: {refused}")
        if 0 in grid:
            return
        if simulated is not None:
            simulated.launch(given, grid)
        else:
            Interpreter(function.keep, given, grid, check=not opaque).run()

    return run
