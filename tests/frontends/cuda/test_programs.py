"""Whole CUDA C++ programs: compiled, linked and run. Each checks itself and prints PASS."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

pytest.importorskip("ziglang")

from canopy.frontends.cuda.build import Options, compile_source, link

PROGRAMS = sorted((Path(__file__).parent / "programs").rglob("*.cu"))


@pytest.mark.parametrize("source", PROGRAMS, ids=lambda path: path.stem)
def test_program(source: Path, tmp_path: Path) -> None:
    code, program = tmp_path / "program.o", tmp_path / "program"
    compile_source(source, code, Options())
    link([code], program)
    done = subprocess.run([program], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.splitlines()[-1:] == ["PASS"], done.stdout + done.stderr
    assert done.returncode == 0
    for line in source.read_text().splitlines():
        if line.startswith("// prints: "):
            assert line.removeprefix("// prints: ") in done.stdout.splitlines()
