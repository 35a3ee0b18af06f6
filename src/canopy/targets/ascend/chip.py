"""Hardware models: the figures of a chip, read from a data file, each marked sourced or assumed.

    name = "910B2"
    date = "2026-11-24"                    # of the file; every output of the simulator carries it

    [sources]
    platform = "platform configuration Ascend910B2.ini of the open runtime"

    [figures]
    clock_mhz = { value = 1800, origin = "sourced", source = "platform" }
    event_cycles = { value = 10, origin = "assumed" }

A new chip is a new file in ``chips``; a path to a file elsewhere works, too.
"""

from __future__ import annotations

import datetime
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from canopy.errors import CanopyError, Location, UnsupportedError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Chip", "chip_names", "load_chip", "read_chip"]

_FOLDER = Path(__file__).parent / "chips"
_LARGEST_FILE = 1 << 20


@dataclass(frozen=True)
class Chip:
    """Figures of one chip; ``assumed`` names those that are estimates."""

    name: str
    date: str
    architecture: int
    clock_mhz: float
    cube_cores: int
    vector_cores: int
    hbm_bytes_per_second: float
    hbm_efficiency: float
    l2_bytes: int
    l2_bytes_per_second: float
    ub_bytes: int
    l1_bytes: int
    l0a_bytes: int
    l0b_bytes: int
    l0c_bytes: int
    ub_block_bytes: int
    repeat_bytes: int
    max_repeats: int
    events_per_pipe_pair: int
    launch_cycles: float
    copy_in_bytes_per_cycle: float
    copy_out_bytes_per_cycle: float
    l2_read_bytes_per_cycle: float
    l2_write_bytes_per_cycle: float
    copy_start_cycles: float
    copy_latency_cycles: float
    burst_cycles: float
    vector_start_cycles: float
    repeat_cycles: float
    slow_repeat_cycles: float
    cube_macs_per_cycle_f16: float
    l1_to_l0_bytes_per_cycle: float
    fixpipe_bytes_per_cycle: float
    cube_start_cycles: float
    scalar_cycles: float
    lane_access_cycles: float
    lane_value_cycles: float
    event_cycles: float
    assumed: frozenset[str]

    @property
    def clock_hz(self) -> float:
        return self.clock_mhz * 1e6

    @property
    def peak_f16_flops(self) -> float:
        """Of all cube cores, a multiplication and an addition counted as two."""
        return 2 * self.cube_macs_per_cycle_f16 * self.cube_cores * self.clock_hz

    @property
    def peak_vector_f32_flops(self) -> float:
        """Of all vector cores, one operation per lane and cycle."""
        return self.repeat_bytes / 4 * self.vector_cores * self.clock_hz / self.repeat_cycles

    def shifted(self, part: float) -> Chip:
        """Every assumed figure that costs time off by ``part``: 0.3 makes the chip slower by 30%
        where it is not known, -0.3 faster."""
        changed: dict[str, Any] = {}
        for name in self.assumed:
            rule = _FIGURES[name]
            if rule.speeds == "up":
                changed[name] = min(getattr(self, name) * (1 - part), rule.highest)
            elif rule.speeds == "down":
                changed[name] = getattr(self, name) * (1 + part)
        return replace(self, **changed)


@dataclass(frozen=True)
class _Rule:
    """What a figure may be; ``speeds`` says whether the chip is faster with more (up) or less of
    it; neither for sizes."""

    lowest: float
    highest: float
    unit: str
    speeds: str = ""
    is_whole: bool = True


def _rate(highest: float) -> _Rule:
    return _Rule(1, highest, "bytes per cycle", "up", is_whole=False)


def _cycles(highest: float, lowest: float = 0) -> _Rule:
    return _Rule(lowest, highest, "cycles", "down", is_whole=False)


_FIGURES: Mapping[str, _Rule] = {
    "architecture": _Rule(1000, 9999, "a number such as 2201"),
    "clock_mhz": _Rule(100, 10_000, "MHz", "up", is_whole=False),
    "cube_cores": _Rule(1, 4096, "cores"),
    "vector_cores": _Rule(1, 8192, "cores"),
    "hbm_bytes_per_second": _Rule(1e9, 1e14, "bytes per second", "up", is_whole=False),
    "hbm_efficiency": _Rule(0.1, 1, "reached of the nominal rate", "up", is_whole=False),
    "l2_bytes": _Rule(1 << 16, 1 << 36, "bytes"),
    "l2_bytes_per_second": _Rule(1e9, 1e15, "bytes per second", "up", is_whole=False),
    "ub_bytes": _Rule(4096, 1 << 30, "bytes"),
    "l1_bytes": _Rule(4096, 1 << 30, "bytes"),
    "l0a_bytes": _Rule(4096, 1 << 30, "bytes"),
    "l0b_bytes": _Rule(4096, 1 << 30, "bytes"),
    "l0c_bytes": _Rule(4096, 1 << 30, "bytes"),
    "ub_block_bytes": _Rule(1, 4096, "bytes"),
    "repeat_bytes": _Rule(16, 1 << 16, "bytes"),
    "max_repeats": _Rule(1, 1 << 16, "repeats"),
    "events_per_pipe_pair": _Rule(2, 1024, "events"),
    "launch_cycles": _cycles(1e6),
    "copy_in_bytes_per_cycle": _rate(1e5),
    "copy_out_bytes_per_cycle": _rate(1e5),
    "l2_read_bytes_per_cycle": _rate(1e5),
    "l2_write_bytes_per_cycle": _rate(1e5),
    "copy_start_cycles": _cycles(1e5),
    "copy_latency_cycles": _cycles(1e5),
    "burst_cycles": _cycles(1e4),
    "vector_start_cycles": _cycles(1e4),
    "repeat_cycles": _cycles(1e3, 0.1),
    "slow_repeat_cycles": _cycles(1e3, 0.1),
    "cube_macs_per_cycle_f16": _Rule(1, 1e7, "products per cycle", "up", is_whole=False),
    "l1_to_l0_bytes_per_cycle": _rate(1e5),
    "fixpipe_bytes_per_cycle": _rate(1e5),
    "cube_start_cycles": _cycles(1e4),
    "scalar_cycles": _cycles(1e3, 0.1),
    "lane_access_cycles": _cycles(1e5, 0.1),
    "lane_value_cycles": _cycles(1e5, 0.1),
    "event_cycles": _cycles(1e4),
}


def chip_names() -> list[str]:
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


@cache
def load_chip(name: str = "910b2") -> Chip:
    """The model of a chip by the name of its data file, or by a path that ends in ``.toml``;
    UnsupportedError for an unknown one, CanopyError for a damaged file."""
    if name.endswith(".toml"):
        return read_chip(Path(name))
    known = chip_names()
    if name.lower() not in known:
        raise UnsupportedError(
            f"there is no model of the chip {name}",
            hint=f"known chips: {', '.join(known)}; or give the path of a chip file (.toml)",
        )
    return read_chip(_FOLDER / f"{name.lower()}.toml")


def read_chip(path: Path) -> Chip:
    """The chip of a data file; every figure is checked."""
    data = _parsed(path)
    sources = _table(path, data, "sources")
    figures = _table(path, data, "figures")
    for name in figures:
        if name not in _FIGURES:
            raise _error(path, name, "is not a figure that the model knows", "remove it")
    values: dict[str, Any] = {}
    assumed = set()
    for name, rule in _FIGURES.items():
        if name not in figures:
            hint = f'add {name} = {{ value = .., origin = "assumed" }}, in {rule.unit}'
            raise _error(path, name, "is missing", hint)
        values[name] = _figure(path, name, rule, figures[name], sources)
        if figures[name]["origin"] == "assumed":
            assumed.add(name)
    title, date = _title(path, data), _date(path, data)
    return Chip(name=title, date=date, assumed=frozenset(assumed), **values)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise CanopyError(f"the chip file {path} cannot be read: {error.strerror}") from error
    if len(content) > _LARGEST_FILE:
        raise CanopyError(f"the chip file {path} is larger than {_LARGEST_FILE} bytes")
    try:
        found: dict[str, Any] = tomllib.loads(content.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CanopyError(
            f"this is not a chip file: {error}",
            location=Location(str(path)),
            hint="it is TOML, as the files in canopy/targets/ascend/chips",
        ) from error
    return found


def _figure(path: Path, name: str, rule: _Rule, given: Any, sources: dict[str, Any]) -> float:
    form = f'{name} = {{ value = .., origin = "assumed" }}'
    if not isinstance(given, dict) or "value" not in given:
        raise _error(path, name, "has no value", f"write {form}")
    if given.get("origin") not in ("sourced", "assumed"):
        hint = 'origin is "sourced" (with a source) or "assumed"'
        raise _error(path, name, f"has the origin {given.get('origin')!r}", hint)
    if given["origin"] == "sourced" and given.get("source") not in sources:
        hint = f'name a source in [sources], or say origin = "assumed": {", ".join(sources)}'
        raise _error(path, name, f"has the unknown source {given.get('source')!r}", hint)
    value = given["value"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _error(path, name, f"is {value!r}", f"it is a number, in {rule.unit}")
    if rule.is_whole and value != int(value):
        raise _error(path, name, f"is {value}", f"it is a whole number, in {rule.unit}")
    if not rule.lowest <= value <= rule.highest:
        hint = f"it lies between {rule.lowest:g} and {rule.highest:g}, in {rule.unit}"
        raise _error(path, name, f"is {value:g}, which cannot be", hint)
    return int(value) if rule.is_whole else value


def _table(path: Path, data: dict[str, Any], name: str) -> dict[str, Any]:
    found = data.get(name)
    if not isinstance(found, dict):
        raise _error(path, f"[{name}]", "is missing", "see the files in targets/ascend/chips")
    return found


def _title(path: Path, data: dict[str, Any]) -> str:
    title = data.get("name")
    if not isinstance(title, str) or not title:
        raise _error(path, "name", "is missing", 'write name = "910B2"')
    return title


def _date(path: Path, data: dict[str, Any]) -> str:
    """The day of the file; every output names it, so that figures can be told apart."""
    try:
        return datetime.date.fromisoformat(str(data.get("date"))).isoformat()
    except ValueError as error:
        hint = 'write date = "2026-11-24", the day on which the figures were last looked at'
        raise _error(path, "date", f"is {data.get('date')!r}", hint) from error


def _error(path: Path, key: str, fact: str, hint: str) -> CanopyError:
    return CanopyError(f"{key} {fact}", location=Location(str(path)), hint=hint)


assert {f.name for f in fields(Chip)} - {"name", "date", "assumed"} == set(_FIGURES)
