"""PURE: requests on their way through kube-apiserver, from its trace lines.

    apiserver.request  POST /api/v1/namespaces/default/pods
      apiserver.link     authentication 41 µs: system:admin
      apiserver.link     authorization 12 µs: allow
      apiserver.link     mutating admission ServiceAccount 63 µs: changed spec.serviceAccountName
      apiserver.link     etcd 900 µs: revision 318
    apiserver.answer   201 in 2,100 µs
    apiserver.watch    kube-scheduler is told revision 318

Lines of one request carry its Audit-ID as `request`; who is told of a write is found by its revision.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

Line = dict[str, Any]

STATIONS = (
    "authentication", "audit", "impersonation", "flow control", "authorization", "decoding", "defaulting",
    "mutating admission", "validation", "validating admission", "etcd", "answer",
)  # fmt: skip
"""The links in the order of the chain; a read has `read` in the place of decoding to etcd."""
READ_STATIONS = ("authentication", "audit", "impersonation", "flow control", "authorization", "read", "answer")
KEPT = 400
_WHY = {"deny": "denied", "no opinion": "nothing allows it", "refused": "no seat is free"}
NOISE = ("leases", "events")
_DETAILS = (
    "user",
    "decision",
    "reason",
    "level",
    "schema",
    "warnings",
    "changed",
    "key",
    "revision",
    "objects",
    "bytes",
)


@dataclass
class Step:
    """One link that a request passed, or at which it was stopped (`error`). `micros` is what the link took."""

    link: str
    plugin: str
    micros: int
    told: dict[str, Any]
    error: str = ""


@dataclass
class Passage:
    """One request. `code` is 0 while it is under way; `stopped` is the station that refused it, "" if none did."""

    id: str
    at: float
    method: str
    path: str
    verb: str
    resource: str
    agent: str
    user: str = ""
    steps: list[Step] = field(default_factory=list)
    code: int = 0
    micros: int = 0
    revision: int = 0
    stopped: str = ""
    reason: str = ""
    told: list[tuple[str, float]] = field(default_factory=list)
    """Who was told of the write by a watch, and how many seconds after the request came."""

    @property
    def stations(self) -> tuple[str, ...]:
        reads = self.verb in ("get", "list", "watch")
        here = READ_STATIONS if reads else STATIONS
        return here if any(step.link == "audit" for step in self.steps) else tuple(s for s in here if s != "audit")

    @property
    def noise(self) -> bool:
        """What a cluster does all the time, and would hide what one looks for."""
        return self.resource in NOISE or self.verb == "watch" or not self.resource

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id, "at": self.at * 1000, "method": self.method, "path": self.path, "verb": self.verb,
            "resource": self.resource, "agent": self.agent, "user": self.user, "code": self.code,
            "micros": self.micros, "revision": self.revision, "stopped": self.stopped, "reason": self.reason,
            "stations": list(self.stations), "noise": self.noise, "told": [[who, late] for who, late in self.told],
            "steps": [
                {"link": s.link, "plugin": s.plugin, "micros": s.micros, "told": s.told, "error": s.error}
                for s in self.steps
            ],
        }  # fmt: skip


class Pipeline:
    """The newest KEPT requests. `hear` takes every line of a cluster and picks those of kube-apiserver."""

    def __init__(self) -> None:
        self.requests: OrderedDict[str, Passage] = OrderedDict()
        self._by_revision: dict[int, Passage] = {}

    def hear(self, line: Line) -> Passage | None:
        """The request that the line is about, None if it is about none that is known."""
        event, id = line.get("event", ""), line.get("request", "")
        if event == "apiserver.request":
            return self._begin(id, line)
        if event == "apiserver.watch":
            return self._told(line)
        passage = self.requests.get(id)
        if passage is None:
            return None
        if event == "apiserver.link":
            self._link(passage, line)
        elif event == "apiserver.answer":
            passage.code, passage.micros = line["code"], line["micros"]
            if passage.code >= 400 and not passage.stopped:  # behind the links: not found, conflict, and the like
                passage.stopped, passage.reason = "answer", _message(line.get("message", ""))
        else:
            return None
        return passage

    def _begin(self, id: str, line: Line) -> Passage:
        passage = Passage(
            id, line["at"], line["method"], line["path"], line["verb"],
            "/".join(filter(None, (line["resource"], line["subresource"]))), agent(line["agent"]),
        )  # fmt: skip
        self.requests[id] = passage
        while len(self.requests) > KEPT:
            _, old = self.requests.popitem(last=False)
            self._by_revision.pop(old.revision, None)
        return passage

    def _link(self, passage: Passage, line: Line) -> None:
        told = {name: line[name] for name in _DETAILS if line.get(name) not in (None, "", [], ())}
        step = Step(line["link"], line.get("plugin", ""), line["micros"], told, line.get("error", ""))
        passage.steps.append(step)
        refused = step.error or told.get("decision") in ("deny", "no opinion", "refused")
        if refused:
            passage.stopped, passage.reason = step.link, step.error or told.get("reason") or _WHY[told["decision"]]
        if step.link == "authentication":
            passage.user = told.get("user", "")
        if step.link == "etcd" and told.get("revision"):
            passage.revision = int(told["revision"])
            self._by_revision[passage.revision] = passage

    def _told(self, line: Line) -> Passage | None:
        found = None
        for revision in line["revisions"]:
            passage = self._by_revision.get(revision)
            if passage is not None:
                passage.told.append((agent(line["agent"]), line["at"] - passage.at))
                found = passage
        return found


def _message(body: str) -> str:
    """What a Status says; other bodies as they are."""
    try:
        read = json.loads(body)
    except ValueError:
        return body.strip()
    return str(read.get("message", "")) if isinstance(read, dict) else body


def agent(header: str) -> str:
    """The program of a User-Agent: `kubectl/v1.36.2 (linux/amd64) …` is kubectl."""
    return header.partition("/")[0] or "unknown"
