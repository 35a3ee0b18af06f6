"""Device variables of a source as host data: definitions in LLVM IR of the host."""

from __future__ import annotations

import re
from collections.abc import Collection

from canopy.frontends.cuda.indirect import function_address
from canopy.frontends.cuda.llvm_values import Global

__all__ = ["host_definition", "host_symbol", "module_symbol"]

_CAST = re.compile(r"addrspacecast \(ptr (@[^ ,()]+|@\"[^\"]*\") to ptr\)")
_NAME = re.compile(r"@(\"[^\"]*\"|[-\w.$]+)")
_LINKAGE = re.compile(r"^((?:[\w.]+ )*?)(?:externally_initialized )?(global|constant) ")


def host_symbol(name: str) -> str:
    """The linker's name of a device variable: another than that of its shadow on the host."""
    return f"canopy.device.{name}"


def module_symbol(module_id: str, name: str) -> str:
    """The name by which the host half of a source reaches its device variable directly."""
    return f"canopy.variable.{module_id}.{name}"


def host_definition(variable: Global, known: Collection[str]) -> str:
    """The variable with the addresses of other ``known`` ones, and of functions, in it.

    ``@x = addrspace(1) externally_initialized global i32 0``
    becomes a definition of the host.
    """
    text = re.sub(r"addrspace\(\d+\) ?", "", variable.text)
    text = _CAST.sub(r"\1", text)
    _, _, definition = text.partition(" = ")
    definition = _LINKAGE.sub("global ", definition)  # a __constant__ is written by copies
    definition = _NAME.sub(lambda m: _address(m[1].strip('"'), known), definition)
    definition = re.sub(r", (comdat|section \"[^\"]*\"|!dbg !\d+).*?(?=, align|$)", "", definition)
    # Another source may have a variable of this name: each module has its own, as on a GPU.
    return f'@"{host_symbol(variable.name)}" = internal {definition}'


def _address(name: str, known: Collection[str]) -> str:
    if name in known:
        return f'@"{host_symbol(name)}"'
    return f"inttoptr (i64 {function_address(name)} to ptr)"
