"""What the verifier rejects, with its words."""

from collections.abc import Callable
from typing import Any

import pytest
from building import combine, make_kernel

from canopy import ir
from canopy.errors import Location, VerifyError
from canopy.ir import Builder, Region, Value, Yield
from canopy.ir.types import BOOL, F16, F32, I8, I32, I64, PTR, U8, TileType, Type
from canopy.ir.verifier import verify
from tests.fuzz.programs import random_kernel

T32, T64, TF = TileType((4,), I32), TileType((4,), I64), TileType((4,), F32)
TB, TP, T2 = TileType((4,), BOOL), TileType((4,), PTR), TileType((2, 4), I32)


def some(b: Builder, type_: Type) -> Value:
    return b.add(ir.Constant, value=0, type=type_)


def adds(op: Any, /, **fields: Any) -> Callable[[Builder], Any]:
    """Builds the op; a field that is a type stands for a constant of it."""

    def build(b: Builder) -> None:
        made = {
            name: some(b, content)
            if isinstance(content, Type) and name not in ("type",)
            else content
            for name, content in fields.items()
        }
        for name in ("sources", "arguments", "initial"):
            if name in made:
                made[name] = tuple(some(b, t) for t in made[name])
        b.effect(op, **made)

    return build


def _yielding(args: tuple[Type, ...], *types: Type) -> Region:
    inner = Builder(Region(tuple(Value(t) for t in args)))
    inner.effect(Yield, values=tuple(some(inner, t) for t in types))
    return inner.region


def _uses_inner_value(b: Builder) -> None:
    inner = Builder(Region())
    hidden = some(inner, I32)
    b.effect(ir.If, condition=some(b, BOOL), then_region=inner.region, else_region=Region())
    b.add(ir.Add, lhs=hidden, rhs=hidden)


def _uses_later_value(b: Builder) -> None:
    late = ir.Constant(value=1, type=I32)
    b.add(ir.Add, lhs=late.result, rhs=late.result)
    b.insert(late)


def _twice(b: Builder) -> None:
    op = b.effect(ir.Constant, value=1, type=I32)
    b.insert(op)


def _yield_in_the_middle(b: Builder) -> None:
    region = _yielding(())
    region.ops.append(ir.Barrier())
    b.effect(ir.If, condition=some(b, BOOL), then_region=region, else_region=Region())


def _condition_missing(b: Builder) -> None:
    before = Builder(Region())
    before.effect(ir.Condition, condition=some(before, BOOL))
    loop = b.effect(ir.While, initial=(), before=before.region, body=_yielding(()))
    loop.before.ops.pop()


DOT = {"lhs": TileType((4, 8), F32), "acc": TileType((4, 2), F32)}
CASES: dict[str, Callable[[Builder], Any]] = {
    "has the operand %?: i32, which is used outside of the region that makes it": _uses_inner_value,
    "has the operand %?: i32, which is used before it is made": _uses_later_value,
    "constant makes %?: i32 a second time": _twice,
    "yield ends a region, but ops come after it": _yield_in_the_middle,
    "yield ends a region, but a kernel body has no end op": lambda b: b.effect(Yield),
    "while has a before region that does not end in a condition": _condition_missing,
    "add needs operands of one type, got tile<4xi32> and no": adds(ir.Add, lhs=T32, rhs=T64),
    "add needs numbers, got ptr": adds(ir.Add, lhs=PTR, rhs=PTR),
    "shift_left needs integers, got f32": adds(ir.ShiftLeft, lhs=F32, rhs=F32),
    "xor needs integers or bools, got f32": adds(ir.Xor, lhs=F32, rhs=F32),
    "constant has the value 1.5 for the type i32": adds(ir.Constant, value=1.5, type=I32),
    "constant has the value 300, which u8 cannot hold": adds(ir.Constant, value=300, type=U8),
    "constant has a tile of rank 0": adds(ir.Constant, value=0, type=TileType((), I32)),
    "constant has the tile tile<0xi32>; extents": adds(
        ir.Constant, value=0, type=TileType((0,), I32)
    ),
    "select needs a bool condition, got i32": adds(
        ir.Select, condition=I32, if_true=F32, if_false=F32
    ),
    "select needs operands of one shape, got tile<4xi1>, tile<2x4xi32>": adds(
        ir.Select, condition=TB, if_true=T2, if_false=T2
    ),
    "math_call names the unknown function 'foo'": adds(
        ir.MathCall, function="foo", arguments=(F32,)
    ),
    "math_call pow takes 2 arguments, got 1": adds(ir.MathCall, function="pow", arguments=(F32,)),
    "math_call exp takes floats, got i32": adds(ir.MathCall, function="exp", arguments=(I32,)),
    "math_call clz cannot take f32": adds(ir.MathCall, function="clz", arguments=(F32,)),
    "math_call isnan needs an integer or bool result type": adds(
        ir.MathCall, function="isnan", arguments=(F32,)
    ),
    "cast needs numbers, got a pointer": adds(ir.Cast, source=PTR, type=I64),
    "bitcast of i32 (32 bits) cannot give i64": adds(ir.Bitcast, source=I32, type=I64),
    "clamp needs floats, got i32": adds(ir.Clamp, source=I32, low=I32, high=I32),
    "range 4..4 is empty": adds(ir.Range, start=4, end=4),
    "range 0..300 leaves i8": adds(ir.Range, start=0, end=300, type=I8),
    "splat needs a scalar, got tile<4xi32>": adds(ir.Splat, source=T32, shape=(4,)),
    "unsplat needs a tile of one lane, got tile<4xi32>": adds(ir.Unsplat, source=T32),
    "broadcast cannot take tile<2x4xi32> to the shape (4, 4)": adds(
        ir.Broadcast, source=T2, shape=(4, 4)
    ),
    "expand_dims has axis 3, but there are 2 axes": adds(ir.ExpandDims, source=T32, axis=3),
    "flip has axis 1, but there are 1 axes": adds(ir.Flip, source=T32, axis=1),
    "reshape cannot take tile<2x4xi32> to the shape (3, 3)": adds(
        ir.Reshape, source=T2, shape=(3, 3)
    ),
    "transpose has the order (0, 0) for tile<2x4xi32>": adds(ir.Transpose, source=T2, order=(0, 0)),
    "concat needs equal axes but for the first": adds(ir.Concat, lhs=T2, rhs=T32),
    "join needs operands of one type": adds(ir.Join, lhs=T2, rhs=T32),
    "split needs a last axis of extent 2, got tile<2x4xi32>": adds(ir.Split, source=T2),
    "gather needs integer indices, got tile<4xf32>": adds(
        ir.Gather, source=T32, indices=TF, axis=0
    ),
    "gather needs equal axes but for 0, got (4,) and (2, 4)": adds(
        ir.Gather, source=T32, indices=T2, axis=0
    ),
    "histogram needs integers, got tile<4xf32>": adds(ir.Histogram, source=TF, mask=None, bins=4),
    "offset needs a pointer, got i32": adds(ir.Offset, pointer=I32, index=I32, scale=4),
    "offset needs an integer index, got f32": adds(ir.Offset, pointer=PTR, index=F32, scale=4),
    "offset needs operands of one shape, got ptr, tile<4xi32>": adds(
        ir.Offset, pointer=PTR, index=T32, scale=4
    ),
    "load has a mask of type i32; masks are bool": adds(ir.Load, pointer=PTR, mask=I32, type=F32),
    "load has a mask of type tile<4xi1> for lanes of type ptr\n"
    "hint: the mask has the shape of the pointer": adds(ir.Load, pointer=PTR, mask=TB, type=F32),
    "load has a value for masked lanes, but no mask": adds(
        ir.Load, pointer=PTR, other=F32, type=F32
    ),
    "load has a value of type tile<4xi32>, not tile<4xf32>": adds(
        ir.Load, pointer=TP, mask=TB, other=T32, type=F32
    ),
    "store needs operands of one shape, got tile<4xptr>, i32": adds(
        ir.Store, pointer=TP, value=I32
    ),
    "atomic_rmw xor needs integers, got f32": adds(
        ir.AtomicRmw, kind="xor", pointer=PTR, value=F32
    ),
    "atomic_cas needs operands of one type": adds(
        ir.AtomicCas, pointer=PTR, compare=I32, value=I64
    ),
    "scratch has the alignment 3, which is not": adds(ir.Scratch, bytes=4, alignment=3),
    "dot needs tiles of 2 or 3 dimensions": adds(ir.Dot, lhs=TF, rhs=TF, acc=TF),
    "dot has shapes that do not fit": adds(ir.Dot, rhs=TileType((4, 2), F32), **DOT),
    "dot needs floats or integers throughout": adds(ir.Dot, rhs=TileType((8, 2), I8), **DOT),
    "any_lane needs a bool tile, got tile<4xi32>": adds(ir.AnyLane, source=T32),
    "reduce has a combine region with arguments i64, i64, not i32, i32": adds(
        ir.Reduce, sources=(T32,), axis=0, combine=combine([ir.Add], [I64])
    ),
    "scan has axis 1, but there are 1 axes": adds(
        ir.Scan, sources=(T32,), axis=1, reverse=False, combine=combine([ir.Add], [I32])
    ),
    "program_id has axis 3, but there are 3 axes": adds(ir.ProgramId, axis=3),
    "for needs integer bounds, got f32": adds(
        ir.For, lower=F32, upper=F32, step=F32, initial=(), body=_yielding((F32,))
    ),
    "for has a body region that yields none, not f16": adds(
        ir.For, lower=I32, upper=I32, step=I32, initial=(F16,), body=_yielding((I32, F16))
    ),
    "if needs one bool, got tile<4xi1>\nhint: use any_lane on a tile of bools": adds(
        ir.If, condition=TB, then_region=Region(), else_region=Region()
    ),
    "if has a else region that yields f32, not i32": adds(
        ir.If, condition=BOOL, then_region=_yielding((), I32), else_region=_yielding((), F32)
    ),
    "assert needs a bool condition, got i32": adds(ir.Assert, condition=I32, message=""),
}
CASES["add needs operands of one type, got tile<4xi32>, tile<4xi64>"] = CASES.pop(
    "add needs operands of one type, got tile<4xi32> and no"
)


@pytest.mark.parametrize("message", CASES)
def test_rejected(message: str) -> None:
    with pytest.raises(VerifyError) as caught:
        verify(make_kernel([], CASES[message]))
    assert message in str(caught.value)


def test_the_place_comes_first() -> None:
    with pytest.raises(VerifyError, match=r"^test\.py:7: add needs operands of one type"):
        verify(make_kernel([I32, F32], lambda b, x, y: b.add(ir.Add, lhs=x, rhs=y)))


def test_tile_parameters_are_rejected() -> None:
    with pytest.raises(VerifyError, match=r"test\.py:1: parameter a of test is a tile"):
        verify(make_kernel([T32], lambda b, x: None))


def test_wrong_result_types_are_rejected() -> None:
    def build(b, x):
        b.insert(ir.Add(lhs=x, rhs=x, results=(Value(I64),), location=Location("k.py", 3)))

    with pytest.raises(VerifyError, match=r"k\.py:3: add has results of type i64, not i32"):
        verify(make_kernel([I32], build))


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_are_valid(seed: int) -> None:
    verify(random_kernel(seed)[0])
