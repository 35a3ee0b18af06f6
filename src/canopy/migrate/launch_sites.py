"""Triton kernels of a Python file, and the types that their launches give them.

The file is parsed, not imported. A launch tells all if every argument is literal: numbers, tensors
made in the same function by torch's constructors, sizes of tensors, constants of the module.

    x = torch.empty(1024, dtype=torch.float16)
    scale[(8,)](x, x.numel(), BLOCK=128)          # *fp16, i32, BLOCK=128
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from canopy.migrate.python_text import parsed

__all__ = ["Launch", "TritonKernel", "triton_kernels"]

_DTYPES = {
    "float32": "fp32", "float": "fp32", "float16": "fp16", "half": "fp16", "bfloat16": "bf16",
    "float64": "fp64", "double": "fp64", "int32": "i32", "int": "i32", "int64": "i64",
    "long": "i64", "int16": "i16", "int8": "i8", "uint8": "u8", "bool": "i1",
    "float8_e5m2": "fp8e5", "float8_e4m3fn": "fp8e4nv",
}  # fmt: skip
_FLOATS = frozenset({"empty", "zeros", "ones", "rand", "randn", "empty_strided", "linspace", "eye"})
_INTEGERS = frozenset({"randint", "randperm"})
_SAME_TYPE = frozenset(
    {
        *("contiguous", "cuda", "npu", "clone", "view", "reshape", "t", "transpose", "permute"),
        *("flatten", "squeeze", "unsqueeze", "detach", "normal_", "zero_", "fill_", "uniform_"),
        *("requires_grad_", "expand", "pin_memory"),
    }
)
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv, ast.Div: operator.truediv, ast.Mod: operator.mod,
    ast.USub: operator.neg,
}  # fmt: skip
_SIZES = frozenset({"numel", "size", "stride", "dim", "element_size", "nelement"})


@dataclass(frozen=True)
class Launch:
    """The types and the constants of one launch. ``gap`` tells what is not literal, if anything."""

    types: Mapping[str, str]
    constants: Mapping[str, Any]
    gap: str = ""


@dataclass(frozen=True)
class TritonKernel:
    """A jit function that is no part of another: its place, and the most telling launch of it."""

    name: str
    line: int
    column: int
    launch: Launch | None


def triton_kernels(data: bytes) -> list[TritonKernel]:
    """The kernels of a file that imports Triton."""
    if b"triton" not in data:
        return []
    tree = parsed(data)
    if tree is None:
        return []
    module = _Module(tree)
    called = {name for node in module.kernels.values() for name in _called_in(node)}
    launched = module.launches()
    found = []
    for name, node in module.kernels.items():
        if name not in launched and (name in called or not _writes(node)):
            continue  # a part of other kernels
        launches = launched.get(name, [])
        best = next((one for one in launches if not one.gap), launches[0] if launches else None)
        found.append(TritonKernel(name, node.lineno, node.col_offset + 1, best))
    return found


def _called_in(node: ast.FunctionDef) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Name):
            yield part.func.id


@dataclass(frozen=True)
class _Value:
    """What an expression is known to be: a plain value, or a type as Triton writes it."""

    type: str = ""
    plain: Any = None

    @property
    def runtime_type(self) -> str:
        """The type of a parameter that is no constant."""
        if self.type:
            return self.type
        if isinstance(self.plain, bool):
            return "i1"
        if isinstance(self.plain, int):
            return "i32" if -(1 << 31) <= self.plain < 1 << 31 else "i64"
        return "fp32" if isinstance(self.plain, float) else ""


class _Module:
    """A parsed file: its kernels, and what its names are."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.kernels: dict[str, ast.FunctionDef] = {}
        imported = _imported_from_triton(tree)
        for node in _top_functions(tree):
            if any(_is_jit(d, imported) for d in node.decorator_list):
                self.kernels[node.name] = node
        self.globals = _Scope(tree.body, None)

    def launches(self) -> dict[str, list[Launch]]:
        """Every ``kernel[grid](...)`` of the file, by the kernel's name."""
        found: dict[str, list[Launch]] = {}
        for scope, call in self._calls():
            target = call.func
            if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
                name = target.value.id
                if name in self.kernels:
                    found.setdefault(name, []).append(_launch(self.kernels[name], call, scope))
        return found

    def _calls(self) -> Iterator[tuple[_Scope, ast.Call]]:
        functions = [n for n in ast.walk(self.tree) if isinstance(n, ast.FunctionDef)]
        for function in functions:
            scope = _Scope(function.body, self.globals, _parameters(function))
            yield from ((scope, n) for n in ast.walk(function) if isinstance(n, ast.Call))
        for statement in self.tree.body:
            if not isinstance(statement, ast.FunctionDef | ast.ClassDef):
                found = (n for n in ast.walk(statement) if isinstance(n, ast.Call))
                yield from ((self.globals, n) for n in found)


def _top_functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.FunctionDef):
            yield node
        elif isinstance(node, ast.If | ast.Try):
            waiting = [*node.body, *node.orelse, *waiting]


def _imported_from_triton(tree: ast.Module) -> set[str]:
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("triton")
        for alias in node.names
    }


def _is_jit(node: ast.expr, imported: set[str]) -> bool:
    """``@triton.jit``, ``@triton.jit(...)``, or ``@jit`` where Triton's was imported."""
    target = node.func if isinstance(node, ast.Call) else node
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
        return target.attr == "jit" and target.value.id == "triton"
    return isinstance(target, ast.Name) and target.id == "jit" and "jit" in imported


def _writes(node: ast.FunctionDef) -> bool:
    """Whether a jit function has an effect, as a kernel has and few of its parts."""
    names = (part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute))
    return any(name == "store" or name.startswith("atomic_") for name in names)


def _last_name(node: ast.expr) -> str:
    target = node.func if isinstance(node, ast.Call) else node
    if isinstance(target, ast.Attribute):
        return target.attr
    return target.id if isinstance(target, ast.Name) else ""


def _parameters(function: ast.FunctionDef) -> set[str]:
    return {argument.arg for argument in ast.walk(function.args) if isinstance(argument, ast.arg)}


def _launch(kernel: ast.FunctionDef, call: ast.Call, scope: _Scope) -> Launch:
    names = [argument.arg for argument in kernel.args.args]
    if any(isinstance(a, ast.Starred) for a in call.args) or len(call.args) > len(names):
        return Launch({}, {}, "its arguments are unpacked")
    given: dict[str, ast.expr] = dict(zip(names, call.args, strict=False))
    for keyword in call.keywords:
        if keyword.arg is None:
            return Launch({}, {}, "its arguments are unpacked")
        if keyword.arg in names:
            given[keyword.arg] = keyword.value
    types: dict[str, str] = {}
    constants: dict[str, Any] = dict(_tuned(kernel))
    defaults = dict(zip(names[::-1], kernel.args.defaults[::-1], strict=False))
    for argument in kernel.args.args:
        name = argument.arg
        if name in constants:
            continue
        node = given.get(name, defaults.get(name))
        value = scope.value(node) if node is not None else None
        is_constant = argument.annotation is not None and "constexpr" in ast.unparse(
            argument.annotation
        )
        if value is None or (is_constant and value.type):
            return Launch({}, {}, f"line {call.lineno}: {name} is not literal")
        if is_constant or (value.plain is None and not value.type):
            constants[name] = value.plain
        elif value.runtime_type:
            types[name] = value.runtime_type
        else:
            return Launch({}, {}, f"line {call.lineno}: {name} is not literal")
    return Launch(types, constants)


def _tuned(kernel: ast.FunctionDef) -> Iterator[tuple[str, Any]]:
    """The constants of the first configuration of ``triton.autotune``, if they are literal."""
    for decorator in kernel.decorator_list:
        if _last_name(decorator) != "autotune" or not isinstance(decorator, ast.Call):
            continue
        for node in ast.walk(decorator):
            if isinstance(node, ast.Call) and _last_name(node) == "Config" and node.args:
                try:
                    values = ast.literal_eval(node.args[0])
                except (ValueError, TypeError):
                    return
                if isinstance(values, dict):
                    yield from values.items()
                return


@dataclass
class _Scope:
    """The names of a function, or of the module. A name that is bound twice is not known."""

    body: list[ast.stmt]
    outer: _Scope | None
    parameters: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.bound: dict[str, ast.expr | None] = dict.fromkeys(self.parameters)
        for statement in self.body:
            if self.outer is None and isinstance(statement, ast.FunctionDef | ast.ClassDef):
                continue
            for node in ast.walk(statement):
                self._bind(node)

    def _bind(self, node: ast.AST) -> None:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    self._set(target.id, node.value)
                elif isinstance(target, ast.Tuple):
                    self._unpack(target, node.value)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            self._set(node.target.id, node.value)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            self._set(node.target.id, None)
        elif isinstance(node, ast.For | ast.comprehension | ast.withitem | ast.NamedExpr):
            bound = node.optional_vars if isinstance(node, ast.withitem) else node.target
            for name in ast.walk(bound) if bound is not None else ():
                if isinstance(name, ast.Name):
                    self._set(name.id, None)

    def _unpack(self, target: ast.Tuple, value: ast.expr) -> None:
        """``M, N = x.shape`` gives sizes; ``a, b = 1, 2`` its values."""
        values = value.elts if isinstance(value, ast.Tuple) else None
        is_shape = isinstance(value, ast.Attribute) and value.attr == "shape"
        for at, name in enumerate(target.elts):
            if not isinstance(name, ast.Name):
                continue
            if values is not None and len(values) == len(target.elts):
                self._set(name.id, values[at])
            else:
                self._set(name.id, value if is_shape else None)

    def _set(self, name: str, value: ast.expr | None) -> None:
        self.bound[name] = None if name in self.bound else value

    def value(self, node: ast.expr, depth: int = 0) -> _Value | None:
        """What the expression is, as far as the text tells."""
        if depth > 12:
            return None
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str | None):
            return _Value(plain=node.value)
        if isinstance(node, ast.Name):
            return self._named(node.id, depth)
        if isinstance(node, ast.UnaryOp | ast.BinOp):
            return self._computed(node, depth)
        if isinstance(node, ast.Subscript | ast.Attribute):
            inner = node.value if isinstance(node, ast.Subscript) else node
            is_shape = isinstance(inner, ast.Attribute) and inner.attr == "shape"
            return _Value("i32") if is_shape else None
        return self._call(node, depth) if isinstance(node, ast.Call) else None

    def _named(self, name: str, depth: int) -> _Value | None:
        if name in self.bound:
            node = self.bound[name]
            return self.value(node, depth + 1) if node is not None else None
        return self.outer.value(ast.Name(name), depth + 1) if self.outer is not None else None

    def _computed(self, node: ast.UnaryOp | ast.BinOp, depth: int) -> _Value | None:
        parts = [node.operand] if isinstance(node, ast.UnaryOp) else [node.left, node.right]
        values = [self.value(part, depth + 1) for part in parts]
        if any(value is None or value.type.startswith("*") for value in values):
            return None
        if all(value is not None and not value.type for value in values):
            return _folded(node, [value.plain for value in values if value is not None])
        types = {value.runtime_type for value in values if value is not None}
        is_float = "fp32" in types or isinstance(getattr(node, "op", None), ast.Div)
        return _Value("fp32" if is_float else "i32") if types <= {"fp32", "i32"} else None

    def _call(self, node: ast.Call, depth: int) -> _Value | None:
        name = _last_name(node)
        if not isinstance(node.func, ast.Attribute):
            return _Value("i32") if name == "len" else None
        owner = node.func.value
        if isinstance(owner, ast.Name) and owner.id == "torch":
            return self._made_by_torch(name, node, depth)
        if isinstance(owner, ast.Name) and owner.id == "triton":
            return self._by_triton(name, node, depth)
        if name in _SIZES:
            return _Value("i32")
        tensor = self.value(owner, depth + 1)
        if tensor is None or not tensor.type.startswith("*"):
            return None
        return self._converted(tensor, name, node)

    def _converted(self, tensor: _Value, name: str, node: ast.Call) -> _Value | None:
        if name in _SAME_TYPE:
            return tensor
        if name in _DTYPES:
            return _Value("*" + _DTYPES[name])
        if name != "to":
            return None
        for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
            if dtype := _dtype(argument):
                return _Value("*" + dtype)
        is_device = all(isinstance(a, ast.Constant) and isinstance(a.value, str) for a in node.args)
        return tensor if is_device else None

    def _made_by_torch(self, name: str, node: ast.Call, depth: int) -> _Value | None:
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        if "dtype" in keywords:
            dtype = _dtype(keywords["dtype"])
            return _Value("*" + dtype) if dtype else None
        if name.endswith("_like") and node.args:
            return self.value(node.args[0], depth + 1)
        if name in _FLOATS:
            return _Value("*fp32")
        if name in _INTEGERS:
            return _Value("*i64")
        if name == "arange":
            values = [self.value(argument, depth + 1) for argument in node.args]
            if all(value is not None and value.runtime_type == "i32" for value in values):
                return _Value("*i64")
        return None

    def _by_triton(self, name: str, node: ast.Call, depth: int) -> _Value | None:
        values = [self.value(argument, depth + 1) for argument in node.args]
        if any(value is None for value in values) or name not in ("cdiv", "next_power_of_2"):
            return None
        plain = [value.plain for value in values if value is not None and not value.type]
        if len(plain) < len(values) or not all(isinstance(one, int) for one in plain):
            return _Value("i32")
        if name == "cdiv" and len(plain) == 2 and plain[1]:
            return _Value(plain=-(-plain[0] // plain[1]))
        return _Value(plain=1 << max(plain[0] - 1, 0).bit_length()) if len(plain) == 1 else None


def _folded(node: ast.UnaryOp | ast.BinOp, values: list[Any]) -> _Value | None:
    """The value of arithmetic on small numbers."""
    if not all(isinstance(value, int | float) and abs(value) < 1 << 40 for value in values):
        return None
    function = _OPERATORS.get(type(node.op))
    try:
        return _Value(plain=function(*values)) if function is not None else None
    except ArithmeticError:
        return None


def _dtype(node: ast.expr) -> str:
    is_torchs = (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "torch"
    )
    return _DTYPES.get(node.attr, "") if is_torchs and isinstance(node, ast.Attribute) else ""
