"""Each case of another package, where it is installed; ``make test-triton`` asks for them."""

from __future__ import annotations

import importlib.util
import os

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

from tests.triton.packages import CASES  # noqa: E402
from tests.triton.packages.agreement import (  # noqa: E402
    disagreement,
    one_configuration,
    place_for,
)

pytestmark = pytest.mark.skipif(
    os.environ.get("CANOPY_TEST_PACKAGES") != "1",
    reason="kernels of other packages: CANOPY_TEST_PACKAGES=1",
)


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_its_reference(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package = name.split(".")[0]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    one_configuration(monkeypatch, seed=0)
    torch.manual_seed(0)
    with place_for(name):
        made = CASES[name]()
        error, where = disagreement(made)
    assert error <= made.tolerance, f"{where}: relative error {error:.2e}"
