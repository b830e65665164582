"""Connections as the kernel lists them (`/proc/net/tcp`), counted by the address that they lead to.

    counts(rows)[("127.7.128.9", 80)]  →  (2, 5)      two open now, five ended within the last minute

A connection that has ended stays in the list for a minute (TIME_WAIT), so even a short `curl` is seen by one who looks
now and then. Where both ends are on this machine a connection is listed twice, and counted once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

ESTABLISHED, TIME_WAIT = 1, 6
LIVE = (1, 2, 4, 5, 8)
"""ESTABLISHED, SYN_SENT, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT"""

Address = tuple[str, int]
Connection = tuple[Address, Address, int]
"""(this end, the other end, state)"""


def parse(text: str) -> Iterator[Connection]:
    """The rows of `/proc/net/tcp` (IPv4).

    >>> line = "   0: 0100007F:C350 0900077F:0050 01 00000000:00000000 00:00000000 00000000 0 0 1 1"
    >>> list(parse("head\\n" + line))
    [(('127.0.0.1', 50000), ('127.7.0.9', 80), 1)]
    """
    for line in text.splitlines()[1:]:
        field = line.split()
        if len(field) > 3:
            yield _address(field[1]), _address(field[2]), int(field[3], 16)


def _address(text: str) -> Address:
    """`0900077F:0050` is 127.7.0.9:80: hexadecimal, in the order of a little-endian machine's bytes."""
    ip, _, port = text.partition(":")
    return ".".join(str(int(ip[i : i + 2], 16)) for i in (6, 4, 2, 0)), int(port, 16)


def counts(connections: Iterable[Connection]) -> dict[Address, tuple[int, int]]:
    """(open now, ended lately) by where they lead: the end that is listened on, where that can be seen."""
    rows = list(connections)
    listening = {here for here, there, _ in rows if there[1] == 0}
    live: set[tuple[Address, Address]] = set()
    ended: set[tuple[Address, Address]] = set()
    for here, there, state in rows:
        if there[1] == 0:
            continue
        accepted = here in listening or ("0.0.0.0", here[1]) in listening
        pair = (there, here) if accepted else (here, there)  # (client, server), whichever end is listed
        if state in LIVE:
            live.add(pair)
        elif state == TIME_WAIT:
            ended.add(pair)
    found: dict[Address, tuple[int, int]] = {}
    for pairs, place in ((live, 0), (ended - live, 1)):
        for _, server in pairs:
            before = found.get(server, (0, 0))
            found[server] = (before[0] + (place == 0), before[1] + (place == 1))
    return found


def of_process(pid: int) -> str:
    """The table of the network namespace that `pid` lives in; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/net/tcp").read_text(encoding="ascii")
    except OSError:
        return ""
