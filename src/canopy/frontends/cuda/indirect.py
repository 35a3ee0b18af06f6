"""Calls through pointers become chains of comparisons with the functions they may reach.

%r = call i32 %f(i32 %x)    ->    %r = call i32 @canopy.dispatch.0(ptr %f, i32 %x)

where the dispatcher compares %f with every function of that type whose address is taken in the
source, and calls the one that is equal. A function's address is a number made from its name.
"""

from __future__ import annotations

import hashlib
import re

__all__ = ["direct_calls", "function_address"]

_NAME = r'@("[^"]*"|[-\w.$]+)'
_INDIRECT = re.compile(r"\b(call [^%@\"]*?)(%[-\w.$]+)\(((?:[^()]|\([^()]*\))*)\)")
_QUALIFIER = re.compile(
    r"(?<![%@.\w])(noundef|nonnull|noalias|signext|zeroext|inreg|captures\([^)]*\)|align \d+|"
    r"dereferenceable\(\d+\)|range\([^)]*\)|"
    r"returned|nocapture|readonly|convergent|contract|fast|tail|call)\b ?"
)


def function_address(name: str) -> int:
    """The number that stands for the address of a device function: never null, 8-byte aligned."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "little") << 3 | 8


def direct_calls(ir: str) -> str:
    """``ir`` with dispatchers in place of indirect calls."""
    if not any(_INDIRECT.search(line) for line in ir.splitlines() if " call " in line):
        return ir
    targets = _targets(ir)
    dispatchers: dict[str, str] = {}

    def rewritten(match: re.Match[str]) -> str:
        result, arguments = _plain(match[1]), _types(match[3])
        signature = f"{result}({', '.join(arguments)})"
        if not targets.get(signature):
            return match[0]
        if signature not in dispatchers:
            name = f"canopy.dispatch.{len(dispatchers)}"
            dispatchers[signature] = _dispatcher(name, result, arguments, targets[signature])
        name = re.search(r"@([\w.]+)", dispatchers[signature])[1]  # type: ignore[index]
        rest = f", {match[3]}" if match[3].strip() else ""
        return f"{match[1]}@{name}(ptr {match[2]}{rest})"

    lines = [
        _INDIRECT.sub(rewritten, line) if " call " in line else line for line in ir.splitlines()
    ]
    return "\n".join([*lines, *dispatchers.values(), ""])


def _plain(text: str) -> str:
    return _QUALIFIER.sub("", text).strip()


def _types(arguments: str) -> list[str]:
    """``i32 noundef %x, ptr noundef %p`` -> i32, ptr."""
    parts = re.split(r", (?![^({\[<]*[)}\]>])", arguments) if arguments.strip() else []
    return [
        re.sub(r" ?[%@-]?[\w.\"$]+$", "", _plain(p)) if " " in _plain(p) else _plain(p)
        for p in parts
    ]


def _targets(ir: str) -> dict[str, list[str]]:
    """By signature, the functions whose address is taken."""
    found: dict[str, list[str]] = {}
    uses = re.sub(rf"^define .*$|\bcall [^@]*{_NAME}\(", "", ir, flags=re.M)
    taken = {m[1] for m in re.finditer(_NAME, uses)}
    for line in ir.splitlines():
        if not line.startswith("define ") or "ptx_kernel" in line:
            continue
        match = re.search(rf"{_NAME}\(", line)
        if not match or match[1] not in taken:
            continue
        head = re.sub(
            r"^define |\b(linkonce_odr|weak_odr|internal|dso_local|hidden|weak|private)\b ?",
            "",
            line[: match.start()],
        )
        arguments = line[match.end() : _closing(line, match.end())]
        signature = f"{_plain(head)}({', '.join(_types(arguments))})"
        found.setdefault(signature, []).append(match[1])
    return found


def _closing(line: str, at: int) -> int:
    depth = 1
    while depth:
        depth += {"(": 1, ")": -1}.get(line[at], 0)
        at += 1
    return at - 1


def _dispatcher(name: str, result: str, arguments: list[str], targets: list[str]) -> str:
    parameters = ", ".join(["ptr %f", *(f"{t} %a{n}" for n, t in enumerate(arguments))])
    passed = ", ".join(f"{t} %a{n}" for n, t in enumerate(arguments))
    lines = [f"define internal {result} @{name}({parameters}) convergent {{"]
    for number, target in enumerate(targets):
        value = "" if result == "void" else f"%r{number} = "
        ret = "ret void" if result == "void" else f"ret {result} %r{number}"
        address = f"inttoptr (i64 {function_address(target.strip(chr(34)))} to ptr)"
        lines += [
            f"  %c{number} = icmp eq ptr %f, {address}",
            f"  br i1 %c{number}, label %call{number}, label %next{number}",
            f"call{number}:",
            f"  {value}call {result} @{target}({passed})",
            f"  {ret}",
            f"next{number}:",
        ]
    return "\n".join([*lines, "  unreachable", "}"])
