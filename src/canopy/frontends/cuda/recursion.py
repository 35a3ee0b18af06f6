"""Functions that call themselves, directly or through others, become loops with a stack.

All functions of a cycle of calls turn into one function whose loop goes on at the piece of code that
is next. A call saves the place behind it in a frame on a stack in the thread's own memory; what the
code keeps lies in its frame.

    define i32 @fib(i32 %n) {               define i32 @canopy.recursive.0(i32 %n) {
      ...                                     %stack = alloca [65536 x i8]
      %a = call i32 @fib(i32 %m)      ->      ...
      ...                                   dispatch:        ; state: which piece is next
    }                                         switch i32 %state, [0: exit, 1: fib, 2: behind %a ...]

Threads whose pieces differ part and meet again at the dispatch, once per piece. Works on LLVM's text,
before functions are inlined; `demote` (reg2mem) leaves no value that two blocks share in a register.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from canopy.frontends.cuda.indirect import split_arguments, type_of_text
from canopy.frontends.cuda.llvm_types import TypeParser, size_of

__all__ = ["functions_in_cycles", "without_recursion"]

STACK_BYTES = 64 << 10  # of each thread; what it does not reach is never touched
HEADER_BYTES = 8  # of a frame: where to go on in the caller, and where the caller's frame is
ALIGNMENT = 16
_NAME = r'@("[^"]*"|[-\w.$]+)'
_LOCAL = re.compile(r'%("[^"]*"|[-\w.$]+)')
_LABEL = re.compile(r'^("[^"]*"|[-\w.$]+):')
_CALL = re.compile(rf"^\s*(?:(%\S+) = )?(?:tail |musttail |notail )?call [^@]*?{_NAME}\(")
_ALLOCA = re.compile(r"^\s*(%\S+) = alloca (.*?)(?:, align (\d+))?(?:, !dbg !\d+)?$")
_EXPRESSIONS = "getelementptr|inttoptr|ptrtoint|addrspacecast|bitcast|splat"
_ATTRIBUTE = re.compile(
    rf"(?!{_EXPRESSIONS})(?:[a-z_]+\((?:[^()]|\([^()]*\))*\)|align \d+|[a-z_]+)\s+(?=\S)"
)
_BYVAL = re.compile(r"\bbyval\((.*?)\)(?: |$)")
_FULL = "the stack of a recursive function is full"


def functions_in_cycles(ir: str) -> list[list[str]]:
    """The groups of functions of a module that can reach themselves by calls."""
    bodies = {f.name: f for f in _functions(ir)}
    calls = {
        name: [c for line in f.lines if (m := _CALL.match(line)) and (c := m[2]) in bodies]
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
    functions = _functions(ir)
    structs = dict(
        line.partition(" = type ")[::2] for line in ir.splitlines() if " = type " in line
    )
    types = TypeParser(structs)
    entered = dict.fromkeys(
        m[2]
        for f in functions
        for line in f.lines
        if (m := _CALL.match(line)) and m[2] in members and f.name not in members[m[2]]
    )
    made: list[str] = []
    by_name = {f.name: f for f in functions}
    for number, name in enumerate(entered):
        group = [by_name[name], *(by_name[n] for n in members[name] if n != name)]
        machine = _Machine(group, types, f"canopy.recursive.{number}")
        made.append(machine.text())
        ir = _redirect(ir, name, machine.name, members[name])
    constant = f'@canopy.stack.full = private constant [{len(_FULL) + 1} x i8] c"{_FULL}\\00"'
    nowhere = '@canopy.stack.nowhere = private constant [1 x i8] zeroinitializer'
    wanted = {
        "canopy_assert": "declare void @canopy_assert(ptr, ptr, i32, ptr)",
        "llvm.memcpy.p0.p0.i64": "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)",
    }
    declared = [line for name, line in wanted.items() if f"@{name}(" not in ir]
    return "\n".join([ir, constant, nowhere, *declared, *made, ""])


def _redirect(ir: str, name: str, to: str, group: Sequence[str]) -> str:
    """``ir`` with calls of ``name`` from outside of its group going to ``to``."""
    lines = ir.splitlines()
    inside = False
    for at, line in enumerate(lines):
        if line.startswith("define "):
            inside = _defined(line) in group
        elif not inside and (m := _CALL.match(line)) and m[2] == name:
            lines[at] = line.replace(f"@{name}(", f"@{to}(", 1)
    return "\n".join(lines)


# ---- functions as text


@dataclass
class _Function:
    name: str
    head: str  # the line of the definition
    lines: list[str]  # up to the closing brace

    def blocks(self) -> dict[str, list[str]]:
        """Label -> instructions."""
        found: dict[str, list[str]] = {}
        label = ""
        for line in self.lines:
            match = _LABEL.match(line)
            if match:
                label = match[1]
                found[label] = []
            elif line.strip() and not line.lstrip().startswith(("#dbg", ";")):
                found.setdefault(label, []).append(line)
        return found

    def parameters(self) -> list[str]:
        return split_arguments(_inside(self.head, self.head.index(f"@{self.name}(")))

    @property
    def result(self) -> str:
        return type_of_text(self.head[len("define ") : self.head.index(f"@{self.name}(")])


def _functions(ir: str) -> list[_Function]:
    found: list[_Function] = []
    lines = iter(ir.splitlines())
    for line in lines:
        if line.startswith("define "):
            body = []
            for inner in lines:
                if inner == "}":
                    break
                body.append(inner)
            found.append(_Function(_defined(line), line, body))
    return found


def _defined(head: str) -> str:
    match = re.search(rf"{_NAME}\(", head)
    assert match
    return match[1]


def _inside(text: str, start: int) -> str:
    """What stands in the first round brackets behind ``start``."""
    opening = text.index("(", start)
    depth = 0
    for at in range(opening, len(text)):
        depth += (text[at] == "(") - (text[at] == ")")
        if not depth:
            return text[opening + 1 : at]
    raise ValueError(text)


def _components(calls: dict[str, list[str]]) -> list[list[str]]:
    """The strongly connected components of a graph of calls."""
    reached = {name: set(_reach(name, calls)) for name in calls}
    found: dict[str, list[str]] = {}
    for name in calls:
        if name in found:
            continue
        group = [n for n in calls if n == name or (n in reached[name] and name in reached[n])]
        found.update(dict.fromkeys(group, group))
    return list({id(group): group for group in found.values()}.values())


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
            function = _defined(line)
        match = _CALL.match(line)
        if not (match and function in members and match[2] in members[function]):
            made.append(line)
            continue
        made += [f"  br label %recursive.call.{count}", f"recursive.call.{count}:", line]
        made += [f"  br label %recursive.behind.{count}", f"recursive.behind.{count}:"]
        count += 1
    return "\n".join(made)


# ---- the machine


@dataclass
class _Layout:
    """Where a function's arguments and variables lie in its frame."""

    bytes: int = HEADER_BYTES
    offsets: dict[str, int] = field(default_factory=dict)

    def place(self, name: str, bytes_: int, alignment: int) -> None:
        at = -(-self.bytes // alignment) * alignment
        self.offsets[name] = at
        self.bytes = at + bytes_


@dataclass
class _Argument:
    name: str
    type: str
    copied: str  # the type of a structure that the callee gets a copy of; empty: none


class _Piece:
    """A block of a function of the cycle, as it becomes one of the machine."""

    def __init__(self, machine: _Machine, member: _Member, label: str) -> None:
        self.machine, self.member, self.label = machine, member, label
        self.lines: list[str] = []
        self._known: dict[str, str] = {}
        self._frame = ""

    def add(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def fresh(self, what: str) -> str:
        return self.machine.fresh(what)

    def forget(self) -> None:
        """Behind a call nothing is known that was fetched before it."""
        self._known, self._frame = {}, ""

    def frame(self) -> str:
        """The address of the running function's frame."""
        if not self._frame:
            at = self.fresh("at")
            self._frame = self.fresh("frame")
            self.add(f"{at} = load i64, ptr %machine.frame")
            self.add(f"{self._frame} = getelementptr i8, ptr %machine.stack, i64 {at}")
        return self._frame

    def slot(self, frame: str, offset: int) -> str:
        made = self.fresh("slot")
        self.add(f"{made} = getelementptr i8, ptr {frame}, i64 {offset}")
        return made

    def translated(self, text: str) -> str:
        """``text`` with the machine's names; what lies in the frame is fetched first."""
        return _LOCAL.sub(lambda m: self._local(m[0]), text)

    def _local(self, name: str) -> str:
        member = self.member
        if name in member.labels or name in member.values:
            return member.renamed(name)
        if name not in member.layout.offsets:
            return name  # a type
        if name not in self._known:
            place = self.slot(self.frame(), member.layout.offsets[name])
            argument = member.arguments.get(name)
            if argument is not None and not argument.copied:
                value = self.fresh("argument")
                self.add(f"{value} = load {argument.type}, ptr {place}")
                place = value
            self._known[name] = place
        return self._known[name]


class _Member:
    """One function of the cycle."""

    def __init__(self, function: _Function, number: int, types: TypeParser) -> None:
        self.function, self.number, self.types = function, number, types
        self.blocks = function.blocks()
        self.layout = _Layout()
        self.arguments = {a.name: a for a in map(_argument, function.parameters())}
        for argument in self.arguments.values():
            held = argument.copied or argument.type
            self.layout.place(argument.name, size_of(types.parse(held)), 8)
        self.labels = {f"%{label}" for label in self.blocks}
        self.values: set[str] = set()
        for lines in self.blocks.values():
            for line in lines:
                self._note(line)
        self.layout.bytes = -(-self.layout.bytes // ALIGNMENT) * ALIGNMENT

    def _note(self, line: str) -> None:
        alloca = _ALLOCA.match(line)
        if alloca:
            bytes_ = size_of(self.types.parse(alloca[2]))
            self.layout.place(alloca[1], max(bytes_, 1), min(int(alloca[3] or 8), ALIGNMENT))
        elif " = " in line and line.lstrip().startswith("%"):
            self.values.add(line.strip().partition(" = ")[0])

    def renamed(self, name: str) -> str:
        return f'%"m{self.number}.{name[1:].strip(chr(34))}"'

    @property
    def entry(self) -> str:
        return next(iter(self.blocks))


def _argument(text: str) -> _Argument:
    copied = _BYVAL.search(text)
    return _Argument(text.split()[-1], type_of_text(text), copied[1] if copied else "")


class _Machine:
    def __init__(self, group: Sequence[_Function], types: TypeParser, name: str) -> None:
        self.name = name
        self.members = {
            f.name: _Member(f, number, types) for number, f in enumerate(group)
        }
        self.first = self.members[group[0].name]
        self.states: dict[str, int] = {}  # renamed label -> number; 0 is the end
        self._count = 0

    def fresh(self, what: str) -> str:
        self._count += 1
        return f"%machine.{what}.{self._count}"

    def state(self, label: str) -> int:
        return self.states.setdefault(label, len(self.states) + 1)

    def text(self) -> str:
        result = self.first.function.result
        start = self._start()
        pieces = [line for member in self.members.values() for line in self._pieces(member)]
        cases = " ".join(f"i32 {n}, label {label}" for label, n in self.states.items())
        slots = sorted({m.function.result for m in self.members.values()} - {"void"})
        end = ["  ret void"]
        if result != "void":
            end = [f"  %machine.got = load {result}, ptr {_slot_of(result)}"]
            end += [f"  ret {result} %machine.got"]
        lines = [
            f"define internal {result} @{self.name}({self._parameters()}) convergent alwaysinline {{",
            "machine.entry:",
            f"  %machine.stack = alloca [{STACK_BYTES} x i8], align {ALIGNMENT}",
            "  %machine.frame = alloca i64",
            "  %machine.state = alloca i32",
            *(f"  {_slot_of(t)} = alloca {t}" for t in slots),
            *start,
            "machine.dispatch:",
            "  %machine.next = load i32, ptr %machine.state",
            f"  switch i32 %machine.next, label %machine.end [ {cases} ]",
            *pieces,
            "machine.full:",
            "  call void @canopy_assert(ptr @canopy.stack.full, ptr @canopy.stack.nowhere, i32 0, "
            "ptr @canopy.stack.nowhere)",
            "  unreachable",
            "machine.end:",
            *end,
            "}",
        ]
        return "\n".join(lines)

    def _parameters(self) -> str:
        copies = ((a, f" byval({a.copied})" if a.copied else "") for a in self.first.arguments.values())
        return ", ".join(f"{a.type}{copy} {_parameter(a.name)}" for a, copy in copies)

    def _start(self) -> list[str]:
        """The first function's frame."""
        piece = _Piece(self, self.first, self.first.entry)
        for argument in self.first.arguments.values():
            slot = piece.slot("%machine.stack", self.first.layout.offsets[argument.name])
            self._pass(piece, argument, slot, _parameter(argument.name))
        piece.add("store i32 0, ptr %machine.stack")
        link = piece.slot("%machine.stack", 4)
        piece.add(f"store i32 0, ptr {link}")
        piece.add("store i64 0, ptr %machine.frame")
        self._go(piece, self.first.renamed(f"%{self.first.entry}"))
        return piece.lines

    def _pass(self, piece: _Piece, argument: _Argument, slot: str, value: str) -> None:
        if argument.copied:
            bytes_ = size_of(self.first.types.parse(argument.copied))
            piece.add(
                f"call void @llvm.memcpy.p0.p0.i64(ptr {slot}, ptr {value}, i64 {bytes_}, i1 false)"
            )
        else:
            piece.add(f"store {argument.type} {value}, ptr {slot}")

    def _go(self, piece: _Piece, label: str) -> None:
        """Ends a piece; ``label`` is next."""
        piece.add(f"store i32 {self.state(label)}, ptr %machine.state")
        piece.add("br label %machine.dispatch")

    def _pieces(self, member: _Member) -> Iterator[str]:
        loops = _cut_edges(member.blocks)
        for label, lines in member.blocks.items():
            piece = _Piece(self, member, label)
            yield f"{member.renamed('%' + label)[1:]}:"
            for line in lines:
                call = _CALL.match(line)
                if _ALLOCA.match(line):
                    continue
                if call and call[2] in self.members:
                    self._call(piece, line, call[1], self.members[call[2]])
                elif line.lstrip().startswith("ret "):
                    self._return(piece, line.strip())
                else:
                    piece.add(piece.translated(line.strip()))
            for target in dict.fromkeys(t for source, t in loops if source == label):
                self._leave_through_dispatch(piece, member, target)
            yield from piece.lines

    def _leave_through_dispatch(self, piece: _Piece, member: _Member, target: str) -> None:
        """Sends the edge back to a loop's head through the dispatch: threads enter the loop's body
        there too."""
        head = member.renamed(f"%{target}")
        through = f'{head[:-1]}.again.{piece.label.strip(chr(34))}"'
        piece.lines[-1] = re.sub(
            rf"label {re.escape(head)}(?=[,\s]|$)", lambda _: f"label {through}", piece.lines[-1]
        )
        piece.lines.append(f"{through[1:]}:")
        self._go(piece, head)

    def _call(self, piece: _Piece, line: str, result: str, callee: _Member) -> None:
        name = callee.function.name
        values = split_arguments(_inside(line, line.index(f"@{name}(")))
        arguments = callee.arguments.values()
        operands = [piece.translated(_operand(v, a.type)) for v, a in zip(values, arguments, strict=True)]
        at, new, over, frame, link = map(piece.fresh, ("at", "new", "over", "callee", "link"))
        pushed = piece.fresh("push")
        room = STACK_BYTES - callee.layout.bytes
        piece.add(f"{at} = load i64, ptr %machine.frame")
        piece.add(f"{new} = add i64 {at}, {piece.member.layout.bytes}")
        piece.add(f"{over} = icmp ugt i64 {new}, {room}")
        piece.add(f"br i1 {over}, label %machine.full, label {pushed}")
        piece.lines.append(f"{pushed[1:]}:")
        piece.add(f"{frame} = getelementptr i8, ptr %machine.stack, i64 {new}")
        for operand, argument in zip(operands, arguments, strict=True):
            self._pass(piece, argument, piece.slot(frame, callee.layout.offsets[argument.name]), operand)
        behind = piece.member.renamed(f"%{piece.label.strip(chr(34))}.back")
        piece.add(f"store i32 {self.state(behind)}, ptr {frame}")
        piece.add(f"{link} = trunc i64 {at} to i32")
        piece.add(f"store i32 {link}, ptr {piece.slot(frame, 4)}")
        piece.add(f"store i64 {new}, ptr %machine.frame")
        self._go(piece, callee.renamed(f"%{callee.entry}"))
        piece.forget()
        piece.lines.append(f"{behind[1:]}:")
        if result:
            got = callee.function.result
            piece.add(f"{piece.member.renamed(result)} = load {got}, ptr {_slot_of(got)}")

    def _return(self, piece: _Piece, line: str) -> None:
        result = piece.member.function.result
        if result != "void":
            value = re.sub(r", !dbg !\d+$", "", line)[len(f"ret {result} ") :]
            piece.add(f"store {result} {piece.translated(value)}, ptr {_slot_of(result)}")
        frame = piece.frame()
        state, link, at = map(piece.fresh, ("state", "link", "at"))
        piece.add(f"{state} = load i32, ptr {frame}")
        piece.add(f"{link} = load i32, ptr {piece.slot(frame, 4)}")
        piece.add(f"{at} = zext i32 {link} to i64")
        piece.add(f"store i64 {at}, ptr %machine.frame")
        piece.add(f"store i32 {state}, ptr %machine.state")
        piece.add("br label %machine.dispatch")


def _parameter(name: str) -> str:
    return f'%"machine.given.{name[1:].strip(chr(34))}"'


def _slot_of(type_: str) -> str:
    """Where results of a type are handed over."""
    return f'%"machine.result.{type_}"'.replace('"%', '"').replace('""', '"')


def _operand(text: str, type_: str) -> str:
    """The value in an argument such as ``ptr noundef byval(%S) align 8 %x``."""
    rest = text.strip()[len(type_) :].strip()
    while match := _ATTRIBUTE.match(rest):
        rest = rest[match.end() :]
    return rest


def _cut_edges(blocks: dict[str, list[str]]) -> set[tuple[str, str]]:
    """The edges back to the heads of loops that hold a call within the cycle."""
    following = {label: _targets(lines) for label, lines in blocks.items()}
    before: dict[str, list[str]] = {label: [] for label in blocks}
    for label, targets in following.items():
        for target in targets:
            before[target].append(label)
    return {
        (source, head)
        for source, head in _back_edges(next(iter(blocks)), following)
        if any(label.startswith("recursive.call.") for label in _loop(source, head, before))
    }


def _targets(lines: list[str]) -> list[str]:
    return re.findall(r'label %("[^"]*"|[-\w.$]+)', lines[-1]) if lines else []


def _back_edges(entry: str, following: dict[str, list[str]]) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    seen, active = {entry}, {entry}
    work = [(entry, iter(following[entry]))]
    while work:
        label, targets = work[-1]
        target = next(targets, None)
        if target is None:
            active.discard(label)
            work.pop()
        elif target in active:
            found.add((label, target))
        elif target not in seen:
            seen.add(target)
            active.add(target)
            work.append((target, iter(following[target])))
    return found


def _loop(source: str, head: str, before: dict[str, list[str]]) -> set[str]:
    """The blocks of the loop that an edge back closes."""
    inside = {head}
    work = [source]
    while work:
        label = work.pop()
        if label not in inside:
            inside.add(label)
            work += before[label]
    return inside
