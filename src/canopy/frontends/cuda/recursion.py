"""Functions that call themselves, directly or through others, become loops with a stack.

All functions of a cycle of calls turn into one function whose loop goes on at the piece of code
that is next. A call saves the place behind it in a frame on a stack in the thread's own memory;
what the code keeps lies in its frame.

    define i32 @fib(i32 %n) {               define i32 @canopy.recursive.0(i32 %n) {
      ...                                     %stack = alloca [65536 x i8]
      %a = call i32 @fib(i32 %m)      ->      ...
      ...                                   dispatch:        ; state: which piece is next
    }                                         switch i32 %state, [0: exit, 1: fib, 2: behind %a ...]

Threads whose pieces differ part and meet again at the dispatch, once per piece. Works on LLVM's
text, where `demote` (reg2mem) has left no value that two blocks share in a register.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from canopy.frontends.cuda.llvm_text import CALL, defined_name, functions_of
from canopy.frontends.cuda.llvm_types import TypeParser
from canopy.frontends.cuda.recursion_machine import CALL_BLOCK, Machine

__all__ = ["functions_in_cycles", "without_recursion"]

_FULL = "the stack of a recursive function is full"


def functions_in_cycles(ir: str) -> list[list[str]]:
    """The groups of functions of a module that can reach themselves by calls."""
    bodies = {f.name: f for f in functions_of(ir)}
    calls = {
        name: [c for line in f.lines if (m := CALL.match(line)) and (c := m[2]) in bodies]
        for name, f in bodies.items()
    }
    return [group for group in _components(calls) if len(group) > 1 or group[0] in calls[group[0]]]


def without_recursion(ir: str, demote: Callable[[str], str]) -> str:
    """``ir`` with a loop in place of each cycle of calls. ``demote`` runs reg2mem on a module and
    names all values; ``ir`` has been through it."""
    cycles = functions_in_cycles(ir)
    if not cycles:
        return ir
    members = {name: group for group in cycles for name in group}
    ir = demote(_split_at_calls(ir, members))
    entries = {name: f"canopy.recursive.{n}" for n, name in enumerate(_entered(ir, members))}
    for name, machine in entries.items():
        ir = _redirect(ir, name, machine, members[name])
    functions = {function.name: function for function in functions_of(ir)}
    structs = (line.partition(" = type ")[::2] for line in ir.splitlines() if " = type " in line)
    types = TypeParser(dict(structs))
    made = []
    for name, machine in entries.items():
        others = [other for other in members[name] if other != name]
        group = [functions[one] for one in (name, *others)]
        made.append(Machine(group, types, machine).text())
    constant = f'@canopy.stack.full = private constant [{len(_FULL) + 1} x i8] c"{_FULL}\\00"'
    nowhere = "@canopy.stack.nowhere = private constant [1 x i8] zeroinitializer"
    wanted = {
        "canopy_assert": "declare void @canopy_assert(ptr, ptr, i32, ptr)",
        "llvm.memcpy.p0.p0.i64": "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)",
    }
    declared = [line for name, line in wanted.items() if f"@{name}(" not in ir]
    return "\n".join([ir, constant, nowhere, *declared, *made, ""])


def _entered(ir: str, members: dict[str, list[str]]) -> list[str]:
    """The functions of cycles that others call."""
    found: dict[str, None] = {}
    for function in functions_of(ir):
        called = (match[2] for line in function.lines if (match := CALL.match(line)))
        outside = (n for n in called if n in members and function.name not in members[n])
        found.update(dict.fromkeys(outside))
    return list(found)


def _redirect(ir: str, name: str, to: str, group: Sequence[str]) -> str:
    """``ir`` with calls of ``name`` from outside of its group going to ``to``."""
    lines = ir.splitlines()
    inside = False
    for at, line in enumerate(lines):
        if line.startswith("define "):
            inside = defined_name(line) in group
        elif not inside and (m := CALL.match(line)) and m[2] == name:
            lines[at] = line.replace(f"@{name}(", f"@{to}(", 1)
    return "\n".join(lines)


def _components(calls: dict[str, list[str]]) -> list[list[str]]:
    """The strongly connected components of a graph of calls, but for functions that reach none."""
    calls = _without_leaves(calls)
    reached = {name: set(_reach(name, calls)) for name in calls}
    found: dict[str, list[str]] = {}
    for name in calls:
        if name in found:
            continue
        group = [n for n in calls if n == name or (n in reached[name] and name in reached[n])]
        found.update(dict.fromkeys(group, group))
    return list({id(group): group for group in found.values()}.values())


def _without_leaves(calls: dict[str, list[str]]) -> dict[str, list[str]]:
    """Without what calls nothing, and what then calls nothing, and so on."""
    callers: dict[str, set[str]] = {name: set() for name in calls}
    for name, called in calls.items():
        for one in called:
            callers[one].add(name)
    left = {name: set(called) for name, called in calls.items()}
    work = [name for name, called in left.items() if not called]
    while work:
        leaf = work.pop()
        for caller in callers[leaf]:
            left[caller].discard(leaf)
            if not left[caller]:
                work.append(caller)
    return {name: sorted(called) for name, called in left.items() if called}


def _reach(name: str, calls: dict[str, list[str]]) -> Iterator[str]:
    seen: set[str] = set()
    work = list(calls[name])
    while work:
        one = work.pop()
        if one not in seen:
            seen.add(one)
            yield one
            work += calls[one]


def _split_at_calls(ir: str, members: dict[str, list[str]]) -> str:
    """Gives each call within a cycle a block of its own. No phis are left whose blocks change."""
    made: list[str] = []
    function = ""
    count = 0
    for line in ir.splitlines():
        if line.startswith("define "):
            function = defined_name(line)
        match = CALL.match(line)
        if not (match and function in members and match[2] in members[function]):
            made.append(line)
            continue
        made += [f"  br label %{CALL_BLOCK}{count}", f"{CALL_BLOCK}{count}:", line]
        made += [f"  br label %recursive.behind.{count}", f"recursive.behind.{count}:"]
        count += 1
    return "\n".join(made)
