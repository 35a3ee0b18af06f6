"""The benchmarks' own machinery: wrong results are caught, ratios compare equal conditions."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch", reason="pip install canopy-nn[torch]")

from benchmarks import bars, compile_time, harness, results, run  # noqa: E402
from benchmarks.registry import load_cases  # noqa: E402


def contest(*found, tolerance: float = 1e-3) -> harness.Contest:
    """Contestants that give `found` without looking at anything; the last one is right."""
    made = harness.Contest([torch.empty(2)], lambda: [found[-1]], tolerance, bytes_moved=8)
    for position, result in enumerate(found):
        name = "torch" if position == len(found) - 1 else "canopy"
        made.add(name, lambda out, result=result: out.copy_(result), lambda result=result: result)
    return made


def test_measures_in_turns():
    ones = torch.ones(2)
    found = harness.measure(contest(ones, ones), "case", threads=1, budget_s=0.01)
    assert [(row.contestant, row.outputs) for row in found] == [
        ("canopy", "reused"),
        ("canopy", "fresh"),
        ("torch", "reused"),
        ("torch", "fresh"),
    ]
    for row in found:
        assert row.low_s <= row.median_s <= row.high_s
        assert row.rounds >= harness.FEWEST_ROUNDS
        assert row.rate.endswith("GB/s")


def test_every_contestant_runs_first_in_some_round():
    order = []
    made = harness.Contest([])
    for name in "abc":
        made.add_limit(name, lambda name=name: order.append(name))
    harness.measure(made, "case", 1, 0.01, max_rounds=6)
    assert {order[-1], order[0]} <= set("abc")
    assert set(order) == set("abc")


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 1.01])
def test_a_wrong_result_is_an_error(wrong: float):
    with pytest.raises(harness.WrongResultError, match="canopy"):
        harness.measure(contest(torch.tensor([1.0, wrong]), torch.ones(2)), "case", 1, 0.01)


def test_writing_nothing_is_an_error():
    made = harness.Contest([torch.ones(2)], lambda: [torch.ones(2)])
    made.add("canopy", lambda out: None)
    with pytest.raises(harness.WrongResultError, match="reused outputs"):
        harness.check_results(made)


def test_a_missing_peer_is_said():
    def not_here():
        raise harness.SkippedError("no compiler")

    made = contest(torch.ones(2))
    made.add_peer("inductor", not_here)
    made.add_fresh_peer("oneDNN", not_here)
    assert made.missing == {"inductor": "no compiler", "oneDNN": "no compiler"}
    assert {c.name for c in made.contestants} == {"torch"}


# -- Results --------------------------------------------------------------------------------------


def row(
    contestant: str, median_s: float, outputs: str = "reused", threads: int = 2, spread: float = 0
) -> harness.Measurement:
    low, high = median_s * (1 - spread / 2), median_s * (1 + spread / 2)
    return harness.Measurement(
        "case", contestant, outputs, threads, median_s, low, high, rounds=7, calls_per_round=1
    )


def found(*rows: harness.Measurement, **fields) -> results.Results:
    return results.Results(list(rows), machine={"cpu": "one"}, **fields)


def test_results_survive_the_file(tmp_path):
    path = tmp_path / "latest.json"
    before = found(row("canopy", 1.0), missing={"case": {"inductor": "none"}}, failed={"x": "y"})
    results.save(path, before)
    assert results.load(path.read_text()) == before
    data = json.loads(path.read_text())
    data["measurements"][0]["column of a later version"] = 1
    assert results.load(json.dumps(data)) == before


def test_measuring_again_replaces():
    kept = found(row("canopy", 1.0), row("canopy", 2.0, threads=1), failed={"case, 2 threads": "x"})
    kept.update(found(row("canopy", 3.0)))
    assert [(r.threads, r.median_s) for r in kept.measurements] == [(1, 2.0), (2, 3.0)]
    assert kept.failed == {}


@pytest.mark.parametrize(
    ("before_s", "now_s", "spread", "slower", "faster"),
    [
        (1.0, 1.0, 0.0, False, False),
        (1.0, 1.05, 0.0, False, False),
        (1.0, 1.3, 0.0, True, False),
        (1.0, 0.7, 0.0, False, True),
        (1.0, 1.3, 0.5, False, False),
    ],
)
def test_a_change_counts_beyond_the_spread(before_s, now_s, spread, slower, faster):
    before = found(row("canopy", before_s, spread=spread), row("torch", 2.0))
    now = found(row("canopy", now_s, spread=spread), row("torch", 2.0))
    (change,) = results.changes(before, now)
    assert (change.is_slower, change.is_faster) == (slower, faster)


def test_changes_are_relative_to_the_same_run_and_cpu():
    before = found(row("canopy", 1.0), row("limit: copy", 1.0, "none"), row("torch", 1.0))
    now = found(row("canopy", 2.0), row("limit: copy", 2.0, "none"), row("torch", 1.0))
    (change,) = results.changes(before, now)
    assert (change.yardstick, change.before, change.now) == ("limit: copy", 1.0, 1.0)
    before.machine = {"cpu": "another"}
    assert results.changes(before, now) == []
    assert results.changes(None, now) == []


def test_bars_compare_equal_conditions():
    case = "case"
    faster = bars.Bar(case, bars.faster("torch"), at_least=2.0)
    assert faster.is_met(found(row("canopy", 1.0), row("torch", 9.0, "fresh"))) is None
    assert faster.is_met(found(row("canopy", 1.0), row("torch", 2.0))) is True
    assert faster.is_met(found(row("canopy", 1.0), row("torch", 1.9))) is False
    limit = bars.Bar(case, bars.slowdown("limit"), at_most=1.5)
    assert limit.is_met(found(row("canopy", 1.4), row("limit: read", 1.0, "none"))) is True
    assert limit.is_met(found(row("canopy", 1.6), row("limit: read", 1.0, "none"))) is False
    scaling = bars.Bar(case, bars.SCALING, at_least=1.85)
    assert scaling.value(found(row("canopy", 1.0), row("canopy", 1.5, threads=1))) == 1.5
    # Three times as fast with two threads: the machine was busy when one was measured.
    assert scaling.value(found(row("canopy", 1.0), row("canopy", 3.0, threads=1))) is None


def test_every_bar_is_about_a_case():
    load_cases()
    cases = {subject.name for subject in harness.CASES}
    compiled = {f"compile time: {name}" for name in ("import", *compile_time.KERNELS)}
    assert {bar.case for bar in bars.BARS} <= cases | compiled


# -- A run that was killed ------------------------------------------------------------------------


def test_records_go_on_where_a_run_stopped(tmp_path):
    path = tmp_path / "latest.partial.jsonl"
    first = run.Records(path, {"commit": "a"})
    first.add({"started": "one", "threads": 2})
    first.add({"case": "one", "threads": 2})
    with path.open("a") as file:
        file.write('{"started": "two", "threads": 2}\n{"case": "tw')
    second = run.Records(path, {"commit": "a"})
    second.add({"case": "three", "threads": 2})
    assert second.finished_names(2) == {"one", "three"}
    assert second.finished_names(1) == set()
    assert second.started(2) == "two"
    assert run.Records(path, {"commit": "b"}).finished() == []
