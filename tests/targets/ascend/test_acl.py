"""The launcher for a card against a library that records its calls and has memory of its own."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ziglang", reason="pip install canopy-nn[cuda]")

from canopy.errors import KernelError, LaunchError, MissingDependencyError
from canopy.frontends.ascendc import library
from canopy.targets.ascend.acl import Device, find_library

# Memory of the card is memory of its own; a launch computes out = x * factor + n on it.
FAKE = r"""
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define API extern "C" __attribute__((visibility("default"))) int
static char record[65536];
static int fail_at = -1, calls = 0;
static int say(const char* format, ...) {
    va_list values;
    va_start(values, format);
    size_t used = strlen(record);
    vsnprintf(record + used, sizeof(record) - used, format, values);
    va_end(values);
    return calls++ == fail_at ? 507014 : 0;
}
extern "C" __attribute__((visibility("default"))) const char* fake_record() { return record; }
API fake_reset(int at) { record[0] = 0; calls = 0; fail_at = at; return 0; }
API aclInit(const char* path) { return say("init %s\n", path ? path : "-"); }
API aclFinalize() { return say("finalize\n"); }
API aclrtSetDevice(int32_t device) { return say("set_device %d\n", device); }
API aclrtResetDevice(int32_t device) { return say("reset_device %d\n", device); }
API aclrtCreateStream(void** stream) { *stream = (void*)0x51; return say("create_stream\n"); }
API aclrtDestroyStream(void* stream) { return say("destroy_stream %p\n", stream); }
API aclrtSynchronizeStream(void* stream) { return say("synchronize %p\n", stream); }
API aclrtMalloc(void** made, size_t bytes, int policy) {
    *made = malloc(bytes);
    return say("malloc %zu %d\n", bytes, policy);
}
API aclrtFree(void* memory) { free(memory); return say("free\n"); }
API aclrtMemcpy(void* to, size_t room, const void* from, size_t bytes, int kind) {
    memcpy(to, from, bytes);
    return say("memcpy %zu of %zu kind %d\n", bytes, room, kind);
}
API aclrtBinaryLoadFromFile(const char* path, void* options, void** made) {
    *made = (void*)0xB1;
    return say("load %s %p\n", path, options);
}
API aclrtBinaryUnLoad(void* binary) { return say("unload %p\n", binary); }
API aclrtBinaryGetFunction(void* binary, const char* name, void** made) {
    *made = (void*)0xF1;
    return say("function %p %s\n", binary, name);
}
API aclrtLaunchKernel(void* function, uint32_t blocks, const void* data, size_t bytes,
                      void* stream) {
    const char* slots = (const char*)data;
    const float* x = *(const float**)slots;
    float* out = *(float**)(slots + 8);
    const float factor = *(const float*)(slots + 16);
    const int32_t n = *(const int32_t*)(slots + 24);
    for (int i = 0; i < n; ++i) out[i] = x[i] * factor + n;
    return say("launch %p %u blocks %zu bytes on %p\n", function, blocks, bytes, stream);
}
"""
PARAMETERS = ("GM_ADDR", "GM_ADDR", "float", "int32_t")


@pytest.fixture(scope="module")
def fake_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("acl") / "libascendcl.so"
    path.write_bytes(library._compile(FAKE, "fake.cpp", library._flags()))
    library._c_libraries()
    return path


@pytest.fixture
def fake(fake_path: Path) -> Iterator[Any]:
    loaded = ctypes.CDLL(str(fake_path))
    loaded.fake_record.restype = ctypes.c_char_p
    loaded.fake_reset(-1)
    yield loaded
    loaded.fake_reset(-1)


def launch(path: Path, n: int) -> np.ndarray[Any, Any]:
    x = np.arange(n, dtype=np.float32)
    out = np.full_like(x, np.nan)
    with Device(3, library=path) as device:
        kernel = device.load("kernels/softmax.o", "scale", PARAMETERS)
        kernel(48, (x, out, 2.5, n))
    np.testing.assert_array_equal(out, x * np.float32(2.5) + n)
    return out


def test_calls_and_arguments_come_in_their_order(fake_path: Path, fake: Any) -> None:
    launch(fake_path, 100)
    assert fake.fake_record().decode().splitlines() == [
        *("init -", "set_device 3", "create_stream"),
        *("load kernels/softmax.o (nil)", "function 0xb1 scale"),
        *("malloc 400 0", "memcpy 400 of 400 kind 1"),
        *("malloc 400 0", "memcpy 400 of 400 kind 1"),
        *("malloc 32 0", "memcpy 32 of 32 kind 1"),
        *("launch 0xf1 48 blocks 32 bytes on 0x51", "synchronize 0x51", "free"),
        *("memcpy 400 of 400 kind 2", "memcpy 400 of 400 kind 2", "free", "free"),
        *("unload 0xb1", "destroy_stream 0x51", "reset_device 3", "finalize"),
    ]


@pytest.mark.parametrize(("at", "name"), [(1, "aclrtSetDevice"), (11, "aclrtLaunchKernel")])
def test_a_failing_call_is_named(fake_path: Path, fake: Any, at: int, name: str) -> None:
    fake.fake_reset(at)
    with pytest.raises(KernelError, match=f"{name} returned 507014\nhint: .*log"):
        launch(fake_path, 4)
    record = fake.fake_record().decode()
    assert record.count("malloc") == record.count("free")


def test_wrong_arguments(fake_path: Path, fake: Any) -> None:
    with Device(library=fake_path) as device:
        kernel = device.load("a.o", "scale", PARAMETERS)
        with pytest.raises(LaunchError, match="takes 4 arguments, 1 are given"):
            kernel(1, (None,))
        with pytest.raises(LaunchError, match="argument 1 of scale: expected a contiguous array"):
            kernel(1, (None, np.zeros((4, 4))[:, ::2], 1.0, 0))
    assert "launch" not in fake.fake_record().decode()


def test_no_library_is_told() -> None:
    with pytest.raises(MissingDependencyError, match="no Ascend card can be used here"):
        find_library("/nowhere/libascendcl.so")
