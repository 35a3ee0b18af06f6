"""What a name of a Python file stands for: imports, aliases, re-exports, getattr with constants.

``c.synchronize`` after ``from torch import cuda as c`` is ``torch.cuda.synchronize``.
"""

from __future__ import annotations

from collections.abc import Mapping

import libcst as cst
from libcst.metadata import Assignment, BaseAssignment, ImportAssignment, Scope

__all__ = ["Names", "literal_of"]

_DEEPEST = 20  # aliases of aliases
_IMPORTERS = frozenset({"importlib.import_module", "__import__"})


def literal_of(node: cst.BaseExpression) -> str | None:
    """The value of a plain string literal; None for anything else."""
    if not isinstance(node, cst.SimpleString | cst.ConcatenatedString):
        return None
    try:
        value = node.evaluated_value
    except (ValueError, SyntaxError):
        return None
    return value if isinstance(value, str) else None


class Names:
    """Resolves expressions of one module. ``reexports`` tells, for names of the project's other
    modules (``package.module.name``), what they stand for."""

    def __init__(
        self,
        scopes: Mapping[cst.CSTNode, Scope | None],
        values: Mapping[cst.CSTNode, cst.BaseExpression],
        package: str = "",
        reexports: Mapping[str, str] | None = None,
        parents: Mapping[cst.CSTNode, cst.Call] | None = None,
    ) -> None:
        self._scopes = scopes
        self._parents = parents or {}  # what is called -> its call
        self._values = values  # the name that is assigned to -> the expression it gets
        self._package = package
        self._reexports = reexports or {}
        self._known: dict[tuple[Scope, str], str | None] = {}

    def dotted(self, node: cst.BaseExpression, depth: int = 0) -> str | None:
        """The full dotted name of an expression; None where it has none that reading can tell."""
        if depth > _DEEPEST:
            return None
        if isinstance(node, cst.Attribute):
            base = self.dotted(node.value, depth + 1)
            return self._followed(f"{base}.{node.attr.value}") if base else None
        if isinstance(node, cst.Name):
            return self._name(node, depth)
        if isinstance(node, cst.Call):
            return self._call(node, depth)
        return None

    def is_alias(self, node: cst.Name) -> bool:
        """Whether the name was assigned, and not imported: its value was looked at there."""
        scope = self._scopes.get(node)
        assignments = list(scope[node.value]) if scope is not None else []
        return not any(isinstance(one, ImportAssignment) for one in assignments)

    def import_of(self, node: cst.Name) -> cst.ImportFrom | None:
        """The ``from ... import`` that alone binds a name."""
        scope = self._scopes.get(node)
        found = list(scope[node.value]) if scope is not None else []
        if len(found) != 1 or not isinstance(found[0], ImportAssignment):
            return None
        statement = found[0].node
        return statement if isinstance(statement, cst.ImportFrom) else None

    def calls_of(self, statement: cst.ImportFrom) -> list[tuple[str, cst.Call | None]]:
        """For every use of what an import binds, its dotted name and the call that it is; None for
        uses that are no calls, and for names that something else binds, too."""
        scope = self._scopes.get(statement)
        if scope is None or isinstance(statement.names, cst.ImportStar):
            return []
        found: list[tuple[str, cst.Call | None]] = []
        for alias in statement.names:
            name = alias.evaluated_alias or alias.evaluated_name
            dotted = f"{self.module_of(statement)}.{alias.evaluated_name}"
            assignments = list(scope[name])
            if len(assignments) != 1:
                return [(dotted, None)]
            accesses = {access.node for access in assignments[0].references}
            found += [(dotted, self._parents.get(node)) for node in accesses]
        return found

    def _call(self, node: cst.Call, depth: int) -> str | None:
        """``getattr(torch, "cuda")`` and ``importlib.import_module("torch.cuda")``."""
        words = [argument.value for argument in node.args]
        if isinstance(node.func, cst.Name) and node.func.value == "getattr" and len(words) > 1:
            base, attribute = self.dotted(words[0], depth + 1), literal_of(words[1])
            return f"{base}.{attribute}" if base and attribute else None
        if words and isinstance(node.func, cst.Attribute | cst.Name):
            called = self.dotted(node.func, depth + 1)
            if called in _IMPORTERS:
                return literal_of(words[0])
        return None

    def global_name(self, name: str) -> str | None:
        """What a name of the module's top level stands for."""
        scope = next((s.globals for s in self._scopes.values() if s is not None), None)
        return self._name(cst.Name(name), 0, scope) if scope is not None else None

    def _name(self, node: cst.Name, depth: int, scope: Scope | None = None) -> str | None:
        scope = scope or self._scopes.get(node)
        if scope is None:
            return None
        key = (scope, node.value)
        if key not in self._known:
            self._known[key] = None  # what an alias of itself stands for
            self._known[key] = self._looked_up(node.value, scope, depth)
        return self._known[key]

    def _looked_up(self, name: str, scope: Scope, depth: int) -> str | None:
        assignments = list(scope[name])
        if any(type(one).__name__ == "BuiltinAssignment" for one in assignments):
            return name
        if not assignments and name == "torch":
            return name  # by a star import
        # Where several assignments meet, the first that leads to an import speaks: a fall-back
        # in an `except ImportError` does not make a use of CUDA go away.
        for assignment in sorted(
            assignments, key=lambda one: not isinstance(one, ImportAssignment)
        ):
            if found := self._assigned(name, assignment, depth):
                return self._followed(found)
        return None

    def _assigned(self, name: str, assignment: BaseAssignment, depth: int) -> str | None:
        if isinstance(assignment, ImportAssignment):
            return self._imported(name, assignment.node)
        if isinstance(assignment, Assignment):
            value = self._values.get(assignment.node)
            return self.dotted(value, depth + 1) if value is not None else None
        return None

    def _imported(self, name: str, node: cst.CSTNode) -> str | None:
        if isinstance(node, cst.Import):
            for alias in node.names:
                if alias.evaluated_alias == name:
                    return alias.evaluated_name
                if alias.asname is None and alias.evaluated_name.partition(".")[0] == name:
                    return name
            return None
        if not isinstance(node, cst.ImportFrom) or isinstance(node.names, cst.ImportStar):
            return None
        module = self.module_of(node)
        for alias in node.names:
            if (alias.evaluated_alias or alias.evaluated_name) == name:
                return f"{module}.{alias.evaluated_name}"
        return None

    def module_of(self, node: cst.ImportFrom) -> str:
        """The absolute name of the module that a ``from ... import`` reads."""
        name = _plain(node.module) if node.module is not None else ""
        dots = len(node.relative)
        if not dots:
            return name
        parts = self._package.split(".") if self._package else []
        base = parts[: len(parts) - (dots - 1)] if dots > 1 else parts
        return ".".join([*base, *([name] if name else [])])

    def _followed(self, name: str) -> str:
        """Through the project's own re-exports."""
        seen: set[str] = set()
        while name in self._reexports and name not in seen:
            seen.add(name)
            name = self._reexports[name]
        return name


def _plain(node: cst.BaseExpression) -> str:
    if isinstance(node, cst.Attribute):
        return f"{_plain(node.value)}.{node.attr.value}"
    return node.value if isinstance(node, cst.Name) else ""
