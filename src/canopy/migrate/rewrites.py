"""The rewrites: from one use of CUDA to edits that mean the same on CUDA and run everywhere.

Each answers with edits, or with none where equality cannot be proved from the text; the finding is
a suggestion then. The device is chosen once per file, below the imports::

    DEVICE = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")

On CUDA `DEVICE` equals `torch.device("cuda")`, and `DEVICE.type` the string "cuda".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import libcst as cst

from canopy.migrate.attention import IMPORT, SDPA, attention_call
from canopy.migrate.findings import Edit
from canopy.migrate.names import Names
from canopy.migrate.rules import Rule

__all__ = ["Place", "Rewriter"]

_CHOICE = 'torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")'
_GUARD = "torch.accelerator.is_available()"
_IMPORTS = re.compile(rb"^\s*(from|import)\b[^\n]*", re.M)
_PLACES = re.compile(r"(?i)(.*_)?(device|map_location|device_type|dev)(_.*)?|accelerator")


@dataclass(frozen=True)
class Place:
    """A node and those above it, outermost first."""

    node: cst.CSTNode
    above: tuple[cst.CSTNode, ...]

    def call(self) -> cst.Call | None:
        """The call whose function this node is."""
        parent = self.above[-1] if self.above else None
        return parent if isinstance(parent, cst.Call) and parent.func is self.node else None


class Rewriter:
    """Makes the edits of one file."""

    def __init__(
        self,
        module: cst.Module,
        data: bytes,
        offset: int,
        spans: Mapping[cst.CSTNode, Any],
        names: Names,
    ) -> None:
        self._module = module
        self._data = data
        self._offset = offset
        self._spans = spans
        self._names = names
        self._newline = module.default_newline
        self._can_edit = module.encoding.lower().replace("_", "-") in ("utf-8", "ascii")
        self._attention: dict[cst.ImportFrom, bool] = {}
        self._uses_device = False
        self._uses_torch = False
        self._place, self._imports_torch = self._below_imports()
        self._device = self._free_name()

    def edits(self, rule: Rule, place: Place) -> tuple[Edit, ...]:
        """What turns this use into its portable form; nothing where that is not provably equal."""
        if not self._can_edit or self._place is None:
            return ()
        make = _REWRITES[rule.rewrite]
        return tuple(make(self, rule, place))

    def header(self) -> Edit | None:
        """The lines that the edits need below the imports."""
        lines = []
        if (self._uses_torch or self._uses_device) and not self._imports_torch:
            lines.append("import torch")
        if self._uses_device:
            lines.append(f"{self._device} = {_CHOICE}")
        if not lines or self._place is None:
            return None
        blank = [] if lines[0] == "import torch" else [""]
        if len(lines) == 2:
            lines.insert(1, "")
        text = "".join(self._newline + line for line in [*blank, *lines])
        return Edit(self._place, self._place, text)

    # ---- where things are ----------------------------------------------------------------------

    def _span(self, node: cst.CSTNode) -> tuple[int, int]:
        span = self._spans[node]
        start = span.start + self._offset
        return start, start + span.length

    def _below_imports(self) -> tuple[int | None, bool]:
        """The end of the last import of the leading ones, and whether they bind ``torch``. None
        where the file does without torch if it must: our import of it would end that."""
        end: int | None = None
        imports_torch = False
        for statement in self._module.body:
            if not isinstance(statement, cst.SimpleStatementLine):
                break
            small = statement.body[-1]
            if isinstance(small, cst.Import | cst.ImportFrom):
                end = self._end_of_line(self._span(statement)[1])
                imports_torch |= any(_binds_torch(one) for one in statement.body)
            elif not (isinstance(small, cst.Expr) and _is_string(small.value)):
                break
        if not imports_torch and any(map(_tries_torch, self._module.body)):
            return None, False
        return end, imports_torch

    def _end_of_line(self, position: int) -> int:
        """Where the line ends that ``position`` is in, behind its comment."""
        found = self._data.find(b"\n", position)
        if found < 0:
            return len(self._data)
        return found - 1 if self._data[found - 1 : found] == b"\r" else found

    def _free_name(self) -> str:
        taken = set(re.findall(r"\w+", self._data.decode("utf-8", "replace")))
        return next(n for n in _candidates() if n not in taken)

    def _is_below_header(self, node: cst.CSTNode) -> bool:
        return self._place is not None and self._span(node)[0] > self._place

    def _torch_is_free(self) -> bool:
        """Whether ``torch`` means torch in this file, or can be made to."""
        if self._imports_torch:
            return True
        if re.search(rb"^\s*(torch\s*=|import\s+\S+\s+as\s+torch\b)", self._data, re.M):
            return False
        # A name that nothing binds must not come to mean torch by an import of ours.
        is_bound = re.search(rb"^\s*import\s[^#\n]*\btorch\b", self._data, re.M)
        return bool(is_bound) or not re.search(rb"(?<![\w.])torch\.", _IMPORTS.sub(b"", self._data))

    def _use_device(self) -> str:
        self._uses_device = True
        return self._device

    def _name(self, dotted: str) -> str:
        self._uses_torch = True
        return dotted

    # ---- the rewrites --------------------------------------------------------------------------

    def rename(self, rule: Rule, place: Place) -> list[Edit]:
        if not self._is_below_header(place.node) or not self._torch_is_free():
            return []
        return [Edit(*self._span(place.node), self._name(rule.to))]

    def guarded(self, rule: Rule, place: Place) -> list[Edit]:
        """``f(x)`` as a statement becomes ``if ...is_available():`` and ``g(x)`` below it."""
        call = place.call()
        line = _statement_of_call(place)
        renamed = self.rename(rule, place)
        if call is None or line is None or not renamed:
            return []
        start = self._span(line)[0]
        indent = self._indent(start)
        if indent is None or self._span(place.node)[0] != start:
            return []
        unit = self._module.default_indent
        text = f"if {_GUARD}:{self._newline}{indent}{unit}{rule.to}"
        return [Edit(start, renamed[0].end, text)]

    def value(self, rule: Rule, place: Place) -> list[Edit]:
        """``f(x)`` becomes ``(g(x) if ...is_available() else 0)``."""
        call = place.call()
        renamed = self.rename(rule, place)
        if call is None or not renamed:
            return []
        end = self._span(call)[1]
        behind = f" if {_GUARD} else {rule.otherwise})"
        return [Edit(renamed[0].start, renamed[0].end, f"({rule.to}"), Edit(end, end, behind)]

    def amp(self, rule: Rule, place: Place) -> list[Edit]:
        """The type of the device becomes the first argument."""
        call = place.call()
        if call is None:
            return []
        positional = [argument for argument in call.args if argument.keyword is None]
        is_autocast = rule.to.endswith("autocast")
        if any(a.star for a in call.args) or (is_autocast and len(positional) > 1):
            return []
        renamed = self.rename(rule, place)
        opening = self._opening(call)
        if not renamed or opening is None:
            return []
        text = f"{self._use_device()}.type"
        if call.args:
            text += ", enabled=" if is_autocast and positional else ", "
        return [*renamed, Edit(opening, opening, text)]

    def to(self, rule: Rule, place: Place) -> list[Edit]:
        """``x.cuda()`` becomes ``x.to(DEVICE)``."""
        call = place.call()
        if call is None or not isinstance(place.node, cst.Attribute):
            return []
        allowed = [a.keyword is not None and a.keyword.value == "non_blocking" for a in call.args]
        opening = self._opening(call)
        usable = self._is_below_header(place.node) and self._torch_is_free()
        if not all(allowed) or opening is None or not usable:
            return []
        text = self._use_device() + (", " if call.args else "")
        return [Edit(*self._span(place.node.attr), "to"), Edit(opening, opening, text)]

    def device(self, rule: Rule, place: Place) -> list[Edit]:
        """The string "cuda", where it names a device, becomes the type of the device at hand."""
        names_a_device = self._names_a_device(place)
        if not names_a_device or not self._torch_is_free():
            return []
        if not self._is_below_header(place.node):
            return []
        start, end = self._span(place.node)
        before = self._data[start - 1 : start]
        text = f"{self._use_device()}.type"
        if before.isalnum():  # ``else"cuda"``
            text = " " + text
        return [Edit(start, end, text)]

    def backend(self, rule: Rule, place: Place) -> list[Edit]:
        """The backend of init_process_group, by the device."""
        above, node = list(place.above), place.node
        while above and isinstance(above[-1], cst.IfExp) and above[-1].test is not node:
            node = above.pop()  # "nccl" if ... else "gloo"
        argument = above[-1] if above else None
        call = above[-2] if len(above) > 1 else None
        if not isinstance(argument, cst.Arg) or not isinstance(call, cst.Call):
            return []
        is_named = argument.keyword is not None and argument.keyword.value == "backend"
        is_first = argument.keyword is None and call.args[0] is argument
        if self._names.dotted(call.func) != "torch.distributed.init_process_group":
            return []
        usable = self._is_below_header(place.node) and self._torch_is_free()
        if not (is_named or is_first) or not usable:
            return []
        chooser = self._name("torch.distributed.get_default_backend_for_device")
        return [Edit(*self._span(place.node), f"{chooser}({self._use_device()})")]

    def pin(self, rule: Rule, place: Place) -> list[Edit]:
        """``pin_memory=True`` becomes true where there is an accelerator to pin for."""
        if not self._is_below_header(place.node) or not self._torch_is_free():
            return []
        return [Edit(*self._span(place.node), self._name(_GUARD))]

    def pin_method(self, rule: Rule, place: Place) -> list[Edit]:
        """``x.pin_memory()`` becomes ``(x.pin_memory() if ...is_available() else x)``."""
        call = place.call()
        usable = self._is_below_header(place.node) and self._torch_is_free()
        if call is None or call.args or not isinstance(place.node, cst.Attribute) or not usable:
            return []
        owner = self._module.code_for_node(place.node.value)
        if not re.fullmatch(r"[A-Za-z_][\w.]*", owner):  # it would be computed twice
            return []
        chosen = place.above[-2] if len(place.above) > 1 else None
        if isinstance(chosen, cst.IfExp) and self._module.code_for_node(chosen.test) == _GUARD:
            return []  # so it stands already
        start, end = self._span(call)
        behind = f" if {self._name(_GUARD)} else {owner})"
        return [Edit(start, start, "("), Edit(end, end, behind)]

    def device_index(self, rule: Rule, place: Place) -> list[Edit]:
        """``"cuda:1"`` and ``f"cuda:{rank}"``, where they name a device, by the device's type."""
        usable = self._is_below_header(place.node) and self._torch_is_free()
        if not usable or not self._names_a_device(place):
            return []
        start, end = self._span(place.node)
        text = self._data[start:end].decode()
        match = re.fullmatch(r"""(f?)(['"])(cuda|npu)(:.*)\2""", text)
        if match is None or (not match[1] and "{" in text):
            return []
        return [Edit(start, end, f"f{match[2]}{{{self._use_device()}.type}}{match[4]}{match[2]}")]

    def attention(self, rule: Rule, place: Place) -> list[Edit]:
        """A call of flash-attn's, if all uses of the imported name are calls that can be
        rewritten; the import goes as well."""
        node = place.node
        if isinstance(node, cst.ImportFrom):
            return self._without_attention(node)
        call = place.call()
        if call is None or not isinstance(node, cst.Name):
            return []
        statement = self._names.import_of(node)
        if statement is None or not self._without_attention(statement):
            return []
        dotted = self._names.dotted(node) or ""
        text = attention_call(dotted, call, self._module)
        return [Edit(*self._span(call), text)] if text else []

    def _without_attention(self, statement: cst.ImportFrom) -> list[Edit]:
        """What takes the import's place, if no use of it stays behind."""
        if isinstance(statement.names, cst.ImportStar) or SDPA.encode() in self._data:
            return []
        if statement not in self._attention:
            calls = self._names.calls_of(statement)
            self._attention[statement] = bool(calls) and all(
                call is not None
                and self._is_below_header(call)
                and attention_call(dotted, call, self._module)
                for dotted, call in calls
            )
        if not self._attention[statement]:
            return []
        return [Edit(*self._span(statement), IMPORT)]

    def import_(self, rule: Rule, place: Place) -> list[Edit]:
        """``from a import B`` becomes ``from c import D as B``."""
        node = place.node
        if not isinstance(node, cst.ImportFrom) or isinstance(node.names, cst.ImportStar):
            return []
        if len(node.names) != 1:
            return []
        alias = node.names[0]
        module, _, name = rule.to.rpartition(".")
        bound = alias.evaluated_alias or alias.evaluated_name
        text = f"from {module} import {name}" + (f" as {bound}" if bound != name else "")
        return [Edit(*self._span(node), text)]

    def optional_import(self, rule: Rule, place: Place) -> list[Edit]:
        """An import that may fail: the plug-in is there where its device is."""
        line = place.above[-1] if place.above else None
        if not isinstance(line, cst.SimpleStatementLine) or len(line.body) != 1:
            return []
        if any(isinstance(node, cst.Try) for node in place.above):
            return []
        start, end = self._span(place.node)
        indent = self._indent(start)
        if indent is None:
            return []
        unit, newline = self._module.default_indent, self._newline
        text = self._data[start:end].decode()
        return [
            Edit(start, start, f"try:{newline}{indent}{unit}"),
            Edit(end, end, f"{newline}{indent}except ImportError:{newline}{indent}{unit}pass"),
        ] if "\n" not in text else []  # fmt: skip

    def _indent(self, start: int) -> str | None:
        """The white space before a statement; None where something else stands before it."""
        line = self._data.rfind(b"\n", 0, start) + 1
        before = self._data[line:start].removeprefix(b"\xef\xbb\xbf")
        return before.decode() if not before.strip(b" \t") else None

    def _opening(self, call: cst.Call) -> int | None:
        """The place behind the call's opening bracket."""
        end = self._span(call.func)[1]
        return end + 1 if self._data[end : end + 1] == b"(" else None

    def _names_a_device(self, place: Place) -> bool:
        """Whether what stands here is used as the name of a device and as nothing else."""
        above = list(place.above)
        node: cst.CSTNode = place.node
        while above and isinstance(above[-1], cst.IfExp):
            if above[-1].test is node:
                return False
            node = above.pop()
        parent = above[-1] if above else None
        if isinstance(parent, cst.Arg):
            call = above[-2] if len(above) > 1 else None
            return isinstance(call, cst.Call) and self._takes_device(call, parent)
        if isinstance(parent, cst.Param):
            return parent.default is node and bool(_PLACES.fullmatch(parent.name.value))
        if isinstance(parent, cst.Assign):
            return all(_is_device_name(target.target) for target in parent.targets)
        if isinstance(parent, cst.AnnAssign):
            return _is_device_name(parent.target)
        return False

    def _takes_device(self, call: cst.Call, argument: cst.Arg) -> bool:
        if argument.star:
            return False
        if argument.keyword is not None:
            return bool(_PLACES.fullmatch(argument.keyword.value))
        if call.args[0] is not argument:
            return False
        if isinstance(call.func, cst.Attribute) and call.func.attr.value == "to":
            return True
        called = self._names.dotted(call.func) or ""
        return called in _FIRST_IS_DEVICE


_FIRST_IS_DEVICE = frozenset(
    {
        *("torch.device", "torch.autocast", "torch.amp.autocast", "torch.amp.GradScaler"),
        *("torch.set_default_device", "torch.Generator", "torch.get_device_module"),
    }
)
_REWRITES: dict[str, Callable[[Rewriter, Rule, Place], list[Edit]]] = {
    "rename": Rewriter.rename,
    "guarded": Rewriter.guarded,
    "value": Rewriter.value,
    "amp": Rewriter.amp,
    "to": Rewriter.to,
    "device": Rewriter.device,
    "backend": Rewriter.backend,
    "import": Rewriter.import_,
    "pin": Rewriter.pin,
    "pin-method": Rewriter.pin_method,
    "device-index": Rewriter.device_index,
    "attention": Rewriter.attention,
    "optional-import": Rewriter.optional_import,
}


def _candidates() -> list[str]:
    return ["DEVICE", "ACCELERATOR", "TORCH_DEVICE", *(f"DEVICE_{n}" for n in range(2, 100))]


def _tries_torch(statement: cst.BaseStatement | cst.SimpleStatementLine) -> bool:
    """Whether this is a ``try`` that imports torch."""
    if not isinstance(statement, cst.Try):
        return False
    lines = (line for line in statement.body.body if isinstance(line, cst.SimpleStatementLine))
    return any(_binds_torch(small) for line in lines for small in line.body)


def _binds_torch(node: cst.BaseSmallStatement) -> bool:
    if not isinstance(node, cst.Import):
        return False
    return any(
        alias.asname is None and alias.evaluated_name.split(".")[0] == "torch"
        for alias in node.names
    )


def _is_string(node: cst.BaseExpression) -> bool:
    return isinstance(node, cst.SimpleString | cst.ConcatenatedString)


def _is_device_name(node: cst.BaseExpression) -> bool:
    name = node.attr if isinstance(node, cst.Attribute) else node
    return isinstance(name, cst.Name) and bool(_PLACES.fullmatch(name.value))


def _statement_of_call(place: Place) -> cst.SimpleStatementLine | None:
    """The line that is the call and nothing else, in a block of its own lines."""
    if len(place.above) < 4:
        return None
    block, line, expression = place.above[-4:-1]
    if not isinstance(line, cst.SimpleStatementLine) or not isinstance(expression, cst.Expr):
        return None
    is_block = isinstance(block, cst.IndentedBlock | cst.Module)
    return line if is_block and len(line.body) == 1 else None
