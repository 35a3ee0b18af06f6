"""docs/cuda.md: its files are written down, its commands run, and they print what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ziglang", reason="pip install canopy-nn[cuda]")
ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "cuda.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.S)
FILE = re.compile(r"(?://|#) ([\w.]+)\n")
NOT_RUN = ("pip ", "canopy setup")


def write_files(folder: Path) -> None:
    for _, text in BLOCK.findall(PAGE):
        name = FILE.match(text)
        if name:
            (folder / name[1]).write_text(text, encoding="utf-8")


def commands() -> list[tuple[str, str]]:
    """(command, what it prints) of every console block."""
    found = []
    for kind, text in BLOCK.findall(PAGE):
        if kind == "console":
            for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
                command, _, output = part.partition("\n")
                found.append((command.partition("   #")[0].strip(), output))
    return [(c, out) for c, out in found if not c.startswith(NOT_RUN)]


def test_commands_print_what_the_page_says(tmp_path: Path):
    pytest.importorskip("torch", reason="pip install canopy-nn[torch]")
    write_files(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    python = f"{sys.executable} -m canopy "
    assert len(commands()) >= 6
    for command, expected in commands():
        line = re.sub(r"^canopy ", python, command)
        line = re.sub(r"^python ", f"{sys.executable} ", line)
        done = subprocess.run(
            line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        assert done.stdout.replace(f"{tmp_path}/", "") == expected, command
