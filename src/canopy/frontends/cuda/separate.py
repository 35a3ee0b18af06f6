"""Separate compilation: device code that is linked across sources before it is compiled.

An object of ``nvcc -dc`` carries the device half of its source as a *unit*, LLVM IR in a section of
its own that no executable keeps. When a program is linked, or by ``nvcc -dlink``, the units of all
its objects become one module, so that functions and variables of other sources are known, and that
is compiled. The object of ``-dlink`` names the units that it has already.

    a.o: host half of a.cu + unit a      \\
    b.o: host half of b.cu + unit b       }  device code of a and b, under the names of both
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from llvmlite import binding as llvm

from canopy.compiler import assemble
from canopy.errors import CompileError, Location
from canopy.frontends.cuda.aot import ANY_SHAPE, Registration, Shape, device_objects
from canopy.frontends.cuda.module import module_of
from canopy.frontends.cuda.units import SECTION, Unit, packed

__all__ = ["export_variables", "link_units", "unit_object"]

_DEFINED = re.compile(r"(?:define [^@]*)?@(\"[^\"]*\"|[\w.$]+)(?: =|\()")
_COMDAT = re.compile(r",? comdat(?:\([^)]*\))?")
_INTERNAL = re.compile(r"_ZL|_ZN12_GLOBAL__N_1|.*_GLOBAL__N_1")


def _is_internal(name: str) -> bool:
    """Whether a mangled name belongs to one source only: static, or in an unnamed namespace."""
    return _INTERNAL.match(name) is not None


def export_variables(host_ir: str) -> str:
    """The shadows of device variables under names that other sources' host halves find."""
    registered = re.findall(
        r"@__cudaRegisterVar\(ptr[^,]*, ptr[^@,]*@(\"[^\"]*\"|[\w.$]+)", host_ir
    )
    for name in registered:
        if _is_internal(name.strip('"')):
            continue
        internal = re.compile(rf"^(@{re.escape(name)} = )internal ", re.MULTILINE)
        host_ir = internal.sub(r"\1dso_local ", host_ir)
    return host_ir


# ---- units in objects


def unit_object(unit: Unit) -> bytes:
    """An object file that holds nothing but a unit."""
    data = packed(unit)
    escaped = "".join(f"\\{byte:02x}" for byte in data)
    return assemble(
        f'@unit = private constant [{len(data)} x i8] c"{escaped}", section "{SECTION}", '
        "align 1, !exclude !0\n"
        '@llvm.compiler.used = appending global [1 x ptr] [ptr @unit], section "llvm.metadata"\n'
        "!0 = !{}\n"
    )


# ---- linking


def link_units(units: Sequence[Unit], processes: int = 1) -> list[bytes]:
    """Object files of the device code of all units, and one that names them as linked."""
    whole = ",".join(unit.id for unit in units)
    id_ = hashlib.sha256(whole.encode()).hexdigest()[:16]
    ir, registrations = _linked(units)
    module = module_of(ir, units[0].filename, any(unit.checked for unit in units))
    made = device_objects(module, id_, _shapes(units, registrations), registrations, processes)
    return made + [unit_object(Unit(unit.id, unit.filename, "", {})) for unit in units]


def _linked(units: Sequence[Unit]) -> tuple[str, list[Registration]]:
    registrations = []
    whole: llvm.ModuleRef | None = None
    for unit in units:
        part = llvm.parse_assembly(_without_comdats(unit.ir))
        registrations.append(_rename(part, unit))
        if whole is None:
            whole = part
            continue
        try:
            whole.link_in(part)
        except RuntimeError as problem:
            raise CompileError(
                f"the device code cannot be linked: {str(problem).strip()}",
                location=Location(unit.filename),
                hint="a function or variable that several sources define needs static or inline",
            ) from None
    return str(whole), registrations


def _without_comdats(ir: str) -> str:
    """What is internal stays out of the groups of which the linker keeps one."""
    lines = ir.splitlines()
    for at, line in enumerate(lines):
        name = _DEFINED.match(line)
        if name and _is_internal(name[1].strip('"')):
            lines[at] = _COMDAT.sub("", line)
    return "\n".join(lines)


def _rename(part: llvm.ModuleRef, unit: Unit) -> Registration:
    """Gives what is internal to a source names of its own, and says which name became which."""
    kernels: dict[str, str] = {}
    variables: dict[str, str] = {}
    for values, names in ((part.functions, kernels), (part.global_variables, variables)):
        for value in values:
            if not value.is_declaration:
                known_as = str(value.name)
                names[known_as] = _renamed(value, unit.id)
    return Registration(unit.id, kernels, variables)


def _renamed(value: llvm.ValueRef, id_: str) -> str:
    internal = value.linkage.name in {"internal", "private"} or _is_internal(value.name)
    if internal:
        value.name = f"{value.name}.{id_}"
    return str(value.name)


def _shapes(units: Sequence[Unit], registrations: Sequence[Registration]) -> dict[str, list[Shape]]:
    """Shapes by the names of the linked module. A kernel that other sources can name may be
    launched with any shape."""
    found: dict[str, dict[Shape, None]] = {}
    for unit, registration in zip(units, registrations, strict=True):
        for name, shapes in unit.shapes.items():
            wanted = found.setdefault(registration.kernels.get(name, name), {})
            wanted.update(dict.fromkeys(shapes))
            if not _is_internal(name):
                wanted[ANY_SHAPE] = None
    return {name: sorted(shapes, reverse=True) for name, shapes in found.items()}
