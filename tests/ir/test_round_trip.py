"""print_kernel and parse_kernel undo each other, and the parser survives any text."""

import contextlib
import math
import random

import pytest
from building import make_kernel
from hypothesis import given, settings
from hypothesis import strategies as st

from canopy.errors import CompileError, Location, VerifyError
from canopy.ir import Assert, Constant, Kernel, Load, Parameter, Print, Region, Scratch, Value, walk
from canopy.ir.parser import parse_kernel
from canopy.ir.printer import print_kernel
from canopy.ir.types import F32, F64, I32, PTR, SHARED_PTR, TileType
from tests.fuzz.programs import random_kernel


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9), st.booleans())
def test_random_programs(seed: int, locations: bool) -> None:
    kernel, _ = random_kernel(seed)
    text = print_kernel(kernel, locations)
    again = parse_kernel(text)
    assert print_kernel(again, locations) == text
    if locations:
        places = [op.location for op in walk(kernel.body.ops)]
        assert [op.location for op in walk(again.body.ops)] == places


@given(st.floats(allow_nan=True))
def test_floats_are_exact(number: float) -> None:
    kernel = make_kernel([], lambda b: b.add(Constant, value=number, type=F64))
    (op,) = parse_kernel(print_kernel(kernel)).body.ops
    assert isinstance(op, Constant)
    assert isinstance(op.value, float)
    assert math.isnan(op.value) if math.isnan(number) else op.value == number
    assert math.isnan(number) or math.copysign(1, op.value) == math.copysign(1, number)


@given(st.text(), st.text(), st.integers(0, 99999), st.integers(0, 999))
def test_any_string_and_place(message: str, file: str, line: int, column: int) -> None:
    place = Location(file, line, column)

    def build(b, condition):
        b.location = place
        b.effect(Assert, condition=condition, message=message)

    from canopy.ir.types import BOOL

    (op,) = parse_kernel(print_kernel(make_kernel([BOOL], build), True)).body.ops
    assert isinstance(op, Assert)
    assert op.message == message
    assert op.location == place


@given(st.text(max_size=8), st.text(max_size=8))
def test_any_name(kernel_name: str, name: str) -> None:
    a, b = Value(PTR, name), Value(I32, name)
    kernel = Kernel(kernel_name, (Parameter(a, name, 16, "f32"), Parameter(b, name)), Region())
    again = parse_kernel(print_kernel(kernel))
    assert again.name == kernel_name
    assert [p.name for p in again.parameters] == [name, name]
    assert again.parameters[0].divisibility == 16
    assert again.parameters[0].pointee == "f32"


def test_the_form() -> None:
    def build(b, pointer, n):
        scratch = b.add(Scratch, bytes=64)
        value = b.add(Constant, value=float("-inf"), type=TileType((4, 2), F32))
        b.effect(Print, prefix="x\n", values=(value, n), hex=True)
        loaded = b.add(Load, pointer=scratch, type=F32)
        loaded.name = "loaded"

    kernel = make_kernel([PTR, I32], build)
    kernel.block = (32, 4, 1)
    kernel.attributes = {"cooperative": True}
    assert (
        print_kernel(kernel, locations=True)
        == """\
kernel test(%a: ptr, %b: i32) block=(32, 4, 1) attributes={"cooperative": true} {  # test.py:1
  %0 = scratch bytes=64 : ptr<shared>  # test.py:7
  %1 = constant value=-inf : tile<4x2xf32>  # test.py:7
  print [%1, %b], prefix="x\\n", hex=true  # test.py:7
  %loaded = load %0 : f32  # test.py:7
}
"""
    )
    again = parse_kernel(print_kernel(kernel, True))
    assert print_kernel(again, True) == print_kernel(kernel, True)
    assert again.block == (32, 4, 1)
    assert again.body.ops[0].result.type == SHARED_PTR


BAD = {
    "": "<ir>:1: expected 'kernel', got the end of the text",
    "kernel k() { %0 = foo : i32 }": "<ir>:1: there is no op 'foo'",
    "kernel k() {\n  %0 = add %x, %x : i32\n}": (
        "<ir>:2: %x is not known here\nhint: values are made before they are used"
    ),
    "kernel k() { %0 = constant value=1 : i7 }": "<ir>:1: expected a type, got 'i7'",
    "kernel k(%a: i32) { %0 = add %a, %a : i64 }": "<ir>:1: add gives i32, the text says i64",
    "kernel k(%a: i32) { %0 = add %a : i32 }": "<ir>:1: expected ',', got ':'",
    "kernel k(%a: i32) { %a = add %a, %a : i32 }": (
        "<ir>:1: %a is made a second time\nhint: every value has its own name"
    ),
    "kernel k() { %0 = program_id : i32 }": "<ir>:1: program_id needs the field axis",
    "kernel k() { %0 = constant value=1, value=2 : i32 }": (
        "<ir>:1: the op has no field 'value', or has it twice"
    ),
    "kernel k() { ?": "<ir>:1: unexpected character '?'",
    "kernel k() {": "<ir>:1: expected an op, got the end of the text",
    "kernel k() attributes={1} {": (
        "<ir>:1: the attributes are not JSON: "
        "Expecting property name enclosed in double quotes: line 1 column 24 (char 23)"
    ),
    "kernel k() { barrier } kernel": "<ir>:1: expected the end of the text, got 'kernel'",
    "kernel k(%a: tile<4xi32>) { %0 = transpose %a, order=(7) : tile<4xi32> }": (
        "<ir>:1: transpose has operands or fields that do not fit together"
    ),
}


@pytest.mark.parametrize("text", BAD)
def test_bad_text(text: str) -> None:
    with pytest.raises(CompileError) as caught:
        parse_kernel(text)
    if "attributes" not in text:
        assert str(caught.value) == BAD[text]


def test_bounds() -> None:
    huge = "kernel k() { %0 = constant value=1 : tile<99999x99999x99999xi32> }"
    with pytest.raises(VerifyError, match="at most 2147483648 fit"):
        parse_kernel(huge)
    with pytest.raises(CompileError, match="a number of 5000 digits"):
        parse_kernel(f"kernel k() {{ %0 = constant value={'9' * 5000} : i32 }}")
    deep = "kernel k(%c: i1) {" + "if %c then_region() {" * 1000
    with pytest.raises(CompileError, match="nested more than 64 deep"):
        parse_kernel(deep)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 20), st.randoms(use_true_random=False))
def test_damaged_text_gives_an_error_or_a_kernel(seed: int, rng: random.Random) -> None:
    text = print_kernel(random_kernel(seed, size=6)[0], True)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(text))
        cut = rng.randrange(6)
        piece = rng.choice(["", "%0", "-1", "99999", "}", "{", "[", "tile<", '"', "none", text[:9]])
        text = text[:at] + piece + text[at + cut :]
    with contextlib.suppress(CompileError):
        parse_kernel(text)


_WORDS = st.sampled_from(
    [
        *("kernel", "k", "(", ")", "{", "}", "%a", ":", "i32", "tile<4xf32>", "=", "[", "]", ","),
        *("add", "if", "for", "while", "reduce", "yield", "dot", "body", "combine"),
        *("0", "-1", "inf", "axis", "shape", "value", "constant", "transpose", "split"),
        *("\n", "# x", '"s"', "none"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.lists(_WORDS).map(" ".join)))
def test_garbage_gives_an_error(text: str) -> None:
    for candidate in (text, "kernel k(%a: i32) {" + text):
        with contextlib.suppress(CompileError):
            parse_kernel(candidate)
