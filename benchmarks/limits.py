"""What this machine can do at best: native loops, run by the pool that also runs kernels.

The loops are LLVM text, as wide as the processor's vectors, compiled for the host; each is a kernel
with the runtime's one entry (``runtime/native/entry.h``), so that they are split over threads
exactly as a Triton kernel's programs are.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm
import torch

from canopy.runtime.launch import launch, pack_slots
from canopy.targets.cpu.features import Machine, host_machine

__all__ = ["NoSuchLimitError", "copy", "dot_bf16", "dot_int8", "multiply_add", "read", "triad"]

CHUNK_BYTES = 1 << 18
STREAMS = {"copy": "ts", "triad": "tab", "read": "s"}  # t: written, the others: read
CHAINS = 12  # independent accumulators: more than latency times issue width

ENTRY = """
define i32 @{name}(ptr %args, ptr %grid, ptr %block, i64 %first, i64 %last, ptr %scratch) {{
start:
{arguments}
  br label %program
program:
  %id = phi i64 [ %first, %start ], [ %next_id, %done ]
  %more = icmp ult i64 %id, %last
  br i1 %more, label %work, label %end
work:
{work}
done:
  %next_id = add i64 %id, 1
  br label %program
end:
  ret i32 0
}}
"""


class NoSuchLimitError(Exception):
    """The processor has no such instruction."""


@dataclass(frozen=True)
class Loop:
    """A compiled loop; the engine keeps its code alive."""

    engine: Any
    address: int


# -- Memory ---------------------------------------------------------------------------------------


def copy(target: torch.Tensor, source: torch.Tensor) -> None:
    """target = source, with non-temporal stores."""
    _stream("copy", target, source)


def triad(target: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> None:
    """target = a + 3 b in float32, with non-temporal stores."""
    _stream("triad", target, a, b)


def read(source: torch.Tensor) -> None:
    """Adds up the bytes of ``source`` as float32; the sums go nowhere."""
    _stream("read", source)


def _stream(name: str, *tensors: torch.Tensor) -> None:
    """Runs over whole chunks: what is left of a tensor behind the last one is not touched."""
    size_bytes = min(t.numel() * t.element_size() for t in tensors)
    chunks = size_bytes // CHUNK_BYTES
    if chunks:
        addresses = [t.data_ptr() for t in tensors]
        launch(_loop(name).address, (chunks,), pack_slots(*addresses))


def _stream_text(name: str, vector: str, step: int) -> str:
    """A loop over one chunk, four vectors a trip."""
    operands = STREAMS[name]
    lines = [f"  %chunk = mul i64 %id, {CHUNK_BYTES}", "  br label %loop", "loop:"]
    lines.append("  %i = phi i64 [ 0, %work ], [ %next, %loop ]")
    sums = [f"%s{k}" for k in range(4)] if name == "read" else []
    lines += [f"  {s} = phi {vector} [ zeroinitializer, %work ], [ {s}_next, %loop ]" for s in sums]
    lines.append("  %offset = add i64 %chunk, %i")
    for k in range(4):
        lines.append(f"  %at{k} = add i64 %offset, {k * step}")
        for operand in operands:
            lines.append(f"  %{operand}{k}_p = getelementptr i8, ptr %{operand}, i64 %at{k}")
        lines += [
            f"  %{o}{k}_v = load {vector}, ptr %{o}{k}_p, align 4" for o in operands if o != "t"
        ]
        lines += _stream_step(name, k, vector, step)
    lines += [
        f"  %next = add i64 %i, {4 * step}",
        f"  %again = icmp ult i64 %next, {CHUNK_BYTES}",
        f"  br i1 %again, label %loop, label %{'sum' if sums else 'done'}",
    ]
    if sums:
        lines.append("sum:")
        lines += _keep(sums, vector)
    return "\n".join(lines)


def _stream_step(name: str, k: int, vector: str, step: int) -> list[str]:
    if name == "read":
        return [f"  %s{k}_next = fadd {vector} %s{k}, %s{k}_v"]
    value = f"%s{k}_v"
    lines = []
    if name == "triad":
        three = "splat (float 3.0)"
        lines = [
            f"  %m{k} = fmul contract {vector} %b{k}_v, {three}",
            f"  %r{k} = fadd contract {vector} %a{k}_v, %m{k}",
        ]
        value = f"%r{k}"
    return [*lines, f"  store {vector} {value}, ptr %t{k}_p, align {step}, !nontemporal !0"]


def _keep(values: list[str], vector: str) -> list[str]:
    """Makes the results needed, so that the loop stays."""
    keep = [f'  call void asm sideeffect "", "x"({vector} {v}_next)' for v in values]
    return [*keep, "  br label %done"]


# -- Arithmetic -----------------------------------------------------------------------------------


def multiply_add(operations: int) -> None:
    """Runs that many floating-point operations as f32 multiply-adds in registers."""
    _compute("fma", operations, 2 * host_machine().vector_bytes // 4)


def dot_bf16(operations: int) -> None:
    """The same with the bf16 dot instruction. Raises `NoSuchLimitError` where there is none."""
    _require("avx512bf16")
    _compute("bf16", operations, 2 * 32)


def dot_int8(operations: int) -> None:
    """The same with the int8 dot instruction. Raises `NoSuchLimitError` where there is none."""
    _require("avx512vnni")
    _compute("int8", operations, 2 * 64)


def _require(feature: str) -> None:
    if not llvm.get_host_cpu_features().get(feature):
        raise NoSuchLimitError(f"this processor has no {feature}")


def _compute(name: str, operations: int, per_instruction: int) -> None:
    """Splits the work into many programs, so that no thread waits long for another."""
    programs = 64
    trips = max(1, round(operations / per_instruction / CHAINS / programs))
    ones = torch.ones(64, dtype=OPERANDS[name])
    slots = pack_slots(trips, ones.data_ptr())
    launch(_loop(name).address, (programs,), slots, max_chunk=1)


OPERANDS = {"fma": torch.float32, "bf16": torch.bfloat16, "int8": torch.int8}
STEPS = {
    "fma": ("<{lanes} x float>", "call {v} @llvm.fma({v} %x, {v} %y, {v} {s})"),
    "bf16": (
        "<16 x float>",
        "call {v} @llvm.x86.avx512bf16.dpbf16ps.512({v} {s}, <32 x bfloat> %x, <32 x bfloat> %y)",
    ),
    "int8": (
        "<16 x i32>",
        "call {v} @llvm.x86.avx512.vpdpbusd.512({v} {s}, <64 x i8> %x, <64 x i8> %y)",
    ),
}
DECLARATIONS = {
    "bf16": "declare <16 x float> @llvm.x86.avx512bf16.dpbf16ps.512"
    "(<16 x float>, <32 x bfloat>, <32 x bfloat>)",
    "int8": "declare <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32>, <64 x i8>, <64 x i8>)",
}


def _compute_text(name: str, machine: Machine) -> tuple[str, str]:
    """The loop, and the declaration of its instruction."""
    lanes = machine.vector_bytes // 4
    vector = STEPS[name][0].format(lanes=lanes)
    declaration = DECLARATIONS.get(
        name, f"declare {vector} @llvm.fma.v{lanes}f32({vector}, {vector}, {vector})"
    )
    step = STEPS[name][1].replace("@llvm.fma", f"@llvm.fma.v{lanes}f32")
    narrow = {"bf16": "<32 x bfloat>", "int8": "<64 x i8>"}.get(name, vector)
    # The operands come from memory, so that nothing is known about them.
    lines = [f"  %{operand} = load volatile {narrow}, ptr %ones, align 4" for operand in "xy"]
    lines += ["  br label %loop", "loop:", "  %i = phi i64 [ 0, %work ], [ %next, %loop ]"]
    sums = [f"%s{k}" for k in range(CHAINS)]
    lines += [f"  {s} = phi {vector} [ zeroinitializer, %work ], [ {s}_next, %loop ]" for s in sums]
    lines += [f"  {s}_next = {step.format(v=vector, s=s)}" for s in sums]
    lines += [
        "  %next = add i64 %i, 1",
        "  %again = icmp ult i64 %next, %trips",
        "  br i1 %again, label %loop, label %sum",
        "sum:",
    ]
    return "\n".join(lines + _keep(sums, vector)), declaration


# -- Compiling ------------------------------------------------------------------------------------


@functools.cache
def _loop(name: str) -> Loop:
    """Compiles a loop for this machine."""
    machine = host_machine()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(_module_text(name, machine))
    module.verify()
    target = llvm.Target.from_triple(machine.triple)
    options = {"cpu": machine.cpu, "features": machine.features, "opt": 2}
    engine = llvm.create_mcjit_compiler(module, target.create_target_machine(**options))
    engine.finalize_object()
    return Loop(engine, engine.get_function_address(name))


def _module_text(name: str, machine: Machine) -> str:
    if name in STEPS:
        work, declaration = _compute_text(name, machine)
        slots = {"trips": "i64", "ones": "ptr"}
    else:
        vector = f"<{machine.vector_bytes // 4} x float>"
        work, declaration = _stream_text(name, vector, machine.vector_bytes), ""
        slots = dict.fromkeys(STREAMS[name], "ptr")
    arguments = "".join(
        f"  %{slot}_slot = getelementptr i64, ptr %args, i64 {k}\n"
        f"  %{slot} = load {kind}, ptr %{slot}_slot\n"
        for k, (slot, kind) in enumerate(slots.items())
    )
    text = ENTRY.format(name=name, arguments=arguments, work=work)
    return f'target triple = "{machine.triple}"\n{declaration}\n{text}\n!0 = !{{i32 1}}\n'
