"""Assertions and prints of a running program: calls of the native runtime's helpers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import llvmlite.ir as ll

from canopy import ir
from canopy.ir.types import F32, ElementType, ScalarType, element_type
from canopy.targets.cpu import conversions, memory
from canopy.targets.cpu.llvm import I8, I32, I64, POINTER, LLValue, constant

if TYPE_CHECKING:
    from canopy.targets.cpu.program import Program

__all__ = ["address_of", "declare", "emit_assert", "emit_print", "text_constant"]

# The element kinds of canopy_print_values, in the order of runtime/native/report.h.
_KINDS = ["i1", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f16", "bf16", "f32", "f64"]
_POINTER_KIND = len(_KINDS)


def emit_assert(program: Program, op: ir.Assert) -> None:
    """Leaves the program with an error code, and a message, if a lane's condition is false."""
    b = program.builder
    if op.condition.is_tile:
        failed = program.any_lane(op.condition, op.mask, negate=True)
    else:
        failed = b.not_(program.scalar(op.condition))
    with b.if_then(failed, likely=False):
        function = declare(
            program, "canopy_assert_fail", I32, [POINTER, POINTER, I32, I32, I32, I32]
        )
        message = text_constant(program, op.message)
        file = text_constant(program, op.location.file)
        b.ret(b.call(function, [message, file, constant(I32, op.location.line), *program.ids]))
        # llvmlite wants the block of if_then open: what follows the return is never reached
        b.position_at_end(b.function.append_basic_block("unreached"))


def emit_print(program: Program, op: ir.Print) -> None:
    """Prints the prefix, or each value's lanes under it."""
    b = program.builder
    ids = program.alloca(ll.ArrayType(I32, 3))
    for axis, value in enumerate(program.ids):
        b.store(value, b.gep(ids, [constant(I32, axis)], source_etype=I32))
    prefix = text_constant(program, op.prefix)
    if not op.values:
        b.call(
            declare(program, "canopy_print_text", ll.VoidType(), [POINTER, POINTER]), [ids, prefix]
        )
        return
    function = declare(
        program,
        "canopy_print_values",
        ll.VoidType(),
        [POINTER, POINTER, I32, POINTER, I64, POINTER, I32, I32],
    )
    for number, value in enumerate(op.values):
        if len(op.values) > 1:
            prefix = text_constant(program, f"{op.prefix}(operand {number}) ")
        kind, data = _data_of(program, value, op.hex)
        count = 1
        for extent in value.shape:
            count *= extent
        shape = _shape_constant(program, value.shape)
        sizes = [
            constant(I64, count),
            shape,
            constant(I32, len(value.shape)),
            constant(I32, int(op.hex)),
        ]
        b.call(function, [ids, prefix, constant(I32, kind), data, *sizes])


def _data_of(program: Program, value: ir.Value, in_hex: bool) -> tuple[int, LLValue]:
    """How the value is printed, and the address of its lanes. A float8 is printed as a float32."""
    element = element_type(value.type)
    if not isinstance(element, ScalarType):
        return _POINTER_KIND, address_of(program, value, element)
    shown: ScalarType = element
    if element.name.startswith("f8") and not in_hex:
        shown = F32
    kind = "u8" if shown.name.startswith("f8") else shown.name
    return _KINDS.index(kind), address_of(program, value, shown)


def address_of(program: Program, value: ir.Value, wanted: ElementType) -> LLValue:
    """The address of the value's lanes in the type ``wanted``."""
    if value.is_tile:
        return program.kept_buffer(value, wanted).address
    b, element = program.builder, element_type(value.type)
    lane = program.scalar(value)
    if wanted != element:
        assert isinstance(element, ScalarType)
        lane = conversions.to_float(b, lane, element)
    slot = program.alloca(conversions.memory_type(wanted))
    b.store(memory.to_memory(b, lane, wanted), slot)
    return slot


def _shape_constant(program: Program, shape: tuple[int, ...]) -> LLValue:
    type_ = ll.ArrayType(I64, max(len(shape), 1))
    content = ll.Constant(type_, [ll.Constant(I64, extent) for extent in shape or (1,)])
    return _global(program, content, "shape")


def text_constant(program: Program, text: str) -> LLValue:
    """The address of a zero-terminated string in the module."""
    data = bytearray(text.encode("utf-8", "replace") + b"\0")
    return _global(program, ll.Constant(ll.ArrayType(I8, len(data)), data), "text")


def _global(program: Program, content: Any, name: str) -> LLValue:
    variable = ll.GlobalVariable(program.module, content.type, program.module.get_unique_name(name))
    variable.global_constant = True
    variable.linkage = "private"
    variable.initializer = content
    return variable


def declare(program: Program, name: str, result: Any, arguments: list[Any]) -> Any:
    known = program.module.globals.get(name)
    return known or ll.Function(program.module, ll.FunctionType(result, arguments), name)
