"""What our own targets do with an API, taken from the code that does it, so that it is told once.

Python: the table behind `canopy check` (frontends/redirect/check.py). The CUDA runtime: the
functions that its header declares. Device code: the rules that the front-end registers, and what
its headers declare.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

from canopy.frontends.cuda.declared import declared_names
from canopy.frontends.cuda.extension import TORCH_HEADERS
from canopy.frontends.cuda.host_functions import without_comments
from canopy.frontends.cuda.toolchain import HEADERS, RUNTIME_HEADERS
from canopy.frontends.redirect import check
from canopy.frontends.redirect.check import known_fact
from canopy.migrate.findings import Status
from canopy.migrate.rules import Rule

__all__ = [
    "asked_status",
    "cpu_status",
    "declared_names",
    "facts_digest",
    "has_header",
    "has_own_header",
    "python_fact",
    "torch_names",
]


_NAME = re.compile(r"[A-Za-z_]\w*")


def python_fact(dotted: str) -> str:
    """What `canopy check` says of a name; empty where it has nothing to say."""
    known = known_fact(dotted)
    return f"{known[0]}; {known[1]}" if known else ""


def cpu_status(rule: Rule, dotted: str = "") -> Status:
    """The cpu target's answer: the rule's own where it gives one, else the code's."""
    if rule.cpu is not None:
        return rule.cpu
    known = known_fact(dotted) if dotted else None
    if known is None:  # a package that needs CUDA runs nowhere else unless its rule says so
        return Status.UNSUPPORTED if rule.id.startswith("package.") else Status.RUNS
    return Status.UNSUPPORTED if known[2] else Status.CAVEAT


@cache
def torch_names() -> frozenset[str]:
    """Every word of our headers for torch's C++ interface, comments apart."""
    found: set[str] = set()
    for path in TORCH_HEADERS.rglob("*"):
        if path.is_file():
            text = without_comments(path.read_text(encoding="utf-8", errors="replace"))
            found.update(_NAME.findall(text))
    return frozenset(found)


def asked_status(rule: Rule, word: str) -> Status:
    """The cpu target's answer for a word or a header of C++, from what our headers have."""
    if rule.cpu is not None:
        return rule.cpu
    if rule.id == "cuda.torch":
        return Status.CAVEAT if word in torch_names() else Status.UNSUPPORTED
    if rule.id == "include.torch-cuda":
        return Status.CAVEAT if (TORCH_HEADERS / word).is_file() else Status.UNSUPPORTED
    is_there = has_header(word) if rule.reader == "include" else word in declared_names()
    return Status.RUNS if is_there else Status.UNSUPPORTED


@cache
def has_header(name: str) -> bool:
    """Whether `#include <name>` finds a header of Canopy."""
    places = (HEADERS, RUNTIME_HEADERS, HEADERS / "samples")
    return ".." not in name and any((folder / name).is_file() for folder in places)


@cache
def has_own_header(name: str) -> bool:
    """Whether a header of CUDA or torch is Canopy's own, so that a project's copy is not read."""
    places = (HEADERS, RUNTIME_HEADERS, TORCH_HEADERS)
    return ".." not in name and any((folder / name).is_file() for folder in places)


def facts_digest() -> str:
    """Changes whenever an answer of this module may."""
    digest = hashlib.sha256(Path(check.__file__).read_bytes())
    digest.update("\n".join(sorted(declared_names())).encode())
    for folder in (HEADERS, RUNTIME_HEADERS):
        names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
        digest.update("\n".join(names).encode())
    return digest.hexdigest()
