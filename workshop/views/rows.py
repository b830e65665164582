"""PURE: one object, or one process, as the row of plain JSON that the front end draws."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from workshop.api.meta import Obj, controller_of
from workshop.cluster.board import FINISHED, Row, told, wanted

from .graph import key_of

JsonRow = dict[str, Any]
WORKLOADS = (
    "Deployment",
    "ReplicaSet",
    "StatefulSet",
    "DaemonSet",
    "Job",
    "ReplicationController",
)
"""Kinds that have pods below them, and so three truths."""


def _base(kind: str, obj: Obj) -> JsonRow:
    metadata = obj["metadata"]
    return {
        "type": kind,
        "kind": obj["kind"],
        "namespace": metadata.get("namespace", ""),
        "name": metadata["name"],
        "uid": metadata.get("uid", ""),
        "version": metadata.get("resourceVersion", ""),
        "owner": owner_key(obj),
        "ending": bool(metadata.get("deletionTimestamp")),
    }


def owner_key(obj: Obj) -> str | None:
    """The controlling owner's key."""
    owner = controller_of(obj)
    if owner is None:
        return None
    namespace = "" if owner["kind"] == "Node" else obj["metadata"].get("namespace", "")
    return f"{owner['kind']}/{namespace}/{owner['name']}"


def workload(obj: Obj, row: Row, *, can_observe: bool) -> JsonRow:
    """The three truths. Where nothing can be observed, `observed` is None."""
    truths = {"desired": row.desired, "reported": row.reported, "observed": row.observed if can_observe else None}
    return {**_base("workload", obj), **truths, "next": row.next}


def plain(obj: Obj) -> JsonRow:
    """What has no row among the workloads, and yet a place in an owner chain."""
    row = _base("object", obj)
    if obj["kind"] in WORKLOADS:
        row |= {"desired": wanted(obj), "reported": told(obj)}
    return row


def pod(obj: Obj, observed: int | None, root: str | None) -> JsonRow:
    """`observed`: how many of its containers live, None where that cannot be seen. `root`: its workload's key."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    statuses = status.get("containerStatuses") or []
    return {
        **_base("pod", obj),
        "node": spec.get("nodeName") or None,
        "phase": status.get("phase", "Pending"),
        "finished": status.get("phase") in FINISHED,
        "ready": bool(told(obj)),
        "reason": _reason(status),
        "containers": len(spec.get("containers") or ()),
        "observed": observed,
        "restarts": sum(int(one.get("restartCount") or 0) for one in statuses),
        "ip": status.get("podIP", ""),
        "root": root,
    }


def _reason(status: Mapping[str, Any]) -> str:
    for one in status.get("containerStatuses") or []:
        state = one.get("state") or {}
        reason = (state.get("waiting") or state.get("terminated") or {}).get("reason")
        if reason and reason != "Completed":
            return str(reason)
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return str(condition.get("reason") or "")
    return str(status.get("reason") or "")


def node(obj: Obj, pods: int) -> JsonRow:
    """A Node with the number of pods that are bound to it."""
    status = obj.get("status") or {}
    ready = next((c.get("status") for c in status.get("conditions") or [] if c.get("type") == "Ready"), "Unknown")
    addresses = {one.get("type"): one.get("address") for one in status.get("addresses") or []}
    return {
        **_base("node", obj),
        "ready": ready,
        "cordoned": bool((obj.get("spec") or {}).get("unschedulable")),
        "ip": addresses.get("InternalIP", ""),
        "pods": pods,
    }


def service(obj: Obj, endpoints: Iterable[Mapping[str, Any]], traffic: Mapping[tuple[str, int], Any] | None) -> JsonRow:
    """`endpoints`: {pod, ip, port, ready}, one for each port. `traffic`: by (address, port) that clients connect to,
    `(connections open now, connections that ended within the last minute)`; None where that cannot be seen."""
    spec = obj.get("spec") or {}
    ports = [
        {"port": int(port["port"]), "protocol": port.get("protocol", "TCP"), "target": port.get("targetPort")}
        for port in spec.get("ports") or []
    ]
    address = spec.get("clusterIP") or ""
    row = {**_base("service", obj), "ip": address, "ports": ports, "endpoints": [dict(one) for one in endpoints]}
    if traffic is None:
        return {**row, "open": None, "recent": None}
    shifts = (0, 10_000)  # where ports below 1024 cannot be bound, they are shifted
    seen = [traffic.get((address, port["port"] + shift), (0, 0)) for port in ports for shift in shifts]
    for one in row["endpoints"]:
        at = [traffic.get((one["ip"], one["port"] + shift), (0, 0)) for shift in shifts]
        one["open"], one["recent"] = sum(pair[0] for pair in at), sum(pair[1] for pair in at)
    return {**row, "open": sum(pair[0] for pair in seen), "recent": sum(pair[1] for pair in seen)}


def event(obj: Obj) -> JsonRow:
    """What `kubectl describe` shows of an event, and the key of what it is about."""
    about, series = obj.get("involvedObject") or {}, obj.get("series") or {}
    seen = series.get("lastObservedTime") or obj.get("lastTimestamp") or obj.get("eventTime")
    namespace = "" if about.get("kind") == "Node" else about.get("namespace", "")
    return {
        "type": "event",
        "kind": "Event",
        "namespace": obj["metadata"].get("namespace", ""),
        "name": obj["metadata"]["name"],
        "about": f"{about.get('kind', '')}/{namespace}/{about.get('name', '')}",
        "seen": str(seen or obj["metadata"].get("creationTimestamp") or ""),
        "level": obj.get("type", "Normal"),
        "reason": obj.get("reason", ""),
        "message": obj.get("message") or "",
        "count": int(series.get("count") or obj.get("count") or 1),
        "from": (obj.get("source") or {}).get("component") or obj.get("reportingComponent") or "",
    }


def body(obj: Obj) -> Obj:
    """The object as `kubectl get -o yaml` prints it: without managedFields, what names it first."""
    shown = {**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k != "managedFields"}}
    order = ("apiVersion", "kind", "metadata", "spec")
    return {**{k: shown[k] for k in order if k in shown}, **{k: v for k, v in shown.items() if k not in order}}


def process(row: Mapping[str, Any], leader: bool | None) -> JsonRow:
    """A component's process. `leader`: whether it holds its lease; None where no leader is needed or told of."""
    return {
        "type": "process",
        "kind": "Process",
        "namespace": "",
        "name": row["name"],
        "program": row["program"],
        "node": row.get("node"),
        "pid": row["pid"],
        "state": row["state"],
        "restarts": row.get("restarts") or 0,
        "leader": leader,
    }


__all__ = [
    "WORKLOADS",
    "JsonRow",
    "body",
    "event",
    "key_of",
    "node",
    "owner_key",
    "plain",
    "pod",
    "process",
    "service",
    "workload",
]
