"""Who is told of every kernel launch before it happens.

The kernel front-ends launch, and a CUDA graph that is being captured wants to know; they meet here,
below both. While the list is empty a launch costs one look at it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["LaunchObserver", "launch_observers"]

# Called with (launch, tensors); the first that returns True has taken the launch over.
LaunchObserver = Callable[[Callable[[], None], Iterable[Any]], bool]
launch_observers: list[LaunchObserver] = []
