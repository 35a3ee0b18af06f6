"""Calls through pointers become chains of comparisons with the functions they may reach.

%r = call i32 %f(i32 %x)    ->    %r = call i32 @canopy.dispatch.0(ptr %f, i32 %x)

where the dispatcher compares %f with every function of that type whose address is taken in the
source, and calls the one that is equal. A function's address is a number made from its name.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

__all__ = ["direct_calls", "function_address", "split_arguments", "type_of_text"]

_NAME = r'@("[^"]*"|[-\w.$]+)'
_CALL = re.compile(r"\bcall ")
_CALLEE = re.compile(r"(%[-\w.$]+|%\"[^\"]*\")\(")
_GROUP = re.compile(r"(?<![\w.])(?!addrspace\()[a-z_]+\((?:[^()]|\([^()]*\))*\) ?")
_HEAD = re.compile(
    r"(?:(?<=\s)|^)(void|ptr|i\d+|half|bfloat|float|double|[{\[<%])(?=[\s,}>\]\w\".]|$)"
)
_COPY = re.compile(r"\bbyval\((?:[^()]|\([^()]*\))*\)(?: align \d+)?")


def function_address(name: str) -> int:
    """The number that stands for the address of a device function: never null, 8-byte aligned."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "little") << 3 | 8


def direct_calls(ir: str) -> str:
    """``ir`` with dispatchers in place of indirect calls."""
    lines = ir.splitlines()
    found = {number: call for number, line in enumerate(lines) if (call := _indirect_call(line))}
    if not found:
        return ir
    targets = _targets(ir)
    dispatchers: dict[_Signature, str] = {}
    for number, call in found.items():
        if call.signature not in targets:
            continue
        if call.signature not in dispatchers:
            name = f"canopy.dispatch.{len(dispatchers)}"
            dispatchers[call.signature] = _dispatcher(name, call.signature, targets[call.signature])
        name = f"canopy.dispatch.{list(dispatchers).index(call.signature)}"
        lines[number] = call.through(name)
    return "\n".join([*lines, *dispatchers.values(), ""])


@dataclass(frozen=True)
class _Signature:
    """Types as LLVM writes them; an argument copied for the callee says so, ``ptr byval(%S)``."""

    result: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class _Call:
    before: str  # %r = call noundef i32
    callee: str
    arguments: str
    after: str
    signature: _Signature

    def through(self, dispatcher: str) -> str:
        rest = f", {self.arguments}" if self.arguments.strip() else ""
        return f"{self.before}@{dispatcher}(ptr {self.callee}{rest}){self.after}"


def _indirect_call(line: str) -> _Call | None:
    start = _CALL.search(line)
    if not start:
        return None
    callee = _CALLEE.search(line, start.end())
    if not callee or "@" in line[start.end() : callee.start()]:
        return None
    end = _closing(line, callee.end())
    arguments = line[callee.end() : end]
    signature = _Signature(type_of_text(line[start.end() : callee.start()]), _types(arguments))
    return _Call(line[: callee.start()], callee[1], arguments, line[end + 1 :], signature)


def type_of_text(text: str) -> str:
    """The type in ``noundef nonnull align 4 ptr %x``, without attributes and name."""
    plain = _GROUP.sub("", text)
    head = _HEAD.search(plain)
    if not head:
        return plain.strip()
    start = head.start(1)
    if head[1] in "{[<":
        return plain[start : _closing(plain, start + 1) + 1]
    rest = re.match(r'%"[^"]*"|%[-\w.$]+|ptr addrspace\(\d+\)|\w+', plain[start:])
    assert rest
    return rest[0]


def _types(arguments: str) -> tuple[str, ...]:
    parts = split_arguments(arguments)
    copies = (_COPY.search(part) for part in parts)
    return tuple(
        f"{type_of_text(part)} {copy[0]}" if copy else type_of_text(part)
        for part, copy in zip(parts, copies, strict=True)
    )


def split_arguments(arguments: str) -> list[str]:
    """At the commas outside brackets."""
    parts, depth = [""], 0
    for letter in arguments:
        depth += (letter in "({[<") - (letter in ")}]>")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def _targets(ir: str) -> dict[_Signature, list[str]]:
    """By signature, the functions whose address is taken."""
    found: dict[_Signature, list[str]] = {}
    uses = re.sub(rf"^(define|declare|attributes) .*$|\bcall [^@\n]*{_NAME}\(", "", ir, flags=re.M)
    taken = {m[1] for m in re.finditer(_NAME, uses)}
    for line in ir.splitlines():
        match = re.search(rf"{_NAME}\(", line) if line.startswith("define ") else None
        if not match or match[1] not in taken or "ptx_kernel" in line:
            continue
        arguments = line[match.end() : _closing(line, match.end())]
        signature = _Signature(
            type_of_text(line[len("define ") : match.start()]), _types(arguments)
        )
        found.setdefault(signature, []).append(match[1])
    return found


def _closing(line: str, at: int) -> int:
    """Where the bracket that is open at ``at`` closes."""
    depth = 1
    while depth:
        depth += (line[at] in "({[<") - (line[at] in ")}]>")
        at += 1
    return at - 1


def _dispatcher(name: str, signature: _Signature, targets: list[str]) -> str:
    result = signature.result
    passed = ", ".join(f"{t} %a{n}" for n, t in enumerate(signature.arguments))
    parameters = f"ptr %f, {passed}" if passed else "ptr %f"
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
