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


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _number(description: str, minimum: int = 0) -> dict[str, Any]:
    return {"type": "integer", "minimum": minimum, "description": description}


def _share(description: str) -> dict[str, Any]:
    return {"type": "number", "minimum": 0, "maximum": 1, "description": description}


SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "canopy migrate --json",
    "type": "object",
    "required": ["version", "canopy", "root", "totals", "files"],
    "additionalProperties": False,
    "properties": {
        "version": {"const": SCHEMA_VERSION, "description": "of this format"},
        "canopy": _text("the version of Canopy"),
        "root": _text("the path as it was given"),
        "proof": {**PROOF_SCHEMA, "description": "with --prove: both runs, and how they compare"},
        "totals": {
            "type": "object",
            "description": "of the whole project",
            "required": ["files", "lines", "uses", "effort"],
            "properties": {
                "files": _number("files that were looked at"),
                "lines": _number("their lines"),
                "uses": _number("findings of all efforts"),
                "effort": {
                    "type": "object",
                    "propertyNames": {"enum": _EFFORTS},
                    "description": "how many findings are of each effort",
                },
            },
        },
        "files": {
            "type": "array",
            "description": "files with findings or a note; all others are only counted",
            "items": {"$ref": "#/$defs/file"},
        },
    },
    "$defs": {
        "file": {
            "type": "object",
            "required": ["path", "kind", "lines", "runs_now", "ready", "note", "findings"],
            "additionalProperties": False,
            "properties": {
                "path": _text("relative to the root, with slashes"),
                "kind": _text("python, notebook, cuda, cpp, shell, docker, build, config, ..."),
                "lines": _number("lines; of a notebook those of its code cells"),
                "runs_now": _share("the share of findings that run untouched on the cpu target"),
                "ready": _share("the share that stays or is rewritten by machine"),
                "note": _text("why the file was not read whole; empty if it was"),
                "findings": {
                    "type": "array",
                    "description": "by line and column",
                    "items": {"$ref": "#/$defs/finding"},
                },
            },
        },
        "finding": {
            "type": "object",
            "required": ["rule", "line", "column", "what", "effort", "status", "why", "advice"],
            "additionalProperties": False,
            "properties": {
                "rule": _text("the rule's id, see the page of rules"),
                "line": _number("from 1", minimum=1),
                "column": _number("from 1, in characters", minimum=1),
                "what": _text("what was found there, by its full name"),
                "effort": {"enum": _EFFORTS, "description": "what it takes at this place"},
                "status": {
                    "type": "object",
                    "required": list(TARGETS),
                    "additionalProperties": {"enum": _STATUSES},
                    "description": "what becomes of the untouched line on each target",
                },
                "why": _text("why it matters; may be empty"),
                "advice": _text("the fix, or the alternative"),
            },
        },
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
