"""Source places from the debug metadata in a module's text.

What clang writes for Canopy's own header is attributed to the user's line that called it.
"""

from __future__ import annotations

import re

from canopy.errors import UNKNOWN_LOCATION, Location
from canopy.frontends.cuda.toolchain import HEADERS

__all__ = ["DebugInfo"]

_NODE = re.compile(r"^!(\d+) = (?:distinct )?!(DI\w+)\((.*)\)$")
_FIELD = re.compile(r'(\w+): ("(?:[^"\\]|\\.)*"|![^,)]*|[^,)]+)')


class DebugInfo:
    """Looks up DILocation and DISubprogram nodes by number."""

    def __init__(self, lines: list[str], filename: str) -> None:
        self._filename = filename
        self._nodes: dict[int, dict[str, str]] = {}
        self._places: dict[int, Location] = {}
        for line in lines:
            match = _NODE.match(line) if line.startswith("!") else None
            if match:
                self._nodes[int(match[1])] = dict(_FIELD.findall(match[3]))

    def location(self, node: int) -> Location:
        """The user's place of a DILocation: the innermost one outside Canopy's header."""
        if node not in self._places:
            self._places[node] = self._find(node)
        return self._places[node]

    def _find(self, node: int) -> Location:
        fields = self._nodes.get(node, {})
        file = self._file(_reference(fields.get("scope")))
        if (not file or file.startswith(str(HEADERS))) and "inlinedAt" in fields:
            return self.location(_reference(fields["inlinedAt"]))
        if not file:
            return UNKNOWN_LOCATION
        return Location(file, int(fields.get("line", 0)), int(fields.get("column", 0)))

    def subprogram(self, node: int) -> tuple[str, Location]:
        """Name as written, and place, of a function."""
        fields = self._nodes.get(node, {})
        file = self._file(node) or self._filename
        return fields.get("name", "").strip('"'), Location(file, int(fields.get("line", 0)))

    def _file(self, scope: int) -> str:
        while scope in self._nodes:
            fields = self._nodes[scope]
            if "file" in fields:
                return self._path(_reference(fields["file"]))
            scope = _reference(fields.get("scope"))
        return ""

    def _path(self, node: int) -> str:
        return self._nodes.get(node, {}).get("filename", "").strip('"')


def _reference(text: str | None) -> int:
    return int(text[1:]) if text and text[1:].isdigit() else -1
