"""Loads and stores of strips: contiguous, masked, gathered, one lane after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.ir as ll

from canopy.ir.types import ElementType, is_bool
from canopy.targets.cpu import conversions
from canopy.targets.cpu.llvm import (
    I8,
    I32,
    I64,
    POINTER,
    Builder,
    LLValue,
    as_pointer,
    constant,
    in_entry_block,
    lane_loop,
    type_code,
    vector,
)

__all__ = [
    "STREAMING_BYTES",
    "from_memory",
    "load_contiguous",
    "load_gather",
    "load_reversed",
    "load_scalar",
    "load_strided",
    "store_contiguous",
    "store_inside_bounds",
    "store_scatter",
]

# Launches that write more than this bypass the caches with their stores: a few times a usual L2.
STREAMING_BYTES = 16 << 20


def from_memory(builder: Builder, value: LLValue, element: ElementType) -> LLValue:
    """The register form of what was loaded: bytes become bools."""
    return (
        builder.icmp_unsigned("!=", value, constant(value.type, 0)) if is_bool(element) else value
    )


def to_memory(builder: Builder, value: LLValue, element: ElementType) -> LLValue:
    """The memory form of a value: bools become bytes."""
    if not is_bool(element):
        return value
    type_ = vector(I8, value.type.count) if isinstance(value.type, ll.VectorType) else I8
    return builder.zext(value, type_)


def load_scalar(builder: Builder, pointer: LLValue, element: ElementType) -> LLValue:
    """One element."""
    raw = builder.load(pointer, typ=conversions.memory_type(element), align=element.bytes)
    return from_memory(builder, raw, element)


def load_contiguous(
    builder: Builder,
    pointer: LLValue,
    element: ElementType,
    lanes: int,
    mask: LLValue | None = None,
    other: LLValue | None = None,
) -> LLValue:
    """``lanes`` consecutive elements; ``other`` (register form) where mask is false."""
    type_ = vector(conversions.memory_type(element), lanes)
    if mask is None:
        return from_memory(builder, builder.load(pointer, typ=type_, align=element.bytes), element)
    passthrough = constant_zero(type_) if other is None else to_memory(builder, other, element)
    function = _declare(
        builder, f"llvm.masked.load.{type_code(type_)}.p0", type_, [POINTER, I32, mask.type, type_]
    )
    raw = builder.call(function, [pointer, constant(I32, element.bytes), mask, passthrough])
    return from_memory(builder, raw, element)


MOST_STRIDE = 8  # elements; behind that a load of all between costs more than a gather


def load_strided(
    builder: Builder, address: LLValue, element: ElementType, lanes: int, stride: int
) -> LLValue:
    """Every ``stride``-th element from ``address`` (i64) on: a field of an array of structures.

    Reads what lies between the first and the last of them as whole vectors, the last of which ends
    at the last element, and picks.
    """
    memory_type = conversions.memory_type(element)
    type_ = vector(memory_type, lanes)
    starts = [chunk * lanes for chunk in range(stride - 1)] + [(lanes - 1) * (stride - 1)]
    picked = None
    for chunk, start in enumerate(starts):
        place = builder.add(address, constant(I64, start * element.bytes))
        loaded = builder.load(as_pointer(builder, place), typ=type_, align=element.bytes)
        if picked is None:
            order = [min(lane * stride, lanes - 1) for lane in range(lanes)]
            picked = builder.shuffle_vector(loaded, loaded, _indices(order))
            continue
        here = [min(lane * stride // lanes, stride - 1) == chunk for lane in range(lanes)]
        order = [lanes + lane * stride - start if here[lane] else lane for lane in range(lanes)]
        picked = builder.shuffle_vector(picked, loaded, _indices(order))
    return from_memory(builder, picked, element)


def load_reversed(builder: Builder, address: LLValue, element: ElementType, lanes: int) -> LLValue:
    """The elements from ``address`` (i64) backwards."""
    first = builder.sub(address, constant(I64, (lanes - 1) * element.bytes))
    type_ = vector(conversions.memory_type(element), lanes)
    loaded = builder.load(as_pointer(builder, first), typ=type_, align=element.bytes)
    turned = builder.shuffle_vector(loaded, loaded, _indices(list(range(lanes))[::-1]))
    return from_memory(builder, turned, element)


def _indices(order: list[int]) -> LLValue:
    return ll.Constant(vector(I32, len(order)), order)


def store_contiguous(
    builder: Builder,
    pointer: LLValue,
    value: LLValue,
    element: ElementType,
    mask: LLValue | None = None,
) -> Any:
    """Stores a vector to consecutive elements, where mask holds; gives the store instruction."""
    raw = to_memory(builder, value, element)
    if mask is None:
        return builder.store(raw, pointer, align=element.bytes)
    if element.bytes < 4:
        mask = _opaque(builder, mask)
    function = _declare(
        builder,
        f"llvm.masked.store.{type_code(raw.type)}.p0",
        ll.VoidType(),
        [raw.type, POINTER, I32, mask.type],
    )
    return builder.call(function, [raw, pointer, constant(I32, element.bytes), mask])


def store_inside_bounds(
    builder: Builder,
    pointer: LLValue,
    value: LLValue,
    element: ElementType,
    mask: LLValue,
    width: int,
) -> None:
    """Stores where mask, made by bounds on both sides of an index, holds: of most vectors of
    ``width`` lanes all or none, else mostly one run of lanes.

    A masked store is dear here: on Zen 5 loads behind it wait until it is done. Stencils of
    256x256x256 whose rows end in masked stores took 21 ms, without them 7 ms.
    """
    lanes = value.type.count
    if lanes % width or width < 4:
        store_contiguous(builder, pointer, value, element, mask)
        return
    for start in range(0, lanes, width):
        order = _indices(list(range(start, start + width)))
        part = builder.shuffle_vector(value, value, order)
        active = builder.shuffle_vector(mask, mask, order)
        bits = builder.bitcast(active, ll.IntType(width))
        place = builder.gep(
            pointer, [constant(I64, start)], source_etype=conversions.memory_type(element)
        )
        whole = builder.icmp_unsigned("==", bits, constant(bits.type, -1))
        with builder.if_else(whole, likely=True) as (then, otherwise):
            with then:
                store_contiguous(builder, place, part, element)
            with otherwise:
                some = builder.icmp_unsigned("!=", bits, constant(bits.type, 0))
                with builder.if_then(some):
                    _store_some(builder, place, part, element, active)


def _store_some(
    builder: Builder, pointer: LLValue, value: LLValue, element: ElementType, mask: LLValue
) -> None:
    """A vector of which some lanes are active."""
    b = builder
    bits = b.bitcast(mask, ll.IntType(mask.type.count))
    lowest = b.and_(bits, b.neg(bits))
    others = b.and_(bits, b.add(bits, lowest))
    with b.if_else(b.icmp_unsigned("==", others, constant(bits.type, 0)), likely=True) as (
        then,
        otherwise,
    ):
        with then:
            raw = to_memory(b, value, element)
            first = b.zext(b.cttz(bits, constant(ll.IntType(1), 1)), I64)
            _store_run(b, pointer, raw, element.bytes, first, b.zext(b.ctpop(bits), I64))
        with otherwise:
            store_contiguous(b, pointer, value, element, mask)


def _store_run(
    builder: Builder, pointer: LLValue, raw: LLValue, align: int, first: LLValue, count: LLValue
) -> None:
    """``count`` lanes from ``first`` on, as two pieces of a power of two, which may overlap."""
    b, element = builder, raw.type.element
    held = stack_slot(b, raw.type)
    b.store(raw, held)

    def store_pieces(size: int) -> None:
        type_ = vector(element, size)
        for lane in (first, b.add(first, b.sub(count, constant(I64, size)))):
            piece = b.load(b.gep(held, [lane], source_etype=element), typ=type_, align=align)
            b.store(piece, b.gep(pointer, [lane], source_etype=element), align=align)

    def at_most(size: int) -> None:
        if size == 1:
            store_pieces(1)
            return
        with b.if_else(b.icmp_unsigned(">=", count, constant(I64, size))) as (then, otherwise):
            with then:
                store_pieces(size)
            with otherwise:
                at_most(size // 2)

    at_most(raw.type.count // 2)


def _opaque(builder: Builder, mask: LLValue) -> LLValue:
    """The same mask, of which LLVM cannot know that it is constant.

    LLVM 22 for x86 turns a masked store of 16-bit elements whose constant mask has one lane set
    into a 32-bit store, which overwrites the next element.
    """
    lanes = mask.type.count
    if lanes > 64:
        return mask
    bits = builder.bitcast(mask, ll.IntType(lanes))
    wide = ll.IntType(64 if lanes > 32 else 32)
    word = builder.zext(bits, wide) if lanes < wide.width else bits
    identity = ll.InlineAsm(ll.FunctionType(wide, [wide]), "", "=r,0", False)
    word = builder.call(identity, [word])
    bits = builder.trunc(word, ll.IntType(lanes)) if lanes < wide.width else word
    return builder.bitcast(bits, mask.type)


def load_gather(
    builder: Builder, addresses: LLValue, element: ElementType, mask: LLValue, other: LLValue | None
) -> LLValue:
    """One element per lane from a vector of addresses (i64)."""
    lanes = addresses.type.count
    type_ = vector(conversions.memory_type(element), lanes)
    passthrough = constant_zero(type_) if other is None else to_memory(builder, other, element)
    if element.bytes in (4, 8):
        pointers = as_pointer(builder, addresses)
        function = _declare(
            builder,
            f"llvm.masked.gather.{type_code(type_)}.v{lanes}p0",
            type_,
            [pointers.type, I32, mask.type, type_],
        )
        raw = builder.call(function, [pointers, constant(I32, element.bytes), mask, passthrough])
        return from_memory(builder, raw, element)
    slot = stack_slot(builder, type_)
    builder.store(passthrough, slot)

    def one_lane(lane: LLValue, pointer: LLValue) -> None:
        raw = builder.load(pointer, typ=type_.element, align=element.bytes)
        builder.store(raw, builder.gep(slot, [lane], source_etype=type_.element))

    each_active_lane(builder, addresses, mask, one_lane)
    return from_memory(builder, builder.load(slot, typ=type_), element)


def store_scatter(
    builder: Builder, addresses: LLValue, value: LLValue, element: ElementType, mask: LLValue
) -> None:
    """One element per lane to a vector of addresses, in lane order."""
    raw = to_memory(builder, value, element)
    if element.bytes in (4, 8):
        pointers = as_pointer(builder, addresses)
        function = _declare(
            builder,
            f"llvm.masked.scatter.{type_code(raw.type)}.v{raw.type.count}p0",
            ll.VoidType(),
            [raw.type, pointers.type, I32, mask.type],
        )
        builder.call(function, [raw, pointers, constant(I32, element.bytes), mask])
        return
    slot = stack_slot(builder, raw.type)
    builder.store(raw, slot)

    def one_lane(lane: LLValue, pointer: LLValue) -> None:
        source = builder.gep(slot, [lane], source_etype=raw.type.element)
        builder.store(builder.load(source, typ=raw.type.element), pointer, align=element.bytes)

    each_active_lane(builder, addresses, mask, one_lane)


def each_active_lane(
    builder: Builder, addresses: LLValue, mask: LLValue, body: Callable[[LLValue, LLValue], None]
) -> None:
    """Runs ``body(lane, pointer)`` for the lanes where mask holds, in order."""
    lanes = addresses.type.count
    address_slot = stack_slot(builder, addresses.type)
    builder.store(addresses, address_slot)
    bytes_ = builder.zext(mask, vector(I8, lanes))
    mask_slot = stack_slot(builder, bytes_.type)
    builder.store(bytes_, mask_slot)

    def one(lane: LLValue) -> None:
        active = builder.load(builder.gep(mask_slot, [lane], source_etype=I8), typ=I8)
        with builder.if_then(builder.icmp_unsigned("!=", active, constant(I8, 0))):
            address = builder.load(builder.gep(address_slot, [lane], source_etype=I64), typ=I64)
            body(lane, as_pointer(builder, address))

    lane_loop(builder, lanes, one)


def stack_slot(builder: Builder, type_: Any) -> LLValue:
    """Memory for one value, made once in the function's entry block."""
    with in_entry_block(builder):
        slot = builder.alloca(type_)
    slot.type = POINTER  # llvmlite types an alloca's pointer; ours are all opaque
    return slot


def constant_zero(type_: Any) -> LLValue:
    """The zero of a number, pointer or vector type."""
    return ll.Constant(type_, None) if isinstance(type_, ll.VectorType) else constant(type_, 0)


def _declare(builder: Builder, name: str, result: Any, arguments: list[Any]) -> Any:
    module = builder.module
    known = module.globals.get(name)
    return known or ll.Function(module, ll.FunctionType(result, arguments), name)
