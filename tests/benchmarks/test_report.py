"""The documentation's figures come from the JSON: rendering, and that nothing is out of date."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

pytest.importorskip("torch", reason="pip install canopy-nn[torch]")

from benchmarks import report, results, tables
from benchmarks.harness import Measurement


def row(case: str, contestant: str, outputs: str, median_s: float, threads: int = 2):
    return Measurement(case, contestant, outputs, threads, median_s, median_s, median_s, 7, 1)


@pytest.fixture
def found() -> results.Results:
    case = "softmax 4096x4096 f32"
    return results.Results(
        [
            row(case, "canopy", "reused", 2e-3),
            row(case, "torch", "reused", 5e-3),
            row(case, "canopy", "fresh", 20e-3),
            row(case, "torch", "fresh", 10e-3),
            row(case, "limit: non-temporal copy", "none", 1e-3),
            row(case, "canopy", "reused", 4e-3, threads=1),
            row("tile sizes: matmul 1024^3 f32", "canopy 128x256x64", "reused", 3e-3),
            row("limit: read", "limit: read", "none", 1e-3),
        ],
        machine={"cpu": "a <CPU> & more", "usable_cpus": 2},
        missing={case: {"inductor": "no compiler"}},
        failed={"rope, 2 threads": "wrong"},
    )


def test_lines_hold_equal_conditions(found: results.Results):
    reused, fresh, _, tiles, limit = tables.lines_of(found)
    assert set(reused.peers) == {"torch", "limit"}
    assert set(fresh.peers) == {"torch"}
    assert fresh.peers["torch"].outputs == "fresh"
    assert tiles.case.endswith(", 128x256x64")
    assert limit.case == "limit: read"
    assert limit.peers == {}


def test_page(found: results.Results):
    page = report.page(found)
    assert "| softmax 4096x4096 f32 | reused | 2.00 ms | 0% |  | 5.00 ms (2.50 x) |" in page
    assert "| softmax 4096x4096 f32 | fresh | 20.0 ms | 0% |  | 10.0 ms (0.50 x) |" in page
    assert "| softmax 4096x4096 f32 | at most 2.2 x the time of the limit | 2.00 | met |" in page
    assert "no inductor: no compiler" in page
    assert "rope, 2 threads: no figure: wrong" in page
    widths = {
        line.count("|") for line in page.split("### 2 threads")[1].splitlines() if "|" in line
    }
    assert len(widths - {5}) == 1


def test_chart_is_well_formed(found: results.Results):
    found.measurements.append(row("a < b & c", "canopy", "reused", 1.0))
    found.measurements.append(row("a < b & c", "torch", "reused", 0.01))
    for some in (found, results.Results()):
        ElementTree.fromstring(report.chart(some))
    texts = [e.text for e in ElementTree.fromstring(report.chart(found)).iter() if e.text]
    assert {"2.50", "0.50", "0.01", "a < b & c"} <= set(texts)


def test_documents_are_up_to_date():
    path = results.ROOT / results.LATEST
    if not path.exists():
        pytest.skip("nothing was measured yet")
    for name, text in report.documents(results.load(path.read_text(encoding="utf-8"))).items():
        assert (results.ROOT / name).read_text(encoding="utf-8") == text, (
            f"{name} does not show {results.LATEST}: python benchmarks/report.py"
        )


def test_times_are_said_in_their_unit():
    texts = [tables.format_time(t) for t in (3.21e-6, 4.5e-4, 1.234e-2, 0.1, 0.9996, 12.3)]
    assert texts == ["3.21 us", "450 us", "12.3 ms", "100 ms", "1000 ms", "12.3 s"]
