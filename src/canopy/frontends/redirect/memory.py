"""``torch.cuda``'s memory figures, taken from the host.

``memory_allocated`` is what tensors of 1 MiB and more hold, exact up to the allocator's rounding,
and what the C heap holds more than when the redirect began: smaller tensors and all else that C
code allocates. ``memory_reserved`` adds the memory of freed tensors that is kept for reuse;
``empty_cache`` gives that back.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

from canopy.frontends.redirect.devices import get_index, total_memory_bytes
from canopy.runtime import memory as kept

__all__ = ["Memory", "memory_functions"]


class _MallInfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            [
                "arena",
                "ordblks",
                "smblks",
                "hblks",
                "hblkhd",
                "usmblks",
                "fsmblks",
                "uordblks",
                "fordblks",
                "keepcost",
            ]
        )
    ]


@functools.lru_cache(1)
def _mallinfo() -> Any:
    try:
        function = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError):
        return None
    function.restype = _MallInfo
    return function


def _status_bytes(key: str) -> int:
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as lines:
            for line in lines:
                if line.startswith(key + ":"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def heap_bytes() -> int:
    """What the C heap holds; the resident set where the C library does not say."""
    function = _mallinfo()
    if function is None:
        return _status_bytes("VmRSS")
    info = function()
    return int(info.uordblks + info.hblkhd)


def free_host_bytes() -> int:
    """What the kernel says is available."""
    try:
        with open("/proc/meminfo", encoding="ascii", errors="replace") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return total_memory_bytes() // 2


class Memory:
    """Figures relative to the moment when the redirect began.

    Peaks are exact for large tensors; what the C heap adds is seen when a figure is asked for.
    """

    def __init__(self) -> None:
        self._start = heap_bytes()
        self._heap_peak = 0
        kept.reset_peaks()

    def _heap(self) -> int:
        now = max(heap_bytes() - self._start, 0)
        self._heap_peak = max(self._heap_peak, now)
        return now

    def allocated(self, device: Any = None) -> int:
        get_index(device)
        return self._heap() + kept.memory_figures().used_bytes

    def max_allocated(self, device: Any = None) -> int:
        get_index(device)
        self._heap()
        return self._heap_peak + kept.memory_figures().peak_used_bytes

    def reserved(self, device: Any = None) -> int:
        return self.allocated(device) + kept.memory_figures().kept_bytes

    def max_reserved(self, device: Any = None) -> int:
        get_index(device)
        self._heap()
        return self._heap_peak + kept.memory_figures().peak_held_bytes

    def reset_peak(self, device: Any = None) -> None:
        get_index(device)
        kept.reset_peaks()
        self._heap_peak = 0
        self._heap()

    def empty_cache(self) -> None:
        kept.give_back()

    def stats(self, device: Any = None) -> dict[str, Any]:
        figures: dict[str, Any] = {"num_alloc_retries": 0, "num_ooms": 0}
        figures["num_device_alloc"] = kept.memory_figures().mapped
        allocated = self.allocated(device), self.max_allocated(device)
        reserved = self.reserved(device), self.max_reserved(device)
        for kind in ("allocated_bytes", "active_bytes", "requested_bytes"):
            figures.update(_byte_counts(kind, *allocated))
        figures.update(_byte_counts("reserved_bytes", *reserved))
        for kind in ("allocation", "segment", "active", "inactive_split"):
            figures[f"{kind}.all.current"] = figures[f"{kind}.all.peak"] = 0
        return figures

    def summary(self, device: Any = None, abbreviated: bool = False) -> str:
        index, mib = get_index(device), 1 << 20
        rows = (
            ("Allocated memory", self.allocated(device), self.max_allocated(device)),
            ("Reserved memory", self.reserved(device), self.max_reserved(device)),
        )
        line = "|" + "=" * 58 + "|"
        body = [f"| {name:<24}|{now / mib:>10.1f} MiB |{peak / mib:>12.1f} MiB |".ljust(59) + "|"
                for name, now, peak in rows]  # fmt: skip
        title = f"| PyTorch CUDA memory summary, device ID {index} (host memory)".ljust(59) + "|"
        head = f"| {'Metric':<24}|{'Cur Usage':>14} |{'Peak Usage':>16} |".ljust(59) + "|"
        return "\n".join([line, title, line, head, line, *body, line])

    def mem_get_info(self, device: Any = None) -> tuple[int, int]:
        get_index(device)
        return free_host_bytes(), total_memory_bytes()


def _byte_counts(kind: str, now: int, peak: int) -> dict[str, int]:
    figures = {}
    for pool in ("all", "large_pool", "small_pool"):
        held, most = (0, 0) if pool == "small_pool" else (now, peak)
        figures[f"{kind}.{pool}.current"] = held
        figures[f"{kind}.{pool}.peak"] = figures[f"{kind}.{pool}.allocated"] = most
        figures[f"{kind}.{pool}.freed"] = most - held
    return figures


def _nothing(*args: Any, **kwargs: Any) -> None:
    return None


def memory_functions(memory: Memory) -> dict[str, Any]:
    """The functions of ``torch.cuda.memory`` by name."""
    peaks = (
        "reset_peak_memory_stats reset_max_memory_allocated reset_max_memory_cached "
        "reset_accumulated_memory_stats"
    )
    quiet = (
        "reset_peak_host_memory_stats reset_accumulated_host_memory_stats "
        "set_per_process_memory_fraction _record_memory_history _dump_snapshot "
        "_set_allocator_settings caching_allocator_enable"
    )
    return {
        "memory_allocated": memory.allocated,
        "memory_reserved": memory.reserved,
        "memory_cached": memory.reserved,
        "max_memory_allocated": memory.max_allocated,
        "max_memory_reserved": memory.max_reserved,
        "max_memory_cached": memory.max_reserved,
        "empty_cache": memory.empty_cache,
        "memory_stats": memory.stats,
        "memory_stats_as_nested_dict": lambda device=None: _nested(memory.stats(device)),
        "host_memory_stats": dict,
        "memory_summary": memory.summary,
        "memory_snapshot": lambda *args, **kwargs: [],
        "_snapshot": lambda *args, **kwargs: {"segments": [], "device_traces": []},
        "mem_get_info": memory.mem_get_info,
        "list_gpu_processes": lambda device=None: "GPU:0\nno processes are running",
        "get_per_process_memory_fraction": lambda device=None: 1.0,
        "get_allocator_backend": lambda: "native",
        **dict.fromkeys(peaks.split(), memory.reset_peak),
        **dict.fromkeys(quiet.split(), _nothing),
    }


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *path, last = key.split(".")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[last] = value
    return tree
