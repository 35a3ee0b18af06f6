"""libdevice, the mathematics of CUDA's device code, in tile IR: shared by Triton and CUDA C++."""

from canopy.frontends.libdevice.emitter import Emitter
from canopy.frontends.libdevice.functions import rule_of_symbol

__all__ = ["Emitter", "rule_of_symbol"]
