"""Device variables of a source as host data: definitions in LLVM IR of the host."""

from __future__ import annotations

import re

from canopy.frontends.cuda.llvm_reader import Global

__all__ = ["host_definition", "host_symbol"]

_CAST = re.compile(r"addrspacecast \(ptr (@[^ ,()]+|@\"[^\"]*\") to ptr\)")
_NAME = re.compile(r"@(\"[^\"]*\"|[-\w.$]+)")
_LINKAGE = re.compile(r"^((?:[\w.]+ )*?)(?:externally_initialized )?(global|constant) ")


def host_symbol(name: str) -> str:
    """The linker's name of a device variable: another than that of its shadow on the host."""
    return f"canopy.device.{name}"


def host_definition(variable: Global) -> str:
    """``@x = addrspace(1) externally_initialized global i32 0`` as a definition of the host."""
    text = re.sub(r"addrspace\(\d+\) ?", "", variable.text)
    text = _CAST.sub(r"\1", text)
    _, _, definition = text.partition(" = ")
    internal = re.match(r"(?:dso_local )?(?:internal|private)\b", definition) is not None
    definition = _LINKAGE.sub("global ", definition)  # a __constant__ is written by copies
    linkage = "internal" if internal else "weak"
    definition = _NAME.sub(lambda m: f'@"{host_symbol(m[1].strip(chr(34)))}"', definition)
    definition = re.sub(r", (comdat|section \"[^\"]*\"|!dbg !\d+).*?(?=, align|$)", "", definition)
    return f'@"{host_symbol(variable.name)}" = {linkage} {definition}'
