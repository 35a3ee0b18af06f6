"""What the stress tests run in processes of their own: ``program.py MODE [ARGUMENT]``.

Every mode checks its results and prints ``done`` and figures at the end.
"""

from __future__ import annotations

import os
import random
import resource
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
import torch
import triton
import triton.language as tl

from canopy.errors import CacheError, KernelError


@triton.jit
def scale(x, y, n, factor, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + at, mask=at < n) * factor, mask=at < n)


@triton.jit
def softmax(x, y, columns, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    value = tl.load(x + row * columns + at, mask=at < columns, other=-float("inf"))
    power = tl.exp(value - tl.max(value, 0))
    tl.store(y + row * columns + at, power / tl.sum(power, 0), mask=at < columns)


@triton.jit
def refuse(x, limit):
    tl.device_assert(tl.load(x) < limit, "too much")


def check_scale(n: int = 1000, factor: float = 3.0) -> None:
    x, y = torch.randn(n), torch.full((n,), float("nan"))
    scale[(triton.cdiv(n, 128),)](x, y, n, factor, BLOCK=128)
    assert torch.equal(y, x * factor)


def check_softmax(rows: int = 7, columns: int = 100) -> None:
    x, y = torch.randn(rows, columns), torch.full((rows, columns), float("nan"))
    softmax[(rows,)](x, y, columns, BLOCK=128)
    torch.testing.assert_close(y, torch.softmax(x, -1))


def forget() -> None:
    """The next launches look into the disk cache again."""
    for kernel in (scale, softmax):
        kernel.device_caches.clear()


def compute() -> None:
    check_scale()
    check_softmax()


def in_threads(count: int, work: object) -> None:
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            work()  # type: ignore[operator]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def compile_in_threads(rounds: int) -> None:
    """16 threads meet a kernel that none has compiled."""
    for _ in range(rounds):
        forget()
        in_threads(16, compute)


def launch_in_threads(rounds: int) -> None:
    in_threads(16, lambda: [check_scale(random.randrange(1, 5000)) for _ in range(rounds)])


def fork_while_launching(rounds: int) -> None:
    # Made before: torch's random generator is locked at a fork if the other thread is drawing.
    x, theirs, ours = torch.randn(100_000), torch.empty(100_000), torch.empty(100_000)
    stop = threading.Event()

    def launch_on(y: torch.Tensor) -> None:
        scale[(782,)](x, y, 100_000, 3.0, BLOCK=128)

    launch_on(ours)
    expected = x * 3.0
    launching = threading.Thread(
        target=lambda: [launch_on(theirs) for _ in iter(stop.is_set, True)]
    )
    launching.start()
    try:
        for _ in range(rounds):
            child = os.fork()
            if child == 0:
                try:
                    ours.zero_()
                    launch_on(ours)
                    os._exit(0 if torch.equal(ours, expected) else 1)
                finally:
                    os._exit(2)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        launching.join()


def fail_between_launches(rounds: int) -> None:
    """A failed launch leaves nothing behind that a later one would meet."""
    small, large = torch.tensor([1]), torch.tensor([9])
    for _ in range(rounds):
        refuse[(3,)](small, 5, debug=True)
        with pytest.raises(KernelError, match="too much"):
            refuse[(3,)](large, 5, debug=True)
        check_scale()


def resident_kib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


def launch_often(count: int) -> str:
    x, y = torch.randn(16), torch.empty(16)
    run = scale[(1,)]
    for _ in range(2000):
        run(x, y, 16, 2.0, BLOCK=16)
    before, start = resident_kib(), time.perf_counter()
    for _ in range(count):
        run(x, y, 16, 2.0, BLOCK=16)
    each_us = (time.perf_counter() - start) / count * 1e6
    growth = resident_kib() - before
    assert growth < 1024, f"{growth} KiB more after {count} launches"
    return f"{each_us:.1f} us each, {growth} KiB"


def damage(path: Path) -> str:
    """Hurts one file of the cache in one of many ways; returns which."""
    data = bytearray(path.read_bytes())
    how = random.choice(["flip", "cut", "empty", "grow", "garbage", "gone", "folder", "link"])
    if how in ("gone", "folder", "link"):
        path.unlink()
    if how == "flip":
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
        path.write_bytes(data)
    elif how == "cut":
        path.write_bytes(data[: random.randrange(len(data))])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "grow":
        path.write_bytes(data + os.urandom(100))
    elif how == "garbage":
        path.write_bytes(os.urandom(len(data)))
    elif how == "folder":
        path.mkdir()
    elif how == "link":
        path.symlink_to("/etc/passwd")
    return how


def damaged_cache(rounds: int) -> str:
    warnings.simplefilter("error")  # a damaged file is replaced, not worked around
    compute()
    hurt = 0
    for _ in range(rounds):
        root = Path(os.environ["TRITON_CACHE_DIR"])
        files = [
            p for p in root.rglob("*") if p.is_file() and p.stat().st_size and not p.is_symlink()
        ]
        how = damage(random.choice(files))
        hurt += 1
        forget()
        try:
            compute()
        except BaseException as error:
            raise AssertionError(f"after {how}") from error
    return f"{hurt} files damaged"


def small_disk(_: int) -> None:
    """No file may grow beyond 1 KiB, in any folder: an error that says so, and then recovery."""
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, most))
    warnings.simplefilter("ignore")
    with pytest.raises(CacheError, match="File too large"):
        compute()
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    compute()


def plain(_: int) -> None:
    compute()


MODES = {
    "compute": plain,
    "compile-in-threads": compile_in_threads,
    "launch-in-threads": launch_in_threads,
    "fork": fork_while_launching,
    "failures": fail_between_launches,
    "often": launch_often,
    "damage": damaged_cache,
    "small-disk": small_disk,
}

if __name__ == "__main__":
    figures = MODES[sys.argv[1]](int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    print("done", figures or "")
