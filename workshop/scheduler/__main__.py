"""`kube-scheduler --kubeconfig=… --leader-elect …`"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from workshop import component
from workshop.client.kubeconfig import KubeconfigError
from workshop.client.leaderelection import LeadershipLost
from workshop.scheduler import options as flags
from workshop.scheduler.run import run


def main(argv: Sequence[str]) -> int:
    """The process's exit status: 0 after SIGTERM, 1 after an error, one line of which is on stderr."""
    try:
        options = flags.parse(argv)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    component.setup_logging(options.verbosity)

    failures: list[str] = []

    async def body(stop: asyncio.Event) -> None:
        try:
            await run(options, stop)
        except (KubeconfigError, LeadershipLost, OSError) as error:
            failures.append(str(error))

    status = component.run_until_signal(body)
    for failure in failures:
        sys.stderr.write(f"Error: {failure}\n")
    return 1 if failures else status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
