"""PTX's cvt, comparisons and selections."""

from __future__ import annotations

from canopy.frontends.cuda.ptx.arithmetic import saturated
from canopy.frontends.cuda.ptx.lowering import Lowering, bits_of, is_float, llvm_type, ptx
from canopy.frontends.cuda.ptx.parser import Instruction, PtxError

__all__: list[str] = []

_TO_INTEGER = {"rni": "rn", "rzi": "rz", "rmi": "rd", "rpi": "ru"}
_TO_FLOAT = {"rn": "rn", "rz": "rz", "rm": "rd", "rp": "ru"}
_ROUND = {"rni": "rint", "rzi": "trunc", "rmi": "floor", "rpi": "ceil"}
_INTEGER_NAMES = {"s32": "int", "u32": "uint", "s64": "ll", "u64": "ull"}


@ptx("cvt")
def _convert(code: Lowering, i: Instruction) -> None:
    if len(i.parts) < 3:
        raise PtxError(f"the PTX instruction {i.opcode}")
    to, from_ = i.parts[-2:]
    if i.has("relu", "satfinite") or to in ("e4m3x2", "e5m2x2"):
        raise PtxError(f"the PTX instruction {i.opcode}")
    if to in ("f16x2", "bf16x2"):
        _pack_floats(code, i, to.removesuffix("x2"))
    elif to == "tf32":
        _to_tf32(code, i)
    elif is_float(from_) and is_float(to):
        _float_to_float(code, i, to, from_)
    elif is_float(from_):
        _float_to_integer(code, i, to, from_)
    elif is_float(to):
        _integer_to_float(code, i, to, from_)
    else:
        _integer_to_integer(code, i, to, from_)


def _rounding(i: Instruction, table: dict[str, str]) -> str | None:
    return next((table[p] for p in i.parts if p in table), None)


def _integer_to_integer(code: Lowering, i: Instruction, to: str, from_: str) -> None:
    source = code.read(i.operands[1], llvm_type(from_))
    signed = from_[0] == "s"
    if i.has("sat"):
        wide = code.converted(source, llvm_type(from_), "i64", signed)
        source, from_ = _within(code, wide, to, is_signed=signed), "s64"
    value = code.converted(source, llvm_type(from_), llvm_type(to), signed)
    code.write(i.operands[0], value, llvm_type(to), to[0] == "s")


def _within(code: Lowering, value: str, to: str, is_signed: bool) -> str:
    """An i64 limited to the range of an integer type."""
    bits = bits_of(to)
    low = -(1 << (bits - 1)) if to[0] == "s" else 0
    high = (1 << (bits - 1)) - 1 if to[0] == "s" else (1 << bits) - 1
    if is_signed:
        value = code.select(code.compare("slt", "i64", value, str(low)), "i64", str(low), value)
        if high >= 1 << 63:
            return value
        above = code.compare("sgt", "i64", value, str(high))
    elif high >= 1 << 64 - 1 and to[0] == "u":
        return value
    else:
        above = code.compare("ugt", "i64", value, str(high))
    return code.select(above, "i64", str(high), value)


def _float_to_integer(code: Lowering, i: Instruction, to: str, from_: str) -> None:
    """Saturating, NaN becoming 0; 8 and 16 bits by way of 32."""
    rounding = _rounding(i, _TO_INTEGER)
    if rounding is None:
        raise PtxError(f"the PTX instruction {i.opcode}")
    source = code.read(i.operands[1], llvm_type(from_))
    if from_ in ("f16", "bf16"):
        source, from_ = code.op(f"fpext {llvm_type(from_)} {source} to float"), "f32"
    step = to if bits_of(to) >= 32 else f"{to[0]}32"
    name = f"__nv_{'float' if from_ == 'f32' else 'double'}2{_INTEGER_NAMES[step]}_{rounding}"
    value = code.call(llvm_type(step), name, (llvm_type(from_), source))
    if step != to:
        wide = code.converted(value, "i32", "i64", to[0] == "s")
        value = code.converted(
            _within(code, wide, to, is_signed=to[0] == "s"), "i64", llvm_type(to)
        )
    code.write(i.operands[0], value, llvm_type(to), to[0] == "s")


def _integer_to_float(code: Lowering, i: Instruction, to: str, from_: str) -> None:
    source = code.read(i.operands[1], llvm_type(from_))
    opcode = "sitofp" if from_[0] == "s" else "uitofp"
    rounding = _rounding(i, _TO_FLOAT)
    if rounding in (None, "rn") or (to == "f64" and bits_of(from_) <= 32):
        value = code.op(f"{opcode} {llvm_type(from_)} {source} to {llvm_type(to)}")
    elif to in ("f32", "f64"):
        if bits_of(from_) < 32:
            source = code.converted(source, llvm_type(from_), "i32", from_[0] == "s")
            from_ = f"{from_[0]}32"
        name = f"__nv_{_INTEGER_NAMES[from_]}2{'float' if to == 'f32' else 'double'}_{rounding}"
        value = code.call(llvm_type(to), name, (llvm_type(from_), source))
    else:
        raise PtxError(f"the PTX instruction {i.opcode}")
    code.write(i.operands[0], value, llvm_type(to))


def _float_to_float(code: Lowering, i: Instruction, to: str, from_: str) -> None:
    type_ = llvm_type(from_)
    value = code.read(i.operands[1], type_)
    whole = _rounding(i, _ROUND)
    if whole:
        wide = value if from_ in ("f32", "f64") else code.op(f"fpext {type_} {value} to float")
        type_ = "double" if from_ == "f64" else "float"
        value = code.call(type_, f"__nv_{whole}{'' if from_ == 'f64' else 'f'}", (type_, wide))
        from_ = "f64" if from_ == "f64" else "f32"
    value = _resized(code, i, value, to, from_)
    code.write(i.operands[0], saturated(code, i, value, llvm_type(to)), llvm_type(to))


def _resized(code: Lowering, i: Instruction, value: str, to: str, from_: str) -> str:
    if to == from_:
        return value
    rounding = _rounding(i, _TO_FLOAT)
    if bits_of(to) > bits_of(from_):
        return code.op(f"fpext {llvm_type(from_)} {value} to {llvm_type(to)}")
    if rounding in (None, "rn"):
        return code.op(f"fptrunc {llvm_type(from_)} {value} to {llvm_type(to)}")
    if (to, from_) == ("f32", "f64"):
        return code.call("float", f"__nv_double2float_{rounding}", ("double", value))
    raise PtxError(f"the PTX instruction {i.opcode}")


def _pack_floats(code: Lowering, i: Instruction, to: str) -> None:
    """cvt.rn.f16x2.f32 d, a, b: a in the upper half."""
    if len(i.operands) != 3 or not i.has("rn"):
        raise PtxError(f"the PTX instruction {i.opcode}")
    halves = []
    for operand in i.operands[1:3]:
        narrow = code.op(f"fptrunc float {code.read(operand, 'float')} to {llvm_type(to)}")
        halves.append(code.as_type(narrow, llvm_type(to), "i32"))
    upper = code.binary("shl", "i32", halves[0], "16")
    code.write(i.operands[0], code.binary("or", "i32", upper, halves[1]), "i32")


def _to_tf32(code: Lowering, i: Instruction) -> None:
    """f32 with 10 bits of mantissa: rounded to nearest, ties away from zero."""
    if not i.has("rna"):
        raise PtxError(f"the PTX instruction {i.opcode}")
    source = code.read(i.operands[1], "i32")
    kept = code.binary("and", "i32", code.binary("add", "i32", source, str(0x1000)), str(-0x2000))
    exponent = code.binary("and", "i32", source, str(0x7F800000))
    special = code.compare("eq", "i32", exponent, str(0x7F800000))
    code.write(i.operands[0], code.select(special, "i32", source, kept), "i32")


# ---- comparisons and selections

_ORDERED = {"eq": "oeq", "ne": "one", "lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge"}
_UNORDERED = {"equ": "ueq", "neu": "une", "ltu": "ult", "leu": "ule", "gtu": "ugt", "geu": "uge"}
_FLOAT_PREDICATES = {**_ORDERED, **_UNORDERED, "num": "ord", "nan": "uno"}
_UNSIGNED_NAMES = {"lo": "ult", "ls": "ule", "hi": "ugt", "hs": "uge"}


def _condition(code: Lowering, i: Instruction, kind: str) -> str:
    relation = i.parts[1]
    type_ = llvm_type(kind)
    lhs, rhs = (code.read(o, type_) for o in i.operands[1:3])
    if is_float(kind):
        if relation not in _FLOAT_PREDICATES:
            raise PtxError(f"the PTX instruction {i.opcode}")
        return code.op(f"fcmp {_FLOAT_PREDICATES[relation]} {type_} {lhs}, {rhs}")
    if relation in _UNSIGNED_NAMES:
        return code.compare(_UNSIGNED_NAMES[relation], type_, lhs, rhs)
    if relation not in _ORDERED:
        raise PtxError(f"the PTX instruction {i.opcode}")
    sign = "" if relation in ("eq", "ne") else "s" if kind[0] == "s" else "u"
    return code.compare(f"{sign}{relation}", type_, lhs, rhs)


@ptx("setp")
def _set_predicate(code: Lowering, i: Instruction) -> None:
    holds = _condition(code, i, i.parts[-1])
    fails = code.binary("xor", "i1", holds, "true")
    joined = next((p for p in i.parts[2:-1] if p in ("and", "or", "xor")), None)
    if joined:
        other = code.read(i.operands[3], "i1")
        holds, fails = (code.binary(joined, "i1", v, other) for v in (holds, fails))
    code.write(i.operands[0], holds, "i1")
    if i.second:
        code.write(i.second, fails, "i1")


@ptx("set")
def _set(code: Lowering, i: Instruction) -> None:
    to, kind = i.parts[-2:]
    holds = _condition(code, i, kind)
    joined = next((p for p in i.parts[2:-2] if p in ("and", "or", "xor")), None)
    if joined:
        holds = code.binary(joined, "i1", holds, code.read(i.operands[3], "i1"))
    if to == "f32":
        code.write(i.operands[0], code.op(f"uitofp i1 {holds} to float"), "float")
    else:
        code.write(i.operands[0], code.converted(holds, "i1", "i32", signed=True), "i32")


@ptx("selp")
def _select(code: Lowering, i: Instruction) -> None:
    type_ = f"i{bits_of(i.parts[-1])}"
    if is_float(i.parts[-1]):
        type_ = llvm_type(i.parts[-1])
    yes, no = (code.read(o, type_) for o in i.operands[1:3])
    code.write(i.operands[0], code.select(code.read(i.operands[3], "i1"), type_, yes, no), type_)


@ptx("slct")
def _select_by_sign(code: Lowering, i: Instruction) -> None:
    """The first source where the third is not negative, else the second."""
    kind, control = i.parts[-2:]
    type_ = llvm_type(kind)
    yes, no = (code.read(o, type_) for o in i.operands[1:3])
    c = code.read(i.operands[3], llvm_type(control))
    if is_float(control):
        holds = code.op(f"fcmp oge float {c}, 0.0")
    else:
        holds = code.compare("sge", "i32", c, "0")
    code.write(i.operands[0], code.select(holds, type_, yes, no), type_)


@ptx("testp")
def _test(code: Lowering, i: Instruction) -> None:
    kind, relation = i.parts[-1], i.parts[1]
    bits = f"i{bits_of(kind)}"
    source = code.read(i.operands[1], bits)
    infinity = {"f32": 0x7F800000, "f64": 0x7FF0000000000000}[kind]
    tiny = {"f32": 0x00800000, "f64": 0x0010000000000000}[kind]
    most = (1 << (bits_of(kind) - 1)) - 1
    size = code.binary("and", bits, source, str(most))
    tests = {
        "finite": ("ult", infinity),
        "infinite": ("eq", infinity),
        "number": ("ule", infinity),
        "notanumber": ("ugt", infinity),
        "subnormal": ("ult", tiny),
    }
    if relation == "normal":
        low = code.compare("uge", bits, size, str(tiny))
        value = code.binary("and", "i1", low, code.compare("ult", bits, size, str(infinity)))
    elif relation in tests:
        predicate, bound = tests[relation]
        value = code.compare(predicate, bits, size, str(bound))
        if relation == "subnormal":
            value = code.binary("and", "i1", value, code.compare("ne", bits, size, "0"))
    else:
        raise PtxError(f"the PTX instruction {i.opcode}")
    code.write(i.operands[0], value, "i1")
