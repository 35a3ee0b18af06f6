"""What every rule of the front-end builds with: values, lanes and masks of one kernel.

A divergent value is a tile over the threads of the block, shaped (z, y, x) without leading axes of
extent 1; a uniform value is a scalar. A mask is None (all threads) or a bool tile.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from canopy import ir
from canopy.errors import Location, UnsupportedError
from canopy.frontends.cuda.llvm_types import ArrayType as LlvmArray
from canopy.frontends.cuda.llvm_types import (
    FloatType,
    IntType,
    LlvmType,
    PtrType,
    StructType,
    field_offset,
    size_of,
)
from canopy.frontends.cuda.llvm_values import (
    Argument,
    Block,
    ConstantExpression,
    Function,
    Global,
    Instruction,
    LlvmValue,
    Number,
    Undefined,
)
from canopy.frontends.cuda.placement import Again, LiveOut, Next, Pending, PendingKind, Placement
from canopy.frontends.cuda.uniformity import Uniformity
from canopy.frontends.cuda.waits import Waits
from canopy.ir.elementwise import Predicate
from canopy.ir.types import (
    BF16,
    BOOL,
    F16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    PTR,
    SHARED_PTR,
    ElementType,
    ScalarType,
    TileType,
    Type,
    element_type,
    is_float,
    signed,
    unsigned,
)

if TYPE_CHECKING:
    from canopy.frontends.cuda.checks import Checks

__all__ = ["Mask", "Translator"]

Mask = ir.Value | None

_OPPOSITE: dict[str, Predicate] = {
    "eq": "ne",
    "ne": "eq",
    "lt": "ge",
    "ge": "lt",
    "le": "gt",
    "gt": "le",
}
_INTEGERS = {1: BOOL, 8: I8, 16: I16, 32: I32, 64: I64}
_LINKED_SUMS: dict[str, type[ir.Binary]] = {"add": ir.Add, "sub": ir.Sub, "xor": ir.Xor}
_FLOATS = {"half": F16, "bfloat": BF16, "float": F32, "double": F64}


class Translator:
    def __init__(
        self,
        function: Function,
        block: tuple[int, int, int],
        shared_bytes: int,
        uniformity: Uniformity,
        placement: Placement,
        shared_pointers: set[LlvmValue],
        waits: Waits,
    ) -> None:
        self.function = function
        self.block = block
        self.shared_bytes = shared_bytes
        self.uniformity = uniformity
        self.placement = placement
        self.shared_pointers = shared_pointers
        self.waits = waits
        self.shape = _lane_shape(block)
        self.extents: tuple[ir.Value, ...] = ()  # x, y, z of a block known at the launch only
        self.is_line = True  # whether y and z are 1
        self.living: Mask = None  # the lanes that are threads; None: all
        self.body = ir.Region()
        self.builder = ir.Builder(self.body, function.location)
        self.env: dict[Hashable, ir.Value] = {}
        self.checks: Checks | None = None  # of a checked kernel
        self.returned: ir.Value | None = None  # where it is noted; see `returned`
        self.first_thread: ir.Value | None = None  # of a member of the block; None: 0
        if waits.grain:
            member = self.add(ir.MemberId, lanes=waits.grain)
            grain = self.constant(waits.grain, I32)
            self.first_thread = self.add(ir.Mul, lhs=member, rhs=grain)

    @property
    def lanes(self) -> int:
        """The threads, idle ones included, that a program runs."""
        x, y, z = self.block
        return x * y * z

    # ---- types

    def element(self, type_: LlvmType, location: Location) -> ElementType:
        """The IR's type for one lane of an LLVM type."""
        if isinstance(type_, IntType) and type_.bits in _INTEGERS:
            return _INTEGERS[type_.bits]
        if isinstance(type_, FloatType):
            return _FLOATS[type_.name]
        if isinstance(type_, PtrType):
            return SHARED_PTR if type_.space == 3 else PTR
        name = f"i{type_.bits}" if isinstance(type_, IntType) else str(type_)
        raise UnsupportedError(f"values of type {name} are not supported yet", location=location)

    def element_of(self, value: LlvmValue, location: Location) -> ElementType:
        if value in self.shared_pointers:
            return SHARED_PTR
        return self.element(value.type, location)

    def tile_type(self, element: ElementType) -> TileType:
        return TileType(self.shape, element)

    def variable_type(self, key: object) -> Type:
        """The type of a variable of `placement`, or of an instruction's value."""
        match key:
            case Pending(block):
                lanes = self.placement.pending[block] is PendingKind.LANES
                return self.tile_type(BOOL) if lanes else BOOL
            case Again(header):
                lanes = self.placement.again[header] is PendingKind.LANES
                return self.tile_type(BOOL) if lanes else BOOL
            case Next(phi):
                return self.variable_type(phi)
            case LiveOut(value, divergent):
                element = self.element_of(value, value.location)
                return self.tile_type(element) if divergent else element
            case Instruction():
                element = self.element_of(key, key.location)
                divergent = key in self.uniformity.divergent_values
                return self.tile_type(element) if divergent else element
        raise AssertionError(key)

    # ---- building

    def add(self, kind: type[ir.Op], /, **fields: Any) -> ir.Value:
        return self.builder.add(kind, **fields)

    def constant(self, value: float | bool, type_: Type) -> ir.Value:
        return self.add(ir.Constant, value=value, type=type_)

    def zero(self, type_: Type) -> ir.Value:
        """The value of a variable that nothing has assigned yet."""
        element = element_type(type_)
        if isinstance(element, ScalarType):
            kind = {"bool": bool, "float": float}.get(element.kind, int)
            return self.constant(kind(0), type_)
        bits = I64 if not isinstance(type_, TileType) else TileType(type_.shape, I64)
        return self.add(ir.Bitcast, source=self.constant(0, bits), type=element)

    def all_lanes(self) -> ir.Value:
        """The mask of every thread of the block."""
        return self.constant(True, self.tile_type(BOOL)) if self.living is None else self.living

    def set_extents(self, extents: Sequence[ir.Value], is_line: bool) -> None:
        """Makes the block one whose extents are known at the launch: lanes beyond them are idle."""
        self.extents, self.is_line = tuple(extents), is_line
        x, y, z = extents
        count = x
        if not is_line:
            count = self.add(ir.Mul, lhs=self.add(ir.Mul, lhs=x, rhs=y), rhs=z)
        index = self.linear_index()
        self.living = self.add(ir.Compare, predicate="lt", lhs=index, rhs=self.as_tile(count))

    def as_tile(self, value: ir.Value) -> ir.Value:
        """A scalar in every lane; a tile as it is."""
        if value.is_tile:
            return value
        key = ("splat", value)
        if key not in self.env:
            if isinstance(value.op, ir.Constant):
                element = element_type(value.op.type)
                self.env[key] = self.constant(value.op.value, self.tile_type(element))
            else:
                self.env[key] = self.add(ir.Splat, source=value, shape=self.shape)
        return self.env[key]

    def coerced(self, value: ir.Value, type_: Type) -> ir.Value:
        """``value`` as ``type_``, which differs at most in being a tile and in address space."""
        if isinstance(type_, TileType):
            value = self.as_tile(value)
        if value.type != type_:
            value = self.add(ir.Bitcast, source=value, type=element_type(type_))
        return value

    def as_unsigned(self, value: ir.Value) -> ir.Value:
        """The same integer bits under the unsigned type."""
        type_ = unsigned(value.type)
        if type_ == value.type:
            return value
        return self.add(ir.Bitcast, source=value, type=element_type(type_))

    def as_signed(self, value: ir.Value) -> ir.Value:
        """The same integer bits under the signed type."""
        return self.bitcast(value, element_type(signed(value.type)))

    def bitcast(self, value: ir.Value, element: ElementType) -> ir.Value:
        """The same bits under another element type."""
        if element_type(value.type) == element:
            return value
        return self.add(ir.Bitcast, source=value, type=element)

    def inverted(self, condition: ir.Value) -> ir.Value:
        key = ("not", condition)
        if key not in self.env:
            self.env[key] = self._inverse(condition)
        return self.env[key]

    def _inverse(self, condition: ir.Value) -> ir.Value:
        """What holds where ``condition`` does not, as comparisons where it is made of such: a
        target sees through `i < n`, not through not(i >= n)."""
        match condition.op:
            case ir.Compare(lhs=lhs, rhs=rhs, predicate=predicate, unordered=unordered):
                orders = is_float(lhs.type)
                return self.add(
                    ir.Compare,
                    predicate=_OPPOSITE[predicate],
                    lhs=lhs,
                    rhs=rhs,
                    unordered=not unordered if orders else unordered,
                )
            case ir.Or(lhs=lhs, rhs=rhs):
                return self.add(ir.And, lhs=self.inverted(lhs), rhs=self.inverted(rhs))
            case ir.And(lhs=lhs, rhs=rhs):
                return self.add(ir.Or, lhs=self.inverted(lhs), rhs=self.inverted(rhs))
            case ir.Splat(source=source):
                return self.as_tile(self.inverted(source))
        true = self.constant(True, condition.type)
        return self.add(ir.Xor, lhs=condition, rhs=true)

    def both(self, mask: Mask, condition: ir.Value) -> ir.Value:
        """The lanes of ``mask`` where ``condition`` holds."""
        condition = self.as_tile(condition)
        mask = self.living if mask is None else mask
        return condition if mask is None else self.add(ir.And, lhs=mask, rhs=condition)

    def scalar_mask(self, mask: Mask) -> Mask:
        """Whether a scalar effect under ``mask`` takes place; None: always."""
        return None if mask is None or mask is self.living else self.any_active(mask)

    def any_active(self, mask: ir.Value) -> ir.Value:
        key = ("any", mask)
        if key not in self.env:
            self.env[key] = self.add(ir.AnyLane, source=mask)
        return self.env[key]

    def when_any(
        self,
        mask: Mask,
        emit: Callable[[], ir.Value | None],
        otherwise: ir.Value | None = None,
    ) -> ir.Value | None:
        """What ``emit`` does and gives where a thread of ``mask`` is; else ``otherwise``."""
        if mask is None or mask is self.living:
            return emit()
        condition = self.any_active(mask)
        location, outer, env = self.builder.location, self.builder.region, self.env
        regions = ir.Region(), ir.Region()
        self.builder.region, self.env = regions[0], dict(env)
        made = emit()
        self.builder.region, self.env = outer, env
        for region, value in zip(regions, (made, otherwise), strict=True):
            values = () if value is None else (value,)
            region.ops.append(ir.Yield(values=values, location=location))
        done = self.builder.effect(
            ir.If, condition=condition, then_region=regions[0], else_region=regions[1]
        )
        return done.results[0] if done.results else None

    def flat(self, value: ir.Value) -> ir.Value:
        """A tile of lanes as one dimension, in the order of CUDA's linear thread index."""
        if len(self.shape) == 1:
            return value
        return self.add(ir.Reshape, source=value, shape=(self.lanes,))

    def from_flat(self, value: ir.Value) -> ir.Value:
        if len(self.shape) == 1:
            return value
        return self.add(ir.Reshape, source=value, shape=self.shape)

    def thread_index(self, axis: int) -> ir.Value:
        """threadIdx.x, .y or .z (axis 0, 1, 2): a scalar 0 where the block has extent 1 there."""
        if self.extents:
            return self._thread_index_at_launch(axis)
        extent, rank = self.block[axis], len(self.shape)
        if axis >= rank:
            return self.constant(0, self.tile_type(I32))
        index = self.add(ir.Range, start=0, end=extent, type=I32)
        if rank == 1:
            return index
        position = rank - 1 - axis
        for before in range(rank):
            if before != position:
                index = self.add(ir.ExpandDims, source=index, axis=before)
        return self.add(ir.Broadcast, source=index, shape=self.shape)

    def _thread_index_at_launch(self, axis: int) -> ir.Value:
        """From the linear index, by division by the extents."""
        if self.is_line:
            return self.linear_index() if axis == 0 else self.constant(0, self.tile_type(I32))
        index: ir.Value = self.as_unsigned(self.linear_index())
        x, y, _ = (self.as_tile(self.as_unsigned(extent)) for extent in self.extents)
        if axis > 0:
            index = self.add(ir.Div, lhs=index, rhs=x)
        if axis == 2:
            index = self.add(ir.Div, lhs=index, rhs=y)
        else:
            index = self.add(ir.Rem, lhs=index, rhs=x if axis == 0 else y)
        return self.add(ir.Bitcast, source=index, type=I32)

    def block_extent(self, axis: int) -> ir.Value:
        """blockDim.x, .y or .z."""
        if self.extents and not (self.is_line and axis):
            return self.extents[axis]
        return self.constant(self.block[axis], I32)

    def lane_index(self) -> ir.Value:
        """Which of the program's threads."""
        return self.from_flat(self.add(ir.Range, start=0, end=self.lanes, type=I32))

    def linear_index(self) -> ir.Value:
        """Which of the block's threads, x fastest."""
        index = self.lane_index()
        if self.first_thread is None:
            return index
        return self.add(ir.Add, lhs=self.as_tile(self.first_thread), rhs=index)

    # ---- operands

    def operand(self, value: LlvmValue, user: Instruction, tile: bool = False) -> ir.Value:
        """The value that ``user`` sees; in every lane if ``tile``."""
        return self.operand_at(value, user.block, user.location, tile)

    def operand_at(
        self, value: LlvmValue, place: Block, location: Location, tile: bool = False
    ) -> ir.Value:
        found = self._find(value, place, location)
        return self.as_tile(found) if tile else found

    def _find(self, value: LlvmValue, place: Block, location: Location) -> ir.Value:
        match value:
            case Instruction():
                return self.env[self.placement.key_for(value, place)]
            case Argument():
                return self.env[value]
            case Number(type=type_, value=number):
                return self._number(number, self.element(type_, location))
            case Undefined(type=type_, text=""):
                return self.zero(self.element(type_, location))
            case Global():
                return self._global(value, location)
            case ConstantExpression(opcode="addrspacecast", operands=(source,)):
                return self._find(source, place, location)
            case ConstantExpression(opcode="getelementptr", operands=operands, source_type=content):
                base = self._find(operands[0], place, location)
                offset = self.constant_offset(content, operands[1:], location)
                return self.advanced(base, offset)
            case ConstantExpression(type=type_, opcode=opcode, operands=operands):
                found = [self._find(operand, place, location) for operand in operands]
                return self._linked(opcode, found, self.element(type_, location))
        raise UnsupportedError(f"this constant is not supported yet: {value}", location=location)

    def _linked(self, opcode: str, found: list[ir.Value], element: ElementType) -> ir.Value:
        """A number that the linker computes of an address."""
        if opcode == "trunc":
            return self.add(ir.Cast, source=found[0], type=element)
        if opcode in _LINKED_SUMS:
            return self.add(_LINKED_SUMS[opcode], lhs=found[0], rhs=found[1])
        return self.bitcast(found[0], element)

    def _number(self, number: float, element: ElementType) -> ir.Value:
        if not isinstance(element, ScalarType):
            address = self.constant(int(number), I64)
            return self.add(ir.Bitcast, source=address, type=element)
        return self.constant(bool(number) if element is BOOL else number, element)

    def _global(self, value: Global, location: Location) -> ir.Value:
        if value in self.env:
            return self.env[value]
        raise UnsupportedError(
            f"{value.name} is a __device__ or __constant__ variable, which is not supported yet",
            location=location,
            hint="pass it to the kernel as an argument",
        )

    def advanced(self, base: ir.Value, offset: int) -> ir.Value:
        """``base`` moved by a constant number of bytes."""
        if not offset:
            return base
        type_ = self.tile_type(I64) if base.is_tile else I64
        return self.add(ir.Offset, pointer=base, index=self.constant(offset, type_), scale=1)

    def constant_offset(
        self, content: LlvmType | None, indices: tuple[LlvmValue, ...], location: Location
    ) -> int:
        offset = 0
        for stride, index in self.steps(content, indices, location):
            assert isinstance(index, Number)
            offset += stride * int(index.value)
        return offset

    def steps(
        self, content: LlvmType | None, indices: tuple[LlvmValue, ...], location: Location
    ) -> list[tuple[int, LlvmValue]]:
        """The indices of a GEP with their scales in bytes; a field counts as a constant index."""
        assert content is not None
        found: list[tuple[int, LlvmValue]] = [(size_of(content), indices[0])]
        for index in indices[1:]:
            if isinstance(content, StructType):
                assert isinstance(index, Number)
                field = int(index.value)
                found.append((1, Number(IntType(64), field_offset(content, field))))
                content = content.fields[field]
            elif isinstance(content, LlvmArray):
                content = content.element
                found.append((size_of(content), index))
            else:
                raise UnsupportedError(f"indexing into {content}", location=location)
        return found


def _lane_shape(block: tuple[int, int, int]) -> tuple[int, ...]:
    shape = list(reversed(block))
    while len(shape) > 1 and shape[0] == 1:
        shape.pop(0)
    return tuple(shape)
