"""`canopy build`: a kernel as a project for another machine's compiler."""

from __future__ import annotations

from pathlib import Path

from canopy import config
from canopy.errors import CanopyError
from canopy.inspect import kernel_named

__all__ = ["build_command"]


def build_command(
    spec: str, target: str, chip: str, output: Path, signature: str = "", block: str = ""
) -> int:
    """Writes the project of the kernel that ``spec`` (FILE:KERNEL) names into a folder."""
    if target != "ascend":
        raise CanopyError(f"there is no target {target!r} to build for", hint="targets: ascend")
    from canopy.targets.ascend import load_chip, lower_kernel
    from canopy.targets.ascend.text import print_program
    from canopy.targets.ascend.text.project import project_files

    model = load_chip(chip or config.chip())
    program = lower_kernel(kernel_named(spec, signature, block), model)
    printed = print_program(program, model)
    output.mkdir(parents=True, exist_ok=True)
    for name, text in project_files(printed, model, program.uses_cube).items():
        (output / name).write_text(text, encoding="utf-8")
        print(output / name)
    return 0
