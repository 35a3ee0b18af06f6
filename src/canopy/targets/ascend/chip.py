"""Hardware models: the figures of a chip, read from a data file, each marked sourced or assumed."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from canopy.errors import UnsupportedError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Chip", "load_chip"]

_FOLDER = Path(__file__).parent / "chips"


@dataclass(frozen=True)
class Chip:
    """Figures of one chip; ``assumed`` names those that are estimates."""

    name: str
    vector_cores: int
    clock_mhz: float
    hbm_bytes_per_second: float
    cube_cores: int
    ub_bytes: int
    l1_bytes: int
    l0a_bytes: int
    l0b_bytes: int
    l0c_bytes: int
    l2_bytes: int
    ub_block_bytes: int
    repeat_bytes: int
    max_repeats: int
    events_per_pipe_pair: int
    copy_in_bytes_per_cycle: float
    copy_out_bytes_per_cycle: float
    copy_latency_cycles: float
    vector_start_cycles: float
    repeat_cycles: float
    slow_repeat_cycles: float
    cube_macs_per_cycle_f16: float
    l1_to_l0_bytes_per_cycle: float
    fixpipe_bytes_per_cycle: float
    l2_read_bytes_per_cycle: float
    cube_start_cycles: float
    scalar_cycles: float
    lane_access_cycles: float
    event_cycles: float
    architecture: int
    assumed: frozenset[str]


@cache
def load_chip(name: str = "910b2") -> Chip:
    """The model of a chip by the name of its data file; UnsupportedError for an unknown one."""
    path = _FOLDER / f"{name.lower()}.toml"
    known = sorted(p.stem for p in _FOLDER.glob("*.toml"))
    if path.stem not in known:
        raise UnsupportedError(
            f"there is no model of the chip {name}", hint=f"known chips: {', '.join(known)}"
        )
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    figures: dict[str, Any] = data["figures"]
    names = [f.name for f in fields(Chip) if f.name not in ("name", "assumed")]
    assumed = frozenset(n for n in names if figures[n]["origin"] == "assumed")
    return Chip(data["name"], **{n: figures[n]["value"] for n in names}, assumed=assumed)
