"""Functions that call libm lane by lane: rare ones, and arguments out of a fast path's range."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from canopy.targets.cpu.math_functions.lanes import Lanes, LLVMType, LLVMValue, lanes_of

__all__ = ["call_libm", "emit_lane_loop", "libm_call"]

_OF_ORDER = frozenset({"jn", "yn"})  # C takes the order as an int
_ONLY_DOUBLE = frozenset({"j0", "j1", "y0", "y1", *_OF_ORDER})  # f32 forms are not everywhere


def libm_call(builder: Any, function: str, arguments: list[LLVMValue]) -> LLVMValue:
    """One scalar call of libm's ``function``; the process resolves the symbol."""
    type_ = arguments[0].type
    if isinstance(type_, ir.DoubleType):
        return _call(builder, function, arguments)
    if function not in _ONLY_DOUBLE:
        return _call(builder, f"{function}f", arguments)
    wide = [builder.fpext(argument, ir.DoubleType()) for argument in arguments]
    return builder.fptrunc(_call(builder, function, wide), type_)


def _call(builder: Any, symbol: str, arguments: list[LLVMValue]) -> LLVMValue:
    type_: LLVMType = arguments[0].type
    if symbol in _OF_ORDER:
        arguments = [builder.fptosi(arguments[0], ir.IntType(32)), arguments[1]]
    module = builder.module
    target = module.globals.get(symbol)
    if target is None:
        inputs = [argument.type for argument in arguments]
        target = ir.Function(module, ir.FunctionType(type_, inputs), symbol)
        target.attributes.add("nounwind")
    return builder.call(target, arguments)


def emit_lane_loop(builder: Any, function: str, arguments: list[LLVMValue]) -> LLVMValue:
    """``function`` of each lane in turn, as a loop over the lanes in memory."""
    type_ = arguments[0].type
    count = lanes_of(type_)
    if not count:
        return libm_call(builder, function, arguments)
    index_type = ir.IntType(32)
    slots = [builder.alloca(type_) for _ in arguments]
    for slot, argument in zip(slots, arguments, strict=True):
        builder.store(argument, slot)
    entry, body = builder.block, builder.append_basic_block("lane")
    after = builder.append_basic_block("joined")
    builder.branch(body)
    builder.position_at_end(body)
    index = builder.phi(index_type)
    index.add_incoming(index_type(0), entry)
    lanes = [_lane_address(builder, slot, index) for slot in slots]
    result = libm_call(builder, function, [builder.load(lane) for lane in lanes])
    builder.store(result, lanes[0])
    following = builder.add(index, index_type(1))
    index.add_incoming(following, body)
    builder.cbranch(builder.icmp_unsigned("<", following, index_type(count)), body, after)
    builder.position_at_end(after)
    return builder.load(slots[0])


def call_libm(function: str, x: Lanes) -> Lanes:
    """`emit_lane_loop` for use inside other functions."""
    return Lanes(x.builder, emit_lane_loop(x.builder, function, [x.value]))


def _lane_address(builder: Any, slot: LLVMValue, index: LLVMValue) -> LLVMValue:
    element = slot.type.pointee.element
    first = builder.bitcast(slot, element.as_pointer())
    return builder.gep(first, [index], inbounds=True)
