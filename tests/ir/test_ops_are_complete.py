"""Every op is complete: a meaning, a verifier rule, a printed form, a sentence."""

import pytest

from canopy import ir
from canopy.ir import interpreter, verifier
from canopy.ir.core import Op
from canopy.ir.elementwise import Add
from canopy.ir.syntax import all_ops, fields_of

OPS = {name: kind for name, kind in all_ops().items() if kind.__module__.startswith("canopy.")}


def test_the_package_exports_every_op() -> None:
    assert {kind.__name__ for kind in OPS.values()} <= set(ir.__all__)
    assert len(OPS) > 50


@pytest.mark.parametrize("kind", OPS.values(), ids=OPS)
def test_op_is_complete(kind: type[Op]) -> None:
    assert kind in interpreter.RULES
    assert kind in verifier.RULES
    assert kind.__doc__
    assert not kind.__doc__.startswith(f"{kind.__name__}(")
    fields_of(kind)


def test_a_second_rule_is_an_error() -> None:
    with pytest.raises(TypeError, match="Add has an interpreter rule already"):
        interpreter.rule(Add)(lambda machine, op: None)
    with pytest.raises(TypeError, match="Add has a verifier rule already"):
        verifier.rule(Add)(lambda op: None)
