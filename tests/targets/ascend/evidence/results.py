"""Results of single tests, as lines of JSON; and all of them as one small file for the page."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["RECORDED", "ROOT", "Result", "code", "collected", "commit", "read", "state_of"]

ROOT = Path(__file__).resolve().parents[4]
RECORDED = Path(__file__).with_name("results.json")
_SOURCES = ("py", "toml", "c", "h", "cpp", "hpp")


@dataclass
class Result:
    """``outcome`` is passed, refused (an UnsupportedError with a hint), failed or skipped."""

    test: str
    outcome: str = "passed"
    reason: str = ""
    seconds: float = 0.0
    commit: str = ""
    code: str = ""
    date: str = ""
    kernels: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    text: dict[str, int] = field(default_factory=dict)

    def stands(self, code: str) -> bool:
        """Whether the test need not run again for this code ("": for any)."""
        return self.outcome != "failed" and code in ("", self.code)

    def as_record(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value}


def state_of(folder: Path, suite: str, chip: str) -> Path:
    return folder / f"{suite}.{chip or 'any'}.jsonl"


def read(path: Path) -> list[Result]:
    """The last result of each test; half a line, of a run that was killed, counts as none."""
    found = {r["test"]: Result(**r) for r in _lines(path) if "test" in r}
    return list(found.values())


def collected(path: Path) -> list[str]:
    """The tests there were when pytest last looked."""
    lists = [r["collected"] for r in _lines(path) if "collected" in r]
    return lists[-1] if lists else []


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    for line in path.read_text("utf-8").splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue


def code() -> str:
    """A name of the code that results depend on; another one makes them old."""
    sources = [p for kind in _SOURCES for p in (ROOT / "src").rglob(f"*.{kind}")]
    return _digest([*sources, *(ROOT / "tests" / "triton").rglob("*.py")])


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=9"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"
