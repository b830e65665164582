"""`kube-apiserver`: the command line."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Sequence

from workshop.component import many_files, run_until_signal, setup_logging

from . import options
from .handlers.health import VERSION
from .run import run


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM; the exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    if "--version" in given or "--version=true" in given:
        sys.stdout.write(f"Kubernetes {VERSION}\n")
        return 0
    parsed = options.parse(given)
    setup_logging(parsed.flags.v)
    many_files()
    try:
        return run_until_signal(lambda stop: run(parsed, stop))
    except (OSError, ssl.SSLError, ValueError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
