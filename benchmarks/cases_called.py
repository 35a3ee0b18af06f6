"""The same kernels as a user calls them: a program written for CUDA, under `canopy run`, every call
with new outputs, beside the same program on torch eager in plain Python."""

from __future__ import annotations

import atexit
import functools
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.harness import Contest, WrongResultError, case, require_backend

SCRIPT = Path(__file__).resolve().with_name("as_called.py")
TINY = {"side": 256}


class Program:
    """A running program that answers questions."""

    def __init__(self, side: int, *, eager: bool) -> None:
        runner = [] if eager else ["-m", "canopy", "run"]
        command = [sys.executable, *runner, str(SCRIPT), str(side), *(["--eager"] * eager)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ,
            cwd=SCRIPT.parents[1],
        )
        atexit.register(self._process.kill)

    def ask(self, question: str) -> float:
        """The program's answer; other lines that it prints are passed over."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("answer "):
                return float(line.removeprefix("answer "))
        raise RuntimeError(f"as_called.py ended while it was asked: {question}")


@functools.cache
def program(side: int, *, eager: bool) -> Program:
    """The program is started once for all cases: importing takes longer than measuring."""
    return Program(side, eager=eager)


@case("canopy run: dropout", tiny=TINY, function="dropout", side=4096)
@case("canopy run: swiglu", tiny=TINY, function="swiglu", side=4096)
@case("canopy run: rope", tiny=TINY, function="rope", side=4096)
@case("canopy run: rms norm backward", tiny=TINY, function="rms norm backward", side=4096)
@case("canopy run: layer norm backward", tiny=TINY, function="layer norm backward", side=4096)
@case("canopy run: rms norm", tiny=TINY, function="rms norm", side=4096)
@case("canopy run: layer norm", tiny=TINY, function="layer norm", side=4096)
@case("canopy run: softmax", tiny=TINY, function="softmax", side=4096)
@case("canopy run: gelu(x + b)", tiny=TINY, function="gelu(x + b)", side=4096)
def called(function: str, side: int) -> Contest:
    require_backend()
    ours, theirs = program(side, eager=False), program(side, eager=True)
    error = ours.ask(f"check {function}")
    # Written so that a NaN is an error as well.
    if not error < 1e-3:
        raise WrongResultError(f"differs by {error:.2g} of the largest value")
    contest = Contest([], bytes_moved=2 * 4 * side * side)
    contest.add("canopy", fresh=lambda: ours.ask(f"{function} 1"))
    contest.add("torch", fresh=lambda: theirs.ask(f"{function} 1"))
    return contest
