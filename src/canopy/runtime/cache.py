"""The disk cache: compiled kernels by key, safe against damage, other users and other processes.

One file per entry, in ``<root>/<2 hex digits>/<sha256 of the key>``::

    magic (8 bytes) | sha256 of the rest (32) | key length (8, little-endian) | key | data

Files are written under a temporary name, synced and renamed, so a reader sees a whole entry or
none. Whatever does not verify is removed and counts as absent: its owner builds it again.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from canopy import config

__all__ = ["DiskCache"]

_MAGIC = b"CANOPYC1"
_DIGEST_BYTES = hashlib.sha256().digest_size
_HEADER_BYTES = len(_MAGIC) + _DIGEST_BYTES + 8
_MAX_ENTRY_BYTES = 1 << 32
_TEMPORARY_PREFIX = ".new-"
_ABANDONED_S = 600  # a temporary file this old has lost its writer


def _encode(key: str, data: bytes) -> bytes:
    name = key.encode()
    content = len(name).to_bytes(8, "little") + name + data
    return _MAGIC + hashlib.sha256(content).digest() + content


def _decode(key: str, entry: bytes) -> bytes | None:
    """The data of an entry; None where it is damaged or another key's."""
    content = entry[len(_MAGIC) + _DIGEST_BYTES :]
    if len(entry) < _HEADER_BYTES or not entry.startswith(_MAGIC):
        return None
    if hashlib.sha256(content).digest() != entry[len(_MAGIC) : len(_MAGIC) + _DIGEST_BYTES]:
        return None
    name = key.encode()
    if content[:8] != len(name).to_bytes(8, "little") or content[8 : 8 + len(name)] != name:
        return None
    return content[8 + len(name) :]


def _is_private(status: os.stat_result) -> bool:
    """Ours, and nobody else can have written it."""
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


class DiskCache:
    """Bytes by key, on disk, for all processes of one user.

    Where the disk cannot be used (read-only, full, another user's folder), the entries of this
    process stay in its memory, and one warning says so. No method raises for that.
    """

    def __init__(self, root: Path | None = None) -> None:
        self._root = root if root is not None else config.cache_dir()
        self._in_memory: dict[str, bytes] = {}
        self._usable: bool | None = None  # None: not yet tried
        self._reported = False

    @property
    def root(self) -> Path:
        """The folder, which may not exist yet."""
        return self._root

    def get(self, key: str) -> bytes | None:
        """The data that ``put`` stored under ``key``; None where there is none that verifies."""
        if key in self._in_memory:
            return self._in_memory[key]
        if not self._root_is_usable(create=False):
            return None
        path = self._path(key)
        entry = self._read(path)
        if entry is None:
            return None
        data = _decode(key, entry)
        if data is None:
            self._remove(path)
        return data

    def put(self, key: str, data: bytes) -> None:
        """Stores ``data`` under ``key``, in place of what was there."""
        if self._root_is_usable(create=True):
            try:
                self._write(self._path(key), _encode(key, data))
            except OSError as error:
                self._report(error.strerror or str(error))
            else:
                self._in_memory.pop(key, None)
                return
        self._in_memory[key] = data

    def clear(self) -> None:
        """Removes every entry, and what interrupted writers left behind."""
        self._in_memory.clear()
        if not self._root_is_usable(create=False):
            return
        for path in self._files():
            self._remove(path)

    def size(self) -> int:
        """Bytes that the entries take, on disk and in memory."""
        total = sum(map(len, self._in_memory.values()))
        if not self._root_is_usable(create=False):
            return total
        for path in self._files():
            with suppress(OSError):
                total += path.lstat().st_size
        return total

    def _path(self, key: str) -> Path:
        name = hashlib.sha256(key.encode()).hexdigest()
        return self._root / name[:2] / name

    def _files(self) -> Iterator[Path]:
        """Only files that this class names so: the folder may be shared by mistake."""
        for folder in self._root.glob("[0-9a-f][0-9a-f]"):
            if folder.is_symlink():
                continue
            for path in folder.iterdir():
                if len(path.name) == 64 or path.name.startswith(_TEMPORARY_PREFIX):
                    yield path

    def _root_is_usable(self, *, create: bool) -> bool:
        if self._usable is not None:
            return self._usable
        try:
            if create:
                self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = self._root.stat()
        except FileNotFoundError:
            return False  # nothing stored yet; the first put() creates it
        except OSError as error:
            self._usable = False
            self._report(error.strerror or str(error))
            return False
        self._usable = self._check_folder(status)
        return self._usable

    def _check_folder(self, status: os.stat_result) -> bool:
        if not stat.S_ISDIR(status.st_mode):
            self._report("it is not a folder")
            return False
        if not _is_private(status):
            self._report("it belongs to another user, or others can write to it")
            return False
        return True

    def _read(self, path: Path) -> bytes | None:
        """A whole regular file of ours; None where it is absent, foreign or unreadable."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EACCES):  # a link, or a mode we never give
                self._remove(path)
            return None
        status = os.fstat(descriptor)
        foreign = not stat.S_ISREG(status.st_mode) or not _is_private(status)
        if foreign or status.st_size > _MAX_ENTRY_BYTES:
            os.close(descriptor)
            self._remove(path)
            return None
        with open(descriptor, "rb") as file, suppress(OSError):
            return file.read()
        return None

    def _write(self, path: Path, entry: bytes) -> None:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        self._remove_abandoned(path.parent)
        descriptor, temporary = tempfile.mkstemp(prefix=_TEMPORARY_PREFIX, dir=path.parent)
        try:
            with open(descriptor, "wb") as file:
                file.write(entry)
                file.flush()
                os.fsync(descriptor)
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise

    def _remove_abandoned(self, folder: Path) -> None:
        """What writers that were killed left in the folder."""
        for path in folder.glob(_TEMPORARY_PREFIX + "*"):
            with suppress(OSError):
                if time.time() - path.lstat().st_mtime > _ABANDONED_S:
                    path.unlink()

    def _remove(self, path: Path) -> None:
        with suppress(OSError):
            if path.is_dir() and not path.is_symlink():  # a file cannot replace a folder
                shutil.rmtree(path)
            else:
                path.unlink()

    def _report(self, reason: str) -> None:
        if self._reported:
            return
        self._reported = True
        warnings.warn(
            f"{self._root}: the kernel cache cannot be used: {reason}; "
            "compiled kernels are kept in memory for this process only\n"
            "hint: set CANOPY_CACHE_DIR to a folder that only you can write to",
            RuntimeWarning,
            stacklevel=4,
        )
