"""Threads that wait for each other: how finely kernels are run for that, and what never ends."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("ziglang")

from canopy.frontends.cuda import CudaModule, compile_cuda
from canopy.frontends.cuda.build import Options, compile_source, link

KERNELS = """
__global__ void plain(int* x) { x[threadIdx.x]++; __syncthreads(); x[threadIdx.x]++; }
__global__ void early_return(int* x, int n) {
  if (threadIdx.x >= n) return;
  x[threadIdx.x]++;
  __syncthreads();
  for (int k = 0; k < n; k++) { x[threadIdx.x] += k; __syncthreads(); }
}
__global__ void divergent_loop_before(int* x) {
  for (int k = 0; k < x[threadIdx.x]; k++) x[threadIdx.x + 99] += k;
  if (threadIdx.x < 3) x[0] = 1; else x[1] = 2;
  __syncthreads();
}
__global__ void add_by_cas(unsigned* x, unsigned v) {
  unsigned old = *x, assumed;
  do { assumed = old; old = atomicCAS(x, assumed, assumed * v); } while (old != assumed);
}
__global__ void probe(unsigned* table, unsigned key, unsigned room) {
  unsigned slot = key * threadIdx.x % room;
  while (true) {
    unsigned found = atomicCAS(&table[slot], 0, key);
    if (found == 0 || found == key) break;
    slot = (slot + 1) % room;
  }
}
__global__ void lock_and_release(int* lock, int* x) {
  for (bool done = false; !done;)
    if (atomicCAS(lock, 0, 1) == 0) { x[0] = x[0] + 1; atomicExch(lock, 0); done = true; }
}
__global__ void take_work(int* next, int* x, int n) {
  for (int i; (i = atomicAdd(next, 1)) < n;) x[i]++;
}
__global__ void warp_flag(volatile int* flag) {
  if (threadIdx.x % 32 == 0) while (*flag == 0) {}
}
__global__ void all_wait(volatile int* flag) { while (*flag == 0) {} }
__global__ void leader_lock(int* lock) {
  if (threadIdx.x == 0) while (atomicExch(lock, 1)) {}
}
__global__ void leader_waits(volatile int* flag, int* x) {
  x[threadIdx.x] = 1;
  if (threadIdx.x == 0) { while (*flag == 0) {} __threadfence(); }
  __syncthreads();
  x[threadIdx.x + 1] = 2;
}
__global__ void leader_waits_for_block(volatile int* flag) {
  if (threadIdx.x == 0) while (*flag == 0) {}
  if (threadIdx.x == 40) *flag = 1;
  __syncthreads();
}
__global__ void leaders_in_turn(volatile int* flag) {
  if (threadIdx.x == 0) while (*flag == 0) {} else if (threadIdx.x == 40) *flag = 1;
  __syncthreads();
}
__global__ void named() { asm volatile("bar.sync 1, 64;" ::: "memory"); }
__global__ void parting(int* x) {
  if (threadIdx.x < 32) { x[0] = 1; __syncthreads(); } else { x[1] = 1; __syncthreads(); }
}
__global__ void each_thread(volatile int* flag) { while (flag[threadIdx.x] == 0) {} }
__global__ void each_locks(int* lock) { while (atomicCAS(lock, 0, 1)) {} *lock = 0; }
"""
WHOLE_BLOCKS = (
    *("plain", "early_return", "divergent_loop_before", "add_by_cas", "probe"),
    *("lock_and_release", "take_work", "leader_waits", "leader_lock"),
)
WARPS = ("warp_flag", "all_wait", "leader_waits_for_block", "leaders_in_turn", "named", "parting")
THREADS = ("each_thread", "each_locks")
GRAINS = {
    **dict.fromkeys(WHOLE_BLOCKS, 128),
    **dict.fromkeys(WARPS, 32),
    **dict.fromkeys(THREADS, 1),
}


@pytest.fixture(scope="module")
def module() -> CudaModule:
    return compile_cuda(KERNELS, "waits.cu")


@pytest.mark.parametrize("kernel", GRAINS)
def test_threads_of_one_program(module: CudaModule, kernel: str) -> None:
    assert module.kernel(kernel, (128, 1, 1)).block == (GRAINS[kernel], 1, 1)


STUCK = Path(__file__).parent / "sources" / "stuck.cu"
CASES = [
    (0, "others of it are not", "cudaErrorLaunchFailure"),
    (1, "threads wait for each other", "cudaErrorLaunchFailure"),
    (2, "that wait elsewhere", "cudaErrorLaunchFailure"),
]


@pytest.fixture(scope="module")
def stuck(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stuck")
    compile_source(STUCK, folder / "stuck.o", Options())
    link([folder / "stuck.o"], folder / "stuck")
    return folder / "stuck"


@pytest.mark.parametrize(("case", "message", "error"), CASES)
def test_what_never_ends_is_reported(stuck: Path, case: int, message: str, error: str) -> None:
    settings = {**os.environ, "CANOPY_WAIT_LIMIT_S": "0.3"}
    command = [str(stuck), str(case)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=settings
    )
    assert message in done.stderr
    assert done.stdout.splitlines() == [error]
    line = next(n for n, text in enumerate(STUCK.read_text().splitlines(), 1) if "LINE" in text)
    assert case != 0 or f"stuck.cu:{line}:" in done.stderr
