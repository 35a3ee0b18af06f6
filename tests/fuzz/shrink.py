"""Makes a failing program small: drops and replaces ops as long as it still fails.

    small = shrink(kernel, still_fails)

Every candidate is a valid program; ``still_fails`` says whether it shows the failure (and must say
no to a program that the interpreter refuses).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from canopy import ir
from canopy.errors import CanopyError
from canopy.ir import Kernel, Op, Region, Value
from canopy.ir.types import element_type, is_float, is_pointer
from canopy.ir.verifier import verify
from canopy.passes.rewriter import Rewriter

__all__ = ["shrink"]

Edit = Callable[["_Editor", Op], Sequence[Value]]
Test = Callable[[Kernel], bool]


def shrink(kernel: Kernel, still_fails: Test, attempts: int = 3000) -> Kernel:
    """The smallest program found that ``still_fails``."""
    smallest, left = _swept(kernel), attempts
    if not still_fails(smallest):
        smallest = kernel
    changed = True
    while changed and left > 0:
        changed = False
        for edits in _candidates(smallest):
            left -= 1
            if left <= 0:
                break
            made = _edited(smallest, edits)
            if made is not None and still_fails(made):
                smallest, changed = made, True
                break
    return smallest


def _candidates(kernel: Kernel) -> Iterator[dict[Op, Edit]]:
    """Edits to try, the large ones first."""
    ops = list(ir.walk(kernel.body.ops))
    effects = [op for op in ops if op.has_side_effects and not op.results]
    effects += [op for op in ops if isinstance(op, ir.For | ir.While | ir.If) and not op.results]
    size = len(effects)
    while size:
        for first in range(0, len(effects), size):
            yield dict.fromkeys(effects[first : first + size], _drop)
        size //= 2
    for op in reversed(ops):
        if isinstance(op, ir.For | ir.While):
            yield {op: _initial}
        if isinstance(op, ir.If):
            yield {op: _then}
            yield {op: _otherwise}
    for op in reversed(ops):
        if op.is_terminator or not op.results or isinstance(op, ir.ProgramId | ir.NumPrograms):
            continue
        yield from _replacements(op)
    for op in reversed(ops):
        if isinstance(op, ir.Load | ir.Store | ir.AtomicRmw | ir.AtomicCas) and op.mask:
            yield {op: _unmasked}


def _replacements(op: Op) -> Iterator[dict[Op, Edit]]:
    """An operand of the same type, or a constant, for an op with one result."""
    if len(op.results) != 1 or (op.regions and not isinstance(op, ir.Reduce | ir.Scan)):
        return
    for position, operand in enumerate(op.operands):
        if operand.type == op.result.type:
            yield {op: _forward(position)}
    if isinstance(op, ir.Constant):
        simple = _simple_constant(op.type)
        if op.value != simple and not is_pointer(op.type):
            yield {op: _constant}
        return
    if not is_pointer(op.result.type):
        yield {op: _constant}


# ---- edits -------------------------------------------------------------------------------------


def _drop(editor: _Editor, op: Op) -> Sequence[Value]:
    return ()


def _forward(position: int) -> Edit:
    return lambda editor, op: (editor.values[op.operands[position]],)


def _simple_constant(type_: Any) -> float:
    return 1.0 if is_float(type_) else 1


def _constant(editor: _Editor, op: Op) -> Sequence[Value]:
    type_ = op.result.type
    value = bool(1) if str(element_type(type_)) == "i1" else _simple_constant(type_)
    return (editor.make(ir.Constant, value=value, type=type_, location=op.location),)


def _initial(editor: _Editor, op: Op) -> Sequence[Value]:
    assert isinstance(op, ir.For | ir.While)
    return tuple(editor.values[value] for value in op.initial)


def _then(editor: _Editor, op: Op) -> Sequence[Value]:
    assert isinstance(op, ir.If)
    return editor.inlined(op.then_region)


def _otherwise(editor: _Editor, op: Op) -> Sequence[Value]:
    assert isinstance(op, ir.If)
    return editor.inlined(op.else_region)


def _unmasked(editor: _Editor, op: Op) -> Sequence[Value]:
    changes: dict[str, Any] = {"mask": None}
    if isinstance(op, ir.Load):
        changes["other"] = None
    fresh = tuple(Value(value.type) for value in op.results)
    return editor.copy(dataclasses.replace(op, **changes, results=fresh)).results


class _Editor(Rewriter):
    def __init__(self, edits: dict[Op, Edit]) -> None:
        super().__init__()
        self._edits = edits

    def op(self, op: Op) -> Sequence[Value]:
        edit = self._edits.get(op)
        return super().op(op) if edit is None else edit(self, op)

    def inlined(self, region: Region) -> Sequence[Value]:
        for op in region.ops:
            if op.is_terminator:
                return tuple(self.values[value] for value in op.operands)
            self.values.update(zip(op.results, self.op(op), strict=True))
        return ()

    def ops(self, region: Region) -> None:
        for op in region.ops:
            made = self.op(op)
            self.values.update(zip(op.results, made, strict=False))


def _edited(kernel: Kernel, edits: dict[Op, Edit]) -> Kernel | None:
    """The edited program without what nobody uses; None if it is no valid one."""
    try:
        made = _swept(_Editor(edits).kernel(kernel))
        verify(made)
    except (CanopyError, KeyError, ValueError):
        return None
    return made


def _swept(kernel: Kernel) -> Kernel:
    """Without ops whose results nobody uses, until there are none."""
    while True:
        ops = list(ir.walk(kernel.body.ops))
        used = {value for op in ops for value in op.operands}
        unused = [op for op in ops if _is_unused(op, used)]
        if not unused:
            return kernel
        kernel = _Editor(dict.fromkeys(unused, _drop)).kernel(kernel)


def _is_unused(op: Op, used: set[Value]) -> bool:
    if op.has_side_effects or op.is_terminator or any(value in used for value in op.results):
        return False
    return not any(inner.has_side_effects for r in op.regions for inner in ir.walk(r.ops))
