"""Calls in device code: mathematics, and LLVM's intrinsics of integers."""

from __future__ import annotations

from functools import partial

from canopy import ir
from canopy.errors import UnsupportedError
from canopy.frontends.cuda.call_rules import Rule, arguments, calls
from canopy.frontends.cuda.llvm_values import Instruction, Number
from canopy.frontends.cuda.translator import Mask, Translator
from canopy.frontends.libdevice import rule_of_symbol
from canopy.frontends.libdevice.functions import Rule as LibraryRule
from canopy.ir.types import BOOL, F32, ScalarType, element_type, unsigned

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


@calls("llvm.fptosi.sat.", "llvm.fptoui.sat.")
def _saturated(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    """Conversions of floats to integers saturate anyway, and NaN gives 0."""
    element = element_type(t.variable_type(i))
    to = unsigned(element) if "toui" in i.callee else element
    return t.as_signed(t.add(ir.Cast, source=arguments(t, i)[0], type=to))


_BIT_FUNCTIONS = {
    "ctpop": "popcount",
    "ctlz": "clz",
    "cttz": "ctz",
    "bitreverse": "bit_reverse",
    "abs": "abs",
}


@calls(*(f"llvm.{name}." for name in _BIT_FUNCTIONS))
def _bit_function(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    name = _BIT_FUNCTIONS[i.callee.split(".")[1]]
    return t.add(ir.MathCall, function=name, arguments=(arguments(t, i)[0],))


@calls("llvm.fshl.", "llvm.fshr.")
def _funnel_shift(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    """The upper (fshl) or lower (fshr) half of two numbers side by side, shifted."""
    high, low, distance = (t.as_unsigned(value) for value in arguments(t, i))
    element = element_type(high.type)
    assert isinstance(element, ScalarType)
    width = t.constant(element.bits, high.type)
    distance = t.add(ir.Rem, lhs=distance, rhs=width)
    rest = t.add(ir.Sub, lhs=width, rhs=distance)  # of the width: shifts everything out
    left, right = (distance, rest) if "fshl" in i.callee else (rest, distance)
    upper = t.add(ir.ShiftLeft, lhs=high, rhs=left)
    return t.as_signed(t.add(ir.Or, lhs=upper, rhs=t.add(ir.ShiftRight, lhs=low, rhs=right)))


_CLASSES = {0x003: "isnan", 0x204: "isinf", 0x1F8: "isfinite"}


@calls("llvm.is.fpclass.")
def _float_class(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    """A test for classes of floats; its bits as LLVM numbers them."""
    source = arguments(t, i)[0]
    test = i.operands[1]
    classes = int(test.value) if isinstance(test, Number) else 0
    if classes in _CLASSES:
        return t.add(ir.MathCall, function=_CLASSES[classes], arguments=(source,), type=BOOL)
    if classes == _NORMAL:
        return _is_normal(t, source)
    raise UnsupportedError(
        f"the floating-point class test {classes:#x} is not supported", location=i.location
    )


_NORMAL = 0x108


def _is_normal(t: Translator, source: ir.Value) -> ir.Value:
    element = element_type(source.type)
    smallest = t.constant(2.0**-126 if element is F32 else 2.0**-1022, source.type)
    size = t.add(ir.MathCall, function="abs", arguments=(source,))
    large = t.add(ir.Compare, predicate="ge", lhs=size, rhs=smallest)
    finite = t.add(ir.MathCall, function="isfinite", arguments=(source,), type=BOOL)
    return t.add(ir.And, lhs=large, rhs=finite)


def rule_of_name(callee: str) -> Rule | None:
    """The rule of a function of libdevice (``__nv_expf``), C (``expf``) or LLVM (``llvm.exp.f32``),
    if there is one."""
    name = callee.split(".")[1] if callee.startswith("llvm.") else callee.removeprefix("__nv_")
    if name == "roundeven":
        name = "rint"
    found = rule_of_symbol(f"__nv_{name}")
    return partial(_library_call, found) if found else None


def _library_call(rule: LibraryRule, t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    made = rule(t, tuple(arguments(t, i)), t.variable_type(i))
    return t.as_signed(made)
