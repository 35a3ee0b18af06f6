"""Verifier rules of the ops in `canopy.ir.memory`."""

from __future__ import annotations

from canopy.ir.core import Op, Value
from canopy.ir.memory import AtomicCas, AtomicRmw, Barrier, Load, Offset, Scratch, Store
from canopy.ir.types import PointerType, ScalarType, is_integer, is_pointer, with_element
from canopy.ir.verifier.table import (
    fitting_mask,
    is_integer_or_bool,
    of_kind,
    one_type,
    require,
    rule,
    same_shape,
)


@rule(Offset)
def _offset(op: Offset) -> None:
    of_kind(op, op.pointer, is_pointer, "a pointer")
    of_kind(op, op.index, is_integer, "an integer index")
    same_shape(op, op.pointer, op.index)


@rule(Load)
def _load(op: Load) -> None:
    of_kind(op, op.pointer, is_pointer, "a pointer")
    fitting_mask(op, op.mask, op.pointer)
    if op.other is None:
        return
    require(op, op.mask is not None, "has a value for masked lanes, but no mask")
    _value_behind(op, op.other, op.pointer, op.type)


@rule(Store)
def _store(op: Store) -> None:
    of_kind(op, op.pointer, is_pointer, "a pointer")
    fitting_mask(op, op.mask, op.pointer)
    same_shape(op, op.pointer, op.value)


@rule(AtomicRmw)
def _atomic_rmw(op: AtomicRmw) -> None:
    of_kind(op, op.pointer, is_pointer, "a pointer")
    fitting_mask(op, op.mask, op.pointer)
    same_shape(op, op.pointer, op.value)
    bitwise = op.kind in ("and", "or", "xor", "inc", "dec")
    allowed = is_integer_or_bool(op.value.type) or not bitwise
    require(op, allowed, f"{op.kind} needs integers, got {op.value.type}")
    pointers = op.kind == "exchange" or not is_pointer(op.value.type)
    require(op, pointers, f"{op.kind} needs numbers, got {op.value.type}")


@rule(AtomicCas)
def _atomic_cas(op: AtomicCas) -> None:
    of_kind(op, op.pointer, is_pointer, "a pointer")
    fitting_mask(op, op.mask, op.pointer)
    same_shape(op, op.pointer, op.value)
    one_type(op, op.compare, op.value)


@rule(Scratch)
def _scratch(op: Scratch) -> None:
    require(op, op.bytes >= 0, f"has {op.bytes} bytes")
    power = op.alignment > 0 and op.alignment & (op.alignment - 1) == 0
    require(op, power, f"has the alignment {op.alignment}, which is not a power of two")


@rule(Barrier)
def _barrier(op: Barrier) -> None:
    """A barrier may stand anywhere."""


def _value_behind(op: Op, value: Value, pointer: Value, element: ScalarType | PointerType) -> None:
    wanted = with_element(pointer.type, element)
    require(op, value.type == wanted, f"has a value of type {value.type}, not {wanted}")
