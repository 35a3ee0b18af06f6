"""The kernel caches under fire: shared, cold, killed, full and damaged."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from canopy.runtime import DiskCache
from tests.stress.conftest import Start, finish

PUBLISH = """
import random, sys
from pathlib import Path
from canopy.runtime import DiskCache
cache = DiskCache(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    key = f"key {random.randrange(20)}"
    cache.put(key, key.encode() * random.choice([1, 1000, 300_000]))
"""


def is_right(key: str, data: bytes | None) -> bool:
    name = key.encode()
    return data is None or data == name * (len(data) // len(name))


def test_a_writer_that_is_killed_leaves_no_wrong_entry(tmp_path: Path, times: int) -> None:
    for _ in range(8 * times):
        writer = subprocess.Popen(
            [sys.executable, "-c", PUBLISH, str(tmp_path)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(random.uniform(0, 0.05))
        writer.kill()
        writer.communicate()
        cache = DiskCache(tmp_path)
        assert all(is_right(key, cache.get(key)) for key in (f"key {n}" for n in range(20)))


def test_what_killed_writers_left_is_removed_by_later_ones(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    cache.put("key", b"data")
    folder = next(path for path in tmp_path.iterdir() if path.is_dir())
    old, young = folder / ".new-old", folder / ".new-young"
    old.write_bytes(b"half")
    young.write_bytes(b"half")
    os.utime(old, (1, 1))
    cache.put("key", b"data again")
    assert not old.exists()
    assert young.exists()  # its writer may be at work
    assert cache.get("key") == b"data again"


def test_a_folder_in_the_place_of_an_entry_is_replaced(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    cache.put("key", b"data")
    entry = next(path for path in tmp_path.rglob("*") if path.is_file())
    entry.unlink()
    (entry / "inside").mkdir(parents=True)
    assert cache.get("key") is None
    cache.put("key", b"data")
    assert DiskCache(tmp_path).get("key") == b"data"


def test_processes_share_one_cold_cache(start: Start, times: int) -> None:
    count = 8 if times > 1 else 3
    for process in [start("compute") for _ in range(count)]:
        assert finish(process).startswith("done")


def test_killed_while_they_compile(start: Start, times: int, tmp_path: Path) -> None:
    for _ in range(times):
        process = start("compute")
        deadline = time.monotonic() + 60
        while not list(tmp_path.rglob("*.ttir")) and time.monotonic() < deadline:
            time.sleep(0.01)  # the first kernel is being compiled and published
        time.sleep(random.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert finish(start("compute")).startswith("done")


def test_damaged_entries_are_compiled_again(start: Start, times: int) -> None:
    assert f"{30 * times} files damaged" in finish(start("damage", str(30 * times)))


def test_no_space(start: Start) -> None:
    assert finish(start("small-disk")).startswith("done")


def test_a_full_disk(start: Start, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(line, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("this user may not mount a small disk")
    try:
        folders = {"TRITON_CACHE_DIR": str(disk / "t"), "CANOPY_CACHE_DIR": str(disk / "c")}
        assert finish(start("compute", **folders)).startswith("done")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_cache_that_cannot_be_written(start: Start, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file where the folder should be")
    process = start("compute", TRITON_CACHE_DIR=str(taken), CANOPY_CACHE_DIR=str(taken))
    assert finish(process).startswith("done")
