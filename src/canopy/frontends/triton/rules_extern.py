"""Reader rule: calls of libdevice, by symbol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from canopy.errors import UnsupportedError
from canopy.frontends.libdevice import rule_of_symbol
from canopy.frontends.triton.rules import reads
from canopy.frontends.triton.types import parse_type
from canopy.ir import Value

if TYPE_CHECKING:
    from canopy.frontends.triton.reader import Reader
    from canopy.frontends.triton.text import Operation

__all__: list[str] = []


@reads("tt.extern_elementwise")
def _extern(reader: Reader, op: Operation) -> Value:
    symbol = op.attributes["symbol"].strip('"')
    rule = rule_of_symbol(symbol)
    if rule is None:
        raise UnsupportedError(
            f"the external device function {symbol} is not supported",
            hint="libdevice functions with a counterpart in tl.math or C's math.h are",
        )
    return rule(reader, reader.values(op), parse_type(op.result_type))
