"""Conversions of fp8e4b15, which has no type in TTIR: Triton holds its codes as 8-bit integers.

One sign bit, four of exponent with bias 15, three of mantissa: the codes are the upper byte of an
f16, shifted by one. No code is an infinity or NaN. As NVIDIA's backend does, a float is first
rounded toward zero to f16, then to the nearest code, away from zero at a tie, and the largest
result is 1.75; codes 0x7f and 0xff are read as 1.875 with their sign.
"""

from __future__ import annotations

from typing import Any

import triton.language as tl

__all__ = ["convert_fp8e4b15"]

_LARGEST = 0x3F00  # 1.75 as f16


def convert_fp8e4b15(value: Any, wanted: Any, rounding: Any = None, *, _semantic: Any) -> Any:
    """``value`` as ``wanted``, one of which is fp8e4b15: operations added through ``_semantic``."""
    if value.type.scalar.is_fp8e4b15():
        return _semantic.cast(_to_half(value, _semantic), wanted)
    source = value.type.scalar
    if source.is_floating() and source.primitive_bitwidth > 16:
        value = _semantic.cast(value, tl.float16, "rtz")
    return _from_half(_semantic.cast(value, tl.float16), _semantic)


def _to_half(value: Any, s: Any) -> Any:
    code = s.cast(s.bitcast(value, tl.uint8), tl.uint16)
    magnitude = s.shl(s.and_(code, 0x7F), 7)
    sign = s.shl(s.and_(code, 0x80), 8)
    return s.bitcast(s.or_(magnitude, sign), tl.float16)


def _from_half(value: Any, s: Any) -> Any:
    bits = s.bitcast(value, tl.uint16)
    magnitude = s.minimum(s.and_(bits, 0x7FFF), _LARGEST, tl.PropagateNan.NONE)
    rounded = s.lshr(s.add(s.shl(magnitude, 1), 0x80, False), 8)
    sign = s.and_(s.lshr(bits, 8), 0x80)
    return s.bitcast(s.cast(s.or_(rounded, sign), tl.uint8), tl.float8e4b15)
