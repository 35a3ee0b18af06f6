"""Where tensors say they live, and that changing one side never changes the other."""

from __future__ import annotations

import copy
import io
import pickle
import threading
from typing import Any

import numpy as np
import pytest
import torch

from canopy import cuda_as

pytestmark = pytest.mark.usefixtures("cuda")
CUDA0 = torch.device("cuda", 0)


@pytest.mark.parametrize("device", ["cuda", "cuda:0", 0, CUDA0, torch.device("cuda")])
def test_factories_take_every_spelling_of_the_device(device: Any) -> None:
    x = torch.ones(3, device=device)
    assert x.is_cuda
    assert not x.is_cpu
    assert x.device == CUDA0
    assert x.device.type == "cuda"
    assert x.get_device() == 0
    assert x.sum().item() == 3


@pytest.mark.parametrize(
    "make",
    [
        lambda d: torch.zeros(2, device=d),
        lambda d: torch.empty(2, device=d),
        lambda d: torch.rand(2, device=d),
        lambda d: torch.randn(2, device=d),
        lambda d: torch.randint(3, (2,), device=d),
        lambda d: torch.randperm(2, device=d),
        lambda d: torch.full((2,), 7, device=d),
        lambda d: torch.arange(2, device=d),
        lambda d: torch.linspace(0, 1, 2, device=d),
        lambda d: torch.eye(2, device=d),
        lambda d: torch.tensor([1, 2], device=d),
        lambda d: torch.as_tensor([1, 2], device=d),
        lambda d: torch.as_tensor(np.ones(2), device=d),
        lambda d: torch.asarray([1, 2], device=d),
        lambda d: torch.zeros_like(torch.ones(2), device=d),
        lambda d: torch.ones(2).new_zeros(2, device=d),
        lambda d: torch.ones(2).new_tensor([1], device=d),
        lambda d: torch.hann_window(4, device=d),
        lambda d: torch.nn.Linear(2, 2, device=d).weight,
        lambda d: torch.ones(2).to(d),
        lambda d: torch.ones(2).to(d, torch.float64),
        lambda d: torch.ones(2).to(device=d, dtype=torch.float16, non_blocking=True),
        lambda d: torch.ones(2).to(torch.ones(1, device=d)),
        lambda d: torch.ones(2).cuda(d if d != "cpu" else None) if d != "cpu" else torch.ones(2),
        lambda d: torch.nn.Linear(2, 2).to(d).weight,
        lambda d: torch.nn.BatchNorm1d(2).to(d).running_mean,
        lambda d: torch.sparse_coo_tensor([[0], [1]], [1.0], (2, 2), device=d),
    ],
)
@pytest.mark.parametrize("device", ["cuda:0", 0, "cpu"])
def test_makers_place_their_result(make: Any, device: Any) -> None:
    x = make(device)
    assert x.is_cuda == (device != "cpu")
    assert x.device == (torch.device("cpu") if device == "cpu" else CUDA0)


def test_host_tensors_stay_on_the_host() -> None:
    torch.ones(1, device="cuda")  # from now on guesses would say cuda
    host = [
        torch.ones(2), torch.tensor([1.0]), torch.from_numpy(np.ones(2)), torch.Tensor(2),
        torch.nn.Parameter(torch.ones(2)), torch.nn.Linear(2, 2).weight,
        torch.frombuffer(bytearray(8), dtype=torch.uint8), torch.ones(2) * 2,
        torch.cat([torch.ones(1), torch.ones(1)]), torch.zeros_like(torch.ones(2)),
    ]  # fmt: skip
    for tensor in host:
        assert not tensor.is_cuda
        assert tensor.device == torch.device("cpu")
        assert tensor.get_device() == -1


def test_results_follow_operands() -> None:
    x, h = torch.arange(6.0, device="cuda").view(2, 3), torch.ones(2, 3)
    for y in (x + 1, x @ x.T, x[0], x.T, x.sum(), x * torch.tensor(2.0), torch.cat([x, x]),
              torch.nn.functional.softmax(x, -1), x.max(dim=0).values, x.split(1)[0], -x, x > 0,
              torch.stack([x, x]), x.detach(), x.data, torch.zeros_like(x), x.new_ones(2),
              x.float(), x.long(), x.clone(), torch.where(x > 0, x, 0)):  # fmt: skip
        assert y.is_cuda
        assert y.device == CUDA0
    for y in (h + 1, h.T, h[0], torch.cat([h, h]), h.sum(), h.cpu(), h.double()):
        assert not y.is_cuda
    assert not x.cpu().is_cuda
    assert not (x.cpu() + 1).is_cuda
    assert not h.copy_(x).is_cuda


def test_moves_copy_exactly_where_cuda_copies() -> None:
    host = torch.ones(3)
    there = host.cuda()
    there.zero_()
    assert host.tolist() == [1, 1, 1]
    back = there.cpu()
    back.add_(5)
    assert there.tolist() == [0, 0, 0]
    assert there.cuda() is there
    assert there.to("cuda:0") is there
    assert there.to(0) is there
    assert host.cpu() is host
    assert host.to("cpu") is host
    assert there.to("cuda", copy=True) is not there
    product = there + 1
    assert product.to("cuda") is product
    array = np.ones(3)
    moved = torch.from_numpy(array).to("cuda")
    shared = torch.as_tensor(array, device="cuda")
    array[:] = 9
    assert moved.tolist() == [1, 1, 1]
    assert shared.tolist() == [1, 1, 1]


def test_best_weights_survive_an_optimizer_step() -> None:
    model = torch.nn.Linear(3, 2).to("cuda")
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.5)
    best = {name: p.detach().cpu() for name, p in model.named_parameters()}
    before = {name: p.tolist() for name, p in best.items()}
    model(torch.ones(1, 3, device="cuda")).sum().backward()
    optimizer.step()
    assert {name: p.tolist() for name, p in best.items()} == before
    assert model.weight.tolist() != before["weight"]


def test_gradients_follow_moves() -> None:
    host = torch.ones(3, requires_grad=True)
    (host.cuda() * 2).sum().backward()
    assert host.grad is not None
    assert host.grad.tolist() == [2, 2, 2]
    assert not host.grad.is_cuda
    leaf = torch.ones(3, device="cuda", requires_grad=True)
    leaf.mul(3).sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.is_cuda
    (grad,) = torch.autograd.grad(leaf.sum(), [leaf])
    assert grad.is_cuda


def test_custom_functions_see_cuda_in_both_directions() -> None:
    seen = {}

    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            seen["forward"] = x.is_cuda
            ctx.save_for_backward(x * 2)
            return x * 2

        @staticmethod
        def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            (saved,) = ctx.saved_tensors
            seen["grad"], seen["saved"] = grad.is_cuda, saved.is_cuda
            return grad * 2 + torch.zeros(3, device="cuda")

    x = torch.ones(3, device="cuda", requires_grad=True)
    x.register_hook(lambda grad: seen.update(hook=grad.is_cuda))
    Double.apply(x).sum().backward()
    assert seen == {"forward": True, "grad": True, "saved": True, "hook": True}
    assert x.grad is not None
    assert x.grad.tolist() == [2, 2, 2]


def test_numpy_refuses_cuda_tensors_as_cuda_does() -> None:
    x = torch.ones(2, device="cuda")
    for take in (lambda: x.numpy(), lambda: np.asarray(x), lambda: (x * 2).numpy()):
        with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
            take()
    assert x.cpu().numpy().tolist() == [1, 1]
    assert x.numpy(force=True).tolist() == [1, 1]


def test_printing_says_where() -> None:
    assert repr(torch.ones(1, device="cuda")) == "tensor([1.], device='cuda:0')"
    assert repr(torch.ones(1)) == "tensor([1.])"
    parameter = torch.nn.Parameter(torch.ones(1, device="cuda"))
    assert "device='cuda:0', requires_grad=True" in repr(parameter)
    assert f"{torch.ones(1, device='cuda')[0]:.1f}" == "1.0"
    assert torch.ones(1, device="cuda").type() == "torch.cuda.FloatTensor"


def test_subclasses_follow() -> None:
    class Named(torch.Tensor):
        pass

    x = torch.ones(2, device="cuda").as_subclass(Named)
    assert type(x + 1) is Named
    assert (x + 1).is_cuda
    assert repr(x) == "Named([1., 1.], device='cuda:0')"


def test_packed_sequences_keep_their_sizes_on_the_host() -> None:
    x = torch.ones(2, 3, 1, device="cuda")
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor([3, 2]), batch_first=True)
    assert packed.data.is_cuda
    assert not packed.batch_sizes.is_cuda
    assert torch.nn.LSTM(1, 2).cuda()(packed)[0].data.is_cuda


def test_saved_tensor_hooks_see_cuda() -> None:
    x = torch.ones(3, device="cuda", requires_grad=True)
    with torch.autograd.graph.save_on_cpu(pin_memory=True):
        y = (x * x).sum()
    y.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2, 2, 2]


def test_pickle_deepcopy_and_dlpack_keep_the_place() -> None:
    x = torch.ones(2, device="cuda")
    assert pickle.loads(pickle.dumps(x)).is_cuda
    assert not pickle.loads(pickle.dumps(torch.ones(2))).is_cuda
    model = torch.nn.Linear(2, 2).cuda()
    clone = copy.deepcopy(model)
    assert clone.weight.is_cuda
    assert clone.weight is not model.weight
    assert torch.from_dlpack(x).is_cuda
    assert np.from_dlpack(torch.ones(2)).tolist() == [1, 1]


def test_checkpoints_carry_cuda_tags() -> None:
    state = torch.nn.Linear(2, 2).cuda().state_dict()
    file = io.BytesIO()
    torch.save({"model": state, "host": torch.ones(1)}, file)
    for map_location, expected in (
        (None, True), ("cuda", True), ("cuda:0", True), (torch.device("cuda"), True),
        ("cpu", False), (torch.device("cpu"), False), ({"cuda:0": "cpu"}, False),
        (lambda storage, location: storage, False),
        (lambda storage, location: storage.cuda(0), True),
    ):  # fmt: skip
        file.seek(0)
        loaded = torch.load(file, map_location=map_location)
        assert loaded["model"]["weight"].is_cuda is expected, map_location
        assert torch.equal(loaded["model"]["weight"].cpu(), state["weight"].cpu())
    file.seek(0)
    assert not torch.load(file)["host"].is_cuda


def test_a_file_from_cuda_needs_map_location_outside() -> None:
    file = io.BytesIO()
    torch.save(torch.ones(1, device="cuda"), file)
    assert b"cuda:0" in file.getvalue()


def test_default_device_contexts() -> None:
    with torch.device("cuda"):
        assert torch.zeros(1).is_cuda
        assert torch.nn.Linear(1, 1).weight.is_cuda
        assert not torch.zeros(1, device="cpu").is_cuda
        assert torch.tensor([1.0]).is_cuda
    assert not torch.zeros(1).is_cuda
    torch.set_default_device("cuda")
    try:
        assert torch.zeros(1).is_cuda
        assert torch.get_default_device().type == "cuda"
    finally:
        torch.set_default_device(None)
    assert torch.device(0) == CUDA0
    assert isinstance(CUDA0, torch.device)


def test_module_moves_and_back() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2)).cuda()
    assert all(value.is_cuda for value in model.state_dict().values())
    weight = model[0].weight
    model.cpu()
    assert not any(value.is_cuda for value in model.state_dict().values())
    assert model[0].weight is weight
    assert not weight.is_cuda
    model.to(0, torch.float64)
    assert weight.is_cuda
    assert weight.dtype == torch.float64


def test_a_missing_device_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="invalid device ordinal"):
        torch.ones(1, device="cuda:5")
    with pytest.raises(RuntimeError, match="invalid device ordinal"):
        torch.cuda.set_device(3)


def test_threads_are_redirected() -> None:
    seen = []
    thread = threading.Thread(target=lambda: seen.append(torch.ones(1, device="cuda").is_cuda))
    thread.start()
    thread.join()
    assert seen == [True]


def test_meta_tensors_keep_their_device() -> None:
    with torch.device("meta"):
        model = torch.nn.Linear(2, 2)
    assert model.weight.device.type == "meta"
    assert not model.weight.is_cuda
    assert model.to_empty(device="cuda").weight.is_cuda


def test_legacy_cuda_types() -> None:
    x = torch.cuda.FloatTensor([1.0, 2.0])
    assert x.is_cuda
    assert isinstance(x, torch.cuda.FloatTensor)
    assert not isinstance(torch.ones(1), torch.cuda.FloatTensor)
    assert torch.ones(1).type(torch.cuda.FloatTensor).is_cuda


def test_nested_contexts() -> None:
    with cuda_as("cpu"):
        x = torch.ones(1, device="cuda")
    assert x.is_cuda
    assert (x + 1).is_cuda
