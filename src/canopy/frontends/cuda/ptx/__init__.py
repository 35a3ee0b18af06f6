"""Inline PTX in device code becomes LLVM IR, before anything else reads the module.

%1 = call i32 asm "brev.b32 $0, $1;", "=r,r"(i32 %0)    ->    %1 = call i32 @canopy.asm.0(i32 %0)

where the new function does in LLVM's instructions what the PTX does, and is inlined as any other.
What the tables do not have stays, and is an error where a kernel comes to it.
"""

from canopy.frontends.cuda.ptx.inline import explain, replace_inline_ptx
from canopy.frontends.cuda.ptx.lowering import CARRY

__all__ = ["CARRY", "explain", "replace_inline_ptx"]
