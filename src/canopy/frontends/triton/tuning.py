"""Results of autotuning on disk, where the user asks for that.

``@triton.autotune(.., cache_results=True)`` or TRITON_CACHE_AUTOTUNING=1. Triton's own way writes
configurations as JSON and fails where a tuning key or a configuration holds a dtype; here timings
are kept by the text of each configuration and matched to those of the program. A result holds for
one kernel source, set of configurations, tuning key (with the dtypes of all tensors), CPU, number
of threads, and version of Canopy and Triton. A file that is damaged counts as missing. (A process
whose very first use of Triton is an autotuned launch keeps that one result in Triton's own way: it
chooses the way before it asks for a driver.)
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from triton.compiler.compiler import make_backend
from triton.runtime.autotuner import Autotuner
from triton.runtime.cache import get_cache_manager, triton_key
from triton.runtime.driver import driver
from triton.runtime.jit import JITFunction

from canopy.runtime.pool import get_num_threads

__all__ = ["install"]

_check_disk_cache = Autotuner.check_disk_cache


def install() -> None:
    """Has the cpu backend's results kept here; other backends keep Triton's way."""
    Autotuner.check_disk_cache = _recall_or_measure


def _recall_or_measure(
    tuner: Any, tuning_key: tuple[Any, ...], configs: Sequence[Any], measure: Callable[[], None]
) -> bool:
    """Sets the tuner's choice, from disk if it is there; returns whether it was."""
    target = driver.active.get_current_target()
    if target.backend != "cpu":
        return bool(_check_disk_cache(tuner, tuning_key, configs, measure))
    function = tuner.fn
    while not isinstance(function, JITFunction):
        function = function.fn
    files = get_cache_manager(_key(function, target, tuning_key, configs))
    name = f"{function.__name__[:150]}.autotune.json"
    timings = _recall(files.get_file(name), configs)
    if timings is not None:
        tuner.configs_timings = timings
        tuner.cache[tuning_key] = min(timings, key=lambda config: timings[config])
        return True
    measure()
    measured = {str(config): list(times) for config, times in tuner.configs_timings.items()}
    if any(math.isfinite(times[0]) for times in measured.values()):
        content = {"key": [str(part) for part in tuning_key], "timings_ms": measured}
        files.put(json.dumps(content), name, binary=False)
    return False


def _key(function: Any, target: Any, tuning_key: tuple[Any, ...], configs: Sequence[Any]) -> str:
    parts = [
        triton_key(),
        make_backend(target).hash(),  # Canopy's version and sources, the CPU and its features
        function.cache_key,
        str(get_num_threads()),
        *(repr(part) for part in tuning_key),
        *(str(config) for config in configs),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _recall(path: str | None, configs: Sequence[Any]) -> dict[Any, list[float]] | None:
    """The timings in the file, if they are those of ``configs``."""
    if path is None:
        return None
    try:
        kept = json.loads(Path(path).read_text())["timings_ms"]
        return {config: [float(ms) for ms in kept[str(config)]] for config in configs}
    except (OSError, ValueError, KeyError, TypeError):
        return None
