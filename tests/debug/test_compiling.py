"""What compilation tells: CANOPY_DEBUG, and the report of an internal failure."""

from __future__ import annotations

from pathlib import Path

import pytest

from canopy import failure
from canopy.compiler import compile_kernel
from canopy.errors import CompileError, Location, UnsupportedError
from canopy.ir.parser import parse_kernel
from canopy.passes import pipeline
from canopy.targets.cpu import codegen

TEXT = """
kernel twice(%x: ptr) {
  %0 = load %x : f32  # {file}:4
  %1 = add %0, %0 : f32
  store %x, %1
}
"""
SOURCE = """\
import triton

@triton.jit
def twice(x):
    tl.store(x, 2 * tl.load(x))

secret = 1
"""


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CANOPY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("CANOPY_DEBUG", raising=False)
    source = tmp_path / "user.py"
    source.write_text(SOURCE)
    made = parse_kernel(TEXT.replace("{file}", str(source)))
    made.location = Location(str(source), 3)
    return made


@pytest.mark.parametrize(
    ("level", "shown"), [(0, 0), (1, 1), (2, 3), (3, 4), (4, 5)], ids=lambda x: str(x)
)
def test_debug_levels(kernel, level, shown, monkeypatch, capfd):
    monkeypatch.setenv("CANOPY_DEBUG", str(level))
    compile_kernel(kernel)
    err = capfd.readouterr().err
    marks = ["canopy: compiled twice (", "IR as it came", "IR after simplify, verified"]
    marks += ["LLVM IR\n", "assembly\n"]
    assert [mark in err for mark in marks] == [index < shown for index in range(len(marks))]
    if level >= 2:
        assert err.count("IR after") == len(pipeline.COMMON)
        assert "user.py:4" in err


def test_internal_failure_in_codegen_is_recorded(kernel, monkeypatch, capsys):
    def break_down(*_: object) -> None:
        raise KeyError("no such register")

    monkeypatch.setattr(codegen, "_emit_kernel", break_down)
    with pytest.raises(CompileError) as caught:
        compile_kernel(kernel)
    error = caught.value
    assert error.location == kernel.location
    assert "internal failure in codegen of kernel twice: KeyError" in error.fact
    assert "canopy report" in error.hint
    path = failure.latest_failure()
    assert path is not None
    text = path.read_text()
    assert "tl.store(x, 2 * tl.load(x))" in text
    assert "secret" not in text
    assert "kernel twice(%x: ptr)" in text
    assert "break_down" in text


def test_internal_failure_in_a_pass_names_it(kernel, monkeypatch):
    def broken_pass(kernel: object) -> None:
        raise RuntimeError("off by one")

    passes = (*pipeline.COMMON[:2], broken_pass)
    monkeypatch.setattr(pipeline, "COMMON", passes)
    monkeypatch.setattr(pipeline.run, "__defaults__", (passes, None, None))
    with pytest.raises(CompileError, match="internal failure in broken_pass"):
        compile_kernel(kernel)


def test_a_pass_that_breaks_the_ir_is_an_internal_failure(kernel, monkeypatch):
    def lose_an_op(kernel):
        del kernel.body.ops[0]
        return kernel

    monkeypatch.setenv("CANOPY_DEBUG", "2")
    passes = (lose_an_op,)
    monkeypatch.setattr(pipeline, "COMMON", passes)
    monkeypatch.setattr(pipeline.run, "__defaults__", (passes, None, None))
    with pytest.raises(CompileError, match="internal failure in lose_an_op of kernel twice"):
        compile_kernel(kernel)


def test_what_canopy_refuses_is_no_failure(kernel):
    with pytest.raises(UnsupportedError, match="no target"):
        compile_kernel(kernel, "gameboy")
    assert failure.latest_failure() is None
