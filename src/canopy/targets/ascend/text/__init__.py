"""NPU programs as Ascend C: source text for the user's own CANN, and for a CPU header to check."""

from __future__ import annotations

from canopy.targets.ascend.text.printer import Printed, print_program

__all__ = ["Printed", "print_program"]
