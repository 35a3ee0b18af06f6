"""One process per number of threads: measures cases and writes a line of JSON after each.

    python benchmarks/worker.py RECORDS THREADS BUDGET MAX_ROUNDS CASE...

Thread pools are sized when they start, which is why the number of threads is a process's.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.harness import CASES, Case, SkippedError, measure
from benchmarks.registry import load_cases


def main(records: str, threads: str, budget_s: str, max_rounds: str, *names: str) -> None:
    limit_threads(int(threads))
    load_cases()
    by_name = {subject.name: subject for subject in CASES}
    with Path(records).open("a", encoding="utf-8") as file:
        parent = os.getppid()
        for name in names:
            if os.getppid() != parent:  # the run was killed: nobody waits for figures
                return
            write(file, {"started": name, "threads": int(threads)})
            begin = time.perf_counter()
            record = record_of(by_name[name], int(threads), float(budget_s), int(max_rounds))
            write(file, {**record, "seconds": round(time.perf_counter() - begin, 1)})


def limit_threads(threads: int) -> None:
    """The environment has sized the pools; torch's own default is set again to be sure."""
    import torch

    torch.set_num_threads(threads)


def record_of(subject: Case, threads: int, budget_s: float, max_rounds: int) -> dict[str, Any]:
    """What came of one case: figures, or why there are none."""
    record: dict[str, Any] = {"case": subject.name, "threads": threads}
    try:
        contest = subject.contest()
        rows = measure(contest, subject.name, threads, budget_s, max_rounds)
    except SkippedError as reason:
        return {**record, "skipped": str(reason)}
    except Exception as error:
        # One broken case must not hide the others' figures; the run still ends with status 1.
        return {**record, "failed": f"{type(error).__name__}: {error}"}
    figures = [dataclasses.asdict(row) for row in rows]
    return {**record, "measurements": figures, "missing": contest.missing}


def write(file: Any, record: dict[str, Any]) -> None:
    file.write(json.dumps(record) + "\n")
    file.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
