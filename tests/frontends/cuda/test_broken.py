"""Proof that the programs look at what they use: each feature is broken on purpose (`features`),
and its program must fail. One test per program, which builds its host half and reads its device
half once."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from unittest import mock

import pytest

pytest.importorskip("ziglang")

from canopy.errors import CanopyError
from canopy.frontends.cuda import build
from canopy.frontends.cuda.build import Options, compile_source, link
from tests.frontends.cuda.features import FEATURES, Feature, programs
from tests.frontends.cuda.listing import PAGE, page

T = TypeVar("T")
HANGS_S = 5  # a program takes some hundredths of a second
# The quick suite breaks what these programs show; CANOPY_TEST_ALL_CONFIGS=1 (make test-cuda), all.
QUICK = ("vector_add", "kernel_output")
CHOSEN = [
    name
    for name in sorted({feature.program for feature in FEATURES})
    if name in QUICK or os.environ.get("CANOPY_TEST_ALL_CONFIGS") == "1"
]


@pytest.mark.parametrize("name", CHOSEN)
def test_a_program_fails_when_what_it_uses_is_broken(name: str, tmp_path: Path) -> None:
    source = programs()[name]
    with _halves_kept():
        assert _outcome(source, tmp_path) == "passes"
        found = {
            feature.name: _broken_outcome(feature, source, tmp_path)
            for feature in FEATURES
            if feature.program == name
        }
    expected = {
        f.name: "is refused" if f.is_refused else "fails" for f in FEATURES if f.name in found
    }
    assert found == expected


def _broken_outcome(feature: Feature, source: Path, folder: Path) -> str:
    edit = feature.broken.edit
    whole = build.device_ir

    def broken_ir(*arguments: object) -> str:
        text = whole(*arguments)
        changed = edit(text) if edit else text
        assert not edit or changed != text, f"{source.stem} has no {feature.name}"
        return changed

    with mock.patch.object(build, "device_ir", broken_ir), feature.broken.applied():
        return _outcome(source, folder, feature.blamed)


def _outcome(source: Path, folder: Path, blamed: tuple[str, ...] = ()) -> str:
    code, program = folder / "program.o", folder / "program"
    try:
        compile_source(source, code, Options())
    except CanopyError:
        return "is refused"
    link([code], program)
    try:
        done = subprocess.run(
            [program], capture_output=True, text=True, timeout=HANGS_S, check=False
        )
    except subprocess.TimeoutExpired:
        return "fails"
    lines = done.stdout.splitlines()
    wanted = {
        line.removeprefix("// prints: ")
        for line in source.read_text().splitlines()
        if line.startswith("// prints: ")
    }
    named = [line.partition(" of ")[0] for line in lines]
    innocent = [f for f in blamed if not any(re.search(rf"(?<![a-z0-9]){f}\b", n) for n in named)]
    if innocent:
        return f"does not blame {innocent}"
    passes = lines[-1:] == ["PASS"] and done.returncode == 0 and wanted <= set(lines)
    return "passes" if passes else "fails"


@contextmanager
def _halves_kept() -> Iterator[None]:
    """What clang makes of a source is kept: a break changes only what follows."""
    host_ir = _kept(build._host_ir)
    device_ir = _kept(build.device_ir)
    host_object = _kept(lambda *arguments: build_host_object(*arguments).read_bytes())
    build_host_object = build._host_object

    def write_host_object(text: str, folder: Path, options: Options) -> Path:
        made = folder / "host.o"
        made.write_bytes(host_object(text, folder, options))
        return made

    with (
        mock.patch.object(build, "_host_ir", host_ir),
        mock.patch.object(build, "_host_object", write_host_object),
        mock.patch.object(build, "device_ir", device_ir),
    ):
        yield


def _kept(function: Callable[..., T]) -> Callable[..., T]:
    """The function, called once for each first argument, a text."""
    found: dict[str, T] = {}

    def kept(text: str, *rest: object) -> T:
        if text not in found:
            found[text] = function(text, *rest)
        return found[text]

    return kept


def test_the_page_of_the_documentation_says_what_is_broken() -> None:
    """A program that breaks nothing may be missing there for a while."""
    rows = [line for line in page().splitlines() if line.endswith("` |")]
    missing = set(rows) - set(PAGE.read_text().splitlines())
    assert not missing, "python -m tests.frontends.cuda.listing writes it"
