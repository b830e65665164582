"""Leave nothing behind: finds whatever of a cluster is left on the machine, and ends it.

`down` comes here after the supervisor has stopped its components, and also when no supervisor is left to ask: after
any kind of kill the same search finds shims, containers, mounts and namespaces.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from pathlib import Path

from workshop.cluster import procfs
from workshop.cluster.layout import ClusterError, Layout, explain
from workshop.cluster.plan import Plan


def belongs(pid: int, directory: str, titles: frozenset[str], namespaces: frozenset[int]) -> bool:
    """Whether process `pid` is the cluster's: by its title, by the mark that all inherit from the supervisor, by
    working below a node's directory, by a root that is layered there, or by living in one of the cluster's namespaces.

    A shell with KUBECONFIG set, an editor on `cluster.json`, a `tail` on a log are the user's own.
    """
    command = procfs.command_line(pid)
    if command in titles or f"{directory}/nodes/" in command:
        return True
    if f"WORKSHOP_STATE={directory}".encode() in procfs.environment(pid).split(b"\0"):
        return True
    if any(procfs.link(pid, kind).startswith(f"{directory}/nodes/") for kind in ("cwd", "root", "exe")):
        return True
    if f"upperdir={directory}/nodes/" in procfs.root_layer(pid):
        return True
    return bool(namespaces) and any(_namespace(pid, kind) in namespaces for kind in ("net", "user"))


def _titles(layout: Layout, plan: Plan | None) -> frozenset[str]:
    components = [component.title for component in plan.components] if plan else []
    return frozenset([*components, f"workshop-supervisor {layout.root}", f"workshop-zygote {layout.root}"])


def _namespace(pid: int, kind: str) -> int:
    """The inode in a link such as `net:[4026531840]`."""
    return int(procfs.link(pid, f"ns/{kind}").rpartition("[")[2].rstrip("]") or 0)


def _namespaces(layout: Layout, plan: Plan | None) -> frozenset[int]:
    """Inodes of the cluster's own namespaces: the nodes' networks in mode root, the user namespace in mode userns."""
    if plan is not None and plan.mode == "userns":
        with contextlib.suppress(OSError, ValueError):
            return frozenset({int(layout.user_namespace.read_text(encoding="ascii"))})
    if plan is None or plan.mode != "root":
        return frozenset()
    found = []
    with contextlib.suppress(OSError):
        found = [
            entry.stat().st_ino for entry in Path("/run/netns").iterdir() if entry.name.startswith(f"{plan.bridge}-")
        ]
    return frozenset(found)


def ancestors() -> set[int]:
    """This process and those that started it: never ours to end, whatever their environment says."""
    chain, pid = set(), os.getpid()
    while pid > 1 and pid not in chain:
        chain.add(pid)
        found = procfs.stat(pid)
        pid = found.parent if found else 0
    return chain


def survivors(layout: Layout, plan: Plan | None) -> list[int]:
    """Pids of processes of the cluster that still live."""
    namespaces, titles, spare, directory = (
        _namespaces(layout, plan),
        _titles(layout, plan),
        ancestors(),
        str(layout.root),
    )
    user = os.geteuid()
    found = []
    for pid in procfs.pids():
        if pid in spare or (user and procfs.owner(pid) != user) or not belongs(pid, directory, titles, namespaces):
            continue
        state = procfs.stat(pid)
        if state is not None and state.state not in "ZX":
            found.append(pid)
    return found


def kill(layout: Layout, plan: Plan | None) -> list[int]:
    """End every process of the cluster; returns those that would not end (in uninterruptible sleep, or not ours)."""
    left: list[int] = []
    for _ in range(20):
        left = survivors(layout, plan)
        if not left:
            return []
        handles = []
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                handles.append(os.pidfd_open(pid))
                os.kill(pid, signal.SIGKILL)
        for handle in handles:
            select.select([handle], [], [], 1.0)
            os.close(handle)
    return left


def unmount(layout: Layout) -> None:
    """Undo mounts below the state directory, the deepest first."""
    inside = f"{layout.root}/"
    points = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        point = line.split()[4].encode().decode("unicode_escape")
        if point.startswith(inside):
            points.append(point)
    for point in sorted(points, key=len, reverse=True):
        subprocess.run(["umount", "--lazy", point], capture_output=True, check=False)


def clean(layout: Layout, plan: Plan | None) -> list[int]:
    """Everything but the state directory: processes, containers, mounts, network, sockets.

    Returns pids that would not end. Raises ClusterError when a Docker Engine that holds pods does not answer.
    """
    left = kill(layout, plan)
    if plan is not None and plan.docker:
        from workshop.kubelet.cri import CriError
        from workshop.kubelet.runtimes import docker_engine

        try:
            docker_engine.clean(plan.docker, str(layout.root))
        except CriError as problem:
            raise ClusterError(
                f"the pods' containers are still there: {problem} (`workshop down` again, once it answers)"
            ) from None
    unmount(layout)
    for node in plan.nodes if plan is not None else ():
        from workshop.kubelet.runtimes import cgroups, simulated

        cgroups.remove_all(str(layout.node(node.name)))
        simulated.journal_of(layout.node(node.name)).unlink(missing_ok=True)
    if plan is not None and plan.mode == "root":
        from workshop.cluster.network import holder

        holder.remove(plan)
    run = layout.root / "run"
    if run.is_dir():
        for entry in run.iterdir():
            if entry.is_dir():  # in `trace/` are the sockets of those who listen: it goes when there are none
                with contextlib.suppress(OSError):
                    entry.rmdir()
            elif entry.name != "up.lock":
                entry.unlink(missing_ok=True)
    return left


def purge(layout: Layout) -> None:
    """Remove the state directory. Raises ClusterError."""
    from workshop.kubelet.runtimes import files

    try:
        files.remove(str(layout.root))
    except OSError as error:
        raise ClusterError(explain(error, layout.root)) from error
