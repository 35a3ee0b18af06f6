"""The sweep of `exhaustive`, over a few inputs of every exponent; and that it sees errors."""

from __future__ import annotations

import numpy as np
import pytest

from tests.math.exhaustive import FUNCTIONS, error_kernel, patterns, worst_in

SPECIALS = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 0.5, 1e-45], np.float32)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_at_most_two_ulp(function: str) -> None:
    x = np.concatenate([patterns(0, 1 << 32, 65537), SPECIALS]).astype(np.float32)
    error, at = worst_in(error_kernel(function), x)
    assert error <= 2, f"{function}({at!r}) is {error} ulp off"


def test_the_sweep_sees_a_wrong_function(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.math import references

    monkeypatch.setitem(references.REFERENCES, "exp", references.REFERENCES["exp2"])
    assert worst_in(error_kernel("exp"), SPECIALS)[0] > 2
