"""Products whose addend the vector core has: the cube multiplies, the vector core adds.

    %s = mul %gathered, %shrink               %s = mul %gathered, %shrink
    %d = dot %weights, %v, %s          ->     %p = dot %weights, %v, %zero
                                              %d = add %s, %p

The sum is then computed where it is needed, in place where a loop carries it. A loop that does
nothing but add products keeps them in the cube's accumulator, and stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from canopy import ir
from canopy.passes.rewriter import Rewriter

__all__ = ["add_on_vector_cores", "is_zero", "only_accumulates"]


def add_on_vector_cores(kernel: ir.Kernel) -> ir.Kernel:
    """``kernel`` with a sum of its own for each addend that is a tile of the vector core."""
    return _Apart(kernel).kernel(kernel)


def is_zero(value: ir.Value) -> bool:
    return isinstance(value.op, ir.Constant) and value.op.value == 0


def only_accumulates(loop: ir.For, number: int, users: dict[ir.Value, list[ir.Op]]) -> bool:
    """Whether a loop does nothing to what it carries at ``number`` but add one product to it."""
    arg, yielded = loop.body.args[1 + number], loop.body.terminator.operands[number]
    found = users.get(arg, [])
    return (
        len(arg.shape) == 2
        and is_zero(loop.initial[number])
        and len(found) == 1
        and isinstance(found[0], ir.Dot)
        and found[0].acc is arg
        and found[0].result is yielded
        and found[0] in loop.body.ops
        and len(users.get(yielded, [])) == 1
    )


class _Apart(Rewriter):
    def __init__(self, kernel: ir.Kernel) -> None:
        super().__init__()
        users: dict[ir.Value, list[ir.Op]] = {}
        for op in ir.walk(kernel.body.ops):
            for value in op.operands:
                users.setdefault(value, []).append(op)
        self._stay = {
            users[arg][0]
            for loop in ir.walk(kernel.body.ops)
            if isinstance(loop, ir.For)
            for number, arg in enumerate(loop.body.args[1:])
            if only_accumulates(loop, number, users)
        }

    def op(self, op: ir.Op) -> Sequence[ir.Value]:
        if not isinstance(op, ir.Dot) or is_zero(op.acc) or op in self._stay:
            return super().op(op)
        lhs, rhs, acc = (self.values[v] for v in (op.lhs, op.rhs, op.acc))
        place = op.location
        zero = self.make(ir.Constant, value=0, type=acc.type, location=place)
        product = self.make(
            ir.Dot, lhs=lhs, rhs=rhs, acc=zero, precision=op.precision, location=place
        )
        return (self.make(ir.Add, lhs=acc, rhs=product, location=place),)
