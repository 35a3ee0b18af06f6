"""The compile options of the cpu backend: what `@triton.jit` kernels may be launched with.

Options that steer NVIDIA's or AMD's compilers are accepted and have no effect, so that launches
written for these run unchanged.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from canopy.errors import CompileError

__all__ = ["CpuOptions", "OptionError"]


class OptionError(CompileError, AssertionError):
    """An option that no backend takes; Triton's own backends assert, and programs catch that."""


@dataclass(frozen=True)
class CpuOptions:
    """Compile options; every field is part of the cache key."""

    # with a meaning here
    debug: bool = False  # device_assert is compiled in
    sanitize_overflow: bool = True  # with debug: integer overflow is asserted
    enable_fp_fusion: bool = True  # a * b + c may round once
    interpret: bool = False  # launches run in the IR's interpreter (CANOPY_INTERPRET=1)
    simulate: bool = False  # launches run on the Ascend simulator (the target ascend-sim)
    # what Triton's language front-end asks for
    supported_fp8_dtypes: tuple[str, ...] = ("fp8e4b15", "fp8e4b8", "fp8e4nv", "fp8e5", "fp8e5b16")
    deprecated_fp8_dot_operand_dtypes: tuple[str, ...] = ()
    default_dot_input_precision: str = "ieee"
    allowed_dot_input_precisions: tuple[str, ...] = (
        "ieee",
        "tf32",
        "tf32x3",
        "bf16x3",
        "bf16x6",
    )
    max_num_imprecise_acc_default: int = 0
    backend_name: str = "cpu"
    instrumentation_mode: str = ""
    fpsan_homomorphic_casts: bool = False
    # accepted, without effect
    num_warps: int = 4
    num_ctas: int = 1
    num_stages: int = 3
    warp_size: int = 1
    cluster_dims: tuple[int, ...] = (1, 1, 1)
    maxnreg: int | None = None
    ptx_version: int | None = None
    ptx_options: str | None = None
    ir_override: str | None = None
    sched4reg: bool = False
    enable_reflect_ftz: bool = True
    launch_cooperative_grid: bool = False
    launch_pdl: bool = False
    clc: bool = False
    min_shared_mem: int | None = None
    num_buffers_warp_spec: int = 0
    num_consumer_groups: int = 0
    reg_dec_producer: int = 0
    reg_inc_consumer: int = 0
    waves_per_eu: int = 0
    matrix_instr_nonkdim: int = 0
    kpack: int = 1
    allow_flush_denorm: bool = False
    schedule_hint: str = "none"
    extern_libs: tuple[tuple[str, str], ...] = ()
    arch: str = ""

    def __post_init__(self) -> None:
        if self.num_warps <= 0 or self.num_warps & (self.num_warps - 1):
            raise OptionError(
                f"num_warps is {self.num_warps}", hint="num_warps must be a power of 2"
            )

    @classmethod
    def from_launch(cls, given: dict[str, Any]) -> CpuOptions:
        """The options among the keyword arguments of a launch."""
        known = cls.__dataclass_fields__
        chosen = {k: v for k, v in given.items() if k in known and v is not None}
        if isinstance(chosen.get("extern_libs"), dict):
            chosen["extern_libs"] = tuple(chosen["extern_libs"].items())
        return cls(**chosen)

    def hash(self) -> str:
        key = "_".join(f"{name}-{value}" for name, value in sorted(self.__dict__.items()))
        return hashlib.sha256(key.encode()).hexdigest()
