"""Triton kernels that nobody here wrote, of packages that happen to be installed.

A case is skipped where its package is missing; `runner` goes on where it stopped.
"""

from tests.triton.packages import fla_cases, flag_gems_cases, other_cases  # for their cases
from tests.triton.packages.agreement import CASES, Case

__all__ = ["CASES", "Case", "fla_cases", "flag_gems_cases", "other_cases"]
