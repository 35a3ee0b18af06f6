"""The Ascend target: tile IR to NPU programs, and a simulator that runs and times them."""

from __future__ import annotations

from canopy.targets.ascend.chip import Chip, load_chip
from canopy.targets.ascend.happens import Hazard
from canopy.targets.ascend.lower import lower_kernel
from canopy.targets.ascend.report import Report
from canopy.targets.ascend.simulator import simulate
from canopy.targets.ascend.timing import TimingSimulator

__all__ = ["Chip", "Hazard", "Report", "TimingSimulator", "load_chip", "lower_kernel", "simulate"]
