"""Random CUDA control flow: the tile IR of a block against the same C compiled for the host.

Loops and branches, uniform and divergent, with break, continue, return and goto, nested at random.
"""

from __future__ import annotations

import ctypes
import random
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ziglang")

from canopy.cuda import RawKernel
from canopy.frontends.cuda import compile_cuda
from canopy.frontends.cuda.toolchain import find_zig
from canopy.ir.interpreter import Interpreter
from canopy.ir.verifier import verify

THREADS = 40
SEEDS = [3, 11, 17, 29, 41, 58, 104, 131]

TEMPLATE = """
HEAD void f(int n, const int* x, int* y ARGS) {
  int t = TID, u = n + 1, a = x[t & 15], b = t, c = 7;
  BODY
out: y[t] += a * 31 + b * 7 + c + u;
}
"""
DEVICE = "#define HEAD __global__\n#define ARGS\n#define TID threadIdx.x\n"
HOST = "#define HEAD\n#define ARGS , int TID\n"


class Writer:
    """Writes the body of a function; ``u`` and ``n`` are uniform, the rest is not."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.loops = 0

    def one_of(self, *choices: str) -> str:
        return self.random.choice(choices)

    def number(self, depth: int = 0) -> str:
        kind = self.random.random()
        if depth > 2 or kind < 0.35:
            return self.one_of("a", "b", "c", "t", "n", "u", str(self.random.randint(-5, 9)))
        inner = self.number(depth + 1)
        if kind < 0.5:
            return f"x[({inner}) & 15]"
        return f"({inner} {self.one_of('+', '-', '*', '&', '^')} {self.number(depth + 1)})"

    def test(self) -> str:
        base = f"n + u * {self.random.randint(1, 3)}"
        if self.random.random() > 0.3:
            base = self.number()
        relation = self.one_of("==", "!=", "<", ">")
        return f"(({base}) % {self.random.randint(2, 4)} {relation} {self.random.randint(0, 1)})"

    def block(self, depth: int, in_loop: bool) -> str:
        count = self.random.randint(1, 3)
        return " ".join(self.statement(depth, in_loop) for _ in range(count))

    def statement(self, depth: int, in_loop: bool) -> str:
        kind = self.random.random()
        if depth > 3 or kind < 0.3:
            return f"{self.one_of('a', 'b', 'c')} = {self.number()};"
        if kind < 0.36:
            return f"u = u * 3 + {self.one_of('n', '1', '2')};"
        if kind < 0.55:
            other = f" else {{ {self.block(depth + 1, in_loop)} }}" if kind < 0.45 else ""
            return f"if ({self.test()}) {{ {self.block(depth + 1, in_loop)} }}{other}"
        if kind < 0.62 and in_loop:
            return f"if ({self.test()}) {self.one_of('break', 'continue')};"
        if kind < 0.66:
            return f"if ({self.test()}) {{ y[t] = a + {self.random.randint(0, 9)}; return; }}"
        if kind < 0.70:
            return f"if ({self.test()}) goto out;"
        if kind < 0.74:
            return f"y[t] = {self.number()};"
        return self.loop(depth)

    def loop(self, depth: int) -> str:
        self.loops += 1
        i = f"i{self.loops}"
        bound = self.one_of("n", "4", "(u & 3)", f"(({self.number()}) & 5)")
        body = self.block(depth + 1, True)
        if self.random.random() < 0.3:
            return f"{{ int {i} = 0; do {{ {body} }} while ({i}++ < {bound} && {i} < 9); }}"
        head = f"for (int {i} = 0; {i} < {bound} && {i} < 12; {i}++)"
        return f"{head} {{ {body} {self.one_of('a', 'b', 'c')} += {i}; }}"


def host_function(source: str, folder: Path) -> ctypes.CDLL:
    (folder / "f.c").write_text(HOST + source)
    flags = ["-shared", "-fPIC", "-O0", "-fwrapv", "-fno-sanitize=all", "-w"]
    command = [str(find_zig()), "cc", *flags, str(folder / "f.c"), "-o", str(folder / "f.so")]
    subprocess.run(command, check=True, capture_output=True)
    return ctypes.CDLL(str(folder / "f.so"))


@pytest.mark.parametrize("seed", SEEDS)
def test_random_control_flow(seed: int, tmp_path: Path) -> None:
    body = Writer(seed).block(0, False) + " ".join(Writer(seed + 1000).loop(0) for _ in range(2))
    source = TEMPLATE.replace("BODY", body)
    host = host_function(source, tmp_path)
    kernel = compile_cuda(DEVICE + source, "f.cu").kernel("f", (THREADS, 1, 1))
    verify(kernel)
    x = np.random.default_rng(seed).integers(-9, 9, 16).astype(np.int32)
    for n in (0, 1, 3):
        y, expected = np.zeros(THREADS, np.int32), np.zeros(THREADS, np.int32)
        for t in range(THREADS):
            pointers = (ctypes.c_void_p(a.ctypes.data) for a in (x, expected))
            host.f(n, *pointers, t)
        Interpreter(kernel, [n, x, y], (1,)).run()
        np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("seed", [18, 23])
def test_compiled_control_flow(seed: int) -> None:
    """The cpu target against the interpreter: it takes loops strip by strip."""
    body = Writer(seed).block(0, False) + " ".join(Writer(seed + 1000).loop(0) for _ in range(2))
    source = TEMPLATE.replace("BODY", body + Writer(seed + 77).block(0, False))
    kernel = compile_cuda(DEVICE + source, "f.cu").kernel("f", (THREADS, 1, 1))
    compiled = RawKernel(DEVICE + source.replace("HEAD", 'extern "C" HEAD'), "f")
    x = np.random.default_rng(seed).integers(-9, 9, 16).astype(np.int32)
    for n in (0, 1, 3):
        y, expected = np.zeros(THREADS, np.int32), np.zeros(THREADS, np.int32)
        Interpreter(kernel, [n, x, expected], (1,)).run()
        compiled((1,), (THREADS,), (n, x, y))
        np.testing.assert_array_equal(y, expected)
