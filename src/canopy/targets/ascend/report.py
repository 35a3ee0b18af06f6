"""What a simulation found: hazards, time, and what bounds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from canopy.targets.ascend.chip import Chip
from canopy.targets.ascend.cycles import Clock
from canopy.targets.ascend.happens import Hazard
from canopy.targets.ascend.npu import Pipe, Program

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Report"]


class Report:
    """The outcome of one simulated launch; every figure is simulated, none was measured."""

    def __init__(
        self,
        program: Program,
        chip: Chip,
        programs: int,
        cores: int,
        hazards: tuple[Hazard, ...],
        clocks: Sequence[Clock],
    ) -> None:
        self.program = program
        self.chip = chip
        self.programs = programs
        self.cores = cores
        self.hazards = hazards
        self._clocks = list(clocks)

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def cycles(self) -> float:
        """Cycles until the last core is done."""
        return max((clock.cycles for clock in self._clocks), default=0.0)

    @property
    def time_s(self) -> float:
        return self.cycles / (self.chip.clock_mhz * 1e6)

    @property
    def pipes(self) -> dict[str, float]:
        """Busy share of each pipe, over the cores in use."""
        total = self.cycles * max(len(self._clocks), 1)
        busy = {p.value: sum(c.busy[p] for c in self._clocks) for p in Pipe}
        return {name: cycles / total if total else 0.0 for name, cycles in busy.items() if cycles}

    @property
    def bound_by(self) -> str:
        """The busiest pipe; ``HBM`` where the memory all cores share is busier."""
        shares = dict(self.pipes)
        if self.time_s:
            hbm = self.gbps * 1e9 / self.chip.hbm_bytes_per_second
            shares["HBM"] = hbm
        return max(shares, key=lambda name: shares[name], default="nothing")

    @property
    def gbps(self) -> float:
        """10^9 bytes per second to and from the user's arrays."""
        return sum(c.hbm_bytes for c in self._clocks) / self.time_s / 1e9 if self.time_s else 0.0

    @property
    def tflops(self) -> float:
        return sum(c.flops for c in self._clocks) / self.time_s / 1e12 if self.time_s else 0.0

    def summary(self) -> str:
        """Time and rates, in half a line."""
        return (
            f"simulated: {self.time_s * 1e6:.1f} us, {self.gbps:.0f} GB/s, "
            f"{self.tflops:.2f} TFLOP/s, bound by {self.bound_by}"
        )

    def __str__(self) -> str:
        pipes = ", ".join(f"{name} {share:.0%}" for name, share in self.pipes.items())
        lines = [
            f"{self.name} on {self.chip.name}, {self.summary()}",
            f"  {self.programs} programs on {self.cores} cores; busy: {pipes}",
        ]
        lines += [f"  note: {note}" for note in self.program.notes]
        lines += [f"  hazard: {hazard}" for hazard in self.hazards]
        return "\n".join(lines)
