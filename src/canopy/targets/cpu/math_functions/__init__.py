"""The math functions of the tile IR as LLVM code: `emit_math` calls one, and writes it if need be.

`emit_math(builder, "exp", [x])` with x a vector of 64 f32 gives

    %y = call <64 x float> @canopy.exp.v64f32(<64 x float> %x)

where @canopy.exp.v64f32 is an internal function written into the module at the first call. Short
functions are inlined; long ones work on chunks of 16 f32 or 8 f64 lanes behind a call; what has no
vector form calls libm lane by lane. No fast-math flags: NaN, infinities, signed zeros and denormals
come out as C99 asks.
"""

from canopy.targets.cpu.math_functions.dispatch import emit_math

__all__ = ["emit_math"]
