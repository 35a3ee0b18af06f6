# ruff: noqa: E501 (a table)
"""Chip files: every figure is checked, and a new chip is a new file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from canopy.errors import CanopyError, UnsupportedError
from canopy.targets.ascend import load_chip
from canopy.targets.ascend.chip import chip_names, read_chip

CHIPS = Path(read_chip.__code__.co_filename).parent / "chips"
GOOD = (CHIPS / "910b2.toml").read_text()


@pytest.mark.parametrize("name", ["910b2", "910b4", "910c", "950pr"])
def test_a_chip_is_read_with_its_origins(name: str) -> None:
    chip = load_chip(name)
    assert name in chip_names()
    assert chip.name == name.upper()
    assert 5 < len(chip.assumed) < 25
    assert 200e12 < chip.peak_f16_flops < 500e12


def test_assumed_figures_alone_are_shifted() -> None:
    chip = load_chip("910b2")
    worse, better = chip.shifted(0.3), chip.shifted(-0.3)
    assert worse.copy_latency_cycles == pytest.approx(1.3 * chip.copy_latency_cycles)
    assert better.hbm_efficiency == 1  # cannot be more
    assert worse.hbm_efficiency == pytest.approx(0.7 * chip.hbm_efficiency)
    assert worse.clock_mhz == chip.clock_mhz
    assert worse.l2_bytes == chip.l2_bytes


def change(pattern: str, to: str) -> str:
    text, count = re.subn(pattern, to, GOOD, count=1, flags=re.MULTILINE)
    assert count == 1
    return text


BAD = {
    "missing": (change(r"^ub_bytes = .*\n", ""), "ub_bytes is missing", "add ub_bytes"),
    "absurd": (change(r"^clock_mhz = \{ value = 1800", "clock_mhz = { value = 1.8e9"), "clock_mhz is 1.8e+09", "between"),
    "negative": (change(r"^cube_cores = \{ value = 24", "cube_cores = { value = -1"), "cube_cores is -1", "between"),
    "fraction": (change(r"^vector_cores = \{ value = 48", "vector_cores = { value = 4.5"), "vector_cores is 4.5", "whole"),
    "text": (change(r"^l2_bytes = \{ value = \d+", 'l2_bytes = { value = "192 MB"'), "l2_bytes is '192 MB'", "number"),
    "nan": (change(r"^event_cycles = \{ value = 10", "event_cycles = { value = nan"), "event_cycles is nan", "number"),
    "no origin": (change(r"^event_cycles = .*$", "event_cycles = { value = 10 }"), "event_cycles has the origin None", "assumed"),
    "no source": (change(r', source = "platform" \}', " }"), "has the unknown source None", "[sources]"),
    "a bare number": (change(r"^event_cycles = .*$", "event_cycles = 10"), "event_cycles has no value", "value ="),
    "unknown": (GOOD + 'warp_size = { value = 32, origin = "assumed" }\n', "warp_size is not a figure", "remove"),
    "no date": (change(r"^date = .*$", ""), "date is None", "date ="),
    "no name": (change(r"^name = .*$", ""), "name is missing", "name ="),
    "no TOML": ("figures: {}", "this is not a chip file", "TOML"),
    "empty": ("", "[sources] is missing", "chips"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_a_damaged_file_is_an_error_with_file_key_and_hint(kind: str, tmp_path: Path) -> None:
    text, fact, hint = BAD[kind]
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(CanopyError) as caught:
        load_chip(str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert fact in caught.value.fact
    assert hint in caught.value.hint


def test_a_new_chip_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(change(r'^name = "910B2"', 'name = "MINE"'))
    assert load_chip(str(path)).name == "MINE"


def test_an_unknown_chip_names_those_there_are() -> None:
    with pytest.raises(UnsupportedError, match="no model of the chip 910z") as caught:
        load_chip("910z")
    assert "910b2, 910b4, 910c, 950pr" in caught.value.hint
    with pytest.raises(CanopyError, match="cannot be read"):
        load_chip("/nowhere/mine.toml")
