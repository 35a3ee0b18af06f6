"""Reader rules: pointer arithmetic, loads, stores, atomics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from canopy.errors import UnsupportedError
from canopy.frontends.triton.rules import reads
from canopy.frontends.triton.types import parse_type, pointee_bytes, pointee_of
from canopy.ir import (
    And,
    AnyLane,
    AtomicCas,
    AtomicRmw,
    Builder,
    Clock,
    Compare,
    Condition,
    Load,
    Offset,
    Or,
    Region,
    Store,
    Sub,
    Value,
    While,
    Xor,
    Yield,
)
from canopy.ir.types import BOOL, element_type, with_element

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


@reads("tt.atomic_poll")
def _atomic_poll(reader: Reader, op: Operation) -> Value:
    """Reads until memory equals what is expected, in every lane, or the time is over; gives which
    lanes were equal."""
    pointer, expected, *timeout = reader.values(op)
    order = _ORDERS[op.body.partition(",")[0].strip()]
    start = reader.add(Clock) if timeout else None
    never = reader.constant(False, with_element(expected.type, BOOL))
    outer = reader.build

    before, body = (Region((Value(never.type, "equal"),)) for _ in range(2))
    reader.build = Builder(before, outer.location)
    (known,) = before.args
    equal = reader.add(Or, lhs=known, rhs=_found(reader, pointer, expected, known, order))
    waits = reader.add(Xor, lhs=equal, rhs=reader.constant(True, equal.type))
    if waits.is_tile:
        waits = reader.add(AnyLane, source=waits)
    if start is not None:
        passed = reader.as_unsigned(reader.add(Sub, lhs=reader.add(Clock), rhs=start))
        limit = reader.as_unsigned(timeout[0])
        in_time = reader.add(Compare, predicate="lt", lhs=passed, rhs=limit)
        waits = reader.add(And, lhs=waits, rhs=in_time)
    reader.build.effect(Condition, condition=waits, values=(equal,))
    Builder(body, outer.location).effect(Yield, values=body.args)
    reader.build = outer
    return outer.effect(While, initial=(never,), before=before, body=body).results[0]


def _found(reader: Reader, pointer: Value, expected: Value, known: Value, order: str) -> Value:
    """Whether memory equals ``expected``, read where that is not known to be so."""
    unknown = reader.add(Xor, lhs=known, rhs=reader.constant(True, known.type))
    zero = reader.constant(0, expected.type)
    fields = {"kind": "or", "pointer": pointer, "value": zero, "mask": unknown, "order": order}
    found = reader.add(AtomicRmw, **fields)
    same = reader.add(Compare, predicate="eq", lhs=found, rhs=expected)
    return reader.add(And, lhs=same, rhs=unknown)


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
