"""Triton kernels are compiled from the text alone, where a launch tells all that is needed."""

from __future__ import annotations

import pytest

pytest.importorskip("libcst")

from canopy.migrate.findings import Finding
from canopy.migrate.kernels import judge_kernels
from canopy.migrate.launch_sites import triton_kernels
from canopy.migrate.project import read_project

FILE = """
import os
import torch
import triton
import triton.language as tl
from triton.language import exp as e

open("executed", "w")
WIDTH = 32
UNKNOWN = os.environ

@triton.jit
def half(x):
    return x * 0.5

@triton.autotune([triton.Config({"BLOCK": 64}), triton.Config({"BLOCK": 128})], key=["n"])
@triton.jit
def good(x_ptr, y_ptr, n, BLOCK: tl.constexpr, EVEN: tl.constexpr = True):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, mask=i < n).to(tl.float32)
    tl.store(y_ptr + i, half(e(x)) + WIDTH, mask=i < n)

@triton.jit
def wide(x_ptr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(x_ptr + i, tl.load(x_ptr + i) * 2)

@triton.jit
def wrong(x_ptr):
    i = tl.arange(0, 24)
    tl.store(x_ptr + i, 0)

@triton.jit
def steals(x_ptr):
    tl.core.os.system("touch executed")

@triton.jit
def asks(x_ptr):
    tl.store(x_ptr, UNKNOWN)

@triton.jit
def assembly(x_ptr):
    y = tl.inline_asm_elementwise("foo.bar $0, $1;", "=r,r", [tl.load(x_ptr)], tl.int32, True, 1)
    tl.store(x_ptr, y)

@triton.jit
def elsewhere(x_ptr, n):
    tl.store(x_ptr, n)

def launch(given):
    x = torch.randn(1000, dtype=torch.float16, device="cuda")
    M, N = x.shape
    y = torch.empty_like(x).contiguous()
    good[(8,)](x, y, x.numel())
    wide[(1,)](torch.zeros(8, dtype=torch.float64), BLOCK=triton.next_power_of_2(6))
    wrong[(1,)](y)
    steals[(1,)](y)
    asks[(1,)](y)
    assembly[(1,)](torch.zeros(8, dtype=torch.int32))
    elsewhere[(1,)](given, N * 2)
"""


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finding]:
    pytest.importorskip("triton")
    folder = tmp_path_factory.mktemp("triton")
    file = folder / "file.py"
    file.write_text(FILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CANOPY_CACHE_DIR", str(folder / "cache"))
        patch.chdir(folder)
        project = read_project(file, jobs=1)
        judge_kernels(project, jobs=2)
    assert not (folder / "executed").exists()
    found = [f for f in project.files[0].findings if f.rule == "triton.kernel"]
    return {finding.what.split()[1]: finding for finding in found}


def test_only_kernels_are_findings(findings: dict[str, Finding]):
    assert list(findings) == [
        "good", "wide", "wrong", "steals", "asks", "assembly", "elsewhere",
    ]  # fmt: skip
    assert findings["good"].line == 18


def test_verdicts(findings: dict[str, Finding]):
    assert findings["good"].status["cpu"] == "runs", findings["good"].why
    assert findings["good"].status["ascend"] == "caveat"
    assert findings["wide"].status["cpu"] == "runs"
    assert findings["wide"].status["ascend"] == "unsupported"
    assert "float64" in findings["wide"].why
    assert findings["wrong"].status["cpu"] == "unsupported"
    assert "line 30" in findings["wrong"].why
    assert findings["assembly"].status["cpu"] == "unsupported"
    assert "line 43" in findings["assembly"].why


def test_what_is_not_literal_is_undecided(findings: dict[str, Finding]):
    for name, words in {
        "steals": "core.os.system",
        "asks": "UNKNOWN",
        "elsewhere": "x_ptr is not literal",
    }.items():
        assert findings[name].status["cpu"] == "undecided"
        assert words in findings[name].why
        assert "--prove" in findings[name].why


@pytest.mark.parametrize(
    ("expression", "type_"),
    [
        ("torch.ones(3)", "*fp32"), ("torch.arange(3)", "*i64"), ("torch.rand(3).half()", "*fp16"),
        ("torch.zeros(3).to('cuda').to(torch.bfloat16)", "*bf16"), ("3", "i32"), ("3.5", "fp32"),
        ("1 << 2", None), ("-(2 ** 2)", None), ("7 // 2 * 3", "i32"), ("1 / 2", "fp32"),
        ("x.stride(0)", "i32"), ("len(x)", "i32"), ("3000000000", "i64"), ("True", "i1"),
        ("torch.empty(3, dtype=kind)", None), ("given", None), ("twice", None), ("x", "*fp32"),
        ("1 // 0", None), ("x.shape[0]", "i32"), ("triton.cdiv(x.numel(), 4)", "i32"),
    ],
)  # fmt: skip
def test_types_of_expressions(expression: str, type_: str | None):
    text = f"""
import torch, triton
@triton.jit
def k(p): pass
def f(given, kind):
    twice = 1
    twice = 2
    x = torch.empty(3)
    k[(1,)]({expression})
"""
    (kernel,) = triton_kernels(text.encode())
    assert kernel.launch is not None
    assert kernel.launch.types.get("p") == type_
    assert bool(kernel.launch.gap) == (type_ is None)


def test_what_is_no_kernel_of_triton():
    text = """
import triton, tilelang
from numba import jit
from triton import jit as tjit
@tilelang.jit
def a(p): store(p)
@jit
def b(p): tl.store(p, 1)
@triton.jit
def part(x): return x
@triton.jit(debug=True)
def kernel(x): tl.store(x, part(1))
"""
    assert [kernel.name for kernel in triton_kernels(text.encode())] == ["kernel"]
