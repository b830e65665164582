"""`kube-controller-manager`: the real one's flags."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from workshop import component

from . import manager, options


def main(argv: Sequence[str] | None = None) -> int:
    """Run until a signal; returns the exit status: 0 after a clean end, 1 for bad flags or a lost lease."""
    settings = options.parse(sys.argv[1:] if argv is None else argv)
    component.setup_logging(settings.verbosity)
    try:
        manager.chosen(settings.controllers)
    except manager.UnknownController as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    if not settings.kubeconfig:
        sys.stderr.write("Error: --kubeconfig is required\n")
        return 1
    from . import run

    return component.run_until_signal(lambda stop: run.run(settings, stop))


if __name__ == "__main__":
    sys.exit(main())
