"""The binary of a compiled Triton kernel: what Triton's cache keeps, and what a launch needs.

    8 bytes magic, 32 bytes SHA-256 of the rest, 4 bytes length of the header, header (JSON), code

A damaged binary is recognised when it is read, and compiled again.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import asdict, dataclass, field

from canopy.errors import CacheError

__all__ = ["Binary", "is_fresh", "mark_fresh"]

_MAGIC = b"CNPYTRI2"
_PREFIX = len(_MAGIC) + 32 + 4


@dataclass(frozen=True, slots=True)
class Binary:
    """A kernel as machine code, or as TTIR where ``interpreted``."""

    name: str
    code: bytes = field(repr=False)
    entry_name: str = ""
    scratch_bytes: int = 0
    written: tuple[bool, ...] = ()
    interpreted: bool = False
    file: str = ""
    line: int = 0
    compile_s: float = 0.0

    def pack(self) -> bytes:
        fields = asdict(self)
        del fields["code"]
        header = json.dumps(fields).encode()
        rest = struct.pack("<I", len(header)) + header + self.code
        return _MAGIC + hashlib.sha256(rest).digest() + rest

    @classmethod
    def unpack(cls, data: bytes) -> Binary:
        """Raises CacheError for anything but what `pack` made."""
        rest = data[len(_MAGIC) + 32 :]
        is_whole = len(data) >= _PREFIX and data.startswith(_MAGIC)
        if not is_whole or hashlib.sha256(rest).digest() != data[len(_MAGIC) : len(_MAGIC) + 32]:
            raise CacheError("a compiled kernel in the cache is damaged")
        (length,) = struct.unpack_from("<I", rest)
        fields = json.loads(rest[4 : 4 + length])
        fields["written"] = tuple(fields["written"])
        return cls(code=rest[4 + length :], **fields)


_fresh: set[str] = set()


def mark_fresh(binary: Binary) -> None:
    """Notes that this process compiled ``binary`` (and did not find it in the cache)."""
    _fresh.add(hashlib.sha256(binary.code).hexdigest())


def is_fresh(binary: Binary) -> bool:
    return hashlib.sha256(binary.code).hexdigest() in _fresh
