"""Kernels with one mistake each, and two sound ones to launch wrongly."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def double(x, out, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + at, tl.load(x + at, mask=at < n) * 2, mask=at < n)


@triton.jit
def scale(x, factor: tl.int32, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(x + at, tl.load(x + at) * factor)


@triton.jit
def checked(x, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    values = tl.load(x + at)
    tl.device_assert(values >= 0, "a negative value")
    tl.store(x + at, values + 1)


@triton.jit
def gpu_assembly(x, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    value = tl.load(x + at)
    value = tl.inline_asm_elementwise("popc.b32 $0, $1;", "=r,r", [value], tl.int32, True, 1)
    tl.store(x + at, value)


@triton.jit
def shapes_differ(x):
    left = tl.load(x + tl.arange(0, 8))
    right = tl.load(x + tl.arange(0, 16))
    tl.store(x + tl.arange(0, 8), left + right)


@triton.jit
def remainder_of_pointer(x):
    tl.store(x, tl.load(x % 4))


@triton.jit
def types_differ(x):
    at = tl.arange(0, 16)
    tile = tl.load(x + at[:, None] * 16 + at[None, :])
    product = tl.dot(tile, tile.to(tl.int8))
    tl.store(x + at[:, None] * 16 + at[None, :], product)


@triton.jit
def ten_lanes(x):
    at = tl.arange(0, 10)
    tl.store(x + at, tl.load(x + at))


@triton.jit
def wrong_callee(x):
    return tl.load(x + tl.arange(0, 8)) + tl.load(x + tl.arange(0, 16))


@triton.jit
def calls_wrong(x):
    tl.store(x + tl.arange(0, 8), wrong_callee(x))


@triton.jit
def statically_refused(x, BLOCK: tl.constexpr):
    tl.static_assert(BLOCK >= 16, "BLOCK is too small")
    tl.store(x, 1.0)


@triton.jit
def undefined_name(x):
    tl.store(x, nowhere)  # noqa: F821
