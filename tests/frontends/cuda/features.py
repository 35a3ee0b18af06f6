"""What CUDA C++ has, and for each of it a way to break it with a program that must then fail.

`test_broken` builds each program twice: whole, when it must pass, and broken, when it must not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canopy import ir
from canopy.frontends.cuda import (
    build,
    module,
    pipeline,
    warp_calls,
)
from canopy.frontends.cuda.llvm_values import Instruction
from canopy.frontends.cuda.translator import Mask, Translator
from tests.frontends.cuda.breaking import (
    Break,
    Rule,
    by_value,
    call,
    function,
    gives,
    header,
    in_space,
    instruction,
    is_dynamic,
    loads,
    nothing,
    operand,
    other_name,
    patched,
    renamed,
    stores,
    swap,
    without_mask,
)

__all__ = ["FEATURES", "Feature", "programs"]


@dataclass(frozen=True)
class Feature:
    """``name`` under its ``subject``; ``is_refused``: broken, the program does not compile;
    ``blamed``: names of functions with which lines of the broken program must begin."""

    subject: str
    name: str
    program: str
    broken: Break
    is_refused: bool = False
    blamed: tuple[str, ...] = ()


def programs() -> dict[str, Path]:
    """Every program by its name."""
    found = sorted((Path(__file__).parent / "programs").rglob("*.cu"))
    return {path.stem: path for path in found}


# ---- ways to break that need more than a word


def _first_lane_decides(t: Translator, mask: ir.Value) -> ir.Value:
    """A loop that ends for all threads when one of them leaves it."""
    leaving = t.add(ir.Xor, lhs=mask, rhs=t.constant(True, mask.type))
    some = t.add(ir.AnyLane, source=leaving)
    return t.add(ir.Xor, lhs=some, rhs=t.constant(True, some.type))


def _select_swapped(rule: Rule) -> Rule:
    def broken(t: Translator, i: Instruction, mask: Mask) -> ir.Value | None:
        kept = i.operands
        i.operands = (kept[0], kept[2], kept[1])
        try:
            return rule(t, i, mask)
        finally:
            i.operands = kept

    return broken


def _as_number(rule: Rule) -> Rule:
    """A bit cast that converts the number."""

    def broken(t: Translator, i: Instruction, mask: Mask) -> ir.Value | None:
        source = t.operand(i.operands[0], i, tile=i in t.uniformity.divergent_values)
        return t.add(ir.Cast, source=source, type=t.element_of(i, i.location))

    return broken


def _shared_by_lanes(rule: Rule) -> Rule:
    """A local array that all threads have together."""

    def broken(t: Translator, i: Instruction, mask: Mask) -> ir.Value | None:
        made = rule(t, i, mask)
        assert made is not None
        assert isinstance(made.op, ir.Offset)
        return made.op.pointer

    return broken


def _new_value(rule: Rule) -> Rule:
    """An atomic that gives what is there afterwards."""

    def broken(t: Translator, i: Instruction, mask: Mask) -> ir.Value | None:
        old = rule(t, i, mask)
        assert old is not None
        value = t.operand(i.operands[1], i, tile=old.is_tile)
        return t.add(ir.Add, lhs=old, rhs=value)

    return broken


def _always_exchanges(rule: Rule) -> Rule:
    """A compare-and-swap that does not compare."""

    def broken(t: Translator, i: Instruction, mask: Mask) -> None:
        tile = i in t.uniformity.divergent_values
        pointer, compare, value = (t.operand(o, i, tile=tile) for o in i.operands)
        old = t.add(ir.AtomicRmw, kind="exchange", pointer=pointer, value=value, mask=mask)
        t.env["pair", i, 0] = old
        t.env["pair", i, 1] = t.add(ir.Compare, predicate="eq", lhs=old, rhs=compare)

    return broken


def _first_memory() -> Callable[..., ir.Value]:
    """All __shared__ variables of a kernel in one place."""
    whole = module._block_memory
    return lambda t, index, bytes_, alignment: _once(t, lambda: whole(t, 1, 227 << 10, 128))


def _once(t: Translator, make: Callable[[], ir.Value]) -> ir.Value:
    if "broken memory" not in t.env:
        t.env["broken memory"] = make()
    return t.env["broken memory"]


def _whole_warp(t: Translator, i: Instruction, position: int, shift: int) -> ir.Value:
    """Shuffles that know no segments."""
    made = _FIVE_BITS(t, i, position, shift)
    return t.constant(0, made.type) if shift else made


_FIVE_BITS = warp_calls._five_bits


def _identity(text: str, *_: Any) -> str:
    return text


def _of_all_lanes(t: Translator, holds: ir.Value, mask: Mask) -> ir.Value:
    """Votes of lanes that are elsewhere."""
    return _BALLOT(t, holds, None)


_BALLOT = warp_calls._ballot


_TID, _NTID = "llvm.nvvm.read.ptx.sreg.tid.", "llvm.nvvm.read.ptx.sreg.ntid."
_CTAID, _NCTAID = "llvm.nvvm.read.ptx.sreg.ctaid.", "llvm.nvvm.read.ptx.sreg.nctaid."

_LANGUAGE = [
    ("threadIdx.x", "vector_add", call(_TID + "x", gives(0))),
    ("threadIdx.y", "dct8x8", call(_TID + "y", gives(0))),
    ("threadIdx.z", "dct8x8", call(_TID + "z", gives(0))),
    ("blockIdx.x", "vector_add", call(_CTAID + "x", gives(0))),
    ("blockIdx.y", "mandelbrot", call(_CTAID + "y", gives(0))),
    ("blockIdx.z", "convolution", call(_CTAID + "z", gives(0))),
    ("blockDim.x", "bitonic_sort", call(_NTID + "x", gives(1))),
    ("blockDim.y", "mandelbrot", call(_NTID + "y", gives(1))),
    ("gridDim.x", "gemv", call(_NCTAID + "x", gives(1))),
    ("if: threads that do not take part", "bitonic_sort", instruction("store", without_mask)),
    (
        "if: atomics of threads that do not take part",
        "atomic_kinds",
        instruction("atomicrmw", without_mask),
    ),
    (
        "loops that threads leave at different times",
        "mandelbrot",
        patched(Translator, "any_active", _first_lane_decides),
    ),
    ("switch", "mandelbrot", swap(r"^(\s+i32) 0, label (%\S+)", r"\1 77, label \2")),
    ("?: and other choices of values", "operators", instruction("select", _select_swapped)),
    ("contraction of products and sums", "gemv", swap(r"__nv_fmaf_rn", "__nv_fmaf_rz")),
    ("structures by value", "mandelbrot", loads(by_value)),
    ("local arrays", "text", instruction("alloca", _shared_by_lanes)),
    ("unions and other names for the same bits", "operators", instruction("bitcast", _as_number)),
    ("copies of structures", "merge_sort", call("llvm.memcpy.", nothing)),
    (
        "arrays that begin as zeros",
        "matmul",
        swap(r"(llvm.memset.p0.i64\(.*), i8 0,", r"\1, i8 -1,"),
    ),
    ("lambdas", "styles", function("ENKUli.*E_cl")),
    ("templates", "styles", function("5PowerILi2EE2of", None)),
    ("virtual functions", "styles", function("6Circle4area", None)),
    ("operators of classes", "raytracer", function("ml.*4vec3", None)),
    ("__launch_bounds__", "errors", swap(r'"nvvm.maxntid"="64"', '"nvvm.maxntid"="1024"')),
]
_REFUSED = [
    ("calls through pointers to functions", "styles", patched(pipeline, "direct_calls", _identity)),
    (
        "recursion",
        "styles",
        patched(pipeline, "functions_in_cycles", lambda _: set()),
    ),
    (
        "overflow of signed numbers",
        "virtual_functions",
        patched(pipeline, "define_overflow", _identity),
    ),
]
_MEMORY = [
    ("__shared__", "stencils", stores(in_space(3))),
    (
        "several __shared__ variables",
        "radix_select",
        patched(module, "_block_memory", _first_memory()),
    ),
    ("extern __shared__", "occupancy", stores(is_dynamic)),
    ("__constant__", "dct8x8", loads(in_space(4))),
    ("__constant__ from the host", "convolution", loads(in_space(4))),
    ("__device__ variables", "crc32", loads(in_space(1))),
    (
        "__managed__ variables",
        "managed_variables",
        patched(build, "with_device_variables", _identity),
    ),
    ("malloc in kernels", "kernel_output", call("malloc", gives(0))),
]
_BARRIERS = [
    ("__syncthreads", "scan", call("llvm.nvvm.barrier.cta.sync.", nothing)),
    ("__syncthreads_count", "compaction", call("llvm.nvvm.barrier.cta.red.popc", gives(1))),
    ("__syncthreads_or", "odd_even_streams", call("llvm.nvvm.barrier.cta.red.or", gives(0))),
    ("grid.sync", "groups", call("canopy_grid_sync", nothing)),
]
_WARPS = [
    ("__shfl_sync", "warp_tools", call("llvm.nvvm.shfl.sync.idx.", operand(1))),
    (
        "__shfl_up_sync",
        "compaction",
        other_name("llvm.nvvm.shfl.sync.up.i32", "llvm.nvvm.shfl.sync.down.i32"),
    ),
    ("__shfl_down_sync", "gemv", call("llvm.nvvm.shfl.sync.down.", operand(1))),
    ("__shfl_xor_sync", "softmax_layernorm", call("llvm.nvvm.shfl.sync.bfly.", operand(1))),
    ("shuffles in segments", "warp_tools", patched(warp_calls, "_five_bits", _whole_warp)),
    ("shuffles of 64 bits", "radix_select", function("15__shfl_xor_syncjy", 1)),
    ("__ballot_sync", "compaction", call("llvm.nvvm.vote.ballot.", gives(-1))),
    ("__any_sync", "warp_tools", other_name("llvm.nvvm.vote.any.sync", "llvm.nvvm.vote.all.sync")),
    ("__all_sync", "warp_tools", other_name("llvm.nvvm.vote.all.sync", "llvm.nvvm.vote.any.sync")),
    ("vote.uni", "warp_tools", call("llvm.nvvm.vote.uni.", gives(1))),
    ("__activemask", "compaction", call("llvm.nvvm.activemask", gives(-1))),
    ("__match_any_sync", "triangles", call("llvm.nvvm.match.any.sync.", gives(-1))),
    ("votes of the active lanes", "warp_tools", patched(warp_calls, "_ballot", _of_all_lanes)),
    *(
        (
            f"__reduce_{old}_sync",
            "warp_tools",
            other_name(f"llvm.nvvm.redux.sync.{old}", f"llvm.nvvm.redux.sync.{new}"),
        )
        for old, new in (
            ("add", "max"),
            ("min", "max"),
            ("max", "min"),
            ("umin", "min"),
            ("umax", "max"),
            ("and", "or"),
            ("or", "and"),
            ("xor", "or"),
        )
    ),
    ("lanemask", "warp_tools", swap("%lanemask_lt", "%lanemask_le")),
    ("__shfl_xor, without _sync", "warp_tools", function("10__shfl_xor")),
]
_ATOMICS = [
    *(
        (name, "atomic_kinds", swap(f"atomicrmw (volatile )?{old} ", f"atomicrmw {new} "))
        for name, old, new in (
            ("atomicAdd", "add", "xchg"),
            ("atomicSub", "sub", "add"),
            ("atomicMin", "min", "max"),
            ("atomicMax", "max", "min"),
            ("atomicMin of unsigned", "umin", "min"),
            ("atomicMax of unsigned", "umax", "max"),
            ("atomicAnd", "and", "or"),
            ("atomicOr", "or", "xor"),
            ("atomicXor", "xor", "or"),
            ("atomicExch", "xchg", "add"),
            ("atomicInc", "uinc_wrap", "add"),
            ("atomicDec", "udec_wrap", "sub"),
            ("atomicAdd of floats", "fadd", "fsub"),
        )
    ),
    ("atomicCAS", "atomic_kinds", instruction("cmpxchg", _always_exchanges)),
    ("what an atomic returns", "nqueens", instruction("atomicrmw", _new_value)),
]
_TILE, _LANES_GROUP = "17thread_block_tileILj8E.*", "15coalesced_group"
_GROUPS = [
    ("tile.thread_rank", "groups", function(_TILE + "E11thread_rank")),
    ("tile.meta_group_rank", "groups", function(_TILE + "E15meta_group_rank")),
    ("tile.shfl", "groups", function(_TILE + "E4shflI", 1)),
    ("tile.shfl_xor", "groups", function(_TILE + "E8shfl_xorI", 1)),
    ("tile.shfl_up", "groups", function(_TILE + "E7shfl_upI", 1)),
    ("tile.any", "groups", function(_TILE + "E3any")),
    ("tile.all", "groups", function(_TILE + "E3all")),
    ("tile.ballot", "groups", function(_TILE + "E6ballot")),
    ("tile.match_any", "groups", function(_TILE + "E9match_any")),
    ("cg::reduce", "groups", function("L6reduceILj8E.*4plus", 1)),
    ("cg::reduce with less", "groups", function("4lessIiEclE", 1)),
    ("cg::inclusive_scan", "groups", function("L14inclusive_scanIN", 1)),
    ("cg::exclusive_scan", "groups", function("L14exclusive_scanI", 1)),
    ("cg::labeled_partition", "groups", call("llvm.nvvm.match.any.sync.", gives(-1))),
    ("coalesced_group.size", "groups", function(_LANES_GROUP + "4size")),
    ("coalesced_group.thread_rank", "groups", function(_LANES_GROUP + "11thread_rank")),
    ("coalesced_group.shfl", "groups", function(_LANES_GROUP + "4shflI", 1)),
    ("cg::memcpy_async", "groups", function("L12memcpy_asyncI")),
    ("grid.block_rank", "groups", function("10grid_group10block_rank")),
    ("grid.size", "groups", function("10grid_group4size")),
    ("cuda::barrier", "barrier_objects", function("7barrierIL.*4waitE")),
]
_NUMBERS = [
    *(
        (name, "operators", swap(rf"= {old} ", f"= {new} "))
        for name, old, new in (
            ("signed /", "sdiv", "udiv"),
            ("unsigned /", "udiv", "sdiv"),
            ("signed %", "srem", "urem"),
            ("unsigned %", "urem", "srem"),
            ("signed >>", "ashr", "lshr"),
            ("unsigned >>", "lshr", "ashr"),
            ("<<", "shl", "lshr"),
            ("&", "and", "or"),
            ("|", "or", "xor"),
            ("^", "xor", "or"),
            ("widening of signed numbers", "sext", "zext"),
            ("widening of unsigned numbers", "zext", "sext"),
            ("signed to float", "sitofp", "uitofp"),
            ("unsigned to float", "uitofp", "sitofp"),
            ("signed <", "icmp slt", "icmp ult"),
            ("unsigned <", "icmp ult", "icmp slt"),
            ("signed <=", "icmp sle", "icmp slt"),
            ("unsigned <=", "icmp ule", "icmp ult"),
            ("signed >", "icmp sgt", "icmp ugt"),
            ("unsigned >", "icmp ugt", "icmp sgt"),
            ("signed >=", "icmp sge", "icmp sgt"),
            ("unsigned >=", "icmp uge", "icmp ugt"),
            ("==", "icmp eq", "icmp ne"),
        )
    ),
    *(
        (
            f"{name} of floats",
            "operators",
            swap(rf"= {old} ((?:\w+ )*?)(?=float|double)", rf"= {new} \1"),
        )
        for name, old, new in (
            ("+", "fadd", "fsub"),
            ("-", "fsub", "fadd"),
            ("*", "fmul", "fdiv"),
            ("/", "fdiv", "fmul"),
        )
    ),
    *(
        (f"{name} of floats", "operators", swap(rf"fcmp ((?:contract )?){old} ", rf"fcmp \1{new} "))
        for name, old, new in (
            ("<", "olt", "ole"),
            ("<=", "ole", "olt"),
            (">", "ogt", "oge"),
            (">=", "oge", "ogt"),
            ("==", "oeq", "une"),
            ("!=", "une", "oeq"),
        )
    ),
    ("- of floats, alone", "operators", instruction("fneg", lambda rule: operand(0))),
    (
        "float to integer",
        "operators",
        swap(r"llvm\.fptosi\.sat\.i64\.f(32|64)\(", r"llvm.fptoui.sat.i64.f\1("),
    ),
]
_BITS = [
    ("__popc", "bits", header("__popc", 0)),
    ("__clz", "bits", header("__clz", 0)),
    ("__ffs", "bits", header("__ffs", 0)),
    ("__brev", "bits", header("__brev", 0)),
    ("population counts", "life", other_name("llvm.ctpop.i64", "llvm.bitreverse.i64")),
    ("leading zeros", "fft", swap(r"llvm\.ctlz\.", "llvm.cttz.")),
    ("trailing zeros", "text", swap(r"llvm\.cttz\.", "llvm.ctlz.")),
    ("reversed bits", "crc32", call("llvm.bitreverse.", operand(0))),
    *(
        (name, program, header(name, 0))
        for name, program in (
            ("__byte_perm", "chacha20"),
            ("__funnelshift_l", "md5"),
            ("__funnelshift_rc", "bits"),
            ("__mulhi", "bits"),
            ("__umulhi", "philox"),
            ("__mul24", "bits"),
            ("__usad", "bits"),
            ("__uhadd", "bits"),
            ("__rhadd", "bits"),
            ("__vadd4", "bits"),
            ("__vabsdiffu4", "bits"),
            ("__vmaxu2", "bits"),
            ("__vcmpeq4", "bits"),
            ("__dp2a_lo", "bits"),
            ("__brevll", "bits"),
            ("__umul64hi", "bits"),
        )
    ),
    ("__popcll", "bits", header("__popcll")),
    ("__clzll", "bits", header("__clzll")),
    ("__ffsll", "bits", header("__ffsll")),
    ("__dp4a", "quantised", header("__dp4a", 2)),
    ("unsigned high products", "philox", other_name("__nv_umulhi", "__nv_mulhi")),
    ("PTX: bfe", "bits", swap(r"bfe\.u32", "shr.u32")),
    ("PTX: lop3", "bits", swap("0x96;", "0x80;")),
    ("PTX: mad", "bits", swap(r"mad\.lo\.u32", "mad.hi.u32")),
    ("PTX: carries", "bits", swap(r"addc\.u32", "add.u32")),
    ("PTX: prmt", "bits", swap(r"prmt\.b32 \$0, \$1, \$2", "prmt.b32 $0, $2, $1")),
]
_FLOAT_FUNCTIONS = {
    "sinf": "cosf", "cosf": "sinf", "tanf": "sinf", "asinf": "atanf", "acosf": "asinf",
    "atanf": "asinf", "sinhf": "coshf", "coshf": "sinhf", "tanhf": "sinhf", "expf": "exp2f",
    "exp2f": "expf", "exp10f": "expf", "expm1f": "expf", "logf": "log2f", "log2f": "logf",
    "log10f": "logf", "log1pf": "logf", "sqrtf": "rsqrtf", "rsqrtf": "sqrtf", "cbrtf": "sqrtf",
    "erff": "erfcf", "erfcf": "erff", "tgammaf": "lgammaf", "lgammaf": "tgammaf",
    "floorf": "ceilf", "ceilf": "floorf", "truncf": "floorf", "roundf": "rintf",
    "rintf": "truncf", "fabsf": "floorf", "sinpif": "cospif", "cospif": "sinpif",
    "saturatef": "fabsf", "normcdff": "erff", "powf": "fmodf", "hypotf": "fmodf",
    "atan2f": "fmodf", "fmodf": "remainderf", "remainderf": "fmodf", "fmaxf": "fminf",
    "fminf": "fmaxf", "fdimf": "fmaxf", "copysignf": "fminf", "float2int_rn": "float2int_rz",
    "float2int_rd": "float2int_ru", "float2int_ru": "float2int_rd", "fadd_rd": "fadd_rn",
    "fadd_ru": "fadd_rn", "fmul_rz": "fmul_rn", "fdiv_ru": "fdiv_rn", "fsqrt_rd": "fsqrt_rn",
    "double2float_ru": "double2float_rn", "int2float_rz": "int2float_rn", "dadd_ru": "dadd_rn",
    "sqrt": "rsqrt", "fma": "fma_rz", "fmaf": "fmaf_rz",
}  # fmt: skip
_MATHEMATICS = [
    (
        "functions of floats",
        "mathematics",
        renamed({f"__nv_{name}": f"__nv_{other}" for name, other in _FLOAT_FUNCTIONS.items()}),
    ),
    ("isnan", "mathematics", header("isnan")),
    ("__uint2float_rz", "pooling", other_name("__nv_uint2float_rz", "__nv_int2float_rz")),
]
_HALVES = [
    ("half from float", "half_layers", function("20canopy_float_to_half")),
    ("half to float", "half_layers", function("20canopy_half_to_float")),
    ("__hfma2", "half_layers", header("__hfma2")),
    ("__hmul2", "half_layers", header("__hmul2")),
    ("__hadd2", "half_layers", header("__hadd2")),
    ("__hmax", "half_layers", header("__hmax")),
    ("__lowhigh2highlow", "half_layers", header("__lowhigh2highlow")),
    ("__high2float", "half_layers", header("__high2float")),
    ("bfloat16 from float", "half_layers", function("24canopy_float_to_bfloat16")),
    ("* of bfloat16", "half_layers", function("6__hmul13__nv_bfloat16")),
    ("fp8 from float", "quantised", function("21__nv_cvt_float_to_fp8")),
    ("fp8 to float", "quantised", function("23__nv_cvt_fp8_to_halfraw")),
    ("make_float4", "nbody", header("make_float4")),
    ("make_uchar4", "mandelbrot", header("make_uchar4")),
    ("cuCmulf", "fft2d", header("cuCmulf")),
    ("cuCabsf", "fft2d", header("cuCabsf")),
]
_OUTPUT = [
    ("printf", "kernel_output", call("vprintf", gives(0))),
    ("assert", "kernel_output", call("canopy_assert", nothing)),
    ("__trap", "errors", call("canopy_trap", nothing)),
    ("clock64", "kernel_output", call("llvm.nvvm.read.ptx.sreg.clock", gives(0))),
]

_BLAMED = {"functions of floats": tuple(_FLOAT_FUNCTIONS)}

FEATURES = [
    Feature(subject, name, program, broken, is_refused, _BLAMED.get(name, ()))
    for subject, rows, is_refused in (
        ("language", _LANGUAGE, False),
        ("language", _REFUSED, True),
        ("memory", _MEMORY, False),
        ("barriers", _BARRIERS, False),
        ("warps", _WARPS, False),
        ("atomics", _ATOMICS, False),
        ("cooperative groups", _GROUPS, False),
        ("numbers", _NUMBERS, False),
        ("bits", _BITS, False),
        ("mathematics", _MATHEMATICS, False),
        ("half precision and vectors", _HALVES, False),
        ("output and errors", _OUTPUT, False),
    )
    for name, program, broken in rows
]
