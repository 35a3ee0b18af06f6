"""Reader rules: pointer arithmetic, loads, stores, atomics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from canopy.errors import UnsupportedError
from canopy.frontends.triton.rules import reads
from canopy.frontends.triton.types import parse_type, pointee_bytes, pointee_of
from canopy.ir import AtomicCas, AtomicRmw, Load, Offset, Store, Value
from canopy.ir.types import element_type

if TYPE_CHECKING:
    from canopy.frontends.triton.reader import Reader
    from canopy.frontends.triton.text import Operation

__all__: list[str] = []

_KINDS = {
    "add": "add",
    "fadd": "add",
    "and": "and",
    "or": "or",
    "xor": "xor",
    "max": "max",
    "min": "min",
    "umax": "max",
    "umin": "min",
    "exch": "exchange",
}
_ORDERS = {
    "relaxed": "relaxed",
    "acquire": "acquire",
    "release": "release",
    "acq_rel": "acq_rel",
}


@reads("tt.addptr")
def _offset(reader: Reader, op: Operation) -> Value:
    pointer, index = reader.values(op)
    scale = pointee_bytes(op.operand_types[0])
    return reader.add(Offset, pointer=pointer, index=index, scale=scale)


@reads("tt.load")
def _load(reader: Reader, op: Operation) -> Value:
    pointer, *rest = reader.values(op)
    return reader.add(
        Load,
        pointer=pointer,
        mask=rest[0] if rest else None,
        other=rest[1] if len(rest) > 1 else None,
        type=pointee_of(op.signature),
        volatile=op.flag("isVolatile"),
    )


@reads("tt.store")
def _store(reader: Reader, op: Operation) -> None:
    pointer, value, *mask = reader.values(op)
    reader.build.effect(Store, pointer=pointer, value=value, mask=mask[0] if mask else None)


@reads("tt.atomic_rmw")
def _atomic(reader: Reader, op: Operation) -> Value:
    kind, order, _ = (piece.strip() for piece in op.body.split(",")[:3])
    if kind not in _KINDS:
        raise UnsupportedError(f"the atomic operation {kind} is not supported yet")
    pointer, value, *mask = reader.values(op)
    fields: dict[str, Any] = {
        "kind": _KINDS[kind],
        "pointer": pointer,
        "mask": mask[0] if mask else None,
        "order": _ORDERS[order],
    }
    if not kind.startswith("u"):
        return reader.add(AtomicRmw, value=value, **fields)
    return reader.as_signed(reader.add(AtomicRmw, value=reader.as_unsigned(value), **fields))


@reads("tt.atomic_cas")
def _compare_and_swap(reader: Reader, op: Operation) -> Value:
    pointer, compare, value = reader.values(op)
    order = _ORDERS[op.body.partition(",")[0].strip()]
    return reader.add(AtomicCas, pointer=pointer, compare=compare, value=value, order=order)


@reads("tt.atomic_load")
def _atomic_load(reader: Reader, op: Operation) -> Value:
    """An atomic load is an exclusive or with zero: it reads, and orders, and changes nothing."""
    pointer, *mask = reader.values(op)
    type_ = parse_type(op.result_type)
    element = element_type(type_)
    zero = reader.constant(0 if element.kind != "float" else 0.0, type_)  # type: ignore[union-attr]
    kind = "add" if element.kind == "float" else "or"  # type: ignore[union-attr]
    return reader.add(
        AtomicRmw,
        kind=kind,
        pointer=pointer,
        value=zero,
        mask=mask[0] if mask else None,
        order=_ORDERS[op.body.partition(",")[0].strip()],
    )


@reads("tt.atomic_store")
def _atomic_store(reader: Reader, op: Operation) -> None:
    pointer, value, *mask = reader.values(op)
    reader.add(
        AtomicRmw,
        kind="exchange",
        pointer=pointer,
        value=value,
        mask=mask[0] if mask else None,
        order=_ORDERS[op.body.partition(",")[0].strip()],
    )
