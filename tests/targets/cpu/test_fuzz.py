"""Random programs, the same ones every time; ``python -m tests.fuzz.run`` goes on from here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.engine import failures_of
from tests.fuzz.repro import run_file
from tests.fuzz.selftest import find

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

COUNT, UNIT = 300, 20
FINDS = sorted((Path(__file__).parents[2] / "fuzz/finds").glob("*.ir"))
QUICK_BUGS = (  # each found within the first 16 programs
    *("stores_alias_no_load", "mask_dropped_in_tails", "masked_store_writes_all"),
    *("division_without_sign", "unused_atomics_removed"),
)


@pytest.mark.parametrize("first", range(0, COUNT, UNIT))
def test_random_programs(first: int) -> None:
    failures = failures_of(range(first, first + UNIT), optimized=first == 0)
    assert not failures, f"python -m tests.fuzz.run --seed {min(failures)}"


@pytest.mark.parametrize("find", FINDS, ids=lambda path: path.stem)
def test_what_the_fuzzer_found_stays_right(find: Path) -> None:
    assert not run_file(find)


@pytest.mark.parametrize("bug", QUICK_BUGS)
def test_the_fuzzer_finds_a_seeded_bug(bug: str) -> None:
    assert find(bug, limit_s=60) is not None
