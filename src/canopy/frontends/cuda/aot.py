"""The device half of a source as an object file: kernels, variables, and the table of them.

The runtime finds kernels by the names that the host half registers (`runtime/native/cuda/module.h`
has the table's layout). A kernel is compiled once per block shape that the host half launches with
constants, and for any shape where a launch may have another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from canopy.compiler import assemble, compile_kernel
from canopy.frontends.cuda.forked import map_forked
from canopy.frontends.cuda.llvm_types import PtrType, size_of
from canopy.frontends.cuda.llvm_values import Argument, Function
from canopy.frontends.cuda.module import CudaModule
from canopy.frontends.cuda.variables import host_definition, host_symbol, module_symbol

__all__ = ["ANY_SHAPE", "Registration", "Shape", "device_objects"]

Shape = tuple[int, int, int]
ANY_SHAPE: Shape = (0, 0, 0)  # stands for every other block
# Dynamic shared memory is reserved at its largest: pages that nobody touches cost nothing.
DYNAMIC_SHARED_BYTES = 227 << 10


@dataclass(frozen=True)
class _Variant:
    """A kernel for one block shape, and the linker's name of its entry."""

    function: Function
    block: Shape
    entry: str


@dataclass(frozen=True)
class _Made:
    """What a variant became; ``variables``: the names of those that it takes as arguments."""

    code: bytes
    scratch_bytes: int
    written: tuple[bool, ...]
    variables: tuple[str, ...]
    static_shared_bytes: int


@dataclass(frozen=True)
class Registration:
    """What one source's host half looks up under ``id``: the names that it knows kernels and
    variables by, and those that they have in the module."""

    id: str
    kernels: Mapping[str, str]
    variables: Mapping[str, str]


def device_objects(
    module: CudaModule,
    module_id: str,
    shapes: Mapping[str, Sequence[Shape]],
    registrations: Sequence[Registration] = (),
    processes: int = 1,
) -> list[bytes]:
    """Object files of every kernel, and the one that registers them.

    ``shapes``: by mangled kernel name, the block shapes to compile for. A module that was linked of
    several sources has a registration for each; else all of it goes under ``module_id``.
    ``processes``: how many may compile at once.
    """
    variants = [
        _Variant(function, block, f"canopy.kernel.{module_id}.{function.name}.{number}")
        for function in module.kernels
        for number, block in enumerate(_expanded(module, function.name, shapes))
    ]
    made = map_forked(lambda number: _compile(module, variants[number]), len(variants), processes)
    rows: dict[Function, list[tuple[_Variant, _Made]]] = {}
    for variant, result in zip(variants, made, strict=True):
        rows.setdefault(variant.function, []).append((variant, result))
    tables = {
        function.name: _kernel_table(function, row, number)
        for number, (function, row) in enumerate(rows.items())
    }
    parts = registrations or [_whole(module, module_id)]
    return [*(result.code for result in made), assemble(_registration(module, parts, tables))]


def _compile(module: CudaModule, variant: _Variant) -> _Made:
    lowered = module.lower(variant.function.name, variant.block, DYNAMIC_SHARED_BYTES)
    is_rare = module.expects_lines(variant.function.name) and variant.block[1:] == (0, 0)
    code = compile_kernel(lowered.kernel, entry_name=variant.entry, optimized=not is_rare)
    return _Made(
        code.object_code,
        code.scratch_bytes,
        tuple(code.written),
        tuple(variable.name for variable in lowered.variables),
        lowered.static_shared_bytes,
    )


def _whole(module: CudaModule, module_id: str) -> Registration:
    kernels = {function.name: function.name for function in module.kernels}
    return Registration(module_id, kernels, {v.name: v.name for v in module.variables})


def _expanded(
    module: CudaModule, name: str, shapes: Mapping[str, Sequence[Shape]]
) -> Iterator[Shape]:
    for block in shapes.get(name, [ANY_SHAPE]):
        if block == ANY_SHAPE:
            yield from module.shapes_at_launch(name)
        else:
            yield block


@dataclass(frozen=True)
class _Table:
    row: str  # behind the kernel's name
    definitions: list[str]


def _kernel_table(
    function: Function, variants: Sequence[tuple[_Variant, _Made]], number: int
) -> _Table:
    _, made = variants[-1]
    parameters = [
        f"{{i32, i32}} {{i32 {_size(a)}, i32 {_kind(a, is_written)}}}"
        for a, is_written in zip(function.arguments, made.written, strict=False)
    ]
    variables = [f'ptr @"{host_symbol(name)}"' for name in made.variables]
    rows = [
        f"{_VARIANT} {{[3 x i32] [{', '.join(f'i32 {n}' for n in variant.block)}], i32 0, "
        f'ptr @"{variant.entry}", i64 {result.scratch_bytes}}}'
        for variant, result in variants
    ]
    definitions = [
        _array(f"parameters.{number}", "{i32, i32}", parameters),
        _array(f"variables.{number}", "ptr", variables),
        _array(f"variants.{number}", _VARIANT, rows),
        *(f'declare i32 @"{v.entry}"(ptr, ptr, ptr, i64, i64, ptr)' for v, _ in variants),
    ]
    row = (
        f"ptr @parameters.{number}, ptr @variables.{number}, "
        f"ptr @variants.{number}, i32 {len(parameters)}, i32 {len(variables)}, i32 {len(rows)}, "
        f"i32 {function.max_threads}, i64 {made.static_shared_bytes}, i32 0, i32 0}}"
    )
    return _Table(row, definitions)


_MODULE = (
    "@{name} = private constant {{ptr, ptr, ptr, i64, i64}} {{ptr @{name}.id, "
    "ptr @{name}.kernels, ptr @{name}.variables, i64 {kernels}, i64 {variables}}}"
)
# Not llvm.global_ctors, which this LLVM emits in the old form that today's linkers leave out.
_CONSTRUCTOR = """\
@constructor = internal constant ptr @register, section ".init_array", align 8
@llvm.used = appending global [1 x ptr] [ptr @constructor], section "llvm.metadata"
"""
_VARIANT = "{[3 x i32], i32, ptr, i64}"
_KERNEL = "{ptr, ptr, ptr, ptr, i32, i32, i32, i32, i64, i32, i32}"


def _kind(argument: Argument, is_written: bool) -> int:
    """How the runtime treats a parameter: the numbers of `module.h`."""
    if argument.is_by_value:
        return 1
    if isinstance(argument.type, PtrType):
        return 3 if is_written else 2
    return 0


def _size(argument: Argument) -> int:
    return size_of(argument.by_value or argument.type)


def _text(name: str, text: str) -> str:
    data = text.encode()
    escaped = "".join(f"\\{byte:02x}" for byte in (*data, 0))
    return f'@{name} = private constant [{len(data) + 1} x i8] c"{escaped}"'


def _array(name: str, type_: str, items: list[str]) -> str:
    body = f"[{', '.join(items)}]" if items else "zeroinitializer"
    return f"@{name} = private constant [{len(items)} x {type_}] {body}"


def _registration(
    module: CudaModule, parts: Sequence[Registration], tables: Mapping[str, _Table]
) -> str:
    known = {v.name: size_of(v.content) for v in module.variables}
    lines = [
        *module.type_lines,
        *(host_definition(v, known) for v in module.variables),
        *(line for table in tables.values() for line in table.definitions),
    ]
    for number, part in enumerate(parts):
        lines += _module_lines(f"module.{number}", part, tables, known)
    calls = [
        f"  call void @canopy_cuda_register_module(ptr @module.{number})"
        for number in range(len(parts))
    ]
    if module.checked:
        calls.insert(0, "  call void @canopy_check_start()")
        lines.append("declare void @canopy_check_start()")
    # checks are on before any constructor of the program allocates
    section = ".init_array.101" if module.checked else ".init_array"
    return "\n".join(
        [
            *lines,
            _CONSTRUCTOR.replace(".init_array", section),
            "declare void @canopy_cuda_register_module(ptr)",
            "define internal void @register() {",
            *calls,
            "  ret void",
            "}",
        ]
    )


def _module_lines(
    name: str, part: Registration, tables: Mapping[str, _Table], known: Mapping[str, int]
) -> list[str]:
    kernels = [(as_known, tables[own]) for as_known, own in part.kernels.items() if own in tables]
    variables = [(as_known, own) for as_known, own in part.variables.items() if own in known]
    kernel_rows = [
        f"{_KERNEL} {{ptr @{name}.kernel.{i}, {table.row}" for i, (_, table) in enumerate(kernels)
    ]
    variable_rows = [
        f"{{ptr, ptr, i64}} {{ptr @{name}.variable.{i}, "
        f'ptr @"{host_symbol(own)}", i64 {known[own]}}}'
        for i, (_, own) in enumerate(variables)
    ]
    shared = [
        f'@"{module_symbol(part.id, as_known)}" = hidden alias i8, ptr @"{host_symbol(own)}"'
        for as_known, own in variables
    ]
    return [
        *shared,
        *(_text(f"{name}.kernel.{i}", as_known) for i, (as_known, _) in enumerate(kernels)),
        *(_text(f"{name}.variable.{i}", as_known) for i, (as_known, _) in enumerate(variables)),
        _text(f"{name}.id", f"canopy:{part.id}"),
        _array(f"{name}.kernels", _KERNEL, kernel_rows),
        _array(f"{name}.variables", "{ptr, ptr, i64}", variable_rows),
        _MODULE.format(name=name, kernels=len(kernel_rows), variables=len(variable_rows)),
    ]
