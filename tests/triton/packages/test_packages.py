"""Each case of another package, where it is installed; ``make test-triton`` asks for them."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

import canopy  # noqa: E402
from tests.triton.packages import CASES  # noqa: E402
from tests.triton.packages.agreement import disagreement, one_configuration  # noqa: E402

pytestmark = pytest.mark.skipif(
    os.environ.get("CANOPY_TEST_PACKAGES") != "1",
    reason="kernels of other packages: CANOPY_TEST_PACKAGES=1",
)


@pytest.fixture(autouse=True)
def believes_in_cuda() -> Iterator[None]:
    with canopy.cuda_as("cpu"):
        yield


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_its_reference(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package = name.split(".")[0]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    one_configuration(monkeypatch, seed=0)
    torch.manual_seed(0)
    made = CASES[name]()
    error, where = disagreement(made)
    assert error <= made.tolerance, f"{where}: relative error {error:.2e}"
