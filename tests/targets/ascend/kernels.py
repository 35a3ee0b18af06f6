"""A Triton-style row softmax in tile IR, through the Ascend simulator."""

from __future__ import annotations

from canopy import ir
from canopy.errors import Location
from canopy.ir.types import F32, I32, PTR, TileType
from canopy.ir.verifier import verify

LOAD_LINE, STORE_LINE = 8, 12


def reduction(kind: type[ir.Binary], source: ir.Value, builder: ir.Builder) -> ir.Value:
    lhs, rhs = ir.Value(F32), ir.Value(F32)
    op = kind(lhs=lhs, rhs=rhs)
    combine = ir.Region((lhs, rhs), [op, ir.Yield(values=op.results)])
    return builder.add(ir.Reduce, sources=(source,), axis=0, combine=combine)


def softmax(lanes: int) -> ir.Kernel:
    """softmax.py:5-12 of the walkthrough: one row of n <= lanes elements per program."""
    x, o, stride, n = (ir.Value(t, s) for t, s in ((PTR, "x"), (PTR, "o"), (I32, "s"), (I32, "n")))
    body = ir.Region()
    b = ir.Builder(body)

    def line(number: int) -> None:
        b.location = Location("softmax.py", number)

    def splat(value: ir.Value) -> ir.Value:
        return b.add(ir.Splat, source=value, shape=(lanes,))

    line(6)
    row = b.add(ir.ProgramId, axis=0)
    start = splat(b.add(ir.Mul, lhs=row, rhs=stride))
    line(7)
    i = b.add(ir.Range, start=0, end=lanes)
    mask = b.add(ir.Compare, predicate="lt", lhs=i, rhs=splat(n))
    index = b.add(ir.Add, lhs=start, rhs=i)
    line(LOAD_LINE)
    other = b.add(ir.Constant, value=float("-inf"), type=TileType((lanes,), F32))
    place = b.add(ir.Offset, pointer=splat(x), index=index, scale=4)
    v = b.add(ir.Load, pointer=place, mask=mask, other=other, type=F32)
    line(9)
    shifted = b.add(ir.Sub, lhs=v, rhs=splat(reduction(ir.Max, v, b)))
    line(10)
    e = b.add(ir.MathCall, function="exp", arguments=(shifted,))
    line(11)
    y = b.add(ir.Div, lhs=e, rhs=splat(reduction(ir.Add, e, b)))
    line(STORE_LINE)
    target = b.add(ir.Offset, pointer=splat(o), index=index, scale=4)
    b.effect(ir.Store, pointer=target, value=y, mask=mask)
    parameters = tuple(ir.Parameter(value, value.name) for value in (x, o, stride, n))
    kernel = ir.Kernel("softmax", parameters, body, Location("softmax.py", 5))
    verify(kernel)
    return kernel
