"""nvcc's command line, read into a `CommandLine`.

Options come joined and separate, short and long, with one dash or two: ``-I dir``, ``-Idir``,
``--include-path=dir``; lists are split at commas. What has no meaning on a CPU is accepted and kept
in ``noted`` with the reason; what Canopy cannot do raises UnsupportedError.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from canopy.errors import CanopyError
from canopy.frontends.cuda.options import PER_THREAD_MACRO

__all__ = ["CommandLine", "UsageError", "read_command_line"]

MAX_RESPONSE_FILES = 100


class UsageError(CanopyError):
    """A command line that nvcc would refuse too."""


@dataclass
class CommandLine:
    """What was asked for. ``inputs`` keeps files and ``-l`` libraries in their order."""

    inputs: list[str] = field(default_factory=list)
    output: Path | None = None
    output_folder: Path | None = None
    action: str = "link"  # link, compile, device-link, preprocess, dependencies, library, ptx...
    shared: bool = False
    language: str = ""  # of -x: cu, c++ or c
    standard: str = "c++17"
    optimization: str = "-O2"
    preprocessor: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    library_folders: list[str] = field(default_factory=list)
    host_flags: list[str] = field(default_factory=list)
    linker_flags: list[str] = field(default_factory=list)
    relocatable: bool = False
    debug: bool = False
    checked: bool = False
    write_dependencies: bool = False
    system_dependencies: bool = True
    phony_dependencies: bool = False
    dependency_file: Path | None = None
    dependency_target: str = ""
    verbose: bool = False
    dry_run: bool = False
    run_after: bool = False
    run_arguments: list[str] = field(default_factory=list)
    answer: str = ""  # version or help
    noted: list[str] = field(default_factory=list)


Reader = Callable[[CommandLine, str], None]
_FLAGS: dict[str, Reader] = {}
_VALUES: dict[str, Reader] = {}


def _flag(*names: str) -> Callable[[Reader], Reader]:
    """The reader of an option without a value, under all its names."""

    def register(reader: Reader) -> Reader:
        _FLAGS.update(dict.fromkeys(names, reader))
        return reader

    return register


def _value(*names: str) -> Callable[[Reader], Reader]:
    """The reader of an option with a value, under all its names."""

    def register(reader: Reader) -> Reader:
        _VALUES.update(dict.fromkeys(names, reader))
        return reader

    return register


# ---- what is made

_ACTIONS = {
    "compile": ("c", "compile"),
    "device-link": ("dlink", "device-link"),
    "preprocess": ("E", "preprocess"),
    "library": ("lib",),
    "link": ("link",),
    "ptx": ("ptx",),
    "cubin": ("cubin",),
    "fatbin": ("fatbin",),
    "cuda": ("cuda",),
    "ltoir": ("ltoir",),
    "optix-ir": ("optix-ir",),
}


def _read_action(name: str) -> Reader:
    def read(line: CommandLine, _: str) -> None:
        line.action = name

    return read


for _action, _names in _ACTIONS.items():
    _flag(*_names)(_read_action(_action))


@_flag("dc", "device-c")
def _read_dc(line: CommandLine, _: str) -> None:
    line.action, line.relocatable = "compile", True


@_flag("dw", "device-w")
def _read_dw(line: CommandLine, _: str) -> None:
    line.action = "compile"


@_flag("shared")
def _read_shared(line: CommandLine, _: str) -> None:
    line.shared = True


@_flag("run")
def _read_run(line: CommandLine, _: str) -> None:
    line.run_after = True


@_flag("check")
def _read_check(line: CommandLine, _: str) -> None:
    line.checked = True


@_value("run-args")
def _read_run_arguments(line: CommandLine, value: str) -> None:
    line.run_arguments += _list(value)


@_value("o", "output-file")
def _read_output(line: CommandLine, value: str) -> None:
    line.output = Path(value)


@_value("odir", "output-directory")
def _read_output_folder(line: CommandLine, value: str) -> None:
    line.output_folder = Path(value)


@_value("x")
def _read_language(line: CommandLine, value: str) -> None:
    if value not in {"c", "c++", "cu"}:
        raise UsageError(f"-x {value}: the language is c, c++ or cu")
    line.language = value


# ---- the preprocessor and the language


@_value("I", "include-path")
def _read_include(line: CommandLine, value: str) -> None:
    line.preprocessor += [f"-I{folder}" for folder in _list(value)]


@_value("isystem", "system-include")
def _read_system_include(line: CommandLine, value: str) -> None:
    for folder in _list(value):
        line.preprocessor += ["-isystem", folder]


@_value("include", "pre-include")
def _read_pre_include(line: CommandLine, value: str) -> None:
    for file in _list(value):
        line.preprocessor += ["-include", file]


@_value("D", "define-macro")
def _read_macro(line: CommandLine, value: str) -> None:
    line.preprocessor.append(f"-D{value}")


@_value("U", "undefine-macro")
def _read_no_macro(line: CommandLine, value: str) -> None:
    line.preprocessor.append(f"-U{value}")


@_value("std")
def _read_standard(line: CommandLine, value: str) -> None:
    standard = value.replace("gnu++", "c++")
    if standard not in {"c++03", "c++11", "c++14", "c++17", "c++20"}:
        raise UsageError(
            f"-std={value} is not a language standard of nvcc",
            hint="c++03, c++11, c++14, c++17 or c++20",
        )
    # The headers need C++17; what is valid C++11 is valid there but for rare removals.
    line.standard = standard if standard == "c++20" else "c++17"
    if standard != line.standard:
        line.noted.append(f"-std={value}: compiled as {line.standard}")


@_value("O", "optimize")
def _read_optimization(line: CommandLine, value: str) -> None:
    if value not in {"0", "1", "2", "3", "s", "fast"}:
        raise UsageError(f"-O{value}: the level is 0, 1, 2 or 3")
    line.optimization = f"-O{ {'fast': '3'}.get(value, value) }"


@_flag("w", "disable-warnings")
def _read_no_warnings(line: CommandLine, _: str) -> None:
    line.warnings.append("-w")


@_value("Werror")
def _read_errors(line: CommandLine, value: str) -> None:
    if "all-warnings" in _list(value):
        line.warnings.append("-Werror")


# ---- dependency files


def _read_dependencies(system: bool, beside: bool) -> Reader:
    def read(line: CommandLine, _: str) -> None:
        line.system_dependencies = system
        if beside:
            line.write_dependencies = True
        else:
            line.action = "dependencies"

    return read


_flag("M", "generate-dependencies")(_read_dependencies(True, False))
_flag("MM", "generate-nonsystem-dependencies")(_read_dependencies(False, False))
_flag("MD", "generate-dependencies-with-compile")(_read_dependencies(True, True))
_flag("MMD", "generate-nonsystem-dependencies-with-compile")(_read_dependencies(False, True))


@_flag("MP", "generate-dependency-targets")
def _read_phony(line: CommandLine, _: str) -> None:
    line.phony_dependencies = True


@_value("MF", "dependency-output")
def _read_dependency_file(line: CommandLine, value: str) -> None:
    line.dependency_file = Path(value)


@_value("MT", "dependency-target-name", "MQ")
def _read_dependency_target(line: CommandLine, value: str) -> None:
    line.dependency_target = value


# ---- the linker


@_value("L", "library-path")
def _read_library_folder(line: CommandLine, value: str) -> None:
    line.library_folders += _list(value)


@_value("l", "library")
def _read_library(line: CommandLine, value: str) -> None:
    line.inputs += [f"-l{name}" for name in _list(value)]


@_value("Xlinker", "linker-options")
def _read_linker_options(line: CommandLine, value: str) -> None:
    line.linker_flags += [word for option in _list(value) for word in ("-Xlinker", option)]


# ---- the host compiler

_HOST_MEANING = (
    "-f",
    "-m",
    "-W",
    "-pthread",
    "-p",
    "-s",
    "-g",
    "-v",
    "-static",
    "-pipe",
    "-pedantic",
)


@_value("Xcompiler", "compiler-options")
def _read_host_options(line: CommandLine, value: str) -> None:
    words = iter([word for option in _list(value) for word in shlex.split(option)])
    for word in words:
        _read_host_option(line, word, words)


def _read_host_option(line: CommandLine, word: str, rest: Iterator[str]) -> None:
    if word in {"-I", "-D", "-U", "-L", "-isystem", "-include"}:
        _VALUES[word[1:]](line, next(rest, ""))
    elif word[:2] in {"-I", "-D", "-U", "-L", "-l"}:
        _VALUES[word[1]](line, word[2:])
    elif word.startswith("-O"):
        _read_optimization(line, word[2:] or "1")
    elif word.startswith("-std="):
        _read_standard(line, word[5:])
    elif word.startswith("-Wl,"):
        line.linker_flags.append(word)
    elif word.startswith("-W"):
        line.warnings.append(word)
        line.host_flags.append(word)
    elif word in {"-fopenmp", "-openmp"}:
        line.noted.append(OPENMP_NOTE)
    elif word == "-static":
        line.linker_flags.append(word)
    elif not word.startswith(_HOST_MEANING):
        raise UsageError(f"-Xcompiler {word}: the host compiler has no such option")
    else:
        line.host_flags.append(word)


OPENMP_NOTE = "-fopenmp: OpenMP loops of host code run on one thread"


# ---- accepted without effect

_NO_EFFECT_FLAGS = {
    "G": "device code has no debugger here",
    "device-debug": "device code has no debugger here",
    "lineinfo": "source lines are always kept",
    "generate-line-info": "source lines are always kept",
    "m64": "",
    "restrict": "",
    "expt-relaxed-constexpr": "always on",
    "expt-extended-lambda": "always on",
    "extended-lambda": "always on",
    "forward-unknown-to-host-compiler": "",
    "forward-unknown-opts": "",
    "k": "no intermediate files are kept",
    "keep": "no intermediate files are kept",
    "save-temps": "no intermediate files are kept",
    "clean-targets": "",
    "res-usage": "there are no registers to count",
    "resource-usage": "there are no registers to count",
    "extra-device-vectorization": "",
    "Wreorder": "",
    "Wno-deprecated-gpu-targets": "",
    "Wno-deprecated-declarations": "",
    "Wdefault-stream-launch": "",
    "Wext-lambda-captures-this": "",
    "source-in-ptx": "there is no PTX",
    "src-in-ptx": "there is no PTX",
    "dlto": "",
    "dlink-time-opt": "",
    "no-align-double": "",
    "nodlink": "",
    "noeh": "exceptions stay on",
    "no-exceptions": "exceptions stay on",
    "display-error-number": "",
    "no-display-error-number": "",
    "brief-diagnostics": "",
    "pg": "no profiling code is added",
    "profile": "no profiling code is added",
    "objtemp": "",
    "arch-ls": "",
    "no-compress": "",
    "cudafe": "",
    "allow-unsupported-compiler": "",
}
_NO_EFFECT_VALUES = {
    "arch": "kernels are compiled for this CPU",
    "gpu-architecture": "kernels are compiled for this CPU",
    "code": "kernels are compiled for this CPU",
    "gpu-code": "kernels are compiled for this CPU",
    "gencode": "kernels are compiled for this CPU",
    "generate-code": "kernels are compiled for this CPU",
    "ccbin": "the host compiler is clang, of the ziglang package",
    "compiler-bindir": "the host compiler is clang, of the ziglang package",
    "Xptxas": "there is no PTX",
    "ptxas-options": "there is no PTX",
    "Xnvlink": "",
    "nvlink-options": "",
    "Xcudafe": "",
    "Xarchive": "",
    "archive-options": "",
    "cudart": "the runtime is always linked statically",
    "cudadevrt": "",
    "maxrregcount": "there are no registers to count",
    "maxregcount": "there are no registers to count",
    "m": "",
    "machine": "",
    "t": "",
    "threads": "",
    "split-compile": "",
    "diag-suppress": "",
    "diag-error": "",
    "diag-warn": "",
    "ftz": "the precise form is used",
    "prec-div": "the precise form is used",
    "prec-sqrt": "the precise form is used",
    "fmad": "",
    "keep-dir": "",
    "ldir": "",
    "library-root": "",
    "target-dir": "",
    "dopt": "",
    "objdir-as-tempdir": "",
    "time": "",
    "entries": "",
    "e": "",
    "jump-table-density": "",
    "brief-diag": "",
    "options": "",
}


def _ignore(name: str, reason: str) -> Reader:
    def read(line: CommandLine, value: str) -> None:
        line.noted.append(f"-{name} {value}".rstrip() + f": {reason or 'no effect on a CPU'}")

    return read


for _name, _reason in _NO_EFFECT_FLAGS.items():
    _flag(_name)(_ignore(_name, _reason))
for _name, _reason in _NO_EFFECT_VALUES.items():
    _value(_name)(_ignore(_name, _reason))


@_flag("use_fast_math", "use-fast-math")
def _read_fast_math(line: CommandLine, _: str) -> None:
    """The fast forms are the precise ones here, so that only its macro is left of it."""
    line.preprocessor.append("-D__USE_FAST_MATH__=1")
    line.noted.append("-use_fast_math: the precise functions are used, which are within its limits")


@_flag("g", "debug")
def _read_debug(line: CommandLine, _: str) -> None:
    line.debug = True


@_value("rdc", "relocatable-device-code")
def _read_relocatable(line: CommandLine, value: str) -> None:
    line.relocatable = value == "true"


@_value("default-stream")
def _read_default_stream(line: CommandLine, value: str) -> None:
    if value not in {"legacy", "null", "per-thread"}:
        raise UsageError(f"-default-stream {value}: the default stream is legacy or per-thread")
    if value == "per-thread":
        line.preprocessor.append(f"-D{PER_THREAD_MACRO}=1")


# ---- answers


@_flag("V", "version")
def _read_version(line: CommandLine, _: str) -> None:
    line.answer = "version"


@_flag("h", "help")
def _read_help(line: CommandLine, _: str) -> None:
    line.answer = "help"


@_flag("v", "verbose")
def _read_verbose(line: CommandLine, _: str) -> None:
    line.verbose = True


@_flag("dryrun", "dry-run")
def _read_dry_run(line: CommandLine, _: str) -> None:
    line.dry_run = True


# ---- words to options

_JOINED = ("I", "D", "U", "L", "l", "O", "x", "o")  # -Idir: the value follows at once
# Options of the host compiler that people put on nvcc's own command line.
_FORWARDED = ("-f", "-W", "-march", "-mtune", "-m", "-pthread", "-pedantic", "-s", "-pipe")


def read_command_line(words: Sequence[str]) -> CommandLine:
    """Reads nvcc's arguments; UsageError for what nvcc would not accept either."""
    line = CommandLine()
    rest = iter(_expand(words))
    for word in rest:
        if not word.startswith("-") or word == "-":
            line.inputs.append(word)
        else:
            _read_option(line, word, rest)
    return line


def _read_option(line: CommandLine, word: str, rest: Iterator[str]) -> None:
    name, has_value, value = word.lstrip("-").partition("=")
    if name in _FLAGS and (not has_value or name in {"g", "keep"}):
        _FLAGS[name](line, "")
    elif name in _VALUES and has_value:
        _VALUES[name](line, value)
    elif name in _VALUES:
        _VALUES[name](line, _next(word, rest))
    elif word[1] in _JOINED and len(word) > 2 and not word.startswith("--"):
        _VALUES[word[1]](line, word[2:].removeprefix("="))
    elif word.startswith("-Wl,"):
        line.linker_flags.append(word)
    elif word.startswith(_FORWARDED):
        _read_host_option(line, word, rest)
    else:
        raise UsageError(f"unknown option '{word}'", hint="canopy nvcc --help lists what is known")


def _next(word: str, rest: Iterator[str]) -> str:
    value = next(rest, None)
    if value is None:
        raise UsageError(f"{word} needs a value")
    return value


def _list(value: str) -> list[str]:
    r"""Splits at commas; ``\,`` and quotes keep one."""
    parts, part, quote, escaped = [], "", "", False
    for character in value:
        if escaped:
            part += character if character == "," else "\\" + character
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == quote:
            quote = ""
            part += character
        elif not quote and character in "'\"":
            quote = character
            part += character
        elif character == "," and not quote:
            parts.append(part)
            part = ""
        else:
            part += character
    parts.append(part + ("\\" if escaped else ""))
    return [text for text in parts if text]


def _expand(words: Sequence[str], depth: int = 0) -> Iterator[str]:
    """Puts the words of ``@file`` and ``--options-file file`` in their places."""
    if depth > MAX_RESPONSE_FILES:
        raise UsageError("response files name each other")
    rest = iter(words)
    for word in rest:
        name, has_value, value = word.lstrip("-").partition("=")
        if word.startswith("@"):
            yield from _expand(_words_of(word[1:]), depth + 1)
        elif word.startswith("-") and name in {"optf", "options-file"}:
            for file in _list(value if has_value else _next(word, rest)):
                yield from _expand(_words_of(file), depth + 1)
        else:
            yield word


def _words_of(file: str) -> list[str]:
    try:
        return shlex.split(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{file}: the options file cannot be read ({error.strerror})") from None
