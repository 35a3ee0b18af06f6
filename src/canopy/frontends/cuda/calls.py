"""Calls in device code: the thread's place, barriers, warp operations, memory, mathematics."""

from __future__ import annotations

from collections.abc import Callable

from canopy import ir
from canopy.errors import UnsupportedError
from canopy.frontends.cuda.llvm_values import Instruction, Number
from canopy.frontends.cuda.translator import Mask, Translator
from canopy.ir.math import FUNCTIONS
from canopy.ir.types import BOOL, I8, I16, I32, I64, element_type, unsigned

__all__ = ["translate_call"]

WARP = 32
Rule = Callable[[Translator, Instruction, Mask], "ir.Value | None"]


def translate_call(t: Translator, i: Instruction, mask: Mask) -> ir.Value | None:
    """Appends the ops of one call and returns its value."""
    for prefix, rule in _RULES.items():
        if i.callee.startswith(prefix):
            return rule(t, i, mask)
    name = _math_name(i.callee)
    if name in FUNCTIONS:
        return t.add(ir.MathCall, function=name, arguments=tuple(_arguments(t, i)))
    raise UnsupportedError(
        f"the device function {i.callee or 'called through a pointer'} is not supported yet",
        location=i.location,
    )


def _arguments(t: Translator, i: Instruction) -> list[ir.Value]:
    divergent = i in t.uniformity.divergent_values
    return [t.operand(o, i, tile=divergent) for o in i.operands]


# ---- the thread's place


def _place(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    _, register, axis_name = i.callee.rsplit(".", 2)
    axis = "xyz".index(axis_name)
    if register == "tid":
        return t.thread_index(axis)
    if register == "ctaid":
        return t.add(ir.ProgramId, axis=axis)
    if register == "nctaid":
        return t.add(ir.NumPrograms, axis=axis)
    return t.block_extent(axis)


def _warp_size(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    return t.constant(WARP, I32)


def _lane_id(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    index = t.linear_index()
    return t.add(ir.And, lhs=index, rhs=t.constant(WARP - 1, index.type))


# ---- barriers


def _barrier(t: Translator, i: Instruction, mask: Mask) -> None:
    t.builder.effect(ir.Barrier)


def _nothing(t: Translator, i: Instruction, mask: Mask) -> None:
    """Lanes of a warp move together, and a program's memory operations happen in order."""


def _barrier_vote(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    """__syncthreads_count, _and, _or: a barrier that counts or combines a condition."""
    t.builder.effect(ir.Barrier)
    holds = _holds(t, i, len(i.operands) - 1)
    if ".popc" in i.callee:
        counted = _in_play(t, t.add(ir.Cast, source=holds, type=I32), mask, 0)
        return _reduced(t, t.flat(counted), ir.Add, axis=0)
    every = ".and" in i.callee
    kind: type[ir.Binary] = ir.And if every else ir.Or
    found = _reduced(t, t.flat(_in_play(t, holds, mask, every)), kind, axis=0)
    return (
        found
        if element_type(t.variable_type(i)) is BOOL
        else t.add(ir.Cast, source=found, type=I32)
    )


def _holds(t: Translator, i: Instruction, position: int) -> ir.Value:
    condition = t.operand(i.operands[position], i, tile=True)
    if element_type(condition.type) is BOOL:
        return condition
    return t.add(ir.Compare, predicate="ne", lhs=condition, rhs=t.constant(0, condition.type))


def _in_play(t: Translator, value: ir.Value, mask: Mask, neutral: int | bool) -> ir.Value:
    """``value`` of the active threads, and ``neutral`` of the others."""
    if mask is None:
        return value
    other = t.constant(neutral, value.type)
    return t.add(ir.Select, condition=mask, if_true=value, if_false=other)


def _reduced(t: Translator, source: ir.Value, kind: type[ir.Binary], axis: int) -> ir.Value:
    element = element_type(source.type)
    lhs, rhs = ir.Value(element), ir.Value(element)
    op = kind(lhs=lhs, rhs=rhs, location=t.builder.location)
    end = ir.Yield(values=op.results, location=t.builder.location)
    combine = ir.Region((lhs, rhs), [op, end])
    return t.add(ir.Reduce, sources=(source,), axis=axis, combine=combine)


# ---- warps


def _in_warps(t: Translator, value: ir.Value, i: Instruction) -> ir.Value:
    """A tile of lanes as rows of 32."""
    if t.lanes % WARP:
        raise UnsupportedError(
            f"votes in a block of {t.lanes} threads, which is not a multiple of {WARP}, "
            "are not supported yet",
            location=i.location,
        )
    return t.add(ir.Reshape, source=value, shape=(t.lanes // WARP, WARP))


def _shuffle(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    """llvm.nvvm.shfl.sync.KIND(members, value, argument, clamp): PTX's shfl, lane by lane."""
    kind = i.callee.split(".")[4]
    value = t.flat(t.operand(i.operands[1], i, tile=True))
    argument = t.flat(t.operand(i.operands[2], i, tile=True))
    control = i.operands[3]
    if not isinstance(control, Number):
        raise UnsupportedError("the width of a shuffle must be a constant", location=i.location)
    segment = (int(control.value) >> 8) & (WARP - 1)
    clamp = int(control.value) & (WARP - 1)
    type_ = argument.type

    def number(n: int) -> ir.Value:
        return t.constant(n, type_)

    index = t.add(ir.Range, start=0, end=t.lanes, type=I32)
    lane = t.add(ir.And, lhs=index, rhs=number(WARP - 1))
    first = t.add(ir.And, lhs=lane, rhs=number(segment))
    last = t.add(ir.Or, lhs=first, rhs=number(clamp & ~segment))
    if kind == "up":
        source = t.add(ir.Sub, lhs=lane, rhs=argument)
        inside = t.add(ir.Compare, predicate="ge", lhs=source, rhs=last)
    elif kind == "down":
        source = t.add(ir.Add, lhs=lane, rhs=argument)
        inside = t.add(ir.Compare, predicate="le", lhs=source, rhs=last)
    elif kind == "bfly":
        source = t.add(ir.Xor, lhs=lane, rhs=argument)
        inside = t.add(ir.Compare, predicate="le", lhs=source, rhs=last)
    else:
        within = t.add(ir.And, lhs=argument, rhs=number(~segment & (WARP - 1)))
        source = t.add(ir.Or, lhs=first, rhs=within)
        inside = t.add(ir.Compare, predicate="le", lhs=source, rhs=last)
    source = t.add(ir.Select, condition=inside, if_true=source, if_false=lane)
    source = t.add(ir.And, lhs=source, rhs=number(WARP - 1))
    return t.from_flat(_gather(t, value, source, index))


def _gather(t: Translator, value: ir.Value, lane: ir.Value, index: ir.Value) -> ir.Value:
    """value[warp, lane]; in a block whose last warp is partial, over the flat lanes."""
    if t.lanes % WARP == 0:
        rows = (t.lanes // WARP, WARP)
        source = t.add(ir.Reshape, source=value, shape=rows)
        indices = t.add(ir.Reshape, source=lane, shape=rows)
        found = t.add(ir.Gather, source=source, indices=indices, axis=1)
        return t.add(ir.Reshape, source=found, shape=(t.lanes,))
    warp = t.add(ir.And, lhs=index, rhs=t.constant(~(WARP - 1), index.type))
    place = t.add(ir.Or, lhs=warp, rhs=lane)
    place = t.add(ir.Min, lhs=place, rhs=t.constant(t.lanes - 1, index.type))
    return t.add(ir.Gather, source=value, indices=place, axis=0)


def _vote(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    """llvm.nvvm.vote.{any,all,ballot}.sync(members, condition)."""
    kind = i.callee.split(".")[3]
    holds = _holds(t, i, 1)
    if kind == "ballot":
        counted = _in_play(t, t.add(ir.Cast, source=holds, type=I32), mask, 0)
        rows = _in_warps(t, counted, i)
        lane = t.add(ir.Range, start=0, end=WARP, type=I32)
        lane = t.add(ir.ExpandDims, source=lane, axis=0)
        lane = t.add(ir.Broadcast, source=lane, shape=rows.shape)
        bits = t.add(ir.ShiftLeft, lhs=rows, rhs=lane)
        return _to_lanes(t, _reduced(t, bits, ir.Or, axis=1))
    if kind not in ("any", "all"):
        raise UnsupportedError(f"the warp vote {kind} is not supported yet", location=i.location)
    every = kind == "all"
    rows = _in_warps(t, _in_play(t, holds, mask, every), i)
    return _to_lanes(t, _reduced(t, rows, ir.And if every else ir.Or, axis=1))


def _to_lanes(t: Translator, of_warps: ir.Value) -> ir.Value:
    """One value per warp in each of its lanes."""
    column = t.add(ir.ExpandDims, source=of_warps, axis=1)
    rows = t.add(ir.Broadcast, source=column, shape=(t.lanes // WARP, WARP))
    return t.add(ir.Reshape, source=rows, shape=t.shape)


# ---- memory blocks

_UNROLLED_BYTES = 64


def _memory_block(t: Translator, i: Instruction, mask: Mask) -> None:
    """memset, memcpy and memmove: small constant sizes at once, others in a loop."""
    target = t.operand(i.operands[0], i, tile=True)
    content = t.operand(i.operands[1], i, tile=True)
    size = i.operands[2]
    is_set, may_overlap = "memset" in i.callee, "memmove" in i.callee
    if isinstance(size, Number) and size.value <= _UNROLLED_BYTES:
        _copy_at_once(t, target, content, int(size.value), is_set, mask)
        return
    if may_overlap and not isinstance(size, Number):
        raise UnsupportedError(
            "memmove of a size known at run time is not supported yet", location=i.location
        )
    if may_overlap:  # what lies behind is not overwritten before it is read
        _copy_at_once(t, target, content, int(size.value), is_set, mask)  # type: ignore[attr-defined]
        return
    _copy_in_loop(t, i, target, content, mask)


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
        limit = _reduced(t, t.flat(_in_play(t, size, mask, 0)), ir.Max, axis=0)
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


# ---- mathematics


def _fused(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    a, b, c = _arguments(t, i)
    return t.add(ir.Fma, a=a, b=b, c=c)


def _extreme(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    lhs, rhs = _arguments(t, i)
    return t.add(ir.Min if "min" in i.callee else ir.Max, lhs=lhs, rhs=rhs)


def _unsigned_extreme(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    lhs, rhs = _arguments(t, i)
    element = element_type(lhs.type)
    to = unsigned(element)
    sides = {
        "lhs": t.add(ir.Bitcast, source=lhs, type=to),
        "rhs": t.add(ir.Bitcast, source=rhs, type=to),
    }
    made = t.add(ir.Min if "umin" in i.callee else ir.Max, **sides)
    return t.add(ir.Bitcast, source=made, type=element)


def _count_bits(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    name = {"ctpop": "popcount", "ctlz": "clz", "cttz": "ctz"}[i.callee.split(".")[1]]
    return t.add(ir.MathCall, function=name, arguments=(_arguments(t, i)[0],))


def _math_name(callee: str) -> str:
    """The IR's name of a C or LLVM mathematical function."""
    name = callee.split(".")[1] if callee.startswith("llvm.") else callee
    if callee.startswith("llvm."):
        return {"fabs": "abs"}.get(name, name)
    if name not in FUNCTIONS and name.endswith("f"):
        name = name[:-1]
    return {"fabs": "abs"}.get(name, name)


_RULES: dict[str, Rule] = {
    "llvm.nvvm.read.ptx.sreg.warpsize": _warp_size,
    "llvm.nvvm.read.ptx.sreg.laneid": _lane_id,
    "llvm.nvvm.read.ptx.sreg.": _place,
    "llvm.nvvm.barrier.cta.sync": _barrier,
    "llvm.nvvm.barrier0.": _barrier_vote,
    "llvm.nvvm.barrier.cta.red.": _barrier_vote,
    "llvm.nvvm.barrier0": _barrier,
    "llvm.nvvm.bar.warp.sync": _nothing,
    "llvm.nvvm.membar.": _nothing,
    "llvm.lifetime.": _nothing,
    "llvm.assume": _nothing,
    "llvm.nvvm.shfl.sync.": _shuffle,
    "llvm.nvvm.vote.": _vote,
    "llvm.memset.": _memory_block,
    "llvm.memcpy.": _memory_block,
    "llvm.memmove.": _memory_block,
    "llvm.fma.": _fused,
    "llvm.fmuladd.": _fused,
    "llvm.minnum.": _extreme,
    "llvm.maxnum.": _extreme,
    "llvm.smin.": _extreme,
    "llvm.smax.": _extreme,
    "llvm.umin.": _unsigned_extreme,
    "llvm.umax.": _unsigned_extreme,
    "llvm.ctpop.": _count_bits,
    "llvm.ctlz.": _count_bits,
    "llvm.cttz.": _count_bits,
    "fmin": _extreme,
    "fmax": _extreme,
}
