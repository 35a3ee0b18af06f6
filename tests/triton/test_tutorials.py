"""The kernels of the public Triton tutorials, in our own writing, against torch in float64.

Outputs are poisoned with NaN before each launch, so that a place that is not written shows.
"""

from __future__ import annotations

import math
import os

import pytest

torch = pytest.importorskip("torch", reason="pip install canopy-nn[torch]")
triton = pytest.importorskip("triton", reason="pip install canopy-nn[triton]")

from triton.tools.tensor_descriptor import TensorDescriptor  # noqa: E402

from tests.triton import kernels  # noqa: E402

INTERPRETED = os.environ.get("TRITON_INTERPRET", "0") == "1"
# Triton's interpreter truncates bfloat16 and multiplies its bit patterns in dot.
FLOATS = [torch.float32, torch.float16] + ([] if INTERPRETED else [torch.bfloat16])
# Absolute and relative error allowed, for values of about one and sums of a few hundred terms.
TOLERANCE = {torch.float32: 2e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}


def poisoned(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.full(shape, float("nan"), dtype=dtype)


def assert_near(
    actual: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype, factor: float = 1
):
    tolerance = TOLERANCE[dtype] * factor
    torch.testing.assert_close(actual.double(), expected.double(), atol=tolerance, rtol=tolerance)


# -- Element-wise ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [*FLOATS, torch.float64, torch.int32], ids=str)
@pytest.mark.parametrize("n", [1, 7, 1024, 98_432, 100_003])
def test_vector_add(n: int, dtype: torch.dtype):
    x, y = (torch.randn(n) * 10).to(dtype), (torch.randn(n) * 10).to(dtype)
    out = torch.empty(n + 1, dtype=dtype).fill_(77)
    kernels.vector_add[(triton.cdiv(n, 1024),)](x, y, out, n, BLOCK=1024)
    assert torch.equal(out[:n], x + y)
    assert out[n] == 77  # nothing beyond the mask is touched


def test_vector_add_in_place_and_overlapping():
    x = torch.arange(3000, dtype=torch.float32)
    kernels.vector_add[(3,)](x, x, x, 3000, BLOCK=1024)
    assert torch.equal(x, torch.arange(3000, dtype=torch.float32) * 2)

    # Within one program all loads come before the store, as Triton's tiles mean it.
    shared = torch.arange(1001, dtype=torch.float32)
    before = shared.clone()
    kernels.vector_add[(1,)](shared, shared, shared[1:], 1000, BLOCK=1024)
    assert torch.equal(shared[1:], before[:1000] * 2)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_low_memory_dropout(dtype: torch.dtype):
    n, p = 5003, 0.3
    x = torch.randn(n, dtype=dtype)
    keep = torch.rand(n) > p
    out = poisoned(n, dtype=dtype)
    kernels.low_memory_dropout[(triton.cdiv(n, 512),)](x, keep, out, n, p, BLOCK=512)
    assert_near(out, torch.where(keep, x.double() / (1 - p), 0.0), dtype)


def test_seeded_dropout_repeats_and_drops():
    n, p = 40_001, 0.25
    x = torch.randn(n)

    def dropped(seed: int, block: int) -> torch.Tensor:
        out = poisoned(n)
        kernels.seeded_dropout[(triton.cdiv(n, block),)](x, out, n, p, seed, BLOCK=block)
        return out

    first = dropped(123, 1024)
    assert torch.equal(first, dropped(123, 256))
    assert not torch.equal(first, dropped(512, 1024))
    kept = first != 0
    assert abs(kept.float().mean().item() - (1 - p)) < 0.01
    assert_near(first[kept], x[kept] / (1 - p), torch.float32)


def philox_uniform(seed: int, n: int) -> torch.Tensor:
    """`tl.rand` in plain integers: Philox 4x32 with 10 rounds (Salmon et al., SC 2011)."""
    numbers = []
    word = 0xFFFFFFFF
    for offset in range(n):
        c0, c1, c2, c3 = offset, 0, 0, 0
        k0, k1 = seed & word, (seed >> 32) & word
        for _ in range(10):
            a, b = c0 * 0xD2511F53, c2 * 0xCD9E8D57
            c0, c1, c2, c3 = (b >> 32) ^ c1 ^ k0, b & word, (a >> 32) ^ c3 ^ k1, a & word
            k0, k1 = (k0 + 0x9E3779B9) & word, (k1 + 0xBB67AE85) & word
        signed = c0 - (1 << 32) if c0 >= 1 << 31 else c0
        numbers.append(-signed - 1 if signed < 0 else signed)
    # Triton's scale: a bit less than 2**-31, so that the result stays below one.
    return torch.tensor(numbers, dtype=torch.int64).float() * 4.6566127342e-10


@pytest.mark.parametrize("seed", [0, 42, 2**31 - 1])
def test_random_numbers_are_tritons(seed: int):
    n = 300
    out = poisoned(n)
    kernels.random_numbers[(3,)](out, n, seed, BLOCK=128)
    assert torch.equal(out, philox_uniform(seed, n))


@pytest.mark.skipif(INTERPRETED, reason="Triton's interpreter has no libdevice")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_libdevice_asin(dtype: torch.dtype):
    n = 98_433
    x = (torch.rand(n, dtype=torch.float64) * 2 - 1).to(dtype)
    x[:4] = torch.tensor([1.0, -1.0, 0.0, 1.5])
    out = poisoned(n, dtype=dtype)
    kernels.arc_sine[(triton.cdiv(n, 1024),)](x, out, n, BLOCK=1024)
    expected = torch.asin(x.double())
    tolerance = 1e-6 if dtype == torch.float32 else 1e-13
    torch.testing.assert_close(
        out.double(), expected, atol=tolerance, rtol=tolerance, equal_nan=True
    )


# -- Rows --------------------------------------------------------------------------------------

ROW_SHAPES = [(1, 1), (5, 7), (37, 781), (64, 1024), (33, 1000)]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(("rows", "columns"), ROW_SHAPES)
def test_softmax_persistent(rows: int, columns: int, dtype: torch.dtype):
    storage = torch.randn(rows, columns + 3, dtype=dtype)
    x = storage[:, :columns]  # rows that are not contiguous with each other
    out = poisoned(rows, columns, dtype=dtype)
    kernels.softmax_persistent[(min(rows, 8),)](
        out, x, x.stride(0), out.stride(0), rows, columns,
        BLOCK=triton.next_power_of_2(columns), STAGES=2,
    )  # fmt: skip
    assert_near(out, torch.softmax(x.double(), dim=-1), dtype)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(("rows", "columns"), ROW_SHAPES)
def test_softmax_online(rows: int, columns: int, dtype: torch.dtype):
    x = torch.randn(rows, columns, dtype=dtype) * 8
    out = poisoned(rows, columns, dtype=dtype)
    kernels.softmax_online[(4,)](out, x, rows, columns, BLOCK=256)
    assert_near(out, torch.softmax(x.double(), dim=-1), dtype)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (9, 33), (31, 512), (64, 1151)])
def test_layer_norm(rows: int, columns: int, dtype: torch.dtype):
    x = (torch.randn(rows, columns) * 2 + 0.5).to(dtype)
    weight, bias = torch.rand(columns).to(dtype), torch.rand(columns).to(dtype)
    dout = torch.randn(rows, columns).to(dtype)
    eps = 1e-5

    out = poisoned(rows, columns, dtype=dtype)
    means, rstds = poisoned(rows), poisoned(rows)
    kernels.layer_norm_forward[(rows,)](x, out, weight, bias, means, rstds, columns, eps, BLOCK=256)

    groups = 4
    dx = poisoned(rows, columns, dtype=dtype)
    parts = poisoned(2, groups, columns)
    parts[:, rows:] = 0  # a group that no row belongs to is never written
    locks = torch.zeros(2 * groups, dtype=torch.int32)
    kernels.layer_norm_backward_x[(rows,)](
        dx, dout, parts[0], parts[1], x, weight, means, rstds, locks, columns,
        GROUPS=groups, BLOCK=triton.next_power_of_2(columns),
    )  # fmt: skip
    dweight, dbias = poisoned(columns), poisoned(columns)
    kernels.layer_norm_backward_weights[(triton.cdiv(columns, 128),)](
        parts[0], parts[1], dweight, dbias, groups, columns, BLOCK_M=32, BLOCK_N=128
    )

    leaves = [tensor.double().requires_grad_() for tensor in (x, weight, bias)]
    expected = torch.nn.functional.layer_norm(leaves[0], (columns,), leaves[1], leaves[2], eps)
    expected_grads = torch.autograd.grad(expected, leaves, dout.double())
    assert_near(out, expected.detach(), dtype)
    assert_near(dx, expected_grads[0], dtype, factor=4)
    assert_near(dweight, expected_grads[1], torch.float32, factor=8)
    assert_near(dbias, expected_grads[2], torch.float32, factor=8)
    assert not locks[:groups].any()


# -- Matrix products ---------------------------------------------------------------------------

MATMUL_SHAPES = [(1, 1, 1), (64, 64, 64), (33, 47, 65), (130, 70, 200), (3, 256, 17)]
BLOCKS = {"BLOCK_M": 32, "BLOCK_N": 64, "BLOCK_K": 32}


def matrices(m: int, n: int, k: int, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    a, b = torch.randn(m, k).to(dtype), torch.randn(k, n).to(dtype)
    return a / math.sqrt(k), b, poisoned(m, n, dtype=dtype)


def strides(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> tuple[int, ...]:
    return (*a.stride(), *b.stride(), *c.stride())


@pytest.mark.parametrize("activation", ["", "leaky_relu"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(("m", "n", "k"), MATMUL_SHAPES)
def test_matmul(m: int, n: int, k: int, dtype: torch.dtype, activation: str):
    a, b, c = matrices(m, n, k, dtype)
    grid = (triton.cdiv(m, 32) * triton.cdiv(n, 64),)
    kernels.matmul[grid](
        a, b, c, m, n, k, *strides(a, b, c), **BLOCKS, GROUP=2, ACTIVATION=activation
    )
    expected = a.double() @ b.double()
    if activation:
        expected = torch.nn.functional.leaky_relu(expected, 0.01)
    assert_near(c, expected, dtype)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_matmul_transposed_operands(dtype: torch.dtype):
    m, n, k = 65, 97, 43
    a, b = torch.randn(k, m).to(dtype).t(), torch.randn(n, k).to(dtype).t()
    c = poisoned(m, n, dtype=dtype)
    grid = (triton.cdiv(m, 32) * triton.cdiv(n, 64),)
    kernels.matmul[grid](a, b, c, m, n, k, *strides(a, b, c), **BLOCKS, GROUP=4, ACTIVATION="")
    assert_near(c, a.double() @ b.double(), dtype, factor=8)


@pytest.mark.skipif(INTERPRETED, reason="the interpreter does not tune")
def test_matmul_autotuned():
    m, n, k = 100, 130, 70
    a, b, c = matrices(m, n, k, torch.float32)

    def grid(meta: dict[str, int]) -> tuple[int]:
        return (triton.cdiv(m, meta["BLOCK_M"]) * triton.cdiv(n, meta["BLOCK_N"]),)

    for _ in range(2):
        c.fill_(float("nan"))
        kernels.matmul_autotuned[grid](a, b, c, m, n, k, *strides(a, b, c), ACTIVATION="leaky_relu")
        expected = torch.nn.functional.leaky_relu(a.double() @ b.double(), 0.01)
        assert_near(c, expected, torch.float32)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(("m", "n", "k"), MATMUL_SHAPES)
def test_matmul_persistent(m: int, n: int, k: int, dtype: torch.dtype):
    a, b, c = matrices(m, n, k, dtype)
    kernels.matmul_persistent[(3,)](a, b, c, m, n, k, **BLOCKS, GROUP=2)
    assert_near(c, a.double() @ b.double(), dtype)


@pytest.mark.skipif(INTERPRETED, reason="about the compiler's message")
def test_block_pointers_are_gone():
    """Triton 3.9 took them out; the message is its own and names the user's line."""
    a = torch.zeros(16, 16)
    with pytest.raises(triton.CompilationError, match="tensor descriptor"):
        kernels.uses_block_pointer[(1,)](a, 16, BLOCK=16)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(("m", "n", "k"), [(64, 64, 64), (40, 72, 104), (130, 64, 200)])
def test_matmul_descriptors(m: int, n: int, k: int, dtype: torch.dtype):
    # Descriptors ask for row strides that are multiples of 16 bytes.
    a, b, c = matrices(m, n, k, dtype)
    grid = (triton.cdiv(m, 32), triton.cdiv(n, 64))
    kernels.matmul_descriptors[grid](a, b, c, m, n, k, **BLOCKS)
    assert_near(c, a.double() @ b.double(), dtype)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_host_descriptors(dtype: torch.dtype):
    source = torch.randn(70, 40).to(dtype)
    target = poisoned(70, 40, dtype=dtype)
    views = [TensorDescriptor.from_tensor(tensor, [32, 16]) for tensor in (source, target)]
    kernels.copy_by_host_descriptor[(3, 3)](*views, BLOCK_M=32, BLOCK_N=16)
    assert torch.equal(target, source * 2)


@pytest.mark.skipif(INTERPRETED, reason="the interpreter cannot cast loaded addresses")
def test_grouped_gemm():
    shapes = [(64, 64, 64), (33, 50, 70), (1, 130, 17), (100, 1, 40)]
    groups = [matrices(*shape, torch.float16) for shape in shapes]
    addresses = [
        torch.tensor([group[part].data_ptr() for group in groups], dtype=torch.int64)
        for part in range(3)
    ]
    sizes = torch.tensor([list(shape) for shape in shapes], dtype=torch.int32)
    leading = torch.tensor(
        [[tensor.stride(0) for tensor in group] for group in groups], dtype=torch.int32
    )
    kernels.grouped_gemm[(4,)](
        *addresses, sizes, leading, len(shapes), BLOCK_M=32, BLOCK_N=32, BLOCK_K=32
    )
    for a, b, c in groups:
        assert_near(c, a.double() @ b.double(), torch.float16)


# -- Attention ---------------------------------------------------------------------------------


@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(
    ("sequences", "length", "dim"), [(1, 1, 16), (2, 64, 32), (3, 100, 16), (1, 129, 64)]
)
def test_attention(sequences: int, length: int, dim: int, dtype: torch.dtype, causal: bool):
    q, k, v, dout = (torch.randn(sequences, length, dim).to(dtype) for _ in range(4))
    scale = 0.5
    out = poisoned(sequences, length, dim, dtype=dtype)
    log_sums = poisoned(sequences, length)
    kernels.attention_forward[(triton.cdiv(length, 64), sequences)](
        q, k, v, out, log_sums, length, length, scale,
        CAUSAL=causal, DIM=dim, BLOCK_M=64, BLOCK_N=32,
    )  # fmt: skip

    delta = poisoned(sequences, length)
    kernels.attention_backward_delta[(triton.cdiv(sequences * length, 64),)](
        out, dout, delta, sequences * length, BLOCK_M=64, DIM=dim
    )
    dq = torch.zeros(sequences, length, dim)
    dk, dv = (poisoned(sequences, length, dim, dtype=dtype) for _ in range(2))
    kernels.attention_backward[(triton.cdiv(length, 32), sequences)](
        q, k, v, dout, dq, dk, dv, log_sums, delta, length, scale,
        CAUSAL=causal, DIM=dim, BLOCK_M=32, BLOCK_N=32,
    )  # fmt: skip

    leaves = [tensor.double().requires_grad_() for tensor in (q, k, v)]
    scores = leaves[0] @ leaves[1].transpose(-1, -2) * scale
    if causal:
        hidden = torch.ones(length, length, dtype=torch.bool).triu(1)
        scores = scores.masked_fill(hidden, float("-inf"))
    expected = torch.softmax(scores, dim=-1) @ leaves[2]
    expected_grads = torch.autograd.grad(expected, leaves, dout.double())
    assert_near(out, expected.detach(), dtype)
    for actual, wanted in zip((dq, dk, dv), expected_grads, strict=True):
        assert_near(actual, wanted, dtype, factor=8)
