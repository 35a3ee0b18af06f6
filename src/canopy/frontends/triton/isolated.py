"""Compiles one Triton kernel of a file that is not imported.

Of the file, only the jit functions are taken, and of those only what is made of Triton's own
language: Triton's compiler calls whatever a kernel's text calls, so every name and attribute is
looked at first. Nothing else of the file is executed.

    verdict = isolated_verdict(text, "add", {"x": "*fp32", "n": "i32"}, {"BLOCK": 128}, folder)
"""

from __future__ import annotations

import ast
import linecache
import textwrap
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from canopy.errors import CanopyError
from canopy.frontends.verdicts import UNSUPPORTED, KernelVerdict, Verdict, on_ascend, on_cpu

__all__ = ["NotIsolatedError", "functions_of", "isolated_verdict"]

_BUILTINS = {
    name: getattr(__import__("builtins"), name)
    for name in ("range", "int", "float", "bool", "len", "min", "max", "abs", "print", "isinstance")
}
_REFUSED = (
    *(ast.Import, ast.ImportFrom, ast.Lambda, ast.Await, ast.Yield, ast.YieldFrom, ast.Global),
    *(ast.Nonlocal, ast.ClassDef, ast.AsyncFunctionDef, ast.Try, ast.With, ast.Delete),
)
_OF_TENSORS = frozenset({"value", "element_ty", "scalar", "primitive_bitwidth", "dtype", "shape"})


class NotIsolatedError(Exception):
    """The kernel needs more of its file than jit functions and plain constants."""


def functions_of(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """The functions of a module's top level, those below ``if`` and ``try`` among them."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.FunctionDef):
            yield node
        elif isinstance(node, ast.If | ast.Try):
            handlers = [s for h in getattr(node, "handlers", ()) for s in h.body]
            waiting = [*node.body, *handlers, *node.orelse, *waiting]


def isolated_verdict(
    text: str,
    name: str,
    types_: Mapping[str, str],
    constants: Mapping[str, Any],
    folder: Path,
) -> KernelVerdict:
    """What becomes of the kernel ``name``; ``types_`` and ``constants`` are its parameters'.

    ``folder`` is for temporary files. Raises NotIsolatedError, MissingDependencyError.
    """
    import triton
    from triton.backends import backends
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from triton.compiler.errors import CompilationError

    if "cpu" not in backends:
        raise NotIsolatedError("Triton does not find Canopy's backend")
    function = _jit_function(text, name, folder)
    line = function.fn.__code__.co_firstlineno
    source = ASTSource(fn=function, signature=_signature(function, types_, constants),
                       constexprs=dict(constants))  # fmt: skip
    with triton.knobs.compilation.scope(), triton.knobs.cache.scope():
        triton.knobs.compilation.always_compile = True
        triton.knobs.cache.dir = str(folder / "triton")
        try:
            made = triton.compile(source, target=GPUTarget("cpu", "", 1))
        except CompilationError as error:
            why = str(error.error_message or error).strip().splitlines()[0]
            place = getattr(error.node, "lineno", 1) + line - 1
            refused = Verdict(UNSUPPORTED, f"line {place}: Triton itself refuses: {why}")
            return KernelVerdict(name, "", line, refused, refused)
        except CanopyError as error:
            where = f"line {error.location.line}: " if error.location.line else ""
            refused = Verdict(UNSUPPORTED, where + error.fact)
            return KernelVerdict(name, "", line, refused, refused)
    return _on_targets(made.asm["ttir"], name, line)


def _on_targets(ttir: str, name: str, line: int) -> KernelVerdict:
    from canopy.frontends.triton.reader import ttir_to_kernel

    kernel = ttir_to_kernel(ttir)
    return KernelVerdict(name, "", line, on_cpu(kernel), on_ascend(kernel))


def _signature(function: Any, types_: Mapping[str, str], constants: Mapping[str, Any]) -> Any:
    return {p: "constexpr" if p in constants else types_[p] for p in function.arg_names}


# ---- taking functions out of a file ------------------------------------------------------------


def _jit_function(text: str, name: str, folder: Path) -> Any:
    from triton.runtime.jit import JITFunction

    tree = ast.parse(text)
    found = {node.name: node for node in functions_of(tree)}
    space: dict[str, Any] = {
        "__name__": "isolated",
        "__builtins__": _BUILTINS,
        **_language(tree),
        **_constants(tree),
    }
    taken: dict[str, ast.FunctionDef] = {}
    _take(name, found, space, taken)
    file = folder / "kernel.py"
    file.write_text(_text_of(text, taken.values()), encoding="utf-8")
    linecache.checkcache(str(file))
    exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), space)
    for one in taken:
        space[one] = JITFunction(space[one])
    return space[name]


def _take(
    name: str,
    found: Mapping[str, ast.FunctionDef],
    space: Mapping[str, Any],
    taken: dict[str, ast.FunctionDef],
) -> None:
    """The function and those that it calls, each looked through."""
    if name not in found:
        raise NotIsolatedError(f"{name} is not a function of the file's top level")
    node = taken[name] = found[name]
    for used in _checked(node, space, frozenset(found)):
        if used not in taken:
            _take(used, found, space, taken)


def _checked(
    node: ast.FunctionDef, space: Mapping[str, Any], functions: frozenset[str]
) -> set[str]:
    """The functions that this one calls; NotIsolatedError if it is made of anything else."""
    if not any(_is_jit(decorator) for decorator in node.decorator_list):
        raise NotIsolatedError(f"line {node.lineno}: {node.name} is no jit function")
    own = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    own |= {argument.arg for argument in ast.walk(node) if isinstance(argument, ast.arg)}
    used: set[str] = set()
    inside = [n for part in (node.args, *node.body, node.returns) if part for n in ast.walk(part)]
    for part in inside:
        if isinstance(part, (*_REFUSED, ast.FunctionDef)):
            raise NotIsolatedError(f"line {part.lineno}: {type(part).__name__}")
        if isinstance(part, ast.Attribute):
            _check_attribute(part, own, space)
        elif isinstance(part, ast.Name) and part.id not in own:
            if part.id in functions:
                used.add(part.id)
            elif part.id not in space and part.id not in _BUILTINS:
                raise NotIsolatedError(f"line {part.lineno}: {part.id} is not known from the text")
    return used


def _check_attribute(node: ast.Attribute, own: set[str], space: Mapping[str, Any]) -> None:
    """``tl.load`` must be Triton's; ``x.to`` must be something that a tensor has."""
    import triton.language as tl

    root: ast.expr = node
    names: list[str] = []
    while isinstance(root, ast.Attribute):
        names.insert(0, root.attr)
        root = root.value
    known = space.get(root.id) if isinstance(root, ast.Name) and root.id not in own else None
    if isinstance(known, types.ModuleType):
        if not _is_tritons(known, names):
            raise NotIsolatedError(f"line {node.lineno}: {'.'.join(names)} is not Triton's")
    elif any(name not in _OF_TENSORS and not _is_public(tl.tensor, name) for name in names):
        raise NotIsolatedError(f"line {node.lineno}: .{names[-1]}")


def _is_public(owner: Any, name: str) -> bool:
    return not name.startswith("_") and hasattr(owner, name)


def _is_tritons(module: Any, names: list[str]) -> bool:
    """Whether the names lead from a module of Triton's language to a part of that language."""
    value = module
    for name in names:
        if name.startswith("_") or not hasattr(value, name):
            return False
        value = getattr(value, name)
        if isinstance(value, types.ModuleType) and not value.__name__.startswith(_MODULES):
            return False
    return isinstance(value, types.ModuleType) or _is_of_the_language(value)


_MODULES = ("triton.language.math", "triton.language.extra", "triton.language.random")


def _is_of_the_language(value: Any) -> bool:
    import triton.language as tl
    from triton.runtime.jit import JITFunction

    if isinstance(value, (JITFunction, tl.dtype, tl.constexpr, int, float, str)):
        return True
    return tl.core.is_builtin(value) or value in (tl.constexpr, tl.tensor, tl.dtype, tl.range,
                                                  tl.static_range, tl.tuple)  # fmt: skip


def _is_jit(node: ast.expr) -> bool:
    target = node.func if isinstance(node, ast.Call) else node
    return isinstance(target, ast.Attribute | ast.Name) and (
        target.attr if isinstance(target, ast.Attribute) else target.id
    ) in ("jit", "autotune", "heuristics")


def _language(tree: ast.Module) -> dict[str, Any]:
    """What the file's imports bind to parts of Triton's language."""
    import triton.language as tl

    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == "triton.language" and alias.asname:
                    found[alias.asname] = tl
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                _import_from(node.module or "", alias, found)
    return found


def _import_from(module: str, alias: ast.alias, found: dict[str, Any]) -> None:
    import triton.language as tl

    bound = alias.asname or alias.name
    if module == "triton" and alias.name == "language":
        found[bound] = tl
    elif module == "triton.language" and _is_tritons(tl, [alias.name]):
        found[bound] = getattr(tl, alias.name)
    elif alias.name == "libdevice" and module.startswith("triton.language.extra"):
        from triton.language.extra import libdevice

        found[bound] = libdevice


def _constants(tree: ast.Module) -> dict[str, Any]:
    """Names that the top level gives a plain value once, as `tl.constexpr`."""
    import triton.language as tl

    stores = [
        n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    ]
    found: dict[str, Any] = {}
    for node in tree.body:
        target, value = _assigned(node)
        if target is None or value is None or stores.count(target) > 1:
            continue
        if isinstance(value, ast.Call) and len(value.args) == 1 and not value.keywords:
            value = value.args[0] if ast.unparse(value.func).endswith("constexpr") else value
        try:
            plain = ast.literal_eval(value)
        except (ValueError, TypeError):
            continue
        if isinstance(plain, (int, float, str)):
            found[target] = tl.constexpr(plain)
    return found


def _assigned(node: ast.stmt) -> tuple[str | None, ast.expr | None]:
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target: ast.expr = node.targets[0]
    elif isinstance(node, ast.AnnAssign):
        target = node.target
    else:
        return None, None
    return (target.id, node.value) if isinstance(target, ast.Name) else (None, None)


def _text_of(text: str, nodes: Any) -> str:
    """The functions alone, on their lines, without decorators and indentation."""
    lines = text.splitlines()
    kept = [""] * len(lines)
    for node in nodes:
        first, last = node.lineno - 1, node.end_lineno or node.lineno
        body = textwrap.dedent("\n".join(lines[first:last])).split("\n")
        kept[first:last] = body
    return "\n".join(kept) + "\n"
