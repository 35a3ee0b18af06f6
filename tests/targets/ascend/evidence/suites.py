"""The suites of the evidence: which tests, on which chips, and what a row of the page is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

__all__ = ["CHIPS", "SUITES", "Suite", "group_of"]

CHIPS = ("910b2", "910b4", "910c", "950pr")
TEXT_CHIPS = CHIPS[:3]  # the header and the printer know architecture 2201 alone
ANY = ("",)  # tests that choose their chips themselves

_TEXT = {"CANOPY_TEXT_MAY_REFUSE": "1"}


@dataclass(frozen=True, eq=False)
class Suite:
    """``paths`` are pytest's arguments; ``measured``: launches are compared with the interpreter,
    and a hazard is a failure."""

    name: str
    title: str
    paths: tuple[str, ...]
    chips: tuple[str, ...] = CHIPS
    measured: bool = False
    plugins: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


_TUTORIALS = ("tests/triton/test_tutorials.py",)
_LIGER = ("tests/triton/test_liger.py",)
_PACKAGES = ("tests/triton/packages/test_packages.py",)
_ALL = {"CANOPY_TEST_PACKAGES": "1"}
_PRINTED = ("tests.targets.ascend.printed",)

SUITES = (
    Suite("tutorials", "Triton tutorials", _TUTORIALS, measured=True),
    Suite("liger", "liger-kernel", _LIGER, measured=True),
    Suite("packages", "Other packages' kernels", _PACKAGES, measured=True, environment=_ALL),
    Suite(
        "tutorials-text",
        "Triton tutorials, printed",
        _TUTORIALS,
        TEXT_CHIPS,
        False,
        _PRINTED,
        _TEXT,
    ),
    Suite("liger-text", "liger-kernel, printed", _LIGER, TEXT_CHIPS, False, _PRINTED, _TEXT),
    Suite("own", "Tests of the target", ("tests/targets/ascend",), ANY),
)

_TEST = re.compile(r"(?:.*/)?test_(\w+)\.py::test_(\w+)(?:\[(.*)\])?")


def group_of(suite: str, test: str) -> str:
    """The row that a test belongs to: the kernel of liger, the function of the tutorials, or a
    file of the target's own tests."""
    found = _TEST.fullmatch(test)
    if found is None:
        return test
    file, function, parameters = found.groups()
    if suite == "own":
        return file
    if suite.startswith(("liger", "packages")) and parameters:
        return parameters.split("-")[0]
    return function
