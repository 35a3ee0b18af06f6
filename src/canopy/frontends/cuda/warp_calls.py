"""Calls in device code: what the lanes of a warp do together: shuffles, votes, matches, reductions.

A tile of lanes becomes rows of 32, one per warp. Only active lanes take part; where a call names
members, those that are active.
"""

from __future__ import annotations

from canopy import ir
from canopy.errors import UnsupportedError
from canopy.frontends.cuda.call_rules import WARP, calls, in_play, is_true, reduced
from canopy.frontends.cuda.llvm_values import Instruction, Number
from canopy.frontends.cuda.translator import Mask, Translator
from canopy.ir.types import BOOL, I32

__all__: list[str] = []

_EVERY_LANE = -1  # a member mask, as the signed integer that stands in the code


# ---- rows of 32 lanes


def _in_warps(t: Translator, value: ir.Value) -> ir.Value:
    """A tile of lanes as rows of 32; `module` gives whole warps to kernels with warp calls."""
    return t.add(ir.Reshape, source=value, shape=(t.lanes // WARP, WARP))


def _to_lanes(t: Translator, of_warps: ir.Value) -> ir.Value:
    """One value per warp in each of its lanes."""
    column = t.add(ir.ExpandDims, source=of_warps, axis=1)
    rows = t.add(ir.Broadcast, source=column, shape=(t.lanes // WARP, WARP))
    return t.add(ir.Reshape, source=rows, shape=t.shape)


def _lane_bits(t: Translator, rows: ir.Value) -> ir.Value:
    """1 << lane, in rows of i32."""
    lane = t.add(ir.Range, start=0, end=WARP, type=I32)
    bits = t.add(ir.ShiftLeft, lhs=t.constant(1, lane.type), rhs=lane)
    return t.add(ir.Broadcast, source=t.add(ir.ExpandDims, source=bits, axis=0), shape=rows.shape)


def _ballot(t: Translator, holds: ir.Value, mask: Mask) -> ir.Value:
    """The active lanes where a condition holds, as bits, in every lane of the warp."""
    if mask is not None:
        holds = t.add(ir.And, lhs=holds, rhs=mask)
    rows = _in_warps(t, holds)
    bits = _lane_bits(t, rows)
    counted = t.add(ir.Select, condition=rows, if_true=bits, if_false=t.constant(0, bits.type))
    return _to_lanes(t, reduced(t, counted, ir.Or, axis=1))


def _members(t: Translator, i: Instruction, position: int) -> ir.Value | None:
    """The member mask of a call, as a tile; None: every lane."""
    value = i.operands[position]
    if isinstance(value, Number) and int(value.value) in (_EVERY_LANE, 0xFFFFFFFF):
        return None
    return t.operand(value, i, tile=True)


def _among(t: Translator, bits: ir.Value, members: ir.Value | None) -> ir.Value:
    return bits if members is None else t.add(ir.And, lhs=bits, rhs=members)


# ---- votes


@calls("llvm.nvvm.activemask")
def _active_mask(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    return _ballot(t, t.constant(True, t.tile_type(BOOL)), mask)


@calls("llvm.nvvm.vote.ballot.")
def _vote_ballot(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    """llvm.nvvm.vote.ballot.sync(members, condition)."""
    return _among(t, _ballot(t, is_true(t, i, 1), mask), _members(t, i, 0))


@calls("llvm.nvvm.vote.any.", "llvm.nvvm.vote.all.")
def _vote(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    """llvm.nvvm.vote.{any,all}.sync(members, condition)."""
    every, holds, members = ".all." in i.callee, is_true(t, i, 1), _members(t, i, 0)
    if members is None:
        rows = _in_warps(t, in_play(t, holds, mask, every))
        return _to_lanes(t, reduced(t, rows, ir.And if every else ir.Or, axis=1))
    wanted = t.inverted(holds) if every else holds
    found = _among(t, _ballot(t, wanted, mask), members)
    zero = t.constant(0, found.type)
    return t.add(ir.Compare, predicate="eq" if every else "ne", lhs=found, rhs=zero)


@calls("llvm.nvvm.vote.uni.")
def _vote_uniform(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    """llvm.nvvm.vote.uni.sync(members, condition): whether it is equal in all of them."""
    holds, members = is_true(t, i, 1), _members(t, i, 0)
    sides = []
    for condition in (holds, t.inverted(holds)):
        found = _among(t, _ballot(t, condition, mask), members)
        sides.append(t.add(ir.Compare, predicate="eq", lhs=found, rhs=t.constant(0, found.type)))
    return t.add(ir.Or, lhs=sides[0], rhs=sides[1])


@calls("llvm.nvvm.read.ptx.sreg.lanemask.")
def _lane_mask(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    """The bits of this lane (eq), and of those below (lt, le) or above (gt, ge)."""
    index = t.linear_index()
    lane = t.add(ir.And, lhs=index, rhs=t.constant(WARP - 1, index.type))
    own = t.add(ir.ShiftLeft, lhs=t.constant(1, lane.type), rhs=lane)
    below = t.add(ir.Sub, lhs=own, rhs=t.constant(1, own.type))
    kind = i.callee.rsplit(".", 1)[1]
    if kind in ("eq", "lt"):
        return own if kind == "eq" else below
    if kind == "ge":
        return t.add(ir.Xor, lhs=below, rhs=t.constant(-1, below.type))
    up_to = t.add(ir.Or, lhs=below, rhs=own)
    return up_to if kind == "le" else t.add(ir.Xor, lhs=up_to, rhs=t.constant(-1, own.type))


# ---- shuffles


@calls("llvm.nvvm.shfl.sync.")
def _shuffle(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    """llvm.nvvm.shfl.sync.KIND(members, value, argument, control): PTX's shfl, lane by lane.

    Of ``control``, the bits 0 to 4 clamp the source lane, the bits 8 to 12 hold what lanes of one
    segment have in common.
    """
    kind = i.callee.split(".")[4]
    value = t.flat(t.operand(i.operands[1], i, tile=True))
    argument = _five_bits(t, i, 2, shift=0)
    clamp, segment = _five_bits(t, i, 3, shift=0), _five_bits(t, i, 3, shift=8)
    index = t.add(ir.Range, start=0, end=t.lanes, type=I32)
    all_bits = t.constant(WARP - 1, index.type)
    within = t.add(ir.Xor, lhs=segment, rhs=all_bits)
    lane = t.add(ir.And, lhs=index, rhs=all_bits)
    first = t.add(ir.And, lhs=lane, rhs=segment)
    last = t.add(ir.Or, lhs=first, rhs=t.add(ir.And, lhs=clamp, rhs=within))
    if kind == "up":
        source = t.add(ir.Sub, lhs=lane, rhs=argument)
    elif kind == "down":
        source = t.add(ir.Add, lhs=lane, rhs=argument)
    elif kind == "bfly":
        source = t.add(ir.Xor, lhs=lane, rhs=argument)
    else:
        source = t.add(ir.Or, lhs=first, rhs=t.add(ir.And, lhs=argument, rhs=within))
    predicate = "ge" if kind == "up" else "le"
    inside = t.add(ir.Compare, predicate=predicate, lhs=source, rhs=last)
    source = t.add(ir.Select, condition=inside, if_true=source, if_false=lane)
    source = t.add(ir.And, lhs=source, rhs=all_bits)
    return t.from_flat(_gather(t, value, source, index))


def _five_bits(t: Translator, i: Instruction, position: int, shift: int) -> ir.Value:
    """Five bits of an operand, in every lane of the flat tile."""
    value = i.operands[position]
    if isinstance(value, Number):
        bits = (int(value.value) >> shift) & (WARP - 1)
        index = t.add(ir.Range, start=0, end=t.lanes, type=I32)
        return t.constant(bits, index.type)
    wide = t.flat(t.operand(value, i, tile=True))
    if shift:
        wide = t.add(ir.ShiftRight, lhs=wide, rhs=t.constant(shift, wide.type))
    return t.add(ir.And, lhs=wide, rhs=t.constant(WARP - 1, wide.type))


def _gather(t: Translator, value: ir.Value, lane: ir.Value, index: ir.Value) -> ir.Value:
    """value[warp, lane]."""
    rows = (t.lanes // WARP, WARP)
    source = t.add(ir.Reshape, source=value, shape=rows)
    indices = t.add(ir.Reshape, source=lane, shape=rows)
    found = t.add(ir.Gather, source=source, indices=indices, axis=1)
    return t.add(ir.Reshape, source=found, shape=(t.lanes,))


# ---- matches and reductions: every lane looks at every lane of its warp


def _own_and_others(t: Translator, lanes: ir.Value) -> tuple[ir.Value, ir.Value]:
    """A value per lane as (warps, 32, 32), twice: along the looking lane, and the looked-at one."""
    rows = _in_warps(t, lanes)
    cube = (t.lanes // WARP, WARP, WARP)
    own = t.add(ir.Broadcast, source=t.add(ir.ExpandDims, source=rows, axis=2), shape=cube)
    others = t.add(ir.Broadcast, source=t.add(ir.ExpandDims, source=rows, axis=1), shape=cube)
    return own, others


def _other_bits(t: Translator) -> ir.Value:
    """1 << lane of the looked-at lane."""
    cube = (t.lanes // WARP, WARP, WARP)
    lane = t.add(ir.Range, start=0, end=WARP, type=I32)
    bits = t.add(ir.ShiftLeft, lhs=t.constant(1, lane.type), rhs=lane)
    for _ in range(2):
        bits = t.add(ir.ExpandDims, source=bits, axis=0)
    return t.add(ir.Broadcast, source=bits, shape=cube)


def _collected(t: Translator, cube: ir.Value, kind: type[ir.Binary]) -> ir.Value:
    return t.add(ir.Reshape, source=reduced(t, cube, kind, axis=2), shape=t.shape)


@calls("llvm.nvvm.match.any.sync.")
def _match_any(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    """llvm.nvvm.match.any.sync(members, value): the members that hold this lane's value."""
    own, others = _own_and_others(t, t.operand(i.operands[1], i, tile=True))
    same = t.add(ir.Compare, predicate="eq", lhs=own, rhs=others)
    if mask is not None:
        same = t.add(ir.And, lhs=same, rhs=_own_and_others(t, mask)[1])
    bits = _other_bits(t)
    found = t.add(ir.Select, condition=same, if_true=bits, if_false=t.constant(0, bits.type))
    return _among(t, _collected(t, found, ir.Or), _members(t, i, 0))


_REDUCTIONS: dict[str, tuple[type[ir.Binary], int]] = {
    "add": (ir.Add, 0),
    "min": (ir.Min, 0x7FFFFFFF),
    "max": (ir.Max, -0x80000000),
    "umin": (ir.Min, 0xFFFFFFFF),
    "umax": (ir.Max, 0),
    "and": (ir.And, -1),
    "or": (ir.Or, 0),
    "xor": (ir.Xor, 0),
}


@calls("llvm.nvvm.redux.sync.")
def _reduce(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    """llvm.nvvm.redux.sync.KIND(value, members)."""
    name = i.callee.split(".")[4]
    if name not in _REDUCTIONS:
        raise UnsupportedError(
            f"the warp reduction {name} is not supported yet", location=i.location
        )
    kind, neutral = _REDUCTIONS[name]
    value, members = t.operand(i.operands[0], i, tile=True), _members(t, i, 1)
    if name[0] == "u":
        value = t.as_unsigned(value)
    active = in_play(t, value, mask, neutral)
    if members is None:
        found = _to_lanes(t, reduced(t, _in_warps(t, active), kind, axis=1))
    else:
        own, bits = _own_and_others(t, members)[0], _other_bits(t)
        taken = t.add(ir.And, lhs=own, rhs=bits)
        taken = t.add(ir.Compare, predicate="ne", lhs=taken, rhs=t.constant(0, taken.type))
        others = _own_and_others(t, active)[1]
        none = t.constant(neutral, others.type)
        chosen = t.add(ir.Select, condition=taken, if_true=others, if_false=none)
        found = _collected(t, chosen, kind)
    return t.add(ir.Bitcast, source=found, type=I32) if name[0] == "u" else found
