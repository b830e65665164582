"""The observer that stays: what the operating system shows of a cluster, told as it changes.

    the end of a process      pidfd: the kernel tells at once
    a new container           inotify on the nodes' directories, where shims write which pid to look for
    a component's start       the supervisor's stream of events
    paused, and the sockets   only `/proc` shows them: looked at every LOOK_SECONDS, and only while somebody looks

Nothing is asked of a component, and no component knows of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Iterable
from typing import Any

from workshop.client.watch import Lines
from workshop.clock import SYSTEM
from workshop.cluster import machine_api, observer, procfs, sockets
from workshop.cluster.inotify import Tree
from workshop.cluster.layout import Layout
from workshop.cluster.plan import Plan

LOOK_SECONDS = 0.25
SOCKETS_EVERY = 2
"""The sockets are looked at every so many looks."""
RETRY_SECONDS = 0.5
TREE = ("*", "run", "*", "c", "*")
"""Below `nodes/`: NODE/run/SANDBOX/c/CONTAINER, where a shim says which process it started."""


class Watcher:
    """`changed()` is called, in the loop, after `processes`, `containers` (a row each) or `traffic` changed."""

    def __init__(self, layout: Layout, plan: Callable[[], Plan | None], changed: Callable[[], None]) -> None:
        self.layout, self._plan, self._changed = layout, plan, changed
        self.processes: list[dict[str, Any]] = []
        self.containers: list[dict[str, Any]] = []
        self.traffic: dict[sockets.Address, tuple[int, int]] = {}
        self.looking = False
        """Whether somebody looks: else `/proc` is left alone."""
        self._supervised: dict[str, dict[str, Any]] = {}
        self._ends: dict[tuple[int, int], int] = {}
        self._wake = asyncio.Event()
        self._tree: Tree | None = None
        self._inode = 0
        self._unread = True

    def observed(self) -> dict[str, int]:
        """How many containers live, by the pod's uid."""
        found: dict[str, int] = {}
        for container in self.containers:
            if container["pod"]:
                found[container["pod"]] = found.get(container["pod"], 0) + 1
        return found

    def look_soon(self) -> None:
        """Somebody came, or something is known to have changed."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        supervisor = asyncio.ensure_future(self._follow_supervisor())
        looks = 0
        try:
            while True:
                self._wake.clear()
                self._watch_tree()
                self.look(sockets_too=self.looking and looks % SOCKETS_EVERY == 0)
                looks += 1
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), LOOK_SECONDS if self.looking else None)
        finally:
            supervisor.cancel()
            await asyncio.gather(supervisor, return_exceptions=True)
            self._close()

    def look(self, *, sockets_too: bool = False, ended: bool = False) -> None:
        """Read `/proc` once. `ended`: a process is known to have."""
        plan = self._plan()
        if plan is None:
            processes: list[dict[str, Any]] = []
            containers: list[dict[str, Any]] = []
        else:
            containers = self._containers(plan)
            processes = observer.states(plan, list(self._supervised.values()) or None)
        living = {(row["pid"], row["start"]) for row in containers}
        survivors = [row for row in self.containers if (row["pid"], row["start"]) in living]
        if survivors != self.containers and len(containers) > len(survivors):
            # an end and the start that answers it, seen in one look: they are told one after the other
            self.containers = survivors
            self._changed()
        changed = ended or (processes, containers) != (self.processes, self.containers)
        self.processes, self.containers = processes, containers
        if plan is not None and sockets_too:
            traffic = self._sockets(plan)
            changed |= traffic != self.traffic
            self.traffic = traffic
        self._watch_ends((row["pid"], row["start"]) for row in (*processes, *containers) if row["pid"])
        if changed:
            self._changed()

    def _containers(self, plan: Plan) -> list[dict[str, Any]]:
        """Files are read again only when inotify tells of a change; the kernel tells who has ended."""
        if self._unread or self._tree is None or self._tree.descriptor < 0:
            self._unread = False
            return observer.containers(plan, self.layout)
        return self.containers

    def _sockets(self, plan: Plan) -> dict[sockets.Address, tuple[int, int]]:
        """Connections to this cluster's Services and pods, from each network namespace that a kube-proxy lives in."""
        tables: dict[str, int] = {}
        for row in self.processes:
            if row["pid"] and row["program"] in ("kube-proxy", "kube-apiserver"):
                tables.setdefault(procfs.link(row["pid"], "ns/net"), row["pid"])
        prefix = plan.addresses.prefix + "."
        rows = [row for pid in tables.values() for row in sockets.parse(sockets.of_process(pid))]
        # counted together: a connection from one namespace into another stands in both tables
        found = sockets.counts(rows)
        return {(ip, port): n for (ip, port), n in found.items() if ip.startswith(prefix) and ".254." not in ip}

    # -- ends of processes --

    def _watch_ends(self, living: Iterable[tuple[int, int]]) -> None:
        loop, now = asyncio.get_running_loop(), set(living)
        for gone in [key for key in self._ends if key not in now]:
            handle = self._ends.pop(gone)
            loop.remove_reader(handle)
            os.close(handle)
        for key in now - self._ends.keys():
            with contextlib.suppress(OSError):  # it has ended meanwhile, or there is no pidfd: the next look sees it
                handle = os.pidfd_open(key[0])
                self._ends[key] = handle
                loop.add_reader(handle, self._ended, key)

    def _ended(self, key: tuple[int, int]) -> None:
        handle = self._ends.pop(key, None)
        if handle is not None:
            asyncio.get_running_loop().remove_reader(handle)
            os.close(handle)
        self.containers = [row for row in self.containers if (row["pid"], row["start"]) != key]
        self.look(ended=True)  # now, not at the next turn: who ended is shown before anybody has reacted

    # -- new containers --

    def _watch_tree(self) -> None:
        """Follow `nodes/NODE/run/SANDBOX/c/CONTAINER`; again from the start when the directory was made anew."""
        nodes = self.layout.root / "nodes"
        if self._tree is not None and (not nodes.is_dir() or os.stat(nodes).st_ino != self._inode):
            self._close_tree()
        if self._tree is None and nodes.is_dir():
            self._inode = os.stat(nodes).st_ino
            self._tree = Tree(nodes, TREE)
            self._unread = True
            if self._tree.descriptor >= 0:
                asyncio.get_running_loop().add_reader(self._tree.descriptor, self._files)

    def _files(self) -> None:
        if self._tree is not None and self._tree.changed():
            self._unread = True
            self._wake.set()

    def _close_tree(self) -> None:
        if self._tree is not None:
            if self._tree.descriptor >= 0:
                asyncio.get_running_loop().remove_reader(self._tree.descriptor)
            self._tree.close()
            self._tree = None

    def _close(self) -> None:
        self._close_tree()
        self._watch_ends(())

    # -- the supervisor --

    async def _follow_supervisor(self) -> None:
        """What it tells of its processes. While there is none, they are found in `/proc` by their titles."""
        while True:
            with contextlib.suppress(OSError):
                await self._supervisor_once()
            if self._supervised:
                self._supervised = {}
                self._wake.set()
            await SYSTEM.sleep(RETRY_SECONDS)

    async def _supervisor_once(self) -> None:
        sock = machine_api.open_stream(self.layout.socket)
        try:
            reader, writer = await asyncio.open_unix_connection(sock=sock)
        except OSError:
            sock.close()
            raise
        try:
            await reader.readuntil(b"\r\n\r\n")
            lines = Lines()
            while data := await reader.read(65536):
                for line in lines.feed(data):
                    row = json.loads(line)
                    self._supervised[row["name"]] = row
                self._wake.set()
        except asyncio.IncompleteReadError:
            return
        finally:
            writer.close()
