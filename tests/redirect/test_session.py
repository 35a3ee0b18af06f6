"""Opening and closing: everything that was patched is as before."""

from __future__ import annotations

import multiprocessing.spawn
import os
import subprocess
import sys
import threading
from typing import Any

import pytest
import torch
import torch.cuda.comm
import torch.nn.parallel.comm
from conftest import environment

from canopy import cuda_as
from canopy.errors import UnsupportedError
from canopy.frontends.redirect import is_active

WATCHED: list[Any] = [
    torch, torch.cuda, torch.cuda.memory, torch.cuda.random, torch.cuda.streams, torch.cuda.graphs,
    torch.cuda.nvtx, torch.amp, torch.amp.autocast_mode, torch.accelerator, torch.version, torch._C,
    torch._C._nn, torch.backends.cuda, type(torch.backends.cudnn), torch.distributed,
    torch.autograd,
    torch.distributed.distributed_c10d, torch.nn.Module, torch.nn.parallel.comm, torch.Tensor,
    torch.nn.attention, torch.optim.Optimizer, torch.optim.AdamW, torch.optim.SGD, torch.nn.utils,
    torch.UntypedStorage, torch.storage.TypedStorage, torch.cuda.comm, torch.serialization,
    torch.amp.GradScaler, threading.Thread, multiprocessing.spawn, torch._utils,
    sys.modules["torch.optim.adam"],
]  # fmt: skip


def snapshot() -> list[dict[str, int]]:
    return [{name: id(value) for name, value in vars(owner).items()} for owner in WATCHED]


def test_every_patch_is_undone() -> None:
    model = torch.nn.Linear(1, 1)
    torch.optim.AdamW(model.parameters())  # loads what torch loads on first use
    names, environment_before = snapshot(), dict(os.environ)
    registry, path = list(torch.serialization._package_registry), list(sys.meta_path)
    modes = len(torch.overrides._get_current_function_mode_stack())
    with cuda_as("cpu"), cuda_as("cpu"):
        assert is_active()
        assert snapshot() != names
        torch.set_default_device("cuda")
        torch.autocast("cuda").__enter__()
        x = torch.ones(1, device="cuda")
    assert not is_active()
    for owner, before, after in zip(WATCHED, names, snapshot(), strict=True):
        changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        assert not changed - {"__warningregistry__"}, owner
    assert dict(os.environ) == environment_before
    assert torch.serialization._package_registry == registry
    assert sys.meta_path == path
    assert len(torch.overrides._get_current_function_mode_stack()) == modes
    assert not torch.cuda.is_available()
    assert not x.is_cuda
    assert torch.zeros(1).device.type == "cpu"
    assert not torch.is_autocast_enabled("cpu")
    with pytest.raises((RuntimeError, AssertionError)):
        torch.ones(1, device="cuda")


def test_undone_after_an_exception() -> None:
    with pytest.raises(KeyError), cuda_as("cpu"):
        raise KeyError
    assert not torch.cuda.is_available()


def test_reentrant() -> None:
    for _ in range(3):
        with cuda_as("cpu"):
            assert torch.ones(1, device="cuda").is_cuda


def test_unknown_target() -> None:
    with pytest.raises(UnsupportedError, match="no target 'tpu'"), cuda_as("tpu"):
        pass


def test_importing_canopy_does_not_import_torch() -> None:
    source = "import sys, canopy, canopy.frontends.redirect; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", source], env=environment(), timeout=60)
    assert done.returncode == 0


def test_parts_of_torch_loaded_inside_keep_no_patched_names() -> None:
    source = (
        "import torch, canopy\n"
        "real = torch.compile\n"
        "with canopy.cuda_as():\n"
        "    import torch._dynamo, torch.cuda.comm\n"
        "assert torch.compile is real and torch.cuda.comm.gather.__module__[:5] == 'torch'\n"
        "f = torch.compile(lambda x: x + 1, backend='eager')\n"
        "assert f(torch.ones(1)).item() == 2\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", source],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
