"""Reads a prepared LLVM module into plain Python objects.

llvmlite's bindings give functions, blocks, instructions, operands and types; what they leave out
(predicates, GEP source types, debug locations, calling conventions) comes from the module's text,
line by line beside the bindings.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator

from llvmlite import binding as llvm

from canopy.errors import UNKNOWN_LOCATION, CompileError
from canopy.frontends.cuda.aggregates import copy_changed_arguments, split_aggregates
from canopy.frontends.cuda.debug_info import DebugInfo
from canopy.frontends.cuda.indirect import function_address
from canopy.frontends.cuda.llvm_types import (
    ArrayType,
    FloatType,
    IntType,
    LlvmType,
    PtrType,
    StructType,
    TypeParser,
)
from canopy.frontends.cuda.llvm_values import (
    CONSTANT_OPCODES,
    Aggregate,
    Argument,
    Block,
    ConstantExpression,
    Function,
    Global,
    Instruction,
    LlvmValue,
    Module,
    Number,
    Undefined,
)
from canopy.frontends.cuda.odd_integers import widen_odd_integers
from canopy.frontends.cuda.pipeline import is_kernel
from canopy.frontends.cuda.wide_integers import split_wide_integers

__all__ = ["read_module"]


def _resolve_trivial_phis(blocks: list[Block]) -> None:
    """Replaces phis that can take one value only by that value."""
    replaced: dict[LlvmValue, LlvmValue] = {}

    def final(value: LlvmValue) -> LlvmValue:
        while value in replaced:
            value = replaced[value]
        return value

    changed = True
    while changed:
        changed = False
        for block in blocks:
            for phi in list(block.phis):
                values = {final(o) for o in phi.operands if final(o) is not phi}
                if len(values) == 1:
                    replaced[phi] = values.pop()
                    block.instructions.remove(phi)
                    changed = True
    for block in blocks:
        for instruction in block.instructions:
            instruction.operands = tuple(map(final, instruction.operands))


_DEFINE = re.compile(r'^define .*?@("[^"]*"|[-\w.$]+)\(')
_BY_VALUE = re.compile(r"byval\((.*?)\)(?: |$)")
_MAX_THREADS = re.compile(r'"nvvm.maxntid"="([\d,]+)"')
_DBG = re.compile(r", !dbg !(\d+)")
_METADATA = re.compile(r"(, ![\w.]+ !\d+)+$")
_PREDICATE = re.compile(
    r"\b[if]cmp (?:(?:contract|fast|nnan|ninf|nsz|arcp|afn|reassoc|samesign) )*(\w+) "
)
_GEP_TYPE = re.compile(r"getelementptr (?:(?:inbounds|nuw|nusw|inrange\([^)]*\)) )*(.*)$")
_ALLOCA_TYPE = re.compile(r"alloca (?:inalloca )?(.*)$")
_ALIGN = re.compile(r", align (\d+)")


def _is_device_variable(variable: Global) -> bool:
    assert isinstance(variable.type, PtrType)
    return variable.type.space in (0, 1, 4) and not variable.is_external


def read_module(module: llvm.ModuleRef, filename: str) -> Module:
    """The kernels of a module that went through the pipeline."""
    return _Reader(module, filename).read()


class _Reader:
    def __init__(self, module: llvm.ModuleRef, filename: str) -> None:
        self._module = module
        self._lines = str(module).splitlines()
        self._debug = DebugInfo(self._lines, filename)
        structs = (line.partition(" = type ")[::2] for line in self._lines if " = type " in line)
        self._types = TypeParser(dict(structs))
        self._type_cache: dict[str, LlvmType] = {}
        self._globals: dict[str, Global] = {}
        groups = (re.match(r"attributes #(\d+) = (.*)", line) for line in self._lines)
        self._attributes = {group[1]: group[2] for group in groups if group}

    def read(self) -> Module:
        for variable in self._module.global_variables:
            self._globals[variable.name] = self._global(variable)
        bodies = dict(self._function_lines())
        kernels = {
            f.name: self._function(f, *bodies[f.name])
            for f in self._module.functions
            if not f.is_declaration and is_kernel(bodies[f.name][0])
        }
        variables = tuple(g for g in self._globals.values() if _is_device_variable(g))
        types = tuple(line for line in self._lines if " = type " in line)
        return Module(kernels, variables, types)

    def _function_lines(self) -> Iterator[tuple[str, tuple[str, list[str]]]]:
        """Name -> (define line, instruction lines) of every function body."""
        lines = iter(self._lines)
        for line in lines:
            match = _DEFINE.match(line)
            if not match:
                continue
            body = []
            for inner in lines:
                if inner == "}":
                    break
                if inner.startswith("  ") and inner[2:3] not in (" ", "]", "#"):
                    body.append(inner.strip())
            yield match[1].strip('"'), (line, body)

    def _global(self, variable: llvm.ValueRef) -> Global:
        text = str(variable)
        space = re.search(r"addrspace\((\d+)\)", text)
        alignment = _ALIGN.search(text)
        return Global(
            type=PtrType(int(space[1]) if space else 0),
            name=variable.name,
            content=self._type(variable.global_value_type),
            is_external=bool(variable.is_declaration),
            alignment=int(alignment[1]) if alignment else 16,
            text=text,
        )

    def _type(self, ref: llvm.TypeRef) -> LlvmType:
        text = str(ref).split(" = type ", 1)[0]
        if text not in self._type_cache:
            self._type_cache[text] = self._types.parse(text)
        return self._type_cache[text]

    def _function(self, ref: llvm.ValueRef, define: str, lines: list[str]) -> Function:
        values: dict[llvm.ValueRef, LlvmValue] = {}
        arguments = []
        for argument in ref.arguments:
            by_value = _BY_VALUE.search(" ".join(a.decode() for a in argument.attributes))
            structure = self._types.parse(by_value[1]) if by_value else None
            taken = Argument(self._type(argument.type), argument.name, structure)
            values[argument] = taken
            arguments.append(taken)
        blocks = {block: Block(block.name) for block in ref.blocks}
        pairs = self._instructions(ref, blocks, values, lines)
        for instruction, made in pairs:
            self._fill(instruction, made, values, blocks)
        for block in blocks.values():
            for successor in dict.fromkeys(block.successors):
                successor.predecessors.append(block)
        split_aggregates(list(blocks.values()))
        widen_odd_integers(list(blocks.values()))
        split_wide_integers(list(blocks.values()))
        copy_changed_arguments(tuple(arguments), list(blocks.values()))
        _resolve_trivial_phis(list(blocks.values()))
        subprogram = re.search(r"!dbg !(\d+)", define)
        display, place = self._debug.subprogram(int(subprogram[1]) if subprogram else -1)
        return Function(
            ref.name,
            display or ref.name,
            tuple(arguments),
            list(blocks.values()),
            place,
            self._max_threads(define),
        )

    def _max_threads(self, define: str) -> int:
        group = re.search(r" #(\d+)", define)
        found = _MAX_THREADS.search(self._attributes.get(group[1], "") if group else "")
        return math.prod(map(int, found[1].split(","))) if found else 1024

    def _instructions(
        self,
        ref: llvm.ValueRef,
        blocks: dict[llvm.ValueRef, Block],
        values: dict[llvm.ValueRef, LlvmValue],
        lines: list[str],
    ) -> list[tuple[llvm.ValueRef, Instruction]]:
        pairs: list[tuple[llvm.ValueRef, Instruction]] = []
        remaining = iter(lines)
        place = UNKNOWN_LOCATION
        for block in ref.blocks:
            for instruction in block.instructions:
                line = next(remaining, "")
                if not re.search(rf"\b{instruction.opcode}\b", line):
                    raise CompileError(
                        f"the text of {ref.name} does not match its instructions: {line}"
                    )
                made = self._instruction(instruction, line, blocks[block])
                place = made.location = made.location if made.location.line else place
                blocks[block].instructions.append(made)
                values[instruction] = made
                pairs.append((instruction, made))
        return pairs

    def _instruction(self, ref: llvm.ValueRef, line: str, block: Block) -> Instruction:
        dbg = _DBG.search(line)
        place = self._debug.location(int(dbg[1])) if dbg else UNKNOWN_LOCATION
        text = _METADATA.sub("", line)
        made = Instruction(self._type(ref.type), ref.opcode, (), text, place, block)
        if ref.opcode in ("icmp", "fcmp"):
            match = _PREDICATE.search(text)
            made.predicate = match[1] if match else ""
        elif ref.opcode in ("getelementptr", "alloca"):
            pattern = _GEP_TYPE if ref.opcode == "getelementptr" else _ALLOCA_TYPE
            match = pattern.search(text)
            made.source_type = self._types.parse(match[1]) if match else None
        return made

    def _fill(
        self,
        ref: llvm.ValueRef,
        made: Instruction,
        values: dict[llvm.ValueRef, LlvmValue],
        blocks: dict[llvm.ValueRef, Block],
    ) -> None:
        """Adds operands, once every instruction of the function is known."""
        operands = list(ref.operands)
        if made.opcode == "phi":
            made.incoming = tuple(blocks[b] for b in ref.incoming_blocks)
        elif made.opcode == "br":
            targets = [blocks[o] for o in operands if o in blocks]
            made.targets = tuple(reversed(targets))  # LLVM keeps the false one first
            operands = [o for o in operands if o not in blocks]
        elif made.opcode == "call":
            made.callee = operands.pop().name
        made.operands = tuple(values[o] if o in values else self._constant(o) for o in operands)

    def _constant(self, ref: llvm.ValueRef) -> LlvmValue:
        kind = ref.value_kind
        type_ = self._type(ref.type)
        if kind == llvm.ValueKind.constant_int:
            return Number(type_, _signed(int(ref.get_constant_value()), type_))
        if kind == llvm.ValueKind.constant_fp:
            return Number(type_, float(ref.get_constant_value(round_fp=True)))
        if kind == llvm.ValueKind.constant_pointer_null:
            return Number(type_, 0)
        if kind in (llvm.ValueKind.undef_value, llvm.ValueKind.poison_value):
            return Undefined(type_)
        if kind == llvm.ValueKind.global_variable:
            return self._globals[ref.name]
        if kind == llvm.ValueKind.function:
            return Number(type_, function_address(ref.name))
        if kind == llvm.ValueKind.constant_expr:
            return self._expression(TypeParser.tokens(str(ref)))
        if isinstance(type_, StructType | ArrayType):
            return self._expression(TypeParser.tokens(str(ref)))
        return Undefined(type_, text=str(ref))

    def _aggregate(self, type_: LlvmType, tokens: list[str]) -> Aggregate:
        fields = []
        while tokens[0] not in ("}", "}>", "]"):
            fields.append(self._expression(tokens))
            if tokens[0] == ",":
                tokens.pop(0)
        tokens.pop(0)
        return Aggregate(type_, tuple(fields))

    def _expression(self, tokens: list[str]) -> LlvmValue:
        """A typed constant at the head of ``tokens``, as LLVM prints it."""
        type_ = self._types.take(tokens)
        head = tokens.pop(0)
        if head.startswith("@"):
            name = head[1:].strip('"')
            return self._globals.get(name) or Number(type_, function_address(name))
        if head == "null":
            return Number(type_, 0)
        if re.fullmatch(r"-?\d+", head):
            return Number(type_, int(head))
        if head.endswith("e") and tokens and tokens[0][0] in "+-":
            head += tokens.pop(0)  # an exponent
        if head in ("{", "<{", "["):
            return self._aggregate(type_, tokens)
        if head in ("undef", "poison"):
            return Undefined(type_)
        if head in ("true", "false"):
            return Number(type_, int(head == "true"))
        if isinstance(type_, FloatType):
            return Number(type_, _float(head, type_))
        if head not in CONSTANT_OPCODES:
            return Undefined(type_, text=" ".join([head, *tokens]))
        while tokens.pop(0) != "(":  # flags
            pass
        source = None
        if head == "getelementptr":
            source = self._types.take(tokens)
            tokens.pop(0)
        operands = []
        while True:
            operands.append(self._expression(tokens))
            following = tokens.pop(0)
            if following != ",":
                break
        if following == "to":
            self._types.take(tokens)
            tokens.pop(0)  # )
        if head in ("inttoptr", "ptrtoint") and isinstance(operands[0], Number):
            return Number(type_, operands[0].value)
        return ConstantExpression(type_, head, tuple(operands), source)


def _signed(value: int, type_: LlvmType) -> int:
    """``value`` with its type's sign; llvmlite gives 32-bit constants without it."""
    assert isinstance(type_, IntType)
    bits = value & ((1 << type_.bits) - 1)
    return bits - (1 << type_.bits) if type_.bits > 1 and bits >> (type_.bits - 1) else bits


def _float(text: str, type_: FloatType) -> float:
    """A float as LLVM prints it: decimal, or the bits of a double, half (0xH) or bfloat (0xR)."""
    if not text.startswith("0x"):
        return float(text)
    if text[2] == "H":
        return float(struct.unpack("<e", int(text[3:], 16).to_bytes(2, "little"))[0])
    if text[2] == "R":
        return float(struct.unpack("<f", (int(text[3:], 16) << 16).to_bytes(4, "little"))[0])
    return float(struct.unpack("<d", int(text[2:], 16).to_bytes(8, "little"))[0])
