"""Reader rules: numeric conversions and bit casts.

TTIR integers have no sign. Values are signed here, and bitcast to unsigned where an operation says
so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from canopy.frontends.triton.rules import reads
from canopy.frontends.triton.types import parse_type
from canopy.ir import And, Cast, Select, Value
from canopy.ir.types import (
    BOOL,
    I64,
    PTR,
    ScalarType,
    element_type,
    is_bool,
    is_pointer,
    unsigned,
    with_element,
)

if TYPE_CHECKING:
    from canopy.frontends.triton.reader import Reader
    from canopy.frontends.triton.text import Operation

__all__: list[str] = []


def _wanted(op: Operation) -> ScalarType:
    element = element_type(parse_type(op.result_type))
    assert isinstance(element, ScalarType)
    return element


@reads("arith.extsi", "arith.sitofp")
def _from_signed(reader: Reader, op: Operation) -> Value:
    (source,) = reader.values(op)
    wanted = _wanted(op)
    if not is_bool(source.type):
        return reader.add(Cast, source=source, type=wanted)
    type_ = with_element(source.type, wanted)  # a true bool is -1
    minus_one, zero = (reader.constant(n, type_) for n in (-1, 0))
    return reader.add(Select, condition=source, if_true=minus_one, if_false=zero)


@reads("arith.extui", "arith.uitofp")
def _from_unsigned(reader: Reader, op: Operation) -> Value:
    (source,) = reader.values(op)
    return reader.add(Cast, source=reader.as_unsigned(source), type=_wanted(op))


@reads("arith.trunci")
def _truncate_integer(reader: Reader, op: Operation) -> Value:
    (source,) = reader.values(op)
    wanted = _wanted(op)
    if wanted == BOOL:  # the lowest bit
        source = reader.add(And, lhs=source, rhs=reader.constant(1, source.type))
    return reader.add(Cast, source=source, type=wanted)


@reads("arith.fptosi", "arith.extf", "arith.index_cast")
def _convert(reader: Reader, op: Operation) -> Value:
    (source,) = reader.values(op)
    return reader.add(Cast, source=source, type=_wanted(op))


@reads("arith.fptoui")
def _to_unsigned(reader: Reader, op: Operation) -> Value:
    (source,) = reader.values(op)
    wanted = unsigned(_wanted(op))
    return reader.as_signed(reader.add(Cast, source=source, type=wanted))


@reads("arith.truncf", "tt.fp_to_fp")
def _round(reader: Reader, op: Operation) -> Value:
    (source,) = reader.values(op)
    toward_zero = "rounding = rtz" in op.body or "toward_zero" in op.body
    return reader.add(
        Cast, source=source, type=_wanted(op), rounding="rtz" if toward_zero else "rtne"
    )


@reads("arith.bitcast", "tt.bitcast")
def _bitcast(reader: Reader, op: Operation) -> Value:
    (source,) = reader.values(op)
    return reader.bitcast(source, element_type(parse_type(op.result_type)))


@reads("tt.ptr_to_int")
def _pointer_to_integer(reader: Reader, op: Operation) -> Value:
    (source,) = reader.values(op)
    assert is_pointer(source.type)
    return reader.bitcast(source, I64)


@reads("tt.int_to_ptr")
def _integer_to_pointer(reader: Reader, op: Operation) -> Value:
    (source,) = reader.values(op)
    return reader.bitcast(source, PTR)
