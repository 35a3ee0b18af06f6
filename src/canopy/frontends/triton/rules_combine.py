"""Reader rules: dot, reduce, scan, and functions mapped over tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from canopy.frontends.triton.rules import reads
from canopy.ir import Dot, Reduce, Scan, Value, Yield

if TYPE_CHECKING:
    from canopy.frontends.triton.reader import Reader
    from canopy.frontends.triton.text import Operation

__all__: list[str] = []

_PRECISIONS = {"tf32", "tf32x3", "ieee", "bf16x3", "bf16x6"}


@reads("tt.dot")
def _dot(reader: Reader, op: Operation) -> Value:
    lhs, rhs, acc = reader.values(op)
    precision = op.body.partition("inputPrecision = ")[2].strip() or "ieee"
    assert precision in _PRECISIONS, precision
    return reader.add(Dot, lhs=lhs, rhs=rhs, acc=acc, precision=precision)


@reads("tt.reduce")
def _reduce(reader: Reader, op: Operation) -> tuple[Value, ...]:
    (block,) = op.regions[0]
    combine = reader.region(block, reader.block_arguments(block), None)
    made = reader.build.effect(
        Reduce, sources=reader.values(op), axis=op.integer("axis"), combine=combine
    )
    return made.results


@reads("tt.scan")
def _scan(reader: Reader, op: Operation) -> tuple[Value, ...]:
    (block,) = op.regions[0]
    combine = reader.region(block, reader.block_arguments(block), None)
    made = reader.build.effect(
        Scan,
        sources=reader.values(op),
        axis=op.integer("axis"),
        reverse=op.flag("reverse"),
        combine=combine,
    )
    return made.results


@reads("tt.reduce.return", "tt.scan.return", "scf.yield")
def _yield(reader: Reader, op: Operation) -> None:
    reader.build.effect(Yield, values=reader.values(op))
