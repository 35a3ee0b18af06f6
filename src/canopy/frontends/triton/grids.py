"""Grids that are no grids: ``kernel[64](x)`` is a place, a fact and a hint.

Triton takes a grid apart inside its launch function, and says ``object of type 'int' has no
len()``. The wrapper below stands where Triton's own closure stood, so a launch that goes well costs
the same; errors of other backends, and those of the user's own grid function, stay as they are.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from triton.runtime import driver, jit

from canopy.errors import LaunchError
from canopy.frontends.triton.places import launch_site

__all__ = ["install"]

_HINT = "a grid is a tuple of one to three numbers, or a function of the constants that returns one"


def install() -> None:
    """Every ``kernel[grid]`` from now on explains a malformed grid."""
    jit.KernelInterface.__getitem__ = _get_launcher
    _check_first_launch()


def _check_first_launch() -> None:
    """The driver is made in the middle of the first launch, which Triton's own closure began."""
    for frame, _ in traceback.walk_stack(None):
        if frame.f_code is jit.JITFunction.run.__code__:
            grid = frame.f_locals["grid"]
            if not callable(grid) and not _is_grid(grid):
                raise _refusal(frame.f_locals["self"].__name__, grid)
            return


def _get_launcher(kernel: Any, grid: Any) -> Callable[..., Any]:
    def launch(*args: Any, **kwargs: Any) -> Any:
        try:
            return kernel.run(*args, grid=grid, warmup=False, **kwargs)
        except (TypeError, IndexError, KeyError) as error:
            explained = _explained(error)
            if explained is None:
                raise
            raise explained from None

    return launch


def _explained(error: Exception) -> LaunchError | None:
    """The error that replaces one which Triton's launch function raised itself over the grid."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    frame = next((f for f in frames if f.f_code is jit.JITFunction.run.__code__), None)
    if frame is None or driver.active.get_current_target().backend != "cpu":
        return None
    grid = frame.f_locals.get("grid")
    if frame.f_locals.get("kernel") is None or _is_grid(grid):
        return None  # it has not come to the grid, or the grid is not what is wrong
    if callable(grid) and frames[-1] is not frame:
        return None  # raised by the user's own grid function
    return _refusal(frame.f_locals["self"].__name__, grid, error)


def _is_grid(grid: Any) -> bool:
    try:
        len(grid), grid[0]
    except (TypeError, IndexError, KeyError):
        return False
    return True


def _refusal(name: str, grid: Any, error: Exception | None = None) -> LaunchError:
    if callable(grid):
        fact = f"the grid function of {name} cannot be called with the constants: {error}"
    elif isinstance(grid, tuple | list) and not grid:
        fact = f"the grid of {name} is empty"
    else:
        fact = f"the grid of {name} is {grid!r}, expected a tuple"
    return LaunchError(fact, location=launch_site(), hint=_HINT)
