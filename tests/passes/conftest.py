"""Lets the tests of this folder import the program generator of tests/ir."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "ir"))
