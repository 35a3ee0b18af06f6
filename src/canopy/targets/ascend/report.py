"""What a simulation found: hazards, time, and what bounds it.

report = canopy.simulate(kernel, grid=(4096,), args=(x, out, n), kwargs=dict(BLOCK=4096))
report.time_s, report.band_s      # and the same with all assumed figures 30% better and worse
report.trace("t.json")            # for ui.perfetto.dev or chrome://tracing
report.html("r.html")             # one page with timeline and roofline
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from canopy.targets.ascend.chip import Chip
from canopy.targets.ascend.drawing import time_text
from canopy.targets.ascend.happens import Hazard
from canopy.targets.ascend.l2 import missing_shares
from canopy.targets.ascend.npu import Mmad, Pipe, Program
from canopy.targets.ascend.recorder import Trace
from canopy.targets.ascend.replay import Outcome, replay

__all__ = ["BAND", "Report"]

BAND = 0.3
"""How far all assumed figures are moved for the band of a result."""


class Report:
    """The outcome of one simulated launch; every figure is simulated, none was measured."""

    def __init__(
        self,
        program: Program,
        chip: Chip,
        programs: int,
        cores: int,
        hazards: tuple[Hazard, ...],
        trace: Trace,
        notes: Sequence[str] = (),
        mode: str = "functional",
    ) -> None:
        self.program = program
        self.chip = chip
        self.programs = programs
        self.cores = cores
        self.hazards = hazards
        self.mode = mode
        self.notes = (*program.notes, *notes)
        self.recorded = trace

    @property
    def name(self) -> str:
        return self.program.name

    # ---- time

    @cached_property
    def _misses(self) -> Mapping[int, float]:
        return missing_shares(self.recorded.items, self.recorded.wave, self.chip.l2_bytes)

    @cached_property
    def outcome(self) -> Outcome:
        """Times and spans per core, as the timing model gives them."""
        return replay(self.recorded, self.chip, self._misses, with_spans=True)

    @property
    def cycles(self) -> float:
        """Cycles from the launch until the last core is done."""
        return self.outcome.cycles

    @property
    def time_s(self) -> float:
        return self.cycles / self.chip.clock_hz

    @cached_property
    def band_s(self) -> tuple[float, float]:
        """``time_s`` with every assumed figure of the chip 30% better, and 30% worse."""
        times = []
        for part in (-BAND, BAND):
            chip = self.chip.shifted(part)
            times.append(replay(self.recorded, chip, self._misses).cycles / chip.clock_hz)
        return min(times), max(times)

    # ---- what bounds it

    @cached_property
    def pipes(self) -> dict[str, float]:
        """Busy share of each pipe, over the cores in use."""
        outcome = self.outcome
        total = outcome.cycles * max(self.cores, 1)
        found = {}
        for number, pipe in enumerate(Pipe):
            busy = sum(
                core.count * cycles[number]
                for core, cycles in zip(self.recorded.cores, outcome.busy, strict=True)
            )
            if busy and total:
                found[pipe.value] = busy / total
        return found

    @property
    def hbm_share(self) -> float:
        """Of the nominal rate of the HBM."""
        if not self.time_s:
            return 0.0
        return self.outcome.hbm_bytes / self.time_s / self.chip.hbm_bytes_per_second

    @property
    def l2_share(self) -> float:
        if not self.time_s:
            return 0.0
        return self.outcome.l2_bytes / self.time_s / self.chip.l2_bytes_per_second

    @property
    def l2_hits(self) -> float:
        """The share of the bytes moved that did not come from HBM or go there."""
        through = self.outcome.l2_bytes
        return 1 - self.outcome.hbm_bytes / through if through else 0.0

    @property
    def bound_by(self) -> str:
        """The busiest pipe; ``HBM`` or ``L2`` where the memory of all cores is busier; ``launch``
        where getting started takes longest. Where nothing is busy half of the time, dependences
        between the pipes bound it: ``waits``, and which pipe has most to do."""
        shares = dict(self.pipes)
        shares["HBM"] = self.hbm_share / self.chip.hbm_efficiency
        shares["L2"] = self.l2_share
        shares["launch"] = self.chip.launch_cycles / self.cycles if self.cycles else 0.0
        busiest = max(shares, key=lambda name: shares[name])
        return busiest if shares[busiest] >= 0.5 else f"waits ({busiest})"

    @property
    def gbps(self) -> float:
        """10^9 bytes per second to and from the user's arrays, from HBM or from L2."""
        return self.outcome.moved_bytes / self.time_s / 1e9 if self.time_s else 0.0

    @property
    def tflops(self) -> float:
        return self.outcome.flops / self.time_s / 1e12 if self.time_s else 0.0

    @cached_property
    def peak_tflops(self) -> float:
        """Of the cube for the type it multiplies, or of the vector cores in f32."""
        widths = [a.width for i, a in self.recorded.steps if isinstance(i, Mmad)]
        if not widths:
            return self.chip.peak_vector_f32_flops / 1e12
        peak = self.chip.peak_f16_flops / 1e12
        return peak / 4 if max(widths) >= 4 else peak * 2 / max(widths)

    @property
    def peak_share(self) -> float:
        """Of the peak of the unit that computes."""
        return self.tflops / self.peak_tflops

    @property
    def balance(self) -> float:
        """The mean time of the cores over that of the last one: 1 where all end together."""
        ends = self.outcome.ends
        cores = sum(core.count for core in self.recorded.cores)
        if not cores or not max(ends, default=0.0):
            return 1.0
        total = sum(c.count * end for c, end in zip(self.recorded.cores, ends, strict=True))
        return total / cores / max(ends)

    # ---- shown

    @property
    def label(self) -> str:
        """What every output says of itself."""
        return f"simulated on {self.chip.name} (chip file of {self.chip.date})"

    @property
    def band(self) -> str:
        low, high = self.band_s
        return f"{time_text(low)} to {time_text(high)}"

    def summary(self) -> str:
        """Time and rates, in a line."""
        return (
            f"simulated: {time_text(self.time_s)} ({self.band}), {self.gbps:.0f} GB/s, "
            f"{self.tflops:.2f} TFLOP/s, bound by {self.bound_by}"
        )

    def __str__(self) -> str:
        pipes = ", ".join(f"{name} {share:.0%}" for name, share in self.pipes.items())
        lines = [
            f"{self.name}, {self.label}: {time_text(self.time_s)}",
            f"  {self.band} with all assumed figures {BAND:.0%} better and worse",
            f"  {self.gbps:.0f} GB/s, HBM at {self.hbm_share:.0%}, L2 answers {self.l2_hits:.0%}",
            f"  {self.tflops:.2f} TFLOP/s, {self.peak_share:.1%} of peak; bound by {self.bound_by}",
            f"  {self.programs:,} programs on {self.cores} cores, balance {self.balance:.0%}",
            f"  busy: {pipes}",
        ]
        lines += [f"  note: {note}" for note in self.notes]
        lines += [f"  hazard: {hazard}" for hazard in self.hazards]
        return "\n".join(lines)

    def trace(self, path: str | Path) -> None:
        """Writes the timeline for Perfetto or chrome://tracing, one track per pipe and core."""
        from canopy.targets.ascend.trace import write_trace

        write_trace(self, Path(path))

    def html(self, path: str | Path) -> None:
        """Writes one page with table, timeline and roofline, which needs no network."""
        from canopy.targets.ascend.page import page

        Path(path).write_text(page([self]), encoding="utf-8")

    def _repr_html_(self) -> str:
        from canopy.targets.ascend.page import fragment

        return fragment(self)
