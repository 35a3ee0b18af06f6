"""Triton kernels on the Ascend simulator: what a launch does where the target is ``ascend-sim``.

A kernel is lowered once per set of arrays that overlap; each launch gives a `Report`, which all
listeners see.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from canopy import config, ir
from canopy.errors import LaunchError, UnsupportedError
from canopy.frontends.triton.simulated_report import count, summary_lines
from canopy.ir.interpreter.memory import Allocation, allocation_of
from canopy.ir.types import is_pointer
from canopy.passes import pipeline
from canopy.targets.ascend import Report, TimingSimulator, load_chip, lower_kernel, simulate

__all__ = ["SimulatedKernel", "listeners", "simulate_launch", "summary_lines"]

listeners: list[Callable[[Report], None]] = [count]
_MODES = ("functional", "timing")
_mode: ContextVar[str] = ContextVar("mode", default="functional")


def simulate_launch(
    kernel: Any,
    grid: Any,
    args: Sequence[Any] = (),
    kwargs: dict[str, Any] | None = None,
    chip: str = "910b2",
    mode: str = "functional",
    *,
    block: Sequence[int] | None = None,
    shared_mem: int = 0,
) -> Report:
    """`canopy.simulate`: launches a kernel once on the simulator.

    ``kernel`` is what ``@triton.jit`` (or ``autotune``, ``heuristics``) made, ``grid`` a tuple or
    a function of the constants, ``args`` and ``kwargs`` what a launch is given; tensors are in CPU
    memory and hold the results afterwards. A kernel of `canopy.cuda` (RawKernel, or a RawModule's
    function) also takes the ``block`` and ``shared_mem`` of its launch. With ``mode="timing"``
    nothing is computed and tensors stay as they are: one representative of equal programs is timed,
    which takes seconds for the largest launches. Raises UnsupportedError for what the chip cannot
    run.
    """
    if mode not in _MODES:
        raise UnsupportedError(f"there is no mode {mode!r}", hint=f"modes: {', '.join(_MODES)}")
    load_chip(chip)
    found: list[Report] = []
    before = {name: os.environ.get(name) for name in ("CANOPY_TARGET", "CANOPY_CHIP")}
    os.environ.update(CANOPY_TARGET="ascend-sim", CANOPY_CHIP=chip)
    listeners.append(found.append)
    token = _mode.set(mode)
    try:
        if hasattr(kernel, "own_launchers"):
            _launch_cuda(kernel, grid, args, kwargs, block, shared_mem)
        else:
            _launch_triton(kernel, grid, args, kwargs, block)
    finally:
        listeners.remove(found.append)
        _mode.reset(token)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
    if not found:
        raise LaunchError(
            "nothing was simulated: the grid is empty, or the kernel is neither Triton's nor "
            "one of canopy.cuda"
        )
    return found[-1]


def _launch_triton(
    kernel: Any,
    grid: Any,
    args: Sequence[Any],
    kwargs: dict[str, Any] | None,
    block: Sequence[int] | None,
) -> None:
    if block is not None:
        raise LaunchError(
            "a Triton kernel has no thread block", hint="block= is for kernels of canopy.cuda"
        )
    with _own_variants(kernel):
        kernel[grid](*args, **(kwargs or {}))


def _launch_cuda(
    kernel: Any,
    grid: Sequence[int],
    args: Sequence[Any],
    kwargs: dict[str, Any] | None,
    block: Sequence[int] | None,
    shared_mem: int,
) -> None:
    if block is None or kwargs:
        what = "no argument by name" if kwargs else "a block"
        raise LaunchError(
            f"a launch of CUDA C++ needs {what}",
            hint="canopy.simulate(kernel, grid=(8,), args=(n, x, y), block=(256,))",
        )
    with kernel.own_launchers():
        kernel(grid, tuple(block), args, shared_mem=shared_mem)


@contextmanager
def _own_variants(kernel: Any) -> Iterator[None]:
    """Inside, what Triton has compiled of the kernel for another target is out of its sight: it
    remembers variants by types and constants alone."""
    while not hasattr(kernel, "device_caches") and hasattr(kernel, "fn"):
        kernel = kernel.fn  # autotune, heuristics
    if not hasattr(kernel, "device_caches"):
        yield
        return
    others = kernel.device_caches
    if not hasattr(kernel, "canopy_simulated"):
        kernel.canopy_simulated = defaultdict(kernel.create_binder)
    kernel.device_caches = kernel.canopy_simulated
    try:
        yield
    finally:
        kernel.device_caches = others


class SimulatedKernel:
    """One kernel, for the chip that CANOPY_CHIP names at the time of a launch."""

    def __init__(self, kernel: ir.Kernel) -> None:
        self._kernel = pipeline.run(kernel)
        self._programs: dict[tuple[str, tuple[tuple[str, str], ...]], Any] = {}

    def launch(
        self,
        args: Sequence[Any],
        grid: tuple[int, int, int],
        chip_name: str | None = None,
        cores: int | None = None,
    ) -> Report:
        """Runs the grid on the arguments' own memory."""
        chip = load_chip(chip_name or config.chip())
        groups = self._groups(args)
        key = (chip.name, tuple(sorted(groups.items())))
        if key not in self._programs:
            self._programs[key] = lower_kernel(self._kernel, chip, groups, prepare=False)
        program = self._programs[key]
        if _mode.get() == "timing":
            report = TimingSimulator(program, args, grid, chip, cores).run()
        else:
            report = simulate(program, args, grid, chip, cores)
        for listener in listeners:
            listener(report)
        return report

    def _groups(self, args: Sequence[Any]) -> dict[str, str]:
        """Per pointer parameter the first one whose memory it may share."""
        found: list[tuple[str, Allocation]] = []
        groups: dict[str, str] = {}
        for parameter, argument in zip(self._kernel.parameters, args, strict=True):
            if not is_pointer(parameter.value.type) or argument is None:
                continue
            allocation = allocation_of(parameter.name, argument)
            groups[parameter.name] = parameter.name
            for name, other in found:
                if _overlap(allocation, other):
                    groups[parameter.name] = groups[name]
                    break
            found.append((parameter.name, allocation))
        return groups


def _overlap(left: Allocation, right: Allocation) -> bool:
    if left.nbytes is None or right.nbytes is None:
        return True
    return left.base < right.base + right.nbytes and right.base < left.base + left.nbytes
