"""Conversions of floats to 8-bit integers go through 16 bits, as PTX has them.

%c = call i8 @llvm.fptoui.sat.i8.f32(float %x)
->
%wide.c = call i16 @llvm.fptoui.sat.i16.f32(float %x)
%c = trunc i16 %wide.c to i8

A number beyond 8 bits saturates to 16 bits and is then cut off. Done before LLVM's passes, which
would compute the same conversion of a constant in another way.
"""

from __future__ import annotations

import re

__all__ = ["widen_narrow_conversions"]

_CALL = re.compile(
    r"^(?P<indent>\s*)%(?P<name>[-\w.$]+) = (?:tail )?call i8 "
    r"@llvm\.(?P<kind>fpto[su]i)\.sat\.i8\.(?P<from>\w+)\((?P<value>\w+ [^)]*)\)(?P<rest>.*)$",
    re.M,
)


def widen_narrow_conversions(ir: str) -> str:
    """``ir`` with the conversions written out."""
    if ".sat.i8." not in ir:
        return ir
    missing: dict[str, str] = {}

    def widened(match: re.Match[str]) -> str:
        indent, name, value, rest = match["indent"], match["name"], match["value"], match["rest"]
        callee = f"@llvm.{match['kind']}.sat.i16.{match['from']}"
        missing[callee] = value.split()[0]
        debug = rest.partition(", !dbg ")[2]
        place = f", !dbg {debug}" if debug else ""
        return (
            f"{indent}%wide.{name} = call i16 {callee}({value}){place}\n"
            f"{indent}%{name} = trunc i16 %wide.{name} to i8{place}"
        )

    written = _CALL.sub(widened, ir)
    declared = [f"declare i16 {c}({t})" for c, t in missing.items() if f" {c}({t})" not in ir]
    return "\n".join([written, *declared, ""])
