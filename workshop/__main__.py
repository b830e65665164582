"""The `workshop` command line. What it can do stands in `workshop/cluster/cli/`."""

from __future__ import annotations

from workshop.cluster.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
