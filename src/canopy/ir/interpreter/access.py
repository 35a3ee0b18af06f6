"""Rules of the ops that compute addresses, and that read and write memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from canopy.errors import KernelError
from canopy.ir.core import Op, Value
from canopy.ir.interpreter.machine import Machine, rule
from canopy.ir.interpreter.memory import OutOfBounds
from canopy.ir.interpreter.numeric import Array, compute, dtype_of
from canopy.ir.memory import AtomicCas, AtomicRmw, Barrier, Load, Offset, Scratch, Store
from canopy.ir.types import Type, is_float


@rule(Offset)
def _offset(machine: Machine, op: Offset) -> Array:
    index = machine[op.index]
    wide = index.astype(np.uint64 if index.dtype.kind == "u" else np.int64)
    scaled = np.asarray(wide * wide.dtype.type(op.scale)) if op.scale >= 0 else -wide * -op.scale
    return np.asarray(machine[op.pointer] + np.asarray(scaled).astype(np.uint64))


@rule(Scratch)
def _scratch(machine: Machine, op: Scratch) -> Array:
    if op not in machine.scratch:
        machine.scratch[op] = machine.memory.allocate("scratch", op.bytes, op.alignment)
    return np.asarray(machine.scratch[op].base, np.uint64)


@rule(Barrier)
def _barrier(machine: Machine, op: Barrier) -> None:
    """Nothing to do: every op runs on all lanes before the next one starts."""


@rule(Load)
def _load(machine: Machine, op: Load) -> Array:
    addresses, mask = machine[op.pointer], machine.optional(op.mask)
    dtype = dtype_of(op.type)
    active = _active_lanes(addresses, mask)
    loaded = _read(machine, op, op.pointer, addresses.ravel()[active], active, dtype)
    if mask is None:
        return loaded.reshape(addresses.shape)
    other = machine.optional(op.other)
    lanes = np.zeros(addresses.size, dtype)  # what is undefined is zero here
    if other is not None:
        lanes[:] = np.broadcast_to(other, addresses.shape).ravel()
    lanes[active] = loaded
    return lanes.reshape(addresses.shape)


@rule(Store)
def _store(machine: Machine, op: Store) -> None:
    addresses = machine[op.pointer]
    active = _active_lanes(addresses, machine.optional(op.mask))
    lanes = np.broadcast_to(machine[op.value], addresses.shape).ravel()[active]
    _write(machine, op, op.pointer, addresses.ravel()[active], active, lanes)


@rule(AtomicRmw)
def _atomic_rmw(machine: Machine, op: AtomicRmw) -> Array:
    function = _ATOMICS[op.kind]
    element = op.value.type

    def update(memory: Array, value: Array) -> Array:
        return function(element, memory, value)

    return _atomically(machine, op, update, (op.value,))


@rule(AtomicCas)
def _atomic_cas(machine: Machine, op: AtomicCas) -> Array:
    def update(memory: Array, compare: Array, value: Array) -> Array:
        bits = f"uint{memory.dtype.itemsize * 8}"
        return np.where(memory.view(bits) == compare.view(bits), value, memory)

    return _atomically(machine, op, update, (op.compare, op.value))


def _atomically(
    machine: Machine, op: AtomicRmw | AtomicCas, update: Callable[..., Array], of: tuple[Value, ...]
) -> Array:
    """Lanes one after another; those at different addresses do not see each other, so that round n
    runs the n-th lane of every address at once. Lanes that are masked off give zero."""
    addresses = machine[op.pointer]
    active = _active_lanes(addresses, machine.optional(op.mask))
    flat = addresses.ravel()[active]
    operands = [np.broadcast_to(machine[v], addresses.shape).ravel()[active] for v in of]
    dtype = operands[0].dtype
    old = np.zeros(flat.size, dtype)
    for lanes in _rounds(flat):
        old[lanes] = _read(machine, op, op.pointer, flat[lanes], active[lanes], dtype)
        new = update(old[lanes], *(operand[lanes] for operand in operands))
        _write(machine, op, op.pointer, flat[lanes], active[lanes], new)
    result = np.zeros(addresses.size, dtype)
    result[active] = old
    return result.reshape(addresses.shape)


def _rounds(addresses: Array) -> list[Array]:
    """Lane numbers in groups: the first lane of every address, then the second of each, ..."""
    if not addresses.size:
        return []
    order = np.argsort(addresses, kind="stable")
    ordered = addresses[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    lengths = np.diff(np.append(starts, ordered.size))
    turn = np.empty(ordered.size, np.int64)
    turn[order] = np.arange(ordered.size) - np.repeat(starts, lengths)
    return [np.flatnonzero(turn == number) for number in range(int(lengths.max()))]


def _extreme(of_floats: Any, of_integers: Any) -> Callable[[Type, Array, Array], Array]:
    def pick(element: Type, memory: Array, value: Array) -> Array:
        return compute(of_floats if is_float(element) else of_integers, element, memory, value)

    return pick


def _computed(function: Any) -> Callable[[Type, Array, Array], Array]:
    return lambda element, memory, value: compute(function, element, memory, value)


_ATOMICS: dict[str, Callable[[Type, Array, Array], Array]] = {
    "add": _computed(np.add),
    "sub": _computed(np.subtract),
    "and": _computed(np.bitwise_and),
    "or": _computed(np.bitwise_or),
    "xor": _computed(np.bitwise_xor),
    "min": _extreme(np.fmin, np.minimum),
    "max": _extreme(np.fmax, np.maximum),
    "exchange": lambda element, memory, value: value,
    # As atomicInc and atomicDec of CUDA: they wrap around at value.
    "inc": _computed(lambda m, v: np.where(m >= v, np.zeros_like(m), m + m.dtype.type(1))),
    "dec": _computed(lambda m, v: np.where((m == 0) | (m > v), v, m - m.dtype.type(1))),
}


def _active_lanes(addresses: Array, mask: Array | None) -> Array:
    if mask is None:
        return np.arange(addresses.size)
    return np.flatnonzero(np.broadcast_to(mask, addresses.shape))


def _read(
    machine: Machine, op: Op, pointer: Value, addresses: Array, lanes: Array, dtype: np.dtype[Any]
) -> Array:
    _check(machine, op, pointer, addresses, lanes, dtype.itemsize)
    return machine.memory.read(addresses, dtype)


def _write(
    machine: Machine, op: Op, pointer: Value, addresses: Array, lanes: Array, values: Array
) -> None:
    _check(machine, op, pointer, addresses, lanes, values.dtype.itemsize, write=True)
    machine.memory.write(addresses, values)


def _check(
    machine: Machine,
    op: Op,
    pointer: Value,
    addresses: Array,
    lanes: Array,
    itemsize: int,
    write: bool = False,
) -> None:
    if not (machine.memory.check and addresses.size):
        return
    source = machine.allocation_behind(pointer)
    found = machine.memory.violation(addresses, itemsize, source, write)
    if found is not None:
        lane = tuple(map(int, np.unravel_index(lanes[found.lane], machine[pointer].shape)))
        raise _bounds_error(machine, op, found, lane, itemsize, write)


def _bounds_error(
    machine: Machine, op: Op, found: OutOfBounds, lane: tuple[int, ...], itemsize: int, write: bool
) -> KernelError:
    verb = "writes" if write else "reads"
    at_lane = f" (lane {', '.join(map(str, lane))})" if lane else ""
    allocation = found.allocation
    if allocation is None:
        return machine.error(
            op,
            f"{op.mnemonic()} {verb} address {found.address:#x}, which belongs to no argument"
            f"{at_lane}",
            "pass the memory as an argument, or name it in `allocations`",
        )
    if found.read_only:
        return machine.error(op, f"{op.mnemonic()} {verb} {allocation.name}, which is read-only")
    if not allocation.base:
        return machine.error(op, f"{op.mnemonic()} {verb} {allocation.name}, which is None")
    offset = (found.address - allocation.origin) / itemsize
    place = f"{int(offset)}" if offset == int(offset) else f"{offset:.2f}"
    first = (allocation.base - allocation.origin) // itemsize
    last = first + (allocation.nbytes or 0) // itemsize - 1
    return machine.error(
        op,
        f"{op.mnemonic()} {verb} element {place} of {allocation.name}, which has the elements "
        f"{first} to {last} of {itemsize} bytes{at_lane}",
        "give it a mask that is false outside, such as offsets < n",
    )
