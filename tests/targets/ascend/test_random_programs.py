"""Random programs on the simulator, the same ones every time: the interpreter's results, and no
hazard; ``python -m tests.fuzz.run --target ascend-sim`` goes on from here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.ascend import failure_of, kernel_of_seed
from tests.fuzz.repro import run_file

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

COUNT, UNIT = 40, 20
FINDS = sorted((Path(__file__).parents[2] / "fuzz/finds/ascend").glob("*.ir"))


@pytest.mark.parametrize("first", range(0, COUNT, UNIT))
def test_random_programs(first: int) -> None:
    found = {seed: failure_of(kernel_of_seed(seed), seed) for seed in range(first, first + UNIT)}
    failures = {s: text for s, text in found.items() if text and not text.startswith("refused")}
    assert not failures, f"python -m tests.fuzz.run --target ascend-sim --seed {min(failures)}"


@pytest.mark.parametrize("find", FINDS, ids=lambda path: path.stem)
def test_what_the_fuzzer_found_stays_right(find: Path) -> None:
    assert not run_file(find, "ascend-sim")
