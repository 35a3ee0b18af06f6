"""What a front-end offers to those that build ops for it."""

from __future__ import annotations

from typing import Any, Protocol

from canopy.ir import Value
from canopy.ir.types import ElementType, Type

__all__ = ["Emitter"]


class Emitter(Protocol):
    """Appends ops to the program under construction."""

    def add(self, kind: type[Any], /, **fields: Any) -> Value:
        """Appends one op and returns its value."""
        ...

    def constant(self, number: float | bool, type_: Type, /) -> Value:
        """A number in every lane of ``type_``."""
        ...

    def bitcast(self, value: Value, element: ElementType, /) -> Value:
        """The same bits under another element type."""
        ...

    def as_unsigned(self, value: Value, /) -> Value:
        """The same bits as an unsigned integer; bools stay."""
        ...

    def as_signed(self, value: Value, /) -> Value:
        """The same bits as a signed integer; bools stay."""
        ...
