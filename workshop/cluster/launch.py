"""What `up` does outside its own process: finds Docker, starts the supervisor, leaves the nodes network settings."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys

from workshop.cluster.layout import ClusterError, Layout, explain, write_private
from workshop.cluster.plan import Plan

_children: set[int] = set()
"""Supervisors that this process started; a notebook's kernel must take their exit statuses some day."""


def reap() -> None:
    """Take the exit statuses of those that have ended."""
    for pid in list(_children):
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                continue
        _children.discard(pid)


def docker_engine(old: Plan | None) -> str:
    """Where the Docker Engine is. Raises ClusterError in its words when it does not answer."""
    from workshop.kubelet.runtimes import docker_engine as engine

    url = (old.docker if old is not None else "") or engine.endpoint_of("docker:")
    usable, what = engine.usable(url)
    if not usable:
        raise ClusterError(f"{what} (`workshop doctor` says more; `--runtime process` needs no Docker)")
    return url


def write_cni(plan: Plan, layout: Layout) -> None:
    """What each node's kubelet reads about pod networks. Raises ClusterError, OSError."""
    from workshop.cluster.network import cni

    for node in plan.nodes:
        folder = layout.node(node.name) / "cni"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.chmod(folder.parent, 0o700)
        # a kubelet may read no Node but its own; for the routes to the others it gets kube-proxy's identity
        found = {**cni.configuration(plan), "kubeconfig": str(layout.kubeconfig("proxy"))}
        write_private(folder / cni.FILE, json.dumps(found, indent=1).encode())


def lives(pid: int) -> bool:
    """Whether a supervisor that this process started goes on; 0 stands for one of somebody else's."""
    reap()
    return not pid or pid in _children


def supervisor(layout: Layout, guard: socket.socket | None) -> int:
    """Start one in a session of its own; its pid. `guard`: the lock on its block of addresses. Raises ClusterError."""
    from workshop.cluster import zygote

    inherited = [guard.fileno()] if guard is not None else []
    argv = [sys.executable, "-m", "workshop.cluster.supervisor", str(layout.root), *map(str, inherited)]
    environment = {**zygote.environment(), "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for handle in inherited:
        os.set_inheritable(handle, True)
    try:
        pid = os.posix_spawn(
            sys.executable,
            argv,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(layout.log("supervisor")), append, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
    except OSError as error:
        raise ClusterError(explain(error, layout.root)) from error
    _children.add(pid)
    return pid
