"""The bars that Canopy has set itself: which figure of which case, and what it must reach.

    Bar("add 64M f32", slowdown("limit"), at_most=1.05)

reads: the time of `canopy` with reused outputs, as a multiple of the machine's limit, at 2 threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.harness import Measurement
from benchmarks.results import Results

__all__ = ["BARS", "Bar"]


@dataclass(frozen=True)
class Figure:
    """A number taken from the results of a case, and how it is said."""

    of: Callable[[Results, str], float | None]
    unit: str


@dataclass(frozen=True)
class Bar:
    """A case, the figure that counts, and its bound."""

    case: str
    figure: Figure
    at_least: float | None = None
    at_most: float | None = None

    def value(self, results: Results) -> float | None:
        return self.figure.of(results, self.case)

    def is_met(self, results: Results) -> bool | None:
        """None where the case was not measured."""
        value = self.value(results)
        if value is None:
            return None
        if self.at_least is not None:
            return value >= self.at_least
        return value <= (self.at_most or 0)

    @property
    def claim(self) -> str:
        bound = self.at_least if self.at_most is None else self.at_most
        word = "at most" if self.at_least is None else "at least"
        return f"{word} {bound:g} {self.figure.unit}"


def _find(results: Results, case: str, who: str, outputs: str) -> Measurement | None:
    return results.limit_of(case) if who == "limit" else results.find(case, who, outputs)


def faster(than: str, outputs: str = "reused") -> Figure:
    """How many times faster than a peer of the same case, equal conditions."""

    def of(results: Results, case: str) -> float | None:
        peer, ours = _find(results, case, than, outputs), results.find(case, "canopy", outputs)
        return peer.median_s / ours.median_s if peer and ours else None

    shown = "the limit" if than == "limit" else than
    return Figure(of, f"x {shown}" + (", fresh outputs" if outputs == "fresh" else ""))


def slowdown(against: str) -> Figure:
    """The time as a multiple of a peer's or of the limit's."""

    def of(results: Results, case: str) -> float | None:
        ratio = faster(against).of(results, case)
        return 1 / ratio if ratio else None

    return Figure(of, f"x the time of {'the limit' if against == 'limit' else against}")


def faster_than_case(other: str) -> Figure:
    """How many times faster than our own figure of another case."""

    def of(results: Results, case: str) -> float | None:
        theirs, ours = results.find(other, "canopy"), results.find(case, "canopy")
        return theirs.median_s / ours.median_s if theirs and ours else None

    return Figure(of, f"x our {other.rpartition(' ')[2]}")


def _scaling(results: Results, case: str) -> float | None:
    """None beyond what two threads can give: the two runs then met different machines."""
    one, two = results.find(case, "canopy", threads=1), results.find(case, "canopy", threads=2)
    if not one or not two:
        return None
    ratio = one.median_s / two.median_s
    return ratio if ratio <= MOST_SCALING else None


def _gpu_tiles(results: Results, case: str) -> float | None:
    """Time of the best tiling over the time of the GPU's."""
    rows = [r for r in results.measurements if r.case == case and r.threads == 2]
    rows = [r for r in rows if r.outputs == "reused"]
    gpu = next((r for r in rows if r.contestant == GPU_TILING), None)
    return min(r.median_s for r in rows) / gpu.median_s if gpu else None


def _microseconds(results: Results, case: str) -> float | None:
    row = results.find(case, "canopy")
    return row.median_s * 1e6 if row else None


def _milliseconds(results: Results, case: str) -> float | None:
    row = results.find(case, "canopy")
    return row.median_s * 1e3 if row else None


def compiling(column: str, unit: str, factor: float) -> Figure:
    """A column of `compile_time`; the case is the kernel's name behind "compile time: "."""

    def of(results: Results, case: str) -> float | None:
        found = results.compiling.get(case.removeprefix("compile time: "), {}).get(column)
        return None if found is None else found * factor

    return Figure(of, unit)


COLD = compiling("canopy_s", "s", 1)
LOAD = compiling("load_s", "ms from disk cache", 1e3)
GROWN = compiling("grown_mb", "MB more memory", 1)
MOST_SCALING = 2.1
GPU_TILING = "canopy 128x256x64"
SCALING = Figure(_scaling, "x from 1 to 2 threads")
GPU_TILES = Figure(_gpu_tiles, "x the best CPU tiling")

PRODUCTS = tuple(f"matmul {side}^3" for side in (1024, 2048))
AT_LEAST_HALF_AGAIN = (
    "cumsum 16M f32",
    "argmax 16M f32",
    "histogram 16M int32, 256 bins",
    "sort 65536x256 f32",
    "embedding 1M rows of 64 f32",
)
TWICE_TORCH = (
    "layer norm backward 4096x4096 f32",
    "rms norm backward 4096x4096 f32",
    "rope 4096 tokens, 32 heads of 128, f32",
    "swiglu 4096x4096 f32",
    "dropout 16M f32",
)
AS_CALLED = (
    "gelu(x + b)",
    "softmax",
    "layer norm",
    "rms norm",
    "layer norm backward",
    "rms norm backward",
    "rope",
    "swiglu",
    "dropout",
)
COMPUTE_BOUND = (
    *(f"{product} {dtype}" for product in PRODUCTS for dtype in ("f32", "bf16", "int8")),
    "causal attention S2048 D64 f32",
    "causal attention S2048 D64 bf16",
    "causal attention backward S2048 D64 f32",
    "causal attention backward S2048 D64 bf16",
)

CUDA_BESIDE_LOOPS = {
    "saxpy 64M f32": 0.95,
    "stream triad 64M f32": 0.95,
    "block reduction 64M f32": 0.9,
    "stencil 256^3 f32": 1.0,
    "n-body 8192 f32": 1.0,
    "transpose 4096^2 f32": 1.0,
    "histogram 64M bytes, shared atomics": 0.7,
    "Black-Scholes 4M options": 1.0,
    "Mandelbrot 1024^2, 256 steps": 1.0,
}
CUDA_BESIDE_TORCH = {
    "matmul 1024^3 f32, shared tiles": 0.5,
    "matmul 1024^3 f32, tiles in registers": 0.7,
    "softmax 8192x1024 f32, warp shuffles": 1.0,
    "layer norm 8192x1024 f32, warp shuffles": 1.0,
}

BARS: tuple[Bar, ...] = (
    Bar("add 64M f32", slowdown("limit"), at_most=1.05),
    Bar("gelu(x + b) 4096x4096 f32", slowdown("limit"), at_most=2.2),
    Bar("softmax 4096x4096 f32", slowdown("limit"), at_most=2.2),
    Bar("softmax 8192x1000 f32", slowdown("limit"), at_most=2.2),
    Bar("layer norm 4096x4096 f32", slowdown("limit"), at_most=1.5),
    Bar("rms norm 4096x4096 f32", slowdown("limit"), at_most=1.5),
    *(Bar(case, faster("torch"), at_least=2.0) for case in TWICE_TORCH),
    Bar("cross entropy 4096x32000 f32", slowdown("limit"), at_most=1.5),
    Bar("cross entropy 4096x32000 f32", faster("inductor"), at_least=2.0),
    *(
        bar
        for product in PRODUCTS
        for bar in (
            Bar(f"{product} f32", faster("oneDNN packed", "fresh"), at_least=0.9),
            Bar(f"{product} f32", faster("limit"), at_least=0.8),
            Bar(f"{product} bf16", faster("torch linear", "fresh"), at_least=0.95),
            Bar(f"{product} f16", faster_than_case(f"{product} f32"), at_least=1.0),
            Bar(f"{product} int8", faster_than_case(f"{product} bf16"), at_least=1.5),
        )
    ),
    *(
        bar
        for dtype in ("f32", "bf16")
        for bar in (
            Bar(f"skinny matmul 1x4096x4096 {dtype}", faster("limit"), at_least=0.9),
            Bar(
                f"skinny matmul 8x4096x4096 {dtype}", faster("torch linear", "fresh"), at_least=2.0
            ),
        )
    ),
    *(
        bar
        for dtype in ("f32", "bf16")
        for bar in (
            Bar(f"causal attention S2048 D64 {dtype}", faster("torch", "fresh"), at_least=2.0),
            Bar(
                f"causal attention backward S2048 D64 {dtype}",
                faster("torch", "fresh"),
                at_least=1.5,
            ),
        )
    ),
    *(Bar(case, faster("torch"), at_least=1.5) for case in AT_LEAST_HALF_AGAIN),
    *(Bar(case, SCALING, at_least=1.85) for case in COMPUTE_BOUND),
    Bar("tile sizes: matmul 1024^3 f32", GPU_TILES, at_least=0.8),
    Bar("tile sizes: matmul 1024^3 bf16", GPU_TILES, at_least=0.8),
    *(
        bar
        for kernel, seconds in (("softmax", 0.15), ("matmul", 0.3), ("attention", 0.5))
        for bar in (
            Bar(f"compile time: {kernel}", COLD, at_most=seconds),
            Bar(f"compile time: {kernel}", LOAD, at_most=5.0),
            Bar(f"compile time: {kernel}", GROWN, at_most=150.0),
        )
    ),
    Bar("compile time: import", compiling("import_s", "s", 1), at_most=0.2),
    *(Bar(f"canopy run: {name}", faster("torch", "fresh"), at_least=4.0) for name in AS_CALLED),
    *(Bar(f"CUDA {name}", faster("g++"), at_least=r) for name, r in CUDA_BESIDE_LOOPS.items()),
    *(Bar(f"CUDA {name}", faster("torch"), at_least=r) for name, r in CUDA_BESIDE_TORCH.items()),
    Bar(
        "CUDA launch of an empty kernel from C++, a thousand",
        Figure(_milliseconds, "ms"),
        at_most=5.0,
    ),
    Bar("launch of a tiny kernel", Figure(_microseconds, "us"), at_most=11.0),
)
