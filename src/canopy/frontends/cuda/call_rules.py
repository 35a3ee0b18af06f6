"""The table of rules for calls in device code, and what several of its subjects share.

A rule is found by the callee's name: by the longest registered prefix of it.
"""

from __future__ import annotations

from collections.abc import Callable

from canopy import ir
from canopy.frontends.cuda.llvm_values import Instruction
from canopy.frontends.cuda.translator import Mask, Translator
from canopy.ir.types import BOOL, element_type

__all__ = [
    "WARP",
    "Rule",
    "arguments",
    "calls",
    "find_rule",
    "in_play",
    "is_true",
    "reduced",
]

WARP = 32
Rule = Callable[[Translator, Instruction, Mask], "ir.Value | None"]
_RULES: dict[str, Rule] = {}


def calls(*prefixes: str) -> Callable[[Rule], Rule]:
    """Registers a rule for the callees that begin with one of ``prefixes``."""

    def register(function: Rule) -> Rule:
        for prefix in prefixes:
            assert prefix not in _RULES, prefix
            _RULES[prefix] = function
        return function

    return register


def find_rule(callee: str) -> Rule | None:
    """The rule registered for the longest prefix of ``callee``."""
    for end in range(len(callee), 0, -1):
        if callee[:end] in _RULES:
            return _RULES[callee[:end]]
    return None


def arguments(t: Translator, i: Instruction) -> list[ir.Value]:
    """The operands, all tiles if the result is one."""
    divergent = i in t.uniformity.divergent_values
    return [t.operand(o, i, tile=divergent) for o in i.operands]


def is_true(t: Translator, i: Instruction, position: int) -> ir.Value:
    """An operand as a condition: whether it is not zero."""
    condition = t.operand(i.operands[position], i, tile=True)
    if element_type(condition.type) is BOOL:
        return condition
    return t.add(ir.Compare, predicate="ne", lhs=condition, rhs=t.constant(0, condition.type))


def in_play(t: Translator, value: ir.Value, mask: Mask, neutral: int | bool) -> ir.Value:
    """``value`` of the active threads, and ``neutral`` of the others."""
    if mask is None:
        return value
    other = t.constant(neutral, value.type)
    return t.add(ir.Select, condition=mask, if_true=value, if_false=other)


def reduced(t: Translator, source: ir.Value, kind: type[ir.Binary], axis: int) -> ir.Value:
    """All of ``source`` along ``axis``, combined by ``kind``."""
    element = element_type(source.type)
    lhs, rhs = ir.Value(element), ir.Value(element)
    op = kind(lhs=lhs, rhs=rhs, location=t.builder.location)
    end = ir.Yield(values=op.results, location=t.builder.location)
    combine = ir.Region((lhs, rhs), [op, end])
    return t.add(ir.Reduce, sources=(source,), axis=axis, combine=combine)
