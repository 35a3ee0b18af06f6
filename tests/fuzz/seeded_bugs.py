"""Compiler bugs put in on purpose: the fuzzer is tested by whether it finds them.

Each entry of `BUGS` changes a pass or the CPU target while it is entered. Most are bugs that
compilers have had; a bug is one small thing, and leaves most programs right.

    with seeded("scan_direction"):
        assert failures_of(range(64), optimized=False)
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import llvmlite.ir as ll

from canopy import ir
from canopy.ir import Kernel, Op, Value
from canopy.ir.types import (
    BF16,
    F16,
    F32,
    element_type,
    is_bool,
    is_float,
    is_integer,
    is_signed,
)
from canopy.passes import cse, dead_code, induction, invariants, pipeline
from canopy.passes.memory import Bases
from canopy.passes.rewriter import Rewriter
from canopy.targets.cpu import affine, arithmetic, conversions, memory, plan, roots
from canopy.targets.cpu.nest import Nest
from canopy.targets.cpu.plan import KernelPlan

__all__ = ["BUGS", "seeded"]

Plant = Callable[["Patches"], None]
BUGS: dict[str, Plant] = {}


def _bug(plant: Plant) -> Plant:
    BUGS[plant.__name__.removeprefix("_")] = plant
    return plant


@contextmanager
def seeded(name: str) -> Iterator[None]:
    """Inside, the compiler has that bug."""
    with ExitStack() as stack:
        BUGS[name](Patches(stack))
        yield


class Patches:
    """The ways in which a bug changes the compiler, undone at the end."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def replace(self, owner: Any, name: str, new: Any) -> None:
        """``new`` instead of an attribute, wherever the CPU target imported it under that name."""
        old = getattr(owner, name)
        self._stack.enter_context(patch.object(owner, name, new))
        for module in list(sys.modules.values()):
            inside = getattr(module, "__name__", "").startswith("canopy.targets.cpu")
            if inside and module is not owner and getattr(module, name, None) is old:
                self._stack.enter_context(patch.object(module, name, new))

    def wrap(self, owner: Any, name: str, around: Callable[..., Any]) -> None:
        """``around(old, *arguments)`` instead of a function or method."""
        old = getattr(owner, name)
        self.replace(owner, name, lambda *args, **kwargs: around(old, *args, **kwargs))

    def rule(self, kind: type[Op], around: Callable[..., Any]) -> None:
        """``around(old, builder, op, operands)`` instead of the rule of an elementwise op."""
        old = arithmetic.RULES[kind]

        def rule(builder: Any, op: Op, operands: list[Any]) -> Any:
            return around(old, builder, op, operands)

        self._stack.enter_context(patch.dict(arithmetic.RULES, {kind: rule}))

    def mutate(self, change: Callable[[_Mutator, Any], Op | Value | None]) -> None:
        """A pass more, at the end: ``change(rewriter, op)`` is what stands for an op, or None."""

        def mutated(kernel: Kernel) -> Kernel:
            return _Mutator(change).kernel(kernel)

        defaults = (*(pipeline.run.__defaults__ or ()),)
        changed = ((*defaults[0], mutated), *defaults[1:])
        self._stack.enter_context(patch.object(pipeline.run, "__defaults__", changed))


class _Mutator(Rewriter):
    def __init__(self, change: Callable[[_Mutator, Any], Op | Value | None]) -> None:
        super().__init__()
        self._change = change

    def op(self, op: Op) -> Sequence[Value]:
        made = self.translated(op)
        found = self._change(self, made)
        if isinstance(found, Value):
            return (found,)
        return self.emit(made if found is None else found).results


def _again(op: Op, **changes: Any) -> Op:
    fresh = tuple(Value(value.type, value.name) for value in op.results)
    return dataclasses.replace(op, **changes, results=fresh)


# ---- memory: aliasing, masks, tails ------------------------------------------------------------


@_bug
def _stores_alias_no_load(patches: Patches) -> None:
    """A load may be computed again behind any store."""
    patches.replace(KernelPlan, "may_alias", lambda self, first, second: False)


@_bug
def _overlapping_operands_taken_as_disjoint(patches: Patches) -> None:
    def may_alias(old: Any, self: Any, first: Value, second: Value, *, disjoint: bool) -> bool:
        return bool(old(self, first, second, disjoint=True))

    patches.wrap(Bases, "may_alias", may_alias)


@_bug
def _lanes_of_a_store_taken_as_distinct(patches: Patches) -> None:
    patches.replace(KernelPlan, "is_distinct", lambda self, store: True)


@_bug
def _loads_not_kept_for_loops(patches: Patches) -> None:
    """What a loop reads over and over is read from memory that the loop writes."""

    def must_keep(old: Any, self: Any, op: Any, position: int, sites: Any, kinds: Any) -> bool:
        return False if "nested" in kinds else bool(old(self, op, position, sites, kinds))

    patches.wrap(plan._BlockPlanner, "_must_keep_load", must_keep)


@_bug
def _mask_dropped_in_tails(patches: Patches) -> None:
    """The strip at the edge is taken to be whole."""
    patches.replace(Nest, "assume_all", lambda self, mask: True)


@_bug
def _tail_one_lane_too_long(patches: Patches) -> None:
    def bound(old: Any, nest: Any, *rest: Any) -> Any:
        form = old(nest, *rest)
        if form is None:
            return None
        one = ll.Constant(form.count.type, 1)
        return dataclasses.replace(form, count=nest.builder.add(form.count, one))

    patches.wrap(affine, "_bound", bound)


@_bug
def _inclusive_bound_taken_as_exclusive(patches: Patches) -> None:
    def bound(old: Any, nest: Any, op: Any, forms: Any) -> Any:
        predicate = {"le": "lt", "ge": "gt"}.get(op.predicate, op.predicate)
        return old(nest, dataclasses.replace(op, predicate=predicate, results=()), forms)

    patches.wrap(affine, "_bound", bound)


@_bug
def _masked_lanes_load_zero(patches: Patches) -> None:
    """`other` is forgotten where a strip is contiguous."""

    def load(old: Any, b: Any, p: Any, e: Any, n: int, mask: Any = None, other: Any = None) -> Any:
        return old(b, p, e, n, mask, None)

    patches.wrap(memory, "load_contiguous", load)


@_bug
def _masked_store_writes_all(patches: Patches) -> None:
    def store(old: Any, b: Any, p: Any, value: Any, element: Any, mask: Any = None) -> Any:
        return old(b, p, value, element, None)

    patches.wrap(memory, "store_contiguous", store)


@_bug
def _scatter_in_reverse_order(patches: Patches) -> None:
    """Of several lanes that store to one place, the lowest wins."""

    def scatter(old: Any, b: Any, addresses: Any, value: Any, element: Any, mask: Any) -> None:
        count = addresses.type.count
        order = ll.Constant(
            ll.VectorType(ll.IntType(32), count),
            [ll.Constant(ll.IntType(32), count - 1 - i) for i in range(count)],
        )
        turned = [b.shuffle_vector(v, v, order) for v in (addresses, value, mask)]
        old(b, turned[0], turned[1], element, turned[2])

    patches.wrap(memory, "store_scatter", scatter)


@_bug
def _indices_extend_without_sign(patches: Patches) -> None:
    def widen(old: Any, builder: Any, value: Any, source: Value) -> Any:
        with patch.object(arithmetic, "is_signed", lambda element: False):
            return old(builder, value, source)

    patches.wrap(arithmetic, "widen_index", widen)


@_bug
def _wrong_atomic_operation(patches: Patches) -> None:
    """Unsigned minimum as a signed one."""

    def change(rewriter: _Mutator, op: Op) -> Op | None:
        match op:
            case ir.AtomicRmw(kind="min" | "max" as kind):
                return _again(op, kind={"min": "max", "max": "min"}[kind])
        return None

    patches.mutate(change)


@_bug
def _compare_and_swap_swaps_always(patches: Patches) -> None:
    def change(rewriter: _Mutator, op: Op) -> Op | None:
        if not isinstance(op, ir.AtomicCas):
            return None
        return ir.AtomicRmw(
            kind="exchange", pointer=op.pointer, value=op.value, mask=op.mask, order=op.order
        )

    patches.mutate(change)


# ---- passes ------------------------------------------------------------------------------------


@_bug
def _loads_shared_across_stores(patches: Patches) -> None:
    def is_pure(old: Any, op: Op) -> bool:
        return bool(old(op)) or isinstance(op, ir.Load)

    patches.wrap(cse, "is_pure", is_pure)


@_bug
def _sharing_ignores_flags(patches: Patches) -> None:
    """Ops that differ in a flag (ordered or not, which NaN rule) are taken as equal."""

    def key(old: Any, op: Op) -> Any:
        kind, fields, types = old(op)
        if kind is ir.Constant:
            return kind, fields, types
        return kind, tuple(f for f in fields if f not in ("True", "False")), types

    patches.wrap(cse, "_key", key)


@_bug
def _sharing_of_equal_constants_of_other_sign(patches: Patches) -> None:
    """0.0 and -0.0 are one number."""

    def key(old: Any, op: Op) -> Any:
        kind, fields, types = old(op)
        return kind, tuple("0.0" if f == "-0.0" else f for f in fields), types

    patches.wrap(cse, "_key", key)


@_bug
def _loads_hoisted_out_of_loops(patches: Patches) -> None:
    def is_harmless(old: Any, op: Op) -> bool:
        return bool(old(op)) or (isinstance(op, ir.Load) and op.mask is None)

    patches.wrap(invariants, "_is_harmless", is_harmless)


@_bug
def _unused_atomics_removed(patches: Patches) -> None:
    def has_effects(old: Any, op: Op) -> bool:
        return bool(old(op)) and not isinstance(op, ir.AtomicRmw)

    patches.wrap(dead_code, "_has_effects", has_effects)


@_bug
def _masked_scalar_stores_removed(patches: Patches) -> None:
    def has_effects(old: Any, op: Op) -> bool:
        if isinstance(op, ir.Store) and op.mask is not None and not op.pointer.is_tile:
            return False
        return bool(old(op))

    patches.wrap(dead_code, "_has_effects", has_effects)


@_bug
def _backward_steps_taken_forward(patches: Patches) -> None:
    """A loop that subtracts a uniform step from a tile adds it."""
    step = induction._Step
    patches.replace(induction, "_Step", lambda tile, is_forward=True: step(tile, True))


@_bug
def _induction_starts_one_step_late(patches: Patches) -> None:
    def moved(old: Any, self: Any, op: Op, start: Value, counter: Value, motion: Any) -> Value:
        one = self.make(ir.Constant, value=1, type=counter.type)
        late = self.make(ir.Add, lhs=counter, rhs=one)
        return old(self, op, start, late, motion)  # type: ignore[no-any-return]

    patches.wrap(induction._Carrier, "_moved", moved)


@_bug
def _carried_value_lost(patches: Patches) -> None:
    """The second value that a loop carries stays as it was."""

    def change(rewriter: _Mutator, op: Op) -> Op | None:
        if not isinstance(op, ir.For) or len(op.initial) < 2:
            return None
        end = op.body.terminator
        values = (end.operands[0], op.body.args[2], *end.operands[2:])
        op.body.ops[-1] = ir.Yield(values=values)
        return None

    patches.mutate(change)


@_bug
def _loop_runs_once_too_often(patches: Patches) -> None:
    def change(rewriter: _Mutator, op: Op) -> Op | None:
        if not isinstance(op, ir.For) or element_type(op.lower.type).bits != 64:
            return None
        one = rewriter.make(ir.Constant, value=1, type=op.upper.type)
        return _again(op, upper=rewriter.make(ir.Add, lhs=op.upper, rhs=one))

    patches.mutate(change)


@_bug
def _signed_division_as_shift(patches: Patches) -> None:
    """x / 2 as x >> 1, which rounds the other way below zero."""

    def change(rewriter: _Mutator, op: Op) -> Op | None:
        match op:
            case ir.Div(rhs=Value(op=ir.Constant(value=2 | 16 as divisor))) if is_signed(
                op.lhs.type
            ):
                shift = divisor.bit_length() - 1
                amount = rewriter.make(ir.Constant, value=shift, type=op.lhs.type)
                return ir.ShiftRight(lhs=op.lhs, rhs=amount)
        return None

    patches.mutate(change)


@_bug
def _adding_zero_left_out(patches: Patches) -> None:
    """-0.0 + 0.0 is 0.0."""

    def change(rewriter: _Mutator, op: Op) -> Value | None:
        match op:
            case ir.Add(lhs=x, rhs=Value(op=ir.Constant(value=0.0))) if is_float(x.type):
                return x
        return None

    patches.mutate(change)


@_bug
def _float_sums_reassociated(patches: Patches) -> None:
    def change(rewriter: _Mutator, op: Op) -> Op | None:
        match op:
            case ir.Add(lhs=Value(op=ir.Add(lhs=a, rhs=b)), rhs=c) if is_float(c.type):
                return ir.Add(lhs=a, rhs=rewriter.make(ir.Add, lhs=b, rhs=c))
        return None

    patches.mutate(change)


@_bug
def _product_and_sum_fused(patches: Patches) -> None:
    def change(rewriter: _Mutator, op: Op) -> Op | None:
        match op:
            case ir.Add(lhs=Value(op=ir.Mul(lhs=a, rhs=b)), rhs=c) if is_float(c.type):
                return ir.Fma(a=a, b=b, c=c)
            case ir.Sub(lhs=Value(op=ir.Mul(lhs=a, rhs=b)), rhs=c) if is_float(c.type):
                minus = rewriter.make(ir.MathCall, function="neg", arguments=(c,))
                return ir.Fma(a=a, b=b, c=minus)
        return None

    patches.mutate(change)


# ---- lanes -------------------------------------------------------------------------------------


@_bug
def _select_in_the_wrong_order(patches: Patches) -> None:
    """Where one condition decides for a whole tile."""

    def change(rewriter: _Mutator, op: Op) -> Op | None:
        if isinstance(op, ir.Select) and op.if_true.is_tile and not op.condition.is_tile:
            return _again(op, if_true=op.if_false, if_false=op.if_true)
        return None

    patches.mutate(change)


@_bug
def _square_transposition_left_out(patches: Patches) -> None:
    def change(rewriter: _Mutator, op: Op) -> Value | None:
        if isinstance(op, ir.Transpose) and op.source.shape == op.result.shape:
            return op.source
        return None

    patches.mutate(change)


@_bug
def _dot_with_a_transposed_factor(patches: Patches) -> None:
    def change(rewriter: _Mutator, op: Op) -> Op | None:
        if not isinstance(op, ir.Dot) or len(op.rhs.shape) != 2 or len(set(op.rhs.shape)) > 1:
            return None
        turned = rewriter.make(ir.Transpose, source=op.rhs, order=(1, 0))
        return _again(op, rhs=turned)

    patches.mutate(change)


@_bug
def _gather_along_the_last_axis(patches: Patches) -> None:
    def change(rewriter: _Mutator, op: Op) -> Op | None:
        if isinstance(op, ir.Gather) and op.source.shape == op.indices.shape:
            last = len(op.source.shape) - 1
            if op.source.shape[last] >= op.source.shape[op.axis]:
                return _again(op, axis=last)
        return None

    patches.mutate(change)


@_bug
def _new_axis_at_the_wrong_place(patches: Patches) -> None:
    """x[None, :] broadcast to a square as x[:, None]."""

    def change(rewriter: _Mutator, op: Op) -> Op | None:
        match op:
            case ir.Broadcast(source=Value(op=ir.ExpandDims(source=source, axis=axis))) if (
                len(op.shape) == 2 and op.shape[0] == op.shape[1] == source.shape[0]
            ):
                other = rewriter.make(ir.ExpandDims, source=source, axis=1 - axis)
                return _again(op, source=other)
        return None

    patches.mutate(change)


@_bug
def _scan_direction(patches: Patches) -> None:
    def change(rewriter: _Mutator, op: Op) -> Op | None:
        return _again(op, reverse=False) if isinstance(op, ir.Scan) and op.reverse else None

    patches.mutate(change)


@_bug
def _scan_order_of_operands(patches: Patches) -> None:
    """The later part first: shows only where the region does not commute."""

    def change(rewriter: _Mutator, op: Op) -> Op | None:
        if not isinstance(op, ir.Scan):
            return None
        half = len(op.combine.args) // 2
        turned = op.combine.args[half:] + op.combine.args[:half]
        return _again(op, combine=ir.Region(turned, op.combine.ops))

    patches.mutate(change)


@_bug
def _reduction_starts_from_zero(patches: Patches) -> None:
    """Also a maximum of negative numbers."""

    def neutral(old: Any, op: Any) -> Any:
        return None if old(op) is None else 0.0

    patches.wrap(roots, "neutral_element", neutral)


@_bug
def _histogram_counts_masked_lanes(patches: Patches) -> None:
    def change(rewriter: _Mutator, op: Op) -> Op | None:
        return _again(op, mask=None) if isinstance(op, ir.Histogram) else None

    patches.mutate(change)


@_bug
def _program_ids_swapped(patches: Patches) -> None:
    def change(rewriter: _Mutator, op: Op) -> Op | None:
        if isinstance(op, ir.ProgramId) and op.axis:
            return _again(op, axis=3 - op.axis)
        return None

    patches.mutate(change)


# ---- arithmetic and conversions ----------------------------------------------------------------


def _unsigned_rule(patches: Patches, kind: type[Op]) -> None:
    def rule(old: Any, builder: Any, op: Op, operands: list[Any]) -> Any:
        with patch.object(arithmetic, "is_signed", lambda element: False):
            return old(builder, op, operands)

    patches.rule(kind, rule)


@_bug
def _division_without_sign(patches: Patches) -> None:
    _unsigned_rule(patches, ir.Div)


@_bug
def _remainder_without_sign(patches: Patches) -> None:
    _unsigned_rule(patches, ir.Rem)


@_bug
def _shift_without_sign(patches: Patches) -> None:
    _unsigned_rule(patches, ir.ShiftRight)


@_bug
def _comparison_without_sign(patches: Patches) -> None:
    _unsigned_rule(patches, ir.Compare)


@_bug
def _high_product_without_sign(patches: Patches) -> None:
    _unsigned_rule(patches, ir.MulHigh)


@_bug
def _minimum_without_sign(patches: Patches) -> None:
    _unsigned_rule(patches, ir.Min)


@_bug
def _extension_without_sign(patches: Patches) -> None:
    def cast(old: Any, builder: Any, value: Any, source: Any, target: Any, *rest: Any) -> Any:
        if not (is_integer(source) and is_integer(target)):
            return old(builder, value, source, target, *rest)
        with patch.object(conversions, "is_signed", lambda element: False):
            return old(builder, value, source, target, *rest)

    patches.wrap(conversions, "cast", cast)


@_bug
def _unsigned_to_float_as_signed(patches: Patches) -> None:
    def convert(old: Any, *arguments: Any) -> Any:
        with patch.object(conversions, "is_signed", lambda element: True):
            return old(*arguments)

    patches.wrap(conversions, "_integer_to_float", convert)


@_bug
def _large_shifts_unguarded(patches: Patches) -> None:
    """x << 40 of 32 bits is x << 8."""

    def shift(old: Any, builder: Any, op: Any, operands: list[Any]) -> Any:
        value, amount = operands
        last = arithmetic.constant(value.type, element_type(op.lhs.type).bits - 1)
        return builder.shl(value, builder.and_(amount, last))

    patches.rule(ir.ShiftLeft, shift)


@_bug
def _nan_rule_of_extremes(patches: Patches) -> None:
    def extremum(old: Any, builder: Any, operands: Any, largest: bool, propagate: bool) -> Any:
        return old(builder, operands, largest, False)

    patches.wrap(arithmetic, "_float_extremum", extremum)


@_bug
def _unordered_comparisons_as_ordered(patches: Patches) -> None:
    def compare(old: Any, builder: Any, op: Any, operands: list[Any]) -> Any:
        return old(builder, dataclasses.replace(op, unordered=False, results=()), operands)

    patches.rule(ir.Compare, compare)


@_bug
def _bfloat_rounds_toward_zero(patches: Patches) -> None:
    patches.wrap(conversions, "_to_bfloat", lambda old, x, toward_zero: old(x, True))


@_bug
def _rounding_mode_ignored(patches: Patches) -> None:
    def cast(old: Any, b: Any, v: Any, s: Any, t: Any, rounding: str = "rtne", *r: Any) -> Any:
        return old(b, v, s, t, "rtne", *r)

    patches.wrap(conversions, "cast", cast)


@_bug
def _float8_does_not_saturate(patches: Patches) -> None:
    def convert(old: Any, x: Any, form: Any, toward_zero: bool, saturate: bool) -> Any:
        return old(x, form, toward_zero, False)

    patches.wrap(conversions, "_to_float8", convert)


@_bug
def _float8_without_denormals(patches: Patches) -> None:
    def convert(old: Any, code: Any, form: Any) -> Any:
        wide = old(code, form)
        tiny = wide.abs() < 2.0 ** (1 - form.bias)
        return tiny.where(0.0, wide)

    patches.wrap(conversions, "_from_float8", convert)


@_bug
def _out_of_range_to_integer_unchecked(patches: Patches) -> None:
    """What x86's instruction gives, instead of the nearest integer."""

    def convert(old: Any, x: Any, source: Any, target: Any) -> Any:
        if is_bool(target) or source not in (F32, F16, BF16) or target.bits != 32:
            return old(x, source, target)
        b = x.builder
        single = type(x)(b, conversions.to_float(b, x.value, source))
        within = single.abs() < 2.0**31
        return old(type(x)(b, within.where(single, -(2.0**31)).value), F32, target)

    patches.wrap(conversions, "_float_to_integer", convert)


@_bug
def _integers_to_bool_by_the_last_bit(patches: Patches) -> None:
    def cast(old: Any, builder: Any, value: Any, source: Any, target: Any, *rest: Any) -> Any:
        if not (is_bool(target) and is_integer(source)):
            return old(builder, value, source, target, *rest)
        type_ = ll.IntType(1)
        if isinstance(value.type, ll.VectorType):
            type_ = ll.VectorType(type_, value.type.count)
        return builder.trunc(value, type_)

    patches.wrap(conversions, "cast", cast)


@_bug
def _denormals_flushed(patches: Patches) -> None:
    def multiply(old: Any, builder: Any, op: Any, operands: list[Any]) -> Any:
        product = old(builder, op, operands)
        if element_type(op.lhs.type) != F32:
            return product
        type_ = product.type
        tiny = arithmetic.constant(type_, 1.1754943508222875e-38)
        magnitude = arithmetic.call_intrinsic(builder, "llvm.fabs", type_, [product], [type_])
        is_tiny = builder.fcmp_ordered("<", magnitude, tiny)
        return builder.select(is_tiny, arithmetic.constant(type_, 0.0), product)

    patches.rule(ir.Mul, multiply)


@_bug
def _halves_round_away_from_zero(patches: Patches) -> None:
    def change(rewriter: _Mutator, op: Op) -> Op | None:
        if isinstance(op, ir.MathCall) and op.function == "rint":
            return _again(op, function="round")
        return None

    patches.mutate(change)
