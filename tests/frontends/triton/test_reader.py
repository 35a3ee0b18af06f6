"""TTIR text to tile IR: golden texts, places, and shapes of control flow."""

from __future__ import annotations

import pytest

from canopy.errors import CompileError, UnsupportedError
from canopy.frontends.triton.reader import ttir_to_kernel
from canopy.frontends.triton.text import parse_module, split_top
from canopy.frontends.triton.types import parse_type, pointee_of
from canopy.ir import If, Load, While, walk
from canopy.ir.printer import print_kernel
from canopy.ir.verifier import verify

SCALE = """
#loc = loc("user.py":3:0)
module {
  tt.func public @scale(%x: !tt.ptr<f32> {tt.divisibility = 16 : i32} loc(#loc), %n: i32) {
    %c128 = arith.constant 128 : i32 loc(#loc)
    %two = arith.constant dense<2.000000e+00> : tensor<128xf32> loc(#loc)
    %pid = tt.get_program_id x : i32 loc(#loc1)
    %base = arith.muli %pid, %c128 : i32 loc(#loc1)
    %lanes = tt.make_range {end = 128 : i32, start = 0 : i32} : tensor<128xi32> loc(#loc1)
    %start = tt.splat %base : i32 -> tensor<128xi32> loc(#loc1)
    %offs = arith.addi %start, %lanes : tensor<128xi32> loc(#loc1)
    %bound = tt.splat %n : i32 -> tensor<128xi32> loc(#loc2)
    %mask = arith.cmpi ult, %offs, %bound : tensor<128xi32> loc(#loc2)
    %ptr = tt.splat %x : !tt.ptr<f32> -> tensor<128x!tt.ptr<f32>> loc(#loc3)
    %ptrs = tt.addptr %ptr, %offs : tensor<128x!tt.ptr<f32>>, tensor<128xi32> loc(#loc3)
    %v = tt.load %ptrs, %mask : tensor<128x!tt.ptr<f32>> loc(#loc3)
    %w = arith.mulf %v, %two : tensor<128xf32> loc(#loc3)
    tt.store %ptrs, %w, %mask : tensor<128x!tt.ptr<f32>> loc(#loc4)
    tt.return loc(#loc)
  } loc(#loc)
} loc(#loc)
#loc1 = loc("user.py":4:10)
#loc2 = loc("m"(#loc1))
#loc3 = loc(callsite(#loc1 at #loc4))
#loc4 = loc("user.py":7:4)
"""


def test_golden(golden):
    kernel = ttir_to_kernel(SCALE)
    verify(kernel)
    golden("scale", print_kernel(kernel))


def test_parameters_and_places():
    kernel = ttir_to_kernel(SCALE)
    pointer, count = kernel.parameters
    assert (pointer.name, pointer.divisibility, pointer.pointee) == ("x", 16, "f32")
    assert (count.name, count.divisibility, count.pointee) == ("n", 1, "")
    load = next(op for op in walk(kernel.body.ops) if isinstance(op, Load))
    assert (load.location.file, load.location.line, load.location.column) == ("user.py", 4, 10)
    assert kernel.body.ops[-1].location.line == 7


def _function(body: str, parameters: str = "%p: !tt.ptr<i32>, %c: i1, %d: i1") -> str:
    return f"module {{\n  tt.func public @k({parameters}) {{\n{body}\n  }}\n}}\n"


EARLY = """
    %one = arith.constant 1 : i32
    %two = arith.constant 2 : i32
    cf.cond_br %c, ^bb1, ^bb3(%one : i32)
  ^bb1:  // pred: ^bb0
    cf.cond_br %d, ^bb2, ^bb3(%two : i32)
  ^bb2:  // pred: ^bb1
    tt.return
  ^bb3(%v: i32):  // 2 preds: ^bb0, ^bb1
    tt.store %p, %v : !tt.ptr<i32>
    tt.return
"""


def test_early_returns_become_ifs():
    kernel = ttir_to_kernel(_function(EARLY))
    verify(kernel)
    assert sum(isinstance(op, If) for op in walk(kernel.body.ops)) >= 2


def test_many_early_returns_stay_small():
    """Blocks that several paths reach are not read once per path without bound."""
    body = []
    for index in range(0, 60, 2):
        body.append(f"  ^bb{index + 1}:" if index else "")
        body.append(f"    cf.cond_br %c, ^bb{index + 2}, ^bb{index + 3}")
        body.append(f"  ^bb{index + 2}:")
        body.append(f"    cf.cond_br %d, ^bb99, ^bb{index + 3}")
    body += ["  ^bb61:", "    tt.return", "  ^bb99:", "    tt.return"]
    kernel = ttir_to_kernel(_function("\n".join(line for line in body if line)))
    assert sum(1 for _ in walk(kernel.body.ops)) < 2000


def test_while_with_a_counted_result():
    body = """
    %zero = arith.constant 0 : i32
    %r:2 = scf.while (%i = %zero, %j = %zero) : (i32, i32) -> (i32, i32) {
      %t = arith.cmpi slt, %i, %j : i32
      scf.condition(%t) %i, %j : i32, i32
    } do {
    ^bb0(%i: i32, %j: i32):
      scf.yield %j, %i : i32, i32
    }
    tt.store %p, %r#1 : !tt.ptr<i32>
    tt.return
    """
    kernel = ttir_to_kernel(_function(body))
    verify(kernel)
    (loop,) = (op for op in walk(kernel.body.ops) if isinstance(op, While))
    assert kernel.body.ops[-1].operands[1] is loop.results[1]


def test_unknown_operation():
    with pytest.raises(UnsupportedError, match=r"tt\.novelty"):
        ttir_to_kernel(_function("    tt.novelty %p : !tt.ptr<i32>\n    tt.return"))


def test_empty_module():
    with pytest.raises(CompileError):
        parse_module("module {\n}\n")


def test_types():
    assert str(parse_type("tensor<4x8x!tt.ptr<bf16>>")) == "tile<4x8xptr>"
    assert str(pointee_of("tensor<4x!tt.ptr<!tt.ptr<f16>>>")) == "ptr"
    assert str(pointee_of("!tt.ptr<i1, 1>")) == "i1"
    with pytest.raises(UnsupportedError):
        parse_type("i128")


def test_split_top():
    assert split_top("a<1, 2>, (b, c) -> d, e") == ["a<1, 2>", "(b, c) -> d", "e"]
    assert split_top("") == []
