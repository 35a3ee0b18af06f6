"""Packed operands that one thread keeps from program to program of a launch.

The programs of a row of tiles multiply by the same panels, and a thread runs many programs in one
call of the entry. What is packed is a function of a few scalars (pointers, strides, offsets, the
loop's counter) and of memory that the kernel does not write; so each chunk is looked up by these
scalars, all of them, before it is packed. A chunk that is seen for the first time is packed where
it always was, and only remembered; one that comes again is packed into a place of its own: operands
that never come again cost nothing but the look.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import llvmlite.ir as ll

from canopy import ir
from canopy.targets.cpu.llvm import I8, I64, POINTER, Builder, LLValue, constant, counted_loop

if TYPE_CHECKING:
    from canopy.targets.cpu.program import Program

__all__ = ["KeptPanels", "forget"]

# Per operand and thread: a few panels of a usual product, less than a second-level cache and a
# share of the third hold.
KEPT_BYTES = 4 << 20
MOST_CHUNKS = 64
FEWEST_CHUNKS = 4
LEAST_BYTES = 4 << 10  # packing less costs about as much as looking for it
MOST_WORDS = 24
# An entry's state: nothing, its scalars were seen once, its chunk is there.
SEEN, KEPT = 1, 2
WORD = 8
# Multipliers of a hash and of a generator of entries to give up (Knuth's MMIX).
HASH, STEP = 0x9E3779B97F4A7C15, 6364136223846793005

_PURE = (
    *(ir.Constant, ir.Binary, ir.Compare, ir.Select, ir.MathCall, ir.Fma, ir.Clamp, ir.Cast),
    *(ir.Bitcast, ir.Offset, ir.Range, ir.Splat, ir.Broadcast, ir.ExpandDims, ir.Reshape),
    *(ir.Transpose, ir.Load, ir.Unsplat, ir.ProgramId, ir.NumPrograms),
)
_SYNCHRONISES = (ir.AtomicRmw, ir.AtomicCas, ir.Ordering, ir.NativeCall)


@dataclass(frozen=True, slots=True)
class _Table:
    """Where a table lies behind the kept memory's begin: random state, states, keys, chunks."""

    offset: int
    entries: int
    words: int  # of a key, its hash among them
    chunk_bytes: int

    @property
    def states_bytes(self) -> int:
        return (1 + self.entries) * WORD

    @property
    def chunks_offset(self) -> int:
        return _aligned(self.states_bytes + self.entries * self.words * WORD)

    @property
    def size(self) -> int:
        return self.chunks_offset + self.entries * self.chunk_bytes


def _aligned(size: int) -> int:
    return (size + 63) // 64 * 64


class KeptPanels:
    """The chunks of one operand of a contraction."""

    def __init__(self, program: Program, table: _Table, inputs: list[ir.Value]) -> None:
        self.program = program
        self.table = table
        self.inputs = inputs
        self.outside = {v: program.scalar(v) for v in inputs if v in program.scalars}
        self.key = program.alloca(ll.ArrayType(I64, table.words))

    @classmethod
    def of(cls, program: Program, loop: ir.For, value: ir.Value, size: int) -> KeptPanels | None:
        """For chunks of ``size`` bytes of ``value``, computed in ``loop``; None if they may not be
        kept, or would not pay. The builder stands before the loop."""
        chunk_bytes = _aligned(size)
        entries = 1
        while entries < MOST_CHUNKS and entries * 2 * chunk_bytes <= KEPT_BYTES:
            entries *= 2
        if size < LEAST_BYTES or entries < FEWEST_CHUNKS or not _is_steady(program):
            return None
        inputs = _inputs(program, loop, value)
        if inputs is None:
            return None
        words = 1 + len(inputs)
        if words > MOST_WORDS:
            return None
        table = _Table(program.keep_bytes(0), entries, words, chunk_bytes)
        program.keep_bytes(table.size)
        program.kept_tables.append((table.offset, table.states_bytes))
        return cls(program, table, inputs)

    def find(self, carried: dict[ir.Value, LLValue], otherwise: LLValue) -> tuple[LLValue, LLValue]:
        """The place of the chunk that starts where the loop's counter and what it carries are as in
        ``carried``, and whether it is packed already; ``otherwise`` is where what is not kept goes.
        """
        b, table = self.program.builder, self.table
        values = {**self.outside, **carried}
        words = [_word(b, values[v]) for v in self.inputs]
        for position, word in enumerate((_hash(b, words), *words)):
            b.store(word, b.gep(self.key, [constant(I64, position)], source_etype=I64))
        base = self.program.kept_address(table.offset)
        function = _lookup_function(self.program.module, table.entries, table.words)
        found = b.call(function, [base, self.key])
        entry = b.ashr(found, constant(I64, 1))
        offset = b.add(
            b.mul(entry, constant(I64, table.chunk_bytes)), constant(I64, table.chunks_offset)
        )
        place = b.gep(base, [offset], source_etype=I8)
        is_new = b.icmp_signed("<", found, constant(I64, 0))
        is_packed = b.and_(b.not_(is_new), b.trunc(b.and_(found, constant(I64, 1)), ll.IntType(1)))
        return b.select(is_new, otherwise, place), is_packed


def forget(builder: Builder, scratch: LLValue, program: Program) -> None:
    """Empties the tables, as a call of the entry does first: memory may have changed."""
    for offset, size in program.kept_tables:
        start = builder.gep(scratch, [constant(I64, program.kept_offset + offset)], source_etype=I8)
        with counted_loop(builder, constant(I64, size // WORD), "forget") as i:
            builder.store(constant(I64, 0), builder.gep(start, [i], source_etype=I64))


def _is_steady(program: Program) -> bool:
    """Whether what the kernel does not write stays as it is for as long as a call of the entry
    lasts: nothing lets a program wait for another, which may have been told what else was written.
    """
    if not program.plan.disjoint or None in program.plan.bases.written:
        return False
    return not any(
        isinstance(op, _SYNCHRONISES) or (isinstance(op, ir.Load) and op.volatile)
        for op in ir.walk(program.kernel.body.ops)
    )


def _inputs(program: Program, loop: ir.For, value: ir.Value) -> list[ir.Value] | None:
    """The scalars that determine what ``value`` is from a step of the loop on, from outside it and
    carried by it; None if more than they and memory that stays as it is do."""
    inside = set(_values_of(loop.body))
    found: dict[ir.Value, None] = {}
    seen: set[ir.Value] = set()
    counter, *carried = loop.body.args
    yielded = dict(zip(carried, loop.body.terminator.operands, strict=True))
    waiting = [value, counter, loop.lower, loop.upper, loop.step]
    while waiting:
        value = waiting.pop()
        if value in seen:
            continue
        seen.add(value)
        is_argument = value is counter or value in yielded
        if not value.is_tile and (is_argument or value not in inside):
            if not isinstance(value.op, ir.Constant):
                found[value] = None
            # How the loop goes on from what it carries follows from what that is computed of.
            waiting += [yielded[value]] if value in yielded else []
            continue
        op = value.op
        if (
            is_argument
            or not isinstance(op, _PURE)
            or (isinstance(op, ir.Load) and not _stays(program, op))
        ):
            return None
        waiting += op.operands
    return list(found)


def _values_of(region: ir.Region) -> Iterator[ir.Value]:
    yield from region.args
    for op in ir.walk(region.ops):
        yield from op.results


def _stays(program: Program, load: ir.Load) -> bool:
    bases = program.plan.bases
    base = bases.of(load.pointer)
    return not load.volatile and base in bases.parameters and base not in bases.written


def _word(b: Builder, value: LLValue) -> LLValue:
    """The bits of a scalar as one word."""
    if isinstance(value.type, ll.PointerType):
        return b.ptrtoint(value, I64)
    if isinstance(value.type, ll.IntType):
        return value if value.type.width == 64 else b.zext(value, I64)
    width = {"half": 16, "bfloat": 16, "float": 32, "double": 64}[str(value.type)]
    bits = b.bitcast(value, ll.IntType(width))
    return bits if width == 64 else b.zext(bits, I64)


def _hash(b: Builder, words: list[LLValue]) -> LLValue:
    mixed = constant(I64, 0)
    for word in words:
        mixed = b.mul(b.xor(mixed, word), constant(I64, HASH))
        mixed = b.xor(mixed, b.lshr(mixed, constant(I64, 29)))
    return mixed


def _lookup_function(module: Any, entries: int, words: int) -> Any:
    """The function (table, key): 2 * entry + 1 if the chunk is there, 2 * entry if it is to be
    packed there, -1 if the key is new; then it takes a free place, or that of any other one."""
    name = f"canopy.kept.{entries}x{words}"
    known = module.globals.get(name)
    if known is not None:
        return known
    function = ll.Function(module, ll.FunctionType(I64, [POINTER] * 2), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    _Lookup(function, entries, words).emit()
    return function


class _Lookup:
    """Emits the body of a look-up function."""

    def __init__(self, function: Any, entries: int, words: int) -> None:
        self.builder: Builder = ll.IRBuilder(function.append_basic_block("entry"))
        self.function = function
        self.table, self.key = function.args
        self.entries, self.words = entries, words

    def emit(self) -> None:
        b = self.builder
        free = b.alloca(I64)
        b.store(self._random(), free)
        with counted_loop(b, constant(I64, self.entries), "entry") as e:
            state = b.load(self._state(e), typ=I64)
            used = b.icmp_unsigned("!=", state, constant(I64, 0))
            b.store(b.select(used, b.load(free, typ=I64), e), free)
            with b.if_then(b.and_(used, self._same(e, constant(I64, 0)))):
                self._compare_whole(e, state)
        self._claim(b.load(free, typ=I64))

    def _compare_whole(self, e: LLValue, state: LLValue) -> None:
        """Returns the entry if all words agree: a hash alone proves nothing."""
        b = self.builder
        same = constant(ll.IntType(1), 1)
        for word in range(1, self.words):
            same = b.and_(same, self._same(e, constant(I64, word)))
        with b.if_then(same):
            b.store(constant(I64, KEPT), self._state(e))
            is_kept = b.icmp_unsigned("==", state, constant(I64, KEPT))
            b.ret(b.or_(b.shl(e, constant(I64, 1)), b.zext(is_kept, I64)))
            self._go_on()

    def _go_on(self) -> None:
        """A block behind a return, for the builder's contexts end with a branch."""
        self.builder.position_at_end(self.function.append_basic_block("unreached"))

    def _random(self) -> LLValue:
        """Any entry: of chunks that come in turns, more than there are places, some then stay."""
        b = self.builder
        random = b.load(self.table, typ=I64)
        random = b.add(b.mul(random, constant(I64, STEP)), constant(I64, HASH))
        b.store(random, self.table)
        return b.urem(b.lshr(random, constant(I64, 33)), constant(I64, self.entries))

    def _claim(self, entry: LLValue) -> None:
        b = self.builder
        b.store(constant(I64, SEEN), self._state(entry))
        with counted_loop(b, constant(I64, self.words), "word") as i:
            b.store(b.load(self._of_key(i), typ=I64), self._word(entry, i))
        b.ret(constant(I64, -1))

    def _same(self, e: LLValue, word: LLValue) -> LLValue:
        b = self.builder
        held = b.load(self._word(e, word), typ=I64)
        return b.icmp_unsigned("==", held, b.load(self._of_key(word), typ=I64))

    def _state(self, e: LLValue) -> LLValue:
        b = self.builder
        return b.gep(self.table, [b.add(e, constant(I64, 1))], source_etype=I64)

    def _word(self, e: LLValue, word: LLValue) -> LLValue:
        b = self.builder
        before = constant(I64, 1 + self.entries)
        place = b.add(before, b.add(b.mul(e, constant(I64, self.words)), word))
        return b.gep(self.table, [place], source_etype=I64)

    def _of_key(self, word: LLValue) -> LLValue:
        return self.builder.gep(self.key, [word], source_etype=I64)
