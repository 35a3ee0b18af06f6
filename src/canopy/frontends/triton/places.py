"""MLIR locations -> places in the user's source.

In:   ``#loc9 = loc(callsite(#loc3 at #loc7))`` and its like, as printed beside the module
Out:  ``Location(file="train.py", line=12, column=5)``: the innermost place that is not Triton's own
      library (``tl.softmax`` called at train.py:12 is shown as train.py:12).
"""

from __future__ import annotations

import functools
import inspect
import os
import re
import sys

from canopy.errors import UNKNOWN_LOCATION, Location

__all__ = ["Places", "launch_site"]

_DEFINITION = re.compile(r"^#(loc\d*) = loc\((.*)\)$")
_FILE = re.compile(r'^"((?:[^"\\]|\\.)*)":(\d+):(\d+)(?: to .*)?$')
_NAMED = re.compile(r'^"(?:[^"\\]|\\.)*"(?:\((.*)\))?$')


class Places:
    """Resolves locations of one printed module."""

    def __init__(self, lines: list[str]) -> None:
        self._texts: dict[str, str] = {}
        for line in lines:
            if line.startswith("#loc") and (match := _DEFINITION.match(line)):
                self._texts[match[1]] = match[2]
        self._known: dict[str, Location] = {}

    def resolve(self, text: str) -> Location:
        """The user's place that ``text`` (the inside of ``loc(...)``) stands for."""
        if text not in self._known:
            chain = self._chain(text)
            users = [place for place in chain if not _is_tritons(place.file)]
            self._known[text] = (users or chain or [UNKNOWN_LOCATION])[0]
        return self._known[text]

    def _chain(self, text: str) -> list[Location]:
        """All file places in ``text``, innermost first."""
        if text.startswith("#"):
            return self._chain(self._texts.get(text[1:], "unknown"))
        if match := _FILE.match(text):
            return [Location(match[1], int(match[2]), int(match[3]))]
        if match := _NAMED.match(text):
            return self._chain(match[1]) if match[1] else []
        if text.startswith("callsite("):
            callee, _, caller = text[9:-1].partition(" at ")
            return self._chain(_bare(callee)) + self._chain(_bare(caller))
        if text.startswith("fused"):
            inside = text[text.find("[") + 1 : text.rfind("]")]
            return [place for piece in inside.split(", ") for place in self._chain(_bare(piece))]
        return []


def _bare(text: str) -> str:
    """The text inside ``loc(...)`` where it is written out."""
    text = text.strip()
    return text[4:-1] if text.startswith("loc(") else text


@functools.lru_cache(maxsize=1024)
def _is_tritons(file: str) -> bool:
    """Whether the file belongs to the installed triton package."""
    package = sys.modules.get("triton")
    if package is None or not package.__file__:
        return False
    return os.path.realpath(file).startswith(os.path.dirname(package.__file__) + os.sep)


def launch_site() -> Location:
    """The user's line that launches the kernel."""
    frame = inspect.currentframe()
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if not name.startswith(("triton.", "canopy.")):
            return Location(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return Location()
