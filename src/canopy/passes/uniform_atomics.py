"""Lanes that all update one address gather their values first.

    %old = atomic_rmw add, %p, %v, %mask : tile<256xi32>      with %p equal in all lanes
becomes
    %some = any_lane %mask
    %sum = reduce(+) select(%mask, %v, 0)
    atomic_rmw add, %p', %sum, %some : i32

where nobody reads the old values. The lanes of one such op have no order among each other, so any
order of additions is right. An atomic addition costs some 18 cycles a lane, a reduced lane less
than one.
"""

from __future__ import annotations

from collections.abc import Sequence

from canopy.ir.contraction import AnyLane, Reduce
from canopy.ir.control import Yield
from canopy.ir.core import Kernel, Op, Region, Value, walk
from canopy.ir.elementwise import Add, And, Binary, Constant, Max, Min, Or, Select, Xor
from canopy.ir.memory import AtomicRmw, Offset
from canopy.ir.shape import Broadcast, ExpandDims, Reshape, Splat, Transpose
from canopy.ir.types import F32, F64, ScalarType, element_type, is_integer
from canopy.passes.rewriter import Rewriter

__all__ = ["gather_uniform_atomics"]

_COMBINES: dict[str, type[Binary]] = {
    "add": Add,
    "sub": Add,  # what is subtracted adds up
    "and": And,
    "or": Or,
    "xor": Xor,
    "min": Min,
    "max": Max,
}


def gather_uniform_atomics(kernel: Kernel) -> Kernel:
    """``kernel`` with one atomic op in place of those whose lanes all update one address."""
    return _Gatherer(kernel).kernel(kernel)


class _Gatherer(Rewriter):
    def __init__(self, kernel: Kernel) -> None:
        super().__init__()
        self._used = {value for op in walk(kernel.body.ops) for value in op.operands}

    def op(self, op: Op) -> Sequence[Value]:
        if not isinstance(op, AtomicRmw) or op.result in self._used or not op.value.is_tile:
            return super().op(op)
        pointer = self._scalar(op.pointer)
        if pointer is None or not _may_gather(op):
            return super().op(op)
        return self._gathered(op, pointer)

    def _gathered(self, op: AtomicRmw, pointer: Value) -> Sequence[Value]:
        place, value = op.location, self.values[op.value]
        mask = None if op.mask is None else self.values[op.mask]
        some = None
        if mask is not None:
            neutral = self.make(Constant, value=_neutral(op), type=value.type, location=place)
            value = self.make(
                Select, condition=mask, if_true=value, if_false=neutral, location=place
            )
            some = self.make(AnyLane, source=mask, location=place)
        if len(value.shape) > 1:
            lanes = 1
            for extent in value.shape:
                lanes *= extent
            value = self.make(Reshape, source=value, shape=(lanes,), location=place)
        element = element_type(value.type)
        lhs, rhs = Value(element), Value(element)
        combined = _COMBINES[op.kind](lhs=lhs, rhs=rhs, location=place)
        combine = Region((lhs, rhs), [combined, Yield(values=combined.results, location=place)])
        total = self.make(Reduce, sources=(value,), axis=0, combine=combine, location=place)
        self.make(
            AtomicRmw,
            kind=op.kind,
            pointer=pointer,
            value=total,
            mask=some,
            order=op.order,
            location=place,
        )
        return (value,)  # nobody reads it

    def _scalar(self, pointer: Value) -> Value | None:
        """The address that all lanes have, or None."""
        match pointer.op:
            case Splat(source=source):
                return self.values[source]
            case Broadcast() | ExpandDims() | Reshape() | Transpose():
                return self._scalar(pointer.op.source)
            case Offset(pointer=base, index=index, scale=scale, location=place):
                found, distance = self._scalar(base), self._scalar(index)
                if found is None or distance is None:
                    return None
                return self.make(Offset, pointer=found, index=distance, scale=scale, location=place)
            case Constant(value=value, location=place):
                return self.make(
                    Constant, value=value, type=element_type(pointer.type), location=place
                )
        return None


def _may_gather(op: AtomicRmw) -> bool:
    element = element_type(op.value.type)
    if op.kind not in _COMBINES or not isinstance(element, ScalarType):
        return False
    return is_integer(element) or (op.kind in ("add", "sub") and element in (F32, F64))


def _neutral(op: AtomicRmw) -> int | float:
    """What changes nothing."""
    element = element_type(op.value.type)
    assert isinstance(element, ScalarType)
    if not is_integer(element):
        return -0.0
    signed = element.kind == "int"
    lowest = -(1 << element.bits - 1) if signed else 0
    highest = (1 << element.bits - signed) - 1
    return {"and": -1 if signed else highest, "min": highest, "max": lowest}.get(op.kind, 0)
