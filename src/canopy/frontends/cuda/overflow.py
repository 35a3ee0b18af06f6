"""Arithmetic that says whether it overflowed (``new T[n]``, ``__builtin_add_overflow``), in plain
instructions.

%r = call { i64, i1 } @llvm.umul.with.overflow.i64(i64 %a, i64 %b)
->    %r = call { i64, i1 } @canopy.umul.overflow.i64(i64 %a, i64 %b)    and its definition
"""

from __future__ import annotations

import re

__all__ = ["define_overflow"]

_INTRINSIC = re.compile(r"@llvm\.([us](?:add|sub|mul))\.with\.overflow\.i(\d+)\(")
_DECLARATION = re.compile(r"^declare .*@canopy\.[us]\w+\.overflow\..*$", re.M)

# By operation: the lines that compute %o from %a, %b and %r, which is the wrapped result.
_OVERFLOW = {
    "uadd": ["%o = icmp ult i{n} %r, %a"],
    "usub": ["%o = icmp ult i{n} %a, %b"],
    "umul": [
        "%zero = icmp eq i{n} %a, 0",
        "%by = select i1 %zero, i{n} 1, i{n} %a",
        "%back = udiv i{n} %r, %by",
        "%other = icmp ne i{n} %back, %b",
        "%o = select i1 %zero, i1 false, i1 %other",
    ],
    "sadd": [
        "%x = xor i{n} %a, %r",
        "%y = xor i{n} %b, %r",
        "%both = and i{n} %x, %y",
        "%o = icmp slt i{n} %both, 0",
    ],
    "ssub": [
        "%x = xor i{n} %a, %b",
        "%y = xor i{n} %a, %r",
        "%both = and i{n} %x, %y",
        "%o = icmp slt i{n} %both, 0",
    ],
    "smul": [  # dividing by 0 and by -1 is kept out: the latter overflows for the least number
        "%next = add i{n} %a, 1",
        "%small = icmp ult i{n} %next, 2",
        "%by = select i1 %small, i{n} 1, i{n} %a",
        "%back = sdiv i{n} %r, %by",
        "%other = icmp ne i{n} %back, %b",
        "%minus = icmp slt i{n} %a, 0",
        "%least = icmp eq i{n} %b, {least}",
        "%turned = and i1 %minus, %least",
        "%o = select i1 %small, i1 %turned, i1 %other",
    ],
}


def define_overflow(ir: str) -> str:
    """``ir`` with functions of its own in place of LLVM's intrinsics."""
    wanted = sorted({(m[1], int(m[2])) for m in _INTRINSIC.finditer(ir)})
    if not wanted:
        return ir
    ir = _INTRINSIC.sub(r"@canopy.\1.overflow.i\2(", ir)
    return "\n".join([_DECLARATION.sub("", ir), *(_definition(*one) for one in wanted), ""])


def _definition(operation: str, bits: int) -> str:
    kind, least = f"i{bits}", -(1 << (bits - 1))
    pair = f"{{ {kind}, i1 }}"
    return "\n".join(
        [
            f"define internal {pair} @canopy.{operation}.overflow.{kind}({kind} %a, {kind} %b) {{",
            f"  %r = {operation[1:]} {kind} %a, %b",
            *(f"  {line.format(n=bits, least=least)}" for line in _OVERFLOW[operation]),
            f"  %value = insertvalue {pair} poison, {kind} %r, 0",
            f"  %made = insertvalue {pair} %value, i1 %o, 1",
            f"  ret {pair} %made",
            "}",
        ]
    )
