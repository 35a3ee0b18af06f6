"""The rules: what each API is, what becomes of it on each target, and what to do instead.

They are data, one TOML table each, in the files beside this one::

    [[rule]]
    id = "torch.cuda.synchronize"
    reader = "name"                       # who looks for it: see READERS
    match = ["torch.cuda.synchronize"]    # dotted names (with what lies below), or patterns
    effort = "automatic"
    ascend = "unsupported"                # of the untouched line; cpu comes from the code
    advice = "..."
    rewrite = "guarded"                   # see `rewrites`
    to = "torch.accelerator.synchronize"
    positive = "torch.cuda.synchronize()" # the tests run both
    negative = "torch.cpu.synchronize()"
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from canopy.migrate.findings import Effort, Status

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "READERS",
    "REWRITES",
    "Rule",
    "all_rules",
    "find_by_name",
    "parse_rules",
    "rule_named",
    "rules_of",
]

READERS = {
    "name": "dotted names of Python, imports and aliases resolved",
    "method": "methods and attributes of objects whose class is not known",
    "string": "whole string literals of Python",
    "keyword": "keyword arguments of calls in Python",
    "text": "lines of shell scripts, Dockerfiles, requirements and build files",
    "cuda": "identifiers of CUDA C++",
    "include": "headers of CUDA C++",
    "code": "pieces of CUDA C++ in code for devices, directives and launches",
    "compiled": "what compiling the kernels tells",
}
REWRITES = frozenset(
    {
        *("", "rename", "guarded", "value", "device", "to", "amp", "backend", "import"),
        *("optional-import", "pin", "pin-method", "device-index", "attention"),
    }
)
_REQUIRED = frozenset({"id", "reader", "match", "effort", "advice", "positive", "negative"})
_OPTIONAL = frozenset(
    {"why", "cpu", "ascend", "nvidia", "rewrite", "to", "otherwise", "kinds", "imports_only"}
)


@dataclass(frozen=True)
class Rule:
    """One entry. ``cpu`` is None where the answer is taken from the code (`statuses`)."""

    id: str
    reader: str
    match: tuple[str, ...]
    effort: Effort
    advice: str
    positive: str
    negative: str
    why: str = ""
    cpu: Status | None = None
    ascend: Status = Status.UNSUPPORTED
    nvidia: Status = Status.RUNS
    rewrite: str = ""
    to: str = ""
    otherwise: str = ""
    kinds: tuple[str, ...] = ()
    imports_only: bool = False  # its uses are no findings of their own

    @property
    def pattern(self) -> re.Pattern[str]:
        return _compiled(self.match)


@cache
def _compiled(match: tuple[str, ...]) -> re.Pattern[str]:
    """One pattern of several; a leading ``(?i)`` is for its own part alone."""
    parts = (f"(?i:{p[4:]})" if p.startswith("(?i)") else f"(?:{p})" for p in match)
    return re.compile("|".join(parts))


def parse_rules(text: str) -> list[Rule]:
    """The rules of one TOML text; ValueError names the rule and the field that is wrong."""
    return [_rule(entry) for entry in tomllib.loads(text).get("rule", [])]


def _rule(entry: Mapping[str, Any]) -> Rule:
    name = str(entry.get("id", "?"))
    if missing := _REQUIRED - set(entry):
        raise ValueError(f"rule {name}: no {', '.join(sorted(missing))}")
    if unknown := set(entry) - _REQUIRED - _OPTIONAL:
        raise ValueError(f"rule {name}: unknown {', '.join(sorted(unknown))}")
    if entry["reader"] not in READERS:
        raise ValueError(f"rule {name}: there is no reader {entry['reader']!r}")
    if entry.get("rewrite", "") not in REWRITES:
        raise ValueError(f"rule {name}: there is no rewrite {entry['rewrite']!r}")
    if (entry["effort"] == "automatic") != bool(entry.get("rewrite")):
        raise ValueError(f"rule {name}: automatic and a rewrite go together")
    values: dict[str, Any] = dict(entry)
    values["match"] = tuple(entry["match"])
    values["kinds"] = tuple(entry.get("kinds", ()))
    values["effort"] = Effort(entry["effort"])
    for target in ("cpu", "ascend", "nvidia"):
        if target in entry:
            values[target] = Status(entry[target])
    rule = Rule(**values)
    try:
        rule.pattern  # noqa: B018  a pattern that does not compile is the rule's mistake
    except re.error as error:
        raise ValueError(f"rule {name}: {error}") from error
    return rule


@cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule, in the order of the files' names."""
    folder = resources.files(__package__ or __name__)
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    return tuple(rule for f in files for rule in parse_rules(f.read_text(encoding="utf-8")))


@cache
def rules_of(reader: str) -> tuple[Rule, ...]:
    return tuple(rule for rule in all_rules() if rule.reader == reader)


@cache
def rule_named(name: str) -> Rule:
    """The rule of that id."""
    return next(rule for rule in all_rules() if rule.id == name)


@cache
def _by_name() -> dict[str, Rule]:
    return {name: rule for rule in rules_of("name") for name in rule.match}


def find_by_name(dotted: str) -> Rule | None:
    """The rule of a dotted name, or of the nearest name above it."""
    table = _by_name()
    while dotted:
        if dotted in table:
            return table[dotted]
        dotted = dotted.rpartition(".")[0]
    return None
