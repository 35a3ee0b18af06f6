"""PTX's barriers, fences, votes, shuffles, and ends of a thread."""

from __future__ import annotations

from canopy.frontends.cuda.ptx.lowering import Lowering, ptx
from canopy.frontends.cuda.ptx.parser import Instruction, PtxError

__all__: list[str] = []


@ptx("membar", "fence")
def _fence(code: Lowering, i: Instruction) -> None:
    if i.has("proxy", "mbarrier_init"):
        return
    code.call("void", "llvm.nvvm.membar.gl")


@ptx("bar", "barrier")
def _barrier(code: Lowering, i: Instruction) -> None:
    if i.has("warp"):
        code.call("void", "llvm.nvvm.bar.warp.sync", ("i32", code.read(i.operands[0], "i32")))
    elif i.has("sync") and len(i.operands) == 1:
        number = code.read(i.operands[0], "i32")
        code.call("void", "llvm.nvvm.barrier.cta.sync.aligned.all", ("i32", number))
    elif i.has("sync", "arrive") and len(i.operands) == 2:
        kind = "sync" if i.has("sync") else "arrive"
        barrier = ("i32", code.read(i.operands[0], "i32"))
        threads = ("i32", code.read(i.operands[1], "i32"))
        code.call("void", f"llvm.nvvm.barrier.cta.{kind}.aligned.count", barrier, threads)
    elif i.has("red") and len(i.operands) == 3:
        _voting_barrier(code, i)
    else:
        raise PtxError(f"the PTX instruction {i.opcode} with a number of threads")


def _voting_barrier(code: Lowering, i: Instruction) -> None:
    kind = next((p for p in ("popc", "and", "or") if i.has(p)), "popc")
    result = "i32" if kind == "popc" else "i1"
    condition = code.read(i.operands[2], "i1")
    name = f"llvm.nvvm.barrier.cta.red.{kind}.aligned.all"
    value = code.call(result, name, ("i32", "0"), ("i1", condition))
    code.write(i.operands[0], value, result)


@ptx("vote")
def _vote(code: Lowering, i: Instruction) -> None:
    if not i.has("sync"):
        raise PtxError(f"the PTX instruction {i.opcode} without .sync")
    kind = next((p for p in ("ballot", "any", "all", "uni") if i.has(p)), "")
    result = "i32" if kind == "ballot" else "i1"
    members, condition = code.read(i.operands[2], "i32"), code.read(i.operands[1], "i1")
    value = code.call(result, f"llvm.nvvm.vote.{kind}.sync", ("i32", members), ("i1", condition))
    code.write(i.operands[0], value, result)


@ptx("activemask")
def _active_mask(code: Lowering, i: Instruction) -> None:
    code.write(i.operands[0], code.call("i32", "llvm.nvvm.activemask"), "i32")


@ptx("shfl")
def _shuffle(code: Lowering, i: Instruction) -> None:
    """shfl.sync.mode.b32 d|p, a, b, c, members: the control c as the hardware takes it."""
    if not i.has("sync"):
        raise PtxError(f"the PTX instruction {i.opcode} without .sync")
    kind = next(p for p in ("up", "down", "bfly", "idx") if i.has(p))
    value, distance, control, members = (code.read(o, "i32") for o in i.operands[1:5])
    arguments = [("i32", v) for v in (members, value, distance, control)]
    if i.second is None:
        code.write(
            i.operands[0], code.call("i32", f"llvm.nvvm.shfl.sync.{kind}.i32", *arguments), "i32"
        )
        return
    pair = code.call("{ i32, i1 }", f"llvm.nvvm.shfl.sync.{kind}.i32p", *arguments)
    code.write(i.operands[0], code.op(f"extractvalue {{ i32, i1 }} {pair}, 0"), "i32")
    code.write(i.second, code.op(f"extractvalue {{ i32, i1 }} {pair}, 1"), "i1")


@ptx("match")
def _match(code: Lowering, i: Instruction) -> None:
    bits = f"i{i.parts[-1][1:]}"
    value, members = code.read(i.operands[1], bits), code.read(i.operands[2], "i32")
    if i.has("any"):
        found = code.call(
            "i32", f"llvm.nvvm.match.any.sync.{bits}", ("i32", members), (bits, value)
        )
        code.write(i.operands[0], found, "i32")
        return
    name = f"llvm.nvvm.match.all.sync.{bits}p"
    pair = code.call("{ i32, i1 }", name, ("i32", members), (bits, value))
    code.write(i.operands[0], code.op(f"extractvalue {{ i32, i1 }} {pair}, 0"), "i32")
    if i.second is not None:
        code.write(i.second, code.op(f"extractvalue {{ i32, i1 }} {pair}, 1"), "i1")


@ptx("redux")
def _reduce(code: Lowering, i: Instruction) -> None:
    kind = next((p for p in ("add", "min", "max", "and", "or", "xor") if i.has(p)), "")
    if i.parts[-1] == "f32" or not kind:
        raise PtxError(f"the PTX instruction {i.opcode}")
    name = kind if kind not in ("min", "max") or i.parts[-1] == "s32" else f"u{kind}"
    value, members = code.read(i.operands[1], "i32"), code.read(i.operands[2], "i32")
    found = code.call("i32", f"llvm.nvvm.redux.sync.{name}", ("i32", value), ("i32", members))
    code.write(i.operands[0], found, "i32")


@ptx("trap")
def _trap(code: Lowering, i: Instruction) -> None:
    code.call("void", "llvm.trap")


@ptx("exit")
def _exit(code: Lowering, i: Instruction) -> None:
    """The thread's end: LLVM drops what comes behind a call that does not return."""
    code.call("void", "canopy_exit")
    code.declarations["canopy_exit"] += " noreturn"


@ptx("brkpt", "griddepcontrol", "setmaxnreg", "pmevent")
def _nothing(code: Lowering, i: Instruction) -> None:
    """For debuggers and for the GPU's own scheduling."""
