"""Loads the native runtime, the C part of this package, as ``native``.

Importing this module raises MissingDependencyError where the library is absent or does not load.
"""

from __future__ import annotations

from canopy.errors import MissingDependencyError
from canopy.runtime.build import LIBRARY_NAME, NATIVE_FOLDER

__all__ = ["native"]


def _explain(error: ImportError) -> MissingDependencyError:
    library = NATIVE_FOLDER / LIBRARY_NAME
    if library.exists():
        return MissingDependencyError(
            f"the native runtime {library} does not load: {error}",
            hint="it was built for another machine or Python: reinstall canopy-nn",
        )
    return MissingDependencyError(
        f"the native runtime is not built ({library} is missing)",
        hint="in a source tree run `make setup`; otherwise reinstall canopy-nn",
    )


try:
    from canopy.runtime.native import _native as native
except ImportError as error:
    raise _explain(error) from error
