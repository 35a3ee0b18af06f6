"""Compiles one lane operation into a loop over NumPy arrays, for the tests of the CPU target."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()

Emit = Callable[[Any, list[Any]], Any]


@dataclass(frozen=True)
class LaneKernel:
    """``kernel(a, b, ...)`` applies the operation to arrays; each lane type is an LLVM type."""

    entry: Any
    engine: Any
    lanes: int
    result: np.dtype[Any]

    def __call__(self, *arrays: np.ndarray) -> np.ndarray:
        count = len(arrays[0])
        padded = -(-count // max(self.lanes, 1)) * max(self.lanes, 1)
        inputs = [np.pad(np.ascontiguousarray(array), (0, padded - count)) for array in arrays]
        output = np.full(padded, 85, np.uint8).astype(self.result)
        self.entry(*(array.ctypes.data for array in (*inputs, output)), padded)
        return output[:count]


def compile_lanes(
    emit: Emit, inputs: list[Any], output: Any, result: Any, lanes: int = 64
) -> LaneKernel:
    """A kernel whose body is ``emit(builder, values)``; ``lanes`` 0 means scalars.

    ``inputs`` and ``output`` are LLVM types of one element in memory, i8 standing for i1 too.
    """
    module, size, pointer = ir.Module(), ir.IntType(64), ir.PointerType()
    module.features = llvm.get_host_cpu_features().flatten()
    arguments = [pointer] * (len(inputs) + 1) + [size]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), "kernel")
    builder = ir.IRBuilder(function.append_basic_block())
    entry, body = builder.block, builder.append_basic_block()
    builder.branch(body)
    builder.position_at_end(body)
    index = builder.phi(size)
    index.add_incoming(size(0), entry)

    def place(address: Any, element: Any) -> Any:
        return builder.gep(address, [index], source_etype=element)

    def held(element: Any) -> Any:
        return ir.VectorType(element, lanes) if lanes else element

    values = [
        builder.load(place(address, element), typ=held(element), align=1)
        for address, element in zip(function.args, inputs, strict=False)
    ]
    value = emit(builder, values)
    builder.store(value, place(function.args[len(inputs)], output), align=1)
    following = builder.add(index, size(lanes or 1))
    index.add_incoming(following, builder.block)
    end = builder.append_basic_block()
    builder.cbranch(builder.icmp_unsigned("<", following, function.args[-1]), body, end)
    builder.position_at_end(end)
    builder.ret_void()
    return _compiled(module, len(arguments) - 1, lanes, np.dtype(result))


def _compiled(module: Any, pointers: int, lanes: int, result: np.dtype[Any]) -> LaneKernel:
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2
    )
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(parsed, passes)
    engine = llvm.create_mcjit_compiler(parsed, machine)
    engine.finalize_object()
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * pointers, ctypes.c_int64)
    return LaneKernel(prototype(engine.get_function_address("kernel")), engine, lanes, result)
