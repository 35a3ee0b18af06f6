"""`canopy nvcc`: nvcc's command line, for programs that run on the CPU.

    canopy nvcc -O3 -arch=sm_80 a.cu b.cpp -o app

``.cu`` files go through both halves of the CUDA front-end, other sources through clang as plain
C++; objects and libraries are linked with the runtime. Errors in sources are clang's, as it prints
them. Nothing heavy is imported before something has to be compiled.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from canopy import config
from canopy.errors import CanopyError, CompileError, UnsupportedError
from canopy.frontends.cuda.clang import ClangError, clang_error
from canopy.frontends.cuda.command_line import (
    OPENMP_NOTE,
    CommandLine,
    UsageError,
    read_command_line,
)
from canopy.frontends.cuda.dependencies import dependency_rule
from canopy.frontends.cuda.libraries import wanted_libraries
from canopy.frontends.cuda.linking import host_compiler_command, link, link_command
from canopy.frontends.cuda.objects import object_of
from canopy.frontends.cuda.options import CUDA_VERSION, Options
from canopy.frontends.cuda.toolchain import (
    find_zig,
    header_folders,
    host_cpu,
    host_flags,
    zig_environment,
)
from canopy.frontends.cuda.units import Unit, units_in

__all__ = [
    "CUDA_SUFFIXES",
    "HELP",
    "HOST_SUFFIXES",
    "LINKED_SUFFIXES",
    "VERSION",
    "build",
    "check",
    "compile_inputs",
    "device_sources",
    "link_objects",
    "main",
]

_RELEASE = f"{CUDA_VERSION[0]}.{CUDA_VERSION[1]}"
_FULL = ".".join(map(str, CUDA_VERSION))
# Build systems read "release 12.3" and "V12.3.107".
VERSION = f"""\
nvcc: NVIDIA (R) Cuda compiler driver: command line compatible, by Canopy
Cuda compilation tools, release {_RELEASE}, V{_FULL}
Build canopy_{_RELEASE}
"""
HELP = """\
Usage: canopy nvcc [options] <inputs>

Compiles CUDA C++ for the CPU with nvcc's command line.
Inputs: .cu, .cpp, .cc, .cxx, .c, .o, .a, .so.

  -o FILE, -odir DIR           where the output goes
  -c  -dc  -lib  -shared       compile only; archive; shared library (default: link)
  -E  -M  -MM                  preprocess; print dependencies
  -MD -MMD -MF FILE -MT NAME   write a dependency file beside the object
  -I  -isystem  -include  -D  -U  -std=c++14|17|20  -O0..-O3  -x cu|c++|c  -w  -Werror all-warnings
  -L  -l  -Xcompiler  -Xlinker  -run  -run-args
  --check                      kernels that name out-of-bounds and racing accesses; see docs/cuda.md
  -v  -dryrun  --version  --help  @file  --options-file file

Accepted without effect, and named under -v: -arch, -gencode, -code, -g, -G, -lineinfo, -ccbin,
-maxrregcount, -Xptxas, --use_fast_math, --extended-lambda and others. -fopenmp in host code runs
on one thread. Not possible: -ptx, -cubin, -fatbin.
"""
CUDA_SUFFIXES = {".cu"}
HOST_SUFFIXES = {".cpp", ".cc", ".cxx", ".c", ".C", ".c++"}
LINKED_SUFFIXES = {".o", ".a", ".so", ".obj"}
_NOT_HERE = {
    "ptx": "PTX",
    "cubin": "a cubin",
    "fatbin": "a fat binary",
    "cuda": "nvcc's intermediate C++",
    "ltoir": "NVIDIA's intermediate form",
    "optix-ir": "OptiX IR",
}


def main(words: Sequence[str]) -> int:
    """Does what nvcc would do with these arguments; the exit status."""
    try:
        line = read_command_line(words)
        return _answer(line) if line.answer else build(line)
    except ClangError as error:
        sys.stderr.write(error.output)
        if error.hint and "clang reports" not in error.hint:
            print(f"nvcc: hint: {error.hint}", file=sys.stderr)
        return 1
    except UsageError as error:
        print(f"nvcc fatal   : {error}", file=sys.stderr)
        return 1
    except CanopyError as error:
        print(f"nvcc error   : {error}", file=sys.stderr)
        return 2 if isinstance(error, CompileError) else 1


def _answer(line: CommandLine) -> int:
    print(VERSION if line.answer == "version" else HELP, end="")
    return 0


def build(line: CommandLine) -> int:
    """Carries out a command line. Raises CanopyError, ClangError among them."""
    _report_environment(line)
    check(line)
    if OPENMP_NOTE in line.noted and not line.verbose:
        print(f"nvcc warning : {OPENMP_NOTE}", file=sys.stderr)
    if line.dry_run:
        _trace_link(line)
        return 0
    if line.action in {"preprocess", "dependencies"}:
        return _print_sources(line)
    if line.action == "device-link":
        return _link_device_code(line, _output(line, "a_dlink.o"))
    with tempfile.TemporaryDirectory(prefix="canopy-") as folder:
        made = compile_inputs(line, Path(folder))
        if line.action == "compile":
            return 0
        if line.action == "library":
            _archive(made, _output(line, "a.a"))
            return 0
        link_objects(line, made)
    return _run_result(line) if line.run_after else 0


# ---- what is asked for


def check(line: CommandLine) -> None:
    """Raises UsageError or UnsupportedError for what cannot be carried out."""
    if line.action in _NOT_HERE:
        raise UnsupportedError(
            f"-{line.action}: for the CPU Canopy cannot write {_NOT_HERE[line.action]}",
            hint="-c makes an object, no option an executable",
        )
    if not line.inputs:
        raise UsageError("no input files given; use option --help for more information")
    for name in line.inputs:
        if not name.startswith("-l") and not Path(name).exists():
            raise UsageError(f"{name}: there is no such file")
    sources = [name for name in line.inputs if _kind(line, name) != "linked"]
    one_only = line.action in {"compile", "preprocess"} and line.output is not None
    if one_only and len(sources) > 1:
        raise UsageError("-o names one file, and there are several sources to compile")
    if line.action == "compile" and not sources:
        raise UsageError("there is no source to compile")


def _kind(line: CommandLine, name: str) -> str:
    """cuda, host or linked."""
    suffix = Path(name).suffix
    if name.startswith("-l") or suffix in LINKED_SUFFIXES or ".so." in Path(name).name:
        return "linked"
    if line.language:
        return "cuda" if line.language == "cu" else "host"
    if suffix in CUDA_SUFFIXES:
        return "cuda"
    if suffix in HOST_SUFFIXES:
        return "host"
    raise UsageError(f"don't know what to do with '{name}'", hint="-x cu, -x c++ or -x c tells")


def _output(line: CommandLine, default: str) -> Path:
    path = line.output or Path(default)
    return path if line.output or not line.output_folder else line.output_folder / path


def _object_path(line: CommandLine, source: str, folder: Path) -> Path:
    if line.action != "compile":
        number = line.inputs.index(source)
        return folder / f"{number}-{Path(source).stem}.o"
    return _output(line, f"{Path(source).stem}.o")


def _options(line: CommandLine) -> Options:
    warnings = ["-Wno-unknown-warning-option", *line.warnings]
    return Options(
        preprocessor=tuple(line.preprocessor),
        standard=line.standard,
        optimization=line.optimization,
        warnings=tuple(word for word in warnings if word != "-Wl"),
        relocatable=line.relocatable,
        is_whole=_is_whole(line),
        checked=line.checked or config.check(),
    )


def _is_whole(line: CommandLine) -> bool:
    """Whether a command makes a program of one source alone."""
    files = [name for name in line.inputs if not name.startswith("-l")]
    return line.action == "link" and not line.shared and len(files) == 1


# ---- compiling


def device_sources(line: CommandLine) -> dict[str, tuple[Path, Options]]:
    """The CUDA sources of a command line and how they are compiled, by the id that the runtime
    knows each by."""
    from canopy.frontends.cuda.build import module_id_of

    sources = [Path(name) for name in line.inputs if _kind(line, name) == "cuda"]
    options = _options(line)
    return {f"canopy:{module_id_of(path, options)}": (path, options) for path in sources}


def compile_inputs(line: CommandLine, folder: Path) -> list[Path | str]:
    """The objects and libraries to link, in the order of the command line."""
    sources = [name for name in line.inputs if _kind(line, name) != "linked"]
    sources = list(dict.fromkeys(sources))
    # While one thread forks, no other may compile: its copy would wait for that one's locks.
    processes = config.num_threads() if len(sources) == 1 else 1
    with ThreadPoolExecutor(2) as pool:
        jobs = {name: pool.submit(_compile, line, name, folder, processes) for name in sources}
        return [jobs[name].result() if name in jobs else name for name in line.inputs]


def _compile(line: CommandLine, name: str, folder: Path, processes: int) -> Path:
    made = _object_path(line, name, folder)
    made.parent.mkdir(parents=True, exist_ok=True)
    if _kind(line, name) == "host":
        _compile_host(line, name, made)
    else:
        compiled = object_of(Path(name), _options(line), processes)
        sys.stderr.write(_without_counts(compiled.warnings))
        _replace(made, compiled.code)
    if line.write_dependencies:
        target = line.dependency_target or str(made)
        file = line.dependency_file or made.with_suffix(".d")
        file.write_text(_rule(line, name, target), encoding="utf-8")
    return made


def _replace(path: Path, data: bytes) -> None:
    """Writes a file in one step: two builds at once never see half of it."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".canopy-", delete=False) as file:
        file.write(data)
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)


def _without_counts(warnings: str) -> str:
    lines = warnings.splitlines(keepends=True)
    return "".join(text for text in lines if " generated when compiling for " not in text)


def _compile_host(line: CommandLine, name: str, made: Path) -> None:
    command = [*_host_command(line, name), "-c", name, "-o", str(made)]
    _run_clang(command, line)


def _host_command(line: CommandLine, name: str) -> list[str]:
    is_c = line.language == "c" or (not line.language and name.endswith(".c"))
    command = host_compiler_command()
    command[1] = "cc" if is_c else "c++"
    command += ["-fPIC", f"-march={host_cpu().replace('-', '_')}", line.optimization]
    command += [] if is_c else [f"-std={line.standard}"]
    command += ["-x", "c" if is_c else "c++"]
    command += header_folders()
    return [*command, *line.preprocessor, "-Wno-unknown-warning-option", *line.host_flags]


def _run_clang(command: Sequence[str], line: CommandLine) -> None:
    if line.verbose:
        _trace(command)
    done = subprocess.run(
        command, env=zig_environment(), stderr=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise clang_error(done.stderr, command[-1])
    sys.stderr.write(done.stderr)


# ---- printing instead of compiling


def _print_sources(line: CommandLine) -> int:
    text = ""
    for name in line.inputs:
        if _kind(line, name) == "linked":
            continue
        if line.action == "dependencies":
            target = line.dependency_target or f"{Path(name).stem}.o"
            text += _rule(line, name, target)
        else:
            text += _preprocessed(line, name)
    file = line.output or (line.dependency_file if line.action == "dependencies" else None)
    if file is None:
        sys.stdout.write(text)
    else:
        file.write_text(text, encoding="utf-8")
    return 0


def _preprocessed(line: CommandLine, name: str) -> str:
    if _kind(line, name) == "host":
        command = [*_host_command(line, name), "-E", name]
    else:
        flags = [*host_flags(host_cpu(), line.standard), *_options(line).flags]
        beside = ["-iquote", str(Path(name).resolve().parent)]
        command = [str(find_zig()), "clang", "-cc1", *flags, *beside, "-E", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise clang_error(done.stderr, name)
    return done.stdout


def _rule(line: CommandLine, name: str, target: str) -> str:
    return dependency_rule(
        _preprocessed(line, name),
        name,
        target,
        system=line.system_dependencies,
        phony=line.phony_dependencies,
    )


# ---- linking


def _archive(objects: Sequence[Path | str], output: Path) -> None:
    output.unlink(missing_ok=True)
    members = [str(path) for path in objects if not str(path).startswith("-l")]
    command = [str(find_zig()), "ar", "rcs", str(output), *members]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompileError(f"the archive {output} cannot be written: {done.stderr.strip()}")


def _link_device_code(line: CommandLine, output: Path) -> int:
    """-dlink: what the objects carry of device code, or an empty object where that is nothing."""
    with tempfile.TemporaryDirectory(prefix="canopy-") as name:
        inputs = compile_inputs(line, Path(name)) if _has_sources(line) else line.inputs
        units = units_in(inputs, line.library_folders)
        if units:
            from canopy.frontends.cuda.build import link_device_code

            link_device_code(units, output, config.num_threads())
            return 0
        source = Path(name) / "empty.c"
        source.write_text("", encoding="utf-8")
        command = host_compiler_command()
        command[1] = "cc"
        command += ["-fPIC", "-c", str(source), "-o", str(output)]
        subprocess.run(command, env=zig_environment(), check=True)
    return 0


def _has_sources(line: CommandLine) -> bool:
    return any(_kind(line, name) != "linked" for name in line.inputs)


def _link_flags(line: CommandLine) -> list[str]:
    flags = [f"-L{folder}" for folder in line.library_folders]
    flags += [flag for flag in line.host_flags if flag in {"-static", "-pthread"}]
    return flags + line.linker_flags + (["-shared"] if line.shared else []) + _strip(line)


def _strip(line: CommandLine) -> list[str]:
    return [] if line.debug else ["-s"]


def link_objects(line: CommandLine, objects: Sequence[Path | str]) -> None:
    """Links what `compile_inputs` gave."""
    chosen = wanted_libraries(objects)
    for note in chosen.notes:
        print(f"nvcc warning : {note}", file=sys.stderr)
    output = _output(line, "a.out")
    output.parent.mkdir(parents=True, exist_ok=True)
    if line.verbose:
        _trace_link(line)
    from canopy.frontends.cuda.prepare import is_prepared, mark_prepared

    is_first = not is_prepared()
    if is_first:
        print(f"canopy: {_FIRST_LINK}", file=sys.stderr)
    units = units_in(objects, line.library_folders)
    if units:
        _link_with_device_code(line, units, chosen.objects, output)
    else:
        link(chosen.objects, output, _link_flags(line))
    if is_first:
        mark_prepared()


_FIRST_LINK = "the first link builds the C++ library (a minute); `canopy setup cuda` does so ahead"


def _link_with_device_code(
    line: CommandLine, units: Sequence[Unit], objects: Sequence[Path | str], output: Path
) -> None:
    from canopy.frontends.cuda.build import link_device_code

    with tempfile.TemporaryDirectory(prefix="canopy-") as folder:
        device = Path(folder) / "device.o"
        link_device_code(units, device, config.num_threads())
        link([device, *objects], output, _link_flags(line))


def _run_result(line: CommandLine) -> int:
    program = _output(line, "a.out").resolve()
    return subprocess.call([str(program), *line.run_arguments])


# ---- -v and -dryrun


def _trace(command: Sequence[str]) -> None:
    print(f"#$ {shlex.join(command)}", file=sys.stderr)


def _report_environment(line: CommandLine) -> None:
    """What -v prints first: build systems read the folders from these lines."""
    if not (line.verbose or line.dry_run):
        return
    from canopy.frontends.cuda.toolkit import toolkit_folder

    top = toolkit_folder()
    print(f"#$ _NVVM_BRANCH_=nvvm\n#$ TOP={top}", file=sys.stderr)
    print(f"#$ NVVMIR_LIBRARY_DIR={top}/nvvm/libdevice", file=sys.stderr)
    print(f"#$ PATH={top}/bin", file=sys.stderr)
    print(f'#$ INCLUDES="-I{top}/include"', file=sys.stderr)
    print(f'#$ LIBRARIES=  "-L{top}/lib64/stubs" "-L{top}/lib64"', file=sys.stderr)
    print("#$ canopy -arch compute_80", file=sys.stderr)
    for note in line.noted:
        print(f"canopy: {note}", file=sys.stderr)


def _trace_link(line: CommandLine) -> None:
    """The link as a line that names the libraries as nvcc's does."""
    from canopy.frontends.cuda.toolkit import toolkit_folder

    top = toolkit_folder()
    folders = f'"-L{top}/lib64/stubs" "-L{top}/lib64"'
    command = shlex.join(link_command(line.inputs, _output(line, "a.out"), _link_flags(line)))
    command = command.replace(f"{find_zig()} c++", f"{top}/bin/g++", 1)
    libraries = "-lcudadevrt -lcudart_static -lrt -lpthread -ldl"
    print(f"#$ {command}  {folders} {libraries}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
