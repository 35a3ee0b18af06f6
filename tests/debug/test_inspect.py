"""`canopy inspect`: stages, source lines, and what it says when something is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from canopy.errors import CanopyError
from canopy.inspect import inspect_command, stages_of

TRITON = """\
import triton
import triton.language as tl

@triton.jit
def add_one(x, y, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + at, at < n) + 1, at < n)
"""
CUDA = """\
__global__ void twice(float *x) {
    x[threadIdx.x] *= 2;
}
"""
SIGNATURE = "x:*fp32, y:*fp32, n:i32, BLOCK:64"


@pytest.fixture
def spec(tmp_path: Path) -> str:
    pytest.importorskip("triton")
    (tmp_path / "inspected.py").write_text(TRITON)
    return f"{tmp_path / 'inspected.py'}:add_one"


def test_every_stage_of_a_triton_kernel(spec: str, capsys):
    stages = stages_of(spec, SIGNATURE)
    names = [stage.name for stage in stages]
    assert names[:3] == ["ttir", "ir", "simplify"]
    assert names[-2:] == ["llvm", "asm"]
    for stage in stages:
        assert "inspected.py:7: tl.store(" in stage.text, stage.name
    assert inspect_command(spec, "ir", SIGNATURE) == 0
    shown = capsys.readouterr().out
    assert "program_id axis=0" in shown
    assert "tt.func" not in shown
    with pytest.raises(CanopyError, match="there is no stage 'gpu'"):
        inspect_command(spec, "gpu", SIGNATURE)


def test_what_the_signature_lacks_is_named(spec: str):
    with pytest.raises(CanopyError, match=r"inspected\.py:\d+: .*y \(a type.*BLOCK") as caught:
        stages_of(spec, "x:*fp32,n:i32")
    assert "--signature" in caught.value.hint
    with pytest.raises(CanopyError, match="has no parameter m"):
        stages_of(spec, SIGNATURE + ",m:i32")
    with pytest.raises(CanopyError, match="no Triton kernel") as caught:
        stages_of(spec.replace(":add_one", ":add_two"))
    assert "add_one" in caught.value.hint


def test_a_cuda_kernel(tmp_path: Path):
    pytest.importorskip("ziglang")
    (tmp_path / "twice.cu").write_text(CUDA)
    stages = stages_of(f"{tmp_path / 'twice.cu'}:twice", block="64")
    assert "block=(64, 1, 1)" in stages[0].text
    assert "twice.cu:2: x[threadIdx.x] *= 2;" in stages[0].text
