"""The LLVM function of one asm statement under construction.

Every PTX register is a stack slot of its width (LLVM promotes them afterwards); rules of the
instructions, registered by `ptx`, read operands and append LLVM IR as text.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from canopy.frontends.cuda.ptx.parser import (
    Address,
    Instruction,
    Label,
    Name,
    Number,
    Operand,
    PtxError,
    Register,
    Slot,
    Special,
    Statement,
    Vector,
)

__all__ = ["CARRY", "Lowering", "Rule", "bits_of", "is_float", "llvm_type", "ptx"]

CARRY = "canopy.carry"  # the flag that add.cc sets and addc reads
Rule = Callable[["Lowering", Instruction], None]
_RULES: dict[str, Rule] = {}
_FLOATS = {"f16": "half", "bf16": "bfloat", "f32": "float", "f64": "double"}
_WIDTHS = {"i1": 1, "i8": 8, "i16": 16, "i32": 32, "i64": 64, "float": 32, "double": 64}
_WIDTHS |= {"half": 16, "bfloat": 16, "ptr": 64}


def ptx(*opcodes: str) -> Callable[[Rule], Rule]:
    """Registers a rule for the instructions that begin with ``opcodes``."""

    def register(rule: Rule) -> Rule:
        for opcode in opcodes:
            assert opcode not in _RULES, opcode
            _RULES[opcode] = rule
        return rule

    return register


def is_float(type_: str) -> bool:
    """Whether a PTX type is a float."""
    return type_ in _FLOATS


def bits_of(type_: str) -> int:
    """The width of a PTX type."""
    if type_ == "pred":
        return 1
    width = type_.lstrip("bsuf")
    if type_ in ("f16x2", "bf16x2"):
        return 32
    if not width.isdigit():
        raise PtxError(f"the type .{type_}")
    return int(width)


def llvm_type(type_: str) -> str:
    """The LLVM type that computes with a PTX type."""
    return _FLOATS.get(type_) or f"i{bits_of(type_)}"


class Lowering:
    """``outputs`` are LLVM types; ``inputs`` types and, where known ahead, integers; ``tied`` maps
    the position of an input to the output that begins with its value."""

    def __init__(
        self,
        name: str,
        outputs: Sequence[str],
        inputs: Sequence[tuple[str, int | None]],
        tied: dict[int, int],
    ) -> None:
        self.name = name
        self.outputs = outputs
        self.inputs = inputs
        self.lines: list[str] = []
        self.types: dict[str, str] = {}  # the LLVM type of each register's slot
        self.declarations: dict[str, str] = {}
        self._counter = 0
        self._labels: set[str] = set()
        for number, type_ in enumerate(outputs):
            self._declare(f"out{number}", type_)
        for position, number in tied.items():
            self.lines.append(f"store {inputs[position][0]} %a{position}, ptr %out{number}")

    # ---- the function

    def run(self, statements: Sequence[Statement]) -> str:
        """The function's text; PtxError for what no rule covers."""
        self._labels = {s.name for s in statements if isinstance(s, Label)}
        for statement in statements:
            match statement:
                case Register(name, type_):
                    self._declare(name, f"i{bits_of(type_)}")
                case Label(name):
                    self.lines.append(f"br label %L.{name}")
                    self.lines.append(f"L.{name}:")
                case Instruction():
                    self._instruction(statement)
        self._return()
        result = _result_type(self.outputs)
        parameters = ", ".join(f"{type_} %a{n}" for n, (type_, _) in enumerate(self.inputs))
        body = "\n".join(
            line if line.endswith(":") and line.startswith("L.") else f"  {line}"
            for line in [*self._slots(), *self.lines]
        )
        return f"define internal {result} @{self.name}({parameters}) convergent {{\n{body}\n}}"

    def _slots(self) -> list[str]:
        return [f"%{name} = alloca {type_}" for name, type_ in self.types.items()]

    def _declare(self, name: str, type_: str) -> None:
        self.types[name] = type_

    def _return(self) -> None:
        values = [self.op(f"load {t}, ptr %out{n}") for n, t in enumerate(self.outputs)]
        if not values:
            self.lines.append("ret void")
        elif len(values) == 1:
            self.lines.append(f"ret {self.outputs[0]} {values[0]}")
        else:
            whole, type_ = "undef", _result_type(self.outputs)
            for n, value in enumerate(values):
                whole = self.op(f"insertvalue {type_} {whole}, {self.outputs[n]} {value}, {n}")
            self.lines.append(f"ret {type_} {whole}")

    def _instruction(self, i: Instruction) -> None:
        if i.parts[0] in ("bra", "ret"):
            self._jump(i)
            return
        rule = _RULES.get(i.parts[0])
        if rule is None:
            raise PtxError(f"the PTX instruction {i.opcode}")
        if i.guard is None:
            rule(self, i)
            return
        run, after = self.label(), self.label()
        self._branch_on(i, run, after)
        self.lines.append(f"{run}:")
        rule(self, i)
        self.lines += [f"br label %{after}", f"{after}:"]

    def _branch_on(self, i: Instruction, yes: str, no: str) -> None:
        assert i.guard is not None
        condition = self.read(i.guard, "i1")
        if i.guard_negated:
            yes, no = no, yes
        self.lines.append(f"br i1 {condition}, label %{yes}, label %{no}")

    def _jump(self, i: Instruction) -> None:
        if i.parts[0] == "ret" or not i.operands:
            raise PtxError(f"the PTX instruction {i.opcode}")
        target = i.operands[0]
        if not isinstance(target, Name) or target.name not in self._labels:
            raise PtxError("a branch out of the asm statement")
        after = self.label()
        if i.guard is None:
            self.lines.append(f"br label %L.{target.name}")
        else:
            self._branch_on(i, f"L.{target.name}", after)
        self.lines.append(f"{after}:")

    # ---- building

    def label(self) -> str:
        self._counter += 1
        return f"L.canopy.{self._counter}"

    def op(self, text: str) -> str:
        """Appends an instruction with a value, and gives its name."""
        self._counter += 1
        name = f"%v{self._counter}"
        self.lines.append(f"{name} = {text}")
        return name

    def effect(self, text: str) -> None:
        self.lines.append(text)

    def binary(self, opcode: str, type_: str, lhs: str, rhs: str) -> str:
        return self.op(f"{opcode} {type_} {lhs}, {rhs}")

    def compare(self, predicate: str, type_: str, lhs: str, rhs: str) -> str:
        return self.op(f"icmp {predicate} {type_} {lhs}, {rhs}")

    def select(self, condition: str, type_: str, yes: str, no: str) -> str:
        return self.op(f"select i1 {condition}, {type_} {yes}, {type_} {no}")

    def call(self, result: str, function: str, *arguments: tuple[str, str]) -> str:
        """A call of a function by its name; arguments are types and values."""
        types = ", ".join(type_ for type_, _ in arguments)
        self.declarations[function] = f"declare {result} @{function}({types})"
        passed = ", ".join(f"{type_} {value}" for type_, value in arguments)
        if result == "void":
            self.effect(f"call void @{function}({passed})")
            return ""
        return self.op(f"call {result} @{function}({passed})")

    def converted(self, value: str, from_: str, to: str, signed: bool = False) -> str:
        """An integer of another width."""
        if from_ == to:
            return value
        wider = _WIDTHS[to] > _WIDTHS[from_]
        opcode = ("sext" if signed else "zext") if wider else "trunc"
        return self.op(f"{opcode} {from_} {value} to {to}")

    # ---- operands

    def read(self, operand: Operand, type_: str, signed: bool = False) -> str:
        """An operand as a value of an LLVM type: the same bits, the lower ones, or extended."""
        match operand:
            case Number(number):
                return _literal(number, type_)
            case Special(name):
                value, found = self.special(name)
            case Slot(index):
                value, found = self._slot(index)
            case Name(name) if name in self.types:
                found = self.types[name]
                value = self.op(f"load {found}, ptr %{name}")
                if operand.is_negated:
                    value = self.binary("xor", "i1", value, "true")
            case _:
                raise PtxError(f"the operand {_text(operand)}")
        return self.as_type(value, found, type_, signed)

    def as_type(self, value: str, found: str, type_: str, signed: bool = False) -> str:
        """The bits of a value under another type."""
        if found == type_:
            return value
        width, wanted = f"i{_WIDTHS[found]}", f"i{_WIDTHS[type_]}"
        if found != width:
            value = self.op(
                f"{'ptrtoint' if found == 'ptr' else 'bitcast'} {found} {value} to {width}"
            )
        value = self.converted(value, width, wanted, signed)
        if type_ == wanted:
            return value
        return self.op(f"{'inttoptr' if type_ == 'ptr' else 'bitcast'} {wanted} {value} to {type_}")

    def _slot(self, index: int) -> tuple[str, str]:
        if index < len(self.outputs):
            type_ = self.outputs[index]
            return self.op(f"load {type_}, ptr %out{index}"), type_
        position = index - len(self.outputs)
        if position >= len(self.inputs):
            raise PtxError(f"the operand ${index}")
        return f"%a{position}", self.inputs[position][0]

    def immediate(self, operand: Operand) -> int:
        """An operand whose value is known ahead."""
        match operand:
            case Number(value):
                return int(value)
            case Slot(index) if index >= len(self.outputs):
                value_ = self.inputs[index - len(self.outputs)][1]
                if value_ is not None:
                    return value_
        raise PtxError(f"the operand {_text(operand)}, which must be a constant")

    def write(self, operand: Operand, value: str, type_: str, signed: bool = False) -> None:
        """Assigns a register; a narrower value is extended."""
        match operand:
            case Slot(index) if index < len(self.outputs):
                name, held = f"out{index}", self.outputs[index]
            case Name("_"):
                return
            case Name(name) if name in self.types:
                held = self.types[name]
            case _:
                raise PtxError(f"a result in {_text(operand)}")
        self.effect(f"store {held} {self.as_type(value, type_, held, signed)}, ptr %{name}")

    def elements(self, operand: Operand) -> tuple[Operand, ...]:
        return operand.elements if isinstance(operand, Vector) else (operand,)

    def address(self, operand: Operand, space: str) -> str:
        """The pointer of ``[base + offset]`` in a state space."""
        if not isinstance(operand, Address):
            raise PtxError(f"the address {_text(operand)}")
        if space.startswith("shared"):
            place = self.read(operand.base, "i32")
            wide = self.converted(place, "i32", "i64", signed=True)
            base = self.call("ptr", "__canopy_from_shared", ("i64", wide))
        elif space in ("global", "local", "const", ""):
            base = self.read(operand.base, "ptr")
        else:
            raise PtxError(f"the state space .{space}")
        if not operand.offset:
            return base
        return self.op(f"getelementptr i8, ptr {base}, i64 {operand.offset}")

    def special(self, name: str) -> tuple[str, str]:
        """A special register and its type."""
        from canopy.frontends.cuda.ptx.specials import special_register

        return special_register(self, name)


def _result_type(outputs: Sequence[str]) -> str:
    if len(outputs) == 1:
        return outputs[0]
    return f"{{ {', '.join(outputs)} }}" if outputs else "void"


def _literal(value: int | float, type_: str) -> str:
    if type_ in ("float", "double", "half", "bfloat"):
        return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"
    if isinstance(value, float):
        packed = struct.pack("<f", value) if type_ == "i32" else struct.pack("<d", value)
        value = int.from_bytes(packed, "little")
    if type_ == "i1":
        return "true" if value else "false"
    width = _WIDTHS[type_]
    value &= (1 << width) - 1
    return str(value - (1 << width) if value >> (width - 1) else value)


def _text(operand: Operand) -> str:
    match operand:
        case Slot(index):
            return f"%{index}"
        case Name(name):
            return name.split(".")[0]
        case Special(name):
            return f"%{name}"
        case Number(value):
            return str(value)
        case Address(base, _):
            return f"[{_text(base)}]"
        case Vector(elements):
            return f"{{{', '.join(map(_text, elements))}}}"
