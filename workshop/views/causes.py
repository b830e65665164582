"""PURE: how an object came to be what it is: write → etcd revision → watch event → controller → next write.

    kubectl            create Deployment web          → revision 318
      deployment-controller saw 318, created ReplicaSet web-7d9  → 319
        replicaset-controller saw 319, created Pod web-7d9-x     → 320
          kube-scheduler saw 320, bound it to node-2             → 323
            kubelet-node-2 saw 323, wrote its status             → 327

The lines are those of `workshop.trace`. What ties them together is the resourceVersion alone: a step that has read
version 318 as the newest of all that it read, and wrote 319, is what leads from the one to the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

Line = dict[str, Any]

MAX_LINES = 20_000
MAX_WRITES = 40
"""Writes in one diagram: beyond that nobody reads it."""
NOISE = ("Event", "Lease")
SLACK = 2.0
"""Seconds by which the clocks of a writer's line and of the API server's may be apart."""


@dataclass
class Journal:
    """Trace lines by what they are about, the newest MAX_LINES of them."""

    lines: deque[Line] = field(default_factory=deque)
    writes: dict[str, Line] = field(default_factory=dict)
    commits: dict[str, Line] = field(default_factory=dict)
    seen: dict[tuple[str, str], Line] = field(default_factory=dict)
    """By (process, version): when its informer heard of it."""
    by_object: dict[str, list[Line]] = field(default_factory=dict)
    wrote: dict[str, Line] = field(default_factory=dict)
    """By version: the step that wrote it."""
    led: dict[str, list[Line]] = field(default_factory=dict)
    """By version: the steps that it led to."""
    _untold: list[Line] = field(default_factory=list)

    def hear(self, line: Line) -> None:
        event = line.get("event", "")
        if event.startswith("apiserver.auth") or line.get("kind") in NOISE:
            return
        self.lines.append(line)
        self._enter(line, event)
        if len(self.lines) > MAX_LINES:
            kept, untold = list(self.lines)[MAX_LINES // 2 :], self._untold
            self.__init__()  # type: ignore[misc]  # it begins anew, with the newer half
            for one in kept:
                self.hear(one)
            self._untold = untold

    def _enter(self, line: Line, event: str) -> None:
        if event == "apiserver.write":
            self.writes[line["version"]] = line
            self.by_object.setdefault(object_key(line), []).append(line)
            self._untold.append(line)
            return
        if event == "etcd.commit":
            self.commits[str(line["revision"])] = line
        elif event == "informer.event":
            self.seen.setdefault((line["process"], line["version"]), line)
        elif line.get("wrote"):
            for one in line["wrote"]:
                if one.get("version"):
                    self.wrote[one["version"]] = line
            version = trigger(line)
            if version:
                self.led.setdefault(version, []).append(line)

    def take_writes(self) -> list[Line]:
        """The writes since the last call, for front ends: {key, at, who, verb, subresource, version}."""
        untold, self._untold = self._untold, []
        return [told(line) for line in untold]

    def newest_writes(self, most: int = 2000) -> list[Line]:
        return [told(line) for line in list(self.writes.values())[-most:]]

    def writer(self, write: Line) -> Line | None:
        """The step that made this write. A Binding or a deletion answers without a version: its path tells."""
        found = self.wrote.get(write["version"])
        if found is not None:
            return found
        lane = lane_of(write)
        for line in reversed(self.lines):
            if line["at"] < write["at"] - 60.0:
                break
            if line["process"] == lane and any(
                not one.get("version") and _about(one["path"], write) and _during(line, write)
                for one in line.get("wrote") or ()
            ):
                return line
        return None

    def results(self, step: Line) -> Iterator[Line]:
        """The writes that a step made, as the API server told them."""
        for one in step["wrote"]:
            if one.get("version"):
                if one["version"] in self.writes:
                    yield self.writes[one["version"]]
                continue
            for write in self.writes.values():
                if lane_of(write) == step["process"] and _about(one["path"], write) and _during(step, write):
                    yield write


def object_key(line: Line) -> str:
    return f"{line['kind']}/{line['namespace']}/{line['name']}"


def trigger(step: Line) -> str:
    """The newest version that a step has read; "" when it read none."""
    versions = [str(one[3]) for one in step.get("read") or () if str(one[3]).isdigit() and one[0] not in NOISE]
    return str(max(versions, key=int, default=""))


def _during(step: Line, write: Line) -> bool:
    return bool(step["begun"] - SLACK <= write["at"] <= step["at"] + SLACK)


def _about(path: str, write: Line) -> bool:
    """`/api/v1/namespaces/default/pods/web-0/binding` and a write of Pod default/web-0, subresource binding."""
    parts = path.strip("/").split("/")
    if write["subresource"]:
        return bool(parts[-2:] == [write["name"], write["subresource"]])
    return bool(parts[-1] == write["name"])


def lane_of(write: Line) -> str:
    """Which process wrote, by the user that the API server knew it as.

    >>> lane_of({"user": "system:node:node-2"}), lane_of({"user": "kubernetes-admin", "manager": "kubectl-create"})
    ('kubelet-node-2', 'kubectl')
    """
    user = str(write.get("user", ""))
    if user.startswith("system:node:"):
        return f"kubelet-{user.removeprefix('system:node:')}"
    if user.startswith("system:serviceaccount:kube-system:") or user == "system:kube-controller-manager":
        return "kube-controller-manager"
    if user in ("system:kube-scheduler", "system:kube-proxy", "system:apiserver"):
        return {"system:apiserver": "kube-apiserver"}.get(user, user.removeprefix("system:"))
    manager = str(write.get("manager") or "")
    return "kubectl" if manager.startswith("kubectl") else manager.split("/")[0] or user or "somebody"


def who(write: Line) -> str:
    """The writer in words: the controller's name within its process, or the user."""
    user = str(write.get("user", ""))
    if user.startswith("system:node:"):
        return "kubelet"
    return user.rpartition(":")[2] if user.startswith("system:") else user


def told(line: Line) -> Line:
    """A write as a front end lists it. Times are milliseconds since 1970."""
    return {
        "key": object_key(line),
        "at": line["at"] * 1000,
        "who": who(line),
        "verb": line["verb"],
        "subresource": line["subresource"],
        "version": line["version"],
    }


def history(journal: Journal, key: str) -> list[Line]:
    """The writes that made an object, oldest first, as far as somebody listened."""
    return [told(line) for line in journal.by_object.get(key, ())]


def diagram(journal: Journal, key: str) -> dict[str, Any]:
    """The swim lanes around one object: {lanes: [name], rows: [row], more}; rows in the order of time.

    A row is a `write` (from its lane through the API server into etcd) or a `watch` (from the API server to a lane,
    with the step that it set off); `cause` is the number of the row that led to it, or None.
    """
    chosen = _chosen(journal, journal.by_object.get(key, ()))
    rows: list[dict[str, Any]] = []
    for write in chosen.values():
        step = journal.writer(write)
        cause = trigger(step) if step is not None else ""
        if step is not None and cause in chosen:
            rows.append(_watch_row(journal, step, cause, chosen[cause]))
        rows.append(_write_row(journal, write, step))
    rows = _once(rows)
    order = {row["id"]: place for place, row in enumerate(rows)}
    for row in rows:
        row["cause"] = order.get(row.pop("after"))
    return {"key": key, "lanes": _lanes(rows), "rows": rows, "more": len(chosen) >= MAX_WRITES}


def _chosen(journal: Journal, own: Iterable[Line]) -> dict[str, Line]:
    """The object's writes, what led to them, and what they led to; by version, in the order of time."""
    found: dict[str, Line] = {}
    back = deque(own)
    while back and len(found) < MAX_WRITES:
        write = back.popleft()
        if write["version"] in found:
            continue
        found[write["version"]] = write
        step = journal.writer(write)
        if step is not None and (cause := journal.writes.get(trigger(step))) is not None:
            back.append(cause)
    ahead = deque(found.values())
    while ahead and len(found) < MAX_WRITES:
        for step in journal.led.get(ahead.popleft()["version"], ()):
            for write in journal.results(step):
                if write["version"] not in found and len(found) < MAX_WRITES:
                    found[write["version"]] = write
                    ahead.append(write)
    return dict(sorted(found.items(), key=lambda item: int(item[0] or 0)))


def _write_row(journal: Journal, write: Line, step: Line | None) -> dict[str, Any]:
    commit = journal.commits.get(write["version"])
    return {
        "type": "write",
        "id": f"w{write['version']}",
        "after": _watch_id(step) if step is not None else None,
        "at": (commit or write)["at"] * 1000,
        "lane": step["process"] if step is not None else lane_of(write),
        "who": step.get("controller") or who(write) if step is not None else who(write),
        "verb": write["verb"],
        "object": object_key(write),
        "subresource": write["subresource"],
        "version": write["version"],
        "stored": commit is not None,
    }


def _watch_row(journal: Journal, step: Line, version: str, cause: Line) -> dict[str, Any]:
    heard = journal.seen.get((step["process"], version))
    return {
        "type": "watch",
        "id": _watch_id(step),
        "after": f"w{version}",
        "at": (heard or step)["at" if heard else "begun"] * 1000,
        "lane": step["process"],
        "who": step.get("controller") or step["event"],
        "object": object_key(cause),
        "version": version,
        "took": (step["at"] - step["begun"]) * 1000,
        "reads": len(step["read"]),
    }


def _watch_id(step: Line) -> str:
    return f"s{step['process']}/{step['begun']}/{step.get('key', '')}"


def _once(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A step that wrote twice was set off once. A cause stands before its effect, whatever the clocks say."""
    unique = {row["id"]: row for row in rows}
    for row in rows:  # rows come in the order of versions: causes first
        before = unique.get(row["after"])
        if before is not None and row["at"] < before["at"]:
            unique[row["id"]]["at"] = before["at"] + 0.01
    return sorted(unique.values(), key=lambda row: row["at"])


FIRST = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


def _lanes(rows: Iterable[dict[str, Any]]) -> list[str]:
    """etcd and the API server, beside them the people, then who reacts: a write goes left, a watch event right."""
    named = list(dict.fromkeys(row["lane"] for row in rows))
    parts = [lane for lane in named if lane in FIRST or lane.startswith(("kubelet-", "kube-proxy"))]
    people = [lane for lane in named if lane not in parts]
    others = sorted(lane for lane in parts if lane not in FIRST)
    return [*FIRST[:2], *people, *(lane for lane in FIRST[2:] if lane in named), *others]
