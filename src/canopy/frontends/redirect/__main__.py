"""``python -m canopy.frontends.redirect [-m] program args``: what ``canopy run`` does, without the
command line's package."""

from __future__ import annotations

import sys

from canopy.frontends.redirect.commands import run

USAGE = (
    "usage: python -m canopy.frontends.redirect "
    "[--quiet] [--report FILE] [-u] [-m] program [args ...]"
)


def main(arguments: list[str]) -> int:
    """Options first, then the program, then what belongs to the program."""
    options: dict[str, str | bool] = {}
    while arguments and arguments[0] in ("--quiet", "--report", "-u"):
        option = arguments.pop(0)
        if option == "--quiet":
            options["quiet"] = True
        elif option == "--report" and arguments:
            options["report"] = arguments.pop(0)
    module = bool(arguments) and arguments[0] == "-m"
    if module:
        arguments.pop(0)
    if not arguments:
        print(USAGE, file=sys.stderr)
        return 2
    report = options.get("report")
    return run(
        arguments[0],
        arguments[1:],
        module=module,
        quiet=bool(options.get("quiet")),
        report=report if isinstance(report, str) else None,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
