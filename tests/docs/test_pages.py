"""The README and the tutorials: links lead somewhere, Python in them runs."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SCRIPTS = {
    "README.md": ("saxpy", [r"\[0\.0|2\.0, 3\.0"]),
    "docs/tutorial/first-kernel.md": ("softmax", [r"largest difference from torch \d\.\de-0[6-9]"]),
}


def has_canopy_run() -> bool:
    try:
        return importlib.util.find_spec("canopy.frontends.redirect.commands") is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    text = re.sub(r"`[^`\n]*`", "", page.read_text(encoding="utf-8"))  # code is no link
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target) or target.startswith("#"):
            continue
        assert (page.parent / target.partition("#")[0]).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("picture", sorted((ROOT / "docs" / "images").glob("*.svg")))
def test_pictures_are_well_formed(picture: Path):
    root = ElementTree.parse(picture).getroot()
    assert root.tag.endswith("svg")
    assert root.find("{http://www.w3.org/2000/svg}title") is not None


@pytest.mark.skipif(not has_canopy_run(), reason="canopy run is not in this build")
@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_run(name: str, tmp_path: Path):
    pytest.importorskip("torch", reason="pip install canopy-nn[torch]")
    pytest.importorskip("triton", reason="pip install canopy-nn[triton]")
    from triton.backends import backends

    if "cpu" not in backends:
        pytest.skip("triton has no cpu backend here: pip install -e .")
    stem, patterns = SCRIPTS[name]
    text = (ROOT / name).read_text(encoding="utf-8")
    block = next(code for code in re.findall(r"```python\n(.*?)```", text, re.S) if stem in code)
    script = tmp_path / f"{stem}.py"
    script.write_text(block, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "canopy", "run", str(script)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    for pattern in patterns:
        assert re.search(pattern, done.stdout), done.stdout
