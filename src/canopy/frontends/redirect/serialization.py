"""Checkpoints: storages of "cuda" tensors are saved and loaded with CUDA's location tags.

A file written here says ``cuda:0`` where CUDA's would, and a file from a CUDA machine loads onto
"cuda" again.
"""

from __future__ import annotations

import re
from typing import Any

import torch

from canopy.frontends.redirect.devices import cuda_place, device_count
from canopy.frontends.redirect.patches import PatchSet
from canopy.frontends.redirect.tensors import _PLACE, mark_storage
from canopy.runtime import trace

__all__ = ["patch_serialization"]

_BEFORE_CPU = 1  # torch asks its location taggers in ascending order; its own for "cpu" is 10


def _untyped(storage: Any) -> Any:
    return getattr(storage, "_untyped_storage", storage)


def _tag(storage: Any) -> str | None:
    place = getattr(_untyped(storage), _PLACE, None)
    return str(place) if place is not None and place.type == "cuda" else None


def _restore(storage: Any, location: str) -> Any:
    match = re.fullmatch(r"cuda(?::(\d+))?", location)
    if match is None:
        return None
    index = int(match[1]) if match[1] else None
    if index is not None and index >= device_count():
        raise RuntimeError(
            f"Attempting to deserialize object on CUDA device {index} but "
            f"torch.cuda.device_count() is {device_count()}. Please use torch.load with "
            "map_location to map your storages to an existing device."
        )
    mark_storage(_untyped(storage), cuda_place(index))
    trace.count("storages loaded onto cuda")
    return storage


def _storage_cuda(self: Any, device: Any = None, non_blocking: bool = False) -> Any:
    """``storage.cuda()``, as ``map_location`` functions call it."""
    from canopy.frontends.redirect.devices import get_index

    copy = self.clone()
    mark_storage(_untyped(copy), cuda_place(get_index(device)))
    return copy


def patch_serialization(patches: PatchSet) -> None:
    """Adds the tagger, and ``.cuda()`` of storages."""
    registry = torch.serialization._package_registry
    entry = (_BEFORE_CPU, _tag, _restore)
    patches.add(lambda: registry.insert(0, entry), lambda: registry.remove(entry))
    patches.set(torch.UntypedStorage, "cuda", _storage_cuda)
    patches.set(torch.storage.TypedStorage, "cuda", _storage_cuda)
