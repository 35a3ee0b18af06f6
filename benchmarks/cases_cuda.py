"""CUDA C++ kernels in their usual forms (`benchmarks/cuda/kernels.cu`), compiled by `canopy nvcc`.

The peer `g++` is the plain loop of the same computation, by g++ -O3 -march=native -ffast-math
-fopenmp. Operands lie in memory of cudaMalloc, which both use; outputs are reused on both sides.
"""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.harness import Contest, SkippedError, case

SOURCES = Path(__file__).parent / "cuda"
F32 = ctypes.c_float
Call = Callable[[ctypes.CDLL], object]
ROWS, SMALL = {"rows": 8192, "columns": 1024}, {"rows": 33, "columns": 77}


@functools.cache
def kernels() -> ctypes.CDLL:
    """The kernels as a shared library."""
    library = _folder() / "kernels.so"
    options = ["-O3", "-shared", "-Xcompiler", "-fPIC", str(SOURCES / "kernels.cu")]
    command = [sys.executable, "-m", "canopy", "nvcc", *options, "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SkippedError(f"canopy nvcc: {done.stderr.strip().splitlines()[-1]}")
    loaded = ctypes.CDLL(str(library))
    loaded.allocate.restype = ctypes.c_void_p
    loaded.allocate.argtypes = [ctypes.c_size_t]
    return loaded


@functools.cache
def loops() -> ctypes.CDLL:
    """The plain loops as a shared library."""
    compiler = shutil.which("g++")
    if not compiler:
        raise SkippedError("there is no g++ here")
    library = _folder() / "loops.so"
    compiled = library.with_suffix(".o")
    options = ["-O3", "-march=native", "-ffast-math", "-fopenmp", "-fPIC", "-c"]
    subprocess.run([compiler, *options, SOURCES / "loops.cpp", "-o", compiled], check=True)
    # Linked without -ffast-math, with which older GCC adds an initialiser that makes the whole
    # process flush denormals.
    subprocess.run([compiler, "-shared", "-fopenmp", compiled, "-o", library], check=True)
    return ctypes.CDLL(str(library))


@functools.cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="canopy-bench-"))


def on_device(values: torch.Tensor) -> torch.Tensor:
    """A copy in memory of cudaMalloc."""
    size = values.numel() * values.element_size()
    address = kernels().allocate(size)
    block = (ctypes.c_char * size).from_address(address)
    copied = torch.frombuffer(block, dtype=values.dtype).reshape(values.shape)
    return copied.copy_(values)


def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return on_device(torch.zeros(*shape, dtype=dtype))


def uniform(*shape: int) -> torch.Tensor:
    return on_device(torch.rand(*shape))


def at(tensor: torch.Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


def beside_loops(contest: Contest, call: Call) -> Contest:
    """Adds Canopy, and g++ where it is."""
    contest.add("canopy", lambda *_: call(kernels()))
    contest.contestants.pop()  # fresh outputs: the operands are bound
    try:
        library = loops()
    except SkippedError as reason:
        contest.missing["g++"] = str(reason)
        return contest
    contest.add("g++", lambda *_: call(library))
    contest.contestants.pop()
    return contest


def beside_torch(contest: Contest, call: Call, peer: Callable[[], object]) -> Contest:
    for name, run in (("canopy", lambda *_: call(kernels())), ("torch", lambda *_: peer())):
        contest.add(name, run)
        contest.contestants.pop()
    return contest


@case("CUDA saxpy 64M f32", tiny={"n": 1003}, n=1 << 26)
def saxpy(n: int) -> Contest:
    x, y = uniform(n), zeros(n)
    contest = Contest([y], bytes_moved=12 * n)
    return beside_loops(contest, lambda by: by.saxpy(n, F32(0.5), at(x), at(y)))


@case("CUDA stream triad 64M f32", tiny={"n": 1003}, n=1 << 26)
def triad(n: int) -> Contest:
    a, b, c = zeros(n), uniform(n), uniform(n)
    contest = Contest([a], lambda: [b + 2 * c], bytes_moved=12 * n)
    return beside_loops(contest, lambda by: by.triad(at(a), at(b), at(c), F32(2), n))


@case("CUDA block reduction 64M f32", tiny={"n": 1003}, n=1 << 26)
def reduction(n: int) -> Contest:
    x, out = uniform(n), zeros(1)
    contest = Contest([out], lambda: [x.double().sum().float().reshape(1)], 1e-3, bytes_moved=4 * n)
    return beside_loops(contest, lambda by: by.sum(at(x), at(out), n))


@case("CUDA stencil 256^3 f32", tiny={"side": 19}, side=256)
def stencil(side: int) -> Contest:
    x, out = uniform(side, side, side), zeros(side, side, side)
    inner = slice(1, -1)

    def expected() -> list[torch.Tensor]:
        near = sum(x.roll(s, d) for s in (1, -1) for d in range(3))
        full = torch.full_like(x, float("nan"))
        full[inner, inner, inner] = (0.5 * x + 0.1 * near)[inner, inner, inner]
        return [full.nan_to_num(0)]

    contest = Contest([out], None, bytes_moved=8 * side**3)
    contest.check = lambda found: _same(found[0].nan_to_num(0), expected()[0])
    arguments = (side, side, side, F32(0.5), F32(0.1))
    return beside_loops(contest, lambda by: by.stencil(at(x), at(out), *arguments))


def _same(found: torch.Tensor, wanted: torch.Tensor) -> None:
    from benchmarks.harness import compare

    compare(found, wanted, 1e-5)


@case("CUDA n-body 8192 f32", tiny={"n": 301}, n=8192)
def nbody(n: int) -> Contest:
    bodies, forces = uniform(n, 4), zeros(n, 4)

    def expected() -> list[torch.Tensor]:
        apart = (bodies[None, :, :3] - bodies[:, None, :3]).double()
        inverse = (apart.square().sum(-1) + 0.01).rsqrt()
        pull = (apart * (bodies[None, :, 3] * inverse**3)[..., None]).sum(1)
        return [torch.cat([pull, pull.new_zeros(n, 1)], 1).float()]

    contest = Contest([forces], expected if n < 1000 else None, operations=20 * n * n)
    return beside_loops(contest, lambda by: by.nbody(at(bodies), at(forces), n, F32(0.01)))


@case("CUDA matmul 1024^3 f32, shared tiles", tiny={"form": "tiled", "n": 70}, form="tiled", n=1024)
@case(
    "CUDA matmul 1024^3 f32, tiles in registers",
    tiny={"form": "registers", "n": 64},
    form="registers",
    n=1024,
)
def matmul(form: str, n: int) -> Contest:
    a, b, out = uniform(n, n), uniform(n, n), zeros(n, n)
    contest = Contest([out], lambda: [a @ b], operations=2 * n**3)
    return beside_torch(
        contest,
        lambda by: getattr(by, f"matmul_{form}")(at(a), at(b), at(out), n),
        lambda: torch.mm(a, b, out=out),
    )


@case("CUDA transpose 4096^2 f32", tiny={"width": 99, "height": 70}, width=4096, height=4096)
def transpose(width: int, height: int) -> Contest:
    x, out = uniform(height, width), zeros(width, height)
    contest = Contest([out], lambda: [x.T.contiguous()], 0, bytes_moved=8 * width * height)
    return beside_loops(contest, lambda by: by.transpose(at(x), at(out), width, height))


@case("CUDA histogram 64M bytes, shared atomics", tiny={"n": 5003}, n=1 << 26)
def histogram(n: int) -> Contest:
    x = on_device(torch.randint(0, 256, (n,), dtype=torch.uint8))
    bins = zeros(256, dtype=torch.int32)
    wanted = torch.from_numpy(np.bincount(x.numpy(), minlength=256).astype(np.int32))
    contest = Contest([bins], lambda: [wanted], 0, bytes_moved=n)
    return beside_loops(contest, lambda by: by.histogram(at(x), n, at(bins)))


@case("CUDA Black-Scholes 4M options", tiny={"n": 1003}, n=1 << 22)
def black_scholes(n: int) -> Contest:
    ranges = ((5, 25), (1, 99), (0.25, 9.75))
    price, strike, years = (on_device(low + wide * torch.rand(n)) for low, wide in ranges)
    call, put = zeros(n), zeros(n)
    contest = Contest([call, put], bytes_moved=20 * n)
    operands = [at(t) for t in (price, strike, years, call, put)]
    return beside_loops(contest, lambda by: by.black_scholes(*operands, F32(0.02), F32(0.3), n))


@case("CUDA Mandelbrot 1024^2, 256 steps", tiny={"side": 70}, side=1024)
def mandelbrot(side: int) -> Contest:
    out = zeros(side, side, dtype=torch.int32)
    contest = Contest([out])
    return beside_loops(contest, lambda by: by.mandelbrot(at(out), side, side, 256))


@case("CUDA softmax 8192x1024 f32, warp shuffles", tiny=SMALL, **ROWS)
def softmax(rows: int, columns: int) -> Contest:
    x, out = uniform(rows, columns), zeros(rows, columns)
    contest = Contest([out], lambda: [torch.softmax(x, -1)], bytes_moved=8 * rows * columns)
    return beside_torch(
        contest,
        lambda by: by.softmax(at(x), at(out), rows, columns),
        lambda: torch.softmax(x, -1, out=out),
    )


@case("CUDA layer norm 8192x1024 f32, warp shuffles", tiny=SMALL, **ROWS)
def layer_norm(rows: int, columns: int) -> Contest:
    x, out = uniform(rows, columns), zeros(rows, columns)
    weight, bias = uniform(columns), uniform(columns)
    means, rstds = torch.empty(rows, 1), torch.empty(rows, 1)

    def by_torch() -> None:
        torch.ops.aten.native_layer_norm.out(
            x, [columns], weight, bias, 1e-5, out0=out, out1=means, out2=rstds
        )

    def expected() -> list[torch.Tensor]:
        return [torch.nn.functional.layer_norm(x, (columns,), weight, bias, 1e-5)]

    contest = Contest([out], expected, bytes_moved=8 * rows * columns)
    operands = [at(t) for t in (x, weight, bias, out)]
    call = lambda by: by.layer_norm(*operands, rows, columns, F32(1e-5))  # noqa: E731
    return beside_torch(contest, call, by_torch)


@case("CUDA bitonic sort 1M f32", tiny={"n": 1 << 10}, n=1 << 20)
def bitonic_sort(n: int) -> Contest:
    start, values = torch.rand(n), zeros(n)

    def sort(by: ctypes.CDLL) -> None:
        ctypes.memmove(at(values), at(start), 4 * n)
        by.bitonic_sort(at(values), n)

    return beside_loops(Contest([values], lambda: [start.sort().values], 0), sort)


@case("CUDA scan 16M f32", tiny={"n": 5003}, n=1 << 24)
def scan(n: int) -> Contest:
    x, out, sums = on_device(torch.rand(n) - 0.5), zeros(n), zeros(n // 1024 + 1)
    contest = Contest([out], lambda: [x.double().cumsum(0).float()], 1e-3, bytes_moved=8 * n)
    return beside_loops(contest, lambda by: by.scan(at(x), at(out), at(sums), n))


@case("CUDA launch of an empty kernel from C++, a thousand", tiny={"count": 10}, count=1000)
def launches(count: int) -> Contest:
    contest = Contest([])
    contest.add("canopy", lambda *_: kernels().launches(count))
    contest.contestants.pop()
    return contest
