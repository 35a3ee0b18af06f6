"""torch.cuda, streams, graphs, random numbers, mixed precision and the neighbours."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from canopy.runtime import trace

pytestmark = pytest.mark.usefixtures("cuda")


def test_device_queries() -> None:
    assert torch.cuda.is_available()
    assert torch.cuda.is_initialized()
    assert torch.cuda.device_count() == 1
    assert torch.cuda.current_device() == 0
    torch.cuda.init()
    torch.cuda.set_device("cuda:0")
    torch.cuda.set_device(0)
    with torch.cuda.device(0), torch.cuda.device_of(torch.ones(1, device="cuda")):
        pass
    assert "Canopy" in torch.cuda.get_device_name(0)
    properties = torch.cuda.get_device_properties("cuda")
    assert properties.total_memory > 0
    assert properties.multi_processor_count >= 1
    assert torch.cuda.get_device_capability() == (properties.major, properties.minor)
    free, total = torch.cuda.mem_get_info()
    assert 0 < free <= total
    assert torch.cuda.is_bf16_supported()
    assert torch.version.cuda
    assert torch.cuda.get_arch_list() == ["sm_80"]
    assert torch.backends.cudnn.is_available()
    assert torch.backends.cuda.is_built()


def test_memory_figures_grow_with_tensors() -> None:
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    block = torch.ones(32 << 20, dtype=torch.uint8, device="cuda")
    assert torch.cuda.memory_allocated() - before >= 30 << 20
    assert torch.cuda.max_memory_allocated() >= torch.cuda.memory_allocated() - (1 << 20)
    del block
    assert torch.cuda.memory_allocated() - before < 30 << 20
    assert "memory summary" in torch.cuda.memory_summary()
    assert torch.cuda.memory_stats()["allocated_bytes.all.peak"] > 0
    torch.cuda.empty_cache()


def test_events_measure_real_time() -> None:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    time.sleep(0.02)
    end.record()
    torch.cuda.synchronize()
    assert 19 < start.elapsed_time(end) < 500
    with pytest.raises(ValueError, match="enable_timing"):
        torch.cuda.Event().elapsed_time(end)


def test_streams() -> None:
    stream = torch.cuda.Stream()
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    with torch.cuda.stream(stream):
        assert torch.cuda.current_stream() == stream
        x = torch.ones(1, device="cuda")
        x.record_stream(stream)
    stream.wait_stream(torch.cuda.current_stream())
    stream.record_event().synchronize()
    assert stream.query()
    assert torch.cuda.current_stream() != stream
    with torch.cuda.stream(None):
        pass


def test_graph_replay_runs_again_on_the_same_memory() -> None:
    static = torch.zeros(4, device="cuda")
    counter = torch.zeros(1, device="cuda")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        assert torch.cuda.is_current_stream_capturing()
        out = (static * 2 + 1).view(2, 2).t().sum(0)
        counter.add_(1)
    address = out.data_ptr()
    assert counter.item() == 0  # capture itself changes nothing
    for value in (1.0, 5.0):
        static.fill_(value)
        graph.replay()
        assert out.tolist() == [2 * (2 * value + 1)] * 2
    assert out.data_ptr() == address
    assert counter.item() == 2


def test_whole_training_step_in_a_graph() -> None:
    def train(graphed: bool) -> list[float]:
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)
        ).cuda()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        static = torch.zeros(16, 4, device="cuda")

        def step() -> torch.Tensor:
            optimizer.zero_grad(set_to_none=True)
            loss = model(static).square().mean()
            loss.backward()
            optimizer.step()
            return loss

        data = [torch.randn(16, 4, generator=torch.Generator().manual_seed(i)) for i in range(5)]
        if not graphed:
            losses = []
            for batch in data:
                static.copy_(batch)
                losses.append(step().item())
            return losses
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            loss = step()
        losses = []
        for batch in data:
            static.copy_(batch)
            graph.replay()
            losses.append(loss.item())
        return losses

    assert train(True) == pytest.approx(train(False), rel=1e-5)


def test_capture_forbids_reading_values_and_ends_cleanly() -> None:
    graph = torch.cuda.CUDAGraph()
    with pytest.raises(RuntimeError, match="stream is capturing"), torch.cuda.graph(graph):
        torch.ones(1, device="cuda").sum().item()
    assert not torch.cuda.is_current_stream_capturing()


def test_kernel_launches_are_captured() -> None:
    from canopy.frontends.redirect.graphs import record_launch

    x, y = torch.ones(2, device="cuda"), torch.zeros(2, device="cuda")
    assert not record_launch(lambda: None)

    def launch() -> None:
        y.copy_(x * 3)

    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        assert record_launch(lambda: y.data.numpy(force=True).__imul__(0), [y])
    graph2 = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph2):
        z = x + 1
        record_launch(lambda: z.data.numpy(force=True).__iadd__(10), [z])
        out = z * 2
    x.fill_(4)
    graph2.replay()
    assert out.tolist() == [30, 30]
    launch()


def test_make_graphed_callables() -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2).cuda()
    sample = torch.randn(4, 3, device="cuda", requires_grad=True)
    x = torch.randn(4, 3, device="cuda", requires_grad=True)
    expected = model(x)
    expected.square().sum().backward()
    want = x.grad.clone(), model.weight.grad.clone()  # type: ignore[union-attr]
    x.grad = model.weight.grad = model.bias.grad = None
    graphed = torch.cuda.make_graphed_callables(model, (sample,))
    out = graphed(x)
    assert torch.allclose(out, expected)
    out.square().sum().backward()
    assert torch.allclose(x.grad, want[0])
    assert torch.allclose(model.weight.grad, want[1])


def test_random_state_and_seeds() -> None:
    torch.cuda.manual_seed(3)
    first = torch.rand(3, device="cuda")
    torch.cuda.manual_seed_all(3)
    assert torch.equal(first, torch.rand(3, device="cuda"))
    state = torch.cuda.get_rng_state()
    drawn = torch.randn(2, device="cuda")
    torch.cuda.set_rng_state(state)
    assert torch.equal(drawn, torch.randn(2, device="cuda"))
    states = torch.cuda.get_rng_state_all()
    torch.cuda.set_rng_state_all(states)
    assert torch.cuda.initial_seed() == 3
    generator = torch.Generator(device="cuda").manual_seed(1)
    assert generator.device.type == "cuda"
    assert isinstance(generator, torch.Generator)
    assert isinstance(torch.default_generator, torch.Generator)
    a = torch.randn(2, device="cuda", generator=generator)
    b = torch.randn(2, device="cuda", generator=torch.Generator("cuda").manual_seed(1))
    assert torch.equal(a, b)
    assert a.is_cuda
    with torch.random.fork_rng(devices=[0]):
        torch.rand(1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    "autocast", [lambda dtype: torch.autocast("cuda", dtype=dtype),
                 lambda dtype: torch.amp.autocast("cuda", dtype),
                 lambda dtype: torch.cuda.amp.autocast(dtype=dtype)]
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*deprecated:FutureWarning")
def test_autocast_computes_in_the_dtype_asked_for(autocast: Any, dtype: torch.dtype) -> None:
    model = torch.nn.Linear(8, 4).cuda()
    x = torch.randn(2, 8, device="cuda")
    with autocast(dtype):
        assert torch.is_autocast_enabled()
        assert torch.get_autocast_dtype("cuda") == dtype
        y = model(x)
        assert (x @ x.T).dtype == dtype
        with torch.autocast("cuda", enabled=False):
            assert model(x).dtype == torch.float32
    assert y.dtype == dtype
    assert y.is_cuda
    assert not torch.is_autocast_enabled()
    assert torch.allclose(y.float(), model(x), atol=0.05)


def test_float16_products_are_rounded_once_and_reported() -> None:
    trace.reset()
    a = torch.randn(64, 64, device="cuda").half().requires_grad_()
    product = a @ a
    reference = a.detach().double() @ a.detach().double()
    assert product.dtype == torch.float16
    assert (product.double() - reference).abs().max() <= reference.abs().max() * 2**-10
    product.sum().backward()
    assert a.grad is not None
    assert a.grad.dtype == torch.float16


def test_float16_products_write_their_out_argument_and_reject_mixed_dtypes() -> None:
    a = torch.ones(2, 2, device="cuda").half()
    out = torch.empty_like(a)
    assert torch.mm(a, a, out=out) is out
    assert out.tolist() == [[2, 2], [2, 2]]
    with pytest.raises(RuntimeError, match="dtype"):
        a @ a.float()
    weight = torch.ones(3, 3, 2, 2, device="cuda").half()
    image = torch.ones(1, 3, 4, 4, device="cuda").half()
    assert torch.nn.functional.conv2d(image, weight).dtype == torch.float16


@pytest.mark.parametrize("optimizer_type", [torch.optim.AdamW, torch.optim.SGD, torch.optim.Adam])
def test_grad_scaler(optimizer_type: Any) -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1).cuda()
    optimizer = optimizer_type(model.parameters(), lr=0.05)
    scaler = torch.amp.GradScaler("cuda")
    x = torch.randn(32, 4, device="cuda")
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        with torch.autocast("cuda"):
            loss = (model(x).float() - x.sum(1, keepdim=True)).square().mean()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        assert norm.is_cuda
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert scaler.is_enabled()
    assert scaler.get_scale() > 1


@pytest.mark.parametrize("options", [{}, {"foreach": True}, {"foreach": False}, {"fused": True}])
@pytest.mark.parametrize("name", ["AdamW", "Adam"])
def test_adam_gives_the_same_weights_as_on_the_host(name: str, options: dict[str, bool]) -> None:
    results = []
    for device, choice in (("cpu", {"foreach": False}), ("cuda", options)):
        torch.manual_seed(0)
        model = torch.nn.Linear(4, 3).to(device)
        optimizer = getattr(torch.optim, name)(
            model.parameters(), lr=0.1, weight_decay=0.1, **choice
        )
        for _ in range(5):
            optimizer.zero_grad()
            model(torch.ones(2, 4, device=device)).square().sum().backward()
            optimizer.step()
        state = optimizer.state[model.weight]
        assert state["exp_avg"].is_cuda == (device == "cuda")
        results.append(model.weight.detach().cpu())
    assert torch.allclose(results[0], results[1], atol=1e-6)


def test_pinned_memory_and_data_loader() -> None:
    h = torch.ones(2).pin_memory()
    assert h.is_pinned()
    assert not torch.ones(2).is_pinned()
    assert h.cuda(non_blocking=True).is_cuda
    assert torch.empty(2, pin_memory=True).is_pinned()
    data = torch.utils.data.TensorDataset(torch.arange(8.0))
    for workers in (0, 2):
        loader = torch.utils.data.DataLoader(
            data, batch_size=4, pin_memory=True, num_workers=workers
        )
        batches = [batch for (batch,) in loader]
        assert torch.cat(batches).tolist() == list(range(8))
        assert all(batch.is_pinned() and not batch.is_cuda for batch in batches)
        assert batches[0].to("cuda", non_blocking=True).is_cuda


def test_switches_and_nvtx() -> None:
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.deterministic = False
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision("highest")
    torch.cuda.nvtx.range_push("a")
    torch.cuda.nvtx.range_pop()
    with torch.cuda.nvtx.range("b"):
        torch.cuda.nvtx.mark("c")
    from torch.nn.attention import SDPBackend

    q = torch.randn(1, 2, 4, 8, device="cuda")
    for backend in (SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION):
        with torch.nn.attention.sdpa_kernel(backend):
            assert torch.nn.functional.scaled_dot_product_attention(q, q, q).is_cuda


def test_accelerator() -> None:
    assert torch.accelerator.is_available()
    assert torch.accelerator.device_count() == 1
    device = torch.accelerator.current_accelerator()
    assert device is not None
    assert device.type == "cuda"
    assert torch.ones(1).to(device).is_cuda
    torch.accelerator.synchronize()


def test_compile_runs_eagerly_and_says_so() -> None:
    trace.reset()
    model = torch.nn.Linear(2, 2).cuda()
    compiled = torch.compile(model, mode="max-autotune")
    assert torch.equal(
        compiled(torch.ones(1, 2, device="cuda")), model(torch.ones(1, 2, device="cuda"))
    )
    assert compiled._orig_mod is model
    assert compiled.weight is model.weight

    @torch.compile
    def double(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    assert double(torch.ones(1, device="cuda")).item() == 2
    facts = trace.snapshot()["fallbacks"]
    assert len(facts) == 2
    assert all("test_cuda_module.py:" in fact["location"] for fact in facts)


def test_data_parallel_on_one_device() -> None:
    model = torch.nn.DataParallel(torch.nn.Linear(2, 2).cuda(), device_ids=[0])
    model(torch.ones(4, 2)).sum().backward()
    assert model.module.weight.grad is not None
    assert (
        torch.nn.DataParallel(torch.nn.Linear(2, 2)).cuda()(torch.ones(4, 2, device="cuda")).is_cuda
    )


def test_checkpointing_recomputes_with_the_same_random_numbers() -> None:
    from torch.utils.checkpoint import checkpoint

    x = torch.ones(64, device="cuda", requires_grad=True)
    out = checkpoint(lambda t: torch.nn.functional.dropout(t, 0.5), x, use_reentrant=False)
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, out.detach())
