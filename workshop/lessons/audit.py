"""PURE: who watches what and who wrote what, read off the API server's audit log. Measured, not told.

A lab's kube-apiserver keeps the log that any real one can keep (`--audit-log-path`, level Metadata). A watch stands in
it when it begins (stage ResponseStarted) and once more when it ends (ResponseComplete).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

WRITES = ("create", "update", "patch", "delete", "deletecollection")


@dataclass
class Deeds:
    """What one component asked of the API server: open watches, and writes by (verb, resource)."""

    watches: set[str] = field(default_factory=set)
    writes: Counter[tuple[str, str]] = field(default_factory=Counter)


def deeds(lines: Iterable[str]) -> dict[str, Deeds]:
    """By component (`kubelet-node-1`, `kube-scheduler`, `kube-proxy` for all of them). A line cut off is left out."""
    found: dict[str, Deeds] = {}
    open_: dict[str, tuple[str, str]] = {}
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        who = component(event)
        reference = event.get("objectRef") or {}
        if not who or not reference:
            continue
        mine, what = found.setdefault(who, Deeds()), resource(reference)
        if event["verb"] == "watch":
            if event["stage"] == "ResponseStarted":
                open_[event["auditID"]] = (who, what)
            else:
                open_.pop(event["auditID"], None)
        elif event["verb"] in WRITES and event["stage"] == "ResponseComplete" and _succeeded(event):
            mine.writes[event["verb"], what] += 1
    for who, what in open_.values():
        found[who].watches.add(what)
    return found


def _succeeded(event: dict[str, Any]) -> bool:
    return int((event.get("responseStatus") or {}).get("code", 0)) < 400


def component(event: dict[str, Any]) -> str:
    """Which component of the cluster asked; "" for anybody else."""
    name = str((event.get("user") or {}).get("username", ""))
    agent = str(event.get("userAgent", ""))
    if name.startswith("system:node:"):
        return f"kubelet-{name.removeprefix('system:node:')}"
    if name == "system:kube-proxy":
        return "kube-proxy" if agent.startswith("kube-proxy") else ""
    if name == "system:kube-scheduler":
        return "kube-scheduler"
    if agent.startswith("kube-controller-manager"):
        return "kube-controller-manager"
    return ""


def resource(reference: dict[str, Any]) -> str:
    """`deployments.apps`, `pods/binding`."""
    name = str(reference.get("resource", ""))
    if reference.get("apiGroup"):
        name += f".{reference['apiGroup']}"
    return f"{name}/{reference['subresource']}" if reference.get("subresource") else name


def told(found: Deeds) -> list[str]:
    """Two lines in words."""
    by_resource: dict[str, int] = {}
    for (_, what), count in found.writes.items():
        by_resource[what] = by_resource.get(what, 0) + count
    most = sorted(by_resource.items(), key=lambda pair: (-pair[1], pair[0]))
    writes = ", ".join(f"{what} ×{count}" for what, count in most) or "nothing so far"
    watches = sorted({what.partition(".")[0] for what in found.watches})
    many = f"{len(watches)} kinds: " if len(watches) > 15 else ""
    return [f"watches: {many}{', '.join(watches) or 'nothing'}", f"wrote: {writes}"]
