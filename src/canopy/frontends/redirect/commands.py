"""The commands ``run`` and ``check`` as plain functions; the command line wires them."""

from __future__ import annotations

import atexit
import os
import sys
import time
from collections.abc import Sequence

from canopy.errors import CanopyError
from canopy.frontends.redirect import check as checking
from canopy.frontends.redirect import report as reporting
from canopy.frontends.redirect import runner

__all__ = ["check", "run"]


def run(
    program: str,
    argv: Sequence[str] = (),
    *,
    module: bool = False,
    target: str = "cpu",
    quiet: bool = False,
    report: str | None = None,
) -> int:
    """``canopy run``: returns the exit code that the process should end with.

    The redirect stays until the process ends; the report comes after the program's exit handlers.
    """
    started_s, owner = time.perf_counter(), os.getpid()
    outcome = {"code": 1}

    def finish() -> None:
        if os.getpid() != owner:
            return  # a forked child
        facts = reporting.collect(program, target, time.perf_counter() - started_s, outcome["code"])
        if not quiet:
            reporting.show(facts)
        if report is not None:
            try:
                reporting.write_json(facts, report)
            except CanopyError as error:
                print(f"canopy: {error}", file=sys.stderr)

    atexit.register(finish)
    try:
        outcome["code"] = runner.run_script(program, argv, module=module, target=target, keep=True)
    except CanopyError as error:
        atexit.unregister(finish)
        print(f"canopy: {error}", file=sys.stderr)
        outcome["code"] = 2
    return outcome["code"]


def check(script: str) -> int:
    """``canopy check``: prints what will not run; 0 if nothing stands in the way, else 1."""
    try:
        result = checking.check_file(script)
    except CanopyError as error:
        print(f"canopy: {error}", file=sys.stderr)
        return 2
    print(*checking.render(result), sep="\n")
    return 0 if result.runs else 1
