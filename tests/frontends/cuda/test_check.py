"""Checked kernels: each seeded bug is named with its line, thread and block; right ones are not."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ziglang")

from canopy.cuda import RawKernel
from canopy.errors import KernelError
from canopy.frontends.cuda.build import Options, compile_source, link

HERE = Path(__file__).parent
SEEDED = HERE / "checks" / "seeded.cu"
CHECKED = Options(checked=True)


def built(source: Path, folder: Path, options: Options = CHECKED) -> Path:
    code, program = folder / f"{source.stem}.o", folder / source.stem
    compile_source(source, code, options)
    link([code], program)
    return program


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(SEEDED, tmp_path_factory.mktemp("check"))


def run(program: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    found = {**os.environ, **variables}
    return subprocess.run(
        [program, *words], capture_output=True, text=True, timeout=60, env=found, check=False
    )


def line_of(bug: str) -> int:
    lines = SEEDED.read_text().splitlines()
    return next(n for n, text in enumerate(lines, 1) if f"// {bug}" in text)


# Per bug: what is said, the thread and block of the place marked in the source, a further fact.
ADDRESSES = {
    "past_end": ("write of 4 bytes", (232, 0, 0), (3, 0, 0), "0 bytes behind the end of an alloca"),
    "negative": ("read of 4 bytes", (0, 0, 0), (0, 0, 0), "4 bytes before the start of an allo"),
    "shared_past_end": ("write of 4 bytes", (63, 0, 0), (0, 0, 0), "array tile of 256 bytes"),
    "dynamic_past_end": ("write of 4", (100, 0, 0), (0, 0, 0), "so do 27 more threads"),
    "local_past_end": ("write of 4 bytes", (0, 0, 0), (0, 0, 0), "local array of 24 bytes"),
    "after_free": ("memory that was freed", (0, 0, 0), (0, 0, 0), "freed memory of 16384 bytes"),
    "host_memory": ("out of bounds", (0, 0, 0), (0, 0, 0), "no memory of the device"),
    "variable_past_end": ("write of 4 bytes", (10, 0, 0), (0, 0, 0), "variable table of 40 bytes"),
    "copied": ("read of 255 bytes", (15, 0, 0), (0, 0, 0), "3825 bytes into an allocation of 4000"),
    "misaligned": ("misaligned read", (0, 0, 0), (0, 0, 0), "a multiple of 16"),
}
BARRIERS = {
    "divergent": ("some threads of the block", (0, 0, 0), "thread (1, 0, 0) takes another way"),
    "divergent_loop": ("some threads of the block", (0, 0, 0), "thread (36, 0, 0) takes another"),
    "divergent_warps": ("wait at different places", (32, 0, 0), "others wait at"),
}
RACES = {
    "reduction": ((0, 0, 0), (0, 0, 0), "shared array tile"),
    "tiled_matmul": ((0, 0, 0), (0, 0, 0), "shared array bs"),
    "without_syncwarp": ((0, 0, 0), (0, 0, 0), "no __syncwarp()"),
    "two_blocks": ((5, 0, 0), (2, 0, 0), "thread (5, 0, 0), block (1, 0, 0)"),
    "neighbour_block": ((0, 0, 0), (1, 0, 0), "thread (0, 0, 0), block (0, 0, 0)"),
    "global_in_block": ((0, 0, 0), (0, 0, 0), "thread (255, 0, 0)"),
    "init_and_count": ((0, 0, 0), (0, 0, 0), "atomic operation of 4 bytes after a write"),
    "in_fibers": ((32, 0, 0), (0, 0, 0), "thread (0, 0, 0)"),
    "in_members": ((0, 0, 0), (0, 0, 0), "thread (64, 0, 0)"),
}


def place(bug: str, thread: tuple[int, ...], block: tuple[int, ...]) -> str:
    return f"{SEEDED}:{line_of(bug)}, thread {thread}, block {block}"


@pytest.mark.parametrize("bug", ADDRESSES)
def test_wrong_address(program: Path, bug: str) -> None:
    what, thread, block, fact = ADDRESSES[bug]
    done = run(program, bug)
    assert what in done.stderr
    assert fact in done.stderr
    assert f"    at {place(bug, thread, block)}\n" in done.stderr
    error = "cudaErrorMisalignedAddress" if bug == "misaligned" else "cudaErrorIllegalAddress"
    assert done.stdout.split() == [error, error]  # it is sticky
    assert done.returncode == 1
    assert "1 error in 1 launch\n" in done.stderr


@pytest.mark.parametrize("bug", BARRIERS)
def test_divergent_barrier(program: Path, bug: str) -> None:
    what, thread, fact = BARRIERS[bug]
    done = run(program, bug)
    assert f"divergent barrier in {bug}: " in done.stderr
    assert what in done.stderr
    assert fact in done.stderr
    assert place(bug, thread, (0, 0, 0)) in done.stderr
    assert done.stdout.split() == ["cudaErrorLaunchFailure"] * 2
    assert done.returncode == 1


@pytest.mark.parametrize("bug", RACES)
def test_race(program: Path, bug: str) -> None:
    thread, block, fact = RACES[bug]
    done = run(program, bug)
    report = re.search(rf".*second {re.escape(place(bug, thread, block))}\n.*\n", done.stderr)
    assert report, done.stderr
    assert "canopy check: race in " in done.stderr
    assert fact in done.stderr
    assert done.stdout.split() == ["cudaSuccess"] * 2  # told, and gone on
    assert done.returncode == 1


def test_unwritten_shared_memory_is_named(program: Path) -> None:
    done = run(program, "unwritten")
    assert "read of shared memory that nobody has written" in done.stderr
    assert place("unwritten", (50, 0, 0), (0, 0, 0)) in done.stderr
    assert done.returncode == 1


def test_right_kernels_say_nothing_but_the_summary(program: Path) -> None:
    done = run(program, "none")
    assert done.stderr == "canopy check: no errors in 1 launch\n"
    assert done.returncode == 0


def test_the_environment_chooses_what_is_checked(program: Path) -> None:
    assert run(program, "reduction", CANOPY_CHECK="memory").returncode == 0
    assert run(program, "past_end", CANOPY_CHECK="memory").returncode == 1
    off = run(program, "reduction", CANOPY_CHECK="0")
    assert (off.returncode, off.stderr) == (0, "")


# Chosen for what they use: warps, atomics, flags between blocks, fibers, the grid's barrier, pools.
@pytest.mark.parametrize("name", ["returned_threads", "device_memory", "waiting", "language"])
def test_the_corpus_has_no_errors(name: str, tmp_path: Path) -> None:
    done = run(built(HERE / "programs" / f"{name}.cu", tmp_path))
    assert "canopy check: no errors in " in done.stderr, done.stderr
    assert done.stdout.splitlines()[-1] == "PASS"
    assert done.returncode == 0


RACING = "without_syncwarp.cu"  # on purpose
RIGHT = sorted(p for p in (HERE / "programs").rglob("*.cu") if p.name != RACING)


@pytest.mark.slow
@pytest.mark.parametrize("source", RIGHT, ids=lambda p: p.stem)
def test_the_whole_corpus_has_no_errors(source: Path, tmp_path: Path) -> None:
    done = run(built(source, tmp_path))
    assert "canopy check: no errors in " in done.stderr, done.stderr
    assert done.stdout.splitlines()[-1] == "PASS"
    assert done.returncode == 0


KERNELS = r"""
extern "C" __global__ void differences(const float* x, float* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = x[i + 1] - x[i];
}
extern "C" __global__ void reversed(float* x) {
  extern __shared__ float room[];
  room[threadIdx.x] = x[threadIdx.x];
  x[threadIdx.x] = room[blockDim.x - 1 - threadIdx.x];
}
"""


def test_raw_kernels_check_the_arrays_they_get(capfd: pytest.CaptureFixture[str]) -> None:
    n = 101
    x = np.random.default_rng().random(n, np.float32)
    out = np.zeros(n, np.float32)
    kernel = RawKernel(KERNELS, "differences", check=True)
    kernel((2,), (64,), (x, out, n - 1))
    np.testing.assert_array_equal(out[: n - 1], np.diff(x))
    with pytest.raises(KernelError) as failed:
        kernel((2,), (64,), (x, out, n))
    where = "<RawKernel differences>:4, thread (36, 0, 0), block (1, 0, 0)"
    assert where in str(failed.value)
    assert f"0 bytes behind the end of an allocation of {4 * n} bytes" in str(failed.value)
    kernel((2,), (64,), (x.ctypes.data, out.ctypes.data, n - 1))  # addresses alone: no bounds known
    assert capfd.readouterr().err == ""


def test_raw_kernels_tell_of_races(capfd: pytest.CaptureFixture[str]) -> None:
    x = np.arange(64, dtype=np.float32)
    RawKernel(KERNELS, "reversed", check=True)((1,), (64,), (x,), shared_mem=256)
    np.testing.assert_array_equal(x, np.arange(64)[::-1])
    said = capfd.readouterr().err
    assert "race in shared memory in reversed: read of 4 bytes after a write" in said
    assert "second <RawKernel reversed>:9, thread (0, 0, 0), block (0, 0, 0)" in said
