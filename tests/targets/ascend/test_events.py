"""No event can be taken out: without any one of them the simulator reports a hazard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="pip install canopy-nn[torch]")
triton = pytest.importorskip("triton", reason="pip install canopy-nn[triton]")

import canopy  # noqa: E402
from canopy.errors import KernelError  # noqa: E402
from canopy.frontends.triton import simulated  # noqa: E402
from canopy.targets.ascend import load_chip, simulate  # noqa: E402
from canopy.targets.ascend.npu import (  # noqa: E402
    Branch,
    Instruction,
    Loop,
    Pipe,
    Program,
    SetEvent,
    WaitEvent,
    WhileLoop,
    walk,
)
from tests.triton import kernels  # noqa: E402

CHIP = load_chip("910b2")
Edge = tuple[Pipe, Pipe, int]


def without(body: list[Instruction], edge: Edge) -> list[Instruction]:
    made: list[Instruction] = []
    for i in body:
        if isinstance(i, SetEvent | WaitEvent) and (i.source, i.target, i.event) == edge:
            continue
        if isinstance(i, Loop):
            i = replace(i, body=without(i.body, edge))
        elif isinstance(i, Branch):
            arms = without(i.then_body, edge), without(i.else_body, edge)
            i = replace(i, then_body=arms[0], else_body=arms[1])
        elif isinstance(i, WhileLoop):
            i = replace(i, before=without(i.before, edge), body=without(i.body, edge))
        made.append(i)
    return made


def softmax_persistent() -> None:
    x, out = torch.randn(5, 781), torch.empty(5, 781)
    canopy.simulate(
        kernels.softmax_persistent,
        (2,),
        (out, x, 781, 781, 5, 781),
        {"BLOCK": 1024, "STAGES": 2},
    )


def softmax_online() -> None:
    x, out = torch.randn(5, 781), torch.empty(5, 781)
    canopy.simulate(kernels.softmax_online, (2,), (out, x, 5, 781), {"BLOCK": 256})


def layer_norm() -> None:
    x, out = torch.randn(3, 781), torch.empty(3, 781)
    weight, moments = torch.rand(2, 781), torch.zeros(2, 3)
    arguments = (x, out, *weight, *moments, 781, 1e-5)
    canopy.simulate(kernels.layer_norm_forward, (3,), arguments, {"BLOCK": 256})


def strips() -> None:
    x = torch.randn(3, 100_000)
    arguments = (x[0], x[1], torch.zeros(100_000), 100_000)
    canopy.simulate(kernels.vector_add, (2,), arguments, {"BLOCK": 65_536})


def matmul() -> None:
    a, b, c = torch.randn(32, 1024), torch.randn(1024, 64), torch.zeros(32, 64)
    arguments = (a, b, c, 32, 64, 1024, 1024, 1, 64, 1, 64, 1)
    blocks = {"BLOCK_M": 32, "BLOCK_N": 32, "BLOCK_K": 32, "GROUP": 2, "ACTIVATION": ""}
    canopy.simulate(kernels.matmul, (2,), arguments, blocks)


def in_use(program: Program) -> list[Edge]:
    """The events outside of what seldom runs."""
    found: dict[Edge, None] = {}
    pending = [program.body]
    while pending:
        for i in pending.pop():
            if isinstance(i, WaitEvent):
                found[i.source, i.target, i.event] = None
            elif isinstance(i, Loop):
                pending.append(i.body)
            elif isinstance(i, WhileLoop):
                pending += [i.before, i.body]
            elif isinstance(i, Branch):
                pending.append(i.then_body)
                pending += [] if i.is_rare else [i.else_body]
    return list(found)


@pytest.mark.parametrize("launch", [softmax_persistent, softmax_online, layer_norm, strips, matmul])
def test_no_event_can_be_taken_out(
    launch: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    launches: list[tuple[Program, Any, Any]] = []

    def seen(program: Program, args: Any, grid: Any, *rest: Any, **more: Any) -> Any:
        launches.append((program, args, grid))
        return simulate(program, args, grid, *rest, **more)

    monkeypatch.setattr(simulated, "simulate", seen)
    launch()
    ((program, args, grid),) = launches
    found = in_use(program)
    assert len(found) >= 6
    assert max(event for _, _, event in found) < CHIP.events_per_pipe_pair
    silent = []
    for edge in found:
        parts = {
            part: without(getattr(program, part), edge) for part in ("prologue", "body", "epilogue")
        }
        try:
            hazards = simulate(replace(program, **parts), args, grid, CHIP, cores=1).hazards
        except KernelError:
            continue
        if not hazards:
            silent.append(edge)
    assert silent == []


def test_what_a_loop_inside_needs_stays_between_the_programs() -> None:
    """Events around loops stand around all programs of a core, and no barrier between them."""
    report = canopy.simulate(
        kernels.vector_add,
        (4,),
        (*torch.randn(2, 200_000), torch.zeros(200_000), 200_000),
        {"BLOCK": 65_536},
    )
    assert report.hazards == ()
    assert report.program.prologue
    assert len(report.program.prologue) == len(report.program.epilogue)
    assert not any(type(i).__name__ == "Barrier" for i in walk(report.program.body))
