"""Runs the programs that have no result yet, and prints a line for each."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.targets.ascend.cuda_corpus.page import PROGRAMS, ROOT, name_of, record

PROGRAM_S = 300


def run_program(source: Path) -> dict[str, Any]:
    """What the worker found; ``failed`` says why it found nothing."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "result.json"
        worker = "tests.targets.ascend.cuda_corpus.worker"
        command = [sys.executable, "-m", worker, str(source.relative_to(ROOT)), str(output)]
        try:
            done = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, timeout=PROGRAM_S, check=False
            )
        except subprocess.TimeoutExpired:
            return {"failed": f"not within {PROGRAM_S} s", "kernels": {}}
        if not output.exists():
            last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
            return {"failed": last[0], "kernels": {}}
        found: dict[str, Any] = json.loads(output.read_text("utf-8"))
        found["passed"] = done.returncode == 0 and done.stdout.rstrip().endswith("PASS")
        return found


def main() -> int:
    """The exit status is 1 where a result is wrong or a program has none."""
    parser = argparse.ArgumentParser(prog="python -m tests.targets.ascend.cuda_corpus")
    parser.add_argument("--minutes", type=float, default=24 * 60, help="begin none after that")
    parser.add_argument("--record", action="store_true", help="write results.json and the page")
    parser.add_argument("--again", action="store_true", help="run those too that have results")
    parser.add_argument("--only", default="", help="programs whose name has this in it")
    parser.add_argument("--state", type=Path, default=ROOT / ".ascend-evidence" / "cuda.jsonl")
    options = parser.parse_args()
    options.state.parent.mkdir(exist_ok=True)
    state = read(options.state)
    until = time.time() + 60 * options.minutes
    for source in PROGRAMS:
        name = name_of(source)
        is_wanted = options.only in name and (options.again or name not in state)
        if options.record or not is_wanted or time.time() > until:
            continue
        state[name] = run_program(source)
        with options.state.open("a", encoding="utf-8") as file:
            file.write(json.dumps({name: state[name]}) + "\n")
        print(line(name, state[name]), flush=True)
    if options.record:
        record(state)
    missing = [name_of(source) for source in PROGRAMS if name_of(source) not in state]
    return int(bool(missing) or any(is_wrong(result) for result in state.values()))


def read(path: Path) -> dict[str, dict[str, Any]]:
    """The last result of each program."""
    found: dict[str, dict[str, Any]] = {}
    for text in path.read_text("utf-8").splitlines() if path.exists() else ():
        found.update(json.loads(text))
    return found


def is_wrong(result: dict[str, Any]) -> bool:
    outcomes = {kernel["outcome"] for kernel in result["kernels"].values()}
    return bool(result.get("failed")) or bool(outcomes & {"apart", "crashed"})


def line(name: str, result: dict[str, Any]) -> str:
    kernels = result["kernels"].items()
    told = [f"{kernel} {r['outcome']} {r['reason']}".strip() for kernel, r in kernels]
    head = result.get("failed") or ("PASS" if result.get("passed") else "FAIL")
    return f"{name}: {head}; " + "; ".join(told)


if __name__ == "__main__":
    raise SystemExit(main())
