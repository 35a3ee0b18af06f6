"""`python -m canopy` is the `canopy` command.

Building and starting CUDA programs skips the command-line library, whose import takes half of the
time of a cached run (0.05 of 0.1 s).
"""

import sys

from canopy.errors import CanopyError

EXIT_USAGE = 2


def main() -> None:
    """The console script's entry point."""
    words = sys.argv[1:]
    try:
        if words[:1] == ["nvcc"]:
            from canopy.frontends.cuda.nvcc import main as nvcc

            sys.exit(nvcc(words[1:]))
        if words[:1] == ["run"] and len(words) > 1 and words[1].endswith(".cu"):
            from canopy.frontends.cuda.programs import run_program

            sys.exit(run_program(words[1:]))
    except CanopyError as error:
        print(f"canopy: {error}", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    from canopy.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
