"""Runs a script or module as Python itself would, with CUDA redirected.

``__main__`` is a fresh module, ``sys.argv`` and ``sys.path[0]`` are what ``python`` would set, an
uncaught exception prints the traceback that Python would print (frames of Canopy and of this runner
left out), and the exit code is Python's.
"""

from __future__ import annotations

import io
import os
import runpy
import sys
import traceback
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from canopy.errors import CanopyError
from canopy.frontends.redirect import session

__all__ = ["exit_code_of", "run_script"]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep
_INTERRUPTED = 130


def run_script(
    path_or_module: str,
    argv: Sequence[str] = (),
    *,
    module: bool = False,
    target: str = "cpu",
    keep: bool = False,
) -> int:
    """Runs a script (file, folder or zip), or with ``module`` what ``python -m`` would.

    Returns the exit code. With ``keep`` the redirect, ``__main__`` and ``sys.argv`` stay, for
    its threads and exit handlers. Raises CanopyError for a script that is not there.
    """
    if not module:
        _require_script(path_or_module)
    if keep:
        session.begin(target)
        _enter(path_or_module, argv, module)
        return _execute(path_or_module, module)
    with session.cuda_as(target), _restored():
        _enter(path_or_module, argv, module)
        return _execute(path_or_module, module)


def _require_script(path: str) -> None:
    if os.path.isdir(path) and not os.path.exists(os.path.join(path, "__main__.py")):
        raise CanopyError(
            f"the folder {path} holds no __main__.py", hint="name a script, or use -m package"
        )
    if not os.path.exists(path):
        hint = f"to run a module: canopy run -m {path}" if not path.endswith(".py") else (
            f"the current folder is {os.getcwd()}"
        )  # fmt: skip
        raise CanopyError(f"there is no script {path}", hint=hint)
    if not os.access(path, os.R_OK):
        raise CanopyError(f"the script {path} cannot be read", hint="check its permissions")


@contextmanager
def _restored() -> Iterator[None]:
    """Puts back what running a program changes in this interpreter."""
    argv, path, main = list(sys.argv), list(sys.path), sys.modules.get("__main__")
    try:
        yield
    finally:
        sys.argv[:], sys.path[:] = argv, path
        if main is not None:
            sys.modules["__main__"] = main


def _enter(name: str, argv: Sequence[str], module: bool) -> None:
    if module and name == "torch.distributed.run":
        argv = _through_launcher(name, argv)
    sys.argv[:] = ["-m" if module else name, *argv]
    first = os.getcwd() if module else os.path.dirname(os.path.realpath(name))
    if not module and (os.path.isdir(name) or _is_archive(name)):
        first = name
    if getattr(sys.flags, "safe_path", False):
        return
    sys.path.insert(0, first)


def _through_launcher(name: str, argv: Sequence[str]) -> list[str]:
    """Arguments for torch's launcher such that the workers it starts are redirected too."""
    from torch.distributed import run

    parser: Any = run
    options = parser.parse_args(list(argv))
    if options.no_python or options.training_script not in argv:
        return list(argv)
    position = list(argv).index(options.training_script)
    before = [argument for argument in argv[:position] if argument not in ("-m", "--module")]
    worker = ["-u", "-m", "canopy.frontends.redirect", "--quiet", *(["-m"] * options.module)]
    return [*before, "--no-python", sys.executable, *worker, *argv[position:]]


def _is_archive(path: str) -> bool:
    import zipfile

    return os.path.isfile(path) and zipfile.is_zipfile(path)


def _execute(name: str, module: bool) -> int:
    main: Any = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = sys.modules["builtins"]
    sys.modules["__main__"] = main
    try:
        if module:
            runpy._run_module_as_main(name)  # type: ignore[attr-defined]
        elif os.path.isdir(name) or _is_archive(name):
            runpy._run_module_as_main("__main__", False)  # type: ignore[attr-defined]
        else:
            _run_file(name, main)
    except SystemExit as stop:
        return exit_code_of(stop)
    except BaseException as error:
        _print_traceback(error)
        _print_hint(error)
        return _INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
    finally:
        _flush()
    return 0


def _run_file(path: str, main: Any) -> None:
    path = os.path.abspath(path)  # as Python does
    main.__file__ = path
    main.__cached__ = None
    from importlib.machinery import SourceFileLoader

    main.__loader__ = SourceFileLoader("__main__", path)
    with io.open_code(path) as file:
        source = file.read()
    exec(compile(source, path, "exec", dont_inherit=True), main.__dict__)


def exit_code_of(stop: SystemExit) -> int:
    """The process's exit code for ``stop``; a message goes to stderr, as Python does it."""
    if stop.code is None:
        return 0
    if isinstance(stop.code, int):
        return stop.code & 0xFF
    print(stop.code, file=sys.stderr)
    return 1


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            continue


def _print_traceback(error: BaseException) -> None:
    """Through ``sys.excepthook``, which the program may have replaced."""
    _strip(error, set())
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except BaseException:
        traceback.print_exception(error)


def _print_hint(error: BaseException) -> None:
    """Below Python's own traceback, which extra brings a package that Canopy runs programs with."""
    if isinstance(error, ModuleNotFoundError) and error.name == "triton":
        print("hint: pip install canopy-nn[triton]", file=sys.stderr)


def _strip(error: BaseException | None, seen: set[int]) -> None:
    """Takes Canopy's frames out of the tracebacks of ``error`` and its causes."""
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    frames = []
    step = error.__traceback__
    while step is not None:
        frames.append(step)
        step = step.tb_next
    result: types.TracebackType | None = None
    for frame in reversed(frames):
        if not frame.tb_frame.f_code.co_filename.startswith(_PACKAGE):
            result = types.TracebackType(result, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    error.__traceback__ = result
    _strip(error.__cause__, seen)
    _strip(error.__context__, seen)
    for part in getattr(error, "exceptions", ()):
        _strip(part, seen)
