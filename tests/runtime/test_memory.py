"""Memory that is kept: the allocator's cache and limit, and torch's tensors in it."""

from __future__ import annotations

import ctypes
import os
import random
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator

import pytest

from canopy.runtime import memory
from canopy.runtime.native_library import native

MIB = 1 << 20


@pytest.fixture
def empty_cache() -> Iterator[None]:
    """Nothing kept before; the limit as it was after."""
    limit = native.alloc_stats()["limit_bytes"]
    native.alloc_trim()
    yield
    native.alloc_limit(limit)
    native.alloc_trim()


def kept() -> int:
    return native.alloc_stats()["cached_bytes"]


def blocks(*sizes: int) -> list[int]:
    return [native.alloc(size) for size in sizes]


@pytest.mark.usefixtures("empty_cache")
class TestLimit:
    def test_the_oldest_blocks_go_first(self) -> None:
        native.alloc_limit(40 * MIB)
        first, second, third = blocks(10 * MIB, 14 * MIB, 20 * MIB)
        for block in (first, second, third):
            native.free(block)
        assert 30 * MIB <= kept() <= 40 * MIB
        assert native.alloc(20 * MIB) == third
        assert native.alloc(14 * MIB) == second
        assert kept() == 0

    def test_a_block_beyond_the_limit_is_not_kept_and_evicts_nothing(self) -> None:
        native.alloc_limit(8 * MIB)
        small, large = blocks(4 * MIB, 30 * MIB)
        native.free(small)
        native.free(large)
        assert 4 * MIB <= kept() <= 5 * MIB

    def test_lowering_it_gives_back_at_once(self) -> None:
        native.alloc_limit(100 * MIB)
        for block in blocks(10 * MIB, 10 * MIB, 10 * MIB):
            native.free(block)
        native.alloc_limit(12 * MIB)
        assert kept() <= 12 * MIB

    def test_it_holds_for_random_sizes(self) -> None:
        native.alloc_limit(30 * MIB)
        live: list[tuple[int, int]] = []
        for _ in range(2000):
            if live and random.random() < 0.5:
                block, size = live.pop(random.randrange(len(live)))
                assert ctypes.string_at(block + size - 1, 1) == bytes([size % 251])
                native.free(block)
            else:
                size = int(2 ** random.uniform(10, 23))
                block = native.alloc(size)
                ctypes.memset(block + size - 1, size % 251, 1)
                live.append((block, size))
            assert kept() <= 30 * MIB
        for block, _ in live:
            native.free(block)

    def test_a_slightly_larger_kept_block_serves(self) -> None:
        (block,) = blocks(20 * MIB)
        native.free(block)
        assert native.alloc(18 * MIB) == block
        assert native.alloc(4 * MIB) != block


@pytest.mark.usefixtures("empty_cache")
def test_blocks_survive_being_offered_to_the_system() -> None:
    first, second = blocks(16 * MIB, 3 * MIB)
    native.free(first)
    time.sleep(1.1)
    native.free(second)  # offers what lay idle for a second
    assert native.alloc(16 * MIB) == first
    ctypes.memset(first, 7, 16 * MIB)
    assert ctypes.string_at(first + 9 * MIB, 3) == b"\7\7\7"
    native.free(first)


@pytest.mark.usefixtures("empty_cache")
def test_peaks_are_of_the_time_since_the_reset() -> None:
    (block,) = blocks(50 * MIB)
    native.free(block)
    memory.reset_peaks()
    figures = memory.memory_figures()
    assert figures.peak_used_bytes == figures.used_bytes
    assert figures.peak_held_bytes >= 50 * MIB
    memory.give_back()
    memory.reset_peaks()
    (block,) = blocks(5 * MIB)
    native.free(block)
    assert 5 * MIB <= memory.memory_figures().peak_used_bytes - figures.used_bytes <= 6 * MIB


@pytest.mark.usefixtures("empty_cache")
def test_many_threads() -> None:
    failures: list[int] = []

    def work(seed: int) -> None:
        choose = random.Random(seed)
        for _ in range(300):
            size = choose.randrange(MIB, 6 * MIB)
            block = native.alloc(size)
            ctypes.memset(block, seed, 64)
            ctypes.memset(block + size - 64, seed, 64)
            if ctypes.string_at(block, 64) != bytes([seed]) * 64:
                failures.append(seed)
            native.free(block)

    before = native.alloc_stats()["used_bytes"]
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert native.alloc_stats()["used_bytes"] == before


def test_a_library_that_is_not_there_or_does_not_allocate_so() -> None:
    assert not native.keep_memory("libsurely-absent.so")
    assert not native.keep_memory("libm.so.6")


def test_the_limit_comes_from_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CANOPY_KEPT_MIB", raising=False)
    assert 0 < memory.kept_limit_bytes() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    monkeypatch.setenv("CANOPY_KEPT_MIB", "48")
    assert memory.kept_limit_bytes() == 48 * MIB
    monkeypatch.setenv("CANOPY_KEPT_MIB", "0")
    assert not memory.keep_tensor_memory()


def run(source: str, **environment: str) -> str:
    """What a script prints in a process of its own: the slots of torch's library are global."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},  # libgomp survives no fork
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


class TestTorch:
    @pytest.fixture(autouse=True)
    def needs_torch(self) -> None:
        pytest.importorskip("torch", reason="torch is not installed")

    def test_outputs_come_from_kept_memory(self) -> None:
        printed = run("""
            import torch
            from canopy.runtime import memory
            before = torch.ones(3 << 20)          # from the C library
            assert memory.keep_tensor_memory()
            x = torch.rand(3 << 20)
            address = torch.softmax(x, 0).data_ptr()
            assert torch.exp(x).data_ptr() == address
            assert address % 64 == 0
            figures = memory.memory_figures()
            assert 12 << 20 <= figures.used_bytes <= 15 << 20, figures
            assert 12 << 20 <= figures.kept_bytes <= 15 << 20, figures
            del before                            # the C library's own, freed by it
            assert memory.memory_figures() == figures
            memory.stop_keeping()
            y = torch.rand(3 << 20)
            after = memory.memory_figures()
            assert (after.used_bytes, after.kept_bytes) == (figures.used_bytes, 0)
            del x, y                              # x is ours: freed properly after the end
            assert memory.memory_figures().used_bytes == 0
            print("done")
        """)
        assert printed == "done\n"

    def test_threads_numpy_pickles_and_forks(self) -> None:
        printed = run("""
            import os, pickle, threading
            import numpy as np, torch
            from canopy.runtime import memory
            assert memory.keep_tensor_memory()
            def work(seed):
                for step in range(40):
                    x = torch.full((300_000 + 40_000 * (step % 5),), float(seed))
                    y = (x * 2).reshape(-1).clone()
                    assert float(y[0]) == float(y[-1]) == 2.0 * seed
            threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
            [t.start() for t in threads], [t.join() for t in threads]
            shared = torch.arange(1 << 20).numpy()      # the array alone keeps the block
            copy = pickle.loads(pickle.dumps(torch.from_numpy(shared)))
            grown = torch.empty(0).resize_(1 << 20)
            grown.resize_(1 << 22).fill_(1)
            moved = torch.ones(1 << 20).share_memory_()
            child = os.fork()
            if child == 0:
                ok = bool((torch.rand(1 << 21) >= 0).all()) and int(shared[-1]) == (1 << 20) - 1
                os._exit(0 if ok else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert int(shared.sum()) == int(copy.sum()) == (1 << 19) * ((1 << 20) - 1)
            del shared, copy, grown, moved
            assert memory.memory_figures().used_bytes == 0
            print("done")
        """)
        assert printed == "done\n"

    def test_the_redirect_keeps_and_tells(self) -> None:
        printed = run("""
            import torch, canopy
            from canopy.runtime import memory
            with canopy.cuda_as("cpu"):
                torch.cuda.reset_peak_memory_stats()
                start = torch.cuda.memory_allocated()
                x = torch.ones(16 << 20, dtype=torch.uint8, device="cuda")
                assert torch.cuda.memory_allocated() - start >= 16 << 20
                del x
                assert torch.cuda.memory_allocated() - start < 1 << 20
                assert torch.cuda.max_memory_allocated() - start >= 16 << 20
                assert torch.cuda.memory_reserved() - start >= 16 << 20
                torch.cuda.empty_cache()
                assert torch.cuda.memory_reserved() - start < 1 << 20
                assert torch.cuda.max_memory_reserved() - start >= 16 << 20
                y = torch.ones(16 << 20, dtype=torch.uint8)
                assert memory.memory_figures().used_bytes >= 16 << 20   # host tensors too
            z = torch.ones(16 << 20, dtype=torch.uint8)
            del y
            figures = memory.memory_figures()
            assert figures.used_bytes == 0, figures
            print("done")
        """)
        assert printed == "done\n"

    def test_it_can_be_switched_off(self) -> None:
        printed = run(
            """
            import torch, canopy
            from canopy.runtime import memory, trace
            with canopy.cuda_as("cpu"):
                x = torch.ones(16 << 20, dtype=torch.uint8, device="cuda")
                print(memory.memory_figures().used_bytes, trace.snapshot()["fallbacks"])
            """,
            CANOPY_KEPT_MIB="0",
        )
        assert printed == "0 []\n"
