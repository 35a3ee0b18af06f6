"""The part of SARIF 2.1.0 that Canopy writes, closed: a field that is not here is a mistake.

Written from the standard (OASIS, sections 3.13 to 3.49) and weaker nowhere than its public schema.
`CANOPY_SARIF_SCHEMA` may name the whole public schema, which is then held to as well; the package
`@microsoft/sarif-multitool-linux` of npm brings one.
"""

from __future__ import annotations

from typing import Any

__all__ = ["SARIF"]

_TEXT = {"type": "string"}
_LEVEL = {"enum": ["none", "note", "warning", "error"]}
_FROM_ONE = {"type": "integer", "minimum": 1}


def _closed(required: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


_MESSAGE = _closed("text", text=_TEXT)
_RULE = _closed(
    "id",
    id=_TEXT,
    shortDescription=_MESSAGE,
    help=_MESSAGE,
    defaultConfiguration=_closed("", level=_LEVEL),
    properties={"type": "object"},
)
_DRIVER = _closed(
    "name", name=_TEXT, version=_TEXT, rules={"type": "array", "uniqueItems": True, "items": _RULE}
)
_PLACE = _closed(
    "artifactLocation",
    artifactLocation=_closed("uri", uri={"type": "string", "format": "uri-reference"}),
    region=_closed("startLine", startLine=_FROM_ONE, startColumn=_FROM_ONE),
)
_RESULT = _closed(
    "message",
    ruleId=_TEXT,
    ruleIndex={"type": "integer", "minimum": 0},
    level=_LEVEL,
    message=_MESSAGE,
    locations={"type": "array", "items": _closed("", physicalLocation=_PLACE)},
)
_RUN = _closed(
    "tool results",
    tool=_closed("driver", driver=_DRIVER),
    columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
    results={"type": "array", "items": _RESULT},
)
SARIF: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    **_closed(
        "version runs",
        **{"$schema": {"type": "string", "format": "uri"}},
        version={"const": "2.1.0"},
        runs={"type": "array", "items": _RUN},
    ),
}
