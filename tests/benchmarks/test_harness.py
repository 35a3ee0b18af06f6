"""The benchmarks' own machinery: wrong results are caught, ratios compare equal conditions."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="pip install canopy-nn[torch]")

from benchmarks import harness, run  # noqa: E402


def contest(*results, tolerance: float = 1e-3) -> harness.Case:
    names = ["canopy"] * (len(results) - 1) + ["torch"]
    contestants = [
        harness.Contestant(name, lambda result=result: result)
        for name, result in zip(names, results, strict=True)
    ]
    return harness.Case("case", lambda: harness.Contest(contestants, tolerance), bytes_moved=8)


def test_measures_in_turns():
    ones = torch.ones(2)
    found = harness.measure(contest(ones, ones), threads=1, budget_s=0.01)
    assert [row.contestant for row in found] == ["canopy", "torch"]
    for row in found:
        assert row.low_s <= row.median_s <= row.high_s
        assert row.rounds >= harness.MIN_ROUNDS
        assert row.rate.endswith("GB/s")


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 1.01])
def test_a_wrong_result_is_an_error(wrong: float):
    with pytest.raises(harness.WrongResultError, match="canopy"):
        harness.measure(contest(torch.tensor([1.0, wrong]), torch.ones(2)), 1, 0.01)


def row(contestant: str, outputs: str, median_s: float) -> harness.Measurement:
    return harness.Measurement(
        "case", contestant, outputs, 2, median_s, median_s, median_s, rounds=7, calls_per_round=1
    )


def test_ratios_compare_equal_conditions():
    rows = [row("canopy", "reused", 1.0), row("torch", "reused", 2.0), row("torch", "fresh", 9.0)]
    assert run.ratios_of(rows) == {("case", 2, "reused", "canopy"): 2.0}
    assert run.ratios_of([row("canopy", "fresh", 1.0), row("torch", "reused", 2.0)]) == {}


def test_changes_are_marked():
    assert run.format_change(2.0, 1.95) == "1.95 x"
    assert run.format_change(2.0, 1.0) == "1.00 x (+100%)"
    assert run.format_change(None, 1.0) == ""
