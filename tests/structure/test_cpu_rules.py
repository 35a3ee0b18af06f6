"""Every op runs on the CPU target, or is listed here as a gap."""

from canopy import ir
from canopy.ir.core import Op
from canopy.ir.syntax import all_ops
from canopy.targets.cpu import arithmetic
from canopy.targets.cpu.plan import INLINE

GAPS: set[type[Op]] = set()
# Handled by name in targets/cpu/program.py and nest.py, not through the table of arithmetic.
PLACED: set[type[Op]] = {
    *(
        ir.Constant,
        ir.Range,
        ir.Splat,
        ir.Unsplat,
        ir.Broadcast,
        ir.ExpandDims,
        ir.Reshape,
        ir.Flip,
    ),
    *(ir.Transpose, ir.Join, ir.Split, ir.Concat, ir.Gather, ir.Histogram),
    *(ir.Load, ir.Store, ir.AtomicRmw, ir.AtomicCas, ir.Scratch, ir.Barrier),
    *(ir.Dot, ir.Reduce, ir.Scan, ir.AnyLane),
    *(ir.For, ir.While, ir.If, ir.Yield, ir.Condition, ir.ProgramId, ir.NumPrograms),
    *(ir.Assert, ir.Print, ir.NativeCall, ir.Clock),
    *(ir.Fence, ir.Pause, ir.GridBarrier, ir.MemberId, ir.BlockMemory, ir.Meet, ir.Arrive),
}
OPS = {kind for kind in all_ops().values() if kind.__module__.startswith("canopy.ir.")}


def test_every_op_has_a_rule_or_is_a_gap() -> None:
    ruled = PLACED | set(arithmetic.RULES)
    assert OPS - ruled - GAPS == set()
    assert not (GAPS & ruled)


def test_each_op_is_handled_in_one_way() -> None:
    assert PLACED & set(arithmetic.RULES) == set()
    assert PLACED <= OPS


def test_what_has_an_arithmetic_rule_is_computed_inline() -> None:
    assert [kind for kind in arithmetic.RULES if not issubclass(kind, INLINE)] == []
