"""Ports for servers that have to be told theirs before they start.

Asking the kernel for a free one and giving it back is a race: until the server listens, any outgoing connection of the
machine may get that very number. So these lie below the kernel's own range, and each process takes others.
"""

from __future__ import annotations

import os
import socket
from itertools import count

FIRST, LAST = 15_000, 29_000
_turn = count(os.getpid() * 997)


def free_port(host: str = "127.0.0.1", kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A number that nobody listens on, and that this process has not given out before."""
    for turn in _turn:
        port = FIRST + turn % (LAST - FIRST)
        with socket.socket(socket.AF_INET, kind) as probe:
            # a server that was just killed leaves connections that are about to be forgotten, and hinder nobody
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError("count has no end")
