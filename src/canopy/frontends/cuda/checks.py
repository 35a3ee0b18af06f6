"""Checked kernels (`--check`): what they tell the runtime before each access and at each barrier.

Before every load, store and atomic stands a call of the runtime with the addresses of its active
threads and the place in the source; around barriers stand calls that say who is ordered with whom
(`runtime/native/cuda/check.h`). A kernel that is not checked has none of it.

    load %p, mask=%m     ->     native_call "canopy_check_access", [%p, ...], %m, text="k.cu:7"
                                load %p, mask=%m
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from canopy import ir
from canopy.errors import Location
from canopy.frontends.cuda.cfg import ControlFlow
from canopy.frontends.cuda.llvm_values import Block, Instruction
from canopy.frontends.cuda.returned import not_returned, only_returns
from canopy.frontends.cuda.translator import Mask, Translator
from canopy.frontends.cuda.waits import is_block_barrier, is_named_barrier
from canopy.ir.types import BOOL, I8, I32, I64, PTR, SHARED_PTR, element_type

__all__ = [
    "ARGUMENT",
    "ATOMIC",
    "LOCAL",
    "READ",
    "SHARED",
    "WRITE",
    "Checks",
    "check_access",
    "check_array",
    "check_barrier",
    "check_enter",
    "check_fence",
    "check_grid_barrier",
    "check_instruction",
    "check_meeting",
    "check_together",
    "check_warp",
    "shared_name",
]

# The flags and kinds of check.h.
READ, WRITE, ATOMIC, VOLATILE, _HAS_VALUE = 0, 1, 3, 4, 8
ARGUMENT, SHARED, LOCAL = 6, 7, 8

_ALIGNMENT = re.compile(r", align (\d+)")
_MOST_BARRIERS = 63
_WARP_WIDE = (
    "llvm.nvvm.bar.warp.sync",
    "llvm.nvvm.shfl.sync.",
    "llvm.nvvm.vote.",
    "llvm.nvvm.match.",
    "llvm.nvvm.redux.",
)


@dataclass
class Checks:
    """What a checked kernel keeps while it is translated: its control flow, with which threads
    each block and each loop of it was entered, and the pointers that it was given."""

    flow: ControlFlow
    entered: dict[Block, Mask] = field(default_factory=dict)
    entered_loops: dict[Block, Mask] = field(default_factory=dict)
    roots: set[ir.Value] = field(default_factory=set)


# ---- calls


def _tell(
    t: Translator, function: str, arguments: Iterable[ir.Value], mask: ir.Value, text: str = ""
) -> None:
    t.add(
        ir.NativeCall,
        function=f"canopy_check_{function}",
        arguments=tuple(arguments),
        mask=mask,
        type=I8,
        text=text,
    )


def _tell_once(t: Translator, function: str, arguments: Iterable[ir.Value], text: str = "") -> None:
    """A call for the program, not for its threads."""
    _tell(t, function, arguments, t.constant(True, BOOL), text)


def _first_thread(t: Translator) -> ir.Value:
    return t.first_thread if t.first_thread is not None else t.constant(0, I32)


def _place(location: Location) -> str:
    return str(location)


# ---- where a program begins, and what memory it has


def check_enter(t: Translator) -> None:
    if t.checks is None:
        return
    extents = [t.block_extent(axis) for axis in range(3)]
    lanes = t.constant(t.waits.grain, I32)
    _tell_once(t, "enter", [*extents, lanes], t.function.display_name)


def check_array(t: Translator, base: ir.Value, bytes_: int, kind: int, name: str) -> None:
    """Memory that belongs to the block, or to each of its threads. 0 bytes: as the launch says."""
    if t.checks is None:
        return
    address = t.bitcast(base, PTR)
    _tell_once(t, "array", [address, t.constant(bytes_, I64), t.constant(kind, I32)], name)


# ---- accesses


def check_instruction(
    t: Translator,
    i: Instruction,
    pointer: ir.Value,
    mask: Mask,
    bytes_: int,
    flags: int,
    value: ir.Value | None = None,
) -> None:
    """Before a load, a store or an atomic operation of ``bytes_`` per thread."""
    if t.checks is None:
        return
    match = _ALIGNMENT.search(i.text)
    alignment = min(int(match[1]), 16) if match else bytes_
    if " volatile " in i.text:
        flags |= VOLATILE
    check_access(t, pointer, t.constant(bytes_, I64), mask, flags, alignment, value)


def check_access(
    t: Translator,
    pointer: ir.Value,
    bytes_: ir.Value,
    mask: Mask,
    flags: int,
    alignment: int = 1,
    value: ir.Value | None = None,
) -> None:
    """Before an access of ``bytes_``, which may differ from thread to thread."""
    if t.checks is None:
        return
    root = _root(t, pointer)
    known = [] if value is None or flags != WRITE else [value]
    base = t.constant(0, I64) if root is None else t.bitcast(root, I64)
    numbers = [t.constant(flags | (_HAS_VALUE if known else 0), I32), t.constant(alignment, I32)]
    arguments = [t.bitcast(pointer, I64), base, bytes_, *numbers, _first_thread(t), *known]
    place = _place(t.builder.location)
    lanes = t.all_lanes() if mask is None else mask
    t.when_any(mask, lambda: _tell(t, "access", arguments, lanes, place))


def _root(t: Translator, pointer: ir.Value) -> ir.Value | None:
    """The array, parameter or variable that an address was computed from, where that is one."""
    while True:
        match pointer.op:
            case ir.Offset(pointer=source) | ir.Splat(source=source):
                pointer = source
            case ir.Bitcast(source=source) if element_type(source.type) in (PTR, SHARED_PTR):
                pointer = source
            case ir.Scratch() | ir.BlockMemory():
                return pointer
            case None if t.checks and pointer in t.checks.roots:
                return pointer
            case _:
                return None


# ---- barriers


def check_barrier(t: Translator, i: Instruction, mask: Mask) -> None:
    """At a barrier of a block that is one program."""
    if t.checks is None:
        return
    expected = _expected(t, i, mask)
    if expected is not mask:
        check_together(t, i, mask, t.all_lanes() if expected is None else expected)
    _tell_once(t, "barrier", [])


def check_together(t: Translator, i: Instruction, mask: Mask, expected: ir.Value) -> None:
    """Whether all of the ``expected`` threads that have not returned have come to a barrier."""
    here = t.all_lanes() if mask is None else mask
    awaited = not_returned(t, expected)
    _tell(t, "together", [here, awaited, _first_thread(t)], t.all_lanes(), _place(i.location))


def _expected(t: Translator, i: Instruction, mask: Mask) -> Mask:
    """The threads of the outermost branch or loop that parts those at a barrier from others of the
    block which go on; those that only return are awaited nowhere."""
    checks = t.checks
    assert checks is not None
    flow, found = checks.flow, mask
    above = flow.idom[i.block]
    while above is not None:
        parts = above in t.uniformity.divergent_branches
        parts = parts and not flow.post_dominates(i.block, above)
        after = t.waits.rejoin(above) if parts else None
        if after is not None and not only_returns(after):
            found = checks.entered[above]
        above = flow.idom[above]
    for loop in flow.loops_around(i.block):
        if loop in t.uniformity.divergent_loops and not all(map(only_returns, loop.exit_targets)):
            found = checks.entered_loops[loop.header]
    return found


def check_meeting(t: Translator, i: Instruction, number: ir.Value, arrives: bool) -> None:
    """Before and after a barrier where the members of a block meet."""
    if t.checks is None:
        return
    first = _first_thread(t)
    if arrives:
        own, wrong = _wrong_company(t.checks.flow, i)
        where = [first, number, t.constant(own, I32), t.constant(wrong, I64)]
        _tell_once(t, "arrive", where, _place(i.location))
    else:
        _tell_once(t, "leave", [first, number])


def _wrong_company(flow: ControlFlow, i: Instruction) -> tuple[int, int]:
    """A number for a barrier of the whole block, and as bits those where nobody may be while others
    are at this one: barriers that the same thread comes to before or behind it. The sides of a
    branch may have one each."""
    found = [b for block in flow.order for b in block.instructions if is_block_barrier(b)]
    if is_named_barrier(i) or len(found) >= _MOST_BARRIERS:
        return 0, 0
    behind = flow.reachable(i.block) | {i.block}
    wrong = [
        b for b in found if b is not i and (b.block in behind or i.block in flow.reachable(b.block))
    ]
    return found.index(i), sum(1 << found.index(b) for b in wrong if not is_named_barrier(b))


def check_grid_barrier(t: Translator, is_behind: bool) -> None:
    if t.checks is not None:
        _tell_once(t, "grid", [t.constant(int(is_behind), I32)])


def check_warp(t: Translator, i: Instruction, mask: Mask) -> None:
    """Behind what the lanes of a warp do together."""
    if t.checks is None or not i.callee.startswith(_WARP_WIDE):
        return
    _tell(t, "warp", [_first_thread(t)], t.all_lanes() if mask is None else mask)


def check_fence(t: Translator, mask: Mask) -> None:
    if t.checks is not None:
        _tell(t, "fence", [_first_thread(t)], t.all_lanes() if mask is None else mask)


def shared_name(name: str) -> str:
    """A __shared__ variable's name as written: behind that of its function, with its length."""
    for match in re.finditer(r"(?=(\d+)([A-Za-z_]\w*))", name):
        length, rest = int(match[1]), match[2]
        if len(rest) == length or re.fullmatch(r"_\d+_?", rest[length:]):
            return rest[:length]
    return name
