"""CUDA graphs: capture records ATen operations and kernel launches, replay runs them again on the
same memory.

While a capture is open a ``TorchDispatchMode`` sees every ATen operation, those of backward
included. Replay calls each again with the same operands and writes fresh results into the storages
that capture produced, so static inputs and outputs keep their addresses. CUDA runs nothing while it
captures: what the operations of a capture change in memory from before it is saved at the first
change and put back at the end.

    graph = CUDAGraph(); graph.capture_begin(); y = x + 1; graph.capture_end()
    x.fill_(41); graph.replay(); y      # 42, at the address that y had
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from canopy.frontends.redirect.devices import HOST
from canopy.frontends.redirect.streams import synchronize
from canopy.frontends.redirect.tensors import known_place
from canopy.runtime import trace
from canopy.runtime.observers import launch_observers

__all__ = ["CUDAGraph", "is_capturing", "pool_handle", "record_launch"]

Tensor = torch.Tensor
Step = Callable[[], None]
_pools = itertools.count(1)
_capture: _Capture | None = None


def is_capturing() -> bool:
    """Whether a capture is open."""
    return _capture is not None


def record_launch(launch: Step, tensors: Iterable[Tensor] = ()) -> bool:
    """For kernel drivers: adds ``launch`` to the open capture and runs it; False without a capture.

    ``tensors`` are those the launch may write; they are kept alive, and what they held is restored
    when the capture ends. At each replay ``launch`` must write where it wrote before.
    """
    if _capture is None:
        return False
    kept = [tensor.data for tensor in tensors]
    for tensor in kept:
        _capture.save(tensor)

    def step(kept: list[Tensor] = kept) -> None:
        launch()

    _capture.steps.append(step)
    launch()
    return True


@dataclass
class _Operation:
    """One ATen call and, for each result, the alias of the memory that replay refreshes."""

    func: Any
    args: Any
    kwargs: Any
    results: list[Tensor | None]

    def __call__(self) -> None:
        fresh = tree_leaves(self.func(*self.args, **self.kwargs))
        for result, now in zip(self.results, fresh, strict=True):
            if result is not None:
                result.copy_(now)


def _alias(value: Any) -> Any:
    """The same memory under a version counter of its own, so that replays do not upset autograd."""
    return value.data if isinstance(value, Tensor) else value


def _address(tensor: Tensor) -> int | None:
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):
        return None


class _Capture(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """An open capture."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[Step] = []
        self._made: dict[int, Any] = {}
        self._saved: dict[int, tuple[Tensor, Tensor]] = {}
        self._random_state = torch.default_generator.get_state()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        operands = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        on_host = bool(operands) and all(known_place(operand) is HOST for operand in operands)
        if on_host:
            return func(*args, **kwargs)
        if func is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError(
                "CUDA error: operation not permitted when stream is capturing (the value of a "
                "tensor was read on the host)"
            )
        self._save_written(func, args, kwargs)
        result = func(*args, **kwargs)
        self._record(func, args, kwargs, result, operands)
        return result

    def _save_written(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        for position, parameter in enumerate(func._schema.arguments):
            if parameter.alias_info is None or not parameter.alias_info.is_write:
                continue
            value = args[position] if position < len(args) else kwargs.get(parameter.name)
            for tensor in tree_leaves(value):
                if isinstance(tensor, Tensor):
                    self.save(tensor.data)

    def save(self, tensor: Tensor) -> None:
        """Keeps what the whole storage of ``tensor`` holds, if it is older than the capture."""
        address = _address(tensor)
        if address is None or address in self._made or address in self._saved:
            return
        with torch._C._DisableTorchDispatch():
            storage = tensor.untyped_storage()
            whole = torch.empty(0, dtype=torch.uint8, device=HOST).set_(storage)
            self._saved[address] = (whole, whole.clone())

    def _record(
        self, func: Any, args: Any, kwargs: Any, result: Any, operands: list[Tensor]
    ) -> None:
        known = {_address(operand) for operand in operands}
        results: list[Tensor | None] = []
        for leaf in tree_leaves(result):
            if not isinstance(leaf, Tensor) or _address(leaf) in known:
                results.append(None)  # a view or an operand: its memory is refreshed by itself
                continue
            address = _address(leaf)
            if address is not None:
                self._made[address] = leaf.untyped_storage()
            results.append(leaf.data)
        is_view = all(entry is None for entry in results) and not func._schema.is_mutable
        if not is_view:
            self.steps.append(
                _Operation(func, tree_map(_alias, args), tree_map(_alias, kwargs), results)
            )

    def restore(self) -> None:
        """Puts back what the captured operations changed outside the capture."""
        for whole, before in self._saved.values():
            whole.copy_(before)
        torch.default_generator.set_state(self._random_state)


def pool_handle() -> tuple[int, int]:
    """A name for a memory pool; captures keep their own memory here."""
    return (0, next(_pools))


class CUDAGraph:
    """``torch.cuda.CUDAGraph``."""

    def __init__(self, keep_graph: bool = False) -> None:
        self._steps: list[Step] | None = None
        self._pool = pool_handle()
        self._open: _Capture | None = None

    def capture_begin(self, pool: Any = None, *args: Any, **kwargs: Any) -> None:
        global _capture
        if _capture is not None:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
        if self._steps is not None:
            raise RuntimeError("This CUDAGraph instance already owns a captured graph.")
        self._pool = pool or self._pool
        self._open = _capture = _Capture()
        launch_observers.append(record_launch)
        self._open.__enter__()  # type: ignore[no-untyped-call]
        trace.count("graphs captured")

    def capture_end(self) -> None:
        global _capture
        if self._open is None:
            raise RuntimeError("capture_end: no capture was begun on this CUDAGraph")
        capture, self._open, _capture = self._open, None, None
        launch_observers.remove(record_launch)
        capture.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        synchronize()
        capture.restore()
        self._steps = capture.steps

    def instantiate(self) -> None:
        """Nothing to prepare."""

    def replay(self) -> None:
        if self._steps is None:
            raise RuntimeError("Called CUDAGraph::replay without a preceding successful capture.")
        trace.count("graph replays")
        with torch._C.DisableTorchFunction(), torch.no_grad(), torch.autocast("cpu", enabled=False):
            for step in self._steps:
                step()

    def reset(self) -> None:
        self._steps = None

    def pool(self) -> tuple[int, int]:
        return self._pool

    def enable_debug_mode(self) -> None:
        """Nothing to switch on."""

    def debug_dump(self, debug_path: str) -> None:
        with open(debug_path, "w", encoding="utf-8") as file:
            for step in self._steps or ():
                print(getattr(step, "func", "kernel launch"), file=file)
