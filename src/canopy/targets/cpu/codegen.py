"""Tile IR in, object code out: the cpu target's front door.

The module holds the kernel's program twice where aliasing matters (operands checked disjoint, or
not), and the entry of DESIGN's one kernel ABI, which walks program ids and calls one of them.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm
import llvmlite.ir as ll

from canopy import ir
from canopy.errors import UnsupportedError
from canopy.ir.types import is_pointer
from canopy.passes.memory import Bases
from canopy.targets.cpu.features import Machine, host_machine
from canopy.targets.cpu.kept_panels import forget
from canopy.targets.cpu.llvm import I1, I32, I64, POINTER, Builder, LLValue, constant
from canopy.targets.cpu.memory import STREAMING_BYTES, load_scalar
from canopy.targets.cpu.plan import KernelPlan
from canopy.targets.cpu.private_sums import PrivateSum, clear, find_private_sums, place_of
from canopy.targets.cpu.program import Program
from canopy.targets.cpu.waiting import lanes_of_members, runs_apart, wrap_entry

__all__ = ["ENTRY_NAME", "Code", "Unit", "assemble", "assembly_of", "compile_cpu", "compile_unit"]

ENTRY_NAME = "canopy_entry"
# LLVM's unroller takes time by the square of their number: 34 s of 38 s for 400 loops over lanes.
MOST_UNROLLED = 50
# llvmlite works in LLVM's global context, which one thread may use at a time.
_LLVM_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class Code:
    """A compiled kernel: relocatable object, optimised LLVM IR, and what a launcher must know."""

    object_code: bytes
    llvm_ir: str
    scratch_bytes: int
    written: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """Kernels compiled together: one object file, and each one's entry and scratch bytes."""

    object_code: bytes
    entries: tuple[str, ...]
    scratch_bytes: tuple[int, ...]


def compile_cpu(
    kernel: ir.Kernel,
    machine: Machine | None = None,
    entry_name: str = ENTRY_NAME,
    *,
    optimized: bool = True,
) -> Code:
    """Compiles a kernel that the pass pipeline has prepared; its entry is ``entry_name``. Without
    LLVM's optimisation that takes a third of the time."""
    with _LLVM_LOCK:
        return _compile(kernel, machine or host_machine(), entry_name, optimized)


def assemble(llvm_ir: str, machine: Machine | None = None) -> bytes:
    """An object file of LLVM IR as it stands: tables and data beside kernels."""
    with _LLVM_LOCK:
        machine = machine or host_machine()
        target = _target_machine(machine)
        parsed = llvm.parse_assembly(f'target triple = "{machine.triple}"\n{llvm_ir}')
        parsed.verify()
        return bytes(target.emit_object(parsed))


def compile_unit(
    kernels: Sequence[ir.Kernel], machine: Machine | None = None, *, optimized: bool = True
) -> Unit:
    """Compiles several prepared kernels into one module, which they share functions of. Without
    LLVM's optimisation that takes a third of the time."""
    with _LLVM_LOCK:
        machine = machine or host_machine()
        target = _target_machine(machine, level=3 if optimized else 0)
        module = _empty_module("unit", machine, target)
        entries = tuple(f"{ENTRY_NAME}.{number}" for number in range(len(kernels)))
        scratch_bytes = tuple(
            _emit_kernel(kernel, module, Bases(kernel), machine, entry)
            for kernel, entry in zip(kernels, entries, strict=True)
        )
        text = str(module)
        parsed = llvm.parse_assembly(text)
        parsed.verify()
        if optimized:
            _optimize(parsed, target, _lane_loops(text))
        return Unit(target.emit_object(parsed), entries, scratch_bytes)


def assembly_of(llvm_ir: str, machine: Machine | None = None) -> str:
    """The assembly text of optimised LLVM IR: what the object code says, for reading."""
    with _LLVM_LOCK:
        parsed = llvm.parse_assembly(llvm_ir)
        return str(_target_machine(machine or host_machine()).emit_assembly(parsed))


def _compile(kernel: ir.Kernel, machine: Machine, entry_name: str, optimized: bool) -> Code:
    target = _target_machine(machine, level=3 if optimized else 0)
    module = _empty_module(kernel.name, machine, target)
    bases = Bases(kernel)
    scratch_bytes = _emit_kernel(kernel, module, bases, machine, entry_name)
    text = str(module)
    if not machine.has_half and re.search(r"\bhalf\b", text):
        raise UnsupportedError(
            f"{kernel.name} computes with f16, which this processor cannot convert",
            location=kernel.location,
            hint="the cpu target needs F16C for f16 (x86 processors since 2012)",
        )
    parsed = llvm.parse_assembly(text)
    parsed.verify()
    if optimized:
        _optimize(parsed, target, _lane_loops(text))
    written = tuple(_is_written(bases, parameter.value) for parameter in kernel.parameters)
    return Code(
        object_code=target.emit_object(parsed),
        llvm_ir=str(parsed),
        scratch_bytes=scratch_bytes,
        written=written,
    )


def _empty_module(name: str, machine: Machine, target: Any) -> Any:
    module = ll.Module(name=name)
    module.triple = machine.triple
    module.features = machine.features  # the math functions choose instructions by them
    module.data_layout = str(target.target_data)
    return module


def _is_written(bases: Bases, parameter: ir.Value) -> bool:
    if not is_pointer(parameter.type):
        return False
    return parameter in bases.written or None in bases.written


def _emit_kernel(
    kernel: ir.Kernel, module: Any, bases: Bases, machine: Machine, entry: str = ENTRY_NAME
) -> int:
    disjoint = KernelPlan.of(kernel, bases, disjoint=True)
    sums = find_private_sums(kernel, disjoint)
    versions = [_emit_program(kernel, disjoint, module, machine, "disjoint", sums)]
    flushes = [_emit_flush(found, versions[0][1], module, machine) for found in sums]
    if disjoint.depends_on_aliasing:
        aliasing = KernelPlan.of(kernel, bases, disjoint=False)
        versions.append(_emit_program(kernel, aliasing, module, machine, "aliasing"))
        if _same_body(versions[0][0], versions[1][0]):
            function, _ = versions.pop()
            del module.globals[function.name]
    functions = [function for function, _ in versions]
    owner = versions[0][1]
    needed = [program.scratch_bytes for _, program in versions]
    scratch_bytes = max([*needed, *(flush.scratch_bytes for flush in flushes)])
    if not runs_apart(kernel):
        _emit_entry(kernel, module, functions, entry, flushes, owner)
        return scratch_bytes
    one_program = _emit_entry(kernel, module, functions, f"{entry}.program", flushes, owner)
    one_program.linkage = "internal"
    wrap_entry(module, entry, one_program, lanes_of_members(kernel), scratch_bytes)
    return 0  # each fiber has its own


def _same_body(first: Any, second: Any) -> bool:
    """Whether two functions differ in name only: aliasing makes no difference to many kernels."""
    return str(first).partition("{")[2] == str(second).partition("{")[2]


@dataclass(frozen=True, slots=True)
class _Flush:
    """A function that adds private sums to the real places; ``offset``: where they lie."""

    function: Any
    op: ir.AtomicRmw
    offset: int
    scratch_bytes: int


def _emit_flush(found: PrivateSum, owner: Program, module: Any, machine: Machine) -> _Flush:
    kernel, op, offset = found.kernel, found.op, owner.sums[found.op]
    plan = KernelPlan.of(kernel, owner.plan.bases, disjoint=True)
    function = _program_function(module, "sums")
    program = Program(kernel, plan, function, machine)
    program.reserve_bytes(owner.scratch_bytes)  # the sums lie there
    sums = place_of(program.builder, program.scratch, offset, op)
    if op.value.is_tile:
        program.buffers[op.value] = sums
    else:
        program.scalars[op.value] = load_scalar(program.builder, sums.address, sums.element)
    program.emit()
    return _Flush(function, op, offset, program.scratch_bytes)


def _emit_program(
    kernel: ir.Kernel,
    plan: KernelPlan,
    module: Any,
    machine: Machine,
    version: str,
    sums: Sequence[PrivateSum] = (),
) -> tuple[Any, Program]:
    function = _program_function(module, version)
    program = Program(kernel, plan, function, machine)
    for found in sums:
        program.reserve_sum(found.op)
    program.emit()
    return function, program


def _program_function(module: Any, version: str) -> Any:
    type_ = ll.FunctionType(I32, [POINTER, POINTER, I32, I32, I32, POINTER, I1])
    name = module.get_unique_name(f"canopy.program.{version}")
    function = ll.Function(module, type_, name)
    function.linkage = "internal"
    names = ("args", "grid", "x", "y", "z", "scratch", "streaming")
    for argument_name, argument in zip(names, function.args, strict=True):
        argument.name = argument_name
    for position in (0, 1, 5):
        function.args[position].add_attribute("noalias")
    return function


def _emit_entry(
    kernel: ir.Kernel,
    module: Any,
    versions: list[Any],
    name: str,
    flushes: list[_Flush],
    owner: Program,
) -> Any:
    """``owner``: the program of the first version, with what it keeps from program to program."""
    type_ = ll.FunctionType(I32, [POINTER, POINTER, POINTER, I64, I64, POINTER])
    function = ll.Function(module, type_, name)
    args, grid, _, first, last, scratch = function.args
    b = ll.IRBuilder(function.append_basic_block("entry"))
    extents = [b.load(b.gep(grid, [constant(I64, a)], source_etype=I32), typ=I32) for a in range(3)]
    width, height = (b.zext(extent, I64) for extent in extents[:2])
    streaming = _streaming(b, kernel, extents)
    blocks = {
        name: function.append_basic_block(name)
        for name in ("head", "body", "next", "failed", "done")
    }
    alias_slot = b.gep(args, [constant(I64, len(kernel.parameters))], source_etype=I64)
    may_alias = (
        b.icmp_unsigned("!=", b.load(alias_slot, typ=I64), constant(I64, 0))
        if len(versions) > 1
        else None
    )
    for flush in flushes:
        clear(b, scratch, flush.offset, flush.op)
    forget(b, scratch, owner)
    start = b.block
    b.branch(blocks["head"])
    b.position_at_end(blocks["head"])
    index = b.phi(I64)
    index.add_incoming(first, start)
    b.cbranch(b.icmp_unsigned("<", index, last), blocks["body"], blocks["done"])
    b.position_at_end(blocks["body"])
    row = b.udiv(index, width)
    x = b.trunc(b.urem(index, width), I32)
    y = b.trunc(b.urem(row, height), I32)
    z = b.trunc(b.udiv(row, height), I32)
    arguments = [args, grid, x, y, z, scratch, streaming]
    if may_alias is None:
        status = b.call(versions[0], arguments)
    else:
        status = _call_version(b, versions, may_alias, arguments)
    b.cbranch(b.icmp_signed("==", status, constant(I32, 0)), blocks["next"], blocks["failed"])
    b.position_at_end(blocks["next"])
    following = b.add(index, constant(I64, 1))
    index.add_incoming(following, b.block)
    b.branch(blocks["head"])
    b.position_at_end(blocks["failed"])
    b.ret(status)
    b.position_at_end(blocks["done"])
    if flushes:
        assert may_alias is not None, "sums are private where operands are disjoint"
        nothing = [constant(I32, 0)] * 3
        with b.if_then(b.not_(may_alias)):
            for flush in flushes:
                b.call(flush.function, [args, grid, *nothing, scratch, constant(I1, 0)])
    b.fence("seq_cst")  # non-temporal stores are ordered by no lock
    b.ret(constant(I32, 0))
    return function


def _call_version(
    b: Builder, versions: list[Any], may_alias: LLValue, arguments: list[LLValue]
) -> LLValue:
    disjoint, aliasing, joined = (
        b.function.append_basic_block(n) for n in ("disjoint", "aliasing", "joined")
    )
    b.cbranch(may_alias, aliasing, disjoint)
    results = []
    for block, version in ((disjoint, versions[0]), (aliasing, versions[1])):
        b.position_at_end(block)
        results.append((b.call(version, arguments), block))
        b.branch(joined)
    b.position_at_end(joined)
    status = b.phi(I32)
    for value, block in results:
        status.add_incoming(value, block)
    return status


def _streaming(b: Builder, kernel: ir.Kernel, extents: list[LLValue]) -> LLValue:
    """Whether the launch writes so much that its stores should bypass the caches."""
    stored = 0
    for op in ir.walk(kernel.body.ops):
        if isinstance(op, ir.Store) and op.pointer.is_tile:
            size = 4
            for extent in op.pointer.shape:
                size *= extent
            stored += size
    programs = constant(I64, 1)
    for extent in extents:
        programs = b.mul(programs, b.zext(extent, I64))
    return b.icmp_unsigned(
        ">", b.mul(programs, constant(I64, stored)), constant(I64, STREAMING_BYTES)
    )


def _target_machine(machine: Machine, level: int = 3) -> Any:
    target = llvm.Target.from_triple(machine.triple)
    return target.create_target_machine(
        cpu=machine.cpu, features=machine.features, opt=level, reloc="pic", codemodel="small"
    )


def _lane_loops(llvm_ir: str) -> int:
    return len(re.findall(r'%"lane\.i[.\d]*" = phi', llvm_ir))


def _optimize(module: Any, target: Any, loops: int) -> None:
    """``loops``: how many run once per lane, in the module as it was emitted."""
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_unrolling = loops <= MOST_UNROLLED
    options.loop_vectorization = False
    options.slp_vectorization = False
    builder = llvm.create_pass_builder(target, options)
    builder.getModulePassManager().run(module, builder)
