"""One rule per LLVM instruction: from an instruction and the active lanes to ops of the tile IR.

LLVM's integers have no sign; values are kept signed, and an unsigned operation works on bitcasts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from canopy import ir
from canopy.errors import UnsupportedError
from canopy.frontends.cuda.calls import translate_call
from canopy.frontends.cuda.checks import (
    ATOMIC,
    LOCAL,
    READ,
    WRITE,
    check_array,
    check_fence,
    check_instruction,
)
from canopy.frontends.cuda.llvm_types import size_of
from canopy.frontends.cuda.llvm_values import Instruction, Number
from canopy.frontends.cuda.translator import Mask, Translator
from canopy.ir.types import BOOL, I32, I64, ScalarType, Type, element_type, unsigned
from canopy.ir.types import is_bool as _is_bool

__all__ = ["translate"]

Rule = Callable[[Translator, Instruction, Mask], "ir.Value | None"]
_RULES: dict[str, Rule] = {}


def translate(t: Translator, instruction: Instruction, mask: Mask) -> ir.Value | None:
    """Appends the ops of one instruction and returns its value."""
    rule = _RULES.get(instruction.opcode)
    if rule is None:
        raise UnsupportedError(
            f"the LLVM instruction {instruction.opcode} is not supported yet",
            location=instruction.location,
        )
    return rule(t, instruction, mask)


def _rule(*opcodes: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        for opcode in opcodes:
            assert opcode not in _RULES, opcode
            _RULES[opcode] = function
        return function

    return register


def _operands(t: Translator, i: Instruction) -> list[ir.Value]:
    """The operands, all tiles if the result is one."""
    divergent = i in t.uniformity.divergent_values
    return [t.operand(o, i, tile=divergent) for o in i.operands]


def _like(t: Translator, value: ir.Value, element: Any) -> ir.Value:
    return (
        value
        if element_type(value.type) == element
        else t.add(ir.Bitcast, source=value, type=element)
    )


_BINARY: dict[str, type[ir.Binary]] = {
    "add": ir.Add,
    "sub": ir.Sub,
    "mul": ir.Mul,
    "and": ir.And,
    "or": ir.Or,
    "xor": ir.Xor,
    "shl": ir.ShiftLeft,
    "ashr": ir.ShiftRight,
    "fadd": ir.Add,
    "fsub": ir.Sub,
    "fmul": ir.Mul,
    "fdiv": ir.Div,
    "frem": ir.Rem,
}


@_rule(*_BINARY)
def _binary(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    lhs, rhs = _operands(t, i)
    if _is_bool(lhs.type) and i.opcode in ("add", "sub"):
        return t.add(ir.Xor, lhs=lhs, rhs=rhs)
    if i.opcode in ("fadd", "fsub"):
        fused = _fused(t, i, lhs, rhs)
        if fused is not None:
            return fused
    return t.add(_BINARY[i.opcode], lhs=lhs, rhs=rhs)


def _fused(t: Translator, i: Instruction, lhs: ir.Value, rhs: ir.Value) -> ir.Value | None:
    """a * b + c with one rounding where the source may be contracted, as nvcc does by default."""
    for product, other, is_right in ((lhs, rhs, False), (rhs, lhs, True)):
        source = i.operands[is_right]
        if not _may_contract(i) or not isinstance(source, Instruction):
            continue
        if source.opcode != "fmul" or not _may_contract(source) or source.block is not i.block:
            continue
        factors = product.op
        if not isinstance(factors, ir.Mul):
            continue
        a, b = factors.lhs, factors.rhs
        if i.opcode == "fsub" and is_right:
            a = t.add(ir.MathCall, function="neg", arguments=(a,))
        elif i.opcode == "fsub":
            other = t.add(ir.MathCall, function="neg", arguments=(other,))
        return t.add(ir.Fma, a=a, b=b, c=other)
    return None


def _may_contract(i: Instruction) -> bool:
    flags = i.text.split("=", 1)[-1].split()
    return "contract" in flags or "fast" in flags


_DIVISIONS: dict[str, type[ir.Binary]] = {
    "sdiv": ir.Div,
    "udiv": ir.Div,
    "srem": ir.Rem,
    "urem": ir.Rem,
}


@_rule(*_DIVISIONS)
def _division(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    lhs, rhs = _operands(t, i)
    if i.opcode in ("sdiv", "srem"):
        return t.add(_DIVISIONS[i.opcode], lhs=lhs, rhs=rhs)
    made = t.add(_DIVISIONS[i.opcode], lhs=t.as_unsigned(lhs), rhs=t.as_unsigned(rhs))
    return _like(t, made, element_type(lhs.type))


@_rule("lshr")
def _logical_shift(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    lhs, rhs = (t.as_unsigned(o) for o in _operands(t, i))
    made = t.add(ir.ShiftRight, lhs=lhs, rhs=rhs)
    return _like(t, made, t.element_of(i, i.location))


@_rule("fneg")
def _negate(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    (source,) = _operands(t, i)
    return t.add(ir.MathCall, function="neg", arguments=(source,))


_PREDICATES = {"eq": "eq", "ne": "ne", "lt": "lt", "le": "le", "gt": "gt", "ge": "ge"}


@_rule("icmp")
def _compare_integers(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    lhs, rhs = _operands(t, i)
    name = i.predicate
    if name in ("eq", "ne"):
        return t.add(ir.Compare, predicate=name, lhs=lhs, rhs=_same_pointer(t, lhs, rhs))
    if name[0] == "u":
        lhs, rhs = _as_number(t, lhs), _as_number(t, rhs)
        lhs, rhs = t.as_unsigned(lhs), t.as_unsigned(rhs)
    return t.add(ir.Compare, predicate=_PREDICATES[name[1:]], lhs=lhs, rhs=rhs)


def _as_number(t: Translator, value: ir.Value) -> ir.Value:
    is_number = isinstance(element_type(value.type), ScalarType)
    return value if is_number else t.add(ir.Bitcast, source=value, type=I64)


def _same_pointer(t: Translator, lhs: ir.Value, rhs: ir.Value) -> ir.Value:
    return _like(t, rhs, element_type(lhs.type))


@_rule("fcmp")
def _compare_floats(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    lhs, rhs = _operands(t, i)
    if i.predicate in ("ord", "uno"):
        unordered = i.predicate == "uno"
        left = t.add(
            ir.Compare, predicate="ne" if unordered else "eq", lhs=lhs, rhs=lhs, unordered=unordered
        )
        right = t.add(
            ir.Compare, predicate="ne" if unordered else "eq", lhs=rhs, rhs=rhs, unordered=unordered
        )
        return t.add(ir.Or if unordered else ir.And, lhs=left, rhs=right)
    predicate = _PREDICATES[i.predicate[1:]]
    return t.add(ir.Compare, predicate=predicate, lhs=lhs, rhs=rhs, unordered=i.predicate[0] == "u")


@_rule("select")
def _select(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    divergent = i in t.uniformity.divergent_values
    condition = t.operand(i.operands[0], i)
    if_true, if_false = (t.operand(o, i, tile=divergent) for o in i.operands[1:])
    element = t.element_of(i, i.location)
    if element is BOOL and condition.type == if_true.type:  # && and || of the source
        if _always(if_true, True):
            return t.add(ir.Or, lhs=condition, rhs=if_false)
        if _always(if_false, False):
            return t.add(ir.And, lhs=condition, rhs=if_true)
    return t.add(
        ir.Select,
        condition=condition,
        if_true=_like(t, if_true, element),
        if_false=_like(t, if_false, element),
    )


def _always(value: ir.Value, truth: bool) -> bool:
    return isinstance(value.op, ir.Constant) and bool(value.op.value) is truth


@_rule("freeze")
def _freeze(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    return _operands(t, i)[0]


# ---- conversions


@_rule("trunc", "sext", "sitofp", "fptosi", "fpext", "fptrunc")
def _cast(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    (source,) = _operands(t, i)
    element = t.element_of(i, i.location)
    if element is BOOL:
        source = t.add(ir.And, lhs=source, rhs=t.constant(1, source.type))
    if _is_bool(source.type) and i.opcode in ("sext", "sitofp"):
        widened = t.add(ir.Cast, source=source, type=I32)
        source = t.add(ir.Sub, lhs=t.constant(0, widened.type), rhs=widened)
    return t.add(ir.Cast, source=source, type=element)


@_rule("zext", "uitofp")
def _cast_unsigned(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    (source,) = _operands(t, i)
    if i.opcode == "zext" and " nneg " in i.text:  # signed indices are known not to wrap
        return t.add(ir.Cast, source=source, type=t.element_of(i, i.location))
    made = t.add(
        ir.Cast, source=t.as_unsigned(source), type=_result_element(t, i, as_unsigned=True)
    )
    return _like(t, made, t.element_of(i, i.location))


@_rule("fptoui")
def _cast_to_unsigned(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    (source,) = _operands(t, i)
    made = t.add(ir.Cast, source=source, type=_result_element(t, i, as_unsigned=True))
    return _like(t, made, t.element_of(i, i.location))


def _result_element(t: Translator, i: Instruction, as_unsigned: bool) -> Type:
    element = t.element_of(i, i.location)
    return unsigned(element) if as_unsigned else element


@_rule("bitcast", "ptrtoint", "inttoptr")
def _bitcast(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    (source,) = _operands(t, i)
    return _like(t, source, t.element_of(i, i.location))


@_rule("addrspacecast")
def _address_space_cast(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    return _operands(t, i)[0]


# ---- memory


@_rule("getelementptr")
def _element_pointer(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    pointer = t.operand(i.operands[0], i)
    offset = 0
    moving: list[tuple[int, ir.Value]] = []
    for scale, index in t.steps(i.source_type, i.operands[1:], i.location):
        if isinstance(index, Number):
            offset += scale * int(index.value)
        else:
            moving.append((scale, t.operand(index, i)))
    pointer = t.advanced(pointer, offset)
    for scale, amount in sorted(moving, key=lambda m: m[1].is_tile):  # scalars first stay scalars
        if pointer.is_tile or amount.is_tile:
            pointer, amount = t.as_tile(pointer), t.as_tile(amount)
        pointer = t.add(ir.Offset, pointer=pointer, index=amount, scale=scale)
    return t.as_tile(pointer) if i in t.uniformity.divergent_values else pointer


@_rule("load")
def _load(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    pointer = t.operand(i.operands[0], i)
    element = t.element_of(i, i.location)
    check_instruction(t, i, pointer, mask, element.bytes, READ)
    if not pointer.is_tile:
        mask = t.scalar_mask(mask)
    volatile = " volatile " in i.text
    return t.add(ir.Load, pointer=pointer, mask=mask, type=element, volatile=volatile)


@_rule("store")
def _store(t: Translator, i: Instruction, mask: Mask) -> None:
    value = t.operand(i.operands[0], i)
    pointer = t.operand(i.operands[1], i)
    check_instruction(t, i, pointer, mask, element_type(value.type).bytes, WRITE, value)
    if value.is_tile or pointer.is_tile:
        value, pointer = t.as_tile(value), t.as_tile(pointer)
    else:
        mask = t.scalar_mask(mask)
    volatile = " volatile " in i.text
    t.builder.effect(ir.Store, pointer=pointer, value=value, mask=mask, volatile=volatile)


@_rule("alloca")
def _alloca(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    """Memory of each thread, one thread after another."""
    assert i.source_type is not None
    size = size_of(i.source_type)
    base = t.add(ir.Scratch, bytes=max(size, 1) * t.lanes)
    check_array(t, base, size, LOCAL, "")
    return t.add(ir.Offset, pointer=t.as_tile(base), index=t.lane_index(), scale=size)


_ATOMICS = {
    "add": "add",
    "sub": "sub",
    "and": "and",
    "or": "or",
    "xor": "xor",
    "xchg": "exchange",
    "max": "max",
    "min": "min",
    "umax": "max",
    "umin": "min",
    "fadd": "add",
    "fsub": "sub",
    "fmax": "max",
    "fmin": "min",
    "uinc_wrap": "inc",
    "udec_wrap": "dec",
}
_ORDERS = {"monotonic": "relaxed", "acquire": "acquire", "release": "release", "acq_rel": "acq_rel"}


@_rule("atomicrmw")
def _atomic(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    words = i.text.replace("volatile ", "").split("atomicrmw ", 1)[1].split()
    kind = words[0]
    pointer, value = _operands(t, i)
    element = element_type(value.type)
    if kind in ("umax", "umin", "uinc_wrap", "udec_wrap"):
        value = t.as_unsigned(value)
    order = next((_ORDERS[w] for w in words if w in _ORDERS), "acq_rel")
    if kind not in _ATOMICS:
        raise UnsupportedError(
            f"the atomic operation {kind} is not supported yet", location=i.location
        )
    check_instruction(t, i, pointer, mask, element.bytes, ATOMIC)
    made = t.add(
        ir.AtomicRmw, kind=_ATOMICS[kind], pointer=pointer, value=value, mask=mask, order=order
    )
    return _like(t, made, element)


@_rule("cmpxchg")
def _compare_exchange(t: Translator, i: Instruction, mask: Mask) -> None:
    """Its value is a pair; each half is kept for the extractvalue that reads it."""
    pointer, compare, value = _operands(t, i)
    check_instruction(t, i, pointer, mask, element_type(value.type).bytes, ATOMIC)
    old = t.add(ir.AtomicCas, pointer=pointer, compare=compare, value=value, mask=mask)
    t.env["pair", i, 0] = old
    t.env["pair", i, 1] = t.add(ir.Compare, predicate="eq", lhs=old, rhs=compare)


@_rule("extractvalue")
def _extract(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    field = int(i.text.rsplit(",", 1)[1])
    found = t.env.get(("pair", i.operands[0], field))
    if found is None:
        raise UnsupportedError("this use of a structure is not supported yet", location=i.location)
    return found


@_rule("fence")
def _fence(t: Translator, i: Instruction, mask: Mask) -> None:
    check_fence(t, mask)
    t.builder.effect(ir.Fence)


@_rule("br", "ret", "unreachable")
def _nothing(t: Translator, i: Instruction, mask: Mask) -> None:
    """Branches are emitted by `structure`."""


@_rule("call")
def _call(t: Translator, i: Instruction, mask: Mask) -> ir.Value | None:
    return translate_call(t, i, mask)
