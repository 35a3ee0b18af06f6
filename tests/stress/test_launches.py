"""Launches from many threads, across forks and failures, and very many of them."""

from __future__ import annotations

import pytest

from tests.stress.conftest import Start, finish


@pytest.mark.parametrize(
    ("mode", "rounds"),
    [
        ("compile-in-threads", 1),
        ("launch-in-threads", 50),
        ("fork", 10),
        ("failures", 50),
        ("often", 100_000),
    ],
)
def test_launches(start: Start, times: int, mode: str, rounds: int) -> None:
    output = finish(start(mode, str(rounds * times)))
    assert output.startswith("done")
    print(mode, rounds * times, output)
