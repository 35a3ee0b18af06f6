"""Calls in device code: mathematics, and LLVM's intrinsics of integers."""

from __future__ import annotations

from functools import partial

from canopy import ir
from canopy.frontends.cuda.call_rules import Rule, arguments, calls
from canopy.frontends.cuda.llvm_values import Instruction
from canopy.frontends.cuda.translator import Mask, Translator
from canopy.frontends.libdevice import rule_of_symbol
from canopy.frontends.libdevice.functions import Rule as LibraryRule
from canopy.ir.math import FUNCTIONS
from canopy.ir.types import element_type, unsigned

__all__ = ["rule_of_name"]


@calls("llvm.fma.", "llvm.fmuladd.")
def _fused(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    a, b, c = arguments(t, i)
    return t.add(ir.Fma, a=a, b=b, c=c)


@calls("llvm.minnum.", "llvm.maxnum.", "llvm.smin.", "llvm.smax.", "fmin", "fmax")
def _extreme(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    lhs, rhs = arguments(t, i)
    return t.add(ir.Min if "min" in i.callee else ir.Max, lhs=lhs, rhs=rhs)


@calls("llvm.umin.", "llvm.umax.")
def _unsigned_extreme(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    lhs, rhs = arguments(t, i)
    element = element_type(lhs.type)
    to = unsigned(element)
    sides = {
        "lhs": t.add(ir.Bitcast, source=lhs, type=to),
        "rhs": t.add(ir.Bitcast, source=rhs, type=to),
    }
    made = t.add(ir.Min if "umin" in i.callee else ir.Max, **sides)
    return t.add(ir.Bitcast, source=made, type=element)


@calls("llvm.ctpop.", "llvm.ctlz.", "llvm.cttz.")
def _count_bits(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    name = {"ctpop": "popcount", "ctlz": "clz", "cttz": "ctz"}[i.callee.split(".")[1]]
    return t.add(ir.MathCall, function=name, arguments=(arguments(t, i)[0],))


def _math_name(callee: str) -> str:
    """The IR's name of a C or LLVM mathematical function."""
    name = callee.split(".")[1] if callee.startswith("llvm.") else callee
    if callee.startswith("llvm."):
        return {"fabs": "abs"}.get(name, name)
    if name not in FUNCTIONS and name.endswith("f"):
        name = name[:-1]
    return {"fabs": "abs"}.get(name, name)


def rule_of_name(callee: str) -> Rule | None:
    """The rule of libdevice's functions, and of C's and LLVM's that the IR has."""
    found = rule_of_symbol(callee)
    if found is not None:
        return partial(_library_call, found)
    name = _math_name(callee)
    return partial(_math_call, name) if name in FUNCTIONS else None


def _library_call(rule: LibraryRule, t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    made = rule(t, tuple(arguments(t, i)), t.variable_type(i))
    return t.as_signed(made)


def _math_call(name: str, t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    return t.add(ir.MathCall, function=name, arguments=tuple(arguments(t, i)))
