"""`canopy.ascend.RawKernel`: Ascend C source, launched on Python's arrays.

    k = RawKernel(source, "add_custom")
    k(8, (x, y, z))

A launch runs to its end before the call returns. The cores of the chip that work side by side are
threads; blocks beyond them follow in turns.
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Sequence
from typing import Any

from canopy import config
from canopy.errors import KernelError, LaunchError, Location, UnsupportedError
from canopy.frontends.ascendc.arguments import Bound, Parameter, bind
from canopy.frontends.ascendc.library import Library, build_library, load_library
from canopy.runtime import trace
from canopy.targets.ascend.chip import Chip, load_chip

__all__ = ["RawKernel"]

_MOST_BLOCKS = 65535
_SPACES = 8  # GM, UB, L1, L0A, L0B, L0C, the bias table, the fixpipe buffer
_BIAS_TABLE_BYTES, _FIXPIPE_BYTES = 1024, 2048
_POLL_MS = 100

_VECTOR, _CUBE, _MIX_1_2, _MIX_1_1 = range(4)
_TYPES = {
    "AIV_ONLY": _VECTOR,
    "MIX_AIV_1_0": _VECTOR,
    "AIC_ONLY": _CUBE,
    "MIX_AIC_1_0": _CUBE,
    "MIX_AIC_1_1": _MIX_1_1,
    "MIX_AIC_1_2": _MIX_1_2,
}
_DECLARED = re.compile(r"\bKERNEL_TYPE_(\w+)")
_MIX = re.compile(r"\b__mix__\s*\(\s*1\s*,\s*([012])\s*\)")
_CUBE_CALLS = re.compile(r"\b(?:Mmad|Fixpipe|LoadData)\s*[<(]")
_BOTH = re.compile(r"\bASCEND_IS_AI[CV]\b|\bCrossCoreSetFlag\b")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


class _Argument(ctypes.Structure):
    _fields_ = (
        ("address", ctypes.c_void_p),
        ("bytes", ctypes.c_uint64),
        ("name", ctypes.c_char_p),
    )


class _Note(ctypes.Structure):
    _fields_ = (("file", ctypes.c_char_p), ("line", ctypes.c_int), ("text", ctypes.c_char * 320))


class _Launch(ctypes.Structure):
    """As `Launch` of headers/canopy_ascend/core.h."""

    _fields_ = (
        ("block_dim", ctypes.c_uint32),
        ("kind", ctypes.c_uint32),
        ("cube_cores", ctypes.c_uint32),
        ("vector_cores", ctypes.c_uint32),
        ("sizes", ctypes.c_uint32 * _SPACES),
        ("check_order", ctypes.c_uint32),
        ("anywhere", ctypes.c_uint32),
        ("argument_count", ctypes.c_uint32),
        ("arguments", ctypes.POINTER(_Argument)),
        ("values", ctypes.POINTER(ctypes.c_void_p)),
        ("failed", ctypes.c_uint32),
        ("note_count", ctypes.c_uint32),
        ("file", ctypes.c_char_p),
        ("line", ctypes.c_int32),
        ("failed_block", ctypes.c_uint32),
        ("text", ctypes.c_char * 640),
        ("hint", ctypes.c_char * 320),
        ("notes", _Note * 32),
    )


class _ParameterOfKernel(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_char), ("bytes", ctypes.c_uint32))


def _kind_of(source: str) -> int:
    """Which cores a kernel is for: as it declares, else by the calls it makes."""
    text = _COMMENT.sub("", source)
    if mix := _MIX.search(text):
        return (_CUBE, _MIX_1_1, _MIX_1_2)[int(mix[1])]
    if declared := _DECLARED.search(text):
        if declared[1] not in _TYPES:
            raise UnsupportedError(f"KERNEL_TYPE_{declared[1]} is not a documented kernel type")
        return _TYPES[declared[1]]
    if not _CUBE_CALLS.search(text):
        return _VECTOR
    return _MIX_1_2 if _BOTH.search(text) else _CUBE


class RawKernel:
    """A kernel of Ascend C given by its source, run on the CPU.

    ``source``: the text, ``name``: the kernel in it, a template's with its arguments.
    ``options``: macros and include folders (-D, -I). ``chip``: whose memories and cores there are.
    ``check_order``: accesses of two pipes that no queue or event orders are errors.
    ``anywhere``: the kernel follows addresses that stand in memory; they are not checked.
    ``filename``: what messages call the source.

    Compiled at the first launch and kept on disk. Raises CompileError in clang's words, KernelError
    with the line for what a launch does wrong: unaligned or out of a buffer's bounds, memory read
    that was never written, queues and events misused, cores that wait for each other in vain.
    """

    def __init__(
        self,
        source: str,
        name: str,
        options: Sequence[str] = (),
        *,
        chip: str | None = None,
        check_order: bool = True,
        anywhere: bool = False,
        filename: str | None = None,
    ) -> None:
        self.source = source
        self.name = name
        self.options = tuple(options)
        self.chip: Chip = load_chip(chip or config.chip())
        self.check_order = check_order
        self.anywhere = anywhere
        self.filename = filename or f"<RawKernel {name}>"
        self.notes: tuple[str, ...] = ()
        self._told: set[str] = set()
        self._kind = _kind_of(source)
        self._library: Library | None = None
        self._start: Any = None
        self._parameters: tuple[Parameter, ...] = ()

    def compile(self) -> None:
        """Compiles the source now."""
        if self._library is not None:
            return
        options = (*self.options, f"-D__NPU_ARCH__={self.chip.architecture}")
        data, number = build_library(self.source, self.name, self.filename, options)
        library = load_library(data)
        count = ctypes.c_uint32()
        parameters = library.code[f"canopy_parameters_{number}"]
        parameters.restype = ctypes.POINTER(_ParameterOfKernel)
        found = parameters(ctypes.byref(count))
        self._start = library.code[f"canopy_start_{number}"]
        self._parameters = tuple(
            Parameter(found[i].kind.decode(), found[i].bytes) for i in range(count.value)
        )
        self._library = library

    def __call__(self, block_dim: int, args: Sequence[Any] = ()) -> None:
        """Runs ``block_dim`` blocks on the arguments' own memory.

        For a pointer: an array, a tensor in CPU memory, anything with DLPack, bytes or a ctypes
        structure (a tiling), None. For a structure: a record, a ctypes structure, bytes.
        """
        self.compile()
        if not 1 <= block_dim <= _MOST_BLOCKS:
            raise LaunchError(
                f"{self.name}: block_dim is {block_dim}; 1 to {_MOST_BLOCKS} blocks are launched",
                location=trace.caller_location(),
            )
        if len(args) != len(self._parameters):
            raise LaunchError(
                f"{self.name} takes {len(self._parameters)} arguments, {len(args)} are given",
                location=trace.caller_location(),
            )
        bound = [bind(p, i, a) for i, (p, a) in enumerate(zip(self._parameters, args, strict=True))]
        self._report(self._run(block_dim, bound))

    def _run(self, block_dim: int, bound: Sequence[Bound]) -> _Launch:
        chip, count = self.chip, len(bound)
        arguments = (_Argument * count)()
        # A structure may want more alignment than bytes have.
        rooms = [(ctypes.c_uint64 * (len(b.data) // 8 + 1))() for b in bound]
        values = (ctypes.c_void_p * count)()
        for i, (one, room) in enumerate(zip(bound, rooms, strict=True)):
            ctypes.memmove(room, one.data, len(one.data))
            values[i] = ctypes.addressof(room)
            arguments[i] = _Argument(one.address, one.nbytes, str(i).encode())
        sizes = (
            *(0, chip.ub_bytes, chip.l1_bytes, chip.l0a_bytes, chip.l0b_bytes, chip.l0c_bytes),
            *(_BIAS_TABLE_BYTES, _FIXPIPE_BYTES),
        )
        launch = _Launch(
            block_dim=block_dim,
            kind=self._kind,
            cube_cores=chip.cube_cores,
            vector_cores=chip.vector_cores,
            sizes=(ctypes.c_uint32 * _SPACES)(*sizes),
            check_order=self.check_order,
            anywhere=self.anywhere,
            argument_count=count,
            arguments=ctypes.cast(arguments, ctypes.POINTER(_Argument)),
            values=ctypes.cast(values, ctypes.POINTER(ctypes.c_void_p)),
        )
        self._wait(launch)
        return launch

    def _wait(self, launch: _Launch) -> None:
        """A thread that waits in the library would not hear an interrupt: it is asked in turns."""
        library = self._library
        assert library is not None
        with library.lock:
            self._start(ctypes.byref(launch))
            try:
                while not library.code.canopy_wait(_POLL_MS):
                    pass
            except KeyboardInterrupt:
                library.code.canopy_stop()
                while not library.code.canopy_wait(_POLL_MS):
                    pass
                raise

    def _report(self, launch: _Launch) -> None:
        notes = [
            f"{n.file.decode(errors='replace')}:{n.line}: {n.text.decode(errors='replace')}"
            for n in launch.notes[: launch.note_count]
        ]
        self.notes = tuple(notes)
        for note in notes:
            if note not in self._told:
                self._told.add(note)
                print(f"canopy: {note}", file=sys.stderr)
        if launch.failed:
            file = launch.file.decode(errors="replace") if launch.file else self.filename
            raise KernelError(
                f"{launch.text.decode(errors='replace')} (block {launch.failed_block})",
                location=Location(file, launch.line),
                hint=launch.hint.decode(errors="replace"),
            )
