"""What programs compile as they run, under a redirect: `load`, `load_inline`, `_compile_kernel`."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("ziglang")

from conftest import environment  # noqa: E402

from canopy import cuda_as  # noqa: E402
from canopy.errors import CompileError, LaunchError, UnsupportedError  # noqa: E402

FILES = Path(__file__).parent / "extension"


@functools.cache
def loaded_cell() -> Any:
    from torch.utils import cpp_extension

    sources = [str(FILES / "cell.cpp"), str(FILES / "cell_kernels.cu")]
    return cpp_extension.load("cell_ext", sources, extra_cuda_cflags=["-O3", "--use_fast_math"])


@pytest.fixture
def cell(cuda: None) -> Any:
    return loaded_cell()


def reference(x, weights, bias, h, c):
    gates = torch.addmm(bias, torch.cat([h, x], 1), weights.t())
    first, second, third = gates.chunk(3, 1)
    c = c + torch.nn.functional.elu(third) * torch.sigmoid(first)
    return torch.tanh(c) * torch.sigmoid(second), c


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cell_forward_and_backward(cell, dtype):
    batch, features, state = 5, 7, 33

    class Cell(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, weights, bias, h, c):
            new_h, new_c, joined, gates = cell.forward(x, weights, bias, h, c)
            ctx.save_for_backward(weights, new_c, joined, gates)
            return new_h, new_c

        @staticmethod
        def backward(ctx, grad_h, grad_c):
            weights, new_c, joined, gates = ctx.saved_tensors
            d_h, d_x, d_weights, d_bias, d_c, _ = cell.backward(
                grad_h.contiguous(), grad_c.contiguous(), new_c, joined, gates, weights
            )
            return d_x, d_weights, d_bias, d_h, d_c

    shapes = [(batch, features), (3 * state, state + features), (1, 3 * state)]
    shapes += [(batch, state), (batch, state)]
    given = [torch.randn(shape, device="cuda", dtype=dtype, requires_grad=True) for shape in shapes]
    copies = [x.detach().clone().requires_grad_() for x in given]
    out, want = Cell.apply(*given), reference(*copies)
    for pair in zip(out, want, strict=True):
        torch.testing.assert_close(*pair)
        assert pair[0].is_cuda
    sum((x * x).sum() for x in out).backward()
    sum((x * x).sum() for x in want).backward()
    for x, copy in zip(given, copies, strict=True):
        torch.testing.assert_close(x.grad, copy.grad, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_softmax(cell, dtype):
    x = torch.randn(9, 300, device="cuda").to(dtype)
    y = cell.softmax(x=x)
    assert y.dtype == dtype
    torch.testing.assert_close(y, torch.softmax(x.float(), 1).to(dtype))


def test_matmul_and_changes_in_place(cell):
    a, b = torch.randn(45, 70, device="cuda"), torch.randn(70, 19, device="cuda")
    torch.testing.assert_close(cell.matmul(a, b), a @ b)
    x, offset = torch.randn(300, device="cuda"), torch.randn(300, device="cuda")
    want = x * 3 + offset
    cell.scale_(x, offset=offset, factor=3)
    torch.testing.assert_close(x, want)
    cell.scale_(x)
    torch.testing.assert_close(x, want * 2)


def test_what_tensors_say(cell):
    x = torch.zeros(3, 4, 5, device="cuda").transpose(0, 2)
    assert cell.describe(x) == "[5, 4, 3] float Float cuda:0 3 3 1 60 4 0 0"
    y = torch.zeros(2, 7, dtype=torch.int64, requires_grad=False)
    assert cell.describe(y, axis=0) == "[2, 7] long int Long cpu 2 2 7 14 8 1 0"
    assert cell.version == 3
    assert cell.__doc__ == "cells"
    assert "cell forward" in cell.forward.__doc__
    assert getattr(cell, "lambda")(6, 0.5) == 3.0


def test_operators(cell):
    x = torch.randn(2, 3, device="cuda")
    y, total, places, flag = cell.operators(x, [3, 2], [2, 3], True, "yes")
    want = torch.full((2, 3), 2.5, dtype=torch.float64) + x.double().clamp(-1, 1).abs().sum()
    want = want + (2 * x).double() - (2 * x)
    want[0] += x[:, 1].sum().float() - x[:, 1].sum()
    torch.testing.assert_close(y.cpu(), want.cpu())
    assert total == pytest.approx(x.sum().item())
    assert places == x.argmax(1).sum().item()
    assert flag is True
    assert cell.operators(x, [3, 2], [2, 3], False, None)[1:] == (0.25, places, False)


def test_lists_and_nothing(cell):
    first, second = torch.ones(2), torch.ones(3, device="cuda")
    one, two, three = cell.lists([first, second], torch.float16)
    assert (one.dtype, two.dtype, three) == (torch.float16, torch.float16, None)
    assert two.is_cuda
    assert not one.is_cuda


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda m: m.fails(1), RuntimeError, "a plain failure"),
        (lambda m: m.fails(2), ValueError, "a wrong value"),
        (lambda m: m.fails(3), RuntimeError, r"a check of 3 \(.*cell.cpp:\d+\)"),
        (lambda m: m.fails(4), RuntimeError, "cannot be multiplied"),
        (lambda m: m.fails(5), RuntimeError, "expected scalar type Double but found Float"),
        (lambda m: m.fails(6), IndexError, "Dimension out of range"),
        (lambda m: m.fails(2**31), TypeError, r"fails\(\): argument 1: expected an integer that"),
        (lambda m: m.fails(), TypeError, r"fails\(\): needs argument 1"),
        (lambda m: m.fails(1, 2), TypeError, "takes 1 arguments, 2 are given"),
        (lambda m: m.describe(torch.ones(1), axes=1), TypeError, "a keyword that it does not have"),
        (lambda m: m.softmax(x=3), TypeError, "argument x: expected a torch.Tensor, got int"),
        (lambda m: m.softmax(torch.ones(2).int().cuda()), NotImplementedError, "'Int'"),
        (lambda m: m.forward(*[torch.ones(2, 2)] * 5), RuntimeError, "input must be a CUDA tensor"),
    ],
)
def test_failures(cell, call, kind, text):
    with pytest.raises(kind, match=text):
        call(cell)


INLINE = r"""
__global__ void square_kernel(const float* x, float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = x[i] * x[i];
}
torch::Tensor square(torch::Tensor x) {
  auto y = torch::empty_like(x);
  int n = x.numel();
  square_kernel<<<(n + 255) / 256, 256>>>(x.data_ptr<float>(), y.data_ptr<float>(), n);
  return y;
}
TORCH_LIBRARY(canopy_squares, m) { m.def("square(Tensor x) -> Tensor"); }
TORCH_LIBRARY_IMPL(canopy_squares, CUDA, m) { m.impl("square", &square); }
"""


def test_inline_and_operators_under_torch_ops(cuda: None):
    from torch.utils.cpp_extension import load_inline

    module: Any = load_inline(
        "inline_squares",
        cpp_sources=["torch::Tensor square(torch::Tensor x);"],
        cuda_sources=[INLINE],
        functions={"square": 'squares, "all" of them'},
        extra_cuda_cflags=["-O2"],
        verbose=True,
    )
    x = torch.randn(1000, device="cuda")
    torch.testing.assert_close(module.square(x), x * x)
    assert 'squares, "all" of them' in module.square.__doc__
    torch.testing.assert_close(torch.ops.canopy_squares.square(x), x * x)


def test_sources_with_errors(cuda: None):
    from torch.utils.cpp_extension import load, load_inline

    with pytest.raises(UnsupportedError) as caught:
        load_inline("broken", "\n\nvoid f(torch::Tensor x) { torch::nn::Linear layer(3, 4); }")
    assert str(caught.value).startswith("<broken cpp_sources[0]>:3")
    assert "torch/extension.h" in str(caught.value)
    with pytest.raises(CompileError) as caught:
        load_inline("broken", "int f() {\n return missing; }", functions=["f"])
    assert str(caught.value).startswith("<broken cpp_sources[0]>:2")
    with pytest.raises(CompileError, match="nowhere"):
        load("broken", ["nowhere.cu"])
    with pytest.raises(CompileError, match="is an identifier"):
        load_inline("a-b", "int f() { return 1; }", functions=["f"])


KERNEL = """
template <typename T>
__global__ void scale(const T* x, T* y, T factor, int n) {
  extern __shared__ float unused[];
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (n < 0) y[0] = unused[0];
  if (i < n) y[i] = x[i] * factor;
}
"""


def test_compile_kernel(cuda: None):
    compile_kernel = torch.cuda._compile_kernel
    kernel = compile_kernel(KERNEL, "scale<double>", nvcc_options=["-DUNUSED"])
    x = torch.randn(500, device="cuda", dtype=torch.float64)
    y = torch.empty_like(x)
    stream = torch.cuda.Stream()
    kernel(grid=(2, 1, 1), block=(256, 1, 1), args=[x, y, 2.5, 500], shared_mem=64, stream=stream)
    torch.testing.assert_close(y, x * 2.5)
    kernel(args=[x.t(), y[::2], 4, 1], shared_mem=4)
    torch.testing.assert_close(y[0], x[0] * 4)
    kernel.set_shared_memory_config(60_000)
    kernel((1, 1, 1), (1, 1, 1), [x, y, 1.0, 1], 60_000)
    with pytest.raises(ValueError, match="CUDA tensors"):
        kernel(args=[x.cpu(), y, 1.0, 1])
    with pytest.raises(LaunchError, match=r"argument n \(int\)"):
        kernel(args=[x, y, 1.0, 1.5], shared_mem=4)
    with pytest.raises(RuntimeError, match=r"Kernel compilation failed:\n.*k\.cu:1:.*error"):
        compile_kernel("__global__ void k() { broken }", "k")


SETUP = """
from setuptools import setup
from torch.utils.cpp_extension import BuildExtension, CUDAExtension

setup(
    name="squares",
    packages=["squares"],
    ext_modules=[
        CUDAExtension(
            "squares._C",
            ["bind.cpp", "square.cu"],
            define_macros=[("EXTRA", "1")],
            extra_compile_args={"cxx": ["-O2"], "nvcc": ["-O3", "-arch=sm_80"]},
        )
    ],
    cmdclass={"build_ext": BuildExtension},
)
"""
BIND = """
#include <torch/extension.h>
torch::Tensor square(torch::Tensor x);
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("square", &square); m.attr("extra") = EXTRA; }
"""


def test_setup_py(tmp_path: Path):
    (tmp_path / "squares").mkdir()
    (tmp_path / "squares" / "__init__.py").write_text("")
    (tmp_path / "setup.py").write_text(SETUP)
    (tmp_path / "bind.cpp").write_text(BIND)
    kernels = INLINE.partition("TORCH_LIBRARY(")[0]
    (tmp_path / "square.cu").write_text(f"#include <torch/extension.h>\n{kernels}")
    (tmp_path / "use.py").write_text(
        "import torch\nfrom squares import _C\n"
        "x = torch.randn(300, device='cuda')\n"
        "print(torch.equal(_C.square(x), x * x), _C.extra)\n"
    )
    outputs = []
    for words in (["setup.py", "build_ext", "--inplace"], ["use.py"]):
        command = [sys.executable, "-m", "canopy", "run", "--quiet", *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    assert outputs[1] == "True 1\n"


def test_nothing_stays_patched():
    from torch.utils import cpp_extension

    before = cpp_extension.load_inline, torch.cuda._compile_kernel
    with cuda_as("cpu"):
        assert cpp_extension.load_inline is not before[0]
        assert cpp_extension.CUDA_HOME
    assert before == (cpp_extension.load_inline, torch.cuda._compile_kernel)
