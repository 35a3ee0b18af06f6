"""Operands of products that stay in L1: loaded where the kernel loads them, read by all products
behind, as the queries of attention are in each trip over the keys.

    q = load ..; for k in ..: dot(q, ..)     ->     copy_matrix l1 <- q ..; for k in ..: ..
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from canopy import ir
from canopy.targets.ascend import cube
from canopy.targets.ascend.npu import Space
from canopy.targets.ascend.plan import tile_bytes
from canopy.targets.ascend.pull import box_of

if TYPE_CHECKING:
    from canopy.targets.ascend.lower import Emitter

__all__ = ["find", "keep"]


def keep(e: Emitter, value: ir.Value) -> bool:
    """Whether a kept value is a load that only products read, and L1 has room for it; it is there
    then."""
    load = value.op
    if not isinstance(load, ir.Load) or len(value.shape) != 2 or not _only_products(e, value):
        return False
    left = e.memory.room(Space.L1) - tile_bytes(value)
    if left < e.chip.l1_bytes * 5 // 8 or cube.direct_load(e, value) is None:
        return False
    e.residents[value] = cube.load_block(e, load, box_of(value.shape))
    e.homes[value] = e.residents[value].matrix.buffer
    return True


def _only_products(e: Emitter, value: ir.Value) -> bool:
    """Whether all that is done to a value, or to its transpose, is to multiply it."""
    users = e.plan.users(value)
    return bool(users) and all(
        (isinstance(user, ir.Dot) and user.acc is not value)
        or (isinstance(user, ir.Transpose) and _only_products(e, user.result))
        for user in users
    )


def find(e: Emitter, value: ir.Value) -> cube.Loaded | None:
    """An operand, or that of which it is the transpose, where it stays in L1."""
    if value in e.residents:
        return e.residents[value]
    load = cube.load_of(value)
    if load is None or load.result not in e.residents:
        return None
    held = e.residents[load.result]
    return replace(held, is_turned=not held.is_turned)
