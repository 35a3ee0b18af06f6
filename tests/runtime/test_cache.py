"""The disk cache: what it keeps, what it refuses, and what it does where it cannot write."""

from __future__ import annotations

import errno
import multiprocessing
import os
import stat
import warnings
from pathlib import Path

import pytest

from canopy.runtime import DiskCache


@pytest.fixture
def cache(tmp_path: Path) -> DiskCache:
    return DiskCache(tmp_path / "cache")


def entry_of(cache: DiskCache) -> Path:
    (path,) = (path for path in cache.root.rglob("*") if path.is_file())
    return path


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 10_000])
@pytest.mark.parametrize("key", ["k", "", "a/../b\0 \u00e9", "long" * 1000])
def test_round_trip(cache: DiskCache, key: str, data: bytes) -> None:
    assert cache.get(key) is None
    cache.put(key, data)
    assert cache.get(key) == data
    assert DiskCache(cache.root).get(key) == data
    assert cache.get(key + "x") is None


def test_put_replaces(cache: DiskCache) -> None:
    cache.put("k", b"old")
    cache.put("k", b"new")
    assert cache.get("k") == b"new"


def test_it_is_private(cache: DiskCache) -> None:
    cache.put("k", b"data")
    assert stat.S_IMODE(cache.root.stat().st_mode) == 0o700
    assert stat.S_IMODE(entry_of(cache).stat().st_mode) == 0o600


def test_reading_creates_nothing(cache: DiskCache) -> None:
    assert cache.get("k") is None
    assert cache.size() == 0
    cache.clear()
    assert not cache.root.exists()


def test_size_and_clear(cache: DiskCache) -> None:
    cache.put("a", b"1" * 1000)
    cache.put("b", b"2" * 1000)
    assert 2000 <= cache.size() < 2400
    (cache.root / "notes.txt").write_text("not ours")
    cache.clear()
    assert cache.size() == 0
    assert cache.get("a") is None
    assert (cache.root / "notes.txt").exists()


def damage(entry: bytes, way: str) -> bytes:
    match way:
        case "empty":
            return b""
        case "truncated":
            return entry[:-1]
        case "header only":
            return entry[:20]
        case "longer":
            return entry + b"x"
        case "flipped":
            return entry[:-3] + bytes([entry[-3] ^ 1]) + entry[-2:]
        case "magic":
            return b"X" + entry[1:]
        case _:
            return b"\x7fELF" * 100


WAYS = ["empty", "truncated", "header only", "longer", "flipped", "magic", "foreign"]


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_entry_is_absent_and_removed(cache: DiskCache, way: str) -> None:
    cache.put("k", b"good data")
    path = entry_of(cache)
    path.write_bytes(damage(path.read_bytes(), way))
    assert cache.get("k") is None
    assert not path.exists()
    cache.put("k", b"good data")
    assert cache.get("k") == b"good data"


def test_another_keys_entry_is_refused(cache: DiskCache) -> None:
    cache.put("other", b"data")
    entry = entry_of(cache).read_bytes()
    cache.clear()
    cache.put("k", b"data")
    entry_of(cache).write_bytes(entry)
    assert cache.get("k") is None


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_an_entry_that_others_can_write_is_refused(cache: DiskCache, mode: int) -> None:
    cache.put("k", b"data")
    entry_of(cache).chmod(mode)
    assert cache.get("k") is None


def test_a_link_is_refused(cache: DiskCache, tmp_path: Path) -> None:
    cache.put("k", b"data")
    path = entry_of(cache)
    target = path.rename(tmp_path / "elsewhere")
    path.symlink_to(target)
    assert cache.get("k") is None
    assert target.exists()
    assert not path.is_symlink()


def test_another_users_entry_is_refused(cache: DiskCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.put("k", b"data")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert cache.get("k") is None


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_folder_that_others_can_write_is_not_used(tmp_path: Path, mode: int) -> None:
    root = tmp_path / "shared"
    root.mkdir()
    root.chmod(mode)
    cache = DiskCache(root)
    with pytest.warns(RuntimeWarning, match="others can write") as seen:  # noqa: PT031
        cache.put("a", b"1")
        cache.put("b", b"2")
    assert (cache.get("a"), cache.get("b"), cache.size()) == (b"1", b"2", 2)
    assert len(seen) == 1
    assert not list(root.iterdir())
    cache.clear()
    assert cache.get("a") is None


def test_a_file_in_its_place(tmp_path: Path) -> None:
    root = tmp_path / "file"
    root.write_text("not a folder")
    cache = DiskCache(root)
    with pytest.warns(RuntimeWarning, match=r"(?s)file: .*hint: set CANOPY_CACHE_DIR"):
        cache.put("k", b"data")
    assert cache.get("k") == b"data"


@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_a_disk_that_cannot_be_written(
    cache: DiskCache, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    cache.put("old", b"0")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.warns(RuntimeWarning, match=os.strerror(code)) as seen:  # noqa: PT031
        cache.put("a", b"1")
        cache.put("b", b"2")
    assert len(seen) == 1
    assert [cache.get(key) for key in ("old", "a", "b")] == [b"0", b"1", b"2"]
    assert len([path for path in cache.root.rglob("*") if path.is_file()]) == 1
    monkeypatch.undo()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.put("a", b"3")
    assert DiskCache(cache.root).get("a") == b"3"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_home(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    cache = DiskCache(tmp_path / "cache")
    with pytest.warns(RuntimeWarning, match="Permission denied"):
        cache.put("k", b"data")
    assert cache.get("k") == b"data"


def test_the_default_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANOPY_CACHE_DIR", "/c")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.setenv("HOME", "/h")
    assert DiskCache().root == Path("/c")
    monkeypatch.delenv("CANOPY_CACHE_DIR")
    assert DiskCache().root == Path("/x/canopy")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert DiskCache().root == Path("/h/.cache/canopy")


def hammer(root: Path, seed: int) -> int:
    """Writes and reads the same few keys; returns how many reads were wrong."""
    cache, wrong = DiskCache(root), 0
    for step in range(100):
        key = f"key {step % 5}"
        cache.put(key, key.encode() * 2000)
        wrong += cache.get(f"key {(step + seed) % 5}") not in (
            None,
            f"key {(step + seed) % 5}".encode() * 2000,
        )
    return wrong


def test_many_processes_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        jobs = [(tmp_path / "cache", seed) for seed in range(4)]
        assert pool.starmap(hammer, jobs) == [0] * 4
    cache = DiskCache(tmp_path / "cache")
    assert cache.get("key 3") == b"key 3" * 2000
    assert not list(cache.root.rglob(".new-*"))
