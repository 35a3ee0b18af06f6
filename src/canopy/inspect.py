"""`canopy inspect`: a kernel stage by stage, with the user's source lines beside the code.

A Triton kernel needs the import of its file, since its source is Python; nothing is launched. The
types of its arguments come from ``--signature``, the parameters' annotations and defaults, and for
an autotuned kernel from the first configuration.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canopy.compiler import compile_kernel
from canopy.errors import CanopyError, Location, MissingDependencyError, UnsupportedError
from canopy.ir import Kernel
from canopy.ir.printer import print_kernel

__all__ = ["Stage", "inspect_command", "kernel_named", "stages_of"]

_TARGETS = ("cpu", "ascend")
_EXAMPLE = '--signature "x:*fp32,n:i32,BLOCK:1024"'
_IR_PLACE = re.compile(r'  # ("(?:[^"\\]|\\.)*"|[^\s:]+):(\d+)(?::\d+)?$')
_MLIR_ALIAS = re.compile(r"^(#loc\d*) = loc\((.*)\)$")
_MLIR_PLACE = re.compile(r'"([^"]+)":(\d+):\d+')
_MLIR_USE = re.compile(r"#loc\d*")
_MLIR_NAMED = re.compile(r' loc\("[^"]*"\(#loc\d*\)\)(?=[,)])')  # beside a parameter
_MLIR_SUFFIX = re.compile(r" loc\((#loc\d*|.*)\)$")


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a compilation: ``text`` is ready to be shown."""

    name: str
    text: str


def inspect_command(
    spec: str,
    stage: str | None,
    signature: str = "",
    block: str = "",
    target: str = "cpu",
    chip: str = "",
) -> int:
    """Prints the stages of the kernel that ``spec`` (FILE:KERNEL) names, or one of them."""
    stages = stages_of(spec, signature, block, target, chip)
    names = list(dict.fromkeys(made.name for made in stages))
    if stage is not None and stage not in names:
        raise CanopyError(f"there is no stage {stage!r}", hint=f"stages: {', '.join(names)}")
    for made in stages:
        if stage in (None, made.name):
            print(f"# ---- {made.name} ----\n{made.text.rstrip()}\n")
    return 0


def stages_of(
    spec: str, signature: str = "", block: str = "", target: str = "cpu", chip: str = ""
) -> list[Stage]:
    """All stages of a kernel, in order. CanopyError with a hint where something is missing."""
    if target not in _TARGETS:
        raise CanopyError(f"there is no target {target!r}", hint=f"targets: {', '.join(_TARGETS)}")
    path, name = _file_and_name(spec)
    if path.suffix in {".cu", ".cuh"}:
        return _stages_on(target, chip, _cuda_kernel(path, name, block))
    ttir, kernel = _triton_kernel(path, name, signature)
    return [ttir, *_stages_on(target, chip, kernel)]


def kernel_named(spec: str, signature: str = "", block: str = "") -> Kernel:
    """The tile IR of the kernel that ``spec`` names, as it comes from the front-end."""
    path, name = _file_and_name(spec)
    if path.suffix in {".cu", ".cuh"}:
        return _cuda_kernel(path, name, block)
    return _triton_kernel(path, name, signature)[1]


def _file_and_name(spec: str) -> tuple[Path, str]:
    file, _, name = spec.rpartition(":")
    if not file or not name:
        raise CanopyError(
            f"{spec}: expected a file and a kernel", hint="canopy inspect file.py:kernel"
        )
    path = Path(file)
    if not path.is_file():
        raise CanopyError(f"{file}: there is no such file")
    return path, name


def _stages_on(target: str, chip: str, kernel: Kernel) -> list[Stage]:
    return _ascend_stages(kernel, chip) if target == "ascend" else _stages_of_ir(kernel)


def _ascend_stages(kernel: Kernel, chip: str) -> list[Stage]:
    """The tile IR as it came and after each pass, the NPU program, and the Ascend C."""
    from canopy import config
    from canopy.passes import pipeline
    from canopy.targets.ascend import load_chip, lower_kernel
    from canopy.targets.ascend.text import print_program

    stages: list[Stage] = []

    def observe(name: str, made: Kernel) -> None:
        stages.append(Stage(name, _beside_source(print_kernel(made, locations=True))))

    observe("ir", kernel)
    prepared = pipeline.run(kernel, observe=observe)
    model = load_chip(chip or config.chip())
    program = lower_kernel(prepared, model, prepare=False)
    stages.append(Stage("npu", _beside_source(str(program))))
    try:
        text = print_program(program, model).source
    except UnsupportedError as error:
        text = f"// {error}"
    return [*stages, Stage("ascendc", text)]


def _stages_of_ir(kernel: Kernel) -> list[Stage]:
    stages: list[Stage] = []

    def observe(name: str, kernel: Kernel) -> None:
        stages.append(Stage(name, _beside_source(print_kernel(kernel, locations=True))))

    made = compile_kernel(kernel, observe=observe)
    source = list(_lines_of(kernel))
    for name, text, mark in (("llvm", made.llvm_ir, ";"), ("asm", made.assembly, "#")):
        head = "".join(f"{mark} {line}\n" for line in source)
        stages.append(Stage(name, head + text))
    return stages


# ---- CUDA C++ ----------------------------------------------------------------------------------


def _cuda_kernel(path: Path, name: str, block: str) -> Kernel:
    from canopy.frontends.cuda import compile_cuda

    try:
        extents = [int(word) for word in block.replace("x", ",").split(",")] if block else [256]
        x, y, z = (*extents, 1, 1)[:3] if len(extents) <= 3 else ()
    except ValueError:
        raise CanopyError(
            f"--block {block}: expected one to three numbers", hint="--block 256 or --block 16,16"
        ) from None
    module = compile_cuda(path.read_text(encoding="utf-8"), str(path))
    return module.kernel(name, (x, y, z))


# ---- Triton ------------------------------------------------------------------------------------


def _triton_kernel(path: Path, name: str, signature: str) -> tuple[Stage, Kernel]:
    """TTIR as a stage, and the kernel read from it."""
    os.environ.setdefault("CANOPY_TARGET", "cpu")
    import triton
    from triton import knobs
    from triton.backends import backends
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    if "cpu" not in backends:
        raise MissingDependencyError(
            "Triton does not find Canopy's backend: this Canopy is not installed, only imported",
            hint="pip install canopy-nn[triton], or pip install -e . in the repository",
        )
    function, chosen = _jit_function(_imported(path), path, name)
    types, constants = _argument_types(function, signature, chosen)
    source = ASTSource(fn=function, signature=types, constexprs=constants)
    with knobs.compilation.scope():
        knobs.compilation.always_compile = True  # the cache may know the text from another file
        compiled = triton.compile(source, target=GPUTarget("cpu", "", 1))
    from canopy.frontends.triton.reader import ttir_to_kernel

    ttir = compiled.asm["ttir"]
    return Stage("ttir", _ttir_beside_source(ttir)), ttir_to_kernel(ttir)


def _imported(path: Path) -> Any:
    """The user's module; what it does with CUDA at import happens on the CPU."""
    sys.path.insert(0, str(path.resolve().parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise CanopyError(f"{path}: expected a .py or a .cu file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        with _redirected():
            spec.loader.exec_module(module)
    except CanopyError:
        raise
    except (Exception, SystemExit) as error:
        raise CanopyError(
            f"{path}: its import, which inspect needs, fails: {type(error).__name__}: {error}",
            hint='put what the script runs under `if __name__ == "__main__":`',
        ) from error
    return module


def _redirected() -> contextlib.AbstractContextManager[Any]:
    if importlib.util.find_spec("torch") is None:
        return contextlib.nullcontext()
    from canopy import cuda_as

    return cuda_as("cpu")


def _jit_function(module: Any, path: Path, name: str) -> tuple[Any, dict[str, Any]]:
    """The Triton function, and the constants of its first configuration if it is autotuned."""
    from triton.runtime.jit import JITFunction

    found = getattr(module, name, None)
    chosen: dict[str, Any] = {}
    while found is not None and not isinstance(found, JITFunction) and hasattr(found, "fn"):
        for config in list(getattr(found, "configs", ()))[:1]:
            chosen.update(config.kwargs)
        found = found.fn
    if not isinstance(found, JITFunction):
        kernels = [key for key, value in vars(module).items() if _is_kernel(value)]
        raise CanopyError(
            f"{path}: {name} is no Triton kernel of this file",
            hint=f"kernels here: {', '.join(kernels) or 'none'}",
        )
    return found, chosen


def _is_kernel(value: Any) -> bool:
    return type(value).__module__.startswith("triton.runtime")


def _argument_types(
    function: Any, signature: str, chosen: dict[str, Any]
) -> tuple[dict[str, str], dict[tuple[int, ...], Any]]:
    given = dict(_given_types(signature))
    place = Location(function.fn.__code__.co_filename, function.fn.__code__.co_firstlineno)
    types: dict[str, str] = {}
    constants: dict[tuple[int, ...], Any] = {}
    missing: list[str] = []
    for index, parameter in enumerate(function.params):
        word = given.pop(parameter.name, None)
        if parameter.is_constexpr or (word is None and parameter.name in chosen):
            types[parameter.name] = "constexpr"
            if word is not None:
                constants[(index,)] = _constant(word)
            elif parameter.name in chosen or parameter.has_default:
                constants[(index,)] = chosen.get(parameter.name, parameter.default)
            else:
                missing.append(f"{parameter.name} (a constant)")
        elif word is None and not parameter.annotation_type:
            missing.append(f"{parameter.name} (a type such as *fp32 or i32)")
        elif word is None or _is_type(word):
            types[parameter.name] = word or parameter.annotation_type
        else:  # a number makes a constant of any parameter, as 1 and None do in a launch
            types[parameter.name] = "constexpr"
            constants[(index,)] = _constant(word)
    if given:
        raise CanopyError(
            f"{function.__name__} has no parameter {', '.join(given)}",
            location=place,
            hint=f"its parameters: {', '.join(p.name for p in function.params)}",
        )
    if missing:
        raise CanopyError(
            f"the signature of {function.__name__} does not say: {', '.join(missing)}",
            location=place,
            hint=f"give them, as in {_EXAMPLE}",
        )
    return types, constants


def _given_types(signature: str) -> Iterator[tuple[str, str]]:
    for item in filter(None, (item.strip() for item in signature.split(","))):
        name, colon, word = item.partition(":")
        if not colon or not word.strip():
            raise CanopyError(
                f"--signature: {item!r} is not of the form name:type", hint=f"as in {_EXAMPLE}"
            )
        yield name.strip(), word.strip()


def _is_type(word: str) -> bool:
    return re.fullmatch(r"\**(i|u|f|fp|bf)\d+\w*", word) is not None


def _constant(word: str) -> Any:
    for read in (int, float):
        with contextlib.suppress(ValueError):
            return read(word)
    words = {"true": True, "false": False, "none": None}
    if word.lower() in words:
        return words[word.lower()]
    import triton.language as tl

    named = getattr(tl, word.removeprefix("tl."), None)
    return word if named is None else named


# ---- source lines beside the code --------------------------------------------------------------


def _beside_source(text: str) -> str:
    """Printed IR with the source line above the ops that came from it."""

    def place_of(line: str) -> tuple[str, tuple[str, int] | None]:
        match = _IR_PLACE.search(line)
        if match is None:
            return line, None
        file = json.loads(match[1]) if match[1].startswith('"') else match[1]
        return line[: match.start()], (file, int(match[2]))

    return _interleave(text, place_of, "#")


def _ttir_beside_source(text: str) -> str:
    lines = text.splitlines()
    matches = filter(None, map(_MLIR_ALIAS.match, lines))
    aliases = {match[1]: match[2] for match in matches}

    def resolve(place: str, depth: int = 0) -> tuple[str, int] | None:
        if match := _MLIR_PLACE.search(place):
            return match[1], int(match[2])
        for alias in _MLIR_USE.findall(place) if depth < 20 else ():
            if found := resolve(aliases.get(alias, ""), depth + 1):
                return found
        return None

    def place_of(line: str) -> tuple[str, tuple[str, int] | None]:
        line = _MLIR_NAMED.sub("", line)
        match = _MLIR_SUFFIX.search(line)
        return (line[: match.start()], resolve(match[1])) if match else (line, None)

    kept = [line for line in lines if not line.startswith("#loc")]
    return _interleave("\n".join(kept), place_of, "//")


def _interleave(
    text: str, place_of: Callable[[str], tuple[str, tuple[str, int] | None]], comment: str
) -> str:
    shown: tuple[str, int] | None = None
    made: list[str] = []
    for line in text.splitlines():
        code, place = place_of(line)
        if place is not None and place != shown:
            indent = code[: len(code) - len(code.lstrip())]
            source = _source_line(*place)
            if source and code.strip() != "}":
                made.append(f"{indent}{comment} {Path(place[0]).name}:{place[1]}: {source}")
                shown = place
        made.append(code)
    return "\n".join(made)


def _source_line(file: str, line: int) -> str:
    import linecache

    return linecache.getline(file, line).strip()


def _lines_of(kernel: Kernel) -> Iterator[str]:
    """The source lines that the kernel's ops came from, in order, with their places."""
    text = print_kernel(kernel, locations=True)
    places = {
        (match[1].strip('"'), int(match[2]))
        for match in map(_IR_PLACE.search, text.splitlines())
        if match is not None
    }
    for file, line in sorted(places):
        yield f"{Path(file).name}:{line}: {_source_line(file, line)}"
