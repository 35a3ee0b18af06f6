"""Failure reports: complete, redacted, bounded, and never a failure of their own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from canopy import failure


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CANOPY_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def record(source: str = "def k(): ...") -> Path:
    return failure.record_failure("stage", "kernel", source, "ir", RuntimeError("went wrong"))


def test_private_words_are_taken_out(cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/data/people/zoe-smith")
    monkeypatch.setenv("LOGNAME", "zoe-smith")
    text = record("# /data/people/zoe-smith/k.py by zoe-smith, not by zoe-smithson").read_text()
    assert "# ~/k.py by <user>, not by zoe-smithson" in text


def test_the_newest_is_found_and_old_ones_go(cache: Path):
    paths = [record() for _ in range(failure.KEPT_REPORTS + 3)]
    assert failure.latest_failure() == paths[-1]
    assert len(list(failure.failure_dir().iterdir())) == failure.KEPT_REPORTS


def test_only_the_user_may_read(cache: Path):
    path = record()
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


def test_an_unusable_cache_is_no_second_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder", encoding="utf-8")
    monkeypatch.setenv("CANOPY_CACHE_DIR", str(blocked))
    path = record()
    assert "went wrong" in path.read_text()
    path.unlink()
    os.rmdir(path.parent)


def test_source_with_fences_stays_inside(cache: Path):
    text = record("x = '````'").read_text()
    assert "`````python" in text
