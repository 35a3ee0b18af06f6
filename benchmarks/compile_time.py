"""What it costs before the first result, and at each launch: import, compile, load, launch.

    python benchmarks/compile_time.py

Every figure comes from a fresh process. A cold compile has an empty cache; it is split into what
Triton does (parsing the kernel, its own passes) and what Canopy does (tile IR to machine code),
and imports are done before. A warm one finds the machine code in the cache. `measure` gives the
same figures to another program.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

__all__ = ["KERNELS", "Figures", "measure", "measure_import"]

KERNELS = ("vector add", "softmax", "matmul", "attention", "sort")
TRITON_STAGES = ("ttir",)
LAUNCHES = 20_000
WORKER = "--worker"


@dataclasses.dataclass(frozen=True, slots=True)
class Figures:
    """One kernel: seconds of Triton's part and of ours, growth of memory, seconds of a load."""

    kernel: str
    triton_s: float
    canopy_s: float
    grown_mb: float
    load_s: float


def measure(kernel: str) -> Figures:
    """Compiles one of KERNELS in a process without a cache, and loads it in another."""
    with tempfile.TemporaryDirectory() as cache:
        cold = _run_worker(kernel, cache)
        warm = _run_worker(kernel, cache)
    return Figures(kernel, cold["triton_s"], cold["canopy_s"], cold["grown_mb"], warm["load_s"])


def measure_import() -> float:
    """Seconds of `import canopy`, the best of five processes."""
    script = "import time; s = time.perf_counter(); import canopy; print(time.perf_counter() - s)"
    return min(
        float(subprocess.check_output([sys.executable, "-c", script], env=_environment("")))
        for _ in range(5)
    )


def measure_launch() -> float:
    """Microseconds of one launch of a kernel that is loaded, by the caller's clock."""
    with tempfile.TemporaryDirectory() as cache:
        return float(_run_worker("launch", cache)["launch_us"])


def _environment(cache: str) -> dict[str, str]:
    found = {**os.environ, "TRITON_DEFAULT_BACKEND": "cpu"}
    return {**found, "TRITON_CACHE_DIR": cache} if cache else found


def _run_worker(kernel: str, cache: str) -> dict[str, float]:
    command = [sys.executable, str(Path(__file__).resolve()), WORKER, kernel]
    output = subprocess.check_output(command, env=_environment(cache), cwd=ROOT)
    result: dict[str, float] = json.loads(output.splitlines()[-1])
    return result


# -- The worker ------------------------------------------------------------------------------------


def work(name: str) -> None:
    launch = _launches()["vector add" if name == "launch" else name]
    _import_all()
    figures: dict[str, float] = {}
    _watch_compiler(figures)
    _watch_loader(figures)
    before_mb = _peak_mb()
    launch()
    figures["grown_mb"] = _peak_mb() - before_mb
    if name == "launch":
        figures["launch_us"] = _launch_us(launch)
    print(json.dumps(figures))


def _import_all() -> None:
    """What a process imports once, whatever it compiles."""
    import triton.compiler
    import triton.runtime.driver

    import canopy.compiler
    import canopy.frontends.triton.compiler
    import canopy.frontends.triton.launcher
    import canopy.runtime
    import canopy.runtime.launch
    import canopy.targets.cpu  # noqa: F401

    triton.runtime.driver.active.get_current_target()


def _watch_compiler(figures: dict[str, float]) -> None:
    from triton import knobs

    def listen(*, times: Any, cache_hit: bool, **_: Any) -> None:
        if cache_hit:
            return
        stages = dict(times.lowering_stages)
        triton_us = times.ir_initialization + sum(stages.pop(name) for name in TRITON_STAGES)
        figures["triton_s"] = triton_us / 1e6
        figures["canopy_s"] = sum(stages.values()) / 1e6

    knobs.compilation.listener = listen


def _watch_loader(figures: dict[str, float]) -> None:
    from canopy.frontends.triton import devices, launcher

    load = launcher.load_binary

    def timed(name: str, data: bytes) -> Any:
        start = time.perf_counter()
        loaded = load(name, data)
        figures["load_s"] = time.perf_counter() - start
        return loaded

    devices.load_binary = launcher.load_binary = timed


def _peak_mb() -> float:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def _launch_us(launch: Callable[[], None]) -> float:
    rounds = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(LAUNCHES // 5):
            launch()
        rounds.append((time.perf_counter() - start) / (LAUNCHES // 5))
    return min(rounds) * 1e6


def _launches() -> dict[str, Callable[[], None]]:
    """One launch of each kernel, on small data: its running time does not count, its code does."""
    import torch

    from benchmarks.kernels_elementwise import add
    from benchmarks.kernels_rows import softmax
    from benchmarks.kernels_scans import sort_rows
    from tests.triton.kernels import attention_forward, matmul

    x, out = torch.randn(1024, 1024), torch.empty(1024, 1024)
    heads, sums = torch.randn(1, 128, 64), torch.empty(1, 128)

    def multiply() -> None:
        matmul[(1,)](
            x, x, out, 128, 128, 128, *x.stride(), *x.stride(), *out.stride(),
            BLOCK_M=128, BLOCK_N=128, BLOCK_K=32, GROUP=8, ACTIVATION="",
        )  # fmt: skip

    def attend() -> None:
        attention_forward[(1, 1)](
            heads, heads, heads, torch.empty_like(heads), sums, 128, 128, 0.125,
            CAUSAL=True, DIM=64, BLOCK_M=128, BLOCK_N=64,
        )  # fmt: skip

    return {
        "vector add": lambda: add[(1,)](x, x, out, 16, BLOCK=1024),
        "softmax": lambda: softmax[(1,)](x, out, 1024, BLOCK=1024),
        "matmul": multiply,
        "attention": attend,
        "sort": lambda: sort_rows[(1,)](x, out, COLUMNS=256),
    }


# -- The report ------------------------------------------------------------------------------------


def main() -> int:
    if WORKER in sys.argv:
        work(sys.argv[-1])
        return 0
    print(f"import canopy: {measure_import() * 1e3:.0f} ms")
    print(f"one launch, 16 elements: {measure_launch():.1f} us")
    print(f"{'kernel':12} {'Triton':>10} {'Canopy':>10} {'grown':>8} {'load':>8}")
    for name in KERNELS:
        found = measure(name)
        print(
            f"{found.kernel:12} {found.triton_s * 1e3:7.0f} ms {found.canopy_s * 1e3:7.0f} ms "
            f"{found.grown_mb:5.0f} MB {found.load_s * 1e3:5.1f} ms",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
