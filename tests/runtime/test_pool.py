"""The pool runs every program once, in order per thread, from any thread and after fork."""

from __future__ import annotations

import multiprocessing
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from canopy.errors import KernelError, LaunchError
from canopy.runtime import (
    get_num_threads,
    make_launcher,
    pack_slots,
    set_num_threads,
    share_openmp_threads,
    symbols,
)
from canopy.runtime.launch import launch

from .conftest import Kernels  # noqa: TID252


def address(array: np.ndarray) -> int:
    return int(array.ctypes.data)


@pytest.mark.parametrize("grid", [(1,), (2,), (7,), (1000003,), (3, 5), (3, 5, 7), (64, 1, 1)])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_program_runs_once(kernels: Kernels, grid: tuple[int, ...], threads: int) -> None:
    before = get_num_threads()
    set_num_threads(threads)
    out = np.zeros(int(np.prod(grid)), np.int32)
    for _ in range(3):
        launch(kernels.count_up, grid, pack_slots(address(out)))
    set_num_threads(before)
    assert (out == 3).all()


@pytest.mark.parametrize("grid", [(0,), (0, 5), (7, 0, 3)])
def test_an_empty_grid_runs_nothing(kernels: Kernels, grid: tuple[int, ...]) -> None:
    launch(kernels.count_up, grid, pack_slots(0))


@pytest.mark.usefixtures("four_threads")
def test_all_threads_take_part(kernels: Kernels) -> None:
    out = np.zeros(400, np.uint64)
    launch(kernels.note_thread, (400,), pack_slots(address(out), 100_000))
    assert len(np.unique(out)) == 4


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("max_chunk", [0, 1])
def test_a_program_may_wait_for_its_predecessor(kernels: Kernels, max_chunk: int) -> None:
    turn = np.zeros(1, np.uint64)
    launch(kernels.take_turns, (300,), pack_slots(address(turn)), max_chunk=max_chunk)
    assert turn[0] == 300


@pytest.mark.usefixtures("four_threads")
def test_scratch_is_aligned_and_private(kernels: Kernels) -> None:
    out = np.zeros(20_000, np.uint8)
    for scratch_bytes in (4096, 1 << 20, 4096):
        out[:] = 0
        launch(kernels.use_scratch, out.shape, pack_slots(address(out)), scratch_bytes)
        assert out.all()


def test_scratch_that_cannot_be_had_is_an_error(kernels: Kernels) -> None:
    out = np.zeros(8, np.uint8)
    for grid in [(1,), (8,)]:
        with pytest.raises(KernelError, match="no memory"):
            launch(kernels.use_scratch, grid, pack_slots(address(out)), 1 << 62)


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("grid", [4, 100])
def test_a_failing_program_stops_the_launch(kernels: Kernels, grid: int) -> None:
    with pytest.raises(KernelError, match="code 7"):
        launch(kernels.fail_at, (grid,), pack_slots(3))
    launch(kernels.fail_at, (grid,), pack_slots(1000))


@pytest.mark.usefixtures("four_threads")
def test_an_assertion_says_where(kernels: Kernels) -> None:
    expected = r"k\.py:12: device-side assertion failed in program \(3, 0, 0\): index out of range"
    for grid in (4, 1000):
        with pytest.raises(KernelError, match=expected):
            launch(kernels.assert_three, (grid,), pack_slots(symbols()["canopy_assert_fail"]))


@pytest.mark.usefixtures("four_threads")
def test_launches_from_many_threads(kernels: Kernels) -> None:
    outputs = [np.zeros(1000, np.int32) for _ in range(8)]

    def work(out: np.ndarray) -> None:
        for _ in range(200):
            launch(kernels.count_up, out.shape, pack_slots(address(out)))

    threads = [threading.Thread(target=work, args=(out,)) for out in outputs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((out == 200).all() for out in outputs)


def test_python_runs_while_a_kernel_does(kernels: Kernels) -> None:
    out = np.zeros(4, np.uint64)
    packed = pack_slots(address(out), 50_000_000)
    thread = threading.Thread(target=launch, args=(kernels.note_thread, (4,), packed))
    thread.start()
    turns = 0
    while thread.is_alive():
        time.sleep(0.001)
        turns += 1
    assert turns > 5


@pytest.mark.usefixtures("four_threads")
def test_the_number_of_threads_can_change_between_launches(kernels: Kernels) -> None:
    out = np.zeros(64, np.uint64)
    for count in (4, 2, 7, 1, 3, 16, 2):
        set_num_threads(count)
        assert get_num_threads() == count
        launch(kernels.note_thread, (64,), pack_slots(address(out), 20_000))
        assert 1 <= len(np.unique(out)) <= count


@pytest.mark.parametrize("count", [0, -1, 1025, 1 << 70])
def test_a_wrong_number_of_threads(count: int) -> None:
    with pytest.raises(LaunchError, match="expected 1 to 1024"):
        set_num_threads(count)


def ask_threads(**environment: str) -> str:
    code = "from canopy.runtime import get_num_threads; print(get_num_threads())"
    environment = {**os.environ, **environment}
    return subprocess.check_output([sys.executable, "-c", code], env=environment, text=True).strip()


def test_the_environment_sets_the_number_of_threads() -> None:
    assert ask_threads(CANOPY_NUM_THREADS="3") == "3"
    assert 1 <= int(ask_threads(CANOPY_NUM_THREADS="many")) <= len(os.sched_getaffinity(0))


def count_programs(path: str) -> int:
    out = np.zeros(5000, np.int32)
    launch(Kernels(path).count_up, out.shape, pack_slots(address(out)))
    return int(out.sum())


@pytest.mark.usefixtures("four_threads")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_child_processes_can_launch(kernels: Kernels, method: str) -> None:
    assert count_programs(str(kernels.path)) == 5000
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(count_programs, [str(kernels.path)] * 4) == [5000] * 4
    assert count_programs(str(kernels.path)) == 5000


@pytest.mark.usefixtures("four_threads")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork_while_another_thread_launches(kernels: Kernels) -> None:
    stop = threading.Event()

    def keep_launching() -> None:
        while not stop.is_set():
            count_programs(str(kernels.path))

    thread = threading.Thread(target=keep_launching)
    thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                os._exit(0 if count_programs(str(kernels.path)) == 5000 else 1)
            _, status = os.waitpid(child, 0)
            assert status == 0
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def openmp_shared() -> Iterator[None]:
    pytest.importorskip("torch")
    if not share_openmp_threads(True):
        pytest.skip("torch brought no OpenMP runtime")
    yield
    assert not share_openmp_threads(False)


@pytest.mark.usefixtures("four_threads", "openmp_shared")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_on_openmps_threads(kernels: Kernels) -> None:
    out = np.zeros(5000, np.int32)
    for threads in (4, 2, 3):
        set_num_threads(threads)
        launch(kernels.count_up, out.shape, pack_slots(address(out)))
    assert (out == 3).all()
    turn = np.zeros(1, np.uint64)
    launch(kernels.take_turns, (100,), pack_slots(address(turn)))
    assert turn[0] == 100
    with pytest.raises(KernelError, match="code 7"):
        launch(kernels.fail_at, (100,), pack_slots(50))
    child = os.fork()
    if child == 0:
        os._exit(0 if count_programs(str(kernels.path)) == 5000 else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.usefixtures("four_threads")
def test_workers_compute_in_the_callers_float_mode(kernels: Kernels) -> None:
    torch = pytest.importorskip("torch")
    out = np.ones(4000, np.float32)
    if not torch.set_flush_denormal(True):
        pytest.skip("this CPU cannot flush denormals")
    try:
        launch(kernels.denormal, out.shape, pack_slots(address(out)))
        assert (out == 0).all()
    finally:
        torch.set_flush_denormal(False)
    launch(kernels.denormal, out.shape, pack_slots(address(out)))
    assert (out != 0).all()


def test_many_launches_do_not_grow_memory(kernels: Kernels) -> None:
    launcher = make_launcher(kernels.nothing, 4096, b"PWif")
    left, right = np.zeros(16), np.zeros(16)

    def run(count: int) -> int:
        for _ in range(count):
            launcher(8, 1, 1, left, right, 3, 0.5)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    warm = run(2000)
    assert run(100_000) - warm < 512  # KiB


def test_ctrl_c_is_seen_after_the_kernel(kernels: Kernels) -> None:
    code = f"""
import ctypes, os, signal, threading
from canopy.runtime import pack_slots
from canopy.runtime.launch import launch
out = (ctypes.c_uint64 * 4)()
packed = pack_slots(ctypes.addressof(out), 20_000_000)
entry = ctypes.cast(ctypes.CDLL({str(kernels.path)!r}).note_thread, ctypes.c_void_p).value
threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    while True:
        launch(entry, (4,), packed)
except KeyboardInterrupt:
    print("stopped")
"""
    assert subprocess.check_output([sys.executable, "-c", code], timeout=60) == b"stopped\n"
