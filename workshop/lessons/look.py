"""One process opened: what the operating system shows of it, and what the API server's audit log says that it did."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psutil

from workshop.cluster import procfs
from workshop.cluster.facade import Cluster

from . import audit

WIDTH = 104


def connections(cluster: Cluster) -> set[tuple[str, str]]:
    """(from, to): components of this cluster that hold a TCP connection to another one now."""
    listening: dict[tuple[str, int], str] = {}
    open_: list[tuple[str, tuple[str, int]]] = []
    for row in cluster.ps():
        for state, here, there in sockets(row["pid"]) if row["pid"] else ():
            if state == LISTEN:
                listening[here] = row["name"]
            elif state == ESTABLISHED:
                open_.append((row["name"], there))
    named = ((name, listening.get(peer)) for name, peer in open_)
    return {(name, other) for name, other in named if other is not None and other != name}


ESTABLISHED, LISTEN = "01", "0A"
Socket = tuple[str, tuple[str, int], tuple[str, int]]


def sockets(pid: int) -> Iterator[Socket]:
    """(state, here, there) of the TCP sockets that a process holds, as its own network namespace shows them."""
    try:
        links = [os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")]
        net = Path(f"/proc/{pid}/net")
        lines = [line for name in ("tcp", "tcp6") for line in (net / name).read_text("ascii").splitlines()[1:]]
    except OSError:  # it ended, or belongs to somebody else: nothing to be seen
        return
    mine = {link[8:-1] for link in links if link.startswith("socket:[")}
    for line in lines:
        field = line.split()
        if field[9] in mine:
            yield field[3], _address(field[1]), _address(field[2])


def _address(text: str) -> tuple[str, int]:
    """`0100007F:1F90` is ("127.0.0.1", 8080): the kernel prints the address in the machine's own byte order.

    A socket of IPv6 that talks IPv4 has the latter in its last four bytes.
    """
    address, _, port = text.partition(":")
    return socket.inet_ntoa(int(address[-8:], 16).to_bytes(4, sys.byteorder)), int(port, 16)


def deeds(cluster: Cluster) -> dict[str, audit.Deeds]:
    """Watches and writes by component, of all that the audit log still holds."""
    return audit.deeds(_lines(cluster.layout.log("audit")))


def _lines(path: Path) -> Iterator[str]:
    older = sorted(path.parent.glob("audit-*.log"))
    for one in [*older, path]:
        with contextlib.suppress(OSError), one.open(encoding="utf-8", errors="replace") as file:
            yield from file


TELLING = {
    "etcd": ("--listen-client-urls", "--client-cert-auth"),
    "kube-apiserver": ("--secure-port", "--etcd-servers", "--authorization-mode"),
    "kube-controller-manager": ("--kubeconfig", "--controllers", "--leader-elect"),
    "kube-scheduler": ("--kubeconfig", "--leader-elect"),
    "kubelet": ("--kubeconfig", "--node-ip", "--container-runtime-endpoint"),
    "kube-proxy": ("--kubeconfig", "--proxy-mode", "--cluster-cidr"),
}
"""Flags that say whom a component knows; `flags=True` shows all."""


def describe(cluster: Cluster, name: str, flags: bool = False) -> str:
    """What `ps`, `ss` and the audit log say of it."""
    row = next((row for row in cluster.ps() if row["name"] == name), None)
    if row is None or not row["pid"]:
        return f"{name}: no process{' of that name; lab.ps() lists them' if row is None else ', it is stopped'}"
    pairs = connections(cluster)
    lines = [
        f"flags: {_flags(cluster, name, flags)}",
        f"calls: {', '.join(sorted(b for a, b in pairs if a == name)) or 'nobody'}",
        f"is called by: {', '.join(sorted(a for a, b in pairs if b == name)) or 'nobody'}",
    ]
    program = str(row["program"])
    if program == "etcd":
        lines.append(f"writes: {_files(row['pid'])}")
    elif program != "kube-apiserver":
        found = deeds(cluster)
        lines += audit.told(found.get("kube-proxy" if program == "kube-proxy" else name, audit.Deeds()))
    head = f"{name}, pid {row['pid']}, {row['state']}, {(row['memory'] or 0) / 1e6:.0f} MB"
    return "\n".join([head, *(_wrapped(line) for line in lines)])


def _flags(cluster: Cluster, name: str, all_: bool) -> str:
    component = cluster.plan().component(name)
    assert component is not None
    given = [word.replace(str(cluster.layout.root), "…") for word in component.argv[1:]]
    if all_:
        return " ".join(given)
    shown = [word for word in given if word.partition("=")[0] in TELLING[component.program]]
    return f"{' '.join(shown)} (and {len(given) - len(shown)} more)"


def _wrapped(line: str) -> str:
    key, _, rest = line.partition(": ")
    return textwrap.fill(rest, WIDTH, initial_indent=f"  {key + ':':15}", subsequent_indent=" " * 17,
                         break_on_hyphens=False)  # fmt: skip


def _files(pid: int) -> str:
    """The files that it holds open to write, with their sizes."""
    with contextlib.suppress(psutil.Error):
        writing = {f.path for f in psutil.Process(pid).open_files() if f.mode != "r" and "/member/" in f.path}
        named = sorted((path, os.path.getsize(path)) for path in writing if os.path.exists(path))
        told = [f"…/member{path.rpartition('/member')[2]} ({size // 1024:,} kB)" for path, size in named if size]
        return ", ".join(told) or "no file just now"
    return "what it writes cannot be seen from here"


def processes(cluster: Cluster) -> str:
    """What `ps` prints of this cluster's components: the real thing, cut to the width of a cell."""
    components = {component.name for component in cluster.plan().components}
    pids = [row["pid"] for row in cluster.ps() if row["pid"] and row["name"] in components]
    if not pids:
        return "no component runs: lab.up() starts them"
    if shutil.which("ps") is None:  # a slim container has none: the same from where it reads
        lines = ["    PID COMMAND", *(f"{pid:>7} {procfs.command_line(pid)}" for pid in pids)]
    else:
        argv = ["ps", "-o", "pid,rss,etime,args", "-p", ",".join(map(str, pids))]
        lines = subprocess.run(argv, capture_output=True, text=True, check=False).stdout.splitlines()
    return "\n".join(line[:WIDTH] for line in lines)
