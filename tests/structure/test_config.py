"""Environment variables: defaults, values, nonsense, and the page that lists them."""

from __future__ import annotations

from pathlib import Path

import pytest

from canopy import config
from canopy.errors import CanopyError

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reference" / "environment.md"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch):
    for variable in config.VARIABLES:
        monkeypatch.delenv(variable.name, raising=False)


def test_defaults():
    assert config.debug_level() == 0
    assert config.interpret() is False
    assert config.num_threads() >= 1
    assert config.target() == "cpu"
    assert config.cache_dir().is_absolute()


@pytest.mark.parametrize(
    ("name", "text", "read", "expected"),
    [
        ("CANOPY_DEBUG", " 3 ", config.debug_level, 3),
        ("CANOPY_DEBUG", "", config.debug_level, 0),
        ("CANOPY_INTERPRET", "1", config.interpret, True),
        ("CANOPY_INTERPRET", "Off", config.interpret, False),
        ("CANOPY_NUM_THREADS", "7", config.num_threads, 7),
        ("CANOPY_CPU", "X86-64-v3", config.cpu, "x86-64-v3"),
        ("CANOPY_TARGET", "Ascend-Sim", config.target, "ascend-sim"),
    ],
)
def test_values(monkeypatch: pytest.MonkeyPatch, name, text, read, expected):
    monkeypatch.setenv(name, text)
    assert read() == expected


@pytest.mark.parametrize(
    ("name", "text", "read"),
    [
        ("CANOPY_DEBUG", "5", config.debug_level),
        ("CANOPY_DEBUG", "verbose", config.debug_level),
        ("CANOPY_INTERPRET", "maybe", config.interpret),
        ("CANOPY_NUM_THREADS", "0", config.num_threads),
        ("CANOPY_NUM_THREADS", "-2", config.num_threads),
        ("CANOPY_NUM_THREADS", "1.5", config.num_threads),
        ("CANOPY_TARGET", "c p u", config.target),
        ("CANOPY_CACHE_DIR", "~nobody-by-this-name/x", config.cache_dir),
    ],
)
def test_nonsense_is_named(monkeypatch: pytest.MonkeyPatch, name, text, read):
    monkeypatch.setenv(name, text)
    with pytest.raises(CanopyError) as caught:
        read()
    assert name in str(caught.value)
    assert text in str(caught.value)
    assert "hint: " in str(caught.value)


def test_cache_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert config.cache_dir() == tmp_path / "canopy"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert config.cache_dir() == tmp_path / ".cache" / "canopy"
    monkeypatch.setenv("CANOPY_CACHE_DIR", str(tmp_path / "own"))
    assert config.cache_dir() == tmp_path / "own"


def test_every_variable_is_documented():
    rows = DOCUMENT.read_text(encoding="utf-8").splitlines()
    for variable in config.VARIABLES:
        row = (
            f"| `{variable.name}` | {variable.expects} | {variable.default_text} "
            f"| {variable.meaning} |"
        )
        assert row in rows
