"""Reads a Python file: every use of CUDA in it, and the edits that make it portable.

Parsed by libcst, never imported or executed. Positions are byte spans of the source, so that an
edit replaces exactly what it names and every other byte stays.
"""

from __future__ import annotations

import ast
import re
import warnings
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import libcst as cst
from libcst.metadata import (
    ByteSpanPositionProvider,
    MetadataWrapper,
    ScopeProvider,
)

from canopy.migrate.findings import Edit, Effort, FileReport, Finding, Status
from canopy.migrate.names import Names, literal_of
from canopy.migrate.rewrites import Place, Rewriter
from canopy.migrate.rules import Rule, find_by_name, rules_of
from canopy.migrate.statuses import cpu_status, python_fact
from canopy.migrate.tree import walk

__all__ = ["is_relevant", "read_python"]

_BOM = b"\xef\xbb\xbf"
_WORD = re.compile(rb"\w+")
# What is found in strings and in numbers for devices; "npu" not as in "input".
_DEVICES = re.compile(
    rb"cuda|CUDA|(?<![a-zA-Z])npu|NCCL_|nccl|hccl|nvcc|(?i:nvidia)|device_ids"
    rb"|\.to\(\s*\d|(?:device|map_location)\s*=[\s(]*\d"
)
_DEEPEST = 150  # brackets within brackets; Python's own limit is 200
_IMPORTS_THAT_ARE_NO_USE = ("torch.cuda", "torch.npu", "torch.backends", "torch.distributed")


def is_relevant(data: bytes, own_packages: frozenset[str] = frozenset()) -> bool:
    """Whether a file can hold a finding at all; most cannot, and are not parsed."""
    if _DEVICES.search(data):
        return True
    words = frozenset(_WORD.findall(data))
    return any(name <= words for name in _names_as_words(own_packages))


@cache
def _names_as_words(own_packages: frozenset[str]) -> list[frozenset[bytes]]:
    """The words that must stand in a file for each rule's names; names of the project's own
    packages are no findings."""
    rules = (*rules_of("name"), *rules_of("method"))
    names = {name for rule in rules for name in rule.match}
    parts = (name.split(".") for name in names if name.partition(".")[0] not in own_packages)
    return [frozenset(part.encode() for part in words) for words in parts]


def read_python(
    data: bytes,
    path: str,
    *,
    package: str = "",
    reexports: Mapping[str, str] | None = None,
    own_methods: frozenset[str] = frozenset(),
    own_packages: frozenset[str] = frozenset(),
) -> FileReport:
    """The findings of one file. ``package`` is the dotted name of its folder, ``reexports`` what
    names of the project's other modules stand for, ``own_methods`` the methods that classes of the
    project define, whose calls may not be torch's, ``own_packages`` its own packages, which are
    read themselves."""
    report = FileReport(path, "python", lines=data.count(b"\n") + 1)
    if not is_relevant(data, own_packages) and not reexports:
        return report
    if _nesting(data) > _DEEPEST:
        report.note = f"not read: brackets nested deeper than {_DEEPEST}"
        return report
    if fact := _why_python_refuses(data):
        report.note = f"not read: {fact}"
        return report
    offset = len(_BOM) if data.startswith(_BOM) else 0
    try:
        module = cst.parse_module(data[offset:])
    except cst.ParserSyntaxError as error:
        report.note = f"not read: no valid Python 3 at line {error.raw_line}"
        return report
    except UnicodeDecodeError:
        report.note = "not read: the text is not in the encoding that it declares"
        return report
    except RecursionError:
        report.note = "not read: nested too deeply"
        return report
    except (LookupError, ValueError) as error:  # an unknown encoding, a null byte
        report.note = f"not read: {type(error).__name__} in parsing"
        return report
    reader = _Reader(module, data, offset, package, reexports or {}, own_methods, own_packages)
    try:
        reader.read()
    except RecursionError:
        report.note = "not read: nested too deeply"
        return report
    report.findings = _without_lone_risks(reader.findings)
    report.exports = reader.exports()
    report.header = reader.rewriter.header()
    return report


def _why_python_refuses(data: bytes) -> str:
    """What Python's own parser says; empty where it is content.

    libcst's takes exponential time on some broken texts, so only sound ones are given to it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(data)
    except SyntaxError as error:
        return f"no valid Python 3 at line {error.lineno or 1}"
    except (ValueError, RecursionError, MemoryError) as error:
        return f"Python cannot parse it: {type(error).__name__}"
    return ""


def _nesting(data: bytes) -> int:
    deepest = depth = 0
    for match in re.finditer(rb"[\[({]|[\])}]", data):
        depth = depth + 1 if match[0] in b"[({" else max(depth - 1, 0)
        deepest = max(deepest, depth)
    return deepest


def _without_lone_risks(findings: Sequence[Finding]) -> list[Finding]:
    """Sorted by place. A shape that depends on data is a risk of a program for devices only."""
    is_for_devices = any(not finding.rule.startswith("shapes.") for finding in findings)
    told = findings if is_for_devices else []
    return sorted(told, key=lambda finding: (finding.line, finding.column))


class _Values(cst.CSTVisitor):
    """What each plainly assigned name gets: ``c = torch.cuda``."""

    def __init__(self) -> None:
        self.found: dict[cst.CSTNode, cst.BaseExpression] = {}
        self.methods: set[str] = set()
        self.calls: dict[cst.CSTNode, cst.Call] = {}

    def visit_Assign(self, node: cst.Assign) -> None:
        for target in node.targets:
            if isinstance(target.target, cst.Name):
                self.found[target.target] = node.value

    def visit_AnnAssign(self, node: cst.AnnAssign) -> None:
        if isinstance(node.target, cst.Name) and node.value is not None:
            self.found[node.target] = node.value

    def visit_Call(self, node: cst.Call) -> None:
        self.calls[node.func] = node

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        self.methods.add(node.name.value)


class _Reader(cst.CSTVisitor):
    """One walk over the tree; ``stack`` holds the nodes above the one at hand."""

    def __init__(
        self,
        module: cst.Module,
        data: bytes,
        offset: int,
        package: str,
        reexports: Mapping[str, str],
        own_methods: frozenset[str],
        own_packages: frozenset[str],
    ) -> None:
        super().__init__()
        wrapper = MetadataWrapper(module, unsafe_skip_copy=True)
        self.module = module
        self.data = data
        self.line_starts = [0, *(match.end() for match in re.finditer(b"\n", data))]
        self.offset = offset
        spans = wrapper.resolve(ByteSpanPositionProvider)
        self.spans = spans
        values = _Values()
        walk(module, values)
        scopes = wrapper.resolve(ScopeProvider)
        self.names = Names(scopes, values.found, package, reexports, values.calls)
        self.own_methods = own_methods | values.methods
        self.own_packages = own_packages
        self.rewriter = Rewriter(module, data, offset, spans, self.names)
        self.findings: list[Finding] = []
        self.stack: list[cst.CSTNode] = []

    def read(self) -> None:
        walk(self.module, self)

    def exports(self) -> dict[str, str]:
        """Names of the module's top level that stand for a part of CUDA, for other modules."""
        found: dict[str, str] = {}
        for statement in self.module.body:
            for name in _bound_names(statement):
                dotted = self.names.global_name(name.value)
                if dotted and dotted != name.value and self._rule(dotted):
                    found[name.value] = dotted
        return found

    # ---- the walk ------------------------------------------------------------------------------

    def on_visit(self, node: cst.CSTNode) -> bool:
        goes_on = super().on_visit(node)
        self.stack.append(node)
        return goes_on

    def on_leave(self, original_node: cst.CSTNode) -> None:
        self.stack.pop()
        super().on_leave(original_node)

    def visit_Import(self, node: cst.Import) -> bool:
        for alias in node.names:
            self._imported(node, alias, alias.evaluated_name)
        return False

    def visit_ImportFrom(self, node: cst.ImportFrom) -> bool:
        module = self.names.module_of(node)
        if isinstance(node.names, cst.ImportStar):
            self._imported(node, node.names, f"{module}.*")
            return False
        for alias in node.names:
            self._imported(node, alias, f"{module}.{alias.evaluated_name}")
        return False

    def _line_and_column(self, node: cst.CSTNode) -> tuple[int, int]:
        start = self.spans[node].start + self.offset
        line = bisect_right(self.line_starts, start)
        before = self.data[self.line_starts[line - 1] : start]
        return line, len(before.decode("utf-8", "replace")) + 1

    def _rule(self, dotted: str | None) -> Rule | None:
        """The rule of a name that is not the project's own."""
        if not dotted or dotted.partition(".")[0] in self.own_packages:
            return None
        return find_by_name(dotted)

    def _imported(self, node: cst.CSTNode, alias: cst.CSTNode, dotted: str) -> None:
        rule = self._rule(dotted)
        if rule is None or dotted.startswith(_IMPORTS_THAT_ARE_NO_USE):
            return
        if rule.id == "precision.float64" or dotted == "tensorflow.device":
            return
        self._add(rule, alias, dotted, Place(node, tuple(self.stack)), alias)

    def visit_Attribute(self, node: cst.Attribute) -> bool:
        dotted = self.names.dotted(node)
        rule = self._rule(dotted)
        if rule and dotted:
            if not rule.imports_only:
                self._add(rule, node, dotted, Place(node, tuple(self.stack)), node)
            return False
        if dotted is None or not dotted.startswith("torch."):
            self._method(node)
        return True

    def visit_Name(self, node: cst.Name) -> None:
        if not self.stack or not _is_read(node, self.stack[-1]):
            return
        dotted = self.names.dotted(node)
        rule = self._rule(dotted) if dotted and "." in dotted else None
        if rule and dotted and not rule.imports_only and not self.names.is_alias(node):
            self._add(rule, node, dotted, Place(node, tuple(self.stack)), node)

    def visit_Call(self, node: cst.Call) -> None:
        dotted = self.names.dotted(node)  # getattr(torch, "cuda")
        rule = self._rule(dotted)
        if rule and dotted and not _inside_chain(node, self.stack):
            self._add(rule, node, dotted, Place(node, tuple(self.stack)), node)
        if isinstance(node.func, cst.Attribute) and node.func.attr.value == "to" and node.args:
            first = node.args[0]
            if first.keyword is None and isinstance(first.value, cst.Integer):
                self._keyword("device", first.value)

    def visit_Arg(self, node: cst.Arg) -> None:
        if node.keyword is not None:
            self._keyword(node.keyword.value, node.value)

    def visit_SimpleString(self, node: cst.SimpleString) -> None:
        text = literal_of(node)
        if text and not _is_text_alone(node, self.stack):
            self._string(node, text)

    def visit_FormattedString(self, node: cst.FormattedString) -> bool:
        shape = "".join(
            part.value if isinstance(part, cst.FormattedStringText) else "{}" for part in node.parts
        )
        self._string(node, shape)
        return True

    # ---- what is found -------------------------------------------------------------------------

    def _method(self, node: cst.Attribute) -> None:
        name = node.attr.value
        for rule in rules_of("method"):
            if name in rule.match:
                place = Place(node, tuple(self.stack))
                if name in ("is_cuda", "is_npu") or place.call() is not None:
                    self._add(rule, node.attr, f".{name}", place, node.attr)

    def _keyword(self, name: str, value: cst.BaseExpression) -> None:
        for rule in rules_of("keyword"):
            if name not in rule.match:
                continue
            if _KEYWORDS.get(name, _is_integer)(value):
                self._add(rule, value, f"{name}=", Place(value, tuple(self.stack)), value)

    def _string(self, node: cst.BaseExpression, text: str) -> None:
        for rule in rules_of("string"):
            if rule.pattern.fullmatch(text):
                self._add(rule, node, f'"{text}"', Place(node, tuple(self.stack)), node)
                return

    def _add(self, rule: Rule, at: cst.CSTNode, what: str, place: Place, node: cst.CSTNode) -> None:
        edits: tuple[Edit, ...] = ()
        effort = rule.effort
        if rule.rewrite:
            is_own = rule.reader == "method" and what[1:] in self.own_methods
            edits = () if is_own else self.rewriter.edits(rule, place)
            effort = Effort.AUTOMATIC if edits else Effort.LOW
        is_name = rule.reader == "name"
        cpu = cpu_status(rule, what if is_name else "")
        status = {"cpu": cpu, "ascend": rule.ascend, "nvidia": rule.nvidia}
        why = rule.why or (python_fact(what) if is_name and cpu is not Status.RUNS else "")
        self.findings.append(
            Finding(
                rule.id,
                *self._line_and_column(at),
                what,
                effort,
                status,
                why=why,
                advice=rule.advice,
                edits=edits,
            )
        )


def _is_integer(value: cst.BaseExpression) -> bool:
    return isinstance(value, cst.Integer)


# What the value of a keyword is that a rule speaks of; integers where nothing is said here.
_KEYWORDS: dict[str, Callable[[cst.BaseExpression], bool]] = {
    "device_ids": lambda value: isinstance(value, cst.List | cst.Tuple),
    "pin_memory": lambda value: isinstance(value, cst.Name) and value.value == "True",
}


def _is_read(node: cst.Name, parent: cst.CSTNode) -> bool:
    """Whether the name is read here, and is not part of a longer name or a definition."""
    if isinstance(parent, cst.Attribute):
        return False  # visit_Attribute has asked for the whole
    if isinstance(parent, cst.Arg):
        return parent.value is node
    if isinstance(parent, cst.Param):
        return parent.default is node
    if isinstance(parent, cst.AnnAssign):
        return parent.value is node
    if isinstance(parent, cst.FunctionDef | cst.ClassDef):
        return False
    return not isinstance(parent, cst.AssignTarget | cst.NameItem | cst.AsName | cst.For)


def _inside_chain(node: cst.Call, stack: list[cst.CSTNode]) -> bool:
    """Whether the call is the head of a longer name, which was asked for as a whole."""
    return bool(stack) and isinstance(stack[-1], cst.Attribute) and stack[-1].value is node


def _is_text_alone(node: cst.SimpleString, stack: list[cst.CSTNode]) -> bool:
    """A docstring, or a key: text that no call reads as a device."""
    above = stack[-1] if stack else None
    if isinstance(above, cst.Expr | cst.ConcatenatedString | cst.FormattedStringText):
        return True
    if isinstance(above, cst.Index):  # a key, unless it is a variable of the environment
        return not (literal_of(node) or "").isupper()
    return isinstance(above, cst.DictElement) and above.key is node


def _bound_names(statement: cst.CSTNode) -> list[cst.Name]:
    """The names that a statement of the top level binds by import or assignment."""
    if isinstance(statement, cst.If | cst.Try):
        blocks = [statement.body, *(h.body for h in getattr(statement, "handlers", ()))]
        return [name for block in blocks for inner in block.body for name in _bound_names(inner)]
    if not isinstance(statement, cst.SimpleStatementLine):
        return []
    targets: list[cst.CSTNode] = []
    for small in statement.body:
        if isinstance(small, cst.Assign):
            targets += [target.target for target in small.targets]
        elif isinstance(small, cst.ImportFrom | cst.Import):
            aliases = () if isinstance(small.names, cst.ImportStar) else small.names
            targets += [alias.asname.name if alias.asname else alias.name for alias in aliases]
    return [target for target in targets if isinstance(target, cst.Name)]
