"""Random programs, the same ones every time; ``python -m tests.fuzz.run`` goes on from here."""

import pytest

from tests.fuzz.run import run_seed

# These once failed: blocks added outside a loop, a value at an outer level asked for twice.
KNOWN = (400, 1407, 1662)
COUNT = 60


@pytest.mark.parametrize("seed", [*KNOWN, *range(COUNT)])
def test_random_program(seed: int) -> None:
    run_seed(seed)
