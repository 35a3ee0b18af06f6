"""Matrices in fractals: rows of lanes to and from the order that L1, L0A, L0B and L0C hold.

    NZ   lane (r, c) of a matrix of R rows at   (c // d) * R * d + r * d + c % d
    zZ   fractals of 16 rows x d columns, row of fractals after row, each row after row
    nZ   fractals of d rows x 16 columns, row of fractals after row, each column after column

with d lanes in 32 bytes, and extents padded to whole fractals.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from canopy.ir.interpreter.numeric import dtype_of
from canopy.targets.ascend.npu import Matrix

__all__ = ["load", "store"]

Array = np.ndarray[Any, Any]


def _blocks(memory: Array, matrix: Matrix) -> Array:
    """All that is stored, in place, as (row block, row, column block, column)."""
    dtype = dtype_of(matrix.type)
    rows, columns = matrix.padded
    start, depth = matrix.buffer.address, matrix.depth
    flat: Array = np.ndarray((rows * columns,), dtype, memory.data, start)
    stored, order = {
        "NZ": ((columns // depth, rows // 16, 16, depth), (1, 2, 0, 3)),
        "zZ": ((rows // 16, columns // depth, 16, depth), (0, 2, 1, 3)),
        "nZ": ((rows // depth, columns // 16, 16, depth), (0, 3, 1, 2)),
    }[matrix.layout]
    found: Array = flat.reshape(stored).transpose(order)
    return found


def load(memory: Array, matrix: Matrix) -> Array:
    """The rows that ``matrix`` names."""
    rows = _blocks(memory, matrix).reshape(matrix.padded)
    last = matrix.row + matrix.rows, matrix.column + matrix.columns
    return rows[matrix.row : last[0], matrix.column : last[1]]


def store(memory: Array, matrix: Matrix, content: Array) -> None:
    """Writes a matrix, or a part of one that begins at a fractal; what pads it to whole fractals
    becomes zero."""
    blocks = _blocks(memory, matrix)
    padded = matrix.padded
    if content.shape == padded:
        blocks[...] = content.reshape(blocks.shape)
        return
    is_part = (matrix.stored_rows, matrix.stored_columns) != content.shape
    whole = blocks.reshape(padded) if is_part else np.zeros(padded, content.dtype)
    first = matrix.row, matrix.column
    units = matrix.units
    end = [
        min(start + -(-extent // unit) * unit, most)
        for start, extent, unit, most in zip(first, content.shape, units, padded, strict=True)
    ]
    whole[first[0] : end[0], first[1] : end[1]] = 0
    whole[first[0] : first[0] + content.shape[0], first[1] : first[1] + content.shape[1]] = content
    blocks[...] = whole.reshape(blocks.shape)
