"""Device variables of a source as host data: definitions in LLVM IR of the host."""

from __future__ import annotations

import re
from collections.abc import Collection

from canopy.frontends.cuda.indirect import function_address
from canopy.frontends.cuda.llvm_values import Global

__all__ = ["host_definition", "host_symbol"]

_CAST = re.compile(r"addrspacecast \(ptr (@[^ ,()]+|@\"[^\"]*\") to ptr\)")
_NAME = re.compile(r"@(\"[^\"]*\"|[-\w.$]+)")
_LINKAGE = re.compile(r"^((?:[\w.]+ )*?)(?:externally_initialized )?(global|constant) ")


def host_symbol(name: str, module_id: str = "") -> str:
    """The linker's name of a device variable: another than that of its shadow on the host.

    With the id of a module where another source may have a variable of this name: each module has
    its own, as on a GPU."""
    return f"canopy.device.{name}.{module_id}" if module_id else f"canopy.device.{name}"


def host_definition(variable: Global, known: Collection[str], module_id: str = "") -> str:
    """The variable with the addresses of other ``known`` ones, and of functions, in it.

    ``@x = addrspace(1) externally_initialized global i32 0``
    becomes a definition of the host.
    """
    text = re.sub(r"addrspace\(\d+\) ?", "", variable.text)
    text = _CAST.sub(r"\1", text)
    _, _, definition = text.partition(" = ")
    definition = _LINKAGE.sub("global ", definition)  # a __constant__ is written by copies
    definition = _NAME.sub(lambda m: _address(m[1].strip('"'), known, module_id), definition)
    definition = re.sub(r", (comdat|section \"[^\"]*\"|!dbg !\d+).*?(?=, align|$)", "", definition)
    return f'@"{host_symbol(variable.name, module_id)}" = weak {definition}'


def _address(name: str, known: Collection[str], module_id: str) -> str:
    if name in known:
        return f'@"{host_symbol(name, module_id)}"'
    return f"inttoptr (i64 {function_address(name)} to ptr)"
