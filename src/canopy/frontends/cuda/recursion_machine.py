"""One function with a stack in place of a cycle of functions that call each other.

Its states are the pieces of code of all of them, cut at the calls; `recursion` shows the result.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from canopy.errors import UnsupportedError
from canopy.frontends.cuda.indirect import split_arguments, type_of_text
from canopy.frontends.cuda.llvm_text import CALL, LOCAL, Function, in_brackets
from canopy.frontends.cuda.llvm_types import TypeParser, size_of

__all__ = ["CALL_BLOCK", "Machine"]

CALL_BLOCK = "recursive.call."  # how the labels of blocks begin that hold a call in the cycle
STACK_BYTES = 64 << 10  # of each thread; what it does not reach is never touched
HEADER_BYTES = 8  # of a frame: where to go on in the caller, and where the caller's frame is
ALIGNMENT = 16
_ALLOCA = re.compile(r"^\s*(%\S+) = alloca (.*?)(?:, align (\d+))?(?:, !dbg !\d+)?$")
_EXPRESSIONS = "getelementptr|inttoptr|ptrtoint|addrspacecast|bitcast|splat"
_ATTRIBUTE = re.compile(
    rf"(?!{_EXPRESSIONS})(?:[a-z_]+\((?:[^()]|\([^()]*\))*\)|align \d+|[a-z_]+)\s+(?=\S)"
)
_BYVAL = re.compile(r"\bbyval\((.*?)\)(?: |$)")
_FULL = (
    "  call void @canopy_assert(ptr @canopy.stack.full, ptr @canopy.stack.nowhere, i32 0, "
    "ptr @canopy.stack.nowhere)"
)


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

    def __init__(self, machine: Machine, member: _Member, label: str) -> None:
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
        return LOCAL.sub(lambda m: self._local(m[0]), text)

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

    def __init__(self, function: Function, number: int, types: TypeParser) -> None:
        self.function, self.number, self.types = function, number, types
        self.blocks = function.blocks()
        self.layout = _Layout()
        self.arguments = {a.name: a for a in map(_argument, function.parameters())}
        for argument in self.arguments.values():
            held = argument.copied or argument.type
            self.layout.place(argument.name, self._bytes(held), 8)
        self.labels = {f"%{label}" for label in self.blocks}
        self.values: set[str] = set()
        for lines in self.blocks.values():
            for line in lines:
                self._note(line)
        self.layout.bytes = -(-self.layout.bytes // ALIGNMENT) * ALIGNMENT

    def _note(self, line: str) -> None:
        alloca = _ALLOCA.match(line)
        if alloca:
            bytes_ = self._bytes(alloca[2])
            self.layout.place(alloca[1], max(bytes_, 1), min(int(alloca[3] or 8), ALIGNMENT))
        elif " = " in line and line.lstrip().startswith("%"):
            self.values.add(line.strip().partition(" = ")[0])

    def _bytes(self, type_: str) -> int:
        try:
            return size_of(self.types.parse(type_))
        except ValueError:
            raise UnsupportedError(
                f"the recursive function {self.function.name} holds values of type {type_}",
                hint="a loop with an array as its stack",
            ) from None

    def renamed(self, name: str) -> str:
        return f'%"m{self.number}.{name[1:].strip(chr(34))}"'

    @property
    def entry(self) -> str:
        return next(iter(self.blocks))


def _argument(text: str) -> _Argument:
    copied = _BYVAL.search(text)
    return _Argument(text.split()[-1], type_of_text(text), copied[1] if copied else "")


class Machine:
    def __init__(self, group: Sequence[Function], types: TypeParser, name: str) -> None:
        self.name = name
        self.members = {f.name: _Member(f, number, types) for number, f in enumerate(group)}
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
            f"define internal {result} @{self.name}({self._parameters()}) convergent {{",
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
            _FULL,
            "  unreachable",
            "machine.end:",
            *end,
            "}",
        ]
        return "\n".join(lines)

    def _parameters(self) -> str:
        copies = (
            (a, f" byval({a.copied})" if a.copied else "") for a in self.first.arguments.values()
        )
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
                call = CALL.match(line)
                if _ALLOCA.match(line) or "@llvm.lifetime." in line:
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
        values = split_arguments(in_brackets(line, line.index(f"@{name}(")))
        arguments = callee.arguments.values()
        operands = [
            piece.translated(_operand(v, a.type)) for v, a in zip(values, arguments, strict=True)
        ]
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
            self._pass(
                piece, argument, piece.slot(frame, callee.layout.offsets[argument.name]), operand
            )
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
        if any(label.startswith(CALL_BLOCK) for label in _loop(source, head, before))
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
