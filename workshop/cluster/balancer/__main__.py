"""`load-balancer --listen=HOST:PORT --backends=HOST:PORT,…`"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from workshop.cluster.balancer.run import serve
from workshop.component import FlagParser, many_files, run_until_signal, setup_logging


def main(argv: Sequence[str] | None = None) -> int:
    flags = FlagParser("load-balancer", "TCP connections to one of several servers.")
    flags.add_argument("--listen", required=True, help="address and port")
    flags.strings("--backends", "addresses and ports of the servers")
    options = flags.parse_args(sys.argv[1:] if argv is None else argv)
    setup_logging()
    many_files()
    return run_until_signal(lambda stop: serve(options.listen, options.backends, stop))


if __name__ == "__main__":
    raise SystemExit(main())
