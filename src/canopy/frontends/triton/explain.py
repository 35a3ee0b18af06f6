"""Triton's own refusals, with place, fact and hint.

Triton says ``TypeError: failed to specialize argument of type: list``, and ``at 4:34:`` counted
from the line of the ``def``. The functions that bind the arguments of a launch and the one that
reads a kernel's syntax tree are wrapped, for this backend only: the errors keep their types where
programs catch them (`triton.CompilationError`), and say where and why.
"""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from triton.compiler import code_generator
from triton.compiler.errors import CompilationError
from triton.runtime import jit

from canopy.errors import LaunchError, Location
from canopy.frontends.triton.options import CpuOptions
from canopy.frontends.triton.places import launch_site

__all__ = ["install"]

_make_binder = jit.create_function_from_signature
_read_syntax_tree = code_generator.ast_to_ttir
_REFUSAL = "failed to specialize argument"


def install() -> None:
    """Wraps the binders that are made from now on."""
    jit.create_function_from_signature = _make_explaining_binder
    code_generator.ast_to_ttir = _read_explaining


# ---- arguments ---------------------------------------------------------------------------------


def _make_explaining_binder(
    signature: inspect.Signature, parameters: list[Any], backend: Any
) -> Callable[..., Any]:
    binder: Callable[..., Any] = _make_binder(signature, parameters, backend)
    if backend.target.backend != "cpu":
        return binder

    def bind(*args: Any, **kwargs: Any) -> Any:
        try:
            return binder(*args, **kwargs)
        except TypeError as error:
            if not str(error).startswith(_REFUSAL):
                raise
            raise _refusal(signature, backend, args, kwargs) or error from None
        except (KeyError, RuntimeError) as error:  # a dtype or a layout that Triton does not know
            raise _refusal(signature, backend, args, kwargs) or error from None

    return bind


def _refusal(
    signature: inspect.Signature,
    backend: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> LaunchError | None:
    names = {name: value for name, value in kwargs.items() if name in signature.parameters}
    for name, value in signature.bind_partial(*args, **names).arguments.items():
        try:
            jit.native_specialize_impl(backend, value, False, True, True)
        except (TypeError, KeyError, RuntimeError):
            return LaunchError(
                f"argument {name}: expected {_expected(value)}, got {_described(value)}",
                location=launch_site(),
                hint=_hint(value),
            )
    return None


def _expected(value: Any) -> str:
    if hasattr(value, "data_ptr"):
        return "a dense tensor of a type that Triton has"
    return "a tensor, a number or a tuple of these"


def _described(value: Any) -> str:
    if hasattr(value, "data_ptr"):
        return f"{getattr(value, 'layout', '')} of {value.dtype}".replace("torch.", "")
    return type(value).__name__


def _hint(value: Any) -> str:
    if type(value).__module__ == "numpy":
        if not getattr(value, "shape", ()):
            return "pass a Python number: value.item()"
        return "pass torch.from_numpy(array): it shares the array's memory"
    if getattr(value, "is_complex", bool)():
        return "pass torch.view_as_real(tensor): pairs of floats in the same memory"
    if hasattr(value, "data_ptr"):
        return "pass the parts that a kernel can index, such as values() and indices()"
    if isinstance(value, list):
        return "pass a tuple, or make a tensor of it with torch.tensor(...)"
    return "pass a torch tensor for a pointer, and a number for a scalar"


# ---- compilation -------------------------------------------------------------------------------

# What Triton's front-end says, and what the user can do about it.
_HINTS = (
    (r"must be a power of 2", "round up with triton.next_power_of_2(n), and mask what is beyond n"),
    (r"incompatible dimensions", "add axes with x[:, None], or give both tiles the same shape"),
    (r"invalid operands of type pointer", "pointers take + and - of integers; load what is there"),
    (r"'torch.dtype' object", "pass Python numbers for parameters that are tl.constexpr"),
    (r"same dtype|IncompatibleType|invalid operands", "convert one side with .to(...)"),
    (r"Unsupported ptr type", "pass a torch tensor where the kernel loads or stores"),
    (r"is not defined", "pass it as a parameter, or make it a tl.constexpr global"),
    (r"must be a? ?(tl.)?constexpr|arange's arguments", "annotate the parameter with tl.constexpr"),
)


def _read_explaining(
    fn: Any, src: Any, context: Any, options: Any, *rest: Any, **named: Any
) -> Any:
    try:
        return _read_syntax_tree(fn, src, context, options, *rest, **named)
    except CompilationError as error:
        if isinstance(options, CpuOptions):
            _add_place(error, src)
        raise


def _add_place(error: Any, src: Any) -> None:
    """Writes place and fact above Triton's excerpt of the source, and a hint below it."""
    chain = list(_chain(error))
    fact = next((e.error_message for e in reversed(chain) if e.error_message), "cannot be compiled")
    place = _place(chain[-1]) or _place(error)
    excerpts = "\n".join(type(e)(e.src, e.node).message for e in chain)
    hint = _compile_hint(str(fact), src)
    error.message = f"{place}: {fact}\n{excerpts}" + (f"\nhint: {hint}" if hint else "")


def _chain(error: BaseException | None) -> Iterator[Any]:
    """The error in the kernel, then those in the functions that it calls, innermost last."""
    while isinstance(error, CompilationError):
        yield error
        error = error.__cause__


def _place(error: Any) -> Location | None:
    for frame, _ in traceback.walk_tb(error.__traceback__):
        function = getattr(frame.f_locals.get("self"), "jit_fn", None)
        if function is not None and function.src == error.src and hasattr(error.node, "lineno"):
            return Location(
                function.file_name, function.def_file_line_number + error.node.lineno - 1
            )
    return None


def _compile_hint(fact: str, src: Any) -> str:
    absent = [src.fn.arg_names[path[0]] for path, value in src.constants.items() if value is None]
    if "NoneType" in fact and absent:
        names = " and ".join(absent)
        return f"{names} was launched as None: pass a tensor, or guard it with `is not None`"
    return next((hint for pattern, hint in _HINTS if re.search(pattern, fact)), "")
