"""Dependency rules for make, from preprocessed text: `app.o: app.cu app.h`."""

from __future__ import annotations

import os
import re
from pathlib import Path

from canopy.frontends.cuda.toolchain import HEADERS, RUNTIME_HEADERS, find_zig

__all__ = ["dependency_rule"]

# `# 12 "file.h" 1 3`: 1 enters a file, 3 marks system headers.
_MARKER = re.compile(r'^# \d+ "((?:[^"\\]|\\.)*)"((?: \d)*)$', re.MULTILINE)


def dependency_rule(
    preprocessed: str, source: str, target: str, *, system: bool, phony: bool
) -> str:
    """The rule for ``target``. Headers of the toolchain itself are left out."""
    files = {source: None}
    for name, flags in _MARKER.findall(preprocessed):
        path = name.replace('\\"', '"').replace("\\\\", "\\")
        if name.startswith("<") or _is_ours(path) or os.path.samefile(path, source):
            continue
        if system or "3" not in flags.split():
            files[path] = None
    rule = " \\\n ".join([f"{_escaped(target)}:", *map(_escaped, files)]) + "\n"
    if phony:
        rule += "".join(f"\n{_escaped(name)}:\n" for name in list(files)[1:])
    return rule


def _is_ours(name: str) -> bool:
    parents = Path(name).parents
    return any(folder in parents for folder in (HEADERS, RUNTIME_HEADERS, find_zig().parent))


def _escaped(name: str) -> str:
    return name.replace("$", "$$").replace(" ", "\\ ").replace("#", "\\#")
