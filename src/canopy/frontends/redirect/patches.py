"""A set of patches that can be undone: every change to a foreign module goes through here.

    patches = PatchSet()
    patches.set(torch.cuda, "is_available", lambda: True)
    with patches.suspended(): ...   # the real one
    patches.undo()                  # the attribute is what it was, or gone if it was not there

torch loads parts of itself on first use (its compiler when an optimizer is made). Such a part must
not keep patched names, so ``PristineImports`` suspends the patches while it is imported.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

__all__ = ["PatchSet", "PristineImports"]

_MISSING = object()


class PatchSet:
    """Changes in the order they were made; ``undo`` reverts them in the opposite order."""

    def __init__(self) -> None:
        self._changes: list[tuple[Callable[[], None], Callable[[], None]]] = []
        self._at_undo: list[Callable[[], None]] = []
        self._awaited: dict[str, Callable[[PatchSet, Any], None]] = {}
        self._is_suspended = False

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Sets an attribute of a module or class; only what ``owner`` itself holds is restored."""
        before = vars(owner).get(name, _MISSING)
        if isinstance(before, types.FunctionType) and isinstance(value, types.FunctionType):
            value = _dressed(value, before)

        def revert() -> None:
            if before is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, before)

        self.add(lambda: setattr(owner, name, value), revert)

    def set_many(self, owners: list[Any], values: dict[str, Any]) -> None:
        """Sets each value on the first owner, and on each further owner that has the name."""
        for position, owner in enumerate(owners):
            for name, value in values.items():
                if position == 0 or hasattr(owner, name):
                    self.set(owner, name, value)

    def set_item(self, mapping: Any, key: Any, value: Any) -> None:
        """Sets an entry of a mapping (``os.environ``)."""
        before = mapping.get(key, _MISSING)

        def revert() -> None:
            if before is _MISSING:
                mapping.pop(key, None)
            else:
                mapping[key] = before

        self.add(lambda: mapping.__setitem__(key, value), revert)

    def add(self, apply: Callable[[], None], revert: Callable[[], None]) -> None:
        """Makes any change that knows how to be made and unmade."""
        apply()
        self._changes.append((apply, revert))

    def when_imported(self, name: str, patch: Callable[[PatchSet, Any], None]) -> None:
        """Has ``patch(patches, module)`` called for a module, now or when it is imported."""
        if name in sys.modules:
            patch(self, sys.modules[name])
        else:
            self._awaited[name] = patch

    def note_import(self, module: Any) -> None:
        """Patches a module that has just been imported, if somebody waits for it."""
        patch = self._awaited.pop(module.__name__, None)
        if patch is not None:
            patch(self, module)

    def on_undo(self, action: Callable[[], None]) -> None:
        """Runs ``action`` when the patches are undone for good."""
        self._at_undo.append(action)

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """The real thing for a while; nested uses change nothing."""
        if self._is_suspended:
            yield
            return
        self._is_suspended = True
        for _, revert in reversed(self._changes):
            revert()
        try:
            yield
        finally:
            for apply, _ in self._changes:
                apply()
            self._is_suspended = False

    def undo(self) -> None:
        """Reverts everything, last change first."""
        while self._at_undo:
            self._at_undo.pop()()
        while self._changes:
            self._changes.pop()[1]()


def _dressed(value: types.FunctionType, before: types.FunctionType) -> Any:
    """``value`` under the name and the documentation of what it replaces."""

    @functools.wraps(before)
    def replacement(*args: Any, **kwargs: Any) -> Any:
        return value(*args, **kwargs)

    return replacement


class PristineImports(importlib.abc.MetaPathFinder):
    """Imports the modules of torch with the patches suspended."""

    def __init__(self, patches: PatchSet) -> None:
        self._patches = patches

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not fullname.startswith("torch.") or self._patches._is_suspended:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or not isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            return None
        spec.loader = _PristineLoader(spec.loader, self._patches)
        return spec

    def install(self) -> None:
        """Asks before all other finders, until the patches are undone."""
        sys.meta_path.insert(0, self)
        self._patches.on_undo(lambda: sys.meta_path.remove(self))


class _PristineLoader(importlib.machinery.SourceFileLoader):
    def __init__(self, real: importlib.machinery.SourceFileLoader, patches: PatchSet) -> None:
        super().__init__(real.name, real.path)
        self._patches = patches

    def exec_module(self, module: types.ModuleType) -> None:
        with self._patches.suspended():
            super().exec_module(module)
        self._patches.note_import(module)
