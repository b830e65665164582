"""The `workshop` command line."""

from __future__ import annotations

import sys


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit status."""
    sys.stderr.write("workshop: the command line is under construction\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
