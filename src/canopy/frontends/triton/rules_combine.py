"""Reader rules: dot, reduce, scan, and functions mapped over tiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from canopy.errors import UnsupportedError
from canopy.frontends.triton.lanewise import over_lanes
from canopy.frontends.triton.rules import reads
from canopy.ir import Dot, Join, Reduce, Reshape, Scan, Split, Value, Yield

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
    combine = reader.function_region(op.regions[0])
    made = reader.build.effect(
        Reduce, sources=reader.values(op), axis=op.integer("axis"), combine=combine
    )
    return made.results


@reads("tt.scan")
def _scan(reader: Reader, op: Operation) -> tuple[Value, ...]:
    combine = reader.function_region(op.regions[0])
    made = reader.build.effect(
        Scan,
        sources=reader.values(op),
        axis=op.integer("axis"),
        reverse=op.flag("reverse"),
        combine=combine,
    )
    return made.results


@reads("tt.map_elementwise")
def _map(reader: Reader, op: Operation) -> tuple[Value, ...]:
    """With ``pack`` lanes per call, these are neighbours in the tile's row-major order."""
    pack = op.integer("pack")
    if pack & (pack - 1):
        raise UnsupportedError(
            f"tl.map_elementwise packs {pack} lanes", hint="pack a power of two of them"
        )
    region = reader.function_region(op.regions[0])
    sources = reader.values(op)
    if pack == 1:
        return over_lanes(reader.build, region, sources, sources[0].shape)
    arguments = [piece for source in sources for piece in _unpacked(reader, source, pack)]
    made = over_lanes(reader.build, region, arguments, arguments[0].shape)
    return tuple(
        reader.add(Reshape, source=_packed(reader, made[i : i + pack]), shape=sources[0].shape)
        for i in range(0, len(made), pack)
    )


def _unpacked(reader: Reader, source: Value, pack: int) -> list[Value]:
    """Lanes 0, pack, 2 pack .., then lanes 1, pack + 1 .., and so on."""
    size = math.prod(source.shape)
    pairs = (2,) * (pack.bit_length() - 1)
    return _halves(reader, reader.add(Reshape, source=source, shape=(size // pack, *pairs)))


def _halves(reader: Reader, source: Value) -> list[Value]:
    if len(source.shape) == 1:
        return [source]
    even, odd = (
        _halves(reader, half) for half in reader.build.effect(Split, source=source).results
    )
    return [piece for both in zip(even, odd, strict=True) for piece in both]


def _packed(reader: Reader, pieces: Sequence[Value]) -> Value:
    if len(pieces) == 1:
        return pieces[0]
    even, odd = _packed(reader, pieces[0::2]), _packed(reader, pieces[1::2])
    return reader.add(Join, lhs=even, rhs=odd)


@reads("tt.reduce.return", "tt.scan.return", "tt.map_elementwise.return", "scf.yield")
def _yield(reader: Reader, op: Operation) -> None:
    reader.build.effect(Yield, values=reader.values(op))
