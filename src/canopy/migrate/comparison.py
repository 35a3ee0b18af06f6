"""Whether two runs of a program came to the same: what they printed, and the files they wrote.

Text is compared word by word; numbers may differ by rounding (``RELATIVE``, ``ABSOLUTE``), since
sums in another order round differently. Arrays of NumPy are compared as numbers, archives (torch's
files are some) member by member, anything else byte by byte.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["ABSOLUTE", "RELATIVE", "Comparison", "compare_files", "compare_text"]

RELATIVE = 1e-4
ABSOLUTE = 1e-6
_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]*\w)")
_MOST_TOLD = 20


@dataclass
class Comparison:
    """What was compared, and where it differs; ``unstable`` counts what the same program does not
    even repeat by itself, and what therefore tells nothing."""

    compared: int = 0
    unstable: int = 0
    differences: list[str] = field(default_factory=list)

    def add(self, difference: str) -> None:
        if len(self.differences) < _MOST_TOLD:
            self.differences.append(difference)


def compare_text(before: str, after: str, again: str | None = None) -> Comparison:
    """Line by line. ``again`` is a second run of the first: lines in which those two differ are
    left out."""
    found = Comparison()
    old, new = before.splitlines(), after.splitlines()
    repeated = None if again is None else again.splitlines()
    if repeated is not None and len(repeated) != len(old):
        found.unstable = max(len(old), len(new))
        return found
    for number in range(max(len(old), len(new))):
        a, b = (lines[number] if number < len(lines) else None for lines in (old, new))
        if repeated is not None and a is not None and not _is_alike(a, repeated[number]):
            found.unstable += 1
            continue
        found.compared += 1
        if a is None or b is None or not _is_alike(a, b):
            found.add(f"line {number + 1}: {_shown(a)} became {_shown(b)}")
    return found


def _shown(line: str | None) -> str:
    return "nothing" if line is None else repr(line[:80])


def _is_alike(one: str, other: str) -> bool:
    if one == other:
        return True
    if _NUMBER.sub("#", one) != _NUMBER.sub("#", other):
        return False
    pairs = zip(_NUMBER.findall(one), _NUMBER.findall(other), strict=True)
    return all(_is_near(float(a), float(b)) for a, b in pairs)


def _is_near(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def compare_files(
    before: Mapping[str, bytes],
    after: Mapping[str, bytes],
    again: Mapping[str, bytes] | None = None,
) -> Comparison:
    """The files that two runs wrote, by path."""
    found = Comparison()
    for path in sorted(before.keys() | after.keys()):
        a, b = before.get(path), after.get(path)
        if again is not None and not _is_repeated(a, again.get(path)):
            found.unstable += 1
            continue
        found.compared += 1
        if a is None or b is None:
            found.add(f"{path}: written by the {'rewritten' if a is None else 'old'} one alone")
        elif not _is_same(a, b):
            found.add(f"{path}: the contents differ")
    return found


def _is_repeated(one: bytes | None, again: bytes | None) -> bool:
    if one is None or again is None:
        return one is again
    return _is_same(one, again)


def _is_same(one: bytes, other: bytes) -> bool:
    if one == other:
        return True
    if one.startswith(b"\x93NUMPY") and other.startswith(b"\x93NUMPY"):
        return _is_same_array(one, other)
    if one.startswith(b"PK\x03\x04") and other.startswith(b"PK\x03\x04"):
        return _is_same_archive(one, other)
    try:
        old, new = one.decode(), other.decode()
    except UnicodeDecodeError:
        return False
    return not compare_text(old, new).differences


def _is_same_array(one: bytes, other: bytes) -> bool:
    import numpy as np

    try:
        old, new = (np.load(io.BytesIO(data), allow_pickle=False) for data in (one, other))
    except (ValueError, OSError):
        return False
    if old.shape != new.shape or old.dtype != new.dtype:
        return False
    if old.dtype.kind not in "fc":
        return bool(np.array_equal(old, new))
    return bool(np.allclose(old, new, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True))


def _is_same_archive(one: bytes, other: bytes) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(one)) as old, zipfile.ZipFile(io.BytesIO(other)) as new:
            names = sorted(old.namelist())
            if names != sorted(new.namelist()):
                return False
            return all(_is_same(old.read(name), new.read(name)) for name in names)
    except (zipfile.BadZipFile, OSError, ValueError):
        return False
