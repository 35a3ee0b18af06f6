"""The timeline as a Chrome trace, which ui.perfetto.dev shows: one track per pipe and core."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canopy.targets.ascend.npu import Pipe
from canopy.targets.ascend.replay import MOST_SPANS

if TYPE_CHECKING:
    from canopy.targets.ascend.report import Report

__all__ = ["trace_events", "write_trace"]


def write_trace(report: Report, path: Path) -> None:
    facts = {
        "kernel": report.name,
        "made by": f"canopy, {report.label}",
        "time": f"{report.time_s:.3e} s",
        "band": report.band,
    }
    if any(len(spans) >= MOST_SPANS for spans in report.outcome.spans):
        facts["shown"] = f"the first {MOST_SPANS:,} instructions of each core"
    data = {"displayTimeUnit": "ns", "otherData": facts, "traceEvents": trace_events(report)}
    path.write_text(json.dumps(data), encoding="utf-8")


def trace_events(report: Report) -> list[dict[str, Any]]:
    """Complete events in microseconds. Cores that do the same are one process."""
    events: list[dict[str, Any]] = []
    scale = 1e6 / report.chip.clock_hz
    names = {number: pipe.value for number, pipe in enumerate(Pipe)}
    for core, (group, spans) in enumerate(
        zip(report.recorded.cores, report.outcome.spans, strict=True)
    ):
        alike = f" and {group.count - 1} more that do the same" if group.count > 1 else ""
        title = f"{report.name}: core {core}{alike}, {report.label}"
        events.append(_named("process_name", title, core, 0))
        events += [
            _named("thread_name", names[pipe], core, pipe)
            for pipe in sorted({span.pipe for span in spans})
        ]
        for span in spans:
            event = {"ph": "X", "pid": core, "tid": span.pipe, "ts": span.start * scale}
            event["dur"] = (span.end - span.start) * scale
            if span.step < 0:
                event["name"] = f"{span.trips:,} more trips like the last one"
            else:
                instruction, amount = report.recorded.steps[span.step]
                event["name"] = str(instruction).split(" ", 1)[0]
                event["args"] = {
                    "instruction": str(instruction),
                    "line": str(instruction.location),
                    **{k: v for k, v in amount._asdict().items() if v},
                }
            events.append(event)
    return events


def _named(kind: str, name: str, process: int, thread: int) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": process, "tid": thread, "args": {"name": name}}
