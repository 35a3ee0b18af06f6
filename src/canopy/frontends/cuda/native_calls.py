"""Calls of the native runtime on the active threads (runtime/native/call.h)."""

from __future__ import annotations

from canopy import ir
from canopy.frontends.cuda.translator import Mask, Translator
from canopy.ir.types import PTR, ElementType, element_type, with_element

__all__ = ["as_generic", "call_native"]


def as_generic(t: Translator, pointer: ir.Value) -> ir.Value:
    """A pointer into any memory, without its address space."""
    if element_type(pointer.type) == PTR:
        return pointer
    return t.add(ir.Bitcast, source=pointer, type=PTR)


def call_native(
    t: Translator, function: str, arguments: list[ir.Value], mask: Mask, type_: ElementType
) -> ir.Value:
    """A call for the active threads, skipped where there is none."""
    if mask is None or mask is t.living:
        return _made(t, function, arguments, mask, type_)
    call, none = ir.Region(), ir.Region()
    result_type = with_element(mask.type, type_)
    zero = t.zero(result_type)
    outer, t.builder.region = t.builder.region, call
    made = _made(t, function, arguments, mask, type_)
    t.builder.region = outer
    location = t.builder.location
    for region, value in ((call, made), (none, zero)):
        region.ops.append(ir.Yield(values=(value,), location=location))
    active = t.any_active(mask)
    chosen = t.builder.effect(ir.If, condition=active, then_region=call, else_region=none)
    return chosen.result


def _made(
    t: Translator, function: str, arguments: list[ir.Value], mask: Mask, type_: ElementType
) -> ir.Value:
    lanes = t.all_lanes() if mask is None else mask
    return t.add(
        ir.NativeCall, function=function, arguments=tuple(arguments), mask=lanes, type=type_
    )
