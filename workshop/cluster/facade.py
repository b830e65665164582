"""`Cluster`: a cluster as one object, for notebooks and the command line. Blocking; no event loop of its own.

    from workshop import Cluster
    lab = Cluster("etcd-lab", only=["etcd"]).up()
    lab.ps()                     # [{'name': 'etcd', 'pid': 4711, 'state': 'running', …}, …]
    lab.kill("etcd")             # kill -9; the supervisor brings it back
    lab.down()

Nothing is kept in the object: a notebook's kernel may restart, and `Cluster("etcd-lab")` is the same cluster again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from workshop import hooks, swap
from workshop.clock import SYSTEM
from workshop.cluster import launch, machine_api, settings, swapping
from workshop.cluster import plan as planning
from workshop.cluster.layout import DEFAULT_NAME, ClusterError, Layout, explain, write_private
from workshop.cluster.plan import Plan
from workshop.cluster.settings import Settings

Say = Callable[[str], None]


def _silent(_: str) -> None:
    return


class Cluster:
    """One cluster by name. Every method raises ClusterError with a sentence for the user."""

    def __init__(self, name: str = DEFAULT_NAME, only: Sequence[str] = (), *, say: Say = _silent) -> None:
        self.layout = Layout.of(name)
        self.name = name
        self.only = tuple(only)
        self.say = say

    def __repr__(self) -> str:
        return f"Cluster({self.name!r}): {'running' if self.running() else 'down'}"

    # -- up and down --

    def up(
        self,
        *,
        nodes: int | None = None,
        masters: int | None = None,
        runtime: str | None = None,
        max_pods: int | None = None,
        mode: str | None = None,
        lab: bool | None = None,
        wait: float = 60.0,
    ) -> Cluster:
        """Bring it up, or heal it: start what is missing, adopt what lives. `wait` seconds for Ready, 0 for none.

        `masters`: each has an etcd member and, where they are wanted, the other programs of the control plane.
        `lab`: learners may `swap` functions of its components, and its history is kept for an hour.
        """
        begun = SYSTEM.monotonic()
        self.layout.create()
        with self._exclusive():
            plan, guard = self._decide(Settings(nodes, masters, runtime, max_pods, mode, lab, self.only))
            try:
                self._supervise(plan, guard)
            finally:
                if guard is not None:
                    guard.close()
        if wait:
            from workshop.cluster.ready import Waiter

            try:
                what = Waiter(plan, self.layout, wait, self._still_there).until_up()
            except ClusterError as error:
                from workshop.cluster import complaints

                raise ClusterError(f"{error}{complaints.of(self.ps(), self.layout)}") from error
            self.say(f"{what} after {SYSTEM.monotonic() - begun:.2f} s")
        return self

    def _decide(self, asked: Settings) -> tuple[Plan, socket.socket | None]:
        """The plan to run, written to cluster.json; and the lock on its addresses, if new."""
        old = self.plan_or_none()
        if old is not None and self.running():
            settings.check_running(self.name, old, asked)
            self.say(f"cluster {self.name!r} is running already: starting what is missing")
            return old, None
        plan, guard = settings.decide(self.name, self.layout, old, asked)
        self.say(f"mode {plan.mode} ({plan.why}), addresses {plan.addresses.range}")
        write_private(self.layout.plan, json.dumps(plan.to_json(), indent=1).encode())
        return plan, guard

    def _supervise(self, plan: Plan, guard: socket.socket | None) -> None:
        """A supervisor that runs the plan. Certificates are made while it and its zygote start."""
        mine = 0 if self.running() else launch.supervisor(self.layout, guard)  # 0: it is not of this process
        from workshop.cluster import kubeconfig, pki

        pki.issue(plan, self.layout.pki)
        kubeconfig.write_all(plan, self.layout)
        launch.write_cni(plan, self.layout)
        if plan.lab:
            write_private(self.layout.root / "audit-policy.yaml", planning.AUDIT_POLICY.encode())
        started = self._call(
            "POST",
            "/begin",
            patience=60.0 if mine else 5.0,
            timeout=60.0 + 5.0 * len(plan.nodes),
            born=lambda: launch.lives(mine),
        )["started"]
        if started:
            self.say(f"started {', '.join(started)}")

    def down(self, *, purge: bool = False, gently: bool = True) -> None:
        """Stop it and leave nothing behind: no process, mount, namespace, device, route, lock or socket.

        The state directory stays, so that `up` continues with the same data; `purge` removes it too. Not `gently`:
        nobody gets time to finish what they were about.
        """
        from workshop.cluster import sweep

        if not self.layout.root.is_dir():
            raise ClusterError(f"there is no cluster {self.name!r}")
        with self._exclusive():
            if gently:
                with contextlib.suppress(machine_api.Absent, machine_api.Refused, TimeoutError):
                    machine_api.call(self.layout.socket, "POST", "/down", timeout=60.0)
            left = sweep.clean(self.layout, self._readable_plan())
            launch.reap()
            if left:
                raise ClusterError(f"processes {', '.join(map(str, left))} do not end: look at them with `ps`")
            if purge:
                sweep.purge(self.layout)

    def reset(self, **options: Any) -> Cluster:
        """Throw all its state away and bring it up anew, with the same settings unless others are given."""
        old = self._readable_plan()
        if self.layout.root.is_dir():
            self.down(purge=True, gently=False)
        if old is not None:
            options = {**settings.of(old), **options}
            self.only = self.only or old.only
        return self.up(**options)

    # -- one process --

    def ps(self) -> list[dict[str, Any]]:
        """One row a process: name, pid, state, node, restarts, … Works without a supervisor too."""
        from workshop.cluster import observer

        return observer.processes(self.plan(), self.layout)

    def stop(self, name: str) -> None:
        """SIGTERM, and do not start it again until `start`."""
        self._each(name, "stop")

    def start(self, name: str) -> None:
        self._each(name, "start")

    def kill(self, name: str) -> None:
        """`kill -9`. The supervisor starts it again."""
        self._each(name, "kill")

    def pause(self, name: str) -> None:
        """SIGSTOP: it is there, and answers nobody."""
        self._each(name, "pause")

    def resume(self, name: str) -> None:
        self._each(name, "resume")

    def _each(self, name: str, action: str) -> None:
        for component in self.matching(name):
            self._call("POST", f"/processes/{component}/{action}")

    def matching(self, name: str) -> list[str]:
        """Components that `name` means: its own name, a node (its kubelet and kube-proxy), or a program."""
        components = self.plan().components
        for key in ("name", "node", "program"):
            found = [c.name for c in components if getattr(c, key) == name]
            if found:
                return found
        known = ", ".join(c.name for c in components)
        raise ClusterError(f"cluster {self.name!r} has no process {name!r}; it has {known}")

    def events(self) -> Iterator[dict[str, Any]]:
        """Changes of its processes as they happen."""
        return machine_api.events(self.layout.socket)

    # -- a learner's function inside a component --

    def swap(self, component: str, function: swapping.Function | str, hook: str = "") -> list[dict[str, Any]]:
        """Let `component` run `function` in the place of its own. Returns the rows of `swapped`.

        `hook` says which of its functions; without it, the one with the same name. `workshop.hooks.of(component)` lists
        them. A function that raises, hangs or returns the wrong type is put out; `swapped` has the traceback.
        """
        targets = self._swappable(component)
        name = hook or (function.__name__ if callable(function) else swap.name_of(function))
        try:
            found = hooks.find(targets[0].program, name)
        except LookupError as error:
            raise ClusterError(str(error)) from error
        swapping.write(self.layout, targets, found, swapping.source_of(function, found))
        return [row for row in self.swapped() if row["hook"] == found.name]

    def unswap(self, component: str = "") -> list[str]:
        """The component's own functions again (of all components without a name); the hooks that were swapped."""
        targets = self._swappable(component) if component else list(self.plan().components)
        return swapping.remove(self.layout, targets)

    def swapped(self) -> list[dict[str, Any]]:
        """Rows with component, hook, state (waiting for its first call, in use, put out) and traceback."""
        return swapping.listing(self.layout, self.plan().components)

    def _swappable(self, name: str) -> list[planning.Component]:
        plan = self.plan()
        if not plan.lab:
            raise ClusterError(
                f"cluster {self.name!r} was not brought up for a lab: `workshop reset --name {self.name} --lab` "
                "makes it anew as one"
            )
        wanted = self.matching(name)
        return [component for component in plan.components if component.name in wanted]

    # -- who talks to it --

    def kubeconfig(self) -> Path:
        """Path of the administrator's kubeconfig."""
        if not self.layout.admin_conf.exists():
            raise ClusterError(f"there is no cluster {self.name!r}: `workshop up --name {self.name}` makes one")
        return self.layout.admin_conf

    def client(self) -> Any:
        """An `ApiClient` of the official `kubernetes` package with this cluster's settings."""
        import kubernetes

        return kubernetes.config.new_client_from_config(str(self.kubeconfig()))

    # -- inside --

    def plan(self) -> Plan:
        found = self.plan_or_none()
        if found is None:
            raise ClusterError(f"there is no cluster {self.name!r}: `workshop up --name {self.name}` makes one")
        return found

    def plan_or_none(self) -> Plan | None:
        try:
            return Plan.from_json(json.loads(self.layout.plan.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ClusterError(explain(error, self.layout.plan)) from error
        except (ValueError, KeyError, TypeError) as error:
            why = "is damaged" if isinstance(error, ValueError) else "was written by another version of the workshop"
            again = f"`workshop reset --name {self.name}` makes the cluster anew, without its data"
            raise ClusterError(f"{self.layout.plan} {why} ({error}); {again}") from error

    def _readable_plan(self) -> Plan | None:
        """For those who take all away: of a damaged or missing plan, what its rests tell of networks and containers."""
        with contextlib.suppress(ClusterError):
            if (plan := self.plan_or_none()) is not None:
                return plan
        text = ""
        for path in (self.layout.plan, self.layout.admin_conf):
            with contextlib.suppress(OSError):
                text += path.read_text(encoding="utf-8", errors="replace")
        folder = self.layout.root / "nodes"
        nodes = len([entry for entry in folder.iterdir() if entry.is_dir()]) if folder.is_dir() else 0
        return planning.salvaged(self.name, str(self.layout.root), text, nodes)

    def state(self) -> str:
        """`running`, `down`, or `degraded`: something of it is missing, a component or the supervisor."""
        plan = self.plan_or_none()
        if plan is None:
            return "down"
        from workshop.cluster import observer

        return observer.condition(plan, self.layout)

    def running(self) -> bool:
        """Whether there is a supervisor; one that takes its time to answer is there too, and a second would harm it."""
        try:
            machine_api.call(self.layout.socket, "GET", "/processes", timeout=10.0)
        except machine_api.Absent:
            return False
        except TimeoutError:
            return True
        return True

    def _call(
        self, method: str, target: str, patience: float = 0.0, timeout: float = 60.0,
        born: Callable[[], bool] = lambda: True,
    ) -> Any:  # fmt: skip
        """Ask the supervisor; one that does not listen yet is waited for `patience` seconds, while it is `born`."""
        deadline = SYSTEM.monotonic() + patience
        while True:
            try:
                return machine_api.call(self.layout.socket, method, target, timeout)
            except TimeoutError:
                raise ClusterError(
                    f"the supervisor of cluster {self.name!r} did not answer within {timeout:.0f} s: the machine has "
                    f"too much to do; `workshop status --name {self.name}` says how far it is"
                ) from None
            except machine_api.Refused as error:
                raise ClusterError(str(error)) from error
            except machine_api.Absent:
                if SYSTEM.monotonic() >= deadline or not born():
                    if not patience and self.state() == "down":
                        raise ClusterError(
                            f"cluster {self.name!r} is down: `workshop up --name {self.name}` brings it up"
                        ) from None
                    raise ClusterError(
                        f"cluster {self.name!r} has no supervisor: `workshop up --name {self.name}` starts one "
                        f"(what it logged: {self.layout.log('supervisor')})"
                    ) from None
                import time

                time.sleep(0.01)

    def _still_there(self) -> None:
        if not self.layout.socket.exists():
            raise ClusterError(f"the supervisor ended; what it logged: {self.layout.log('supervisor')}")

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """One `up` or `down` at a time."""
        path = self.layout.root / "run" / "up.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ClusterError(explain(error, self.layout.root)) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
