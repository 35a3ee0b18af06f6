"""Calls in device code: memset, memcpy and memmove, and addresses of shared memory."""

from __future__ import annotations

from canopy import ir
from canopy.frontends.cuda.call_rules import arguments, calls, in_play, reduced
from canopy.frontends.cuda.checks import READ, WRITE, check_access
from canopy.frontends.cuda.llvm_values import Instruction, Number
from canopy.frontends.cuda.native_calls import as_generic, call_native
from canopy.frontends.cuda.translator import Mask, Translator
from canopy.ir.types import I8, I16, I32, I64, PTR, element_type

__all__ = ["SHARED_ADDRESSES"]

SHARED_ADDRESSES = ("__canopy_to_shared", "__canopy_from_shared")

_UNROLLED_BYTES = 64


@calls("llvm.memset.", "llvm.memcpy.", "llvm.memmove.")
def _memory_block(t: Translator, i: Instruction, mask: Mask) -> None:
    """memset, memcpy and memmove: small constant sizes at once, others in a loop."""
    target = t.operand(i.operands[0], i, tile=True)
    content = t.operand(i.operands[1], i, tile=True)
    size = i.operands[2]
    _check(t, i, target, content, mask)
    is_set, may_overlap = "memset" in i.callee, "memmove" in i.callee
    if isinstance(size, Number) and size.value <= _UNROLLED_BYTES:
        _copy_at_once(t, target, content, int(size.value), is_set, mask)
        return
    if may_overlap:
        pointers = [as_generic(t, value) for value in (target, content)]
        bytes_ = t.operand(size, i)
        wide = bytes_ if element_type(bytes_.type) is I64 else _widened(t, bytes_)
        call_native(t, "canopy_cuda_memmove", [*pointers, wide], mask, I32)
        return
    _copy_in_loop(t, i, target, content, mask)


def _check(t: Translator, i: Instruction, target: ir.Value, content: ir.Value, mask: Mask) -> None:
    if t.checks is None:
        return
    size = t.operand(i.operands[2], i)
    bytes_ = size if element_type(size.type) is I64 else _widened(t, size)
    if "memset" not in i.callee:
        check_access(t, content, bytes_, mask, READ)
    check_access(t, target, bytes_, mask, WRITE)


def _copy_at_once(
    t: Translator, target: ir.Value, content: ir.Value, size: int, is_set: bool, mask: Mask
) -> None:
    """Reads everything, then writes: whole words, then what is left."""
    pieces, offset = [], 0
    while offset < size:
        bytes_ = next(n for n in (8, 4, 2, 1) if n <= size - offset)
        type_ = _WORDS[bytes_]
        if is_set:
            value = _repeated(t, content, bytes_)
        else:
            value = t.add(ir.Load, pointer=t.advanced(content, offset), mask=mask, type=type_)
        pieces.append((offset, value))
        offset += bytes_
    for offset, value in pieces:
        t.builder.effect(ir.Store, pointer=t.advanced(target, offset), value=value, mask=mask)


_WORDS = {1: I8, 2: I16, 4: I32, 8: I64}


def _repeated(t: Translator, byte: ir.Value, bytes_: int) -> ir.Value:
    if bytes_ == 1:
        return byte
    type_ = _WORDS[bytes_]
    wide = t.add(ir.Cast, source=t.as_unsigned(byte), type=type_)
    ones = int.from_bytes(b"\1" * bytes_, "little")
    return t.add(ir.Mul, lhs=wide, rhs=t.constant(ones, wide.type))


def _copy_in_loop(
    t: Translator, i: Instruction, target: ir.Value, content: ir.Value, mask: Mask
) -> None:
    size = t.operand(i.operands[2], i)
    is_set = "memset" in i.callee
    constant = int(i.operands[2].value) if isinstance(i.operands[2], Number) else 1
    bytes_ = next(n for n in (8, 4, 2, 1) if constant % n == 0)
    limit = size
    if size.is_tile:  # as many trips as the thread that copies most
        limit = reduced(t, t.flat(in_play(t, size, mask, 0)), ir.Max, axis=0)
    limit = t.coerced(limit, I64) if element_type(limit.type) is I64 else _widened(t, limit)
    index = ir.Value(I64)
    body = ir.Region((index,))
    outer, t.builder.region = t.builder.region, body
    saved, t.env = t.env, dict(t.env)
    at = t.as_tile(index)
    going = mask
    if size.is_tile:
        wide = size if element_type(size.type) is I64 else _widened(t, size)
        going = t.both(mask, t.add(ir.Compare, predicate="lt", lhs=at, rhs=wide))
    value = _repeated(t, content, bytes_) if is_set else None
    if value is None:
        place = t.add(ir.Offset, pointer=content, index=at, scale=1)
        value = t.add(ir.Load, pointer=place, mask=going, type=_WORDS[bytes_])
    place = t.add(ir.Offset, pointer=target, index=at, scale=1)
    t.builder.effect(ir.Store, pointer=place, value=value, mask=going)
    body.ops.append(ir.Yield(values=(), location=i.location))
    t.builder.region, t.env = outer, saved
    t.builder.effect(
        ir.For,
        lower=t.constant(0, I64),
        upper=limit,
        step=t.constant(bytes_, I64),
        initial=(),
        body=body,
    )


def _widened(t: Translator, size: ir.Value) -> ir.Value:
    return t.add(ir.Cast, source=t.as_unsigned(size), type=I64)


# ---- addresses of shared memory: distances from one place in it, so that 32 bits hold them


def _shared_base(t: Translator, like: ir.Value) -> ir.Value:
    base = t.bitcast(t.env["shared base"], I64)
    return t.as_tile(base) if like.is_tile else base


@calls("__canopy_to_shared")
def _to_shared(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    (pointer,) = arguments(t, i)
    return t.add(ir.Sub, lhs=t.bitcast(pointer, I64), rhs=_shared_base(t, pointer))


@calls("__canopy_from_shared")
def _from_shared(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    (distance,) = arguments(t, i)
    return t.bitcast(t.add(ir.Add, lhs=distance, rhs=_shared_base(t, distance)), PTR)
