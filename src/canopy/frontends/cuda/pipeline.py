"""The short LLVM pipeline between clang and the reader.

Inlines every device function, promotes memory to registers, tidies control flow, and unrolls what
is marked or small. Nothing here merges memory accesses or moves them across barriers.
"""

from __future__ import annotations

import re

from llvmlite import binding as llvm

from canopy.errors import CompileError, Location
from canopy.frontends.cuda.indirect import direct_calls
from canopy.frontends.cuda.late_functions import define_late
from canopy.frontends.cuda.narrow_conversions import widen_narrow_conversions
from canopy.frontends.cuda.overflow import define_overflow
from canopy.frontends.cuda.ptx import CARRY, replace_inline_ptx
from canopy.frontends.cuda.recursion import functions_in_cycles, without_recursion
from canopy.frontends.cuda.wide_integers import (
    call_wide_functions,
    calls_wide_functions,
    wide_functions,
)

__all__ = ["is_kernel", "parse_and_prepare"]

_KERNEL = re.compile(r"^define (?:[\w()]+ )*?ptx_kernel ")
_TARGET_ATTRIBUTE = re.compile(
    r'"target-(?:cpu|features)"="[^"]*"'
)  # a GPU's, and passes ask the host
_RANGE = re.compile(r" inrange\(-?\d+, -?\d+\)")  # what a class's pointer reaches of its table


def parse_and_prepare(ir: str, filename: str, checked: bool = False) -> llvm.ModuleRef:
    """Parses clang's IR and runs the pipeline on it. In ``checked`` code no pass makes a thread
    read what its source does not read."""
    try:
        plain = define_overflow(_RANGE.sub("", _TARGET_ATTRIBUTE.sub("", ir)))
        text = widen_narrow_conversions(replace_inline_ptx(plain))
        module = llvm.parse_assembly(direct_calls(call_wide_functions(text)))
        if calls_wide_functions(module):
            module.link_in(llvm.parse_assembly(_TARGET_ATTRIBUTE.sub("", wide_functions())))
        module.verify()
    except RuntimeError as problem:
        raise CompileError(
            f"LLVM does not read what clang wrote: {problem}",
            location=Location(filename),
            hint="keep the LLVM majors of ziglang and llvmlite equal",
        ) from problem
    kernels = {_name(line) for line in ir.splitlines() if is_kernel(line)}
    _mark_functions(module, kernels, checked)
    if CARRY in {variable.name for variable in module.global_variables}:
        module = _with_private_carry(module)
    if functions_in_cycles(str(module)):
        module = _without_recursion(module)
        _mark_functions(module, kernels, checked)
    _run(module)
    return module


def _make_loops_of_tail_calls(module: llvm.ModuleRef) -> None:
    """Recursion that ends in the call, or in one operation on its result, becomes a loop."""
    passes = llvm.create_new_module_pass_manager()
    passes.add_sroa_pass()
    passes.add_simplify_cfg_pass()
    passes.add_tail_call_elimination_pass()
    passes.run(module, _builder())


def _mark_functions(module: llvm.ModuleRef, kernels: set[str], checked: bool) -> None:
    """All but kernels are to be inlined."""
    for function in module.functions:
        if checked and not function.is_declaration:
            function.add_function_attribute("sanitize_thread")
        if not function.is_declaration and function.name not in kernels:
            function.linkage = "internal"
            function.add_function_attribute("alwaysinline")


def _without_recursion(module: llvm.ModuleRef) -> llvm.ModuleRef:
    _make_loops_of_tail_calls(module)
    if not functions_in_cycles(str(module)):
        return module
    passes = llvm.create_new_module_pass_manager()
    passes.add_always_inliner_pass()
    passes.add_global_dead_code_eliminate_pass()
    passes.add_sroa_pass()
    passes.add_simplify_cfg_pass()
    passes.add_lower_switch_pass()
    passes.run(module, _builder())
    return llvm.parse_assembly(without_recursion(_demoted(str(module)), _demoted))


def _demoted(ir: str) -> str:
    """No value is used outside of its block, and all have names."""
    module = llvm.parse_assembly(ir)
    passes = llvm.create_new_module_pass_manager()
    passes.add_register_to_memory_pass()
    passes.add_instruction_namer_pass()
    passes.run(module, _builder())
    return str(module)


def _with_private_carry(module: llvm.ModuleRef) -> llvm.ModuleRef:
    """PTX's carry flag, which asm statements share, as a local variable of each kernel."""
    passes = llvm.create_new_module_pass_manager()
    passes.add_always_inliner_pass()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, _builder())
    lines = []
    for line in str(module).splitlines():
        if line.startswith(f"@{CARRY} ="):
            continue
        lines.append(line.replace(f"@{CARRY}", f"%{CARRY}"))
        if is_kernel(line):
            lines.append(f"  %{CARRY} = alloca i32")
    return llvm.parse_assembly(_with_alloca_after_label(lines))


def _with_alloca_after_label(lines: list[str]) -> str:
    """The entry block's label, where it has one, stands before its first instruction."""
    for at, line in enumerate(lines[:-1]):
        if line.startswith(f"  %{CARRY} = alloca") and re.match(r"[-\w.$\"]+:", lines[at + 1]):
            lines[at], lines[at + 1] = lines[at + 1], line
    return "\n".join(lines)


def is_kernel(definition: str) -> bool:
    """Whether a line of LLVM IR opens the definition of a __global__ function."""
    return bool(_KERNEL.match(definition))


def _name(definition: str) -> str:
    return definition.split("@", 1)[1].split("(", 1)[0].strip('"')


def _builder() -> llvm.PassBuilder:
    # The nvptx target is not in llvmlite; the host's tuning only supplies thresholds. Without F16C
    # a conversion of halves costs hundreds of instructions, and loops of them stay rolled.
    llvm.initialize_native_target()
    target = llvm.Target.from_default_triple()
    machine = target.create_target_machine(features="+f16c" if target.name == "x86-64" else "")
    return llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))


def _run(module: llvm.ModuleRef) -> None:
    passes = llvm.create_new_module_pass_manager()
    passes.add_always_inliner_pass()
    passes.add_global_dead_code_eliminate_pass()
    passes.add_sroa_pass()
    passes.add_simplify_cfg_pass()
    passes.add_sccp_pass()
    passes.add_loop_unroll_pass()
    passes.add_sccp_pass()
    passes.add_simplify_cfg_pass()  # blocks that are never reached keep arrays in memory
    passes.add_sroa_pass()  # arrays whose indices unrolling made constant
    passes.run(module, _builder())
    passes = llvm.create_new_module_pass_manager()
    if define_late(module):
        passes.add_always_inliner_pass()
        passes.add_global_dead_code_eliminate_pass()
    passes.add_sccp_pass()
    passes.add_simplify_cfg_pass()
    passes.add_lower_switch_pass()
    passes.add_dead_code_elimination_pass()
    passes.add_instruction_namer_pass()
    passes.run(module, _builder())
