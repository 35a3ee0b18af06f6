"""`canopy migrate`: what it takes to leave CUDA, file by file, and the portable version of it.

walker -> readers (python_reader, text_reader, cuda_reader) -> findings -> reports, or edits

Reading imports and executes nothing of the project, and stays inside the given path.
"""

from __future__ import annotations

__all__: list[str] = []
