"""PTX's moves, loads, stores, copies, addresses and atomic operations."""

from __future__ import annotations

from canopy.frontends.cuda.ptx.lowering import Lowering, bits_of, is_float, llvm_type, ptx
from canopy.frontends.cuda.ptx.parser import Address, Instruction, Operand, PtxError, Vector

__all__: list[str] = []

_SPACES = ("global", "shared", "shared::cta", "local", "const")
_NOT_OURS = ("param", "shared::cluster", "mmio", "multimem", "tensor", "bulk")


def _space(i: Instruction) -> str:
    if i.has(*_NOT_OURS):
        raise PtxError(f"the PTX instruction {i.opcode}")
    return next((p for p in i.parts if p in _SPACES), "")


@ptx("mov")
def _move(code: Lowering, i: Instruction) -> None:
    target, source = i.operands
    if isinstance(target, Vector):
        _unpack(code, target, source, bits_of(i.parts[-1]))
    elif isinstance(source, Vector):
        _pack(code, target, source, bits_of(i.parts[-1]))
    else:
        type_ = llvm_type(i.parts[-1])
        code.write(target, code.read(source, type_), type_)


def _unpack(code: Lowering, target: Vector, source: Operand, bits: int) -> None:
    """mov.b64 {low, high}, x"""
    width = bits // len(target.elements)
    value = code.read(source, f"i{bits}")
    for n, element in enumerate(target.elements):
        moved = code.binary("lshr", f"i{bits}", value, str(width * n)) if n else value
        code.write(element, code.converted(moved, f"i{bits}", f"i{width}"), f"i{width}")


def _pack(code: Lowering, target: Operand, source: Vector, bits: int) -> None:
    """mov.b64 x, {low, high}"""
    width, whole = bits // len(source.elements), f"i{bits}"
    value = "0"
    for n, element in enumerate(source.elements):
        part = code.converted(code.read(element, f"i{width}"), f"i{width}", whole)
        moved = code.binary("shl", whole, part, str(width * n)) if n else part
        value = code.binary("or", whole, value, moved) if n else moved
    code.write(target, value, whole)


# ---- loads and stores


def _lanes(i: Instruction) -> int:
    return next((int(p[1:]) for p in i.parts if p in ("v2", "v4", "v8")), 1)


@ptx("ld", "ldu")
def _load(code: Lowering, i: Instruction) -> None:
    kind = i.parts[-1]
    type_ = llvm_type(kind)
    pointer = code.address(i.operands[1], _space(i))
    targets = code.elements(i.operands[0])
    if len(targets) != _lanes(i):
        raise PtxError(f"the PTX instruction {i.opcode}")
    for n, target in enumerate(targets):
        value = code.op(f"load volatile {type_}, ptr {_element(code, pointer, kind, n)}, align 1")
        code.write(target, value, type_, kind[0] == "s")


@ptx("st")
def _store(code: Lowering, i: Instruction) -> None:
    if i.has("async"):
        raise PtxError(f"the PTX instruction {i.opcode}")
    kind = i.parts[-1]
    type_ = llvm_type(kind)
    pointer = code.address(i.operands[0], _space(i))
    sources = code.elements(i.operands[1])
    if len(sources) != _lanes(i):
        raise PtxError(f"the PTX instruction {i.opcode}")
    for n, source in enumerate(sources):
        value = code.read(source, type_)
        code.effect(
            f"store volatile {type_} {value}, ptr {_element(code, pointer, kind, n)}, align 1"
        )


def _element(code: Lowering, pointer: str, kind: str, n: int) -> str:
    if not n:
        return pointer
    return code.op(f"getelementptr i8, ptr {pointer}, i64 {n * bits_of(kind) // 8}")


@ptx("prefetch", "prefetchu", "discard", "applypriority", "nanosleep", "createpolicy")
def _hint(code: Lowering, i: Instruction) -> None:
    """Hints without effect; a policy is a number that nothing reads."""
    if i.parts[0] == "createpolicy":
        code.write(i.operands[0], "0", "i64")


# ---- addresses


@ptx("cvta")
def _convert_address(code: Lowering, i: Instruction) -> None:
    type_ = llvm_type(i.parts[-1])
    source = i.operands[1]
    if not _space(i).startswith("shared"):
        code.write(i.operands[0], code.read(source, type_), type_)
    elif i.has("to"):
        distance = code.call("i64", "__canopy_to_shared", ("ptr", code.read(source, "ptr")))
        code.write(i.operands[0], code.converted(distance, "i64", "i32"), "i32")
    else:
        pointer = code.address(Address(source), "shared")
        code.write(i.operands[0], pointer, "ptr")


# ---- asynchronous copies, done at once


@ptx("cp")
def _copy(code: Lowering, i: Instruction) -> None:
    if i.parts[1:2] != ("async",) or i.has("bulk", "mbarrier", "reduce"):
        raise PtxError(f"the PTX instruction {i.opcode}")
    if i.has("commit_group", "wait_group", "wait_all"):
        return
    size = code.immediate(i.operands[2])
    target = code.address(i.operands[0], "shared")
    source = code.address(i.operands[1], "global")
    if len(i.operands) > 3 and not i.has("L2::cache_hint"):
        _copy_some(code, target, source, size, code.read(i.operands[3], "i32"))
        return
    _copy_whole(code, target, source, size)


def _copy_whole(code: Lowering, target: str, source: str, size: int) -> None:
    step = 8 if size % 8 == 0 else 4
    for offset in range(0, size, step):
        type_ = f"i{8 * step}"
        value = code.op(f"load {type_}, ptr {_moved(code, source, offset)}, align 4")
        code.effect(f"store {type_} {value}, ptr {_moved(code, target, offset)}, align 4")


def _copy_some(code: Lowering, target: str, source: str, size: int, given: str) -> None:
    """``given`` bytes of the source, the rest zero: nearly always all or none."""
    whole, part, after = code.label(), code.label(), code.label()
    all_given = code.compare("uge", "i32", given, str(size))
    code.effect(f"br i1 {all_given}, label %{whole}, label %{part}")
    code.effect(f"{whole}:")
    _copy_whole(code, target, source, size)
    code.effect(f"br label %{after}")
    code.effect(f"{part}:")
    for offset in range(0, size, 4):
        code.effect(f"store i32 0, ptr {_moved(code, target, offset)}, align 4")
    pointers, length = (("ptr", target), ("ptr", source)), code.converted(given, "i32", "i64")
    code.call("void", "llvm.memcpy.p0.p0.i64", *pointers, ("i64", length), ("i1", "false"))
    code.effect(f"br label %{after}")
    code.effect(f"{after}:")


def _moved(code: Lowering, pointer: str, offset: int) -> str:
    return code.op(f"getelementptr i8, ptr {pointer}, i64 {offset}") if offset else pointer


# ---- atomics

_OPERATIONS = {"and": "and", "or": "or", "xor": "xor", "exch": "xchg"}
_OPERATIONS |= {"inc": "uinc_wrap", "dec": "udec_wrap"}


@ptx("atom", "red")
def _atomic(code: Lowering, i: Instruction) -> None:
    kind = i.parts[-1]
    if kind in ("f16x2", "bf16x2", "f16", "bf16") or i.has("v2", "v4", "async") or _lanes(i) > 1:
        raise PtxError(f"the PTX instruction {i.opcode}")
    operands = list(i.operands)
    result = operands.pop(0) if i.parts[0] == "atom" else None
    type_ = llvm_type(kind)
    pointer = code.address(operands[0], _space(i))
    value = code.read(operands[1], type_)
    order = "acq_rel" if i.has("acq_rel", "acquire", "release") else "monotonic"
    if i.has("cas"):
        desired = code.read(operands[2], type_)
        pair = code.op(
            f"cmpxchg ptr {pointer}, {type_} {value}, {type_} {desired} {order} monotonic"
        )
        old = code.op(f"extractvalue {{ {type_}, i1 }} {pair}, 0")
    else:
        old = code.op(f"atomicrmw {_operation(i, kind)} ptr {pointer}, {type_} {value} {order}")
    if result is not None:
        code.write(result, old, type_)


def _operation(i: Instruction, kind: str) -> str:
    name = next((p for p in i.parts if p in (*_OPERATIONS, "add", "min", "max")), None)
    if name is None:
        raise PtxError(f"the PTX instruction {i.opcode}")
    if name in _OPERATIONS:
        return _OPERATIONS[name]
    if is_float(kind):
        if name != "add":
            raise PtxError(f"the PTX instruction {i.opcode}")
        return "fadd"
    return name if name == "add" or kind[0] == "s" else f"u{name}"
