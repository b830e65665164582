"""One process opened, as the operating system shows it: its command line, and who it is connected to."""

from __future__ import annotations

import psutil

from workshop.cluster.facade import Cluster


def connections(cluster: Cluster) -> set[tuple[str, str]]:
    """(from, to): components of this cluster that hold a TCP connection to another one now."""
    listening: dict[tuple[str, int], str] = {}
    open_: list[tuple[str, tuple[str, int]]] = []
    for row in cluster.ps():
        try:
            found = psutil.Process(row["pid"]).net_connections("inet") if row["pid"] else []
        except psutil.Error:  # it ended, or belongs to somebody else: nothing to be seen
            continue
        for connection in found:
            if connection.status == psutil.CONN_LISTEN:
                listening[(connection.laddr.ip, connection.laddr.port)] = row["name"]
            elif connection.status == psutil.CONN_ESTABLISHED:
                open_.append((row["name"], (connection.raddr.ip, connection.raddr.port)))
    named = ((name, listening.get(peer) or listening.get(("0.0.0.0", peer[1]))) for name, peer in open_)
    return {(name, other) for name, other in named if other is not None and other != name}


def describe(cluster: Cluster, name: str) -> str:
    """What `ps` and `ss` would say of it."""
    row = next((row for row in cluster.ps() if row["name"] == name), None)
    if row is None or not row["pid"]:
        return f"{name}: no process{' of that name; lab.cluster.ps() lists them' if row is None else ', it is stopped'}"
    command = " ".join(psutil.Process(row["pid"]).cmdline())
    pairs = connections(cluster)
    to = ", ".join(sorted(b for a, b in pairs if a == name)) or "nobody"
    by = ", ".join(sorted(a for a, b in pairs if b == name)) or "nobody"
    first = f"{name}: pid {row['pid']}, {row['state']}\n  command line: {command}"
    return f"{first}\n  connects to:  {to}\n  called by:    {by}"
