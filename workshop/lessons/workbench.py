"""`Workbench`: a lab's cluster in a learner's hands, without tasks. Nothing here raises into a cell: it says what to do
next."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

from workshop.clock import SYSTEM
from workshop.cluster import layout
from workshop.cluster.board import rows
from workshop.cluster.facade import Cluster
from workshop.views import Board, GlassBox

from . import ask, cards, look, own, stage
from .show import show
from .wire import Wire


class Workbench:
    """One cluster, named after its lab: bring it up, look into it, break it, put functions and programs into it."""

    def __init__(self, name: str, *, nodes: int, masters: int, only: Sequence[str], mode: str | None) -> None:
        self.name = name
        mode = mode or os.environ.get("WORKSHOP_LAB_MODE") or None
        self.shape: dict[str, Any] = {"nodes": nodes, "masters": masters, "lab": True, "mode": mode}
        self.cluster = Cluster(f"lab-{name}", only)
        self._board: Board | None = None
        self._glass: GlassBox | None = None
        self._told: set[tuple[str, str]] = set()
        self._urls: dict[str, str] = {}

    def up(self) -> None:
        """Bring it up, or start what is missing."""
        self._guarded(self._up)

    def _up(self) -> None:
        begun = SYSTEM.monotonic()
        self._others()
        options = dict(self.shape) if self.cluster.plan_or_none() is None else {}
        self.cluster.up(wait=0, **options)
        stage.start(self.cluster)
        print(f"cluster {self.cluster.name} is up after {SYSTEM.monotonic() - begun:.1f} s")

    def _others(self) -> None:
        """Clusters of other labs cost memory: offer to stop them."""
        mine = self.cluster.name
        found = [n for n in layout.names() if n.startswith("lab-") and n != mine and Cluster(n).running()]
        if found:
            print(
                f"still running from other labs: {', '.join(found)}. lab.stop_others() stops them and keeps their data"
            )

    def stop_others(self) -> None:
        """Bring the clusters of other labs down; their data stays."""
        for name in layout.names():
            if name.startswith("lab-") and name != self.cluster.name and Cluster(name).running():
                self._guarded(Cluster(name).down)
                print(f"{name} is down; its data is kept")

    def reset(self) -> None:
        """A new cluster, whatever state the old one is in. Progress is kept."""
        begun = SYSTEM.monotonic()
        board, glass = self._close("the cluster is being made anew")
        options = dict(self.shape)
        if mode := os.environ.get("WORKSHOP_LAB_MODE"):
            options["mode"] = mode
        if self._guarded(lambda: self.cluster.reset(**options)) is not None:
            for view in (board, glass):  # whoever looks goes on looking
                if view is not None:
                    self._guarded(view.reopen)
            self._board, self._glass = board, glass
            print(f"cluster {self.cluster.name} is new after {SYSTEM.monotonic() - begun:.1f} s; your progress is kept")

    def down(self) -> None:
        """End the lab: the cluster goes, with its data."""
        self._close("the lab is over: its first cell opens it again, then the cell of this board")
        self._guarded(self._down)

    def _down(self) -> None:
        for name in own.living(self.cluster):  # a good loop outlives its cluster, and waits for it for ever
            own.stop(self.cluster, name)
        self.cluster.down(purge=True)
        print(f"cluster {self.cluster.name} is gone; your progress is kept")

    def board(self) -> Board | None:
        """The live board, as the last expression of a cell."""
        found: Board | None = self._guarded(self._open)
        return found

    def _open(self) -> Board:
        if self._board is None:
            self._board = Board(self.cluster)
        return self._board

    def _close(self, why: str) -> tuple[Board | None, GlassBox | None]:
        """Nobody follows the cluster any more; what there was."""
        board, glass = self._board, self._glass
        if board is not None:
            board.close(why)
        if glass is not None:
            glass.close()
        self._board = self._glass = None
        return board, glass

    def ps(self) -> None:
        """What `ps` prints of this cluster."""
        self._guarded(lambda: print(look.processes(self.cluster)))

    def look(self, component: str, flags: bool = False) -> None:
        """One process opened: who it talks to, what it watches, what it wrote. `flags`: its whole command line."""
        self._guarded(lambda: print(look.describe(self.cluster, component, flags)))

    def ask(self, service: str, times: int = 6) -> str:
        """Send `times` requests to a Service and say who answered."""
        return str(
            self._guarded(lambda: ask.service(self.cluster, service, times, self._urls)) or "nothing could be asked"
        )

    def ask_pod(self, selector: str) -> str:
        """Send a request to a pod's own address, past the Service."""
        return str(self._guarded(lambda: ask.pod(self.cluster, selector)) or "nothing could be asked")

    def pods(self, selector: str) -> list[str]:
        """Names of the pods with those labels that are not on their way out."""
        found: list[str] = self._guarded(lambda: ask.pods(self.cluster, selector)) or []
        return found

    def wait_for(self, right: Callable[[], bool], seconds: float = 40.0) -> bool:
        """Wait until `right()`, which is asked anew after each change that the board sees. Says so when it gives up."""
        return bool(self._guarded(lambda: self._wait_for(right, seconds)))

    def _wait_for(self, right: Callable[[], bool], seconds: float) -> bool:
        feed, end = self._open().feed, SYSTEM.monotonic() + seconds
        while not _answered(right):
            left = end - SYSTEM.monotonic()
            if left <= 0:
                print(f"this did not come about within {seconds:g} s: look at the board, or lab.catch_up()")
                return False
            feed.wait_for_change(feed.sequence, min(left, 1.0))
        return True

    def settle(self, seconds: float = 40.0) -> bool:
        """Wait until nobody has anything to do: the three truths of each workload agree."""
        return self.wait_for(lambda: not any(row.next for row in rows(self._open().feed.world)), seconds)

    def kill_container(self, selector: str, node: str = "") -> None:
        """`kill -9` the first process of a container of such a pod (on that node), behind everybody's back."""
        self._guarded(lambda: print(ask.kill(self.cluster, selector, node)))

    @property
    def http(self) -> Wire:
        """HTTP to the API server by hand: `lab.http("GET", "/api/v1/nodes")`."""
        self.cluster.kubeconfig()
        return Wire(self.cluster.layout.root)

    def glass(self) -> GlassBox | None:
        """The glass box of kube-apiserver: requests as they pass, as the last expression of a cell."""
        found: GlassBox | None = self._guarded(self._glass_box)
        return found

    def _glass_box(self) -> GlassBox:
        if self._glass is None:
            self._glass = GlassBox(self.cluster)
        return self._glass

    # -- processes: components and the learner's own --

    def stop(self, name: str) -> None:
        """SIGTERM; it stays down until `start`."""
        self._guarded(lambda: own.stop(self.cluster, name) if self._is_own(name) else self.cluster.stop(name))

    def start(self, name: str) -> None:
        self._guarded(lambda: self.cluster.start(name))

    def kill(self, name: str) -> None:
        """`kill -9`. The supervisor starts a component again; nobody starts your own program again."""
        self._guarded(
            lambda: own.stop(self.cluster, name, signal.SIGKILL) if self._is_own(name) else self.cluster.kill(name)
        )

    def _is_own(self, name: str) -> bool:
        return own.known(self.cluster, name)

    def run(self, name: str, program: Callable[..., Any] | str) -> None:
        """Run a function of yours as a process under that name, in the place of an earlier one."""
        pid = self._guarded(lambda: own.start(self.cluster, name, program))
        if pid:
            print(f"{name} runs as process {pid}; lab.log({name!r}) shows what it prints")

    def log(self, name: str) -> None:
        """The end of what a process printed."""
        self._guarded(lambda: print(own.said(self.cluster, name)))

    def swap(self, component: str, function: Callable[..., Any] | str, hook: str = "") -> None:
        """Put your function in the place of the component's own, while it runs."""
        rows = self._guarded(lambda: self.cluster.swap(component, function, hook))
        for row in rows or ():
            print(f"{row['component']} runs your {row['hook']} from its next call on; lab.unswap() takes it back")

    def unswap(self) -> None:
        """The components' own functions again."""
        gone = self._guarded(self.cluster.unswap)
        if gone is not None:
            print(f"the component's own again: {', '.join(gone) or 'nothing was swapped'}")

    def notice(self) -> None:
        """After each cell: a function that was put out, told once."""
        if not self.cluster.layout.plan.exists():
            return
        for row in self._guarded(self.cluster.swapped) or ():
            key = (row["component"], row["traceback"])
            if row["state"] == "put out" and key not in self._told:
                self._told.add(key)
                show(cards.put_out(row))

    def _guarded(self, act: Callable[[], Any]) -> Any:
        """Do it, or say in one sentence why not: a lab goes on after whatever a learner did to its cluster."""
        try:
            return act()
        except Exception as error:  # noqa: BLE001
            print(f"that did not work: {error}\n  next: lab.up() starts what is missing, lab.reset() begins anew")
            return None


def _answered(right: Callable[[], bool]) -> bool:
    """Whether it is right; while nobody answers it is not."""
    try:
        return right()
    except OSError:
        return False
