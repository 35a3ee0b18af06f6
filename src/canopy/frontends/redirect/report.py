"""The report at the end of ``canopy run``: what was redirected, kernels, fallbacks. Text on stderr,
or JSON.

canopy: ran train.py on cpu in 12.3 s
  redirected: 1,204 tensors moved to cuda, 31 synchronizations
  kernels:    softmax_kernel   12 launches   3.1 ms   compiled in 0.41 s   11 cache hits
  fallback:   train.py:41: torch.compile runs eagerly on this target (results are the same)
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import Any, TextIO

from canopy.errors import CanopyError
from canopy.runtime import trace
from canopy.runtime.memory import memory_figures

__all__ = ["collect", "render", "show", "write_json"]


def collect(program: str, target: str, wall_s: float, exit_code: int) -> dict[str, Any]:
    """Everything the report says, as plain data."""
    return {
        "program": program,
        "target": target,
        "wall_s": round(wall_s, 4),
        "exit_code": exit_code,
        "memory": _memory_facts(),
        "simulated": _simulated_lines(),
        **trace.snapshot(),
    }


def _simulated_lines() -> list[str]:
    simulated = sys.modules.get("canopy.frontends.triton.simulated")
    return list(simulated.summary_lines()) if simulated is not None else []


def _memory_facts() -> dict[str, int]:
    figures = memory_figures()
    return {
        "peak_bytes": figures.peak_used_bytes,
        "blocks_reused": figures.reused,
        "blocks_mapped": figures.mapped,
    }


def render(facts: dict[str, Any]) -> list[str]:
    """The report as lines of plain text."""
    lines = [f"canopy: ran {facts['program']} on {facts['target']} in {facts['wall_s']:.1f} s"]
    counts = ", ".join(
        f"{number:,} {what}" for what, number in sorted(facts["counts"].items()) if number
    )
    lines.append(f"  redirected: {counts or 'nothing used CUDA'}")
    for kernel in facts["kernels"]:
        if not kernel["launches"] and not kernel["compile_s"] and facts.get("simulated"):
            continue  # it ran in the simulator only, whose lines follow
        lines.append(
            f"  kernel:     {kernel['name']}: {kernel['launches']:,} launches, "
            f"{kernel['run_s'] * 1e3:.3f} ms, compiled in {kernel['compile_s']:.2f} s, "
            f"{kernel['cache_hits']:,} cache hits"
        )
    lines += facts.get("simulated", ())
    memory = facts["memory"]
    if memory["blocks_reused"]:
        lines.append(
            f"  memory:     large tensors held {memory['peak_bytes'] / 2**20:,.0f} MiB at most; "
            f"{memory['blocks_reused']:,} got kept memory, {memory['blocks_mapped']:,} new"
        )
    for fallback in facts["fallbacks"]:
        hint = f" ({fallback['hint']})" if fallback["hint"] else ""
        lines.append(f"  fallback:   {fallback['location']}: {fallback['fact']}{hint}")
    return lines


def show(facts: dict[str, Any], stream: TextIO | None = None) -> None:
    """Prints the report; in colour on a terminal only."""
    stream = stream or sys.stderr
    lines = render(facts)
    try:
        if not stream.isatty():
            print(*lines, sep="\n", file=stream, flush=True)
            return
        from rich.console import Console
        from rich.text import Text

        console = Console(file=stream, highlight=False)
        for line in lines:
            style = {"fallback": "yellow", "kernel": "cyan"}.get(line.strip().split(":")[0], "dim")
            console.print(Text(line, style=style), soft_wrap=True)
    except (OSError, ValueError):
        return  # stderr is closed: there is nobody to tell


def write_json(facts: dict[str, Any], path: str) -> None:
    """Writes the report to ``path`` under a temporary name first. CanopyError if that fails."""
    folder = os.path.dirname(os.path.abspath(path))
    try:
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".canopy-report-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(facts, file, indent=2)
                file.write("\n")
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise CanopyError(
            f"the report cannot be written to {path}: {error.strerror}",
            hint="give --report a path in a folder that can be written",
        ) from error
