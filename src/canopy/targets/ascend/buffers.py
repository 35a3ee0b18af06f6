"""Addresses of buffers: a first-fit allocator per memory of a core."""

from __future__ import annotations

from canopy.ir.types import ElementType
from canopy.targets.ascend.chip import Chip
from canopy.targets.ascend.npu import Buffer, Space

__all__ = ["Allocator", "OutOfSpaceError"]

_WORKSPACE_BYTES = 1 << 40  # of global memory; what a kernel uses is reported


class OutOfSpaceError(Exception):
    """A buffer does not fit; the lowering tries smaller strips, then other homes."""

    def __init__(self, space: Space, bytes_: int) -> None:
        super().__init__(f"{bytes_} bytes of {space.value}")
        self.space = space
        self.bytes = bytes_


class Allocator:
    """Live buffers by address; ``top`` is the highest byte each memory ever held."""

    def __init__(self, chip: Chip) -> None:
        self._sizes = {
            Space.UB: chip.ub_bytes,
            Space.L1: chip.l1_bytes,
            Space.L0A: chip.l0a_bytes,
            Space.L0B: chip.l0b_bytes,
            Space.L0C: chip.l0c_bytes,
            Space.WORKSPACE: _WORKSPACE_BYTES,
        }
        self._aligns = dict.fromkeys(Space, chip.ub_block_bytes)
        self._aligns[Space.WORKSPACE] = 512
        self._aligns[Space.UB] = chip.repeat_bytes  # a compare reads whole repeats
        self._live: dict[Space, list[tuple[int, int]]] = {space: [] for space in Space}
        self._next: dict[Space, int] = dict.fromkeys(Space, 0)
        self.top: dict[Space, int] = dict.fromkeys(Space, 0)
        self._serial = 0
        self.taken = 0  # bytes of all buffers of the unified buffer that ever were

    def allocate(self, space: Space, lanes: int, type_: ElementType, name: str = "") -> Buffer:
        """A buffer at the first free address from where the last one ended, then from 0: buffers
        that follow each other do not share bytes, so that the pipes overlap."""
        size = max(lanes * type_.bytes, 1)
        size += -size % self._aligns[space]
        address = self._place(space, size)
        self._next[space] = address + size
        self.top[space] = max(self.top[space], address + size)
        self.taken += size if space is Space.UB else 0
        self._live[space].append((address, address + size))
        self._live[space].sort()
        self._serial += 1
        return Buffer(space, address, lanes, type_, name, self._serial)

    def _place(self, space: Space, size: int) -> int:
        for start in (self._next[space], 0):
            address = start
            for first, end in self._live[space]:
                if end <= address:
                    continue
                if first >= address + size:
                    break
                address = end
            if address + size <= self._sizes[space]:
                return address
        raise OutOfSpaceError(space, size)

    def size(self, space: Space) -> int:
        return self._sizes[space]

    def room(self, space: Space) -> int:
        """Bytes that are free."""
        return self._sizes[space] - sum(end - first for first, end in self._live[space])

    def free(self, buffer: Buffer) -> None:
        live = self._live[buffer.space]
        for span in live:
            if span[0] == buffer.address:
                live.remove(span)
                return
        raise AssertionError(f"{buffer} is not live")

    def state(self) -> tuple[object, ...]:
        live = {space: list(spans) for space, spans in self._live.items()}
        return live, dict(self._next)

    def restore(self, state: tuple[object, ...]) -> None:
        live, following = state
        self._live = {space: list(spans) for space, spans in live.items()}  # type: ignore[attr-defined]
        self._next = dict(following)  # type: ignore[call-overload]
