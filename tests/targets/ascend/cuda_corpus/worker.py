"""One program in this process: `python -m tests.targets.ascend.cuda_corpus.worker FILE OUT`."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from canopy import config, ir
from canopy.errors import CanopyError, UnsupportedError
from canopy.frontends.cuda import in_process, taken_over
from canopy.frontends.triton.comparing import Host
from canopy.frontends.triton.launch_memory import LaunchMemory
from canopy.frontends.triton.simulated import SimulatedKernel
from canopy.ir.interpreter import Interpreter
from tests.targets.ascend.evidence.measured import BOUNDS, Distance, distance

MOST_LAUNCHES = 2  # simulated, of one kernel and block shape
LAUNCH_S = float(os.environ.get("CANOPY_LAUNCH_S", "20"))

Array = np.ndarray[Any, Any]
Grid = tuple[int, int, int]


@dataclass
class KernelResult:
    """``outcome``: exact, close (floats within the stated bounds), apart, refused, slow, crashed;
    the worst of its launches."""

    outcome: str = "exact"
    reason: str = ""
    simulated: int = 0
    ulps: int = 0
    of_the_largest: float = 0.0
    hazards: int = 0
    notes: list[str] = field(default_factory=list)


ORDER = ("exact", "close", "slow", "refused", "apart", "crashed")
results: dict[str, KernelResult] = {}


class TooLongError(CanopyError):
    """A launch took longer than it may."""


class Observed:
    """One kernel for one block shape; takes the place of what launches kernels."""

    def __init__(self, kernel: ir.Kernel, block: Grid, host: Host) -> None:
        self._kernel, self._host = kernel, host
        self._result = results.setdefault(kernel.name, KernelResult())
        self._simulated = SimulatedKernel(kernel)
        self._left = MOST_LAUNCHES

    def launch(self, args: Sequence[Any], grid: Grid) -> None:
        if not self._left or not self._is_compared(args, grid):
            self._host.run(args, grid)
        self._left = max(self._left - 1, 0)

    def _is_compared(self, args: Sequence[Any], grid: Grid) -> bool:
        """Simulates and compares; memory holds what was simulated, or is as before."""
        memory = LaunchMemory(self._kernel, args, self._host.memory())
        before = memory.contents()
        try:
            with _time_limit():
                report = self._simulated.launch(args, grid)
            made = memory.contents()
            self._count(report.hazards, report.program.notes)
            memory.restore(before)
            self._host.run(args, grid)
            found = _distances(memory, before, memory.contents(), made)
            if _worst(found) != "exact":
                memory.restore(before)
                with _time_limit():
                    Interpreter(self._kernel, args, grid, check=False).run()
                found = min(found, _distances(memory, before, memory.contents(), made), key=_key)
        except TooLongError:
            self._worsen("slow", f"a launch of {grid} took more than {LAUNCH_S:g} s")
        except UnsupportedError as error:
            self._worsen("refused", str(error).splitlines()[0])
        except Exception as error:
            traceback.print_exc()
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}:{place.lineno}"
            self._worsen("crashed", f"{type(error).__name__}: {error} ({where})"[:300])
        else:
            self._add(found)
            memory.restore(made)
            return True
        self._left = 1
        memory.restore(before)
        return False

    def _count(self, hazards: Sequence[object], notes: Sequence[str]) -> None:
        self._result.simulated += 1
        self._result.hazards += len(hazards)
        if hazards:
            self._worsen("apart", f"hazard: {hazards[0]}")
        self._result.notes = list(dict.fromkeys([*self._result.notes, *notes]))

    def _add(self, found: list[tuple[str, Distance]]) -> None:
        for dtype, part in found:
            self._result.ulps = max(self._result.ulps, part.ulps)
            self._result.of_the_largest = max(self._result.of_the_largest, part.of_the_largest)
            if part.differing:
                self._worsen(_outcome(dtype, part), f"{part.differing} of {part.elements} {dtype}")

    def _worsen(self, outcome: str, reason: str) -> None:
        if ORDER.index(outcome) > ORDER.index(self._result.outcome):
            self._result.outcome, self._result.reason = outcome, reason


def _distances(
    memory: LaunchMemory, before: Sequence[Array], expected: Sequence[Array], made: Sequence[Array]
) -> list[tuple[str, Distance]]:
    """Per array with something written: the type, and how far ``made`` is from what is there."""
    found = []
    memory.restore(made)
    for (_, wanted, actual), old in zip(memory.typed(expected), before, strict=True):
        part = distance(old[: wanted.nbytes].view(wanted.dtype), wanted, actual, 0.0)
        if part.elements:
            found.append((str(wanted.dtype), part))
    return found


def _outcome(dtype: str, part: Distance) -> str:
    if not part.differing:
        return "exact"
    return "close" if part.of_the_largest <= BOUNDS.get(dtype, -1) else "apart"


def _worst(found: list[tuple[str, Distance]]) -> str:
    return max((_outcome(*one) for one in found), key=ORDER.index, default="exact")


def _key(found: list[tuple[str, Distance]]) -> tuple[int, float]:
    return ORDER.index(_worst(found)), sum(part.of_the_largest for _, part in found)


@contextmanager
def _time_limit() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TooLongError("time is up")

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, LAUNCH_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def main(source: str, output: str, words: Sequence[str]) -> None:
    os.environ["CANOPY_TARGET"] = "ascend-sim"
    taken_over.kernel_for = Observed  # type: ignore[assignment]
    started_s = time.perf_counter()
    # The results are written whatever way the program ends.
    tell = in_process._End.tell

    def told(end: Any, status: int) -> None:
        tell(end, status)
        record = {
            "status": status,
            "seconds": round(time.perf_counter() - started_s, 1),
            "chip": config.chip(),
            "kernels": {name: asdict(result) for name, result in results.items()},
        }
        Path(output).write_text(json.dumps(record), "utf-8")

    in_process._End.tell = told  # type: ignore[method-assign]
    raise SystemExit(in_process.run_in_process([source, "--", *words], quiet=True))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
