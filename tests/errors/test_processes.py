"""Scripts and processes in trouble: nothing is corrupted, nothing hangs, the message helps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from canopy.frontends.triton.binary import Binary
from tests.errors.conftest import environment

Run = Callable[..., "subprocess.CompletedProcess[str]"]

LAUNCH = """
import torch
from tests.errors.wrong_kernels import double

# Small enough for torch to use one thread: its own OpenMP hangs in a forked child.
def launch(n=1 << 14):
    x = torch.arange(n, dtype=torch.float32)
    out = torch.empty_like(x)
    double[(n // 256,)](x, out, n, BLOCK=256)
    return torch.equal(out, x * 2)
"""


# ---- child processes ---------------------------------------------------------------------------

CHILDREN = (
    LAUNCH
    + """
import multiprocessing

def work(queue):
    queue.put([launch() for _ in range(20)])

if __name__ == "__main__":
    assert launch()  # the pool runs
    context = multiprocessing.get_context(METHOD)
    queue = context.Queue()
    children = [context.Process(target=work, args=(queue,)) for _ in range(2)]
    for child in children:
        child.start()
    print(all(all(queue.get(timeout=90)) for _ in children), launch())
    for child in children:
        child.join(30)
    print([child.exitcode for child in children])
"""
)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_after_the_pool_started(run: Run, method: str) -> None:
    done = run(CHILDREN.replace("METHOD", repr(method)))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["True True", "[0, 0]"]


def test_a_plain_fork(run: Run) -> None:
    script = """
import os
assert launch()
child = os.fork()
if child == 0:
    os._exit(0 if launch() else 1)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), launch())
"""
    done = run(LAUNCH + script)
    assert (done.returncode, done.stdout) == (0, "0 True\n"), done.stderr


@pytest.mark.parametrize("end", ["sys.exit(3)", "os._exit(3)"])
def test_exit_after_the_pool_started(run: Run, end: str) -> None:
    done = run(f"{LAUNCH}\nimport os, sys\nassert launch()\n{end}\n")
    assert (done.returncode, done.stderr) == (3, "")


# ---- interrupts --------------------------------------------------------------------------------

# The compiler says when it is at work, and is slowed down so that the signal arrives inside.
INTERRUPTED = (
    LAUNCH
    + """
import sys, time
import canopy.compiler

real = canopy.compiler.compile_kernel

def slow(*args):
    print("compiling", flush=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        real(*args)
    return real(*args)

canopy.compiler.compile_kernel = slow
try:
    launch()
except KeyboardInterrupt:
    print("interrupted", flush=True)
    canopy.compiler.compile_kernel = real
    print(launch(), flush=True)
    raise
"""
)


def test_interrupt_while_compiling(tmp_path: Path, caches: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED)
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "compiling\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert stdout == "interrupted\nTrue\n", stderr
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in stderr
    assert not list(caches.rglob("*.tmp*"))


# ---- the cache ---------------------------------------------------------------------------------

PRINT = LAUNCH + "\nprint(launch())\n"


def test_two_processes_compile_the_same_kernel(tmp_path: Path, caches: Path) -> None:
    """They start at the same moment, with a cold cache; a third finds what they left."""
    script = tmp_path / "script.py"
    script.write_text(
        f"{LAUNCH}\nimport sys\nprint('ready', flush=True)\nsys.stdin.readline()\nprint(launch())\n"
    )
    pair = [
        subprocess.Popen(
            [sys.executable, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        for _ in range(2)
    ]
    try:
        for process in pair:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        answers = []
        for process in pair:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [process.communicate(timeout=120) for process in pair]
    finally:
        for process in pair:
            process.kill()
    assert [out for out, _ in answers] == ["True\n", "True\n"], answers
    assert not list(caches.rglob("*.tmp*"))
    assert len(list(caches.rglob("double.obj"))) == 1


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "truncated": lambda data: data[: len(data) // 2],
    "one byte differs": lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
    "foreign": lambda data: b"\x7fELF" + bytes(4000),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_machine_code_is_never_run(run: Run, caches: Path, damage: str) -> None:
    assert run(PRINT).stdout == "True\n"
    (path,) = caches.rglob("double.obj")
    whole = path.read_bytes()
    path.write_bytes(DAMAGES[damage](whole))
    done = run(PRINT)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
    (path,) = caches.rglob("double.obj")
    assert Binary.unpack(path.read_bytes()).code == Binary.unpack(whole).code  # repaired


def test_code_of_another_kernel_under_a_valid_checksum(run: Run, caches: Path) -> None:
    """The group's checksum is that of the file that Canopy wrote, not of any whole file."""
    both = PRINT + (
        "from tests.errors.wrong_kernels import checked\nchecked[(1,)](torch.ones(8), BLOCK=8)\n"
    )
    assert run(both).stdout == "True\n"
    (ours,), (other,) = caches.rglob("double.obj"), caches.rglob("checked.obj")
    ours.write_bytes(other.read_bytes())
    done = run(PRINT)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


WARNING = (
    "RuntimeWarning: the kernel cache {folder} cannot be used ({reason}): kernels are compiled "
    "anew in every process\nhint: set TRITON_CACHE_DIR to a folder that can be written\n"
)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_home(run: Run, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    done = run(PRINT, HOME=str(home), TRITON_CACHE_DIR="", CANOPY_CACHE_DIR="")
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
    assert "Permission denied" in done.stderr


def test_unwritable_home(run: Run, tmp_path: Path) -> None:
    """What root sees too: nothing can be created below a file."""
    home = tmp_path / "home"
    home.write_text("")
    prelude = (
        "import os\nfor name in ('TRITON_CACHE_DIR', 'CANOPY_CACHE_DIR'): del os.environ[name]\n"
    )
    done = run(prelude + PRINT, HOME=str(home))
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
    expected = WARNING.format(folder=home / ".triton" / "cache", reason="Not a directory")
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


# Writes of more than a few bytes below the cache folder fail, as on a disk that has just filled up.
FULL_DISK = """
import builtins, errno, os
real = builtins.open

def full(file, mode="r", *args, **kwargs):
    opened = real(file, mode, *args, **kwargs)
    if "w" in mode and str(file).startswith(os.environ["TRITON_CACHE_DIR"]):
        def refuse(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file)
        class Full:
            def __enter__(self): return self
            def __exit__(self, *_): opened.close()
            write = staticmethod(refuse)
        return Full()
    return opened

builtins.open = full
"""


def test_full_disk(run: Run, caches: Path) -> None:
    done = run(FULL_DISK + PRINT)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
    assert WARNING.format(folder=caches, reason="No space left on device") in done.stderr
    again = run(PRINT)  # what the full disk left behind does no harm
    assert (again.returncode, again.stdout, again.stderr) == (0, "True\n", "")


# ---- missing packages --------------------------------------------------------------------------

WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "PACKAGE":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""


def test_missing_torch(run: Run) -> None:
    done = run(
        WITHOUT.replace("PACKAGE", "torch") + "import canopy\nwith canopy.cuda_as('cpu'): pass\n"
    )
    assert done.returncode == 1
    assert done.stderr.endswith(
        "MissingDependencyError: torch is not installed\nhint: pip install canopy-nn[torch]\n"
    )


def test_missing_triton(run: Run, tmp_path: Path) -> None:
    """A script that imports triton, under `canopy run`, where triton is not installed."""
    kernel = tmp_path / "kernel.py"
    kernel.write_text("import triton\n")
    start = f"import sys\nsys.argv = ['canopy', 'run', '--quiet', {str(kernel)!r}]\n"
    start += "from canopy.cli import main\nsys.exit(main())\n"
    done = run(WITHOUT.replace("PACKAGE", "triton") + start)
    assert done.returncode == 1
    assert "ModuleNotFoundError: No module named 'triton'" in done.stderr
    assert done.stderr.endswith("hint: pip install canopy-nn[triton]\n")
