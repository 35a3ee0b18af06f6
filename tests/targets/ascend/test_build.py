"""`canopy build`: the text runs on the CPU, the host launcher against a recording library."""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ziglang", reason="pip install canopy-nn[cuda]")
pytest.importorskip("triton", reason="pip install canopy-nn[triton]")

from canopy.ascend import RawKernel
from canopy.frontends.ascendc import library
from tests.targets.ascend.test_acl import FAKE

KERNELS = """
import triton, triton.language as tl

@triton.jit
def softmax_kernel(x, out, stride, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    places = tl.arange(0, BLOCK)
    v = tl.load(x + row * stride + places, mask=places < n, other=-float("inf"))
    e = tl.exp(v - tl.max(v, 0))
    tl.store(out + row * stride + places, e / tl.sum(e, 0), mask=places < n)
"""
SIGNATURE = "x:*fp32,out:*fp32,stride:i32,n:i32,BLOCK:1024"
# The parts of CANN's headers that the launcher uses, as the documentation gives them.
HEADERS = r"""
typedef void* aclrtStream;
enum { ACL_MEM_MALLOC_HUGE_FIRST, ACL_MEMCPY_HOST_TO_DEVICE, ACL_MEMCPY_DEVICE_TO_HOST };
#define ACLRT_LAUNCH_KERNEL(kernel) aclrtlaunch_##kernel
API aclrtlaunch_softmax_kernel(uint32_t blocks, void* stream, uint8_t* x, uint8_t* out,
                               int32_t stride, int32_t n, int32_t grid_x, int32_t grid_y,
                               int32_t grid_z) {
    for (int i = 0; i < n * grid_x; ++i) ((float*)out)[i] = ((float*)x)[i] + stride;
    const int programs = grid_x * grid_y * grid_z;
    return say("launch %u on %p: %d %d grid %d\n", blocks, stream, stride, n, programs);
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("build")
    (path / "kernels.py").write_text(KERNELS)
    command = [sys.executable, "-m", "canopy", "build", f"{path}/kernels.py:softmax_kernel"]
    command += ["--target", "ascend", "--chip", "910c", "-o", str(path / "out")]
    done = subprocess.run(
        [*command, "--signature", SIGNATURE], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return path / "out"


def test_the_kernel_runs_on_the_cpu(folder: Path) -> None:
    source = (folder / "softmax_kernel.cpp").read_text()
    assert "e = tl.exp(v - tl.max(v, 0))" in source
    kernel = RawKernel(source, "softmax_kernel", chip="910c")
    x = np.random.default_rng(0).standard_normal((9, 1000)).astype(np.float32)
    out = np.full_like(x, np.nan)
    kernel(4, (x, out, 1000, 1000, 9, 1, 1))
    wide = np.exp(x.astype(np.float64))
    np.testing.assert_allclose(out, wide / wide.sum(axis=1, keepdims=True), rtol=1e-5)


def test_the_launcher_calls_acl_in_order(folder: Path, tmp_path: Path) -> None:
    host = (folder / "softmax_kernel_host.cpp").read_text()
    host = re.sub(r'#include "(acl/acl|aclrtlaunch_\w+)\.h"', "", host)
    fake = FAKE.partition("API aclrtLaunchKernel")[0]
    flags = [flag for flag in library._flags() if "visibility" not in flag]
    path = tmp_path / "host.so"
    path.write_bytes(
        library._compile(fake + HEADERS + host, "host.cpp", [*flags, "-I", str(folder)])
    )
    library._c_libraries()
    loaded = ctypes.CDLL(str(path))
    loaded.fake_record.restype = ctypes.c_char_p
    x = np.arange(300, dtype=np.float32)
    out = np.zeros_like(x)
    arrays = [
        word
        for array in (x, out)
        for word in (ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.nbytes))
    ]
    assert loaded.launch_softmax_kernel(2, *arrays, 7, 100, 3, 1, 1) == 0
    np.testing.assert_array_equal(out, x + 7)
    record = loaded.fake_record().decode().split("\n")
    words = [line.split()[0] for line in record if line]
    copies = ["malloc", "memcpy", "malloc", "memcpy"]
    assert words == [
        *("init", "set_device", "create_stream", *copies, "launch", "synchronize"),
        *("memcpy", "memcpy", "free", "free", "destroy_stream", "reset_device", "finalize"),
    ]
    assert "launch 3 on" in loaded.fake_record().decode()


def test_the_project_names_the_chip_and_says_what_was_not_tried(folder: Path) -> None:
    assert 'set(SOC_VERSION "Ascend910_9391"' in (folder / "CMakeLists.txt").read_text()
    assert "never\non a card" in (folder / "README.md").read_text()
    assert "launch_softmax_kernel(int32_t device" in (folder / "softmax_kernel_host.h").read_text()
