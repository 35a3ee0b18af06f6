"""``torch.cuda``, ``torch.accelerator`` and ``torch.backends``: the functions that answer for the
one device here."""

from __future__ import annotations

import contextlib
import importlib
from types import ModuleType
from typing import Any

import torch

from canopy.errors import UnsupportedError
from canopy.frontends.redirect import graphs, memory, random, streams
from canopy.frontends.redirect.devices import (
    HOST,
    DeviceFactory,
    RealDevice,
    cuda_place,
    current_index,
    device_count,
    get_index,
    properties,
    resolve,
    set_current,
)
from canopy.frontends.redirect.patches import PatchSet
from canopy.frontends.redirect.tensors import known_place, mark, place_of
from canopy.runtime import trace

__all__ = ["CUDA_VERSION", "patch_cuda"]

CUDA_VERSION = "12.8"
CUDNN_VERSION = 90100
_CAPABILITY = (8, 0)


def patch_cuda(patches: PatchSet) -> None:
    """Everything a program can ask ``torch.cuda`` and its neighbours."""
    cuda: Any = torch.cuda
    patches.set_many([cuda], _device_functions())
    figures = memory.Memory()
    patches.set_many([cuda.memory, cuda], memory.memory_functions(figures))
    patches.set_many([cuda.random, cuda], random.random_functions())
    patches.set_many([cuda.streams, cuda], _stream_classes())
    patches.set_many([cuda.graphs, cuda], _graph_functions())
    patches.set_many([cuda.graphs.graph], {"default_capture_stream": None})
    patches.set(cuda, "default_generators", random.default_generators())
    patches.set_many([cuda.nvtx], _nvtx_functions())
    for name, dtype in _TENSOR_TYPES.items():
        patches.set(cuda, name, _tensor_type(name, dtype))
    _patch_core(patches)
    _patch_accelerator(patches, figures)
    _patch_backends(patches)


def _bool(value: bool) -> Any:
    return lambda *args, **kwargs: value


def _none(*args: Any, **kwargs: Any) -> None:
    return None


def _properties(device: Any = None) -> Any:
    get_index(device)
    return properties()


def _set_device(device: Any) -> None:
    trace.count("device selections")
    if isinstance(device, int) and device < 0:
        return
    set_current(get_index(device))


def _cudart(*args: Any) -> Any:
    raise UnsupportedError(
        "torch.cuda.cudart() gives raw CUDA runtime calls, which do not exist on the cpu target",
        location=trace.caller_location(),
        hint="use the functions of torch.cuda",
    )


def _device_functions() -> dict[str, Any]:
    return {
        "is_available": _bool(True),
        "_is_compiled": _bool(True),
        "is_initialized": _bool(True),
        "init": _none,
        "_lazy_init": _none,
        "_lazy_call": lambda callable, **kwargs: callable(),
        "_initialized": True,
        "_is_in_bad_fork": _bool(False),
        "device_count": device_count,
        "_device_count_nvml": device_count,
        "current_device": current_index,
        "set_device": _set_device,
        "_get_device": lambda device: cuda_place(get_index(device)),
        "_maybe_exchange_device": _exchange_device,
        "_exchange_device": _exchange_device,
        "device": streams.DeviceContext,
        "device_of": streams.DeviceOf,
        "get_device_name": lambda device=None: _properties(device).name,
        "get_device_properties": _properties,
        "get_device_capability": lambda device=None: (get_index(device), _CAPABILITY)[1],
        "can_device_access_peer": lambda device, peer: get_index(device) != get_index(peer),
        "get_arch_list": lambda: ["sm_80"],
        "get_gencode_flags": lambda: "-gencode compute=compute_80,code=sm_80",
        "is_bf16_supported": _bool(True),
        "is_tf32_supported": _bool(True),
        "synchronize": streams.synchronize,
        "ipc_collect": _none,
        "cudart": _cudart,
        "set_sync_debug_mode": _none,
        "get_sync_debug_mode": lambda: 0,
        "utilization": lambda device=None: 0,
        "memory_usage": lambda device=None: 0,
        "temperature": lambda device=None: 0,
        "power_draw": lambda device=None: 0,
        "clock_rate": lambda device=None: 0,
        "_sleep": _none,
    }


def _exchange_device(index: int) -> int:
    before = current_index()
    if index >= 0:
        set_current(index)
    return before


def _stream_classes() -> dict[str, Any]:
    return {
        "Stream": streams.Stream,
        "ExternalStream": streams.ExternalStream,
        "Event": streams.Event,
        "StreamContext": streams.StreamContext,
        "stream": streams.stream_context,
        "set_stream": streams.set_stream,
        "current_stream": streams.current_stream,
        "default_stream": streams.default_stream,
        "get_stream_from_external": streams.ExternalStream,
    }


def _graph_functions() -> dict[str, Any]:
    return {
        "CUDAGraph": graphs.CUDAGraph,
        "graph_pool_handle": graphs.pool_handle,
        "is_current_stream_capturing": graphs.is_capturing,
    }


def _nvtx_functions() -> dict[str, Any]:
    @contextlib.contextmanager
    def annotate(msg: str, *args: Any, **kwargs: Any) -> Any:
        yield

    zero = ("range_push", "range_pop", "range_start")
    return {
        **{name: lambda *args, **kwargs: 0 for name in zero},
        "range_end": _none,
        "mark": _none,
        "range": annotate,
    }


_TENSOR_TYPES = {
    "ByteTensor": torch.uint8,
    "CharTensor": torch.int8,
    "ShortTensor": torch.int16,
    "IntTensor": torch.int32,
    "LongTensor": torch.int64,
    "BoolTensor": torch.bool,
    "HalfTensor": torch.float16,
    "BFloat16Tensor": torch.bfloat16,
    "FloatTensor": torch.float32,
    "DoubleTensor": torch.float64,
}


class _TensorType(type):
    dtype: torch.dtype

    def __call__(cls, *args: Any) -> torch.Tensor:
        host_type = getattr(torch, cls.__name__)
        made: torch.Tensor = host_type(*args)
        return mark(made.clone(), cuda_place())

    def __instancecheck__(cls, value: Any) -> bool:
        is_tensor = isinstance(value, torch.Tensor)
        return is_tensor and value.dtype == cls.dtype and bool(value.is_cuda)


def _tensor_type(name: str, dtype: torch.dtype) -> type:
    """``torch.cuda.FloatTensor`` and its kin."""
    return _TensorType(name, (), {"dtype": dtype, "is_cuda": True, "__module__": "torch.cuda"})


def _patch_core(patches: PatchSet) -> None:
    """Names outside ``torch.cuda``: devices, generators, module moves, constructors."""
    core: Any = torch._C
    patches.set(torch, "device", DeviceFactory)
    patches.set(torch, "Generator", random.Generator)
    patches.set(torch, "Stream", streams.GenericStream)
    patches.set(torch, "Event", streams.Event)
    patches.set(torch.version, "cuda", CUDA_VERSION)
    patches.set(torch._utils, "_get_available_device_type", lambda: "cuda")
    for name in ("_cuda_getCurrentRawStream", "_cuda_getDeviceCount", "_cuda_getDevice"):
        answer: Any = current_index if name == "_cuda_getDevice" else device_count
        if name == "_cuda_getCurrentRawStream":
            answer = lambda index: streams.current_stream().cuda_stream  # noqa: E731
        patches.set(core, name, answer)
    patches.set(core, "_host_emptyCache", _none)
    _patch_parse_to(patches)
    _patch_constructors(patches)
    _patch_default_type(patches)


def _patch_parse_to(patches: PatchSet) -> None:
    functions: Any = torch._C._nn
    real = functions._parse_to

    def parse_to(*args: Any, **kwargs: Any) -> Any:
        if args and isinstance(args[0], int | str | RealDevice):
            args = (resolve(args[0]), *args[1:])
        elif args and isinstance(args[0], torch.Tensor):
            with torch._C.DisableTorchFunction():
                place, dtype = place_of(args[0]), args[0].dtype
            args = (place, dtype, *args[1:])
        if isinstance(kwargs.get("device"), int | str | RealDevice):
            kwargs["device"] = resolve(kwargs["device"])
        return real(*args, **kwargs)

    patches.set(functions, "_parse_to", parse_to)


def _patch_constructors(patches: PatchSet) -> None:
    """Host tensors made by calls that a torch-function mode does not see."""

    def init(self: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        with torch._C.DisableTorchFunction():
            if known_place(self) is None:
                mark(self, HOST)

    def marking(real: Any) -> Any:
        def make(*args: Any, **kwargs: Any) -> torch.Tensor:
            return mark(real(*args, **kwargs), HOST)

        return make

    def set_storage(self: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """As ``torch.load`` uses it: a storage without a mark is the host's."""
        result: torch.Tensor = torch._C.TensorBase.set_(self, *args, **kwargs)
        init(result)
        return result

    patches.set(torch.Tensor, "__init__", init)
    patches.set(torch.Tensor, "set_", set_storage)
    patches.set(torch.Tensor, "record_stream", _none)
    for name in ("from_numpy", "frombuffer", "from_file"):
        patches.set(torch, name, marking(getattr(torch, name)))


def _patch_default_type(patches: PatchSet) -> None:
    real_type = torch.set_default_tensor_type
    before = torch.utils._device.CURRENT_DEVICE

    def set_default_tensor_type(kind: Any) -> None:
        name = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__name__}"
        if ".cuda." not in name:
            real_type(kind)
            return
        torch.set_default_dtype(getattr(torch, name.rsplit(".", 1)[1]).dtype)
        torch.set_default_device("cuda")

    def restore_device() -> None:
        if before != torch.utils._device.CURRENT_DEVICE:
            torch.set_default_device(before)

    patches.on_undo(restore_device)
    patches.set(torch, "set_default_tensor_type", set_default_tensor_type)


def _patch_accelerator(patches: PatchSet, figures: memory.Memory) -> None:
    accelerator: ModuleType = torch.accelerator
    values: dict[str, Any] = {
        "is_available": _bool(True),
        "device_count": device_count,
        "current_accelerator": lambda check_available=False: RealDevice("cuda"),
        "current_device_index": current_index,
        "current_device_idx": current_index,
        "set_device_index": _set_device,
        "set_device_idx": _set_device,
        "current_stream": streams.current_stream,
        "set_stream": streams.set_stream,
        "synchronize": streams.synchronize,
        "device_index": streams.DeviceContext,
        "empty_cache": figures.empty_cache,
        "empty_host_cache": _none,
        "memory_allocated": figures.allocated,
        "memory_reserved": figures.reserved,
        "max_memory_allocated": figures.max_allocated,
        "max_memory_reserved": figures.max_reserved,
        "memory_stats": figures.stats,
        "reset_peak_memory_stats": figures.reset_peak,
        "reset_accumulated_memory_stats": figures.reset_peak,
        "get_memory_info": figures.mem_get_info,
    }
    known = {name: value for name, value in values.items() if hasattr(accelerator, name)}
    patches.set_many([accelerator], known)


def _patch_backends(patches: PatchSet) -> None:
    backends: Any = torch.backends
    patches.set(backends.cuda, "is_built", _bool(True))
    patches.set(backends.cuda, "is_flash_attention_available", _bool(True))
    patches.set(backends.cudnn.__class__, "is_available", staticmethod(_bool(True)))
    patches.set(backends.cudnn.__class__, "version", staticmethod(lambda: CUDNN_VERSION))
    patches.set(backends.cudnn.__class__, "is_acceptable", staticmethod(_bool(False)))
    _patch_profiler(patches)
    attention: Any = torch.nn.attention
    real = attention.sdpa_kernel

    def sdpa_kernel(backends: Any, set_priority: bool = False) -> Any:
        """The host lacks some kernels; plain mathematics is always allowed."""
        wanted = list(backends) if isinstance(backends, list | tuple) else [backends]
        if attention.SDPBackend.MATH not in wanted:
            wanted.append(attention.SDPBackend.MATH)
        return real(wanted, set_priority)

    patches.set(attention, "sdpa_kernel", sdpa_kernel)


def _patch_profiler(patches: PatchSet) -> None:
    """A profile of CUDA activity is one of CPU activity."""
    profiler: Any = importlib.import_module("torch.profiler.profiler")
    activity: Any = torch.profiler.ProfilerActivity
    kind: Any = profiler._KinetoProfile
    real = kind.__init__

    def init(self: Any, *, activities: Any = None, **options: Any) -> None:
        wanted = {activity.CPU, *(activities or ())} - {activity.CUDA}
        real(self, activities=wanted, **options)

    patches.set(kind, "__init__", init)
