"""`python -m workshop.cluster.network.trial MODE IP`: can this mode's network be made here? Leaves nothing behind.

Reads `ip -batch` lines from stdin, applies them in namespaces of its own. Exit status 0, or 1 and one line.
"""

from __future__ import annotations

import subprocess
import sys

from workshop.cluster.network import linux


def main(argv: list[str]) -> int:
    mode, ip = argv
    try:
        if mode == "userns":
            linux.enter_new_user_namespace()
        else:
            linux.unshare(linux.CLONE_NEWNET | linux.CLONE_NEWNS)
    except OSError as error:
        sys.stderr.write(f"the system refuses {error.filename or 'a namespace'}: {error.strerror}\n")
        return 1
    result = subprocess.run([ip, "-batch", "-"], stdin=sys.stdin, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.stderr.write((result.stderr.strip().splitlines() or ["ip failed"])[0] + "\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
