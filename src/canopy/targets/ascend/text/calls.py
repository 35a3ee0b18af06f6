"""Vector calls as text: the documented forms with a count, or with a mask, repeats and strides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from canopy.targets.ascend.calls import CALLS
from canopy.targets.ascend.npu import Local, VectorCall

if TYPE_CHECKING:
    from canopy.targets.ascend.text.printer import _Printer

__all__ = ["call_text"]

_SELECT = {
    "Select": "SELMODE::VSEL_TENSOR_TENSOR_MODE",
    "SelectScalar": "SELMODE::VSEL_TENSOR_SCALAR_MODE",
}
_REPEAT_BYTES = 256


def call_text(call: VectorCall, p: _Printer) -> str:
    """One statement, or a guarded one where its extent is known only as it runs."""
    text = _FORMS.get(call.name, _plain)(call, p)
    unknown = [
        value for value in (call.repeats, call.lanes) if value is not None and value.number is None
    ]
    first = f"{p.poly(call.first)} < " if call.first.terms else ""
    if call.repeats is not None and call.lanes.number is not None and call.first.terms:
        return f"if ({first}{p.poly(call.lanes)}) {text}"
    if unknown:
        return f"if ({first or '0 < '}{p.poly(unknown[-1])}) {text}"
    return text


def _operands(call: VectorCall, p: _Printer) -> list[str]:
    kind = (call.sources[-1] if call.sources else call.target).type
    scalars = [p.value(scalar, kind) for scalar in call.scalars]
    if call.name in ("Duplicate", "CreateVecIndex"):
        scalars = [p.value(scalar, call.target.type) for scalar in call.scalars]
    return [p.local(call.target), *(p.local(local) for local in call.sources), *scalars]


def _mask(call: VectorCall, p: _Printer) -> str:
    if not call.first.terms:
        return p.poly(call.lanes)
    p.helper("Lanes")
    return f"Lanes({p.poly(call.first)}, {p.poly(call.lanes)}).bits"


def _repeat_params(call: VectorCall) -> str:
    locals_ = [call.target, *call.sources]
    if call.name in _SELECT:
        locals_ = [call.target, *call.sources[1:]]
        if len(locals_) == 2:
            locals_.append(Local(call.target.buffer, call.target.type))
    if CALLS[call.name].shape == "bits":
        locals_ = [Local(call.target.buffer, call.target.type), *call.sources]
    kind = "UnaryRepeatParams" if len(locals_) == 2 else "BinaryRepeatParams"
    strides = [local.block_stride for local in locals_]
    strides += [local.repeat_stride for local in locals_]
    return f"{kind}({', '.join(map(str, strides))})"


def _plain(call: VectorCall, p: _Printer, mode: str = "") -> str:
    given = [*_operands(call, p), *([mode] if mode else [])]
    if call.repeats is None:
        given.append(p.poly(call.lanes))
    else:
        given += [_mask(call, p), p.poly(call.repeats), _repeat_params(call)]
    name = call.name.removesuffix("Scalar") if call.name in _SELECT else call.name
    return f"{name}({', '.join(given)});"


def _cast(call: VectorCall, p: _Printer) -> str:
    return _plain(call, p, f"RoundMode::{call.mode}")


def _select(call: VectorCall, p: _Printer) -> str:
    return _plain(call, p, _SELECT[call.name])


def _compare(call: VectorCall, p: _Printer) -> str:
    """All lanes of whole repeats are compared."""
    mode = f"CMPMODE::{call.mode}"
    if call.repeats is not None:
        return _plain(call, p, mode)
    per_repeat = _REPEAT_BYTES // call.sources[0].type.bytes
    lanes = call.lanes.number
    if lanes is None:
        count = f"({p.poly(call.lanes)} + {per_repeat - 1}) / {per_repeat} * {per_repeat}"
    else:
        count = str(lanes + -lanes % per_repeat)
    return f"{call.name}({', '.join([*_operands(call, p), mode, count])});"


def _duplicate(call: VectorCall, p: _Printer) -> str:
    if call.repeats is None:
        return _plain(call, p)
    target = call.target
    strides = f"{target.block_stride}, {target.repeat_stride}"
    given = [*_operands(call, p), _mask(call, p), p.poly(call.repeats), strides]
    return f"Duplicate({', '.join(given)});"


def _copy(call: VectorCall, p: _Printer) -> str:
    assert call.repeats is not None
    (source,), target = call.sources, call.target
    strides = (
        f"CopyRepeatParams({target.block_stride}, {source.block_stride}, "
        f"{target.repeat_stride}, {source.repeat_stride})"
    )
    given = [*_operands(call, p), _mask(call, p), p.poly(call.repeats), strides]
    return f"Copy({', '.join(given)});"


def _spread(call: VectorCall, p: _Printer) -> str:
    assert call.repeats is not None
    strides = f"BrcbRepeatParams({call.target.block_stride}, {call.target.repeat_stride})"
    return f"Brcb({', '.join([*_operands(call, p), p.poly(call.repeats), strides])});"


def _gather(call: VectorCall, p: _Printer) -> str:
    return f"Gather({', '.join([*_operands(call, p), '0', p.poly(call.lanes)])});"


def _fold(call: VectorCall, p: _Printer) -> str:
    assert call.repeats is not None
    (source,) = call.sources
    given = [
        *_operands(call, p),
        *(p.poly(call.lanes), p.poly(call.repeats), "1"),
        *(str(source.block_stride), str(source.repeat_stride)),
    ]
    if call.name != "WholeReduceSum":
        given.append("ReduceOrder::ORDER_ONLY_VALUE")
    return f"{call.name}({', '.join(given)});"


_FORMS = {
    "Cast": _cast,
    **dict.fromkeys(("Select", "SelectScalar"), _select),
    **dict.fromkeys(("Compare", "CompareScalar"), _compare),
    "Duplicate": _duplicate,
    "Copy": _copy,
    "Brcb": _spread,
    "Gather": _gather,
    **dict.fromkeys(("WholeReduceSum", "WholeReduceMax", "WholeReduceMin"), _fold),
}
