"""Whole CUDA C++ programs whose launches go through the simulator: `canopy run`, `compare`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ziglang")

PROGRAM = r"""
#include <cstdio>
#include <cstdlib>
#include <cstring>
struct Job { const int* from; int* to; int count; };
__device__ int total;
extern "C" int gettid(int x) { return x + 1; }  // the C library has another one
__global__ void square(Job job) {
  int i = threadIdx.x + blockIdx.x * blockDim.x;
  if (i < job.count) { job.to[i] = job.from[i] * job.from[i]; atomicAdd(&total, 1); }
}
__global__ void exact(double* p) { p[0] = 1; }
__global__ void beyond(int* p) { p[threadIdx.x] = 1; }

int main(int argc, char** argv) {
  const int n = 300;
  int *a, *b, host[n], count;
  cudaMalloc(&a, sizeof host), cudaMalloc(&b, sizeof host);
  for (int i = 0; i < n; i++) host[i] = i;
  cudaStream_t stream;
  cudaStreamCreate(&stream);
  cudaMemcpyAsync(a, host, sizeof host, cudaMemcpyHostToDevice, stream);
  square<<<2, 256, 0, stream>>>(Job{a, b, n});
  cudaMemcpyAsync(host, b, sizeof host, cudaMemcpyDeviceToHost, stream);
  cudaStreamSynchronize(stream);
  cudaMemcpyFromSymbol(&count, total, sizeof count);
  printf("%d %d %d %d %s\n", host[17], host[n - 1], count, gettid(1), argv[1]);
  if (!strcmp(argv[1], "exit")) exit(7);
  if (!strcmp(argv[1], "double")) exact<<<1, 1>>>((double*)a), cudaDeviceSynchronize();
  if (!strcmp(argv[1], "beyond")) beyond<<<1, 1024>>>(b), cudaDeviceSynchronize();
  return 3;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("simulated") / "program.cu"
    path.write_text(PROGRAM)
    return path


def canopy(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "canopy", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def simulated(program: Path, word: str) -> subprocess.CompletedProcess[str]:
    done = canopy("run", "--target", "ascend-sim", "--chip", "910b4", program, "--", word)
    assert done.stdout == f"289 89401 300 2 {word}\n", done.stderr
    return done


def test_a_program_that_exits_has_its_kernels_told(program: Path) -> None:
    done = simulated(program, "exit")
    assert done.returncode == 7
    assert "on ascend-sim in" in done.stderr
    row = next(line.split() for line in done.stderr.splitlines() if line.startswith("  " * 7 + "s"))
    assert row[:2] == ["square", "1"]
    assert "on 910B4" in done.stderr


def test_an_access_beyond_its_array_ends_the_program(program: Path) -> None:
    done = simulated(program, "beyond")
    assert done.returncode == 2
    assert "program.cu:13: " in done.stderr
    assert "of p, which has 1200" in done.stderr


def test_compare(program: Path) -> None:
    done = canopy("compare", program, "--", "double")
    rows = {words[0]: words for line in done.stdout.splitlines() if len(words := line.split()) == 7}
    assert rows["square"][1:] == ["ascend-sim", "1", "0", "0", "0", "0"], done.stderr
    assert rows["exact"][3:] == ["-"] * 4
    assert "program.cu:12: 910B2 has no float64" in done.stdout
    assert done.returncode == 3
