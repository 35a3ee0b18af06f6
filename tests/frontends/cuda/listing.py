"""The page of the documentation that lists the programs, and what breaking proves of each.

python -m tests.frontends.cuda.listing    writes docs/reference/cuda-programs.md
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.frontends.cuda.features import FEATURES, programs

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "cuda-programs.md"
FOLDER = Path(__file__).parent

_HEAD = """\
# CUDA C++: programs of the test suite

{programs} whole programs, written for Canopy in the styles people use. Each makes its data,
compares with a reference on the host and prints its own PASS. {runtime} more use the functions of
the runtime, each of which is replaced by `return cudaSuccess` and then missed
([Reliability](../reliability.md#cudas-runtime-functions)).

"Broken on purpose": for each of these {features} features what lowers it is broken (a shuffle
gives its own value, a barrier is left out, `min` becomes `max`, an atomic becomes another, a
function of a header gives zero, ...). The program in whose row it stands must then fail; whole,
it passes. `make test` runs all programs and breaks what two of them show; `make test-cuda` breaks
everything. The page is written by `python -m tests.frontends.cuda.listing`; a test compares it
with the table.

Not here, since no valid program was found that shows it: fences and `volatile` (threads of a
block run in an order that keeps their accesses), masks of members beside the active lanes, `free`
in kernels.

"""


def page() -> str:
    """The page as the tables say."""
    counts = {
        "programs": len(programs()),
        "runtime": len(list((FOLDER / "runtime").glob("*.cu"))),
        "features": sum(max(len(feature.blamed), 1) for feature in FEATURES),
    }
    return _HEAD.format(**counts) + "\n".join(_table()) + "\n"


def _table() -> Iterator[str]:
    yield "| Program | | Broken on purpose |"
    yield "| --- | --- | --- |"
    for name, path in programs().items():
        place = path.relative_to(FOLDER / "programs")
        shown = ", ".join(_shown(name))
        yield f"| `{place.with_suffix('')}` | {_title(path)} | {shown} |"


def _shown(program: str) -> Iterator[str]:
    for feature in FEATURES:
        if feature.program == program:
            yield from (
                f"`{name}`" for name in feature.blamed or (feature.name.replace("|", "or"),)
            )


def _title(path: Path) -> str:
    lines = path.read_text().splitlines()
    titles = (line[3:] for line in lines if line.startswith("// ") and "prints: " not in line)
    return next(titles, "").replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(page())
