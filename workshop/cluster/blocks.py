"""The address range of a cluster: k of `P.k.0.0/16`, so that two clusters and two users never share one.

A block is locked by an abstract Unix socket `@workshop-block-K`: such a name belongs to the machine's network, not
to a user or a directory, the kernel frees it with its last holder, and nothing is left on disk. The socket is handed
on to the cluster's holder process. Then a trial: the control plane's ports must be free, which also finds strangers.
"""

from __future__ import annotations

import errno
import socket
import zlib
from collections.abc import Iterator

from workshop.cluster.layout import ClusterError

TRIAL_PORTS = (2379, 2380, 6443, 10257, 10259)
FIRST, LAST = 1, 250


def candidates(user: int, name: str) -> Iterator[int]:
    """Every block once, from a place that depends on who asks: a cluster mostly gets the same block again.

    >>> next(candidates(0, "workshop")) == next(candidates(0, "workshop"))
    True
    """
    count = LAST - FIRST + 1
    start = zlib.crc32(f"{user}/{name}".encode()) % count
    for step in range(count):
        yield FIRST + (start + step) % count


def lock(block: int) -> socket.socket | None:
    """The lock on `block`, held while the socket is open anywhere; None when somebody has it."""
    guard = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        guard.bind(f"\0workshop-block-{block}")
    except OSError as error:
        guard.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise
    return guard


def free(block: int, ports: tuple[int, ...] = TRIAL_PORTS) -> bool:
    """True when the control plane's ports on the block's loopback address can be bound."""
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((f"127.{block}.254.1", port))
                trial.listen(1)
            except OSError:
                return False
    return True


def routed(table: str, block: int) -> bool:
    """Whether a route of `/proc/net/route` leads into 10.`block`.0.0/16 (the default route does not count).

    >>> routed("Iface Destination Gateway Flags RefCnt Use Metric Mask\\neth0 0000070A 0 1 0 0 0 0000FFFF", 7)
    True
    """
    ours, size = (10 << 24) | (block << 16), 0xFFFF0000
    for line in table.splitlines()[1:]:
        columns = line.split()
        destination = int.from_bytes(bytes.fromhex(columns[1]), "little")
        mask = int.from_bytes(bytes.fromhex(columns[7]), "little")
        common = mask & size
        if mask and destination & common == ours & common:
            return True
    return False


def take(user: int, name: str, mode: str) -> tuple[int, socket.socket]:
    """A free block and its lock. Raises ClusterError when all are taken."""
    table = ""
    if mode == "root":
        with open("/proc/net/route", encoding="ascii") as file:
            table = file.read()
    for block in candidates(user, name):
        guard = lock(block)
        if guard is None:
            continue
        if free(block) and not routed(table, block):
            return block, guard
        guard.close()
    raise ClusterError(f"all address blocks from 127.{FIRST} to 127.{LAST} are taken: bring other clusters down first")
