"""What a unit of programs costs beside one program: the model by which programs are merged."""

from __future__ import annotations

from canopy import ir
from canopy.ir.types import element_type
from canopy.targets.ascend import cube
from canopy.targets.ascend.buffers import OutOfSpaceError
from canopy.targets.ascend.chip import Chip

__all__ = ["ONE", "unit_cost"]

ONE = 64
"""The cost of one program."""

_DEPTH = 2048  # lanes of K that a program is taken to have


def unit_cost(chip: Chip, product: ir.Dot, rows: int, columns: int) -> float | None:
    """The cost of rows x columns programs together, in 64ths of one; None if they do not fit."""
    try:
        together = _cycles(chip, product, rows, columns)
        alone = _cycles(chip, product, 1, 1)
    except OutOfSpaceError:
        return None
    return None if together is None or alone is None else ONE * together / alone


def _cycles(chip: Chip, product: ir.Dot, rows: int, columns: int) -> float | None:
    """Of a unit: the busiest of the copies to L1, those to L0 and the cube; then what its first
    copy and the way out of L0C take, in which the cube waits."""
    (m, k), n = product.lhs.shape, product.rhs.shape[1]
    width = element_type(product.lhs.type).bytes
    if rows * m * columns * n * 4 > chip.l0c_bytes:
        return None
    if 2 * (rows * m + columns * n) * k * width > chip.l1_bytes:
        return None
    depth = k * cube.trips_of_a_copy(chip, rows * m + columns * n, k, width)
    tiles = cube.deeper(chip, cube.choose_tiles(chip, product), depth, width)
    computing = cube.cycles(chip, tiles, rows * m, columns * n, depth, width)
    runs = rows * m + columns * depth
    l2 = chip.l2_bytes_per_second / chip.clock_hz / chip.cube_cores
    rate = min(chip.l2_read_bytes_per_cycle, l2)
    copying = (rows * m + columns * n) * depth * width / rate
    copying += (rows + columns) * chip.copy_start_cycles + runs * chip.burst_cycles
    steady = max(computing, copying) + min(computing, copying) / 16
    drained = rows * m * columns * n * 4 / chip.l2_write_bytes_per_cycle
    return steady * _DEPTH / depth + copying + chip.copy_latency_cycles + drained
