"""CUDA C++ kernels on the simulator: `canopy.simulate`, launches under `canopy run`, errors."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("ziglang")

import canopy
from canopy.cuda import RawKernel, RawModule
from canopy.errors import KernelError, LaunchError, UnsupportedError

SOURCE = r"""
struct Scale { float factor; int shift; };
__constant__ float table[4] = {1, 2, 3, 4};
__device__ int launches;

extern "C" __global__ void saxpy(int n, Scale s, const float* x, float* y) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i == 0) atomicAdd(&launches, 1);
  if (i < n) y[i] = s.factor * x[i] + y[i] + table[1] + s.shift;
}

extern "C" __global__ void total(int n, const float* x, float* out) {
  extern __shared__ float part[];
  float sum = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) sum += x[i];
  part[threadIdx.x] = sum;
  __syncthreads();
  for (int k = blockDim.x / 2; k; k /= 2) {
    if (threadIdx.x < k) part[threadIdx.x] += part[threadIdx.x + k];
    __syncthreads();
  }
  if (threadIdx.x == 0) out[blockIdx.x] = part[0];
}

extern "C" __global__ void says(int n) {
  if (threadIdx.x < n)
    printf("%d\n", n);
}
extern "C" __global__ void waits(int* flag) {
  if (threadIdx.x == 0)
    while (atomicAdd(flag, 0) == 0) {}
  else if (threadIdx.x == 40) atomicExch(flag, 1);
}
extern "C" __global__ void wide(double* x) {
  x[threadIdx.x] += 1;
}
extern "C" __global__ void timed(long long* out) {
  *out = clock64();
}
"""
RNG = np.random.default_rng(5)


@pytest.fixture(scope="module")
def module() -> RawModule:
    return RawModule(code=SOURCE)


def test_results_report_and_what_launches_share(module: RawModule) -> None:
    n = 1003
    x, y = RNG.random(n, np.float32), RNG.random(n, np.float32)
    expected, before = 2 * x + y + 5, y.copy()
    kernel = module.get_function("saxpy")
    kernel((4,), (256,), (n, (2.0, 3), x, y))  # on the processor at hand
    np.testing.assert_allclose(y, expected, rtol=1e-6)
    y[:] = before
    report = canopy.simulate(kernel, (4,), (n, (2.0, 3), x, y), block=(256,))
    np.testing.assert_allclose(y, expected, rtol=1e-6)
    assert report.name == "saxpy"
    assert not report.hazards
    assert report.time_s > 0
    assert int(module.get_global("launches")) == 2
    kernel((4,), (256,), (n, (2.0, 3), x, y))
    assert int(module.get_global("launches")) == 3
    timing = canopy.simulate(kernel, (4,), (n, (2.0, 3), x, y), block=(256,), mode="timing")
    assert timing.cycles == pytest.approx(report.cycles, rel=0.1)


def test_dynamic_shared_memory_and_barriers(module: RawModule) -> None:
    x, out = RNG.random(777, np.float32), np.zeros(2, np.float32)
    kernel = module.get_function("total")
    report = canopy.simulate(kernel, (2,), (777, x, out), block=(128,), shared_mem=512)
    np.testing.assert_allclose(out, x.sum(dtype=np.float64), rtol=1e-5)
    assert not report.hazards
    with pytest.raises(LaunchError, match="shared_mem"):
        canopy.simulate(kernel, (2,), (777, x, out), block=(128,))


@pytest.mark.parametrize(
    ("name", "args", "line", "fact", "hint"),
    [
        ("says", (3,), 27, "printf in a kernel", "on the host"),
        ("waits", (np.zeros(1, np.int32),), 31, "wait", "--target cpu"),
        ("wide", (np.zeros(64),), 35, "has no float64", "float32"),
        ("timed", (np.zeros(1, np.int64),), 38, "clocks", "report"),
    ],
)
def test_what_is_refused(
    module: RawModule, name: str, args: tuple[object, ...], line: int, fact: str, hint: str
) -> None:
    with pytest.raises(UnsupportedError, match=fact) as caught:
        canopy.simulate(module.get_function(name), (1,), args, block=(64,))
    assert caught.value.location.line == line
    assert hint in caught.value.hint


def test_wrong_launches(module: RawModule) -> None:
    kernel = module.get_function("saxpy")
    x, y = np.zeros(100, np.float32), np.zeros(100, np.float32)
    with pytest.raises(LaunchError, match="needs a block"):
        canopy.simulate(kernel, (4,), (100, (2.0, 3), x, y))
    with pytest.raises(LaunchError, match="takes 4 arguments"):
        canopy.simulate(kernel, (4,), (100, x, y), block=(32,))
    with pytest.raises(KernelError, match=r":9: .* of x, which has 400"):
        canopy.simulate(kernel, (4,), (128, (2.0, 3), x, y), block=(32,))
    with pytest.raises(UnsupportedError, match="no model of the chip"):
        canopy.simulate(kernel, (4,), (100, (2.0, 3), x, y), block=(32,), chip="910z")


def test_launches_where_the_target_is_the_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    from canopy.frontends.triton import simulated

    seen: list[str] = []
    monkeypatch.setenv("CANOPY_TARGET", "ascend-sim")
    monkeypatch.setattr(simulated, "listeners", [lambda report: seen.append(report.name)])
    source = 'extern "C" __global__ void one(int* p) { p[threadIdx.x] = threadIdx.x; }'
    out = np.zeros(40, np.int32)
    RawKernel(source, "one")((1,), (40,), (out,))
    np.testing.assert_array_equal(out, np.arange(40))
    assert seen == ["one"]
