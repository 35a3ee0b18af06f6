"""Common subexpressions: of pure ops with equal fields, the first one in scope serves for all.

%1 = add %a, %b : i32                 %1 = add %a, %b : i32
%2 = add %a, %b : i32           ->    %3 = mul %1, %1 : i32
%3 = mul %1, %2 : i32
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from canopy.ir.core import Kernel, Op, Region, Value
from canopy.passes.rewriter import Rewriter, is_pure

__all__ = ["share_common_subexpressions"]


def share_common_subexpressions(kernel: Kernel) -> Kernel:
    """``kernel`` with each pure op once per scope."""
    return _Sharer().kernel(kernel)


class _Sharer(Rewriter):
    def __init__(self) -> None:
        super().__init__()
        self._known: list[dict[Any, Op]] = []  # one per region that is being built

    def build(self, args: tuple[Value, ...], fill: Callable[[], None]) -> Region:
        self._known.append({})
        made = super().build(args, fill)
        self._known.pop()
        return made

    def op(self, op: Op) -> Sequence[Value]:
        if not is_pure(op) or op.regions:
            return super().op(op)
        made = self.translated(op)
        key = _key(made)
        for known in self._known:
            if key in known:
                return known[key].results
        self._known[-1][key] = made
        return self.emit(made).results


def _key(op: Op) -> Any:
    """Equal for ops that compute the same; numbers by repr, which tells 1 from True and 0.0 from
    -0.0."""
    fields = tuple(
        content if isinstance(content, Value | tuple) else repr(content)
        for _, content in op.payload()
    )
    return type(op), fields, tuple(value.type for value in op.results)
