"""``canopy check``: findings with place, fact and hint, without running the program."""

from __future__ import annotations

import textwrap
import time
from pathlib import Path

import pytest

from canopy.errors import CanopyError
from canopy.frontends.redirect import check, commands


def findings(source: str) -> list[tuple[int, str, bool]]:
    result = check.check_source(textwrap.dedent(source), "train.py")
    return [(entry.location.line, entry.fact, entry.blocks) for entry in result.findings]


def test_a_clean_script_runs() -> None:
    source = "import os\nx = 1\n"
    assert check.check_source(source, "train.py").runs


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("import cupy as cp", "cupy"),
        ("from cupy import cuda", "cupy"),
        ("import pynvml", "pynvml"),
        ("from numba import cuda", "numba.cuda"),
        ("import numba.cuda", "numba.cuda"),
        ("from torch.utils.cpp_extension import load_inline", "torch.utils.cpp_extension"),
        ("import torch; torch.cuda.cudart().cudaProfilerStart()", "torch.cuda.cudart"),
        ("import torch as t; t.cuda.cudart()", "torch.cuda.cudart"),
        ("from torch import cuda as c; c.cudart()", "torch.cuda.cudart"),
        ("import triton.language as tl; tl.inline_asm_elementwise('', '', [], 1, True, 1)",
         "triton.language.inline_asm_elementwise"),
        ("import flash_attn", "flash_attn"),
    ],
)  # fmt: skip
def test_what_will_not_work(line: str, name: str) -> None:
    found = findings(f"import os\n{line}\n")
    assert any(at == 2 and fact.startswith(name) and blocks for at, fact, blocks in found), found


def test_guarded_imports_do_not_stop_the_program() -> None:
    source = """
    try:
        import cupy
        import no_such_package
    except ImportError:
        cupy = None
    """
    result = check.check_source(textwrap.dedent(source), "train.py")
    assert result.runs
    assert not result.missing
    assert len(result.findings) == 1


def test_missing_packages_name_what_to_install(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    (tmp_path / "beside.py").touch()
    script.write_text("import beside\nimport no_such_package.part\nfrom . import x\n")
    result = check.check_file(str(script))
    assert list(result.missing) == ["no_such_package"]
    assert any("train.py:2: pip install no_such_package" in line for line in check.render(result))


def test_differences_do_not_stop() -> None:
    found = findings("import torch\nm = torch.compile(m)\ndist.init_process_group('nccl')\n")
    assert [(line, blocks) for line, _, blocks in found] == [(2, False), (3, False)]


def test_nothing_is_run_and_it_is_quick(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("raise SystemExit('ran')\n" + "x = torch.cuda.is_available()\n" * 5000)
    start_s = time.perf_counter()
    check.check_file(str(script))
    assert time.perf_counter() - start_s < 2


def test_bad_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CanopyError, match="cannot be read"):
        check.check_file(str(tmp_path / "nothing.py"))
    with pytest.raises(CanopyError, match=r"train.py:1: Python cannot parse this"):
        check.check_source("x = = 1\n", "train.py")
    with pytest.raises(CanopyError):
        check.check_source(b"x = '\x00'\n", "train.py")
    assert commands.check(str(tmp_path / "nothing.py")) == 2
    script = tmp_path / "ok.py"
    script.write_text("import os\n")
    assert commands.check(str(script)) == 0
    assert "will run" in capsys.readouterr().out
