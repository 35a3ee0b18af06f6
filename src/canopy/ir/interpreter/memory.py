"""Memory as the interpreter sees it: real addresses, and the allocations they must lie in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from canopy.ir.interpreter.numeric import Array

__all__ = ["Allocation", "Memory", "OutOfBounds", "allocation_of"]


@dataclass(frozen=True, slots=True)
class Allocation:
    """Bytes that a kernel may touch. ``origin`` is the address the argument points to: the first
    element of a view may lie inside its storage. ``nbytes`` None: of unknown extent."""

    name: str
    base: int
    nbytes: int | None
    origin: int
    writable: bool = True

    def holds(self, addresses: Array, itemsize: int) -> Array:
        """Per address: does an element of ``itemsize`` bytes there lie inside?"""
        if self.nbytes is None:
            return np.ones(addresses.shape, np.bool_)
        if self.nbytes < itemsize:
            return np.zeros(addresses.shape, np.bool_)
        distance = addresses - np.uint64(self.base)  # wraps around below the base
        return np.asarray(distance <= np.uint64(self.nbytes - itemsize))


@dataclass(frozen=True, slots=True)
class OutOfBounds:
    """The first lane (in flat order) whose address lies in no allocation it may touch."""

    lane: int
    address: int
    allocation: Allocation | None
    read_only: bool = False


def allocation_of(name: str, argument: Any) -> Allocation:
    """The extent of an argument: torch storage, NumPy base, unknown for a raw address, nothing for
    None."""
    if argument is None:
        return Allocation(name, 0, 0, 0)
    if isinstance(argument, np.ndarray):
        return _numpy_allocation(name, argument)
    if hasattr(argument, "untyped_storage"):
        storage = argument.untyped_storage()
        return Allocation(name, storage.data_ptr(), storage.nbytes(), argument.data_ptr())
    if hasattr(argument, "data_ptr"):
        address = int(argument.data_ptr())
        nbytes = int(argument.nbytes) if hasattr(argument, "nbytes") else None
        return Allocation(name, address, nbytes, address)
    return Allocation(name, int(argument), None, int(argument))


def _numpy_allocation(name: str, array: Array) -> Allocation:
    root = array
    while isinstance(root.base, np.ndarray):
        root = root.base
    first, last = root.__array_interface__["data"][0], 0
    if root.size:
        first, last = _byte_bounds(root)
    origin = array.__array_interface__["data"][0]
    return Allocation(name, first, max(last - first, 0), origin, bool(array.flags.writeable))


def _byte_bounds(array: Array) -> tuple[int, int]:
    first = last = array.__array_interface__["data"][0]
    for extent, stride in zip(array.shape, array.strides, strict=True):
        reach = (extent - 1) * stride
        first, last = first + min(reach, 0), last + max(reach, 0)
    return first, last + array.itemsize


class Memory:
    """Reads and writes lanes at addresses. ``check`` bounds every access by the allocations."""

    def __init__(self, allocations: Sequence[Allocation], check: bool) -> None:
        self.allocations = list(allocations)
        self.check = check
        self._owned: list[Array] = []

    def allocate(self, name: str, nbytes: int, alignment: int) -> Allocation:
        """Fresh bytes, all ones: NaN as floats and -1 as integers, so that reading them shows."""
        buffer = np.full(nbytes + alignment, 0xFF, np.uint8)
        address = buffer.__array_interface__["data"][0]
        address += -address % alignment
        self._owned.append(buffer)
        made = Allocation(name, address, nbytes, address)
        self.allocations.append(made)
        return made

    def release(self, allocations: Sequence[Allocation]) -> None:
        """Ends the life of what `allocate` made for one program."""
        self.allocations = [kept for kept in self.allocations if kept not in allocations]
        self._owned.clear()

    def violation(
        self, addresses: Array, itemsize: int, source: Allocation | None, write: bool
    ) -> OutOfBounds | None:
        """The first bad lane; ``source`` is the allocation that the pointer was made from, if that
        is known: only its bytes are allowed then."""
        if not self.check:
            return None
        allowed = np.zeros(addresses.shape, np.bool_)
        for allocation in [source] if source else self.allocations:
            allowed |= allocation.holds(addresses, itemsize)
        if not allowed.all():
            lane = int(np.argmin(allowed))
            return OutOfBounds(lane, int(addresses[lane]), source)
        if write and source and not source.writable:
            return OutOfBounds(0, int(addresses[0]), source, read_only=True)
        return None

    def read(self, addresses: Array, dtype: np.dtype[Any]) -> Array:
        """One element per address (a flat array)."""
        if not addresses.size:
            return np.empty(0, dtype)
        raw = np.dtype(np.uint8) if dtype == np.bool_ else dtype
        window, offsets = _window(addresses, raw.itemsize)
        if (offsets % raw.itemsize).any():
            lanes = window[offsets[:, None] + np.arange(raw.itemsize)].view(raw)[:, 0]
        else:
            lanes = window.view(raw)[offsets // raw.itemsize]
        return np.asarray(lanes != 0) if dtype == np.bool_ else lanes

    def write(self, addresses: Array, lanes: Array) -> None:
        """Writes one element per address; of several at one address the last wins."""
        if not addresses.size:
            return
        itemsize = lanes.dtype.itemsize
        window, offsets = _window(addresses, itemsize)
        if (offsets % itemsize).any():
            data = np.ascontiguousarray(lanes).view(np.uint8).reshape(-1, itemsize)
            for offset, element in zip(offsets, data, strict=True):  # lanes may overlap by bytes
                window[offset : offset + itemsize] = element
        else:
            window.view(lanes.dtype)[offsets // itemsize] = lanes


class _Span:
    """Lets NumPy see ``nbytes`` at an address."""

    def __init__(self, address: int, nbytes: int) -> None:
        self.__array_interface__ = {
            "data": (address, False),
            "shape": (nbytes,),
            "typestr": "|u1",
            "version": 3,
        }


def _window(addresses: Array, itemsize: int) -> tuple[Array, Array]:
    """The bytes from the lowest to the highest address, and each lane's offset into them."""
    lowest = int(addresses.min())
    nbytes = int(addresses.max()) - lowest + itemsize
    offsets = (addresses - np.uint64(lowest)).astype(np.int64)
    nbytes += -nbytes % itemsize  # only misaligned lanes make it uneven; they index bytes
    return np.asarray(_Span(lowest, nbytes)), offsets
