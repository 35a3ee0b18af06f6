"""Device code that objects carry for the linker: see `separate`. Nothing heavy is imported here."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SECTION", "Unit", "packed", "units_in"]

SECTION = ".canopy_device"
_MAGIC = b"canopy-unit1"
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Unit:
    """The device half of one source: its IR, and the block shapes that its host half launches.
    ``ir`` is empty where the device code was linked already."""

    id: str
    filename: str
    ir: str
    shapes: dict[str, list[Shape]]
    checked: bool = False


def packed(unit: Unit) -> bytes:
    """What stands in the section."""
    shapes = {name: [list(shape) for shape in found] for name, found in unit.shapes.items()}
    content = [unit.id, unit.filename, unit.ir, shapes, unit.checked]
    text = zlib.compress(json.dumps(content).encode())
    return _MAGIC + struct.pack("<Q", len(text)) + text


def units_in(inputs: Iterable[Path | str], library_folders: Sequence[str] = ()) -> list[Unit]:
    """The units of objects and archives on a link line, but for those linked already."""
    found: dict[str, Unit] = {}
    linked: set[str] = set()
    for item in inputs:
        path = _library(str(item), library_folders) if str(item).startswith("-l") else Path(item)
        if path is None or not path.is_file():
            continue
        for unit in _units_of(path.read_bytes()):
            if unit.ir:
                found.setdefault(unit.id, unit)
            else:
                linked.add(unit.id)
    return [unit for unit in found.values() if unit.id not in linked]


def _library(option: str, folders: Sequence[str]) -> Path | None:
    places = (Path(folder) / f"lib{option[2:]}.a" for folder in folders)
    return next((place for place in places if place.is_file()), None)


def _units_of(data: bytes) -> Iterator[Unit]:
    if data.startswith(b"!<arch>\n"):
        for member in _members(data):
            yield from _units_of(member)
    elif data.startswith(b"\x7fELF\x02\x01"):
        section = _section(data)
        while section.startswith(_MAGIC):
            (size,) = struct.unpack_from("<Q", section, len(_MAGIC))
            start = len(_MAGIC) + 8
            content = json.loads(zlib.decompress(section[start : start + size]))
            id_, filename, ir, shapes, checked = content
            typed = {name: [(s[0], s[1], s[2]) for s in found] for name, found in shapes.items()}
            yield Unit(id_, filename, ir, typed, checked)
            section = section[start + size :]


def _members(data: bytes) -> Iterator[bytes]:
    at = 8
    while at + 60 <= len(data):
        size = int(data[at + 48 : at + 58])
        yield data[at + 60 : at + 60 + size]
        at += 60 + size + size % 2


def _section(data: bytes) -> bytes:
    """The bytes of our section of a 64-bit ELF file."""
    (table,) = struct.unpack_from("<Q", data, 40)
    size, count, names = struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<IIQQQQ", data, table + i * size) for i in range(count)]
    if names >= len(headers):
        return b""
    texts = headers[names][4]
    wanted = SECTION.encode() + b"\0"
    for name, _, _, _, offset, length in headers:
        if data.startswith(wanted, texts + name):
            return data[offset : offset + length]
    return b""
