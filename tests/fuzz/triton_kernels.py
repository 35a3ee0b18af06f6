"""Random Triton kernels, as source text: compiled by stock Triton through the plug-in, and compared
with the same kernel in the IR's interpreter (CANOPY_INTERPRET=1), bit by bit.

    python -m tests.fuzz.triton_kernels --seconds 200      goes on where the last run ended
    python -m tests.fuzz.triton_kernels --seed 17          one kernel: its text, and what differs

Sums are of integers or of small whole floats, so that no order of combination shows.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

__all__ = ["failure_of_seed", "kernel_text", "main"]

BLOCKS = (16, 32, 64, 128)
PROGRAMS = 3
HEAD = """import triton
import triton.language as tl


@triton.jit
def kernel(f_ptr, i_ptr, g_ptr, h_ptr, n, k, BLOCK: tl.constexpr, ROWS: tl.constexpr):
    COLUMNS: tl.constexpr = BLOCK // ROWS
    pid = tl.program_id(0)
    lane = tl.arange(0, BLOCK)
    index = pid * BLOCK + lane
    mask = index < n
    row = tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, COLUMNS)[None, :]
    grid = pid * BLOCK + row * COLUMNS + column
"""


class Writer:
    """Writes the body of a kernel. Names: f floats, i integers, b bools of one axis; F, I of two;
    s integer scalars."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.block = self.rng.choice(BLOCKS)
        self.rows = self.rng.choice([r for r in (2, 4, 8, 16) if r <= self.block // 4])
        self.lines: list[str] = []
        self.indent = 1
        self.count = 0
        self.known: dict[str, list[str]] = {
            "i": ["lane", "index"],
            "b": ["mask"],
            "s": ["pid", "n", "k"],
            "f": [],
            "I": ["grid"],
            "F": [],
        }

    def text(self, steps: int) -> str:
        self.new("f", "tl.load(f_ptr + index, mask=mask, other=-1.0)")
        self.new("i", "tl.load(i_ptr + index, mask=mask, other=7)")
        self.new("F", "tl.load(f_ptr + grid, mask=grid < n, other=0.5)")
        self.new("I", "tl.load(i_ptr + grid)")
        for _ in range(steps):
            self.step(0)
        self.store("f", "tl.store(f_ptr + index, {0}, mask=mask)")
        self.store("i", "tl.store(i_ptr + index, {0}.to(tl.int32), mask={1})")
        self.store("F", "tl.store(g_ptr + grid, {0}, mask=grid < n)")
        self.store("I", "tl.store(h_ptr + grid, {0}.to(tl.int32))")
        self.line(f"tl.store(h_ptr + {PROGRAMS} * BLOCK + pid, {self.one('s')})")
        return HEAD + "\n".join(self.lines) + "\n"

    def line(self, text: str) -> None:
        self.lines.append("    " * self.indent + text)

    def one(self, kind: str) -> str:
        return self.rng.choice(self.known[kind][-8:])

    def new(self, kind: str, expression: str) -> str:
        self.count += 1
        name = f"{kind}{self.count}"
        self.line(f"{name} = {expression}")
        self.known[kind].append(name)
        return name

    def store(self, kind: str, form: str) -> None:
        self.line(form.format(self.one(kind), self.one("b")))

    def step(self, depth: int) -> None:
        steps = [self.arithmetic] * 6 + [self.compare] * 2 + [self.shape] * 3 + [self.combine] * 3
        steps += [self.memory] * 3 + [self.convert] * 2 + [self.dot]
        if depth < 2:
            steps += [lambda: self.loop(depth), lambda: self.branch(depth)]
        self.rng.choice(steps)()

    def arithmetic(self) -> None:
        kind = self.rng.choice("fiiFIIs")
        a, b = self.one(kind), self.one(kind)
        if kind in "fF":
            forms = ["{0} + {1}", "{0} - {1}", "{0} * {1}", "tl.abs({0})", "-{0}", "tl.floor({0})"]
            forms += ["tl.maximum({0}, {1}) + 0.0", "tl.where({0} > {1}, {0}, {1} * 0.5)"]
            forms += ["tl.minimum({0}, {1}, propagate_nan=tl.PropagateNan.ALL) + 0.0"]
        else:
            forms = ["{0} + {1}", "{0} - {1}", "{0} * {1}", "{0} & {1}", "{0} | {1}", "{0} ^ {1}"]
            forms += ["tl.minimum({0}, {1})", "{0} >> 3", "{0} << 2", "{0} // 5", "{0} % 7"]
            forms += ["{0} // (({1} & 3) + 1)", "tl.where({0} < {1}, {0}, 3)"]
        self.new(kind, self.rng.choice(forms).format(a, b))

    def compare(self) -> None:
        kind = self.rng.choice("fi")
        relation = self.rng.choice(["<", "<=", ">", ">=", "==", "!="])
        if self.rng.random() < 0.5:
            self.new("b", f"{self.one(kind)} {relation} {self.one(kind)}")
            return
        self.new(kind, f"tl.where({self.one('b')}, {self.one(kind)}, {self.one(kind)})")

    def convert(self) -> None:
        choice = self.rng.randrange(5)
        if choice == 0:
            narrow = self.rng.choice(["int8", "int16", "uint8", "uint16", "int64", "uint32"])
            self.new("i", f"{self.one('i')}.to(tl.{narrow}).to(tl.int32)")
        elif choice == 1:
            narrow = self.rng.choice(["float16", "bfloat16", "float64"])
            self.new("f", f"{self.one('f')}.to(tl.{narrow}).to(tl.float32)")
        elif choice == 2:
            self.new("f", f"{self.one('i')}.to(tl.float32)")
        elif choice == 3:
            self.new("i", f"{self.small('f')}.to(tl.int32)")
        else:
            self.new("i", f"{self.one('b')}.to(tl.int32)")

    def small(self, kind: str) -> str:
        """Whole floats in -8 .. 8, NaN being -8."""
        return f"tl.floor(tl.minimum(tl.maximum({self.one(kind)}, -8.0), 8.0) + 0.0)"

    def shape(self) -> None:
        down, up = self.rng.choice([("i", "I"), ("f", "F")])
        self.rng.choice([self._to_two, self._to_one, self._permuted, self._halves])(down, up)

    def _to_two(self, down: str, up: str) -> None:
        self.new(up, f"tl.reshape({self.one(down)}, [ROWS, COLUMNS])")

    def _to_one(self, down: str, up: str) -> None:
        self.new(down, f"tl.reshape({self.one(up)}, [BLOCK])")

    def _permuted(self, down: str, up: str) -> None:
        turned = f"tl.trans({self.one(up)})"
        self.new(up, f"tl.reshape({turned}, [ROWS, COLUMNS])")

    def _halves(self, down: str, up: str) -> None:
        self.count += 2
        left, right = f"{down}{self.count - 1}", f"{down}{self.count}"
        source = f"tl.reshape({self.one(down)}, [BLOCK // 2, 2])"
        self.line(f"{left}h, {right}h = tl.split({source})")
        joined = self.rng.choice(["tl.join", "tl.interleave"])
        self.new(down, f"tl.reshape({joined}({right}h, {left}h), [BLOCK])")

    def combine(self) -> None:
        axis = self.rng.randrange(2)
        back = "[:, None]" if axis == 1 else "[None, :]"
        choice = self.rng.randrange(9)
        if choice == 0:
            self.new("I", f"{self.one('I')} + tl.sum({self.one('I')}, axis={axis}){back}")
        elif choice == 1:
            self.new("F", f"{self.one('F')} - (tl.max({self.one('F')}, axis={axis}){back} + 0.0)")
        elif choice == 2:
            self.new("s", f"tl.sum({self.one('i')}, axis=0)")
        elif choice == 3:
            reverse = self.rng.random() < 0.5
            self.new("i", f"tl.cumsum({self.one('i')}, axis=0, reverse={reverse})")
        elif choice == 4:
            self.new("s", f"tl.argmax({self.one('i')}, axis=0)")
        elif choice == 5:
            self.new("i", f"tl.sort({self.one('i')})")
        elif choice == 6:
            self.new("f", f"{self.one('f')} + tl.sum({self.small('f')}, axis=0)")
        elif choice == 7:
            self.new("i", f"tl.flip({self.one('i')})")
        else:
            indices = f"{self.one('i')} & (BLOCK - 1)"
            self.new("i", f"tl.gather({self.one('i')}, {indices}, axis=0)")

    def memory(self) -> None:
        choice = self.rng.randrange(6)
        if choice == 0:
            self.line(f"tl.store(f_ptr + index, {self.one('f')}, mask={self.one('b')})")
        elif choice == 1:
            self.new("f", f"tl.load(f_ptr + index, mask={self.one('b')}, other=2.0)")
        elif choice == 2:
            place = f"pid * BLOCK + ({self.one('i')} & (BLOCK - 1))"
            self.new("i", f"tl.load(i_ptr + {place})")
        elif choice == 3:
            self.line(f"tl.store(i_ptr + grid, {self.one('I')}, mask=grid < n)")
        elif choice == 4:
            self.new("F", f"{self._descriptor()}.load([{self.rng.choice([0, 0, 1])}, 0])")
        else:
            self.line(f"{self._descriptor()}.store([0, 0], {self.one('F')})")

    def _descriptor(self) -> str:
        """A descriptor of this program's part of g, or of all its rows but the last."""
        self.count += 1
        rows = self.rng.choice(["ROWS", "ROWS - 1"])
        self.line(
            f"d{self.count} = tl.make_tensor_descriptor(g_ptr + pid * BLOCK, "
            f"shape=[{rows}, COLUMNS], strides=[COLUMNS, 1], block_shape=[ROWS, COLUMNS])"
        )
        return f"d{self.count}"

    def dot(self) -> None:
        left, right = f"({self.one('I')} & 3)", f"({self.one('I')} & 7)"
        kind = self.rng.choice(["float16", "bfloat16", "float32", "int8"])
        product = f"tl.dot({left}.to(tl.{kind}), tl.trans({right}.to(tl.{kind})))"
        self.new("s", f"tl.sum(tl.sum({product}, axis=1), axis=0).to(tl.int32)")

    def loop(self, depth: int) -> None:
        self.count += 1
        name = f"t{self.count}"
        carried = {kind: f"{kind}{name}" for kind in self.rng.sample("fiIs", 2)}
        for kind, variable in carried.items():
            self.line(f"{variable} = {self.one(kind)}")
        bound = self.rng.choice(["3", "(k & 3)", "tl.minimum(n & 7, 4)"])
        self.line(f"for {name} in range(0, {bound}):")
        self._inside(depth, carried, name)
        for kind, variable in carried.items():
            self.known[kind].append(variable)

    def branch(self, depth: int) -> None:
        self.count += 1
        kind = self.rng.choice("fiIs")
        variable = f"{kind}t{self.count}"
        self.line(f"{variable} = {self.one(kind)}")
        self.line(f"if {self.one('s')} % 3 {self.rng.choice(['==', '>', '<'])} 1:")
        self._inside(depth, {kind: variable}, None)
        self.known[kind].append(variable)

    def _inside(self, depth: int, carried: dict[str, str], counter: str | None) -> None:
        outer = {kind: list(names) for kind, names in self.known.items()}
        self.indent += 1
        for kind, variable in carried.items():
            self.known[kind].append(variable)
        if counter:
            self.known["s"].append(counter)
        for _ in range(self.rng.randrange(1, 4)):
            self.step(depth + 1)
        for kind, variable in carried.items():
            scalar = f"({self.one(kind)} + 0)" if kind != "f" else self.one(kind)
            self.line(f"{variable} = {scalar}")
        self.indent -= 1
        self.known = outer


def kernel_text(seed: int, steps: int = 12) -> tuple[str, int, int]:
    """The source of a seed's kernel, with its BLOCK and ROWS."""
    writer = Writer(seed)
    return writer.text(steps), writer.block, writer.rows


def _arguments(seed: int, block: int) -> tuple[list[torch.Tensor], int, int]:
    rng = np.random.default_rng(seed)
    size = PROGRAMS * (block + 1)
    floats = (rng.integers(-200, 200, size) * 0.25).astype(np.float32)
    floats[rng.random(size) < 0.05] = np.nan
    floats[rng.random(size) < 0.05] = np.inf
    integers = rng.integers(-(2**31), 2**31, size).astype(np.int32)
    integers = np.where(rng.random(size) < 0.7, integers % 100, integers).astype(np.int32)
    arrays = [floats, integers, np.full(size, 3.5, np.float32), np.zeros(size, np.int32)]
    n = int(rng.integers(1, PROGRAMS * block + 1))
    return [torch.from_numpy(a) for a in arrays], n, int(rng.integers(-9, 9))


def _kernel(text: str, folder: str) -> Any:
    """The kernel of a module of its own: Triton reads the source of functions from files."""
    path = Path(folder) / "random_kernel.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location("random_kernel", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.kernel


def _run(text: str, seed: int, block: int, rows: int, *, interpret: bool) -> list[torch.Tensor]:
    tensors, n, k = _arguments(seed, block)
    os.environ["CANOPY_INTERPRET"] = "1" if interpret else "0"
    try:
        with tempfile.TemporaryDirectory() as folder:
            if seed % 5 == 4:  # in place: the floats that are read are the ones that are written
                tensors[2] = tensors[0]
            _kernel(text, folder)[(PROGRAMS,)](*tensors, n, k, BLOCK=block, ROWS=rows)
    finally:
        del os.environ["CANOPY_INTERPRET"]
    return tensors


def failure_of_seed(seed: int, steps: int = 12) -> str:
    """Empty, or what differs, in one line."""
    text, block, rows = kernel_text(seed, steps)
    try:
        found = _run(text, seed, block, rows, interpret=False)
        wanted = _run(text, seed, block, rows, interpret=True)
    except Exception as error:  # any failure is a finding
        lines = [line for line in str(error).splitlines() if line.strip()]
        return f"{type(error).__name__}: {lines[-1] if lines else ''}"[:300]
    for number, (got, want) in enumerate(zip(found, wanted, strict=True)):
        equal = got.view(torch.int32) == want.view(torch.int32)
        if got.is_floating_point():
            equal |= got.isnan() & want.isnan()
        if not equal.all():
            place = int((~equal).nonzero()[0])
            return f"argument {number} at {place}: {got[place]} instead of {want[place]}"
    return ""


def main(arguments: list[str] | None = None) -> int:
    """Fuzzes; the exit status is 1 if a kernel of this run failed."""
    parser = argparse.ArgumentParser(description=__doc__, prog="tests.fuzz.triton_kernels")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, help="run this seed alone and print its kernel")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--state", type=Path, default=Path(".fuzz/triton.json"))
    options = parser.parse_args(arguments)
    if options.seed is not None:
        print(kernel_text(options.seed, options.steps)[0])
        print(failure_of_seed(options.seed, options.steps) or "compiled code and interpreter agree")
        return 0
    state = {"next": 0, "failures": {}}
    if options.state.exists():
        state = json.loads(options.state.read_text())
    end, first = time.monotonic() + options.seconds, state["next"]
    while time.monotonic() < end:
        seed = state["next"]
        if failure := failure_of_seed(seed, options.steps):
            state["failures"][str(seed)] = failure
            print(f"seed {seed}: {failure}", flush=True)
        state["next"] = seed + 1
        options.state.parent.mkdir(parents=True, exist_ok=True)
        options.state.write_text(json.dumps(state, indent=1))
    failing = len(state["failures"])
    print(f"{state['next'] - first} kernels; in all {state['next']}, {failing} failing")
    return int(bool(state["failures"]))


if __name__ == "__main__":
    os.environ.setdefault("TRITON_DEFAULT_BACKEND", "cpu")
    sys.exit(main())
