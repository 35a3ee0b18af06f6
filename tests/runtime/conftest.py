"""The kernels of kernels.c, compiled once per session."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


class Kernels:
    """Entry addresses as attributes: ``kernels.count_up``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.library = ctypes.CDLL(str(path))

    def __getattr__(self, name: str) -> int:
        address = ctypes.cast(getattr(self.library, name), ctypes.c_void_p).value
        assert address is not None
        return address

    def captured(self, count: int) -> list[int]:
        """The slots that ``capture`` saw last."""
        return list((ctypes.c_uint64 * 64).in_dll(self.library, "captured"))[:count]


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Kernels:
    pytest.importorskip("ziglang", reason="the test kernels are compiled by ziglang")
    path = tmp_path_factory.mktemp("kernels") / "kernels.so"
    source = Path(__file__).with_name("kernels.c")
    command = [sys.executable, "-m", "ziglang", "cc", "-O2", "-std=gnu11", "-shared", "-fPIC"]
    subprocess.run([*command, str(source), "-o", str(path)], check=True)
    return Kernels(path)


@pytest.fixture
def four_threads() -> Iterator[None]:
    from canopy.runtime import get_num_threads, set_num_threads

    before = get_num_threads()
    set_num_threads(4)
    yield
    set_num_threads(before)
