"""Runs the cases of other packages, each in a process of its own, and keeps what came out.

python -m tests.triton.packages.runner                     all that have not passed yet
python -m tests.triton.packages.runner fla                 one package
python -m tests.triton.packages.runner fla.rotary --seed 3 one case, other configurations
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["main"]


def _names(wanted: list[str]) -> list[str]:
    from tests.triton.packages import CASES

    chosen = [name for name in CASES if importlib.util.find_spec(name.split(".")[0])]
    if not wanted:
        return chosen
    return [name for name in chosen if name in wanted or name.split(".")[0] in wanted]


def _here(name: str, seed: int) -> int:
    import pytest
    import torch

    from tests.triton.packages import CASES
    from tests.triton.packages.agreement import disagreement, one_configuration, place_for

    with pytest.MonkeyPatch.context() as patch, place_for(name):
        one_configuration(patch, seed)
        torch.manual_seed(seed)
        made = CASES[name]()
        error, where = disagreement(made)
    verdict = "passes" if error <= made.tolerance else "WRONG"
    print(json.dumps({"verdict": verdict, "error": error, "where": where}))
    return 0


def _run(name: str, seed: int, limit_s: float) -> dict[str, object]:
    begin = time.monotonic()
    module = "tests.triton.packages.runner"
    command = [sys.executable, "-m", module, "--here", name, "--seed", str(seed)]
    try:
        ended = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=limit_s
        )
    except subprocess.TimeoutExpired:
        return {"verdict": f"more than {limit_s:.0f} s"}
    lines = ended.stdout.splitlines()
    found: dict[str, object] = {"verdict": f"fails with status {ended.returncode}"}
    if ended.returncode == 0 and lines:
        with contextlib.suppress(json.JSONDecodeError):
            found = json.loads(lines[-1])
    else:
        found["where"] = " | ".join(ended.stderr.strip().splitlines()[-2:])[-300:]
    return {**found, "seconds": round(time.monotonic() - begin, 1)}


def main(arguments: list[str] | None = None) -> int:
    """Runs cases; the exit status is 1 if one did not pass."""
    parser = argparse.ArgumentParser(prog="python -m tests.triton.packages.runner")
    parser.add_argument("names", nargs="*", help="packages or cases; all where none is given")
    parser.add_argument("--seed", type=int, default=0, help="of data and of configurations")
    parser.add_argument("--limit", type=float, default=180, help="seconds for each")
    parser.add_argument("--again", action="store_true", help="also what has passed")
    parser.add_argument("--here", action="store_true", help="one case, in this process")
    folder = Path(os.environ.get("CANOPY_FUZZ_STATE", ".fuzz/cpu.json")).parent
    parser.add_argument("--state", type=Path, default=folder / "packages.json")
    options = parser.parse_args(arguments)
    if options.here:
        return _here(options.names[0], options.seed)
    state = json.loads(options.state.read_text("utf-8")) if options.state.exists() else {}
    names = _names(options.names)
    for name in names:
        key = f"{name} {options.seed}"
        if options.again or state.get(key, {}).get("verdict") != "passes":
            state[key] = _run(name, options.seed, options.limit)
            options.state.parent.mkdir(parents=True, exist_ok=True)
            options.state.write_text(json.dumps(state, indent=1), "utf-8")
            print(name, *(f"{k}={v}" for k, v in state[key].items()), flush=True)
    passed = sum(state[f"{name} {options.seed}"]["verdict"] == "passes" for name in names)
    print(f"{passed} of {len(names)} pass")
    return int(passed < len(names))


if __name__ == "__main__":
    raise SystemExit(main())
