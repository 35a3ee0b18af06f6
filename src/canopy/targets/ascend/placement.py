"""Which programs of a grid read the same rows or columns of a product.

    row = first + id % height, column = id % per_group // height     (a swizzle of 8 rows)
      ->  Order(rows_first=True, turn=8): neighbours share columns, every eighth shares rows

GPU kernels number the tiles of a result in many orders, which no algebra of ``//``, ``%`` and
``min`` settles for all sizes. The scalars are followed for the first programs of two large grids
instead, and an order counts where both agree. It is a guess: who merges programs by it compares
their scalars where they run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from canopy import ir
from canopy.ir.interpreter import RULES
from canopy.ir.interpreter.machine import Machine
from canopy.ir.interpreter.memory import Memory
from canopy.ir.interpreter.numeric import dtype_of
from canopy.ir.types import ElementType, element_type, is_integer

__all__ = ["Order", "order_along"]

_PROGRAMS = 512  # that are looked at
_SIZES = (4096, 6144)  # of all integer parameters
_FOLLOWED = (
    *(ir.Binary, ir.Cast, ir.Compare, ir.Select, ir.Clamp, ir.Constant),
    ir.Offset,
)

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Order:
    """``rows_first``: the next program has other rows and the same columns, else the other way
    round. ``turn``: the distance to the next program with what changes first the same again; 0
    where that depends on the sizes."""

    rows_first: bool
    turn: int


def order_along(
    kernel: ir.Kernel, axis: int, rows: Sequence[ir.Value], columns: Sequence[ir.Value]
) -> Order | None:
    """The order of programs along an axis of the grid; ``rows`` and ``columns`` are the scalars
    that say where the blocks of the operands lie."""
    found = [_order(kernel, axis, size, rows, columns) for size in _SIZES]
    if found[0] is None or found[1] is None or found[0].rows_first != found[1].rows_first:
        return None
    return found[0] if found[0] == found[1] else Order(found[0].rows_first, 0)


def _order(
    kernel: ir.Kernel, axis: int, size: int, rows: Sequence[ir.Value], columns: Sequence[ir.Value]
) -> Order | None:
    values = _scalars(kernel, axis, size)
    if not all(value in values for value in (*rows, *columns)):
        return None
    row_keys, column_keys = (_keys([values[v] for v in given]) for given in (rows, columns))
    if row_keys[0] != row_keys[1] and column_keys[0] == column_keys[1]:
        return Order(True, _turn(row_keys))
    if row_keys[0] == row_keys[1] and column_keys[0] != column_keys[1]:
        return Order(False, _turn(column_keys))
    return None


def _keys(columns: list[Array]) -> list[tuple[int, ...]]:
    """What each program has."""
    spread = [np.broadcast_to(column, _PROGRAMS).tolist() for column in columns]
    return list(zip(*spread, strict=True)) if spread else [()] * _PROGRAMS


def _turn(keys: list[tuple[int, ...]]) -> int:
    return next((place for place in range(1, len(keys)) if keys[place] == keys[0]), 0)


def _scalars(kernel: ir.Kernel, axis: int, size: int) -> dict[ir.Value, Array]:
    """The scalars in front, of all programs looked at, as far as they can be followed."""
    values = {p.value: _parameter(element_type(p.value.type), size) for p in kernel.parameters}
    machine = Machine(Memory([], False), (0, 0, 0), (size, size, size), values, {}, {})
    with np.errstate(all="ignore"):
        for op in kernel.body.ops:
            if isinstance(op, ir.ProgramId):
                first = np.arange(_PROGRAMS, dtype=np.int32)
                values[op.result] = first if op.axis == axis else np.zeros((), np.int32)
            elif isinstance(op, ir.NumPrograms):
                values[op.result] = np.asarray(size, np.int32)
            elif _is_known(op, values):
                values[op.result] = np.asarray(RULES[type(op)](machine, op))
    return values


def _is_known(op: ir.Op, values: dict[ir.Value, Array]) -> bool:
    if not isinstance(op, _FOLLOWED) or op.result.is_tile:
        return False
    return all(operand in values for operand in op.operands)


def _parameter(kind: ElementType, size: int) -> Array:
    return np.asarray(size if is_integer(kind) else 0, dtype_of(kind))
