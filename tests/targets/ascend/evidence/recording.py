"""A plug-in of pytest that leaves out what has a result, and writes each result as it comes.

The runner (`__main__.py`) says in the environment where, until when, and for which code.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from canopy.errors import UnsupportedError
from tests.targets.ascend.evidence import measured as measuring
from tests.targets.ascend.evidence.results import Result, read

_state = Path(os.environ["CANOPY_EVIDENCE_STATE"])
_until = float(os.environ.get("CANOPY_EVIDENCE_UNTIL", "inf"))
_measured = measuring.install() if os.environ.get("CANOPY_EVIDENCE_MEASURED") else None
_texts: Counter[str] = Counter()
_calls: dict[str, Result] = {}


def _write(record: dict[str, Any]) -> None:
    with _state.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    kept = {r.test for r in read(_state) if r.stands(os.environ["CANOPY_EVIDENCE_CODE"])}
    done = [item for item in items if item.nodeid in kept]
    config.hook.pytest_deselected(items=done)
    _write({"collected": [item.nodeid for item in items]})
    items[:] = [item for item in items if item.nodeid not in kept]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Any:
    report = (yield).get_result()
    result = _calls.setdefault(item.nodeid, Result(item.nodeid))
    result.seconds += report.duration
    if report.skipped:
        result.outcome, result.reason = "skipped", str(call.excinfo.value)
    elif report.failed and result.outcome != "failed":
        result.outcome, result.reason = _failure(call.excinfo)
    if call.when == "teardown":
        _finish(_calls.pop(item.nodeid))


def _failure(excinfo: Any) -> tuple[str, str]:
    """A refusal says place, fact and hint; everything else is a failure."""
    error = excinfo.value
    while error is not None:
        if isinstance(error, UnsupportedError) and error.hint:
            return "refused", error.fact
        error = error.__cause__
    first = str(excinfo.value).strip().splitlines()[:1]
    return "failed", f"{excinfo.typename}: {first[0] if first else ''}"[:200]


def _finish(result: Result) -> None:
    if _measured is not None:
        result.kernels, wrong = _measured.take()
        if wrong:
            result.outcome, result.reason = "failed", wrong[0]
    result.text = _new_texts()
    if result.outcome == "passed" and any(what.startswith("refused") for what in result.text):
        result.outcome = "refused"
        result.reason = next(w for w in result.text if w.startswith("refused")).partition(": ")[2]
    result.code = os.environ["CANOPY_EVIDENCE_CODE"]
    result.commit = os.environ["CANOPY_EVIDENCE_COMMIT"]
    result.date = time.strftime("%Y-%m-%d")
    result.seconds = round(result.seconds, 2)
    _write(result.as_record())


def _new_texts() -> dict[str, int]:
    """What became of the printed texts of this test's launches."""
    from tests.targets.ascend.printed import counts

    new = Counter(counts)
    new.subtract(_texts)
    _texts.clear()
    _texts.update(counts)
    return {what: number for what, number in new.items() if number}


def pytest_runtest_logfinish(nodeid: str, location: Any) -> None:
    if time.time() > _until:
        pytest.exit("the time given is over; the results so far stand", returncode=0)
