"""Runs of a CUDA block's ops, strip by strip: the same results as the interpreter's, which goes
through them block by block."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("ziglang")

from canopy.cuda import RawModule
from canopy.frontends.cuda import compile_cuda
from canopy.ir.interpreter import Interpreter

SOURCE = """
extern "C" __global__ void grid_stride(int n, const int *x, int *y) {
  int sum = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x) {
    sum += x[i];
    y[1024 + i] = x[i] * 3 + sum;
  }
  y[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

extern "C" __global__ void rows(int n, const int *x, int *y) {  // a warp to a row, some to none
  int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32;
  if (row >= n / 7) return;
  int most = -100, sum = 0;
  for (int i = lane; i < 45; i += 32) most = max(most, x[(row * 45 + i) % n]);
  for (int k = 16; k > 0; k >>= 1) most = max(most, __shfl_xor_sync(0xffffffffu, most, k));
  for (int i = lane; i < 45; i += 32) {
    if (x[(row * 45 + i) % n] < most) sum += 1 + __popc(x[i]);
    y[row * 45 + i] = most;
  }
  for (int k = 1; k < 32; k <<= 1) {
    int below = __shfl_up_sync(0xffffffffu, sum, k);
    if (lane >= k) sum += below;
  }
  unsigned odd = __ballot_sync(0xffffffffu, sum & 1);
  y[4096 + row * 32 + lane] = sum + __popc(odd);
}

extern "C" __global__ void parts(int n, const int *x, int *y) {
  int t = threadIdx.y * blockDim.x + threadIdx.x, at = t % n, steps = 0;
  while (x[at] != 3 && steps < 40) {
    at = (at * 5 + x[at] + 17) % n;
    if (at & 1) atomicAdd(&y[at & 255], steps);
    ++steps;
  }
  y[1024 + t] = at * 64 + steps;
}

extern "C" __global__ void copies(int n, const int *x, int *y) {
  __shared__ int s[16][65];
  for (int i = threadIdx.x; i < 1024; i += blockDim.x) s[i / 64][i % 64] = x[i % n];
  __syncthreads();
  for (unsigned i = threadIdx.x; i < 1024u; i += blockDim.x) {
    if (i - 1u < 1000u) y[i] = s[(i - 1u) / 64][(i - 1u) % 64] + s[i % 16][i / 16];
    for (int k = 0; k < 3; ++k) y[2048 + i] += s[k][i / 16] * k;
  }
}
"""
BLOCKS = [(256, 1, 1), (96, 1, 1), (32, 4, 1), (16, 16, 1)]


@pytest.mark.parametrize("name", ["grid_stride", "rows", "parts", "copies"])
def test_strips_do_what_the_block_does(name: str) -> None:
    rng = np.random.default_rng()
    compiled = RawModule(code=SOURCE).get_function(name)
    parsed = compile_cuda(SOURCE, "strips.cu")
    for block in BLOCKS if name == "parts" else BLOCKS[:2]:
        kernel = parsed.kernel(name, block)
        for n in (7, 250, 1003):
            x = rng.integers(-9, 9, 2048).astype(np.int32)
            y, expected = np.zeros(8192, np.int32), np.zeros(8192, np.int32)
            Interpreter(kernel, [n, x, expected], (3,)).run()
            compiled((3,), block, (n, x, y))
            np.testing.assert_array_equal(y, expected, err_msg=f"{name} {block} {n}")
