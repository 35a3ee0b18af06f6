"""The vector unit of the simulator: which lanes a call reads and writes, what it computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from canopy.errors import KernelError
from canopy.ir.interpreter.numeric import dtype_of
from canopy.ir.types import ElementType
from canopy.targets.ascend.calls import CALLS, compute
from canopy.targets.ascend.npu import Local, VectorCall

__all__ = ["Shape", "execute", "spans"]

Array = np.ndarray[Any, Any]
_BLOCK = 32


class Shape:
    """The extents of one call as it runs: ``repeats`` of which each has lanes first .. lanes."""

    def __init__(self, call: VectorCall, registers: Sequence[Any], repeat_bytes: int) -> None:
        self.lanes = call.lanes.value(registers)
        self.first = call.first.value(registers)
        self.repeats = None if call.repeats is None else call.repeats.value(registers)
        self.meeting = CALLS[call.name].shape
        self.per_repeat = repeat_bytes // widest(call)

    @property
    def total(self) -> int:
        """Lanes of the target that are computed."""
        if self.repeats is None:
            return self.lanes
        return max(self.lanes - self.first, 0) * self.repeats

    @property
    def is_empty(self) -> bool:
        return self.total <= 0


def widest(call: VectorCall) -> int:
    """Bytes of the widest operand that has lanes (not bits), which says how many a repeat has."""
    meeting = CALLS[call.name].shape
    locals_ = [*call.sources] if meeting == "bits" else [call.target, *call.sources]
    if meeting == "select":
        locals_ = [call.target, *call.sources[1:]]
    return max(local.type.bytes for local in locals_)


def spans(
    call: VectorCall, shape: Shape, registers: Sequence[Any]
) -> tuple[list[tuple[Local, int, int]], tuple[Local, int, int]]:
    """The bytes (first, end) of each source, and of the target."""
    sources = [
        _span(call, shape, local, number, registers) for number, local in enumerate(call.sources)
    ]
    return sources, _span(call, shape, call.target, -1, registers)


def _span(
    call: VectorCall, shape: Shape, local: Local, number: int, registers: Sequence[Any]
) -> tuple[Local, int, int]:
    """``number``: of the source; -1 for the target."""
    start = local.buffer.address + local.offset.value(registers)
    size = local.type.bytes
    meeting = shape.meeting
    is_bits = (meeting == "bits" and number < 0) or (meeting == "select" and number == 0)
    if is_bits:
        lanes = shape.lanes if shape.repeats is None else shape.repeats * shape.per_repeat
        return local, start, start + -(-lanes // 8)
    if meeting == "gather" and number == 0:
        return local, local.buffer.address, local.buffer.end
    if shape.repeats is None:
        end = start + shape.lanes * size
        return local, start, min(end, local.buffer.end) if meeting == "bits" else end
    if meeting == "spread" and number == 0:
        return local, start, start + shape.repeats * 8 * size
    if meeting == "fold" and number < 0:
        return local, start, start + shape.repeats * size
    per_block = _BLOCK // size
    if meeting == "spread":
        last = (shape.repeats - 1) * local.repeat_stride + 7 * local.block_stride
        return local, start, start + (last + 1) * _BLOCK
    first_block, last_block = shape.first // per_block, (shape.lanes - 1) // per_block
    low = first_block * local.block_stride * _BLOCK
    high = ((shape.repeats - 1) * local.repeat_stride + last_block * local.block_stride) * _BLOCK
    if local.block_stride:
        low += shape.first % per_block * size
        high += (shape.lanes - 1) % per_block * size + size
    else:
        high += _BLOCK
    return local, start + low, start + high


def execute(
    call: VectorCall,
    shape: Shape,
    memory: Array,
    registers: Sequence[Any],
    scalars: list[Array],
) -> None:
    """Computes a call on the bytes of the unified buffer."""
    _SHAPES[shape.meeting](_Running(call, shape, memory, registers, scalars))


class _Running:
    def __init__(
        self,
        call: VectorCall,
        shape: Shape,
        memory: Array,
        registers: Sequence[Any],
        scalars: list[Array],
    ) -> None:
        self.call, self.shape, self.scalars = call, shape, scalars
        self._memory, self.registers = memory, registers

    def window(self, local: Local, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
        dtype = dtype_of(local.type)
        start = local.buffer.address + local.offset.value(self.registers)
        reach = sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if start + reach + dtype.itemsize > len(self._memory):
            raise KernelError(
                f"{self.call.name} goes on to byte {start + reach + dtype.itemsize} of the unified "
                f"buffer, which has {len(self._memory)}",
                location=self.call.location,
            )
        if start < 0 or (local.block_stride and start % _BLOCK):
            raise KernelError(
                f"{self.call.name} starts at byte {start} of the unified buffer, "
                f"which is not a multiple of {_BLOCK}",
                location=self.call.location,
            )
        found: Array = np.ndarray(shape, dtype, self._memory.data, start, strides)
        return found

    def lanes(self, local: Local, is_target: bool = False) -> Array:
        """(count,) or (repeats, lanes of a repeat): views where strides allow, else copies."""
        size = local.type.bytes
        if self.shape.repeats is None:
            return self.window(local, (self.shape.lanes,), (size,))
        per_block = _BLOCK // size
        step, low, high = local.repeat_stride * _BLOCK, self.shape.first, self.shape.lanes
        if local.block_stride == 1 or high <= per_block:
            whole = self.window(local, (self.shape.repeats, high), (step, size))
            return whole[:, low:]
        blocks = -(-high // per_block)
        shape = (self.shape.repeats, blocks, per_block)
        found = self.window(local, shape, (step, local.block_stride * _BLOCK, size))
        if is_target:
            raise KernelError(
                f"{self.call.name} writes with gaps between blocks", location=self.call.location
            )
        return found.reshape(self.shape.repeats, blocks * per_block)[:, low:high]

    def bits(self, local: Local, count: int) -> Array:
        """The first ``count`` bits of a tensor, as bools."""
        packed = self.window(local, (-(-count // 8),), (1,))
        return np.unpackbits(packed.view(np.uint8), count=count, bitorder="little").astype(np.bool_)

    def compute(self, sources: list[Array]) -> Array:
        return compute(self.call.name, [*sources, *self.scalars], self.call.mode, self.target_type)

    @property
    def target_type(self) -> ElementType:
        return self.call.target.type


def _lanewise(run: _Running) -> None:
    sources = [run.lanes(local) for local in run.call.sources]
    run.lanes(run.call.target, True)[...] = run.compute(sources)


def _fill(run: _Running) -> None:
    (content,) = run.scalars
    target = run.lanes(run.call.target, True)
    if run.call.name == "CreateVecIndex":
        content = np.arange(run.shape.lanes, dtype=np.int64) + int(content)
    target[...] = content.astype(target.dtype)


def _bits(run: _Running) -> None:
    answer = run.compute([run.lanes(local) for local in run.call.sources]).ravel()
    packed = np.packbits(answer, bitorder="little")
    run.window(run.call.target, packed.shape, (1,)).view(np.uint8)[...] = packed


def _select(run: _Running) -> None:
    first, *sources = run.call.sources
    shape = run.shape
    if shape.repeats is None:
        condition = run.bits(first, shape.lanes)
    else:
        condition = run.bits(first, shape.repeats * shape.per_repeat)
        condition = condition.reshape(shape.repeats, shape.per_repeat)
        condition = condition[:, shape.first : shape.lanes]
    found = run.compute([condition, *(run.lanes(local) for local in sources)])
    run.lanes(run.call.target, True)[...] = found


def _gather(run: _Running) -> None:
    table, offsets = run.call.sources
    size = table.type.bytes
    places = run.lanes(offsets).astype(np.int64)
    end = table.buffer.bytes - table.offset.value(run.registers)
    if places.size and (places.max() + size > end or (places % size).any()):
        raise KernelError("Gather reads outside its buffer", location=run.call.location)
    whole = run.window(table, (end // size,), (size,))
    run.lanes(run.call.target, True)[...] = whole[places // size]


def _spread(run: _Running) -> None:
    (source,), target = run.call.sources, run.call.target
    repeats = run.shape.repeats or 0
    size = source.type.bytes
    lanes = run.window(source, (repeats, 8, 1), (8 * size, size, 0))
    steps = (target.repeat_stride * _BLOCK, target.block_stride * _BLOCK, size)
    run.window(target, (repeats, 8, _BLOCK // size), steps)[...] = lanes


def _fold(run: _Running) -> None:
    found = run.compute([run.lanes(run.call.sources[0])])
    run.window(run.call.target, found.shape, (run.call.target.type.bytes,))[...] = found


_SHAPES: dict[str, Callable[[_Running], None]] = {
    "lanes": _lanewise,
    "fill": _fill,
    "bits": _bits,
    "select": _select,
    "gather": _gather,
    "spread": _spread,
    "fold": _fold,
}
