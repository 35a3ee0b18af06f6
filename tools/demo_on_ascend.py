"""The demo's own kernels: measured on this CPU, and simulated on an Ascend 910B2 beside it.

    canopy run tools/demo_on_ascend.py
    canopy run tools/demo_on_ascend.py --chip 910c --html kernels.html

No card is needed, and nothing here was measured on one: the Ascend column is what a model of the
chip says, with the range in which it moves if all its assumed figures are 30% better or worse.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
import triton

import canopy

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "char_gpt"))

import kernels

DEVICE = "cuda"


class Watched:
    """A Triton kernel whose launches are timed on the CPU and simulated on the chip."""

    def __init__(self, kernel: Any, chip: str, found: dict[str, tuple[float, Any]]):
        self.kernel, self.chip, self.found = kernel, chip, found

    def __getitem__(self, grid: Any) -> Any:
        def launch(*args: Any, **kwargs: Any) -> None:
            times = []
            for _ in range(6):
                began = time.perf_counter()
                self.kernel[grid](*args, **kwargs)
                torch.cuda.synchronize()
                times.append(time.perf_counter() - began)
            report = canopy.simulate(self.kernel, grid, args, kwargs, chip=self.chip, mode="timing")
            self.found[self.kernel.fn.__name__] = (statistics.median(times[1:]), report)

        return launch


def run_kernels(options: argparse.Namespace) -> None:
    """Forward and backward of each operation, in the sizes that train.py has by default."""
    rows, width, heads = options.batch * options.context, options.width, options.heads
    x = torch.randn(rows, width, device=DEVICE, requires_grad=True)
    weight = torch.ones(width, device=DEVICE, requires_grad=True)
    kernels.rms_norm(x, weight).sum().backward()

    logits = torch.randn(rows, 96, device=DEVICE, dtype=torch.bfloat16, requires_grad=True)
    targets = torch.randint(96, (rows,), device=DEVICE)
    kernels.cross_entropy(logits, targets).backward()

    shape = (options.batch, options.context, 3 * width)
    qkv = torch.randn(shape, device=DEVICE, dtype=torch.bfloat16, requires_grad=True)
    kernels.causal_attention(qkv, heads).sum().backward()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chip", default="910b2")
    parser.add_argument("--html", default="", help="write timelines and rooflines there, too")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--heads", type=int, default=4)
    options = parser.parse_args()

    found: dict[str, tuple[float, Any]] = {}
    # Kernels that others call keep their own form: only launches are watched.
    for name, kernel in list(vars(kernels).items()):
        is_called = name in ("load_rows", "store_rows")
        if isinstance(kernel, triton.runtime.JITFunction) and not is_called:
            setattr(kernels, name, Watched(kernel, options.chip, found))
    run_kernels(options)

    reports = [report for _, report in found.values()]
    print(f"\nthe kernels of this demo, {reports[0].label}: no card was used")
    print(f"{'':26s}{'this CPU':>12s}{'simulated':>12s}  {'band':<22s}bound by")
    for name, (cpu_s, report) in found.items():
        print(
            f"{name:26s}{cpu_s * 1e6:9.1f} us{report.time_s * 1e6:9.1f} us  "
            f"{report.band:<22s}{report.bound_by}"
        )
    if options.html:
        from canopy.targets.ascend.page import page

        Path(options.html).write_text(page(reports), encoding="utf-8")
        print(f"timelines and rooflines: {options.html}")


if __name__ == "__main__":
    main()
