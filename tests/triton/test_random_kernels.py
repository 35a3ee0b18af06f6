"""Random Triton kernels, the same ones every time; ``python -m tests.fuzz.triton_kernels`` goes on
from here."""

from __future__ import annotations

import pytest

pytest.importorskip("triton")
pytest.importorskip("torch")

from tests.fuzz.triton_kernels import failure_of_seed
from tests.triton.conftest import INTERPRETED

pytestmark = [
    pytest.mark.skipif(INTERPRETED, reason="compares the plug-in with the IR's interpreter"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


@pytest.mark.parametrize("seed", range(10))
def test_random_kernel(seed: int) -> None:
    assert not failure_of_seed(seed)
