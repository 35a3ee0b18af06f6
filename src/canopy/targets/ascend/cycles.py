"""Time: when each pipe of a core is busy, in cycles of the chip.

Copies take a start and bytes over a rate, which the sharing of the HBM by all busy cores bounds;
vector instructions a start and their repeats; events make a pipe wait. All figures are the chip's.
"""

from __future__ import annotations

import math

from canopy import ir
from canopy.targets.ascend.calls import CALLS
from canopy.targets.ascend.chip import Chip
from canopy.targets.ascend.npu import (
    CopyIn,
    CopyOut,
    Fill,
    Fixpipe,
    Instruction,
    LaneFill,
    LaneLoop,
    LaneMove,
    LoadMatrix,
    Mmad,
    Move,
    Pipe,
    SetEvent,
    Vector,
    VectorCall,
    View,
    WaitEvent,
)

__all__ = ["Clock"]

_SLOW = (ir.MathCall, ir.Div, ir.Rem)
_SMALL_BURST = 512  # bytes; shorter bursts move whole lines of which a part is used


class Clock:
    """The clock of one core; ``busy`` are cycles of work per pipe."""

    def __init__(self, chip: Chip, cores: int) -> None:
        self._chip = chip
        self.time: dict[Pipe, float] = dict.fromkeys(Pipe, 0.0)
        self.busy: dict[Pipe, float] = dict.fromkeys(Pipe, 0.0)
        self.hbm_bytes = 0
        self.flops = 0
        self._signals: dict[tuple[Pipe, Pipe, int], float] = {}
        clock_hz = chip.clock_mhz * 1e6
        self._hbm_share = chip.hbm_bytes_per_second / clock_hz / cores
        self.spans: list[tuple[Pipe, float, float, str, str]] | None = None

    @property
    def cycles(self) -> float:
        return max(self.time.values())

    def _spend(self, pipe: Pipe, cycles: float, what: Instruction | None = None) -> None:
        start = max(self.time[pipe], self.time[Pipe.S])  # the scalar unit issues it
        self.time[pipe] = start + cycles
        self.busy[pipe] += cycles
        if self.spans is not None and what is not None and cycles:
            self.spans.append((pipe, start, cycles, str(what), str(what.location)))
        if pipe is not Pipe.S:
            self.time[Pipe.S] += 1

    def scalar(self, count: int) -> None:
        self._spend(Pipe.S, count * self._chip.scalar_cycles)

    def lanes(self, count: int) -> None:
        self._spend(Pipe.S, count * self._chip.lane_access_cycles)

    # ---- events

    def set(self, event: SetEvent) -> None:
        self._signals[event.source, event.target, event.event] = max(
            self.time[event.source], self.time[Pipe.S]
        )

    def wait(self, event: WaitEvent) -> None:
        at = self._signals.pop((event.source, event.target, event.event), 0.0)
        self.time[event.target] = max(self.time[event.target], at + self._chip.event_cycles)

    def barrier(self) -> None:
        self.time = dict.fromkeys(Pipe, self.cycles)

    # ---- instructions

    def copy(
        self, copy: CopyIn | CopyOut, size: int, burst: int, is_workspace: bool = False
    ) -> None:
        chip = self._chip
        if not size:
            self._spend(copy.pipe, 1)
            return
        moved = size * max(1.0, min(_SMALL_BURST / max(burst, 1), 16.0)) if burst < 64 else size
        out = isinstance(copy, CopyOut)
        rate = chip.copy_out_bytes_per_cycle if out else chip.copy_in_bytes_per_cycle
        if is_workspace:
            rate = chip.l2_read_bytes_per_cycle
        else:
            self.hbm_bytes += size
            rate = min(rate, self._hbm_share)
        bursts = math.ceil(size / max(burst, 1))
        self._spend(copy.pipe, chip.copy_latency_cycles + moved / rate + 2 * bursts, copy)

    def call(self, call: VectorCall, repeats: int | None, lanes: int) -> None:
        """A call of the vector unit: ``repeats`` as given, or what ``lanes`` need."""
        chip = self._chip
        if repeats is None:
            widest = max(local.type.bytes for local in (call.target, *call.sources))
            repeats = math.ceil(lanes * widest / chip.repeat_bytes)
        is_slow = CALLS[call.name].cycles == "slow_repeat"
        rate = chip.slow_repeat_cycles if is_slow else chip.repeat_cycles
        self._spend(Pipe.V, chip.vector_start_cycles + repeats * rate, call)
        if CALLS[call.name].shape in ("lanes", "fold") and call.name not in ("Cast", "Copy"):
            self.flops += lanes

    def vector(self, vector: Vector, lanes: int) -> None:
        if isinstance(vector, LaneLoop):
            self.lanes(lanes * (len(vector.sources) + len(vector.targets)))
            return
        views = [v for v in (*vector.targets, *vector.sources) if isinstance(v, View)]
        widest = max((view.type.bytes for view in views), default=4)
        self._repeats(vector, lanes, widest, isinstance(vector.op, _SLOW))
        if not isinstance(vector.op, ir.Cast | ir.Bitcast | ir.Select):
            self.flops += lanes

    def move(self, move: Move, lanes: int) -> None:
        source = move.source
        if isinstance(move, LaneMove):
            self.lanes(2 * lanes)
            return
        is_plain = not isinstance(source, View) or source.strides[-1:] == (1,)
        self._repeats(move, lanes, move.target.type.bytes, not is_plain)

    def fill(self, fill: Fill, lanes: int) -> None:
        if isinstance(fill, LaneFill):
            self.lanes(lanes)
        elif lanes:
            self._repeats(fill, lanes, fill.target.type.bytes, False)

    def _repeats(self, what: Instruction, lanes: int, width: int, is_slow: bool) -> None:
        chip = self._chip
        if width == 8:
            self._spend(Pipe.V, lanes * chip.scalar_cycles, what)  # no 64-bit vector arithmetic
            return
        repeats = math.ceil(lanes * width / chip.repeat_bytes)
        issues = max(math.ceil(repeats / chip.max_repeats), 1)
        rate = chip.slow_repeat_cycles if is_slow else chip.repeat_cycles
        self._spend(Pipe.V, issues * chip.vector_start_cycles + repeats * rate, what)

    def load_matrix(self, load: LoadMatrix, size: int) -> None:
        chip = self._chip
        self._spend(Pipe.MTE1, chip.cube_start_cycles + size / chip.l1_to_l0_bytes_per_cycle, load)

    def mmad(self, mmad: Mmad, m: int, k: int, n: int) -> None:
        chip = self._chip
        width = mmad.lhs.type.bytes
        rate = (
            chip.cube_macs_per_cycle_f16 * 2 / width
            if width < 4
            else (chip.cube_macs_per_cycle_f16 / 4)
        )
        padded = _up(m, 16) * _up(n, 16) * _up(k, max(32 // width, 1))
        self.flops += 2 * m * n * k
        self._spend(Pipe.M, chip.cube_start_cycles + padded / rate, mmad)

    def fixpipe(self, fix: Fixpipe, size: int) -> None:
        chip = self._chip
        self._spend(Pipe.FIX, chip.cube_start_cycles + size / chip.fixpipe_bytes_per_cycle, fix)


def _up(extent: int, to: int) -> int:
    return -(-extent // to) * to
