"""The table of reader rules: TTIR operation name -> function that makes tile IR.

A rule takes the reader and the printed operation, adds ops through ``reader.build``, and gives the
values of the operation's results: one value, a tuple, or None where there are none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from canopy.ir import Value

if TYPE_CHECKING:
    from canopy.frontends.triton.reader import Reader
    from canopy.frontends.triton.text import Operation

__all__ = ["RULES", "Rule", "reads"]

Rule: TypeAlias = "Callable[[Reader, Operation], Value | tuple[Value, ...] | None]"

RULES: dict[str, Rule] = {}


def reads(*names: str) -> Callable[[Rule], Rule]:
    """Declares the rule for the operations ``names``; a second rule for a name is an error."""

    def declare(rule: Rule) -> Rule:
        for name in names:
            if name in RULES:
                raise ValueError(f"two reader rules for {name}")
            RULES[name] = rule
        return rule

    return declare
