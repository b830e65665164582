"""The supervisor: starts what the plan says, sees each process end, starts it again; adopts what an earlier one left.

`python -m workshop.cluster.supervisor DIRECTORY [GUARD_FD]`. One process a cluster, a child subreaper: components,
shims and containers whose parent ends become its children. It sees an end by pidfd, without polling. When it is
killed itself, components go on; the next `up` starts a new supervisor, which finds them by pid and start time, or by
their title.

What happens next to a process is decided by `lifecycle.decide` (PURE); here it is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from workshop import swap
from workshop.clock import SYSTEM
from workshop.cluster import lifecycle, machine_api, procfs
from workshop.cluster.ends import Ends
from workshop.cluster.layout import ClusterError, Layout, write_private
from workshop.cluster.network import holder_start, linux
from workshop.cluster.plan import Plan
from workshop.cluster.process import Process, Remembered, remembered
from workshop.cluster.zygote_handle import ZygoteHandle
from workshop.component import setup_logging

log = logging.getLogger("supervisor")

STOP_GRACE = 10.0


class Supervisor:
    def __init__(self, plan: Plan, zygote: ZygoteHandle, guard: int | None) -> None:
        self.plan = plan
        self.directory = Path(plan.directory)
        self.layout = Layout(plan.name, self.directory)
        self.guard = guard
        self.processes = {c.name: Process(c) for c in plan.components}
        self.zygote = zygote
        self.holder = 0
        self.handed: dict[str, socket.socket] = {}
        self.ends = Ends()
        self.listeners: set[asyncio.Queue[Any]] = set()
        self.network: asyncio.Future[None] | None = None
        self.end = asyncio.Event()
        self.going_down = False
        self.tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self.ends.reap)
        loop.add_signal_handler(signal.SIGTERM, self.end.set)
        self.ends.watch(self.zygote.pid, self.zygote_ended)
        self.adopt()
        self.network = loop.create_task(self.start_holder())
        server = await machine_api.serve(self.layout.socket, self.handle, self.events)
        await self.end.wait()
        server.close()
        self.layout.socket.unlink(missing_ok=True)
        self.zygote.close()

    # -- the network's holder --

    async def start_holder(self) -> None:
        """Start the holder and wait until the network stands. Raises OSError with its sentence."""
        if not self.holder:
            living = next((p.pid for p in self.processes.values() if p.pid), 0)
            log_file = self.layout.log("holder")
            self.holder = await holder_start.start(self.layout.plan, log_file, join=living, guard=self.guard)
            try:
                inode = os.stat(f"/proc/{self.holder}/ns/user").st_ino
                write_private(self.layout.user_namespace, str(inode).encode())
            except ClusterError as error:
                raise OSError(str(error)) from error
            self.save()
            self.ends.watch(self.holder, self.holder_ended)
        await self.join_zygote()

    async def join_zygote(self) -> None:
        if self.plan.mode == "userns":
            await self.zygote.order({"do": "join", "pid": self.holder})

    def holder_ended(self) -> None:
        self.holder = 0
        if not self.going_down:
            self.spawn_task(self.start_holder())

    def zygote_ended(self) -> None:
        if self.going_down:
            return
        log.warning("the zygote ended; making a new one")
        self.zygote.close()
        lived = SYSTEM.now() - self.zygote.born
        self.zygote.failures = 0 if lived > lifecycle.STEADY else self.zygote.failures + 1
        delay = lifecycle.back_off(self.zygote.failures)
        asyncio.get_running_loop().call_later(delay, self.spawn_zygote)

    def spawn_zygote(self) -> None:
        if self.going_down:
            return
        self.zygote.spawn()
        self.ends.watch(self.zygote.pid, self.zygote_ended)
        if self.holder:
            self.spawn_task(self.join_zygote())

    def spawn_task(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(self.guarded(work))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def guarded(self, work: Any) -> None:
        try:
            await work
        except OSError as error:
            log.error("%s", error)

    # -- components --

    def adopt(self) -> None:
        """Find components that an earlier supervisor started, by pid and start time or by title."""
        known = remembered(self.layout.processes)
        titles = {procfs.command_line(pid): pid for pid in procfs.pids() if procfs.owner(pid) == os.geteuid()}
        for each in self.processes.values():
            old = known.get(each.spec.name, Remembered())
            each.wanted, each.restarts = old.wanted, old.restarts
            pid = old.pid if old.lives() else titles.get(each.spec.title, 0)
            found = procfs.stat(pid) if pid else None
            if found is not None and found.state not in "ZX":
                self.running(each, pid, found.start)
                each.since = procfs.moment(found.start)
                log.info("adopted %s, pid %d", each.spec.name, pid)
        holder = known.get("holder")
        if holder is not None and holder.lives():
            self.holder = holder.pid
            self.ends.watch(self.holder, self.holder_ended)
        self.save()

    def running(self, process: Process, pid: int, start: int) -> None:
        process.state, process.pid, process.start = "running", pid, start
        process.since, process.exit = SYSTEM.now(), None
        process.ended = asyncio.Event()
        self.ends.watch(pid, lambda: self.component_ended(process, pid))

    async def start(self, process: Process) -> None:
        if process.pid:
            return
        process.state = "starting"
        spec = process.spec
        order = {
            "do": "fork",
            "module": spec.module,
            "argv": list(spec.argv),
            "log": str(self.layout.log(spec.name)),
            "namespace": spec.namespace,
            "listen_inside": list(spec.listen),
            "environment": {
                "WORKSHOP_COMPONENT": spec.name,
                **({"WORKSHOP_HOST": spec.node} if spec.node and spec.node.startswith("master-") else {}),
                **({swap.VARIABLE: str(self.layout.swaps(spec.name))} if self.plan.lab else {}),
            },
        }
        try:
            pid = (await self.zygote.order(order, [self.hand(address) for address in spec.listen]))["pid"]
        except OSError as error:
            log.error("starting %s failed: %s", spec.name, error)
            self.component_failed(process)
            return
        found = procfs.stat(pid)
        self.running(process, pid, found.start if found else 0)
        self.changed(process, "started")

    def hand(self, address: str) -> int:
        """A listening socket in the host's network; it stays open here, so callers wait while a component restarts."""
        if address not in self.handed:
            host, port = address.rsplit(":", 1)
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((host, int(port)))
            self.handed[address] = sock
        return self.handed[address].fileno()

    def component_ended(self, process: Process, pid: int) -> None:
        if process.pid != pid:
            return
        lived = SYSTEM.now() - process.since
        process.pid, process.exit = 0, self.ends.statuses.pop(pid, None)
        process.failures = 0 if lived > lifecycle.STEADY else process.failures
        process.ended.set()
        if self.going_down or not process.wanted:
            process.state = "stopped"
            self.changed(process, "stopped")
            return
        log.warning("%s ended with %s", process.spec.name, lifecycle.describe_exit(process.exit))
        process.restarts += 1
        self.component_failed(process)

    def component_failed(self, process: Process) -> None:
        """Try again later."""
        delay = lifecycle.back_off(process.failures)
        process.failures += 1
        process.state = "restarting"
        loop = asyncio.get_running_loop()
        process.retry = loop.call_later(delay, lambda: self.spawn_task(self.start_if_wanted(process)))
        self.changed(process, "ended")

    async def start_if_wanted(self, process: Process) -> None:
        if process.wanted and not process.pid and not self.going_down:
            await self.start(process)

    async def stop(self, process: Process) -> None:
        """SIGTERM, then SIGKILL after a grace period; returns when it has ended."""
        process.wanted = False
        if process.retry is not None:
            process.retry.cancel()
        if not process.pid:
            process.state = "stopped"
            self.changed(process, "stopped")
            return
        ended = process.ended
        self.signal(process, signal.SIGTERM)
        self.signal(process, signal.SIGCONT)
        try:
            await asyncio.wait_for(ended.wait(), STOP_GRACE)
        except TimeoutError:
            log.warning("%s did not end within %g s; killing it", process.spec.name, STOP_GRACE)
            self.signal(process, signal.SIGKILL)
            await ended.wait()

    def signal(self, process: Process, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)

    # -- the machine API --

    async def handle(self, method: str, target: str) -> machine_api.Answer:
        parts = target.strip("/").split("/")
        if method == "GET" and parts == ["processes"]:
            return 200, self.listing()
        if method == "POST" and parts == ["begin"]:
            return await self.begin()
        if method == "POST" and parts == ["down"]:
            await self.down()
            return 200, {}
        if method == "POST" and len(parts) == 3 and parts[0] == "processes":
            return await self.act(parts[1], parts[2])
        return 404, {"message": f"the supervisor has no {method} {target}"}

    async def begin(self) -> machine_api.Answer:
        """Start all that should run and does not."""
        assert self.network is not None
        try:
            await self.network
        except OSError as error:
            return 500, {"message": str(error)}
        waiting = [p for p in self.processes.values() if p.wanted and not p.pid and p.state != "restarting"]
        for process in waiting:
            await self.start(process)
        return 200, {"started": [p.spec.name for p in waiting]}

    async def act(self, name: str, action: str) -> machine_api.Answer:
        process = self.processes.get(name)
        if process is None:
            return 404, {"message": f"there is no process {name!r}"}
        if action == "start":
            process.wanted, process.failures = True, 0
            await self.start_if_wanted(process)
        elif action == "stop":
            await self.stop(process)
        elif action in ("kill", "pause", "resume"):
            if not process.pid:
                return 409, {"message": f"{name} is not running"}
            number = {"kill": signal.SIGKILL, "pause": signal.SIGSTOP, "resume": signal.SIGCONT}[action]
            ended = process.ended
            self.signal(process, number)
            if action == "kill":
                await ended.wait()
        else:
            return 404, {"message": f"there is no action {action!r}"}
        self.save()
        return 200, process.to_json()

    async def down(self) -> None:
        """Stop everything: nodes first, the control plane's store last."""
        self.going_down = True
        groups = lifecycle.stop_order([p.spec for p in self.processes.values()])
        for group in groups:
            await asyncio.gather(*(self.stop(self.processes[name]) for name in group))
        self.zygote.close()
        self.layout.processes.unlink(missing_ok=True)
        if self.holder:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.holder, signal.SIGKILL)
        asyncio.get_running_loop().call_later(0.05, self.end.set)

    def listing(self) -> list[dict[str, Any]]:
        rows = [p.to_json() for p in self.processes.values()]
        helpers = {"supervisor": os.getpid(), "zygote": self.zygote.pid, "holder": self.holder}
        for name, pid in helpers.items():
            found = procfs.stat(pid) if pid else None
            rows.append(
                {
                    "name": name,
                    "program": name,
                    "node": None,
                    "pid": pid or None,
                    "start": found.start if found else 0,
                    "state": "running" if found else "stopped",
                    "restarts": 0,
                    "since": None,
                    "exit": None,
                    "wanted": True,
                    "log": f"logs/{name}.log",
                }
            )
        return rows

    def changed(self, process: Process, what: str) -> None:
        self.save()
        event = {"event": what, **process.to_json()}
        for queue in self.listeners:
            queue.put_nowait(event)

    def save(self) -> None:
        """What the next supervisor should know."""
        if self.going_down:
            return
        known: dict[str, Any] = {p.spec.name: p.to_json() for p in self.processes.values()}
        if self.holder and (found := procfs.stat(self.holder)):
            known["holder"] = {"pid": self.holder, "start": found.start}
        try:
            write_private(self.layout.processes, json.dumps(known).encode())
        except ClusterError as error:  # a full disk keeps nobody from starting and stopping processes
            log.error("%s; a later supervisor will look for processes by their titles", error)

    async def events(self) -> AsyncIterator[Any]:
        queue: asyncio.Queue[Any] = asyncio.Queue()
        self.listeners.add(queue)
        try:
            for row in self.listing():
                yield {"event": "present", **row}
            while True:
                yield await queue.get()
        finally:
            self.listeners.discard(queue)


def main(argv: list[str]) -> int:
    setup_logging()
    os.chdir("/")
    directory = Path(argv[0])
    plan = Plan.from_json(json.loads((directory / "cluster.json").read_text(encoding="utf-8")))
    guard = int(argv[1]) if len(argv) > 1 else None
    linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
    os.environ["WORKSHOP_STATE"] = str(directory)  # all that come from here carry it: `sweep` finds them by it
    with contextlib.suppress(ModuleNotFoundError):
        from setproctitle import setproctitle

        setproctitle(f"workshop-supervisor {directory}")
    zygote = ZygoteHandle(plan)
    zygote.fork()
    asyncio.run(Supervisor(plan, zygote, guard).run())
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
