"""The pictures of docs/tutorial/ascend.md: HTML pages of two reports, as a browser shows them.

python tools/ascend_pictures.py            # writes docs/images/ascend-*.png; needs chromium
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import triton

import canopy

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.kernels_contractions import matmul  # noqa: E402

SIZE = (1080, 1275)


def softmax_report(rows: int, columns: int) -> Any:
    """The kernel of the tutorial page itself, without the lines that launch it."""
    page = (ROOT / "docs" / "tutorial" / "ascend.md").read_text(encoding="utf-8")
    code = page.split("```python\n")[1].split("\n\n\nx = torch.randn")[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "softmax.py"
        path.write_text(code + "\n", encoding="utf-8")
        sys.path.insert(0, folder)
        from softmax import softmax_rows

        x = torch.empty(rows, columns)
        args = (x, torch.empty_like(x), columns)
        kwargs = {"BLOCK": triton.next_power_of_2(columns)}
        return canopy.simulate(softmax_rows, (rows,), args, kwargs, mode="timing")


def matmul_report(size: int) -> Any:
    a = torch.empty(size, size, dtype=torch.float16)
    args = (a, a.clone(), a.clone(), size, size, size, size, 1, size, 1, size, 1)
    tiles = {"BLOCK_M": 128, "BLOCK_N": 256, "BLOCK_K": 64, "GROUP": 8}
    grid = (triton.cdiv(size, 128) * triton.cdiv(size, 256),)
    return canopy.simulate(matmul, grid, args, tiles, mode="timing")


def picture(report: Any, path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("ascend_pictures.py needs chromium on the path")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        report.html(page)
        switches = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        switches += ["--disable-background-networking", f"--window-size={SIZE[0]},{SIZE[1]}"]
        command = [browser, *switches, f"--screenshot={path}", page.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=60)


def main() -> None:
    images = ROOT / "docs" / "images"
    for name, report in (
        ("softmax", softmax_report(4096, 2048)),
        ("softmax, large", softmax_report(65536, 8192)),
        ("matmul", matmul_report(4096)),
    ):
        print(report, end="\n\n")
        if "," not in name:
            picture(report, images / f"ascend-{name}.png")


if __name__ == "__main__":
    main()
