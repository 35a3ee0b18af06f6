"""Half floats, printing, events, the allocator, and the missing library."""

from __future__ import annotations

import ctypes
import math
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from canopy.errors import LaunchError
from canopy.runtime import Event, symbols
from canopy.runtime.native_library import native


def test_half_rounds_once_to_nearest_even() -> None:
    rng = np.random.default_rng()
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    finite = halves[np.isfinite(halves)].astype(np.float64)
    near = np.concatenate([finite, (finite[1:] + finite[:-1]) / 2, rng.normal(size=20_000)])
    values = np.concatenate([near, np.nextafter(near, np.inf), [1e9, -1e9, math.inf, 1e-300, -0.0]])
    with np.errstate(over="ignore"):
        expected = values.astype(np.float16).view(np.uint16)
    actual = np.array([native.half_bits(value) for value in values], np.uint16)
    np.testing.assert_array_equal(actual, expected)
    assert math.isnan(np.uint16(native.half_bits(math.nan)).view(np.float16))


def test_bfloat16_rounds_to_nearest_even() -> None:
    dtypes = pytest.importorskip("ml_dtypes")
    rng = np.random.default_rng()
    values = rng.normal(size=20_000).astype(np.float32) * 10.0 ** rng.integers(-40, 38, 20_000)
    values = np.concatenate([values, [1.00390625, 1.01171875, 0.0, 3.4e38, -math.inf]])
    expected = values.astype(np.float32).astype(dtypes.bfloat16).view(np.uint16)
    singles = values.astype(np.float32).astype(np.float64)
    actual = np.array([native.bfloat16_bits(value) for value in singles], np.uint16)
    np.testing.assert_array_equal(actual, expected)


def test_halves_widen_exactly() -> None:
    widen = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_uint16)(symbols()["canopy_half_to_float"])
    bits = np.arange(65536, dtype=np.uint16)
    expected = bits.view(np.float16).astype(np.float32)
    actual = np.array([widen(int(value)) for value in bits], np.float32)
    np.testing.assert_array_equal(actual, expected)


BOOL, I8, I32, U64, F16, F32, POINTER = 0, 1, 3, 8, 9, 11, 13


def print_values(
    values: np.ndarray, kind: int, prefix: str = " x: ", hexadecimal: bool = False
) -> None:
    arguments = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.c_void_p]
    arguments += [ctypes.c_uint64, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32]
    function = ctypes.CFUNCTYPE(None, *arguments)(symbols()["canopy_print_values"])
    shape = (ctypes.c_int64 * max(1, values.ndim))(*values.shape)
    pid = (ctypes.c_uint32 * 3)(1, 2, 3)
    data = values.ctypes.data
    function(pid, prefix.encode(), kind, data, values.size, shape, values.ndim, int(hexadecimal))


@pytest.mark.parametrize(
    ("values", "kind", "hexadecimal", "lines"),
    [
        (np.int32(-5), I32, False, ["pid (1, 2, 3) idx () x: -5"]),
        (np.array([-1, 7], np.int8), I8, False, ["idx (0) x: -1", "idx (1) x: 7"]),
        (np.array([1.5], np.float16), F16, False, ["idx (0) x: 1.500000"]),
        (
            np.array([[1.0], [2.0]], np.float32),
            F32,
            False,
            ["idx (0, 0) x: 1.0", "idx (1, 0) x: 2"],
        ),
        (np.array([2**64 - 1], np.uint64), U64, False, ["x: 18446744073709551615"]),
        (np.array([255], np.int32), I32, True, ["x: 0x000000ff"]),
        (np.array([16], np.uint64), POINTER, False, ["x: 0x0000000000000010"]),
        (np.array([True, False]), BOOL, False, ["x: 1", "x: 0"]),
    ],
)
def test_print_values(
    capfd: pytest.CaptureFixture[str],
    values: np.ndarray,
    kind: int,
    hexadecimal: bool,
    lines: list[str],
) -> None:
    print_values(np.asarray(values), kind, hexadecimal=hexadecimal)
    printed = capfd.readouterr().out.splitlines()
    assert len(printed) == len(lines)
    assert all(line in text for line, text in zip(lines, printed, strict=True))


def test_indices_line_up(capfd: pytest.CaptureFixture[str]) -> None:
    print_values(np.arange(12, dtype=np.int32), I32)
    printed = capfd.readouterr().out.splitlines()
    assert printed[3] == "pid (1, 2, 3) idx ( 3) x: 3"
    assert printed[11] == "pid (1, 2, 3) idx (11) x: 11"


def test_prints_of_many_threads_keep_their_lines(capfd: pytest.CaptureFixture[str]) -> None:
    values = np.full(3000, 7, np.int32)
    threads = [threading.Thread(target=print_values, args=(values, I32)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    printed = capfd.readouterr().out.splitlines()
    assert len(printed) == 12_000
    assert all(line.startswith("pid (1, 2, 3) idx (") for line in printed)
    assert all(line.endswith(") x: 7") for line in printed)


def test_events() -> None:
    start, end = Event(), Event()
    with pytest.raises(LaunchError, match="not recorded"):
        start.elapsed_ms(end)
    start.record()
    end.record()
    assert end.query()
    assert 0 <= start.elapsed_ms(end) < 1000
    assert end.elapsed_ms(start) <= 0


class TestAllocator:
    @pytest.mark.parametrize(
        "size", [0, 1, 63, 64, 65, 1000, 4097, 1 << 20, (2 << 20) - 64, 5 << 20]
    )
    def test_blocks_are_aligned_and_whole(self, size: int) -> None:
        block = native.alloc(size)
        assert block % 64 == 0
        ctypes.memset(block, 0xAB, size)
        native.free(block)
        assert native.alloc(size) == block
        native.free(block)

    def test_random_blocks_do_not_overlap(self) -> None:
        rng = np.random.default_rng()
        live: dict[int, tuple[int, int]] = {}
        for step in range(3000):
            if live and rng.random() < 0.5:
                block, (size, mark) = live.popitem()
                assert ctypes.string_at(block, size) == bytes([mark]) * size
                native.free(block)
            else:
                size = int(2 ** rng.uniform(0, 15))
                block = native.alloc(size)
                assert block not in live
                ctypes.memset(block, step % 256, size)
                live[block] = (size, step % 256)
        for block in live:
            native.free(block)

    def test_stats_and_trim(self) -> None:
        native.alloc_trim()
        before = native.alloc_stats()
        block = native.alloc(3 << 20)
        during = native.alloc_stats()
        assert 3 << 20 <= during["used_bytes"] - before["used_bytes"] <= (3 << 20) * 9 // 8 + 64
        native.free(block)
        assert native.alloc_stats()["cached_bytes"] >= 3 << 20
        native.alloc_trim()
        after = native.alloc_stats()
        assert (after["used_bytes"], after["cached_bytes"]) == (before["used_bytes"], 0)

    def test_too_much(self) -> None:
        for size in (1 << 46, 1 << 63, 2**64 - 1):
            with pytest.raises(MemoryError):
                native.alloc(size)


def run_without_library(code: str, tmp_path: Path, library: bytes | None) -> str:
    """Runs code against a copy of the package whose library is absent, or is these bytes."""
    import shutil

    import canopy

    source = Path(canopy.__file__).parent
    shutil.copytree(source, tmp_path / "canopy", ignore=shutil.ignore_patterns("*.so"))
    if library is not None:
        (tmp_path / "canopy/runtime/native/_native.abi3.so").write_bytes(library)
    command = [sys.executable, "-c", code]
    return subprocess.check_output(command, env={"PYTHONPATH": str(tmp_path)}, text=True)


@pytest.mark.parametrize(
    ("library", "text"),
    [(None, "hint: in a source tree run `make setup`"), (b"junk", "does not load")],
)
def test_a_missing_library_is_explained(tmp_path: Path, library: bytes | None, text: str) -> None:
    code = """
import canopy.runtime
from canopy.errors import MissingDependencyError
canopy.runtime.DiskCache
try:
    canopy.runtime.get_num_threads
except MissingDependencyError as error:
    print(error)
"""
    assert text in run_without_library(code, tmp_path, library)
