"""Ways to break what lowers CUDA C++, for as long as a ``with`` lasts.

A `Break` changes the LLVM IR that clang made of a program's device half, as if clang's construct
meant another, or replaces a rule or function of the front-end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

from canopy import ir
from canopy.frontends.cuda import call_rules, instructions
from canopy.frontends.cuda.llvm_types import size_of
from canopy.frontends.cuda.llvm_values import (
    Argument,
    ConstantExpression,
    Global,
    Instruction,
    LlvmValue,
)
from canopy.frontends.cuda.translator import Mask, Translator
from canopy.ir.types import ScalarType, element_type

Rule = Callable[[Translator, Instruction, Mask], "ir.Value | None"]


@dataclass(frozen=True)
class Break:
    """``edit`` is applied to the device half's IR; ``patches`` replace attributes (or items, where
    the object is a dict)."""

    edit: Callable[[str], str] | None = None
    patches: tuple[tuple[Any, str, Any], ...] = ()

    @contextmanager
    def applied(self) -> Iterator[None]:
        with ExitStack() as stack:
            for place, name, broken in self.patches:
                if isinstance(place, dict):
                    stack.enter_context(mock.patch.dict(place, {name: broken}))
                else:
                    stack.enter_context(mock.patch.object(place, name, broken))
            yield


# ---- in the IR of the device half


def swap(pattern: str, replacement: str) -> Break:
    """Instructions that match are others; what they call is declared like what they called."""

    def edit(text: str) -> str:
        lines = []
        declared = set(re.findall(r'^declare .*?@"?([\w.$]+)"?\(', text, re.MULTILINE))
        for line in text.splitlines():
            changed = re.sub(pattern, replacement, line)
            if line.startswith("declare ") and changed != line:
                lines.append(line)
                name = re.search(r'@"?([\w.$]+)"?\(', changed)
                if not name or name[1] in declared:
                    continue
            if line.startswith(("define ", "@", "!")):
                changed = line
            lines.append(changed)
        return "\n".join(lines)

    return Break(edit)


def other_name(old: str, new: str) -> Break:
    """Calls of one function call another of the same type."""
    return swap(rf"@{re.escape(old)}\b(?=[\w.]*\()", f"@{new}")


def renamed(names: dict[str, str]) -> Break:
    """Calls of some functions call others of the same type, all at once."""
    called = re.compile(r"@(" + "|".join(map(re.escape, names)) + r")\(")

    def edit(text: str) -> str:
        declarations = {line for line in text.splitlines() if line.startswith("declare ")}
        known = {name for line in declarations for name in re.findall(r"@([\w.]+)\(", line)}
        lines = []
        for line in text.splitlines():
            other = called.sub(lambda found: f"@{names[found[1]]}(", line)
            lines.append(line if line in declarations else other)
        for line in declarations:
            found = called.search(line)
            if found and names[found[1]] not in known:
                known.add(names[found[1]])
                lines.append(called.sub(f"@{names[found[1]]}(", line))
        return "\n".join(lines)

    return Break(edit)


def function(symbol: str, gives: int | None = None) -> Break:
    """Functions whose mangled names match give back an argument of their type, or zero, and do
    nothing else."""
    definition = re.compile(
        rf'^define (?P<before>[^@\n]*)@"?(?P<name>[\w.$]*{symbol}[\w.$]*)"?\((?P<arguments>.*)\) '
        r"(?P<rest>[^\n]*)\{\n(?:.*\n)*?\}$",
        re.MULTILINE,
    )

    def replaced(found: re.Match[str]) -> str:
        if "ptx_kernel" in found["before"]:
            return found[0]
        type_ = re.sub(
            r"\b(?:internal|weak|linkonce_odr|dso_local|hidden|noundef|nonnull|zeroext|"
            r"signext|nofpclass\([^)]*\)|align \d+|dereferenceable\(\d+\)) ?",
            "",
            found["before"],
        ).strip()
        if type_ == "void":
            value = "void"
        elif gives is None:
            value = f"{type_} zeroinitializer"
        else:
            given = found["arguments"].split(", ")[gives].split()
            if given[0] != type_:
                return found[0]
            value = f"{type_} {given[-1]}"
        head = found[0].split("\n", 1)[0]
        head = re.sub(r" !dbg !\d+", "", head)
        return f"{head}\nentry:\n  ret {value}\n}}"

    return Break(lambda text: definition.sub(replaced, text))


# ---- in the rules of the front-end


def call(prefix: str, broken: Rule) -> Break:
    """Calls of what begins with ``prefix`` follow another rule."""
    return Break(patches=((call_rules._RULES, prefix, broken),))


def instruction(opcode: str, broken: Callable[[Rule], Rule]) -> Break:
    """An LLVM instruction follows a rule made of its own."""
    return Break(patches=((instructions._RULES, opcode, broken(instructions._RULES[opcode])),))


def patched(place: Any, name: str, broken: Any) -> Break:
    return Break(patches=((place, name, broken),))


def nothing(t: Translator, i: Instruction, mask: Mask) -> None:
    """The rule of what has no effect and no value."""


def gives(number: float) -> Rule:
    """The rule of what is a constant."""

    def rule(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
        type_ = t.variable_type(i)
        if isinstance(element_type(type_), ScalarType):
            return t.constant(number, type_)
        return t.zero(type_)

    return rule


def operand(position: int) -> Rule:
    """The rule of what hands on one of its operands."""

    def rule(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
        tile = i in t.uniformity.divergent_values
        return t.operand(i.operands[position], i, tile=tile)

    return rule


def without_mask(rule: Rule) -> Rule:
    return lambda t, i, mask: rule(t, i, None)


def operands_swapped(rule: Rule) -> Rule:
    def swapped(t: Translator, i: Instruction, mask: Mask) -> ir.Value | None:
        *first, left, right = i.operands
        kept = i.operands
        i.operands = (*first, right, left)
        try:
            return rule(t, i, mask)
        finally:
            i.operands = kept

    return swapped


def lost(which: Callable[[LlvmValue], bool], operand_: int) -> Callable[[Rule], Rule]:
    """Loads through an address that reaches ``which`` give zero, stores to it do nothing."""

    def wrap(rule: Rule) -> Rule:
        def broken(t: Translator, i: Instruction, mask: Mask) -> ir.Value | None:
            if not _reaches(i.operands[operand_], which, set()):
                return rule(t, i, mask)
            return None if i.opcode == "store" else t.zero(t.variable_type(i))

        return broken

    return wrap


def loads(which: Callable[[LlvmValue], bool]) -> Break:
    return instruction("load", lost(which, 0))


def stores(which: Callable[[LlvmValue], bool]) -> Break:
    return instruction("store", lost(which, 1))


def in_space(number: int) -> Callable[[LlvmValue], bool]:
    """Variables of an address space: 1 __device__, 3 __shared__, 4 __constant__."""
    return lambda value: isinstance(value, Global) and getattr(value.type, "space", 0) == number


def is_dynamic(value: LlvmValue) -> bool:
    """An extern __shared__ array."""
    return isinstance(value, Global) and in_space(3)(value) and size_of(value.content) == 0


def by_value(value: LlvmValue) -> bool:
    return isinstance(value, Argument) and value.is_by_value


def _reaches(value: LlvmValue, which: Callable[[LlvmValue], bool], seen: set[LlvmValue]) -> bool:
    if value in seen:
        return False
    seen.add(value)
    if which(value):
        return True
    if isinstance(value, ConstantExpression):
        return _reaches(value.operands[0], which, seen)
    if isinstance(value, Instruction) and value.opcode in ("getelementptr", "addrspacecast"):
        return _reaches(value.operands[0], which, seen)
    if isinstance(value, Instruction) and value.opcode in ("phi", "select"):
        return any(_reaches(o, which, seen) for o in value.operands)
    return False


def header(name: str, gives: int | None = None) -> Break:
    """As `function`, of one plain name."""
    return function(f"{len(name)}{name}", gives)
