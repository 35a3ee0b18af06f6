"""Functions of our headers that stand for one instruction of a GPU.

In a loop that is to be unrolled such a call counts as one instruction, as on a GPU; it is defined
and inlined when loops are unrolled. `__hfma2` is two of them: inlined before, at 30 instructions
each, they kept loops of some hundred from being unrolled, and the arrays in them in memory.

    %r = call float @canopy_fma_odd_half(float %a, float %b, float %c)   ->   20 instructions
"""

from __future__ import annotations

from llvmlite import binding as llvm

__all__ = ["define_late"]

# a * b + c, rounded to odd: `canopy_rounding.h` has the same for host code. Products of halves are
# exact in float, those of bfloat16 in double. error: what the sum lost.
_TO_ODD = """
  %product = fmul contract {T} %x, %y
  %sum = fadd contract {T} %product, %z
  %part = fsub contract {T} %sum, %product
  %rest = fsub contract {T} %sum, %part
  %of_product = fsub contract {T} %product, %rest
  %of_z = fsub contract {T} %z, %part
  %error = fadd contract {T} %of_product, %of_z
  %bits = bitcast {T} %sum to {I}
  %above = fcmp ogt {T} %error, 0.0
  %below = fcmp olt {T} %error, 0.0
  %inexact = or i1 %above, %below
  %positive = fcmp ogt {T} %sum, 0.0
  %outwards = icmp eq i1 %above, %positive
  %step = select i1 %outwards, {I} 1, {I} -1
  %odd = trunc {I} %bits to i1
  %even = xor i1 %odd, true
  %moves = and i1 %inexact, %even
  %by = select i1 %moves, {I} %step, {I} 0
  %moved = add {I} %bits, %by
  %result = bitcast {I} %moved to {T}
"""
_HALF = (
    "define float @canopy_fma_odd_half(float %x, float %y, float %z) alwaysinline {"
    + _TO_ODD.format(T="float", I="i32")
    + "  ret float %result\n}\n"
)
_BFLOAT16 = (
    "define float @canopy_fma_odd_bfloat16(float %a, float %b, float %c) alwaysinline {\n"
    + "".join(
        f"  %{to} = fpext float %{of} to double\n" for of, to in zip("abc", "xyz", strict=True)
    )
    + _TO_ODD.format(T="double", I="i64")
    + """
  %near = fptrunc double %result to float
  %back = fpext float %near to double
  %near_bits = bitcast float %near to i32
  %too_low = fcmp olt double %back, %result
  %too_high = fcmp ogt double %back, %result
  %off = or i1 %too_low, %too_high
  %up = fcmp ogt double %result, 0.0
  %away = icmp eq i1 %too_low, %up
  %direction = select i1 %away, i32 1, i32 -1
  %near_odd = trunc i32 %near_bits to i1
  %near_even = xor i1 %near_odd, true
  %turns = and i1 %off, %near_even
  %turn = select i1 %turns, i32 %direction, i32 0
  %turned = add i32 %near_bits, %turn
  %made = bitcast i32 %turned to float
  ret float %made
}
"""
)
_DEFINITIONS = {"canopy_fma_odd_half": _HALF, "canopy_fma_odd_bfloat16": _BFLOAT16}


def define_late(module: llvm.ModuleRef) -> bool:
    """Defines those of the functions that ``module`` calls; whether there are any."""
    called = {f.name for f in module.functions if f.is_declaration and f.name in _DEFINITIONS}
    for name in sorted(called):
        module.link_in(llvm.parse_assembly(_DEFINITIONS[name]))
        module.get_function(name).linkage = "internal"
    return bool(called)
