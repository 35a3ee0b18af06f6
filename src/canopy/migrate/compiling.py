"""What a worker does: compiles one source, and says what becomes of its kernels.

In: a `Unit`. Out: plain data, for the cache: ``kernels`` (name, file, line, and per target status
and why), ``obstacles`` (what had to be left out), ``error`` (why nothing could be compiled).
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Unit", "compile_unit"]


@dataclass(frozen=True)
class Unit:
    """A source to compile. ``kind``: "cuda" or "triton". ``file`` is the name that messages have;
    ``files`` are what clang may see, ``names`` the folder with the names of torch's operators."""

    kind: str
    file: str
    text: str
    files: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    wants_torch: bool = False
    names: str = ""
    most_s: float = 30.0
    kernel: str = ""  # of Triton, with the types and the constants of a launch
    types: tuple[tuple[str, str], ...] = ()
    constants: tuple[tuple[str, Any], ...] = ()


def compile_unit(unit: Unit) -> dict[str, Any]:
    """Compiles the kernels of a unit in this process; never raises for what the source does."""
    kept = tempfile.gettempdir()
    folder = Path(tempfile.mkdtemp(prefix="canopy-migrate-"))
    try:
        return _compile_triton(unit, folder) if unit.kind == "triton" else _compile(unit, folder)
    finally:
        tempfile.tempdir = kept
        with suppress(OSError):
            shutil.rmtree(folder)


def _compile(unit: Unit, folder: Path) -> dict[str, Any]:
    from canopy.errors import CanopyError
    from canopy.frontends.cuda.confined import Confined
    from canopy.frontends.cuda.verdicts import kernel_verdicts

    more = [Path(place) for place in (*_torch_folders(unit),)]
    options = [*unit.options, *_torch_options(unit)]
    files = [Path(file) for file in unit.files]
    source = Confined(Path(unit.file), unit.text, files, options, folder, more)
    answer: dict[str, Any] = {"kernels": [], "obstacles": [], "error": None}
    try:
        for verdict in kernel_verdicts(source.device_ir(unit.most_s), unit.file, unit.most_s):
            answer["kernels"].append(_verdict(verdict))
    except CanopyError as error:
        place = error.location
        answer["error"] = [place.file, place.line, error.fact, error.hint]
    answer["obstacles"] = [[o.file, o.line, o.fact, o.hint, o.header] for o in source.obstacles]
    return answer


def _verdict(verdict: Any) -> dict[str, Any]:
    found = {"name": verdict.name, "file": verdict.file, "line": verdict.line}
    for target in ("cpu", "ascend"):
        one = getattr(verdict, target)
        found[target] = [one.status, one.why] if one is not None else None
    return found


def _torch_folders(unit: Unit) -> tuple[str, ...]:
    from canopy.frontends.cuda.extension import TORCH_HEADERS

    return (str(TORCH_HEADERS), unit.names) if unit.wants_torch and unit.names else ()


def _torch_options(unit: Unit) -> list[str]:
    flags = [word for folder in _torch_folders(unit) for word in ("-isystem", folder)]
    return [*flags, "-DTORCH_EXTENSION_NAME=extension", "-DTORCH_API_INCLUDE_EXTENSION_H"]


def _compile_triton(unit: Unit, folder: Path) -> dict[str, Any]:
    answer: dict[str, Any] = {"kernels": [], "obstacles": [], "error": None}
    try:
        from canopy.frontends.triton.isolated import NotIsolatedError, isolated_verdict
    except ImportError:
        return answer | {"error": ["", 0, "Triton is not installed here", ""]}
    types, constants = dict(unit.types), dict(unit.constants)
    try:
        verdict = isolated_verdict(unit.text, unit.kernel, types, constants, folder)
    except (NotIsolatedError, ImportError) as error:
        return answer | {"error": ["", 0, str(error), ""]}
    answer["kernels"].append(_verdict(verdict))
    return answer
