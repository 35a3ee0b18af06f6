"""Where the threads of a kernel wait for each other, and how finely it must be run for that.

A block runs as one program whose threads move together. That cannot go on where one warp waits for
what another one of its block is still to write, or where warps part at barriers; then each warp
runs as a program of its own, a member of its block, and where even the lanes of a warp wait for
each other, each thread.
"""

from __future__ import annotations

from collections.abc import Iterator

from canopy.frontends.cuda.cfg import ControlFlow, Loop
from canopy.frontends.cuda.in_step import exchanges_in_step
from canopy.frontends.cuda.llvm_types import PtrType
from canopy.frontends.cuda.llvm_values import (
    Block,
    ConstantExpression,
    Instruction,
    LlvmValue,
    Number,
)
from canopy.frontends.cuda.uniformity import Uniformity

__all__ = ["WARP_WIDE", "Waits", "is_block_barrier", "is_named_barrier"]

WARP = 32
WARP_WIDE = (
    "llvm.nvvm.vote.",
    "llvm.nvvm.match.",
    "llvm.nvvm.redux.",
    "llvm.nvvm.activemask",
    "llvm.nvvm.shfl.",
)
_BLOCK_BARRIERS = ("llvm.nvvm.barrier0", "llvm.nvvm.barrier.cta.")
_PLACE = tuple(
    f"llvm.nvvm.read.ptx.sreg.{name}"
    for name in ("tid", "ntid", "ctaid", "nctaid", "laneid", "warpid")
)
_INDICES = ("llvm.nvvm.read.ptx.sreg.tid.", "llvm.nvvm.read.ptx.sreg.laneid")
_PLANAR = ("llvm.nvvm.read.ptx.sreg.tid.y", "llvm.nvvm.read.ptx.sreg.tid.z")
# Atomic operations after which memory may hold what it held before.
_IDEMPOTENT = frozenset({"xchg", "and", "or", "max", "min", "umax", "umin", "fmax", "fmin"})
_POINTER_MOVES = frozenset({"getelementptr", "addrspacecast"})
_ACCESSES = frozenset({"load", "store", "atomicrmw", "cmpxchg"})


class Waits:
    """``loops`` that wait for what other threads write; ``uneven``: barriers that some threads of
    a block may pass more often than others; ``grain``: threads per program, 0 for a whole block."""

    def __init__(self, flow: ControlFlow, uniformity: Uniformity) -> None:
        self._flow = flow
        self._uniformity = uniformity
        self.loops = {loop for loop in flow.loops.values() if self._waits(loop)}
        self.uneven = self._uneven_barriers()
        self.grain = self._grain()

    def _grain(self) -> int:
        calls = [i for b in self._flow.order for i in b.instructions if i.callee]
        is_wide = any(i.callee.startswith(WARP_WIDE) for i in calls)
        within = [loop for loop in self.loops if not _barriers_in(loop.blocks)]
        if not is_wide and any(map(self._has_several_lanes, within)) and not self._in_step():
            return 1
        names_barriers = any(is_named_barrier(i) for i in calls)
        is_between_blocks = all(map(self._waits_for_other_blocks, within))
        return 0 if is_between_blocks and not self.uneven and not names_barriers else WARP

    def _in_step(self) -> bool:
        return exchanges_in_step(self._flow, self._uniformity, _is_of_block, _is_same)

    # ---- loops that wait

    def _waits(self, loop: Loop) -> bool:
        """Whether a trip may change nothing, so that only others can end the loop: an exit depends
        on what is read at an address that may be the same in the next trip. Where the block meets
        in each trip, only other blocks can be waited for."""
        inside = [i for b in self._flow.order if b in loop.blocks for i in b.instructions]
        if any(i.callee == "canopy_grid_sync" for i in inside):
            return False
        repeating = _Repeating(loop)
        polls = [i for i in inside if _reads_shared_state(i) and repeating.is_poll(i)]
        if _barriers_in(loop.blocks):
            polls = [i for i in polls if not _is_of_block(_pointer(i))]
        polls = [i for i in polls if not _is_released(i, inside)]
        exits = {source for source, _ in loop.exit_edges}
        conditions = [o for block in exits for o in block.terminator.operands]
        return bool(polls) and any(_depends(c, set(polls), loop) for c in conditions)

    def _has_several_lanes(self, loop: Loop) -> bool:
        """Whether several lanes of a warp may be in a loop and leave it at different times."""
        if loop not in self._uniformity.divergent_loops:
            return False
        return not any(self._picks_one_lane(b, loop.header) for b in self._dominators(loop.header))

    def _dominators(self, block: Block) -> Iterator[Block]:
        above = self._flow.idom[block]
        while above is not None:
            yield above
            above = self._flow.idom[above]

    def _picks_one_lane(self, branch: Block, below: Block) -> bool:
        """Whether a thread comes from ``branch`` to ``below`` only if its index has some value."""
        found = self._test_above(branch, below)
        return found is not None and any(_is_thread_index(o) for o in found[0].operands)

    def _test_above(self, branch: Block, below: Block) -> tuple[Instruction, Block] | None:
        """The comparison for equality in ``branch`` that holds in ``below``, and the block that
        threads go to for which it does."""
        if branch not in self._uniformity.divergent_branches:
            return None
        on_true, on_false = branch.successors
        condition = branch.terminator.operands[0]
        if not isinstance(condition, Instruction) or condition.opcode != "icmp":
            return None
        if condition.predicate not in ("eq", "ne"):
            return None
        side = on_true if condition.predicate == "eq" else on_false
        flow = self._flow
        entering = [b for b in flow.predecessors[side] if not flow.is_back_edge(b, side)]
        if entering != [branch] or not flow.dominates(side, below):
            return None
        return condition, side

    def _waits_for_other_blocks(self, loop: Loop) -> bool:
        """Whether one thread of the block waits, and the others write nothing until they meet it at
        a barrier: then it cannot be waiting for them."""
        if any(i.callee in _PLANAR for b in self._flow.order for i in b.instructions):
            return False
        for branch in self._dominators(loop.header):
            found = self._test_above(branch, loop.header)
            if found is None or not any(map(_is_thread_x, found[0].operands)):
                continue
            others = [s for s in branch.successors if s is not found[1]]
            return not any(map(_writes, self._until_barrier(others, found[1])))
        return False

    def _until_barrier(self, start: list[Block], excluded: Block) -> Iterator[Instruction]:
        """What threads that go to ``start`` do up to their next barrier, by ways that do not pass
        ``excluded``."""
        seen: set[Block] = {excluded}
        work = list(start)
        while work:
            block = work.pop()
            if block in seen:
                continue
            seen.add(block)
            for instruction in block.instructions:
                if is_block_barrier(instruction):
                    break
                yield instruction
            else:
                work.extend(block.successors)

    # ---- barriers that threads pass unevenly

    def _uneven_barriers(self) -> set[Instruction]:
        found: set[Instruction] = set()
        for branch in self._uniformity.divergent_branches:
            found |= self._uneven_at(branch)
        return found

    def _uneven_at(self, branch: Block) -> set[Instruction]:
        """Barriers between a branch where threads part and the place where all meet again, unless
        those who take another way meet no barrier any more."""
        rejoin = self.rejoin(branch)
        sides = [self._reached(s, rejoin) for s in dict.fromkeys(branch.successors)]
        barriers = [
            {i for b in side for i in b.instructions if is_block_barrier(i)} for side in sides
        ]
        between = set().union(*barriers)
        if not between:
            return between
        behind = self._reached(rejoin, None) if rejoin else set()
        meets_later = any(is_block_barrier(i) for b in behind for i in b.instructions)
        return between if meets_later or all(barriers) else set()

    def rejoin(self, branch: Block) -> Block | None:
        """Where all threads meet again that part at a branch; None: nowhere. Threads that trap meet
        nobody."""
        later = self._flow.postdom_of_returning
        after = later[branch] - {branch}
        return min(after, key=lambda b: -len(later[b]), default=None)

    def _reached(self, start: Block, end: Block | None) -> set[Block]:
        """The blocks on the ways from ``start``, up to ``end``."""
        seen: set[Block] = set()
        work = [start]
        while work:
            block = work.pop()
            if block is not end and block not in seen:
                seen.add(block)
                work.extend(block.successors)
        return seen


class _Repeating:
    """Values of a loop that may be the same in its next trip."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def is_poll(self, access: Instruction) -> bool:
        """Whether an access may repeat itself without any effect."""
        pointer, *operands = access.operands
        if not self.may_repeat(pointer, with_loads=True):
            return False
        if access.opcode == "load":
            return True
        if access.opcode == "cmpxchg":
            return self.may_repeat(operands[0])
        kind, value = _atomic_kind(access), operands[0]
        adds_nothing = isinstance(value, Number) and value.value == 0
        repeats = kind in _IDEMPOTENT or (adds_nothing and kind in ("add", "sub", "xor"))
        return repeats and self.may_repeat(value)

    def may_repeat(
        self,
        value: LlvmValue,
        with_loads: bool = False,
        seen: frozenset[LlvmValue] = frozenset(),
    ) -> bool:
        """``with_loads``: what is read at one address counts as the same."""
        if not isinstance(value, Instruction) or value.block not in self._loop.blocks:
            return True
        if value in seen:
            return False
        if value.opcode == "phi" and value.block is self._loop.header:
            return any(_may_be(o, value, self._loop, frozenset()) for o in self._carried(value))
        if value.opcode in ("atomicrmw", "cmpxchg") or (value.opcode == "load" and not with_loads):
            return False
        if value.opcode == "call" and not value.callee.startswith(_PLACE):
            return False
        combine = any if value.opcode == "phi" else all
        return combine(self.may_repeat(o, with_loads, seen | {value}) for o in value.operands)

    def _carried(self, phi: Instruction) -> list[LlvmValue]:
        arriving = zip(phi.operands, phi.incoming, strict=True)
        return [o for o, block in arriving if block in self._loop.blocks]


def _may_be(value: LlvmValue, phi: Instruction, loop: Loop, seen: frozenset[LlvmValue]) -> bool:
    """Whether ``value``, which a trip gives to ``phi``, may be what it was."""
    if value is phi or not isinstance(value, Instruction) or value.block not in loop.blocks:
        return True
    if value in seen:
        return False
    if value.opcode not in ("phi", "select", "freeze"):
        return False
    operands = value.operands[1:] if value.opcode == "select" else value.operands
    return any(_may_be(o, phi, loop, seen | {value}) for o in operands)


def _depends(value: LlvmValue, sources: set[Instruction], loop: Loop) -> bool:
    """Whether a value of a loop is computed from ``sources``, or chosen by them."""
    seen: set[LlvmValue] = set()
    work = [value]
    while work:
        one = work.pop()
        if one in seen or not isinstance(one, Instruction) or one.block not in loop.blocks:
            continue
        if one in sources:
            return True
        seen.add(one)
        work.extend(one.operands)
        if one.opcode == "phi" and _Repeating(loop).may_repeat(one):
            choices = (b for b in loop.blocks if len(b.successors) > 1)
            work.extend(o for b in choices for o in b.terminator.operands)
    return False


def _reads_shared_state(i: Instruction) -> bool:
    if i.opcode == "load":
        return " volatile " in i.text or " atomic " in i.text
    return i.opcode in ("atomicrmw", "cmpxchg")


def _is_released(poll: Instruction, inside: list[Instruction]) -> bool:
    """Whether a lock that the loop takes is given back in it: then somebody always goes on."""
    if poll.opcode == "load":
        return False
    writes = [i for i in inside if i is not poll and i.opcode in _ACCESSES - {"load"}]
    return any(_is_same(_pointer(poll), _pointer(i)) for i in writes)


def _pointer(access: Instruction) -> LlvmValue:
    return access.operands[1 if access.opcode == "store" else 0]


def _is_of_block(pointer: LlvmValue) -> bool:
    """Whether a pointer is seen to point into shared memory."""
    if isinstance(pointer.type, PtrType) and pointer.type.space == 3:
        return True
    if isinstance(pointer, ConstantExpression):
        return _is_of_block(pointer.operands[0])
    if not isinstance(pointer, Instruction) or pointer.opcode not in _POINTER_MOVES:
        return False
    return _is_of_block(pointer.operands[0])


def _is_same(one: LlvmValue, other: LlvmValue) -> bool:
    """Whether two values are computed alike."""
    if one is other:
        return True
    if isinstance(one, Number) and isinstance(other, Number):
        return one.value == other.value and one.type == other.type
    if not isinstance(one, Instruction) or not isinstance(other, Instruction):
        return False
    if one.opcode != other.opcode or one.opcode in ("phi", "call") or one.opcode in _ACCESSES:
        return False
    if len(one.operands) != len(other.operands):
        return False
    return all(_is_same(a, b) for a, b in zip(one.operands, other.operands, strict=True))


def _atomic_kind(i: Instruction) -> str:
    return i.text.replace("volatile ", "").split("atomicrmw ", 1)[1].split()[0]


def is_block_barrier(i: Instruction) -> bool:
    return i.callee.startswith(_BLOCK_BARRIERS)


def _barriers_in(blocks: set[Block]) -> set[Instruction]:
    return {i for block in blocks for i in block.instructions if is_block_barrier(i)}


def is_named_barrier(i: Instruction) -> bool:
    """A barrier of some warps of the block, or one beside the barrier of all."""
    if not i.callee.startswith("llvm.nvvm.barrier.cta."):
        return False
    is_plain = i.callee.endswith(".all") and ".arrive" not in i.callee
    return not (is_plain and isinstance(i.operands[0], Number) and i.operands[0].value == 0)


def _writes(i: Instruction) -> bool:
    """Whether others may see what an instruction does."""
    if i.opcode == "call":
        return not i.callee.startswith("llvm.")
    return i.opcode in ("store", "atomicrmw", "cmpxchg")


def _is_thread_x(value: LlvmValue) -> bool:
    return isinstance(value, Instruction) and value.callee == "llvm.nvvm.read.ptx.sreg.tid.x"


def _is_thread_index(value: LlvmValue) -> bool:
    """threadIdx, or a number made of it and constants."""
    while isinstance(value, Instruction) and value.opcode != "call":
        moving = [o for o in value.operands if isinstance(o, Instruction)]
        if len(moving) != 1 or value.opcode in (*_ACCESSES, "phi"):
            return False
        value = moving[0]
    return isinstance(value, Instruction) and value.callee.startswith(_INDICES)
