"""Tiles that a loop carries and that may be updated where they are.

%next = add %sums, %values        one buffer for %sums and %next: each lane reads its own place,
yield %next                       and nobody else reads %sums once %next is written
"""

from __future__ import annotations

from canopy import ir
from canopy.targets.cpu.plan import KernelPlan, is_inline

__all__ = ["updated_in_place"]

_LANE_TO_LANE = (
    *(ir.Binary, ir.Compare, ir.Select, ir.MathCall, ir.Fma, ir.Clamp),
    *(ir.Cast, ir.Bitcast),
)


def updated_in_place(plan: KernelPlan, body: ir.Region) -> set[ir.Value]:
    """The arguments of a loop's body whose next value may be written over them."""
    users: dict[ir.Value, list[ir.Op]] = {}
    for op in ir.walk(body.ops):
        for value in op.operands:
            users.setdefault(value, []).append(op)
    top = set(body.ops)
    yielded = body.terminator.operands
    arguments = body.args[len(body.args) - len(yielded) :]
    found = set()
    for argument, value in zip(arguments, yielded, strict=True):
        if not argument.is_tile or value.op not in top or users[value] != [body.terminator]:
            continue
        if _leads_only_to(plan, argument, value, users, top):
            found.add(argument)
    return found


def _leads_only_to(
    plan: KernelPlan,
    argument: ir.Value,
    value: ir.Value,
    users: dict[ir.Value, list[ir.Op]],
    top: set[ir.Op],
) -> bool:
    """Whether all that reads the argument is computed where ``value`` is, lane to lane."""
    waiting, seen = [argument], {argument}
    while waiting:
        current = waiting.pop()
        if current is value:
            continue
        for op in users.get(current, ()):
            if op not in top or not isinstance(op, _LANE_TO_LANE) or not is_inline(op):
                return False
            if plan.is_kept(op.results[0]) or op.results[0] in plan.dual:
                return False
            if op.results[0] not in seen:
                seen.add(op.results[0])
                waiting.append(op.results[0])
    return value in seen and value is not argument
