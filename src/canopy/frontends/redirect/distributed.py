"""Process groups and replicated modules: "nccl" becomes gloo, one device needs no scatter.

``torchrun``'s environment variables work as they are, since torch reads them itself.
"""

from __future__ import annotations

import atexit
import time
from typing import Any

import torch
import torch.cuda.comm
import torch.nn.parallel.comm

from canopy.frontends.redirect.devices import HOST, cuda_place, get_index
from canopy.frontends.redirect.patches import PatchSet
from canopy.runtime import trace

__all__ = ["patch_distributed"]

# Gloo's threads let go of the tensors of a collective after its caller has gone on, and take the
# interpreter's lock for it. One that asks for it when the interpreter is being torn down is ended
# by Python in the middle of a C++ destructor, which aborts the process (torch 2.13; one run in
# twenty on a busy machine). There is nothing to wait for, so that they are given time.
SETTLING_S = 0.05


def _host_backend(backend: Any) -> Any:
    """The process-group backend that runs here."""
    if not isinstance(backend, str) or "nccl" not in backend.lower():
        return backend
    trace.record_fallback(
        trace.caller_location(),
        "the process group runs on gloo: nccl needs NVIDIA GPUs",
        "pass backend='gloo' where there is no GPU",
    )
    return "gloo"


def patch_distributed(patches: PatchSet) -> None:
    """Patches ``torch.distributed`` (where this torch has it) and ``torch.nn.parallel.comm``."""
    _patch_comm(patches)
    dist: Any = torch.distributed
    if not dist.is_available():
        return
    owners = [dist.distributed_c10d, dist]
    real_init, real_new = dist.init_process_group, dist.new_group

    def init_process_group(backend: Any = None, *args: Any, **kwargs: Any) -> Any:
        kwargs.pop("device_id", None)
        if kwargs.get("pg_options") is not None and "nccl" in str(backend):
            kwargs.pop("pg_options")
        trace.count("process groups")
        atexit.unregister(time.sleep)  # one pause, however many groups
        atexit.register(time.sleep, SETTLING_S)
        return real_init(_host_backend(backend) if backend else "gloo", *args, **kwargs)

    def new_group(ranks: Any = None, timeout: Any = None, backend: Any = None, *args: Any,
                  **kwargs: Any) -> Any:  # fmt: skip
        kwargs.pop("device_id", None)
        return real_new(ranks, timeout, _host_backend(backend), *args, **kwargs)

    def barrier(*args: Any, device_ids: Any = None, **kwargs: Any) -> Any:
        return real_barrier(*args, **kwargs)

    real_barrier = dist.barrier
    values = {
        "init_process_group": init_process_group,
        "new_group": new_group,
        "barrier": barrier,
        "is_nccl_available": lambda: True,
    }
    patches.set_many(owners, values)


def _patch_comm(patches: PatchSet) -> None:
    """With copies to one device after another, replicas are plain copies."""

    def place(device: Any) -> torch.device:
        return cuda_place(get_index(device))

    def broadcast(tensor: Any, devices: Any = None, *, out: Any = None) -> Any:
        if out is not None:
            for part in out:
                part.copy_(tensor)
            return tuple(out)
        return tuple(tensor.to(place(device)) for device in devices)

    def broadcast_coalesced(tensors: Any, devices: Any, buffer_size: int = 0) -> Any:
        return [[tensor.to(place(device)) for tensor in tensors] for device in devices]

    def scatter(
        tensor: Any, devices: Any = None, chunk_sizes: Any = None, dim: int = 0,
        streams: Any = None, *, out: Any = None,
    ) -> Any:  # fmt: skip
        parts = len(devices) if out is None else len(out)
        chunks = tensor.split(chunk_sizes, dim) if chunk_sizes else tensor.chunk(parts, dim)
        if out is not None:
            for target, chunk in zip(out, chunks, strict=True):
                target.copy_(chunk)
            return tuple(out)
        return tuple(c.to(place(d)) for c, d in zip(chunks, devices, strict=False))

    def gather(tensors: Any, dim: int = 0, destination: Any = None, *, out: Any = None) -> Any:
        result = torch.cat([tensor.cpu() for tensor in tensors], dim, out=out)
        if out is not None:
            return out
        on_host = destination == -1 or str(destination) == "cpu"
        return result.to(HOST if on_host else place(destination))

    comm: Any = torch.nn.parallel.comm
    values = {
        "broadcast": broadcast,
        "broadcast_coalesced": broadcast_coalesced,
        "scatter": scatter,
        "gather": gather,
    }
    patches.set_many([comm, torch.cuda.comm], values)
