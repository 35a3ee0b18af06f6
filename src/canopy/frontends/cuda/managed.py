"""__managed__ variables: host and device use one and the same, the device half's.

@x = internal global i32 undef    ->    @"canopy.variable.ID.x" = external global i32

in the LLVM IR of the host half, and so everywhere else in it. Clang has no managed variables in
CUDA; ours are device variables that carry an annotation, by which they are found here.
"""

from __future__ import annotations

import re

from canopy.frontends.cuda.variables import module_symbol

__all__ = ["with_device_variables"]

_MARK = re.compile(r'^@([-\w.$]+) = .* c"canopy\.managed\\00"', re.MULTILINE)
_DEFINITION = r"^@{name} = (?:[\w.]+ )*?(?:global|constant) "


def with_device_variables(host_ir: str, module_id: str) -> str:
    """``host_ir`` with the device half's variables in place of the shadows of managed ones."""
    for name in _managed_names(host_ir):
        plain = re.escape(name)
        definition = re.search(_DEFINITION.format(name=plain) + ".*$", host_ir, re.MULTILINE)
        if not definition:
            continue
        rest = definition[0].split(" global ", 1)[1]
        type_ = re.sub(r" undef(?:, .*)?$", "", rest)
        host_ir = host_ir.replace(definition[0], f"@{name} = external global {type_}")
        symbol = module_symbol(module_id, name)
        host_ir = re.sub(rf"@{plain}(?![-\w.$])", f'@"{symbol}"', host_ir)
    return host_ir


def _managed_names(host_ir: str) -> list[str]:
    marks = {match[1] for match in _MARK.finditer(host_ir)}
    line = re.search(r"^@llvm\.global\.annotations = .*$", host_ir, re.MULTILINE)
    pairs = re.findall(r"ptr @([-\w.$]+), ptr @([-\w.$]+)", line[0]) if line and marks else []
    return [name for name, mark in pairs if mark in marks]
