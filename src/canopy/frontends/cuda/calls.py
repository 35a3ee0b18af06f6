"""Calls in device code: each by the rule of its subject (the ``*_calls`` modules)."""

from __future__ import annotations

from canopy import ir
from canopy.errors import UnsupportedError
from canopy.frontends.cuda import (  # noqa: F401  (they register their rules)
    barrier_calls,
    math_calls,
    memory_calls,
    output_calls,
    thread_calls,
    warp_calls,
)
from canopy.frontends.cuda.call_rules import find_rule
from canopy.frontends.cuda.checks import check_warp
from canopy.frontends.cuda.llvm_values import Instruction
from canopy.frontends.cuda.ptx import explain
from canopy.frontends.cuda.translator import Mask, Translator

__all__ = ["translate_call"]

_ELSEWHERE = "if another source defines it: nvcc -rdc=true (or -dc) links device code"


def translate_call(t: Translator, i: Instruction, mask: Mask) -> ir.Value | None:
    """Appends the ops of one call and returns its value."""
    if " asm " in i.text and not i.callee:
        raise UnsupportedError(
            f"inline PTX: {explain(i.text)} is not supported",
            location=i.location,
            hint="write it in CUDA C++, or guard it for GPUs with #ifndef __CANOPY__",
        )
    rule = find_rule(i.callee) or math_calls.rule_of_name(i.callee)
    if rule is None and i.callee.startswith("_Z"):
        raise UnsupportedError(
            f"the device function {i.callee} is defined in no source that it was compiled with",
            location=i.location,
            hint=_ELSEWHERE,
        )
    if rule is None:
        raise UnsupportedError(
            f"the device function {i.callee or 'called through a pointer'} is not supported yet",
            location=i.location,
            hint=_ELSEWHERE if i.callee else "",
        )
    check_warp(t, i, mask)
    return rule(t, i, mask)
