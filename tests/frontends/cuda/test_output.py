"""What kernels print, what their assertions and traps do, and the memory they ask for."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ziglang")

from canopy.compiler import compile_kernel
from canopy.errors import KernelError
from canopy.frontends.cuda import compile_cuda
from canopy.frontends.cuda.build import Options, compile_source, link
from canopy.ir.interpreter import Interpreter
from canopy.ir.verifier import verify
from canopy.runtime.launch import launch as run_entry
from canopy.runtime.launch import pack_slots

PRINTS = Path(__file__).parent / "sources" / "prints.cu"


def lines_of_formats(t: int) -> tuple[str, str]:
    name = "odd" if t & 1 else "even"
    first = f"{-t} 3000000000 ff FF 10|{chr(97 + t)}|managed|{name}|%|{t:5d}|{t:<5d}|{t:05d}|{t:+d}"
    first += f"| {t}|0xff|{t:4d}|{0.5 + t:.2f}"
    second = f"{-(1 << 40)} {1 << 50} {2**64 - 1} 200000000 -7|{t + 0.25:f} 1.235e+04 1e-10 1E+20"
    return first, second + " 0x1p+0|     3.142|4"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("output")
    compile_source(PRINTS, folder / "prints.o", Options())
    link([folder / "prints.o"], folder / "prints")
    return folder / "prints"


def run(program: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *words], capture_output=True, text=True, check=True)


def test_kernels_print_in_the_order_of_threads_when_the_host_synchronises(program: Path) -> None:
    done = run(program, "a")
    pairs = [lines_of_formats(t) for t in range(2)]
    expected = ["launched", *(first for first, _ in pairs), *(second for _, second in pairs)]
    expected += ["no values"] * 2 + ["(null)|%q|%5(null)|%q|%50x1234", "0x1234", "", "1", "", "1"]
    lines = done.stdout.splitlines()
    assert lines[: len(expected)] == expected
    assert lines[len(expected)] == "done"
    blocks = [
        f"{b} {k} {y} {x}"
        for b in range(40)
        for k in range(2)
        for y in range(2)
        for x in range(2)
        if (x + y + k) % 2
    ]
    start = len(expected) + 1
    assert lines[start : start + len(blocks)] == blocks


def test_a_failed_assertion_names_each_thread_and_stays(program: Path) -> None:
    done = run(program, "a")
    line = 1 + PRINTS.read_text().split("void checked")[0].count("\n")
    place = f"{PRINTS}:{line}: void checked(int): block: [0,0,0], thread: "
    condition = 'Assertion `threadIdx.x + blockIdx.x < limit && "in range"` failed.'
    assert done.stderr.splitlines() == [f"{place}[{t},0,0] {condition}" for t in (38, 39)]
    assert done.stdout.splitlines()[-2:] == ["710", "cudaErrorAssert 710"]


def test_a_trap_is_a_launch_failure(program: Path) -> None:
    done = run(program, "t")
    assert "trap" in done.stderr
    assert done.stdout.splitlines()[-2:] == ["719", "cudaErrorLaunchFailure 719"]


def test_python_launches_print_and_raise(capfd: pytest.CaptureFixture[str]) -> None:
    source = """
extern "C" __device__ void canopy_assert(const char*, const char*, unsigned, const char*);
__global__ void f(const char* format, int n, long long* made) {
  int t = threadIdx.x;
  if (t % 3 == 1) printf(format, t, n);
  made[t] = (long long)malloc(64 * (t + 1));
  free((void*)made[t]);
  if (t > n) canopy_assert(format, format, 7, format);
}
"""
    kernel = compile_cuda(source, "f.cu").kernel("f", (8, 1, 1))
    verify(kernel)
    format_ = np.frombuffer(b"%d of %d\n\0", np.uint8).copy()
    executable = compile_kernel(kernel)
    for n, failing in ((8, 0), (5, 2)):
        made = np.zeros(8, np.int64)
        slots = pack_slots(format_.ctypes.data, n, made.ctypes.data)
        for launch in (
            lambda n=n, made=made: Interpreter(kernel, [format_, n, made]).run(),
            lambda slots=slots: run_entry(
                executable.load(), (1,), slots, executable.scratch_bytes, block=(8, 1, 1)
            ),
        ):
            if failing:
                with pytest.raises(KernelError, match=r"thread: \[6,0,0\] Assertion"):
                    launch()
            else:
                launch()
            ctypes.CDLL(None).fflush(None)
            out, err = capfd.readouterr()
            assert out == "".join(f"{t} of {n}\n" for t in (1, 4, 7))
            assert err.count("Assertion") == failing
            assert np.unique(made).size > 1
