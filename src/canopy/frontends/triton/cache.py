"""Triton's disk cache, made safe: verified on read, private to the user, and never fatal.

A file that is damaged counts as missing, so the kernel is compiled again. Where the cache folder
cannot be written (read-only home, full disk) a folder of this process is used, with one warning.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import json
import os
import shutil
import tempfile
import time
import warnings
from contextlib import suppress
from pathlib import Path

from triton import knobs
from triton.runtime.cache import FileCacheManager

from canopy.errors import CacheError

__all__ = ["install"]

_ABANDONED_S = 600


def install() -> None:
    """Makes Triton use this cache, unless the user chose one (TRITON_CACHE_MANAGER)."""
    if knobs.cache.manager_class is None:
        knobs.cache.manager_class = _VerifiedCache


@functools.lru_cache(maxsize=1)
def _own_folder(process: int) -> str:
    """A folder of this process, removed at its end."""
    folder = tempfile.mkdtemp(prefix="canopy-triton-")
    atexit.register(_remove, folder, process)
    return folder


def _remove(folder: str, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


@functools.lru_cache(maxsize=8)
def _warn_once(folder: str, reason: str) -> None:
    warnings.warn(
        f"the kernel cache {folder} cannot be used ({reason}): kernels are compiled anew in every "
        "process\nhint: set TRITON_CACHE_DIR to a folder that can be written",
        RuntimeWarning,
        stacklevel=2,
    )


class _VerifiedCache(FileCacheManager):  # type: ignore[misc, unused-ignore]
    """Triton's file cache with checksums and a fallback folder."""

    def __init__(self, key: str, override: bool = False, dump: bool = False) -> None:
        try:
            if not (override or dump):
                os.makedirs(knobs.cache.dir, mode=0o700, exist_ok=True)
            super().__init__(key, override, dump)
        except OSError as error:
            self._fall_back(key, error)

    def _fall_back(self, key: str, error: OSError) -> None:
        _warn_once(knobs.cache.dir, error.strerror or str(error))
        self.key = key
        self.cache_dir = os.path.join(_own_folder(os.getpid()), key)
        self.lock_path = os.path.join(self.cache_dir, "lock")
        os.makedirs(self.cache_dir, exist_ok=True)

    def get_file(self, filename: str) -> str | None:
        path: str | None = super().get_file(filename)
        if path is None or not filename.endswith(".json"):
            return path
        return path if _is_json(path) else None

    def put(self, data: object, filename: str, binary: bool = True) -> str:
        try:
            _remove_folder(self._make_path(filename))
            path = str(super().put(data, filename, binary))
            _remove_abandoned(os.path.dirname(path))
            return path
        except OSError as error:
            return self._put_elsewhere(data, filename, binary, error)

    def _put_elsewhere(self, data: object, filename: str, binary: bool, error: OSError) -> str:
        try:
            self._fall_back(self.key, error)
            return str(super().put(data, filename, binary))
        except OSError as second:
            raise CacheError(
                f"no folder takes a compiled kernel: {knobs.cache.dir} ({error.strerror}), "
                f"{tempfile.gettempdir()} ({second.strerror})",
                hint="free some space, or set TRITON_CACHE_DIR to a folder that can be written",
            ) from None

    def put_group(self, filename: str, group: dict[str, str]) -> str:
        sums = {name: _sum(path) for name, path in group.items()}
        text = json.dumps({"child_paths": group, "sha256": sums})
        return self.put(text, f"__grp__{filename}", binary=False)

    def get_group(self, filename: str) -> dict[str, str] | None:
        try:
            group: dict[str, str] | None = super().get_group(filename)
            if group is None:
                return None
            sums = json.loads(Path(self._make_path(f"__grp__{filename}")).read_text())["sha256"]
            is_whole = all(_sum(path) == sums[name] for name, path in group.items())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return group if is_whole else None


def _remove_folder(path: str) -> None:
    """A folder in the place of a file, which no file can replace."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)


def _remove_abandoned(folder: str) -> None:
    """Triton's folders of files being written, whose writers were killed."""
    for path in Path(folder).glob("tmp.pid_*"):
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime > _ABANDONED_S:
                shutil.rmtree(path)


def _is_json(path: str) -> bool:
    try:
        json.loads(Path(path).read_text())
    except (OSError, ValueError):
        return False
    return True


def _sum(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
