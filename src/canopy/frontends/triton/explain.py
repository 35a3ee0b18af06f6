"""Triton's refusal of an argument, with the argument's name.

Triton says ``TypeError: failed to specialize argument of type: list``. The functions that bind the
arguments of a launch are wrapped, for this backend only, so that the error names place and
argument.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from triton.runtime import jit

from canopy.errors import LaunchError, Location

__all__ = ["install"]

_make_binder = jit.create_function_from_signature
_REFUSAL = "failed to specialize argument"


def install() -> None:
    """Wraps the binders that are made from now on."""
    jit.create_function_from_signature = _make_explaining_binder


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
            jit.native_specialize_impl(backend, value, False, False, False)
        except TypeError:
            return LaunchError(
                f"argument {name}: expected a tensor, a number or a tuple of these, "
                f"got {type(value).__name__}",
                location=_launch_site(),
                hint=_hint(value),
            )
    return None


def _hint(value: Any) -> str:
    if type(value).__module__ == "numpy":
        return "pass torch.from_numpy(array): it shares the array's memory"
    if isinstance(value, list):
        return "pass a tuple, or make a tensor of it with torch.tensor(...)"
    return "pass a torch tensor for a pointer, and a number for a scalar"


def _launch_site() -> Location:
    """The user's line that launches the kernel."""
    frame = inspect.currentframe()
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if not name.startswith(("triton.", "canopy.")):
            return Location(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return Location()
