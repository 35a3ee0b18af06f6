"""What becomes of the kernels of a CUDA C++ source, found by compiling all of them.

    for verdict in kernel_verdicts(device_ir(source, "saxpy.cu"), "saxpy.cu"):
        print(verdict.name, verdict.cpu.status, verdict.cpu.why)

A template's kernels are those that the source instantiates. Blocks are of any shape on the CPU; on
Ascend one shape is tried.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from canopy.errors import CanopyError
from canopy.frontends.cuda.aot import DYNAMIC_SHARED_BYTES
from canopy.frontends.cuda.llvm_values import Function
from canopy.frontends.cuda.module import CudaModule, module_of
from canopy.frontends.verdicts import KernelVerdict, Verdict, on_ascend, on_cpu, refusal

__all__ = ["kernel_verdicts"]

_BLOCK = (256, 1, 1)
_APART = ((1, 1, 1), (32, 1, 1))  # the lanes of kernels whose threads or warps run apart
_WAITS = "its threads wait for each other in memory: they run as fibers, which is slow"


def kernel_verdicts(ir: str, filename: str, most_s: float = 1e9) -> Iterator[KernelVerdict]:
    """One verdict per kernel, or per instantiation, of device code that clang has compiled.

    No kernel is begun after ``most_s``.
    """
    start_s = time.monotonic()
    module = module_of(ir, filename)
    for function in module.kernels:
        if time.monotonic() - start_s > most_s:
            return
        yield _verdict(module, function)


def _verdict(module: CudaModule, function: Function) -> KernelVerdict:
    place = function.location
    try:
        cpu = _on_cpu(module, function)
    except CanopyError as error:
        cpu = refusal(error)
    try:
        ascend = _on_ascend(module, function)
    except CanopyError as error:
        ascend = refusal(error)
    return KernelVerdict(function.display_name, place.file, place.line, cpu, ascend)


def _on_cpu(module: CudaModule, function: Function) -> Verdict:
    """For blocks of any shape, as an executable has them."""
    shape = module.shapes_at_launch(function.name)[-1]
    kernel = module.lower(function.name, shape, DYNAMIC_SHARED_BYTES).kernel
    is_apart = kernel.block in _APART and shape[0] > 32
    return on_cpu(kernel, _WAITS if is_apart else "")


def _on_ascend(module: CudaModule, function: Function) -> Verdict:
    threads = min(function.max_threads, _BLOCK[0])
    return on_ascend(module.lower(function.name, (threads, 1, 1), 1 << 12).kernel)
