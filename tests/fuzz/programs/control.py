"""Steps of control flow, each with values carried through it."""

from __future__ import annotations

from canopy import ir
from canopy.ir import Value
from canopy.ir.types import BOOL, I32, I64, U32, ScalarType
from tests.fuzz.programs.generator import ALL, Generator, step

MAX_DEPTH = 3


def _carried(g: Generator) -> tuple[Value, ...]:
    return tuple(g.pick(g.type(ALL)) for _ in range(g.rng.randrange(3)))


def _next_values(g: Generator, like: tuple[Value, ...]) -> tuple[Value, ...]:
    return tuple(g.pick(value.type) for value in like)


@step(3)
def for_loop(g: Generator) -> None:
    if g.depth >= MAX_DEPTH:
        return
    initial = _carried(g)
    bound = g.rng.choice([I32, I32, I64, U32])
    lower, upper = _bounds(g, bound)
    args = (Value(bound, "i"), *(Value(v.type) for v in initial))

    def fill() -> None:
        g.steps(g.rng.randrange(1, 4))
        g.effect(ir.Yield, values=_next_values(g, args[1:]))

    loop = g.effect(
        ir.For,
        lower=lower,
        upper=upper,
        step=g.constant(g.rng.choice([1, 1, 2, 3]), bound),
        initial=initial,
        body=g.region(args, fill),
    )
    g.pool += loop.results


def _bounds(g: Generator, bound: ScalarType) -> tuple[Value, Value]:
    if bound != U32 and g.chance(0.2):
        return g.constant(-2, bound), g.constant(g.rng.choice([-3, -2, 1]), bound)
    upper = g.converted_exactly(g.limited(g.pick(I32), 5), bound)
    lower = g.constant(g.rng.choice([0, 0, 1]), bound)
    if g.chance(0.2):
        lower = g.converted_exactly(g.limited(g.pick(I32), 3), bound)
    return lower, upper


@step(2)
def branch(g: Generator) -> None:
    if g.depth >= MAX_DEPTH:
        return
    condition = g.pick(BOOL)
    results = _carried(g)

    def fill() -> None:
        g.steps(g.rng.randrange(3))
        g.effect(ir.Yield, values=_next_values(g, results))

    regions = [g.region((), fill) for _ in range(2)]
    made = g.effect(ir.If, condition=condition, then_region=regions[0], else_region=regions[1])
    g.pool += made.results


@step(1)
def early_return(g: Generator) -> None:
    """Nothing more for some programs: the rest of this block stands in the other branch."""
    if g.depth >= MAX_DEPTH:
        return

    def rest() -> None:
        g.steps(g.rng.randrange(1, 5))

    condition = g.pick(BOOL)
    leaves, stays = g.region((), lambda: None), g.region((), rest)
    g.effect(ir.If, condition=condition, then_region=leaves, else_region=stays)


@step(1)
def while_loop(g: Generator) -> None:
    """Counts down from a small number."""
    if g.depth >= MAX_DEPTH:
        return
    start = g.limited(g.pick(I32), 5)
    carried = _carried(g)
    before_args = (Value(I32), *(Value(v.type) for v in carried))
    body_args = (Value(I32), *(Value(v.type) for v in carried))

    def test() -> None:
        zero = g.constant(0, I32)
        more = g.add(ir.Compare, predicate="gt", lhs=before_args[0], rhs=zero)
        g.effect(ir.Condition, condition=more, values=before_args)

    def fill() -> None:
        g.steps(g.rng.randrange(1, 4))
        fewer = g.add(ir.Sub, lhs=body_args[0], rhs=g.constant(1, I32))
        g.effect(ir.Yield, values=(fewer, *_next_values(g, body_args[1:])))

    loop = g.effect(
        ir.While,
        initial=(start, *carried),
        before=g.region(before_args, test),
        body=g.region(body_args, fill),
    )
    g.pool += loop.results


@step(1)
def check(g: Generator) -> None:
    """An assertion that holds."""
    value = g.any_tile() if g.chance(0.7) else g.pick(g.element())
    zero = g.constant(False, g.type_like(value.shape, BOOL))
    always = g.add(ir.Compare, predicate="eq", lhs=zero, rhs=zero)
    g.effect(ir.Assert, condition=always, message="holds", mask=None)
