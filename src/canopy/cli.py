"""The `canopy` command: run, nvcc, shell, setup, check, inspect, report, doctor, demo, bench...

Each command imports what it needs when it is called, so that `canopy version` stays instant and a
missing extra is an error of the command that needs it. An error that Canopy raises on purpose is
printed as place, fact and hint, with exit status 2 and no traceback; a user's script keeps its own
exit status and its own traceback.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from canopy import __version__, config
from canopy.errors import CanopyError, MissingDependencyError

__all__ = ["app", "main"]

EXIT_USAGE = 2
# Packages that a command may miss, and the extra that brings each.
EXTRA_OF_PACKAGE = {
    "triton": "triton",
    "torch": "torch",
    "ziglang": "cuda",
    "onnx": "onnx",
    "safetensors": "onnx",
    "libcst": "migrate",
}
CACHE_FOLDERS_NOT_CODE = frozenset({"failures"})

app = typer.Typer(
    name="canopy",
    help="Runs what was written for CUDA (PyTorch scripts, Triton kernels) on the CPU at hand.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
# The script that a command has prepared. It runs after the command line library has returned, which
# would otherwise turn a script's EOFError or KeyboardInterrupt into messages of its own.
_scripts: list[Callable[[], int]] = []

cache_app = typer.Typer(help="Look at the cache of compiled kernels, or empty it.")
app.add_typer(cache_app, name="cache", no_args_is_help=True)


_IS_COMMAND = "canopy.is_command"  # `canopy run -- make`


class RunCommand(TyperCommand):
    """`canopy run`: what follows the script, or `-m module`, belongs to the script untouched."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[_IS_COMMAND] = _first_word(args) == "--"
        return super().parse_args(ctx, _end_options_after_module(args))


def _first_word(args: list[str]) -> str:
    """The first word that is no option of `canopy run`: a script, ``-m``, or ``--``."""
    words = iter(args)
    for word in words:
        if word in {"--target", "--report", "--chip"}:
            next(words, None)
        elif word == "--" or not word.startswith("-") or word in {"-m", "--module"}:
            return word
    return ""


def _end_options_after_module(args: list[str]) -> list[str]:
    """Puts `--` behind `-m module`, as Python itself reads its command line."""
    takes_value = {"--target", "--report", "--chip"}
    position = 0
    while position < len(args):
        word = args[position]
        if word in {"-m", "--module"}:
            end = position + 2
        elif (word.startswith("-m") and not word.startswith("--")) or word.startswith("--module="):
            end = position + 1
        elif word in takes_value:
            position += 2
            continue
        elif word.startswith("-") and word not in {"-", "--"}:
            position += 1
            continue
        else:
            return args
        return [*args[:end], "--", *args[end:]]
    return args


@app.command(
    cls=RunCommand,
    context_settings={"allow_interspersed_args": False},
    no_args_is_help=True,
)
def run(
    ctx: typer.Context,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SCRIPT [ARGS]...",
            help="The script, then its own arguments. Or CUDA C++ files, --, arguments.",
        ),
    ] = None,
    module: Annotated[
        str | None, typer.Option("-m", "--module", help="Run a module, as `python -m` does.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Where to run; the default is CANOPY_TARGET, else cpu.")
    ] = None,
    chip: Annotated[
        str | None, typer.Option(help="The chip that --target ascend-sim simulates: 910b2.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No report at exit.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="Also write the report to this file, as JSON.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="CUDA C++: name out-of-bounds and racing accesses.")
    ] = False,
) -> None:
    """Run a script, module or CUDA C++ program, unchanged, on another target.

    `canopy run app.cu -- 1000` compiles app.cu once and runs it; `canopy run -- make` runs a
    command that finds nvcc, nvidia-smi and CUDA_HOME.
    """
    words = list(arguments or [])
    if check:  # what the command or script compiles is checked too
        os.environ.setdefault("CANOPY_CHECK", "1")
    if module is None and not words:
        raise CanopyError(
            "there is nothing to run", hint="canopy run train.py, or canopy run -m package.module"
        )
    chosen = target or config.target()
    if chosen == "ascend-sim":
        _choose_simulator(chip)
    if module is None and _run_program(words, ctx.meta[_IS_COMMAND], check=check, quiet=quiet):
        return
    commands = _load("canopy.frontends.redirect.commands")
    _scripts.append(
        lambda: commands.run(
            module or words[0],
            words if module else words[1:],
            module=module is not None,
            target=chosen,
            quiet=quiet,
            report=str(report) if report else None,
        )
    )


def _choose_simulator(chip: str | None) -> None:
    """Kernels that this process and its children launch run on the simulator."""
    os.environ["CANOPY_TARGET"] = "ascend-sim"
    if chip is not None:
        os.environ["CANOPY_CHIP"] = chip
    _load("canopy.targets.ascend").load_chip(config.chip())


@app.command(no_args_is_help=True)
def compare(
    arguments: Annotated[
        list[str],
        typer.Argument(metavar="SCRIPT [-- ARGS]...", help="The script, --, its own arguments."),
    ],
    targets: Annotated[
        str,
        typer.Option(help="Two or more of cpu, ascend-sim, ascend-text (printed), interpreter."),
    ] = "cpu,ascend-sim",
    chip: Annotated[str | None, typer.Option(help="The chip to simulate: 910b2.")] = None,
) -> None:
    """Run a script, each of its Triton kernels on several targets, and say where they differ.

    The exit status is 1 if a kernel failed on a target.
    """
    chosen = [word.strip() for word in targets.split(",") if word.strip()]
    _choose_simulator(chip)
    comparing = _load("canopy.frontends.triton.comparing")
    comparing.check_targets(chosen)
    start = _script_of(list(arguments))
    _scripts.append(lambda: int(comparing.run(chosen, start)))


def _script_of(words: list[str]) -> Callable[[], int]:
    """What runs a script, or a program of CUDA C++, whose kernels are compared."""
    if _load("canopy.frontends.cuda.programs").is_cuda_program(words):
        hosted = _load("canopy.frontends.cuda.in_process")
        return lambda: int(hosted.run_in_process(words, is_compared=True))
    commands = _load("canopy.frontends.redirect.commands")
    script, *rest = words
    return lambda: int(commands.run(script, rest, target="ascend-sim", quiet=True))


def _run_program(words: list[str], is_command: bool, *, check: bool, quiet: bool) -> bool:
    """Puts CUDA C++ programs and commands in the place of a script; whether it was one."""
    programs = _load("canopy.frontends.cuda.programs")
    if programs.is_cuda_program(words) and config.simulates():
        hosted = _load("canopy.frontends.cuda.in_process")
        _scripts.append(lambda: int(hosted.run_in_process(words, quiet)))
        return True
    if programs.is_cuda_program(words):
        _scripts.append(lambda: int(programs.run_program(words, check)))
        return True
    if not is_command or words[0].endswith(".py") or Path(words[0]).is_dir():
        return False
    _scripts.append(lambda: int(programs.run_command(words)))
    return True


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def nvcc(ctx: typer.Context) -> None:
    """Compile CUDA C++ with nvcc's own command line; the program runs on the CPU."""
    raise typer.Exit(int(_load("canopy.frontends.cuda.nvcc").main(ctx.args)))


@app.command()
def shell() -> None:
    """Start a shell in which make and cmake find nvcc, nvidia-smi and CUDA_HOME."""
    _scripts.append(lambda: int(_load("canopy.frontends.cuda.programs").shell()))


@app.command()
def setup(
    what: Annotated[str, typer.Argument(metavar="cuda", help="What to prepare: cuda.")],
) -> None:
    """Build once what would otherwise be built at first use: the C++ library, the runtime."""
    if what != "cuda":
        raise CanopyError(f"there is nothing to set up for {what!r}", hint="canopy setup cuda")
    raise typer.Exit(int(_load("canopy.frontends.cuda.prepare").prepare_command()))


@app.command(no_args_is_help=True)
def check(
    path: Annotated[Path, typer.Argument(help="A Python file or a folder.")],
) -> None:
    """Say, without running it, what of a script will run and which line will not."""
    if not path.exists():
        raise CanopyError(f"{path}: there is no such file or folder")
    raise typer.Exit(int(_load("canopy.frontends.redirect.commands").check(str(path))))


@app.command(no_args_is_help=True)
def migrate(
    path: Annotated[Path, typer.Argument(help="A project's folder, or a file.")],
    html_path: Annotated[
        Path | None,
        typer.Option("--html", help="Write the report to this file, as one page for a browser."),
    ] = None,
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Also write the report to this file, as JSON.")
    ] = None,
    sarif_path: Annotated[
        Path | None, typer.Option("--sarif", help="Also write it as SARIF, for code scanning.")
    ] = None,
    diff: Annotated[bool, typer.Option("--diff", help="Print the rewrite as a diff.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Rewrite the files in place.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="--apply on files with uncommitted changes too.")
    ] = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes; the default is one per CPU.")
    ] = None,
    prove: Annotated[
        str,
        typer.Option(
            metavar="COMMAND", help="Run COMMAND before and after the rewrite, and compare."
        ),
    ] = "",
    kernel_seconds: Annotated[
        float, typer.Option(min=0, help="How long to compile CUDA C++ kernels; 0: not at all.")
    ] = 60,
) -> None:
    """Say what it takes to leave CUDA, file by file, and make the portable version."""
    migrating = _load("canopy.migrate.command")
    options = migrating.Options(
        html_path=html_path,
        json_path=json_path,
        sarif_path=sarif_path,
        diff=diff,
        apply=apply,
        force=force,
        jobs=jobs,
        kernel_seconds=kernel_seconds,
        prove=prove,
    )
    _scripts.append(lambda: int(migrating.migrate(path, options)))


@app.command(no_args_is_help=True)
def inspect(
    spec: Annotated[
        str,
        typer.Argument(metavar="FILE:KERNEL", help="FILE is .py (Triton; it is imported) or .cu."),
    ],
    stage: Annotated[
        str | None,
        typer.Option(help="ttir, ir, a pass, llvm, asm, npu or ascendc; default: all."),
    ] = None,
    signature: Annotated[
        str, typer.Option(help='Argument types and constants: "x:*fp32,n:i32,BLOCK:1024".')
    ] = "",
    block: Annotated[str, typer.Option(help="Thread block of a .cu kernel: 256, or 16,16.")] = "",
    target: Annotated[str, typer.Option(help="cpu, or ascend (NPU program, Ascend C).")] = "cpu",
    chip: Annotated[str, typer.Option(help="The chip of --target ascend: 910b2.")] = "",
) -> None:
    """Show a kernel stage by stage, beside the source lines it came from."""
    inspecting = _load("canopy.inspect")
    try:
        status = inspecting.inspect_command(spec, stage, signature, block, target, chip)
    except ModuleNotFoundError as error:
        raise missing_package_error(error) from error
    raise typer.Exit(int(status))


@app.command(no_args_is_help=True)
def build(
    spec: Annotated[
        str,
        typer.Argument(metavar="FILE:KERNEL", help="FILE is .py (Triton; it is imported) or .cu."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder to write to.")],
    target: Annotated[str, typer.Option(help="ascend.")] = "ascend",
    chip: Annotated[str, typer.Option(help="The chip: 910b2, 910c...")] = "",
    signature: Annotated[
        str, typer.Option(help='Argument types and constants: "x:*fp32,n:i32,BLOCK:1024".')
    ] = "",
    block: Annotated[str, typer.Option(help="Thread block of a .cu kernel: 256, or 16,16.")] = "",
) -> None:
    """Write a kernel as Ascend C with host launcher, CMakeLists and README, for your own CANN."""
    building = _load("canopy.build")
    try:
        status = building.build_command(spec, target, chip, output, signature, block)
    except ModuleNotFoundError as error:
        raise missing_package_error(error) from error
    raise typer.Exit(int(status))


@app.command()
def doctor() -> None:
    """Show what is installed, which targets are usable and why the others are not."""
    raise typer.Exit(int(_load("canopy.doctor").doctor_command()))


@app.command()
def report() -> None:
    """Print the last internal failure, redacted, ready to paste into an issue."""
    from canopy.failure import latest_failure, redact

    path = latest_failure()
    if path is None:
        print("No internal failure is on record.", file=sys.stderr)
        return
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise CanopyError(f"{path}: cannot be read ({error.strerror})") from None
    # Redacted when it was written; again here, in case the file was edited or is from elsewhere.
    print(redact(text), end="")


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def demo(ctx: typer.Context) -> None:
    """Train a small GPT with a script written for an NVIDIA GPU (needs the repository)."""
    script = _repository_file("examples/char_gpt/train.py")
    commands = _load("canopy.frontends.redirect.commands")
    target = config.target()
    _scripts.append(lambda: commands.run(str(script), ctx.args, target=target))


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def bench(ctx: typer.Context) -> None:
    """Measure Canopy's kernels beside their peers (needs the repository)."""
    script = _repository_file("benchmarks/run.py")
    raise typer.Exit(subprocess.call([sys.executable, str(script), *ctx.args]))


@app.command()
def version() -> None:
    """Print the version."""
    print(f"canopy {__version__}")


@cache_app.command("info")
def cache_info() -> None:
    """Print where the cache is, how many files it holds and how large it is."""
    folder = config.cache_dir()
    count, size_bytes = folder_size(folder)
    print(f"{folder}: {count} files, {format_bytes(size_bytes)}")


@cache_app.command("clear")
def cache_clear() -> None:
    """Remove every compiled kernel; failure reports stay."""
    folder = config.cache_dir()
    count, size_bytes = folder_size(folder)
    if not count:
        print(f"{folder}: nothing to remove")
        return
    _check_is_a_cache(folder)
    failed: list[str] = []
    for entry in sorted(folder.iterdir()):
        if entry.name in CACHE_FOLDERS_NOT_CODE:
            continue
        _remove(entry, failed)
    if failed:
        raise CanopyError(
            f"{failed[0]}: cannot be removed ({len(failed)} such entries)",
            hint="the folder belongs to another user, or is read-only",
        )
    left, left_bytes = folder_size(folder)
    print(f"{folder}: removed {count - left} files, {format_bytes(size_bytes - left_bytes)}")


def folder_size(folder: Path) -> tuple[int, int]:
    """Number of files below ``folder`` and their size in bytes; links are not followed."""
    count = size_bytes = 0
    pending = [folder]
    while pending:
        try:
            entries = list(pending.pop().iterdir())
        except OSError:
            continue
        for entry in entries:
            try:
                if entry.is_dir() and not entry.is_symlink():
                    pending.append(entry)
                    continue
                size_bytes += entry.lstat().st_size
                count += 1
            except OSError:  # removed by another process meanwhile
                continue
    return count, size_bytes


def format_bytes(size_bytes: int) -> str:
    """A size for people, in binary units: ``1.5 MiB``."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def _check_is_a_cache(folder: Path) -> None:
    """Refuses to empty a folder of other things that CANOPY_CACHE_DIR names by mistake."""
    named_so = any(word in folder.name.lower() for word in ("canopy", "cache"))
    tagged = (folder / "CACHEDIR.TAG").exists()
    precious = (Path.home(), Path(folder.anchor), Path.cwd())
    if folder in precious or (folder / ".git").exists() or not (named_so or tagged):
        raise CanopyError(
            f"{folder}: this does not look like a cache, nothing was removed",
            hint="set CANOPY_CACHE_DIR to a folder of its own, with cache in its name",
        )


def _remove(entry: Path, failed: list[str]) -> None:
    try:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    except FileNotFoundError:
        return
    except OSError as error:
        failed.append(str(error.filename or entry))


def _repository_file(relative: str) -> Path:
    """A file of the source tree; the installed package does not carry examples and benchmarks."""
    path = Path(__file__).resolve().parents[2] / relative
    if not path.is_file():
        raise CanopyError(
            f"{relative} is part of the repository, not of the installed package",
            hint="clone the repository and run make demo or make bench there",
        )
    return path


def _load(module: str) -> Any:
    """Imports a part of Canopy, and turns a missing package into a hint which extra brings it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise missing_package_error(error) from error


def missing_package_error(error: ModuleNotFoundError) -> CanopyError:
    """What to tell a user who lacks the package that ``error`` names."""
    package = (error.name or "").partition(".")[0]
    if package == "canopy":
        return CanopyError(
            f"this build of Canopy has no {error.name}",
            hint="reinstall it: pip install --force-reinstall canopy-nn",
        )
    extra = EXTRA_OF_PACKAGE.get(package)
    if extra is None:
        return MissingDependencyError(
            f"the package {package or error} is not installed", hint=f"pip install {package}"
        )
    return MissingDependencyError(
        f"the package {package} is not installed", hint=f"pip install canopy-nn[{extra}]"
    )


def _run_command() -> int:
    """Reads the command line and does what it says; the exit status."""
    try:
        app()
    except BrokenPipeError:  # canopy report | head
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  the interpreter flushes it at exit
        return 1
    except SystemExit as leaving:
        if not isinstance(leaving.code, int | None):
            raise
        if leaving.code:
            return leaving.code
    return _scripts.pop()() if _scripts else 0


def main() -> None:
    """The console script's entry point."""
    try:
        status = _run_command()
    except CanopyError as error:
        print(f"canopy: {error}", file=sys.stderr)
        if _is_debugging():
            raise
        status = EXIT_USAGE
    sys.exit(status)


def _is_debugging() -> bool:
    """Whether CANOPY_DEBUG asks for tracebacks; a bad value counts as no."""
    try:
        return config.debug_level() > 0
    except CanopyError:
        return False


if __name__ == "__main__":
    main()
