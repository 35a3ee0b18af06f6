"""Slots as native/entry.h describes them."""

from __future__ import annotations

import struct

import pytest

from canopy.errors import LaunchError
from canopy.runtime.launch import pack_slots


def test_floats_lie_in_the_low_bytes_at_their_own_width():
    packed = pack_slots(7, -1, 1.5, 1.5, 1.5, 1.5, kinds="Piefdy", may_alias=False)
    words = struct.unpack("<7Q", packed)
    half, single = 0x3E00, 0x3FC00000
    assert words == (7, 2**64 - 1, half, single, 0x3FF8000000000000, 0x3FC0, 0)


def test_a_float_without_a_kind_is_refused():
    with pytest.raises(LaunchError, match="need their kind"):
        pack_slots(1.5)
    with pytest.raises(LaunchError, match="2 values are packed as 1 kinds"):
        pack_slots(1, 2, kinds="P")
