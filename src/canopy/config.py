"""Every environment variable that Canopy reads, in one place.

Nothing is read at import: each function looks at the environment when it is called, so a test or
a notebook may change a variable at any time. A value that makes no sense raises `CanopyError` with
the variable, the value and what would have been right. `docs/reference/environment.md` lists the
same table, and a test holds the two together.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from canopy.errors import CanopyError

__all__ = [
    "VARIABLES",
    "Variable",
    "cache_dir",
    "check",
    "chip",
    "cpu",
    "debug_level",
    "device_count",
    "interpret",
    "kept_mib",
    "num_threads",
    "simulates",
    "target",
]

T = TypeVar("T")

MAX_THREADS = 1024
MAX_DEBUG_LEVEL = 4
MAX_DEVICES = 64
MAX_KEPT_MIB = 1 << 26  # 64 TiB
TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class Variable(Generic[T]):
    """One environment variable: how its text is read, what holds without it, what it does."""

    name: str
    parse: Callable[[str], T]
    default: Callable[[], T]
    expects: str
    default_text: str
    meaning: str

    def value(self) -> T:
        """The parsed value; unset or empty gives the default. Raises `CanopyError` on nonsense."""
        text = os.environ.get(self.name, "").strip()
        if not text:
            return self.default()
        try:
            return self.parse(text)
        except ValueError:
            raise CanopyError(
                f"{self.name} is {text!r}, expected {self.expects}",
                hint=f"unset {self.name}, or set it to {self.expects}",
            ) from None


def _parse_flag(text: str) -> bool:
    word = text.lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ValueError(text)


def _parse_check(text: str) -> bool:
    return text.lower() == "memory" or _parse_flag(text)


def _parse_integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise ValueError(text)
        return number

    return parse


def _parse_folder(text: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:  # "~user" of a user that does not exist
        raise ValueError(text) from error


def _parse_target(text: str) -> str:
    if not text.replace("-", "").replace("_", "").isalnum():
        raise ValueError(text)
    return text.lower()


def _parse_chip(text: str) -> str:
    """A name, or the path of a chip file."""
    return text if text.endswith(".toml") else _parse_target(text)


def _usable_cpus() -> int:
    """CPUs that this process may run on, which may be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


def _local_world_size() -> int:
    """What torchrun sets: a device for each of its processes on this machine."""
    text = os.environ.get("LOCAL_WORLD_SIZE", "")
    return min(max(int(text), 1), MAX_DEVICES) if text.isdecimal() else 1


def _default_cache_dir() -> Path:
    """``$XDG_CACHE_HOME/canopy``, or ``~/.cache/canopy``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification tells programs to ignore a relative path here.
    if base and Path(base).is_absolute():
        return Path(base) / "canopy"
    try:
        return Path.home() / ".cache" / "canopy"
    except RuntimeError:
        raise CanopyError(
            "there is no home folder to keep the cache in",
            hint="set CANOPY_CACHE_DIR to a folder that this user may write",
        ) from None


_DEBUG = Variable(
    name="CANOPY_DEBUG",
    parse=_parse_integer(0, MAX_DEBUG_LEVEL),
    default=lambda: 0,
    expects="a whole number from 0 to 4",
    default_text="0",
    meaning="1 prints each kernel with its times, 2 adds the IR that the front-end gave, "
    "3 the IR after every pass, 4 the generated code",
)
_INTERPRET = Variable(
    name="CANOPY_INTERPRET",
    parse=_parse_flag,
    default=lambda: False,
    expects="0 or 1",
    default_text="0",
    meaning="1 runs kernels in the IR's interpreter: slow, and it names the line of a wrong mask "
    "or an out-of-bounds access",
)
_CHECK = Variable(
    name="CANOPY_CHECK",
    parse=_parse_check,
    default=lambda: False,
    expects="0, 1 or memory",
    default_text="0; in a program built with `--check` 1",
    meaning="1 compiles CUDA C++ as `--check` does: out-of-bounds and racing accesses are named; "
    "programs built so read it again when they run: `memory` looks for no races, 0 for nothing",
)
_NUM_THREADS = Variable(
    name="CANOPY_NUM_THREADS",
    parse=_parse_integer(1, MAX_THREADS),
    default=_usable_cpus,
    expects=f"a whole number from 1 to {MAX_THREADS}",
    default_text="the CPUs this process may use",
    meaning="threads that run the programs of a kernel",
)
_CACHE_DIR = Variable(
    name="CANOPY_CACHE_DIR",
    parse=_parse_folder,
    default=_default_cache_dir,
    expects="the path of a folder",
    default_text="`$XDG_CACHE_HOME/canopy`, else `~/.cache/canopy`",
    meaning="where compiled kernels and failure reports are kept",
)
_TARGET = Variable(
    name="CANOPY_TARGET",
    parse=_parse_target,
    default=lambda: "cpu",
    expects="the name of a target, such as cpu",
    default_text="cpu",
    meaning="the target that `canopy run` uses when `--target` is not given",
)

_CPU = Variable(
    name="CANOPY_CPU",
    parse=_parse_target,
    default=lambda: "native",
    expects="native, or a level of the processor's family such as x86-64-v3",
    default_text="native",
    meaning="the processor that the cpu target compiles for: `native` uses all that this one has, "
    "`x86-64-v3` (AVX2) and `x86-64-v4` (AVX-512) what every processor of the level has",
)
_CHIP = Variable(
    name="CANOPY_CHIP",
    parse=_parse_chip,
    default=lambda: "910b2",
    expects="the name of a chip, such as 910b2, or a chip file (.toml)",
    default_text="910b2",
    meaning="the chip that the target `ascend-sim` simulates",
)
_KEPT_MIB: Variable[int | None] = Variable(
    name="CANOPY_KEPT_MIB",
    parse=_parse_integer(0, MAX_KEPT_MIB),
    default=lambda: None,
    expects="a whole number of MiB",
    default_text="a quarter of the memory",
    meaning="the most that `canopy run` keeps of the memory of freed tensors, to use it again; "
    "0 keeps none",
)

_DEVICE_COUNT = Variable(
    name="CANOPY_DEVICE_COUNT",
    parse=_parse_integer(1, MAX_DEVICES),
    default=_local_world_size,
    expects=f"a whole number from 1 to {MAX_DEVICES}",
    default_text="`LOCAL_WORLD_SIZE`, else 1",
    meaning="CUDA devices that a script under `canopy run` sees",
)

VARIABLES: tuple[
    Variable[int] | Variable[int | None] | Variable[bool] | Variable[Path] | Variable[str], ...
] = (
    _DEBUG,
    _INTERPRET,
    _CHECK,
    _CHECK,
    _NUM_THREADS,
    _CACHE_DIR,
    _TARGET,
    _CPU,
    _CHIP,
    _DEVICE_COUNT,
    _KEPT_MIB,
)


def debug_level() -> int:
    """CANOPY_DEBUG: 0 (silent) to 4 (everything)."""
    return _DEBUG.value()


def interpret() -> bool:
    """CANOPY_INTERPRET: whether kernels run in the IR's interpreter."""
    return _INTERPRET.value()


def check() -> bool:
    """CANOPY_CHECK: whether kernels of CUDA C++ are compiled to check their accesses."""
    return _CHECK.value()


def num_threads() -> int:
    """CANOPY_NUM_THREADS: threads of the pool, at least 1."""
    return _NUM_THREADS.value()


def cache_dir() -> Path:
    """CANOPY_CACHE_DIR: the cache's folder, absolute. It is not created here."""
    return _CACHE_DIR.value()


def target() -> str:
    """CANOPY_TARGET: the default target's name, lower case, not checked against what exists."""
    return _TARGET.value()


def simulates() -> bool:
    """Whether kernels run on the Ascend simulator: the target is ``ascend-sim``."""
    return target() == "ascend-sim"


def chip() -> str:
    """CANOPY_CHIP: the chip to simulate, a name in lower case or a path, not checked yet."""
    return _CHIP.value()


def cpu() -> str:
    """CANOPY_CPU: the processor to compile for, lower case, not checked against what exists."""
    return _CPU.value()


def device_count() -> int:
    """CANOPY_DEVICE_COUNT: how many CUDA devices a redirected script sees, at least 1."""
    return _DEVICE_COUNT.value()


def kept_mib() -> int | None:
    """CANOPY_KEPT_MIB: how much memory of freed tensors is kept; None: the runtime chooses."""
    return _KEPT_MIB.value()
