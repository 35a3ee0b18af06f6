"""PTX's special registers: the thread's place, lane masks, clocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from canopy.frontends.cuda.ptx.parser import PtxError

if TYPE_CHECKING:
    from canopy.frontends.cuda.ptx.lowering import Lowering

__all__ = ["special_register"]

_PLACES = ("tid", "ntid", "ctaid", "nctaid")
_CLOCKS = {"clock": "i32", "clock_hi": "i32", "clock64": "i64", "globaltimer": "i64"}
_CLOCKS |= {"globaltimer_lo": "i32", "globaltimer_hi": "i32"}


def special_register(code: Lowering, name: str) -> tuple[str, str]:
    """The value of ``%name`` and its LLVM type."""
    register, _, axis = name.partition(".")
    if register in _PLACES and axis in ("x", "y", "z"):
        return _place(code, name), "i32"
    if name in _CLOCKS:
        return _clock(code, name), _CLOCKS[name]
    if name in ("laneid", "warpid", "nwarpid"):
        return _of_warp(code, name), "i32"
    if name.startswith("lanemask_"):
        return _lane_mask(code, name.removeprefix("lanemask_")), "i32"
    if name in ("warpsize", "smid", "nsmid", "gridid"):
        return {"warpsize": "32", "nsmid": "1"}.get(name, "0"), "i32"
    raise PtxError(f"the special register %{name}")


def _place(code: Lowering, name: str) -> str:
    return code.call("i32", f"llvm.nvvm.read.ptx.sreg.{name}")


def _clock(code: Lowering, name: str) -> str:
    """The lower or upper half, or the whole, of a 64-bit counter."""
    register = "globaltimer" if name.startswith("globaltimer") else "clock64"
    now = code.call("i64", f"llvm.nvvm.read.ptx.sreg.{register}")
    if name.endswith("_hi"):
        now = code.binary("lshr", "i64", now, "32")
    return code.converted(now, "i64", _CLOCKS[name])


def _of_warp(code: Lowering, name: str) -> str:
    if name == "laneid":
        return code.call("i32", "llvm.nvvm.read.ptx.sreg.laneid")
    width, height = _place(code, "ntid.x"), _place(code, "ntid.y")
    if name == "nwarpid":
        area = code.binary("mul", "i32", width, height)
        threads = code.binary("mul", "i32", area, _place(code, "ntid.z"))
        return code.binary("lshr", "i32", code.binary("add", "i32", threads, "31"), "5")
    rows = code.binary("mul", "i32", _place(code, "tid.z"), height)
    row = code.binary("add", "i32", rows, _place(code, "tid.y"))
    index = code.binary("add", "i32", code.binary("mul", "i32", row, width), _place(code, "tid.x"))
    return code.binary("lshr", "i32", index, "5")


def _lane_mask(code: Lowering, relation: str) -> str:
    lane = code.call("i32", "llvm.nvvm.read.ptx.sreg.laneid")
    own = code.binary("shl", "i32", "1", lane)
    below = code.binary("sub", "i32", own, "1")
    match relation:
        case "eq":
            return own
        case "lt":
            return below
        case "le":
            return code.binary("or", "i32", own, below)
        case "ge":
            return code.binary("xor", "i32", below, "-1")
        case "gt":
            return code.binary("xor", "i32", code.binary("or", "i32", own, below), "-1")
    raise PtxError(f"the special register %lanemask_{relation}")
