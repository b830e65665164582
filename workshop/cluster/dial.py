"""A connection to an address in the cluster's network. In mode userns that network is a namespace that only a process
inside can reach: one is sent in, connects, and hands the open socket out."""

from __future__ import annotations

import socket
import subprocess
import sys

from workshop.cluster.cli.tools import inside
from workshop.cluster.facade import Cluster
from workshop.cluster.layout import ClusterError

PATIENCE = 10.0
_HAND_OUT = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3])) as found:
    with socket.socket(fileno=int(sys.argv[4])) as door:
        socket.send_fds(door, [b"."], [found.fileno()])
"""


def dial(cluster: Cluster, host: str, port: int) -> socket.socket:
    """An open connection, blocking. Raises OSError."""
    try:
        words = inside(cluster, None) if cluster.plan().mode == "userns" else []
    except ClusterError as error:
        raise OSError(str(error)) from error
    if not words:
        return socket.create_connection((host, port), PATIENCE)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        argv = [*words, sys.executable, "-I", "-S", "-c", _HAND_OUT, host, str(port), str(PATIENCE)]
        done = subprocess.run(
            [*argv, str(theirs.fileno())], pass_fds=[theirs.fileno()], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise OSError(done.stderr.strip().rpartition("\n")[2] or f"nobody could go inside: {done.returncode}")
        found = socket.socket(fileno=socket.recv_fds(ours, 1, 1)[1][0])
    found.settimeout(None)
    return found
