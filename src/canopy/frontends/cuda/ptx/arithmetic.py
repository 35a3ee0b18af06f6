"""PTX's arithmetic on integers and floats."""

from __future__ import annotations

from canopy.frontends.cuda.ptx.lowering import CARRY, Lowering, bits_of, is_float, llvm_type, ptx
from canopy.frontends.cuda.ptx.parser import Instruction, PtxError

__all__ = ["saturated", "through_f32"]

_ROUNDINGS = {"rz": "rz", "rm": "rd", "rp": "ru"}


def _float_call(i: Instruction, operation: str) -> str | None:
    """libdevice's name for an operation with a direction of rounding."""
    found = next((_ROUNDINGS[p] for p in i.parts if p in _ROUNDINGS), None)
    if found is None:
        return None
    kind = i.parts[-1]
    if kind not in ("f32", "f64"):
        raise PtxError(f"the PTX instruction {i.opcode}")
    if operation == "fma":
        return f"__nv_fma{'f' if kind == 'f32' else ''}_{found}"
    return f"__nv_{'f' if kind == 'f32' else 'd'}{operation}_{found}"


def saturated(code: Lowering, i: Instruction, value: str, type_: str) -> str:
    """With .sat a float is limited to 0 .. 1, NaN becoming 0."""
    if not i.has("sat"):
        return value
    if type_ != "float":
        raise PtxError(f"the PTX instruction {i.opcode}")
    return code.call("float", "__nv_saturatef", ("float", value))


_PAIRS = {"f16x2": "half", "bf16x2": "bfloat", "s16x2": "i16", "u16x2": "i16"}


def _lanes_of_pair(code: Lowering, i: Instruction, count: int) -> list[list[str]]:
    """The operands of an instruction of two 16-bit lanes, as two lists of lanes."""
    element = _PAIRS[i.parts[-1]]
    lanes: list[list[str]] = [[], []]
    for operand in i.operands[1 : 1 + count]:
        word = code.read(operand, "i32")
        for n in range(2):
            moved = code.binary("lshr", "i32", word, str(16 * n)) if n else word
            lanes[n].append(code.as_type(moved, "i32", element))
    return lanes


def _write_pair(code: Lowering, i: Instruction, lanes: list[str], element: str) -> None:
    low, high = (code.as_type(lane, element, "i32") for lane in lanes)
    moved = code.binary("shl", "i32", high, "16")
    code.write(i.operands[0], code.binary("or", "i32", low, moved), "i32")


def _float_operation(code: Lowering, i: Instruction, operation: str, type_: str, *v: str) -> str:
    named = _float_call(i, operation)
    if named:
        return code.call(type_, named, *((type_, value) for value in v))
    if operation == "fma":
        arguments = [(type_, value) for value in v]
        return code.call(type_, f"llvm.fma.{_suffix(type_)}", *arguments)
    return code.binary(f"f{operation}", type_, *v)


def _suffix(type_: str) -> str:
    return {"float": "f32", "double": "f64", "half": "f16", "bfloat": "bf16"}[type_]


def _floats(code: Lowering, i: Instruction, operation: str, count: int) -> None:
    kind = i.parts[-1]
    if kind in ("f16x2", "bf16x2"):
        element = "half" if kind == "f16x2" else "bfloat"
        lanes = [
            _float_operation(code, i, operation, element, *lane)
            for lane in _lanes_of_pair(code, i, count)
        ]
        _write_pair(code, i, lanes, element)
        return
    type_ = llvm_type(kind)
    values = [code.read(o, type_) for o in i.operands[1 : 1 + count]]
    value = _float_operation(code, i, operation, type_, *values)
    code.write(i.operands[0], saturated(code, i, value, type_), type_)


def _is_float(i: Instruction) -> bool:
    return i.parts[-1] in ("f16x2", "bf16x2") or is_float(i.parts[-1])


# ---- sums, with and without carry


@ptx("add", "sub", "addc", "subc")
def _add(code: Lowering, i: Instruction) -> None:
    operation = i.parts[0][:3]
    if _is_float(i):
        _floats(code, i, operation, 2)
        return
    kind = i.parts[-1]
    type_ = llvm_type(kind)
    lhs, rhs = (code.read(o, type_) for o in i.operands[1:3])
    if i.has("sat"):
        code.write(i.operands[0], _saturated_sum(code, operation, lhs, rhs), type_)
        return
    carry = _carry_in(code) if i.parts[0].endswith("c") else None
    value = _sum_with_carry(code, operation, type_, (lhs, rhs), carry, i.has("cc"))
    code.write(i.operands[0], value, type_)


def _saturated_sum(code: Lowering, operation: str, lhs: str, rhs: str) -> str:
    wide = [code.converted(v, "i32", "i64", signed=True) for v in (lhs, rhs)]
    total = code.binary(operation, "i64", *wide)
    return code.converted(_clipped(code, total, "i64", -(2**31), 2**31 - 1), "i64", "i32")


def _clipped(code: Lowering, value: str, type_: str, low: int, high: int) -> str:
    raised = code.select(code.compare("slt", type_, value, str(low)), type_, str(low), value)
    return code.select(code.compare("sgt", type_, raised, str(high)), type_, str(high), raised)


def _carry_in(code: Lowering) -> str:
    return code.op(f"load i32, ptr @{CARRY}")


def _sum_with_carry(
    code: Lowering, operation: str, type_: str, sides: tuple[str, str], carry: str | None, out: bool
) -> str:
    """lhs +- rhs +- carry; the new carry where the instruction wants it."""
    lhs, rhs = sides
    first = code.binary(operation, type_, lhs, rhs)
    total = first
    if carry is not None:
        total = code.binary(operation, type_, first, code.converted(carry, "i32", type_))
    if not out:
        return total
    if operation == "add":
        over = code.compare("ult", type_, first, lhs)
        again = code.compare("ult", type_, total, first)
    else:
        over = code.compare("ult", type_, lhs, rhs)
        again = code.compare("ugt", type_, total, first)
    if carry is not None:
        over = code.binary("or", "i1", over, again)
    code.effect(f"store i32 {code.converted(over, 'i1', 'i32')}, ptr @{CARRY}")
    return total


# ---- products


def _product(code: Lowering, i: Instruction, kind: str, part: str) -> tuple[str, str]:
    """The part (lo, hi, wide) of the product of the first two operands, and its type."""
    type_, signed = llvm_type(kind), kind[0] == "s"
    lhs, rhs = (code.read(o, type_) for o in i.operands[1:3])
    if part == "lo":
        return code.binary("mul", type_, lhs, rhs), type_
    if part == "wide":
        wide = f"i{2 * bits_of(kind)}"
        sides = [code.converted(v, type_, wide, signed) for v in (lhs, rhs)]
        return code.binary("mul", wide, *sides), wide
    if bits_of(kind) == 16:
        sides = [code.converted(v, "i16", "i32", signed) for v in (lhs, rhs)]
        moved = code.binary("lshr", "i32", code.binary("mul", "i32", *sides), "16")
        return code.converted(moved, "i32", "i16"), "i16"
    middle = "64" if bits_of(kind) == 64 else ""
    name = f"__nv_{'' if signed else 'u'}mul{middle}hi"
    return code.call(type_, name, (type_, lhs), (type_, rhs)), type_


def _part(i: Instruction) -> str:
    return next((p for p in ("lo", "hi", "wide") if i.has(p)), "lo")


@ptx("mul")
def _multiply(code: Lowering, i: Instruction) -> None:
    if _is_float(i):
        _floats(code, i, "mul", 2)
        return
    value, type_ = _product(code, i, i.parts[-1], _part(i))
    code.write(i.operands[0], value, type_)


@ptx("mad", "madc")
def _multiply_add(code: Lowering, i: Instruction) -> None:
    if _is_float(i):
        _floats(code, i, "fma", 3)
        return
    value, type_ = _product(code, i, i.parts[-1], _part(i))
    addend = code.read(i.operands[3], type_)
    if i.has("sat"):
        code.write(i.operands[0], _saturated_sum(code, "add", value, addend), type_)
        return
    carry = _carry_in(code) if i.parts[0] == "madc" else None
    total = _sum_with_carry(code, "add", type_, (value, addend), carry, i.has("cc"))
    code.write(i.operands[0], total, type_)


@ptx("fma")
def _fused(code: Lowering, i: Instruction) -> None:
    if i.has("relu"):
        raise PtxError(f"the PTX instruction {i.opcode}")
    _floats(code, i, "fma", 3)


@ptx("mul24", "mad24")
def _multiply_24(code: Lowering, i: Instruction) -> None:
    if i.has("hi"):
        raise PtxError(f"the PTX instruction {i.opcode}")
    shift = "ashr" if i.parts[-1] == "s32" else "lshr"
    sides = []
    for operand in i.operands[1:3]:
        lifted = code.binary("shl", "i32", code.read(operand, "i32"), "8")
        sides.append(code.binary(shift, "i32", lifted, "8"))
    value = code.binary("mul", "i32", *sides)
    if i.parts[0] == "mad24":
        value = code.binary("add", "i32", value, code.read(i.operands[3], "i32"))
    code.write(i.operands[0], value, "i32")


# ---- quotients


@ptx("div")
def _divide(code: Lowering, i: Instruction) -> None:
    kind = i.parts[-1]
    type_ = llvm_type(kind)
    lhs, rhs = (code.read(o, type_) for o in i.operands[1:3])
    if is_float(kind):
        value = _float_operation(code, i, "div", type_, lhs, rhs)
    else:
        value = code.binary("sdiv" if kind[0] == "s" else "udiv", type_, lhs, rhs)
    code.write(i.operands[0], value, type_)


@ptx("rem")
def _remainder(code: Lowering, i: Instruction) -> None:
    type_ = llvm_type(i.parts[-1])
    lhs, rhs = (code.read(o, type_) for o in i.operands[1:3])
    opcode = "srem" if i.parts[-1][0] == "s" else "urem"
    code.write(i.operands[0], code.binary(opcode, type_, lhs, rhs), type_)


# ---- signs, minima and maxima


@ptx("neg")
def _negate(code: Lowering, i: Instruction) -> None:
    if i.parts[-1] in ("f16x2", "bf16x2"):
        value = code.binary("xor", "i32", code.read(i.operands[1], "i32"), str(-0x7FFF8000))
        code.write(i.operands[0], value, "i32")
        return
    type_ = llvm_type(i.parts[-1])
    source = code.read(i.operands[1], type_)
    value = (
        code.op(f"fneg {type_} {source}")
        if _is_float(i)
        else code.binary("sub", type_, "0", source)
    )
    code.write(i.operands[0], value, type_)


@ptx("abs")
def _magnitude(code: Lowering, i: Instruction) -> None:
    if i.parts[-1] in ("f16x2", "bf16x2"):
        value = code.binary("and", "i32", code.read(i.operands[1], "i32"), str(0x7FFF7FFF))
        code.write(i.operands[0], value, "i32")
        return
    type_ = llvm_type(i.parts[-1])
    if _is_float(i):
        bits = f"i{bits_of(i.parts[-1])}"
        most = str((1 << (bits_of(i.parts[-1]) - 1)) - 1)
        code.write(
            i.operands[0], code.binary("and", bits, code.read(i.operands[1], bits), most), bits
        )
        return
    source = code.read(i.operands[1], type_)
    negative = code.compare("slt", type_, source, "0")
    code.write(
        i.operands[0],
        code.select(negative, type_, code.binary("sub", type_, "0", source), source),
        type_,
    )


@ptx("min", "max")
def _extreme(code: Lowering, i: Instruction) -> None:
    kind = i.parts[-1]
    if i.has("xorsign", "relu"):
        raise PtxError(f"the PTX instruction {i.opcode}")
    if kind in _PAIRS:
        element = _PAIRS[kind]
        lanes = [_extreme_of(code, i, element, *lane) for lane in _lanes_of_pair(code, i, 2)]
        _write_pair(code, i, lanes, element)
        return
    type_ = llvm_type(kind)
    lhs, rhs = (code.read(o, type_) for o in i.operands[1:3])
    code.write(i.operands[0], _extreme_of(code, i, type_, lhs, rhs), type_)


def _extreme_of(code: Lowering, i: Instruction, type_: str, lhs: str, rhs: str) -> str:
    if _is_float(i):
        return _extreme_of_floats(code, i, type_, lhs, rhs)
    order = "lt" if i.parts[0] == "min" else "gt"
    predicate = ("s" if i.parts[-1][0] == "s" else "u") + order
    return code.select(code.compare(predicate, type_, lhs, rhs), type_, lhs, rhs)


def _extreme_of_floats(code: Lowering, i: Instruction, type_: str, lhs: str, rhs: str) -> str:
    name = f"llvm.{'minnum' if i.parts[0] == 'min' else 'maxnum'}.{_suffix(type_)}"
    value = code.call(type_, name, (type_, lhs), (type_, rhs))
    if not i.has("NaN"):
        return value
    unordered = code.op(f"fcmp uno {type_} {lhs}, {rhs}")
    return code.select(unordered, type_, code.binary("fadd", type_, lhs, rhs), value)


@ptx("copysign")
def _copy_sign(code: Lowering, i: Instruction) -> None:
    """The sign of the first source and the magnitude of the second."""
    bits = bits_of(i.parts[-1])
    type_, sign = f"i{bits}", -(1 << (bits - 1))
    signed = code.binary("and", type_, code.read(i.operands[1], type_), str(sign))
    size = code.binary("and", type_, code.read(i.operands[2], type_), str(~sign))
    code.write(i.operands[0], code.binary("or", type_, signed, size), type_)


# ---- functions

_FUNCTIONS = {"ex2": "exp2", "lg2": "log2", "sin": "sin", "cos": "cos", "tanh": "tanh"}
_FUNCTIONS |= {"sqrt": "sqrt", "rsqrt": "rsqrt"}


def through_f32(code: Lowering, kind: str, value: str, function: str) -> str:
    """A function of libdevice; of halves in f32."""
    if kind == "f64":
        return code.call("double", f"__nv_{function}", ("double", value))
    if kind == "f32":
        return code.call("float", f"__nv_{function}f", ("float", value))
    type_ = llvm_type(kind)
    wide = code.op(f"fpext {type_} {value} to float")
    made = code.call("float", f"__nv_{function}f", ("float", wide))
    return code.op(f"fptrunc float {made} to {type_}")


@ptx(*_FUNCTIONS)
def _function(code: Lowering, i: Instruction) -> None:
    kind, function = i.parts[-1], _FUNCTIONS[i.parts[0]]
    if kind in ("f16x2", "bf16x2"):
        short = kind.removesuffix("x2")
        lanes = [through_f32(code, short, lane[0], function) for lane in _lanes_of_pair(code, i, 1)]
        _write_pair(code, i, lanes, llvm_type(short))
        return
    type_ = llvm_type(kind)
    source = code.read(i.operands[1], type_)
    named = _float_call(i, "sqrt") if function == "sqrt" else None
    value = (
        code.call(type_, named, (type_, source))
        if named
        else through_f32(code, kind, source, function)
    )
    code.write(i.operands[0], value, type_)


@ptx("rcp")
def _reciprocal(code: Lowering, i: Instruction) -> None:
    type_ = llvm_type(i.parts[-1])
    source = code.read(i.operands[1], type_)
    named = _float_call(i, "rcp")
    value = (
        code.call(type_, named, (type_, source))
        if named
        else code.binary("fdiv", type_, "1.0", source)
    )
    code.write(i.operands[0], value, type_)
