"""RawKernel and RawModule: arguments of every kind, templates, variables, errors, the caches."""

from __future__ import annotations

import array
import ctypes
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

pytest.importorskip("ziglang")

from canopy.cuda import RawKernel, RawModule
from canopy.errors import CompileError, KernelError, LaunchError, UnsupportedError
from canopy.frontends.cuda.command_line import UsageError

RNG = np.random.default_rng()
CODE = r"""
struct Pair { float scale; int shift; };
struct Node { Node* next; double value; };
enum Mode { PLAIN, SQUARED = 7 };

__constant__ float weights[3] = {1.5f, -2.0f, 0.25f};
__device__ int calls;
__device__ Pair last;
__device__ double grid_of[2][3];

namespace inner {
template <typename T, int N>
__global__ void scale(const T* x, T* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = x[i] * N;
}
}

extern "C" __global__ void all_kinds(
    signed char a, unsigned char b, short c, unsigned short d, int e, unsigned f, long long g,
    unsigned long long h, float i, double j, bool k, Mode m, double* out) {
  double values[] = {(double)a, (double)b, (double)c, (double)d, (double)e, (double)f,
                     (double)g, (double)h, i, j, (double)k, (double)m};
  for (int at = 0; at < 12; at++) out[at] = values[at];
}

extern "C" __global__ void by_value(Pair p, float4 v, const float* x, float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = x[i] * p.scale + p.shift + v.w;
}

extern "C" __global__ void weighted(float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] *= weights[i % 3];
  if (i == 0) { atomicAdd(&calls, 1); last.shift += 5; last.scale = weights[0]; grid_of[1][2] = n; }
}

extern "C" __global__ void reversed(const int* x, int* y, int n) {
  extern __shared__ int copy[];
  int i = threadIdx.x;
  if (i < n) copy[i] = x[i];
  __syncthreads();
  if (i < n) y[i] = copy[n - 1 - i];
}

extern "C" __global__ void __launch_bounds__(128) bounded(int* y) {
  __shared__ int first[32];
  int i = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  if (i < 32) first[i] = i;
  __syncthreads();
  y[i] = first[3] + DELTA;
}

extern "C" __global__ void untyped(void* p, const unsigned char* bytes, float4* v, Node* list) {
  if (p) ((int*)p)[0] = bytes ? bytes[0] : -1;
  if (v) v[0].y = 3.0f;
}

__global__ void plain(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x] + 1; }
"""
MODULE = RawModule(
    code=CODE,
    options=("-DDELTA=40", "--std=c++11", "-arch=sm_80", "--use_fast_math"),
    name_expressions=["inner::scale<float, 3>", "inner::scale<double, -2>"],
)


def test_templates_and_names():
    n = 1003
    x = RNG.standard_normal(n)
    for dtype, name, factor in (
        (np.float32, "inner::scale<float, 3>", 3),
        (np.float64, "inner::scale<double, -2>", -2),
    ):
        given, y = x.astype(dtype), np.zeros(n, dtype)
        MODULE.get_function(name)((-(-n // 96),), (96,), (given, y, n))
        np.testing.assert_array_equal(y, given * dtype(factor))
    y = np.zeros(33, np.float32)
    MODULE.get_function("plain")((1,), (33,), (x[:33].astype(np.float32), y))
    np.testing.assert_array_equal(y, x[:33].astype(np.float32) + 1)
    one = RawKernel("template <class T> __global__ void f(T* y) { *y = sizeof(T); }", "f<short>")
    got = np.zeros(1, np.int16)
    one((1,), (1,), (got,))
    assert got[0] == 2


def test_scalars_convert_to_the_parameters_type():
    out = np.zeros(12)
    kernel = MODULE.get_function("all_kinds")
    kernel(
        (1,),
        (1,),
        (
            -128,
            np.uint8(255),
            np.int64(-32768),
            65535,
            np.int32(-(2**31)),
            2**32 - 1,
            -(2**63) + 2048,
            2**63,
            np.float64(0.1),
            np.float32(0.1),
            np.bool_(True),
            7,
            out,
        ),
    )
    want = [-128, 255, -32768, 65535, -(2.0**31), 2.0**32 - 1, -(2.0**63) + 2048, 2.0**63]
    np.testing.assert_array_equal(out, [*want, np.float32(0.1), np.float64(np.float32(0.1)), 1, 7])


def test_structures_by_value():
    n = 70
    x = RNG.standard_normal(n).astype(np.float32)
    kernel = MODULE.get_function("by_value")
    record = np.dtype([("scale", np.float32), ("shift", np.int32)])

    class Pair(ctypes.Structure):
        _fields_ = [("scale", ctypes.c_float), ("shift", ctypes.c_int)]

    values = [
        np.array((2.5, -3), record),
        np.array([(2.5, -3)], record)[0],
        Pair(2.5, -3),
        bytes(Pair(2.5, -3)),
        (2.5, -3),
    ]
    for value in values:
        y = np.zeros(n, np.float32)
        kernel((2,), (64,), (value, (0, 0, 0, 9), x, y, n))
        np.testing.assert_allclose(
            y, x * np.float32(2.5) + np.float32(-3) + np.float32(9), rtol=1e-6, atol=1e-5
        )
    for wrong in ((1, 2, 3), b"abc", 3, np.zeros(2, record), (1, "x")):
        with pytest.raises(LaunchError, match=r"argument p \(Pair\) of by_value: "):
            kernel((2,), (64,), (wrong, (0, 0, 0, 0), x, x, n))


def test_device_variables():
    y = RNG.standard_normal(50).astype(np.float32)
    want = y.copy()
    calls = MODULE.get_global("calls")
    before = int(calls)
    weights = MODULE.get_global("weights")
    assert weights.dtype == np.float32
    assert weights.tolist() == [1.5, -2.0, 0.25]
    kernel = MODULE.get_function("weighted")
    kernel((2,), (32,), (y, 50))
    weights[1] = 8
    kernel((2,), (32,), (y, 50))
    want *= np.resize(np.float32([1.5, -2, 0.25]), 50)
    want *= np.resize(np.float32([1.5, 8, 0.25]), 50)
    weights[1] = -2
    np.testing.assert_array_equal(y, want)
    assert int(calls) == before + 2
    assert calls.shape == ()
    last = MODULE.get_global("last")
    assert last["scale"] == 1.5
    assert last["shift"] >= 10
    assert MODULE.get_global("grid_of").shape == (2, 3)
    assert MODULE.get_global("grid_of")[1, 2] == 50
    kernel((1,), (3,), (weights, 3))  # the variable itself, also as an argument
    assert weights.tolist() == [1.5 * 1.5, 4.0, 0.0625]
    weights[:] = [1.5, -2.0, 0.25]
    with pytest.raises(CompileError, match="no __device__ or __constant__ variable is named nope"):
        MODULE.get_global("nope")


def test_dynamic_shared_memory():
    kernel = MODULE.get_function("reversed")
    for n in (7, 300, 1024):
        x = RNG.integers(-1000, 1000, n, dtype=np.int32)
        y = np.zeros_like(x)
        kernel((1,), (n,), (x, y, n), shared_mem=4 * n)
        np.testing.assert_array_equal(y, x[::-1])
    with pytest.raises(LaunchError, match="shared_mem=, in bytes"):
        kernel((1,), (8,), (x, y, 8))
    with pytest.raises(LaunchError, match="at most 232448"):
        kernel((1,), (8,), (x, y, 8), shared_mem=100_000)
    kernel.max_dynamic_shared_size_bytes = 100_000
    kernel((1,), (8,), (x, y, 8), shared_mem=100_000)
    np.testing.assert_array_equal(y[:8], x[:8][::-1])


def test_attributes():
    kernel = MODULE.get_function("bounded")
    assert kernel.attributes["max_threads_per_block"] == 128
    assert kernel.attributes["shared_size_bytes"] == 128
    assert kernel.max_dynamic_shared_size_bytes == 49152
    y = np.zeros(2 * 3 * 4, np.int32)
    kernel((1,), (2, 3, 4), (y,))
    assert (y == 43).all()
    whole = RawKernel('extern "C" __global__ void k() {}', "k")
    whole.max_dynamic_shared_size_bytes = 65536
    assert whole.attributes["max_dynamic_shared_size_bytes"] == 65536
    assert whole.num_regs > 0
    assert whole.name == "k"
    with pytest.raises(AttributeError):
        whole.nothing  # noqa: B018


def test_memory_of_many_kinds():
    kernel = MODULE.get_function("untyped")
    data = bytearray(b"\x07rest")
    out, vector = array.array("i", [0, 0]), np.zeros(8, np.float32)
    kernel((1,), (1,), (out, data, vector, None))
    assert out[0] == 7
    assert vector[1] == 3
    numbers = (ctypes.c_int * 4)()
    kernel((1,), (1,), (numbers, None, None, None))
    assert numbers[0] == -1
    kernel((1,), (1,), (ctypes.addressof(numbers), np.full(1, 9, np.uint8), None, None))
    assert numbers[0] == 9

    class OnlyDlpack:
        def __init__(self, x):
            self.x = x

        def __dlpack__(self, **options):
            return self.x.__dlpack__(**options)

        def __dlpack_device__(self):
            return self.x.__dlpack_device__()

    given = np.zeros(3, np.int64)
    kernel((1,), (1,), (OnlyDlpack(given), np.full(1, 5, np.uint8), None, None))
    assert given[0] == 5


def test_torch_tensors():
    torch = pytest.importorskip("torch")
    kernel = RawKernel(
        'extern "C" __global__ void twice(const float* x, float* y, int n) {'
        " for (int i = threadIdx.x; i < n; i += blockDim.x) y[i] = 2 * x[i]; }",
        "twice",
    )
    x = torch.randn(5, 7)
    y = torch.empty(7, 5).t()
    kernel((1,), (32,), (x, y, x.numel()))
    torch.testing.assert_close(y.t().reshape(-1), 2 * x.reshape(-1))
    with pytest.raises(LaunchError, match=r"argument x .*float32, got float64"):
        kernel((1,), (32,), (x.double(), y, 3))
    with pytest.raises(LaunchError, match="side by side"):
        kernel((1,), (32,), (x[:, ::2], y, 3))
    with pytest.raises(LaunchError, match="device 'meta'"):
        kernel((1,), (32,), (x.to("meta"), y, 3))


def test_overlapping_arrays():
    """The kernel is compiled for arrays that share no memory, too: the launch must choose."""
    kernel = RawKernel(
        'extern "C" __global__ void next(const float* x, float* y, int n) {'
        " for (int i = 0; i < n; i++) y[i] = x[i] + 1; }",
        "next",
    )
    memory = np.zeros(100, np.float32)
    kernel((1,), (1,), (memory[:-1], memory[1:], 99))
    np.testing.assert_array_equal(memory, np.arange(100))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            (None,),
            r"plain takes 2 arguments, 1 are given\nhint: plain\(const float\* x, float\* y\)",
        ),
        (([1.0], None), r"argument x \(const float\*\) of plain: .*got list"),
        ((np.zeros(4), None), "expected elements of float32, got float64"),
        ((np.zeros(4, np.int32), None), "expected elements of float32, got int32"),
        ((np.zeros((4, 4), np.float32)[:, 1:], None), "side by side"),
        ((None, np.broadcast_to(np.float32(1), 4)), "side by side|read-only"),
        ((None, 1.5), r"argument y \(float\*\) of plain: .*got float"),
        ((None, "text"), "got str"),
    ],
)
def test_wrong_pointers(arguments, text):
    with pytest.raises(LaunchError, match=text):
        MODULE.get_function("plain")((1,), (4,), arguments)


def test_wrong_scalars_and_read_only_memory():
    kernel = MODULE.get_function("inner::scale<float, 3>")
    x = np.zeros(4, np.float32)
    for wrong, text in ((2**31, "does not fit"), (1.5, "expected an integer"), ("4", "integer")):
        with pytest.raises(LaunchError, match=rf"argument n \(int\) of scale<float, 3>: .*{text}"):
            kernel((1,), (4,), (x, x, wrong))
    fixed = x.copy()
    fixed.flags.writeable = False
    kernel((1,), (4,), (fixed, x, 4))
    with pytest.raises(LaunchError, match=r"argument y .*read-only"):
        kernel((1,), (4,), (x, fixed, 4))


def test_wrong_shapes():
    kernel = MODULE.get_function("plain")
    x = np.zeros(2000, np.float32)
    for grid, block, text in (
        ((1,), (1025,), "1 to 1024 threads"),
        ((1,), (32, 33), "1 to 1024 threads"),
        ((1,), (1, 1, 65), "z is at most 64"),
        ((1,), (0,), "has 0"),
        ((0,), (1,), "at least 1"),
        ((1, 65536), (1,), "65535"),
        ((1.5,), (1,), "//"),
        ((1, 1, 1, 1), (1,), "one to three"),
        ((2**31,), (1,), "2147483647"),
    ):
        with pytest.raises(LaunchError, match=text):
            kernel(grid, block, (x, x.copy()))
    with pytest.raises(LaunchError, match="launch_bounds"):
        MODULE.get_function("bounded")((1,), (129,), (x,))
    kernel(np.int64(1), [np.int32(4), 1], (x, x.copy()))


def test_sources_that_do_not_compile(tmp_path: Path):
    broken = RawKernel('extern "C" __global__ void k(int* p) {\n  p[0] = missing;\n}\n', "k")
    with pytest.raises(CompileError) as caught:
        broken((1,), (1,), (None,))
    assert str(caught.value).startswith("<RawKernel k>:2")
    assert "missing" in str(caught.value)
    with pytest.raises(CompileError, match=r"no kernel is named other\n.*kernels here: k"):
        RawKernel('extern "C" __global__ void k() {}', "other").compile()
    with pytest.raises(CompileError, match="name_expressions"):
        MODULE.get_function("inner::scale<int, 1>")
    with pytest.raises(CompileError, match=r"<name_expressions>:1:.*nothing"):
        RawModule(code="", name_expressions=["nothing<int>"]).compile()
    with pytest.raises(UsageError, match="unknown option '--nonsense'"):
        RawKernel('extern "C" __global__ void k() {}', "k", ("--nonsense",)).compile()
    with pytest.raises(CompileError, match="code= or path="):
        RawModule()
    ptx = tmp_path / "k.ptx"
    ptx.write_text(".version 8.0")
    with pytest.raises(UnsupportedError, match="machine code"):
        RawModule(path=str(ptx))


def test_half_types():
    """What the source means as 16-bit floats, however the headers define them."""
    code = """
    struct __half { unsigned short bits; };
    struct __nv_bfloat16 { unsigned short bits; };
    extern "C" __global__ void k(const __half* x, __nv_bfloat16* y, __half a, __nv_bfloat16 b) {
      y[0] = b; y[1].bits = a.bits; y[2].bits = x[0].bits;
    }
    """
    kernel = RawKernel(code, "k")
    y = np.zeros(3, ml_dtypes.bfloat16)
    kernel((1,), (1,), (np.full(1, 3.0, np.float16), y, 1.5, 2.5))
    bits = y.view(np.uint16)
    assert y[0] == 2.5
    assert bits[1:].view(np.float16).tolist() == [1.5, 3.0]
    for wrong in (np.zeros(1, np.uint16), np.zeros(1, ml_dtypes.bfloat16)):
        with pytest.raises(LaunchError, match="expected elements of float16"):
            kernel((1,), (1,), (wrong, y, 1, 1))


def test_files_headers_and_the_disk_cache(tmp_path: Path):
    """A module from a file; its header's change is seen; a second process compiles nothing."""
    header, source = tmp_path / "value.h", tmp_path / "my kernel.cu"
    header.write_text("#define VALUE 11\n")
    source.write_text(
        '#include "value.h"\nextern "C" __global__ void k(int* p) { p[threadIdx.x] = VALUE; }\n'
    )
    script = f"""
import sys
import numpy as np
from canopy.cuda import RawModule
p = np.zeros(5, np.int32)
RawModule(path={str(source)!r}).get_function("k")((1,), (5,), (p,))
print(p.tolist(), "canopy.frontends.cuda.llvm_reader" in sys.modules)
"""

    def run() -> str:
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert run() == "[11, 11, 11, 11, 11] True"
    assert run() == "[11, 11, 11, 11, 11] False"
    header.write_text("#define VALUE 12\n")
    assert run() == "[12, 12, 12, 12, 12] True"


def test_printing_assertions_and_traps(capfd):
    """printf and assert are there without an include, and a kernel's failure is an exception."""
    module = RawModule(
        code=r"""
extern "C" __global__ void check(int* p) {
  if (threadIdx.x == 3) printf("thread %d of %d: %.2f\n", threadIdx.x, blockDim.x, 0.25);
  assert(p[0] < 5);
  p[1] = 7;
}
extern "C" __global__ void stop(int* p) { if (*p) __trap(); }
"""
    )
    p = np.array([1, 0], np.int32)
    module.get_function("check")((1,), (4,), (p,))
    assert p[1] == 7
    assert "thread 3 of 4: 0.25\n" in capfd.readouterr().out
    p[0] = 9
    with pytest.raises(KernelError, match=r"<RawModule>:4: .*`p\[0\] < 5` failed"):
        module.get_function("check")((1,), (1,), (p,))
    with pytest.raises(KernelError, match="trap"):
        module.get_function("stop")((1,), (1,), (p,))
