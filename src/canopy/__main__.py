"""`python -m canopy` is the `canopy` command."""

from canopy.cli import main

if __name__ == "__main__":
    main()
