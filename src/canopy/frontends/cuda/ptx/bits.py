"""PTX's operations on bits, bytes and half words."""

from __future__ import annotations

from canopy.frontends.cuda.ptx.lowering import Lowering, bits_of, llvm_type, ptx
from canopy.frontends.cuda.ptx.parser import Instruction, PtxError

__all__: list[str] = []


@ptx("and", "or", "xor")
def _logic(code: Lowering, i: Instruction) -> None:
    type_ = llvm_type(i.parts[-1])
    lhs, rhs = (code.read(o, type_) for o in i.operands[1:3])
    code.write(i.operands[0], code.binary(i.parts[0], type_, lhs, rhs), type_)


@ptx("not")
def _complement(code: Lowering, i: Instruction) -> None:
    type_ = llvm_type(i.parts[-1])
    ones = "true" if type_ == "i1" else "-1"
    code.write(
        i.operands[0], code.binary("xor", type_, code.read(i.operands[1], type_), ones), type_
    )


@ptx("cnot")
def _is_zero(code: Lowering, i: Instruction) -> None:
    type_ = llvm_type(i.parts[-1])
    zero = code.compare("eq", type_, code.read(i.operands[1], type_), "0")
    code.write(i.operands[0], code.converted(zero, "i1", type_), type_)


@ptx("shl", "shr")
def _shift(code: Lowering, i: Instruction) -> None:
    kind = i.parts[-1]
    source = code.read(i.operands[1], llvm_type(kind))
    distance = code.read(i.operands[2], "i32")
    value = _shifted(code, i.parts[0], kind, source, distance)
    code.write(i.operands[0], value, llvm_type(kind), kind[0] == "s")


def _shifted(code: Lowering, opcode: str, kind: str, source: str, distance: str) -> str:
    """A shift by a 32-bit distance; one of the width or more moves everything out."""
    type_, bits = llvm_type(kind), bits_of(kind)
    inside = code.compare("ult", "i32", distance, str(bits))
    if opcode == "shr" and kind[0] == "s":
        near = code.select(inside, "i32", distance, str(bits - 1))
        return code.binary("ashr", type_, source, code.converted(near, "i32", type_))
    near = code.converted(code.select(inside, "i32", distance, "0"), "i32", type_)
    moved = code.binary("shl" if opcode == "shl" else "lshr", type_, source, near)
    return code.select(inside, type_, moved, "0")


@ptx("lop3")
def _any_logic(code: Lowering, i: Instruction) -> None:
    """The function of three bits whose table is the last operand."""
    if i.has("or", "and") or len(i.operands) != 5:
        raise PtxError(f"the PTX instruction {i.opcode}")
    a, b, c = (code.read(o, "i32") for o in i.operands[1:4])
    table = code.immediate(i.operands[4]) & 0xFF
    value = "0"
    for row in range(8):
        if not table >> row & 1:
            continue
        term = "-1"
        for bit, source in ((4, a), (2, b), (1, c)):
            factor = source if row & bit else code.binary("xor", "i32", source, "-1")
            term = factor if term == "-1" else code.binary("and", "i32", term, factor)
        value = term if value == "0" else code.binary("or", "i32", value, term)
    code.write(i.operands[0], value, "i32")


# ---- fields of bits


@ptx("bfe")
def _extract_field(code: Lowering, i: Instruction) -> None:
    kind = i.parts[-1]
    type_, bits = llvm_type(kind), bits_of(kind)
    source = code.read(i.operands[1], type_)
    start, length = (_low_byte(code, code.read(o, "i32")) for o in i.operands[2:4])
    low = _shifted(code, "shr", kind, source, start)
    room = code.binary("sub", "i32", str(bits), length)
    fits = code.compare("ult", "i32", length, str(bits))
    room = code.select(fits, "i32", room, "0")
    if kind[0] == "s":  # a field over the upper end is filled with the sign
        reach = code.binary("add", "i32", start, length)
        over = code.compare("ugt", "i32", reach, str(bits))
        room = code.select(over, "i32", "0", room)
    lifted = _shifted(code, "shl", f"b{bits}", low, room)
    value = _shifted(code, "shr", kind, lifted, room)
    empty = code.compare("eq", "i32", length, "0")
    code.write(i.operands[0], code.select(empty, type_, "0", value), type_)


def _low_byte(code: Lowering, value: str) -> str:
    return code.binary("and", "i32", value, "255")


@ptx("bfi")
def _insert_field(code: Lowering, i: Instruction) -> None:
    kind = i.parts[-1]
    type_ = llvm_type(kind)
    field, base = (code.read(o, type_) for o in i.operands[1:3])
    start, length = (_low_byte(code, code.read(o, "i32")) for o in i.operands[3:5])
    ones = code.binary("xor", type_, _shifted(code, "shl", kind, "-1", length), "-1")
    mask = _shifted(code, "shl", kind, ones, start)
    moved = code.binary("and", type_, _shifted(code, "shl", kind, field, start), mask)
    kept = code.binary("and", type_, base, code.binary("xor", type_, mask, "-1"))
    code.write(i.operands[0], code.binary("or", type_, moved, kept), type_)


@ptx("bmsk")
def _bit_mask(code: Lowering, i: Instruction) -> None:
    start, length = (code.read(o, "i32") for o in i.operands[1:3])
    if i.has("wrap"):
        start, length = (code.binary("and", "i32", v, "31") for v in (start, length))
    ones = code.binary("xor", "i32", _shifted(code, "shl", "b32", "-1", length), "-1")
    code.write(i.operands[0], _shifted(code, "shl", "b32", ones, start), "i32")


@ptx("bfind")
def _find_highest(code: Lowering, i: Instruction) -> None:
    """The position of the highest bit that differs from the sign; -1 if there is none."""
    kind = i.parts[-1]
    type_, bits = llvm_type(kind), bits_of(kind)
    source = code.read(i.operands[1], type_)
    if kind[0] == "s":
        sign = code.binary("ashr", type_, source, str(bits - 1))
        source = code.binary("xor", type_, source, sign)
    leading = code.converted(
        code.call(type_, f"llvm.ctlz.{type_}", (type_, source), ("i1", "false")), type_, "i32"
    )
    if not i.has("shiftamt"):
        leading = code.binary("sub", "i32", str(bits - 1), leading)
    none = code.compare("eq", type_, source, "0")
    code.write(i.operands[0], code.select(none, "i32", "-1", leading), "i32")


@ptx("brev")
def _reverse(code: Lowering, i: Instruction) -> None:
    type_ = llvm_type(i.parts[-1])
    source = code.read(i.operands[1], type_)
    code.write(i.operands[0], code.call(type_, f"llvm.bitreverse.{type_}", (type_, source)), type_)


@ptx("popc", "clz")
def _count(code: Lowering, i: Instruction) -> None:
    type_ = llvm_type(i.parts[-1])
    source = code.read(i.operands[1], type_)
    if i.parts[0] == "popc":
        found = code.call(type_, f"llvm.ctpop.{type_}", (type_, source))
    else:
        found = code.call(type_, f"llvm.ctlz.{type_}", (type_, source), ("i1", "false"))
    code.write(i.operands[0], code.converted(found, type_, "i32"), "i32")


# ---- bytes and words


@ptx("prmt")
def _permute_bytes(code: Lowering, i: Instruction) -> None:
    """Bytes of two words; the upper bit of each nibble of the selector repeats the sign."""
    if i.parts != ("prmt", "b32"):
        raise PtxError(f"the PTX instruction {i.opcode}")
    low, high, selector = (
        code.converted(code.read(o, "i32"), "i32", "i64") for o in i.operands[1:4]
    )
    both = code.binary("or", "i64", code.binary("shl", "i64", high, "32"), low)
    value = "0"
    for position in range(4):
        nibble = code.binary("lshr", "i64", selector, str(4 * position))
        distance = code.binary("shl", "i64", code.binary("and", "i64", nibble, "7"), "3")
        byte = code.converted(code.binary("lshr", "i64", both, distance), "i64", "i8")
        sign = code.binary("ashr", "i8", byte, "7")
        repeats = code.compare("ne", "i64", code.binary("and", "i64", nibble, "8"), "0")
        byte = code.converted(code.select(repeats, "i8", sign, byte), "i8", "i32")
        value = code.binary("or", "i32", value, code.binary("shl", "i32", byte, str(8 * position)))
    code.write(i.operands[0], value, "i32")


@ptx("shf")
def _funnel_shift(code: Lowering, i: Instruction) -> None:
    low, high = (code.converted(code.read(o, "i32"), "i32", "i64") for o in i.operands[1:3])
    distance = code.read(i.operands[3], "i32")
    both = code.binary("or", "i64", code.binary("shl", "i64", high, "32"), low)
    if i.has("wrap"):
        distance = code.binary("and", "i32", distance, "31")
    else:
        beyond = code.compare("ugt", "i32", distance, "32")
        distance = code.select(beyond, "i32", "32", distance)
    wide = code.converted(distance, "i32", "i64")
    if i.has("l"):
        both = code.binary("lshr", "i64", code.binary("shl", "i64", both, wide), "32")
    else:
        both = code.binary("lshr", "i64", both, wide)
    code.write(i.operands[0], code.converted(both, "i64", "i32"), "i32")


@ptx("sad")
def _absolute_difference(code: Lowering, i: Instruction) -> None:
    type_ = llvm_type(i.parts[-1])
    a, b, c = (code.read(o, type_) for o in i.operands[1:4])
    above = code.compare("sgt" if i.parts[-1][0] == "s" else "ugt", type_, a, b)
    difference = code.select(
        above, type_, code.binary("sub", type_, a, b), code.binary("sub", type_, b, a)
    )
    code.write(i.operands[0], code.binary("add", type_, c, difference), type_)


@ptx("dp4a", "dp2a")
def _dot_product(code: Lowering, i: Instruction) -> None:
    """Four products of bytes, or two of a half word with a byte, added to the third source."""
    first, second = i.parts[-2:]
    a, b, total = (code.read(o, "i32") for o in i.operands[1:4])
    width = 8 if i.parts[0] == "dp4a" else 16
    start = 16 if i.has("hi") else 0
    for n in range(32 // width):
        lhs = _lane(code, a, n * width, width, first == "s32")
        rhs = _lane(code, b, start + 8 * n, 8, second == "s32")
        total = code.binary("add", "i32", total, code.binary("mul", "i32", lhs, rhs))
    code.write(i.operands[0], total, "i32")


def _lane(code: Lowering, word: str, start: int, width: int, signed: bool) -> str:
    moved = code.binary("lshr", "i32", word, str(start)) if start else word
    return code.converted(code.converted(moved, "i32", f"i{width}"), f"i{width}", "i32", signed)
