"""Gathers inside rows whose source lanes are known ahead: shuffles of a warp, done in registers.

    %other = gather %rows, %lane_xor_16, axis=1        a shuffle of the strip that holds the row

A strip then covers exactly one row, so that a chain of shuffles and additions needs no memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from canopy import ir
from canopy.ir.interpreter import RULES

__all__ = ["find_exchanges"]

# Longer rows, or shorter ones, do not fit the registers of one strip.
LENGTHS = (16, 32, 64)
_PURE = (
    *(ir.Constant, ir.Range, ir.Broadcast, ir.ExpandDims, ir.Reshape, ir.Transpose),
    *(ir.Binary, ir.Compare, ir.Select, ir.Cast, ir.Bitcast),
)


def find_exchanges(kernel: ir.Kernel) -> dict[ir.Gather, tuple[int, ...]]:
    """For each gather that one strip can do: the source lane of each lane of a row."""
    if kernel.block is None:
        return {}
    known = _Known()
    found = {}
    for op in ir.walk(kernel.body.ops):
        if isinstance(op, ir.Gather):
            order = _order(op, known)
            if order is not None:
                found[op] = order
    return found


def _order(op: ir.Gather, known: _Known) -> tuple[int, ...] | None:
    shape = op.source.shape
    if op.axis != len(shape) - 1 or shape[-1] not in LENGTHS or op.indices.shape != shape:
        return None
    below = op.source.op
    if not isinstance(below, ir.Reshape) or below.source.shape[-1] % shape[-1]:
        return None  # a strip along the last axis of what it is made of must hold whole rows
    if not known.covers(op.indices):
        return None
    rows = known[op.indices].reshape(-1, shape[-1])
    return tuple(map(int, rows[0])) if (rows == rows[0]).all() else None


class _Known:
    """Tiles that constants and ranges alone make, computed by the interpreter's rules."""

    def __init__(self) -> None:
        self._covered: dict[ir.Value, bool] = {}
        self._values: dict[ir.Value, Any] = {}

    def covers(self, value: ir.Value) -> bool:
        if value not in self._covered:
            op = value.op
            self._covered[value] = isinstance(op, _PURE) and all(map(self.covers, op.operands))
        return self._covered[value]

    def __getitem__(self, value: ir.Value) -> Any:
        if value not in self._values:
            assert value.op is not None
            rule: Any = RULES[type(value.op)]
            with np.errstate(all="ignore"):
                self._values[value] = rule(self, value.op)
        return self._values[value]
