"""Device code in several sources: -rdc=true, -dc, -dlink, archives, and sources that stay apart."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ziglang")

HEADER = """
#pragma once
struct Shape { int w, h; __device__ int area() const; };
extern __device__ int offset;
extern __constant__ int table[4];
__device__ int twice(int x);
void run_other(int* p);
void set_shared(int value);
__global__ void area(int* p, Shape s);
template <class T> __device__ T common(T x) { return x + 50; }
template <class T> __global__ void both(T* p, T x) { p[threadIdx.x] = common(x); }
"""
MAIN = """
#include <cstdio>
#include "lib.h"
static __managed__ int hidden_too = 900;
static __device__ int hidden = 3;
static __global__ void same(int* p) { p[threadIdx.x] = 1; }
__global__ void kernel(int* p) {
  p[threadIdx.x] = twice(threadIdx.x) + offset + table[threadIdx.x % 4] + hidden;
}
int main() {
  int *p, t[4] = {100, 200, 300, 400}, seven;
  cudaMallocManaged(&p, 4096);
  bool right = cudaMemcpyToSymbol(table, t, sizeof t) == cudaSuccess;
  right &= cudaMemcpyFromSymbol(&seven, offset, 4) == cudaSuccess && seven == 7;
  kernel<<<1, 64>>>(p);
  cudaDeviceSynchronize();
  for (int i = 0; i < 64; i++) right &= p[i] == 2 * i + 7 + t[i % 4] + 3;
  same<<<1, 64>>>(p);
  run_other(p + 64);
  for (int i = 0; i < 64; i++) right &= p[i] == 1 && p[64 + i] == 50 + i % 4 + 2;
  set_shared(3);
  area<<<1, 1>>>(p, Shape{3, 4});
  both<<<1, 32>>>(p + 1, 5);
  cudaDeviceSynchronize();
  right &= p[0] == 12 && p[1] == 55 && cudaGetLastError() == cudaSuccess;
  puts(right ? "PASS" : "FAIL");
}
"""
OTHER = """
#include "lib.h"
__device__ int offset = 7;
__managed__ int shared = 1;
static __managed__ int hidden_too = 2;
__constant__ int table[4];
static __device__ int hidden = 1000;
static __global__ void same(int* p) { p[threadIdx.x] += 2; }
__device__ int twice(int x) { return x * 2 + (hidden - 1000); }
__device__ int Shape::area() const { return w * h; }
__global__ void area(int* p, Shape s) { *p = s.area() + shared + hidden_too - 5; }
static __global__ void other(int* p) { p[threadIdx.x] = common(threadIdx.x % 4); }
void set_shared(int value) { shared = value; }
void run_other(int* p) {
  both<<<1, 64>>>(p, 1);
  other<<<1, 64>>>(p);
  same<<<1, 64>>>(p);
  cudaDeviceSynchronize();
}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "lib.h").write_text(HEADER)
    (tmp_path / "main.cu").write_text(MAIN)
    (tmp_path / "other.cu").write_text(OTHER)
    return tmp_path


def canopy(folder: Path, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "canopy", *words],
        cwd=folder,
        env={**os.environ, "CANOPY_CACHE_DIR": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


def output_of(program: Path) -> str:
    done = subprocess.run([program], capture_output=True, text=True, env={}, check=True)
    return done.stdout


def test_sources_in_one_command(project: Path) -> None:
    canopy(project, "nvcc", "-rdc=true", "main.cu", "other.cu", "-o", "app")
    assert output_of(project / "app") == "PASS\n"
    assert b"canopy-unit" not in (project / "app").read_bytes()


def test_objects_archives_and_an_explicit_device_link(project: Path) -> None:
    canopy(project, "nvcc", "-dc", "main.cu", "other.cu")
    canopy(project, "nvcc", "-lib", "other.o", "-o", "libother.a")
    canopy(project, "nvcc", "main.o", "-L.", "-lother", "-o", "app")
    assert output_of(project / "app") == "PASS\n"
    canopy(project, "nvcc", "-dlink", "main.o", "libother.a", "-o", "device.o")
    canopy(project, "nvcc", "main.o", "device.o", "libother.a", "-o", "again")
    assert output_of(project / "again") == "PASS\n"


def test_a_makefile_that_links_device_code_and_then_calls_gxx(project: Path) -> None:
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    (project / "Makefile").write_text(
        "CUDA_PATH ?= /usr/local/cuda\nNVCC := $(CUDA_PATH)/bin/nvcc\n"
        "app: main.o other.o device.o\n\tg++ -o $@ $^ -L$(CUDA_PATH)/lib64 -lcudart -lcudadevrt\n"
        "device.o: main.o other.o\n\t$(NVCC) -arch=sm_80 -dlink $^ -o $@\n"
        "%.o: %.cu lib.h\n\t$(NVCC) -arch=sm_80 -dc $< -o $@\n"
        "run: app\n\t./app\n"
    )
    done = canopy(project, "run", "--", "make", "--no-print-directory", "run")
    assert done.stdout.endswith("PASS\n")


def test_without_it_what_another_source_defines_is_an_error_with_its_line(project: Path) -> None:
    shown = canopy(project, "nvcc", "main.cu", "other.cu", "-o", "app", status=1).stderr
    assert "main.cu:7" in shown
    assert "-rdc=true" in shown


def test_sources_that_stay_apart_have_variables_of_their_own(tmp_path: Path) -> None:
    source = """
#include <cstdio>
__constant__ int size[%d];
__global__ void NAME(int* p) { *p = size[%d - 1]; }
bool NAME_run() {
  int *p, values[%d], found = 0;
  for (int i = 0; i < %d; i++) values[i] = %d + i;
  cudaMemcpyToSymbol(size, values, sizeof values);
  cudaMalloc(&p, 4);
  NAME<<<1, 1>>>(p);
  cudaMemcpy(&found, p, 4, cudaMemcpyDeviceToHost);
  return found == %d + %d - 1;
}
"""
    calls = 'bool two_run(); int main() { puts(one_run() && two_run() ? "PASS" : "FAIL"); }'
    first = source.replace("NAME", "one") % (3, 3, 3, 3, 10, 10, 3)
    second = source.replace("NAME", "two") % (900, 900, 900, 900, 70, 70, 900)
    (tmp_path / "one.cu").write_text(first + calls)
    (tmp_path / "two.cu").write_text(second)
    canopy(tmp_path, "nvcc", "one.cu", "two.cu", "-o", "app")
    assert output_of(tmp_path / "app") == "PASS\n"
