"""What becomes of a product: straight from L0C to the user's array where only a store takes it.

    %c = cast %total : f16
    store %places, %c, %inside        ->   fixpipe c[..] <- l0c as f16 where ..

Fixpipe converts and puts rows together on the way. Any other epilogue is computed by the vector
core, and the product goes through the workspace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from canopy import ir
from canopy.ir.types import BF16, F16, F32, I32, element_type
from canopy.targets.ascend.forms import Affine, Mask
from canopy.targets.ascend.npu import CopyOut, Fixpipe, Move, View
from canopy.targets.ascend.pull import Box, dense_strides, shifted, shifted_limits
from canopy.targets.ascend.scalars import Number, constant

if TYPE_CHECKING:
    from canopy.targets.ascend.cube import Accumulator
    from canopy.targets.ascend.lower import Emitter

__all__ = ["store_product", "wait_for_store"]

_FROM_F32 = (F16, BF16, F32)


def wait_for_store(e: Emitter, held: Accumulator) -> bool:
    """Whether the product stays in L0C for a store that follows in the same region."""
    store = _only_store(e, held.result)
    if store is None or not e.plan.is_behind(store, held.op):
        return False
    if _block(e, store) is None:
        return False
    e.products[store] = held
    return True


def _only_store(e: Emitter, value: ir.Value) -> ir.Store | None:
    users = e.plan.users(value)
    if len(users) != 1:
        return None
    (user,) = users
    if isinstance(user, ir.Cast) and user.rounding == "rtne":
        kinds = element_type(user.source.type), user.type
        if kinds[0] == F32 and kinds[1] in _FROM_F32:
            return _only_store(e, user.result)
    if not isinstance(user, ir.Store) or user.value is not value or len(value.shape) != 2:
        return None
    return user if element_type(value.type) in (*_FROM_F32, I32) else None


def _block(e: Emitter, store: ir.Store) -> tuple[Affine, Mask] | None:
    form = e.forms.affine(store.pointer)
    mask = Mask() if store.mask is None else e.forms.mask(store.mask)
    if form is None or mask is None:
        return None
    is_adjacent = form.steps[-1].number == element_type(store.value.type).bytes
    return (form, mask) if is_adjacent and form.steps[0].terms else None


def store_product(e: Emitter, op: ir.Store) -> None:
    """The store of a product that waits in L0C."""
    held = e.products.pop(op)
    block = _block(e, op)
    assert block is not None
    form, mask = block
    kind = element_type(op.value.type)
    shape = op.pointer.shape
    with e.collecting() as ran:
        for (row, column), source in held.pieces.blocks.items():
            starts = (constant(row), constant(column))
            e.emit(
                Fixpipe(
                    source=source,
                    type=kind,
                    address=shifted(form, starts),
                    strides=form.steps,
                    limits=shifted_limits(mask, starts),
                    conditions=mask.conditions,
                    pointer=op.pointer,
                    group=e.group(op.pointer),
                    location=op.location,
                )
            )

    def zeros(box: Box) -> None:
        view = View(e.temporary(box[1], kind), box[1], dense_strides(box[1]))
        e.emit(Move(target=view, source=Number(0, kind), location=op.location))
        e.emit(
            CopyOut(
                source=view,
                address=shifted(form, box[0]),
                strides=form.steps,
                limits=shifted_limits(mask, box[0]),
                conditions=mask.conditions,
                pointer=op.pointer,
                group=e.group(op.pointer),
                location=op.location,
            )
        )

    with e.collecting() as empty:
        e.strips(op, shape, zeros)
    held.either(e, ran, empty)
    held.pieces.free(e)
