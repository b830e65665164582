"""PURE: what the board shows, kept up to date change by change.

Every change of an object marks the rows that depend on it; `flush` makes those anew and says which of them differ:

    model.put(pod)                        → marks the pod's row, its workload's, its node's
    model.flush(now)                      → Step(now, put={key: row, …}, drop=[…]), or None when nothing shows

A front end that applies all steps in order has exactly `model.rows`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from workshop.api.meta import Obj, controller_of
from workshop.clock import parse_rfc3339
from workshop.cluster.board import row_of
from workshop.cluster.leaders import ELECTED, held

from . import lanes, rows
from .graph import Graph, key_of
from .rows import WORKLOADS, JsonRow

FRAME = "Frame//map"
MAX_EVENTS = 500
MAX_BODIES = 300
"""Up to so many objects travel whole with their rows: then a front end can show any of them, at any moment of its log,
without asking a kernel that may be busy."""
HELPERS = ("supervisor", "zygote", "holder")
ASSUMED_RUNNING = frozenset(("etcd", "kube-apiserver", "kube-scheduler", "kube-controller-manager"))
"""Where no process can be seen, these are taken to run."""


@dataclass(frozen=True)
class Step:
    """One visible change at one moment (seconds since 1970). `put` and `drop` are the front end's to apply."""

    at: float
    put: dict[str, JsonRow]
    drop: list[str]

    def to_json(self) -> dict[str, Any]:
        return {"at": round(self.at * 1000, 1), "put": self.put, "drop": self.drop}


class Model:
    """`rows` by key. `observes`: whether processes can be seen (else the observed column is empty)."""

    def __init__(self, *, observes: bool) -> None:
        self.observes = observes
        self.objects: dict[str, Obj] = {}
        self.graph = Graph()
        self.lanes = lanes.Lanes()
        self.rows: dict[str, JsonRow] = {}
        self.running: frozenset[str] = frozenset() if observes else ASSUMED_RUNNING
        self.observed: dict[str, int] = {}
        self._uids: dict[str, str] = {}
        self._slices: dict[str, dict[str, Obj]] = {}
        self._members: dict[str, bool | None] = {}
        self._processes: dict[str, Mapping[str, Any]] = {}
        self._traffic: Mapping[tuple[str, int], Any] = {}
        self._dirty: set[str] = set()
        self._moved = True
        self._events: dict[str, None] = {}
        self._bodies = True

    # -- what changes --

    def marked(self, key: str) -> bool:
        """Has `key` a change already that no step shows yet?"""
        return key in self._dirty

    def put(self, obj: Obj) -> None:
        key = key_of(obj)
        if obj["kind"] == "EndpointSlice":
            self._slice(key, obj)
            return
        if obj["kind"] == "Lease":
            self.objects[key] = obj
            self._dirty.update(k for k, row in self._processes.items() if row["program"] == obj["metadata"]["name"])
            return
        if obj["kind"] == "Event":
            self._event(key, obj)
            return
        if key not in self.objects:
            self._moved = True
        self.objects[key] = obj
        self._dirty.add(key)
        owner = rows.owner_key(obj)
        before = self.graph.owners(key)
        self.graph.link("owns", [owner] if owner else (), key)
        self._dirty.update(before, self.graph.owners(key))
        if obj["kind"] == "Pod":
            self._pod(key, obj)

    def _pod(self, key: str, obj: Obj) -> None:
        self._uids[obj["metadata"]["uid"]] = key
        node = (obj.get("spec") or {}).get("nodeName")
        self._dirty |= self.graph.link("runs", [f"Node//{node}"] if node else (), key)
        if self.lanes.enter(key, f"Node//{node}" if node else lanes.UNPLACED):
            self._moved = True

    def _event(self, key: str, obj: Obj) -> None:
        """Only the newest are kept."""
        self.objects[key] = obj
        self._events.pop(key, None)
        self._events[key] = None
        self._dirty.add(key)
        if len(self._events) > MAX_EVENTS:
            oldest = next(iter(self._events))
            del self._events[oldest], self.objects[oldest]
            self._dirty.add(oldest)

    def _slice(self, key: str, obj: Obj, *, gone: bool = False) -> None:
        """EndpointSlices have no row of their own: they are a Service's endpoints."""
        name = (obj["metadata"].get("labels") or {}).get("kubernetes.io/service-name")
        if name:
            service = f"Service/{obj['metadata'].get('namespace', '')}/{name}"
            self._slices.setdefault(service, {})[key] = obj
            if gone:
                del self._slices[service][key]
            self._dirty.add(service)

    def remove(self, obj: Obj) -> None:
        key = key_of(obj)
        if obj["kind"] == "EndpointSlice":
            self._slice(key, obj, gone=True)
            return
        self.objects.pop(key, None)
        if obj["kind"] == "Lease":
            return
        if obj["kind"] == "Event":
            self._events.pop(key, None)
            self._dirty.add(key)
            return
        self._dirty.update((key, *self.graph.owners(key), *self.graph.sources("runs", key)))
        self.graph.drop(key)
        self._moved = True
        if obj["kind"] == "Pod":
            self._uids.pop(obj["metadata"]["uid"], None)
            self.lanes.leave(key)

    def observe(self, observed: Mapping[str, int]) -> None:
        """How many containers live, by the pod's uid."""
        for uid in observed.keys() | self.observed.keys():
            if observed.get(uid) != self.observed.get(uid) and (key := self._uids.get(uid)):
                self._dirty.update((key, *self.graph.owners(key)))
        self.observed = dict(observed)

    def see(self, processes: Iterable[Mapping[str, Any]]) -> None:
        """The cluster's processes as they are now."""
        now = {f"Process//{row['name']}": row for row in processes}
        for key in now.keys() | self._processes.keys():
            if now.get(key) != self._processes.get(key):
                self._dirty.add(key)
                node = self._node(now.get(key) or self._processes[key])
                self.graph.link("hosts", [f"Node//{node}"] if node and key in now else (), key)
        self._moved |= now.keys() != self._processes.keys()
        self._processes = now
        up = [row for row in now.values() if row["state"] == "running"]
        # With several masters a program runs when one of its processes does.
        running = frozenset(row["name"] for row in up) | frozenset(row["program"] for row in up if row.get("program"))
        if self.observes and running != self.running:
            self.running = running
            self._dirty.update(key for key, row in self.rows.items() if "next" in row)

    def lead(self, members: Mapping[str, bool | None]) -> None:
        """Which of several etcd members leads, by the process's name."""
        for name in members.keys() | self._members.keys():
            if members.get(name) != self._members.get(name):
                self._dirty.add(f"Process//{name}")
        self._members = dict(members)

    def hear(self, traffic: Mapping[tuple[str, int], Any]) -> None:
        """Connections by the address and port that they lead to."""
        if traffic != self._traffic:
            self._traffic = traffic
            self._dirty.update(key for key, row in self.rows.items() if row["type"] == "service")

    # -- what shows --

    def flush(self, now: float) -> Step | None:
        """Make the marked rows anew; None when they are what they were."""
        if self._moved:
            self._arrange()
        if self._bodies != (len(self.objects) - len(self._events) <= MAX_BODIES):
            self._bodies = not self._bodies
            self._dirty.update(self.objects)
        put: dict[str, JsonRow] = {}
        drop: list[str] = []
        for key in self._dirty:
            row = self._row(key, now)
            if row is not None and self._bodies and key in self.objects and row["type"] != "event":
                row["body"] = rows.body(self.objects[key])
            if row is None:
                if self.rows.pop(key, None) is not None:
                    drop.append(key)
            elif row != self.rows.get(key):
                put[key] = self.rows[key] = row
        self._dirty.clear()
        return Step(now, put, drop) if put or drop else None

    def _arrange(self) -> None:
        self._moved = False
        own = [key for key, row in self._processes.items() if not self._node(row) and row["name"] not in HELPERS]
        nodes = sorted((key for key in self.objects if key.startswith("Node/")), key=_natural)
        services = sorted(key for key in self.objects if key.startswith("Service/"))
        if self.lanes.arrange(own, nodes, services):
            self._dirty.update((FRAME, *own, *nodes, *services))
            self._dirty.update(key for key in self.objects if key.startswith("Pod/"))

    def _row(self, key: str, now: float) -> JsonRow | None:
        if key == FRAME:
            return {"type": "frame", "width": lanes.WIDTH, "height": self.lanes.height, "titles": self.lanes.titles,
                    "tile": self.lanes.tile.name, "unplaced": self.lanes.frame.get(lanes.UNPLACED)}  # fmt: skip
        if key in self._processes:
            return self._boxed(key, rows.process(self._processes[key], self._leads(self._processes[key], now)))
        obj = self.objects.get(key)
        if obj is None:
            return None
        kind = obj["kind"]
        if kind == "Event":
            return rows.event(obj)
        if kind == "Pod":
            owners = self.graph.owners(key)
            observed = self.observed.get(obj["metadata"]["uid"], 0) if self.observes else None
            row = rows.pod(obj, observed, owners[-1] if owners else None)
            if not owners:
                shown = row_of(obj, [obj], self.observed if self.observes else None, self.running)
                three = self._precise(rows.workload(obj, shown, can_observe=self.observes))
                row |= three | {"type": "pod", "observed": observed}
            return {**row, "box": self.lanes.pod(key)}
        if kind == "Node":
            return self._boxed(key, rows.node(obj, sum(1 for _ in self.graph.targets("runs", key))))
        if kind == "Service":
            return self._boxed(key, self._service(key, obj))
        if kind in WORKLOADS and controller_of(obj) is None:
            pods = [self.objects[pod] for pod in self.graph.below(key, "Pod") if pod in self.objects]
            shown = row_of(obj, pods, self.observed if self.observes else None, self.running)
            return self._precise(rows.workload(obj, shown, can_observe=self.observes))
        return rows.plain(obj)

    def _precise(self, row: JsonRow) -> JsonRow:
        """`kube-scheduler is down (…)` as what it is: stopped, paused, restarting."""
        actor, down, why = row["next"].partition(" is down (")
        if down and (process := self._processes.get(f"Process//{actor}")) is not None:
            row["next"] = f"{actor} is {process['state']} ({why}"
        return row

    def _boxed(self, key: str, row: JsonRow) -> JsonRow:
        return {**row, "box": self.lanes.frame.get(key)}

    def _leads(self, process: Mapping[str, Any], now: float) -> bool | None:
        """Does it lead? None for those who need no leader, and where nobody can tell."""
        program = process["program"]
        if program == "etcd":
            return self._members.get(process["name"])
        if program not in ELECTED:
            return None
        lease = self.objects.get(f"Lease/kube-system/{program}")
        if lease is None or process["state"] != "running" or not held(lease, now):
            return False
        # of several masters: the holder's identity begins with the name of its master
        return not process.get("node") or str(lease["spec"]["holderIdentity"]).startswith(f"{process['node']}_")

    @staticmethod
    def _node(process: Mapping[str, Any]) -> str | None:
        """The node whose card a process stands in; masters have none."""
        node = process.get("node")
        return None if node is None or str(node).startswith("master-") else str(node)

    def _service(self, key: str, obj: Obj) -> JsonRow:
        endpoints = [one for found in self._slices.get(key, {}).values() for one in _endpoints(found)]
        self.graph.link_all("serves", key, {one["pod"] for one in endpoints if one["pod"]})
        return rows.service(obj, endpoints, self._traffic if self.observes else None)


def _endpoints(found: Obj) -> Iterable[dict[str, Any]]:
    ports = [int(port["port"]) for port in found.get("ports") or [] if port.get("port")]
    for endpoint in found.get("endpoints") or []:
        target = endpoint.get("targetRef") or {}
        pod = f"Pod/{target.get('namespace', '')}/{target['name']}" if target.get("kind") == "Pod" else None
        ready = (endpoint.get("conditions") or {}).get("ready") is not False
        for address in endpoint.get("addresses") or []:
            for port in ports:
                yield {"pod": pod, "ip": address, "port": port, "ready": ready}


def _natural(key: str) -> list[tuple[int, int | str]]:
    """`node-2` before `node-10`."""
    parts: list[str] = []
    for character in key:
        if parts and parts[-1].isdigit() == character.isdigit():
            parts[-1] += character
        else:
            parts.append(character)
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts]


def lease_times(objects: Iterable[Obj]) -> float:
    """The latest renewal among Leases, in seconds since 1970: about when a list of them was true."""
    renewed = [str((obj.get("spec") or {}).get("renewTime") or "") for obj in objects]
    return max((parse_rfc3339(text) for text in renewed if text), default=0.0)
