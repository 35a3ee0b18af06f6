"""The report for programs: JSON with a version of its own, and SARIF 2.1.0 for code scanning.

`SCHEMA` describes the JSON; its version changes when a field changes its meaning or goes.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import quote

from canopy import __version__
from canopy.migrate.findings import TARGETS, Effort, FileReport, Finding, Status
from canopy.migrate.project import Project
from canopy.migrate.proof import PROOF_SCHEMA
from canopy.migrate.rules import all_rules

__all__ = ["SCHEMA", "SCHEMA_VERSION", "to_json", "to_sarif"]

SCHEMA_VERSION = 1
DOCUMENT = "docs/migrate.md"
_LEVELS = {
    Effort.NONE: "none",
    Effort.AUTOMATIC: "note",
    Effort.LOW: "note",
    Effort.MEDIUM: "warning",
    Effort.HIGH: "error",
}
_EFFORTS = [effort.value for effort in Effort]
_STATUSES = [status.value for status in Status]
_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "canopy migrate --json",
    "type": "object",
    "required": ["version", "canopy", "root", "totals", "files"],
    "additionalProperties": False,
    "properties": {
        "version": {"const": SCHEMA_VERSION},
        "canopy": _TEXT,
        "root": _TEXT,
        "proof": PROOF_SCHEMA,
        "totals": {
            "type": "object",
            "required": ["files", "lines", "uses", "effort"],
            "properties": {
                "files": _COUNT,
                "lines": _COUNT,
                "uses": _COUNT,
                "effort": {"type": "object", "propertyNames": {"enum": _EFFORTS}},
            },
        },
        "files": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["path", "kind", "lines", "runs_now", "ready", "note", "findings"],
                "additionalProperties": False,
                "properties": {
                    "path": _TEXT,
                    "kind": _TEXT,
                    "lines": _COUNT,
                    "runs_now": {"type": "number", "minimum": 0, "maximum": 1},
                    "ready": {"type": "number", "minimum": 0, "maximum": 1},
                    "note": _TEXT,
                    "findings": {"type": "array", "items": {"$ref": "#/$defs/finding"}},
                },
            },
        },
    },
    "$defs": {
        "finding": {
            "type": "object",
            "required": ["rule", "line", "column", "what", "effort", "status", "why", "advice"],
            "additionalProperties": False,
            "properties": {
                "rule": _TEXT,
                "line": {"type": "integer", "minimum": 1},
                "column": {"type": "integer", "minimum": 1},
                "what": _TEXT,
                "effort": {"enum": _EFFORTS},
                "status": {
                    "type": "object",
                    "required": list(TARGETS),
                    "additionalProperties": {"enum": _STATUSES},
                },
                "why": _TEXT,
                "advice": _TEXT,
            },
        }
    },
}


def to_json(project: Project) -> dict[str, Any]:
    """The report as `SCHEMA` describes it; files without findings and notes are only counted."""
    told = [file for file in project.files if file.findings or file.note]
    proof = {} if project.proof is None else {"proof": project.proof.to_data()}
    return {
        "version": SCHEMA_VERSION,
        "canopy": __version__,
        "root": str(project.root),
        **proof,
        "totals": {
            "files": len(project.files),
            "lines": project.lines,
            "uses": project.total,
            "effort": {effort.value: project.count(effort) for effort in Effort},
        },
        "files": [_file(file) for file in told],
    }


def _file(file: FileReport) -> dict[str, Any]:
    return {
        "path": file.path,
        "kind": file.kind,
        "lines": file.lines,
        "runs_now": round(file.runs_now, 4),
        "ready": round(file.ready, 4),
        "note": file.note,
        "findings": [_finding(finding) for finding in file.findings],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "line": finding.line,
        "column": finding.column,
        "what": finding.what,
        "effort": finding.effort.value,
        "status": {target: status.value for target, status in finding.status.items()},
        "why": finding.why,
        "advice": finding.advice,
    }


def to_sarif(project: Project) -> dict[str, Any]:
    """The findings that need somebody or something, as one SARIF run."""
    rules = all_rules()
    place_of = {rule.id: place for place, rule in enumerate(rules)}
    driver = {
        "name": "canopy migrate",
        "version": __version__,
        "rules": [
            {
                "id": rule.id,
                "shortDescription": {"text": rule.id},
                "help": {"text": rule.advice},
                "defaultConfiguration": {"level": _LEVELS[rule.effort]},
                "properties": {"effort": rule.effort.value, "document": DOCUMENT},
            }
            for rule in rules
        ],
    }
    results = [
        _result(file, finding, place_of[finding.rule])
        for file in project.files
        for finding in file.findings
        if finding.effort is not Effort.NONE
    ]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
        ],
    }


def _result(file: FileReport, finding: Finding, place: int) -> dict[str, Any]:
    text = f"{finding.what}: {finding.advice}" + (f" ({finding.why})" if finding.why else "")
    return {
        "ruleId": finding.rule,
        "ruleIndex": place,
        "level": _LEVELS[finding.effort],
        "message": {"text": text},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(os.fsencode(file.path))},
                    "region": {"startLine": finding.line, "startColumn": finding.column},
                }
            }
        ],
    }
