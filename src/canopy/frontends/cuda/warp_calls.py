"""Calls in device code: shuffles and votes of a warp."""

from __future__ import annotations

from canopy import ir
from canopy.errors import UnsupportedError
from canopy.frontends.cuda.call_rules import WARP, calls, in_play, is_true, reduced
from canopy.frontends.cuda.llvm_values import Instruction, Number
from canopy.frontends.cuda.translator import Mask, Translator
from canopy.ir.types import I32

__all__: list[str] = []


def _in_warps(t: Translator, value: ir.Value, i: Instruction) -> ir.Value:
    """A tile of lanes as rows of 32."""
    if t.lanes % WARP:
        raise UnsupportedError(
            f"votes in a block of {t.lanes} threads, which is not a multiple of {WARP}, "
            "are not supported yet",
            location=i.location,
        )
    return t.add(ir.Reshape, source=value, shape=(t.lanes // WARP, WARP))


@calls("llvm.nvvm.shfl.sync.")
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


@calls("llvm.nvvm.vote.")
def _vote(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    """llvm.nvvm.vote.{any,all,ballot}.sync(members, condition)."""
    kind = i.callee.split(".")[3]
    holds = is_true(t, i, 1)
    if kind == "ballot":
        counted = in_play(t, t.add(ir.Cast, source=holds, type=I32), mask, 0)
        rows = _in_warps(t, counted, i)
        lane = t.add(ir.Range, start=0, end=WARP, type=I32)
        lane = t.add(ir.ExpandDims, source=lane, axis=0)
        lane = t.add(ir.Broadcast, source=lane, shape=rows.shape)
        bits = t.add(ir.ShiftLeft, lhs=rows, rhs=lane)
        return _to_lanes(t, reduced(t, bits, ir.Or, axis=1))
    if kind not in ("any", "all"):
        raise UnsupportedError(f"the warp vote {kind} is not supported yet", location=i.location)
    every = kind == "all"
    rows = _in_warps(t, in_play(t, holds, mask, every), i)
    return _to_lanes(t, reduced(t, rows, ir.And if every else ir.Or, axis=1))


def _to_lanes(t: Translator, of_warps: ir.Value) -> ir.Value:
    """One value per warp in each of its lanes."""
    column = t.add(ir.ExpandDims, source=of_warps, axis=1)
    rows = t.add(ir.Broadcast, source=column, shape=(t.lanes // WARP, WARP))
    return t.add(ir.Reshape, source=rows, shape=t.shape)
