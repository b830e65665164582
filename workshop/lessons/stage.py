"""The state that a section of a lab needs: what differs from it, and how to get there from anywhere (`catch_up`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from workshop.clock import SYSTEM
from workshop.cluster.board import Row, World, rows
from workshop.cluster.facade import Cluster
from workshop.cluster.layout import ClusterError
from workshop.views.feed import Feed

from . import magic, own
from .exercise import Section

SETTLE = 30.0
"""Seconds that the workloads get to become what they should be."""
SHORT = {"deployment": "Deployment", "replicaset": "ReplicaSet", "pod": "Pod"}


@dataclass(frozen=True)
class Standing:
    """What of a cluster stands in no API. `components`: name → whether it runs; `programs`: the learner's that live."""

    components: Mapping[str, bool]
    swapped: Collection[Any]
    programs: Collection[str]

    @staticmethod
    def of(cluster: Cluster) -> Standing:
        """Raises ClusterError."""
        names = {component.name for component in cluster.plan().components}
        components = {row["name"]: row["state"] == "running" for row in cluster.ps() if row["name"] in names}
        return Standing(components, cluster.swapped(), own.living(cluster))


def differences(section: Section, now: Standing, world: World) -> list[str]:
    """PURE: in words, what keeps a learner from going on here.

    What does no harm is let pass: another number of replicas, a program of the learner's that runs. Objects that no
    board shows are not looked at.
    """
    found = []
    for name, runs in now.components.items():
        if name in section.stopped and runs:
            found.append(f"{name} runs")
        elif name not in section.stopped and not runs:
            found.append(f"{name} does not run")
    there = {_key(obj) for obj in (*world.workloads, *world.pods)}
    for wanted in section.objects:
        if wanted["kind"] in SHORT.values() and _key(wanted) not in there:
            found.append(f"there is no {wanted['kind']} {wanted['metadata']['name']}")
    for absent in section.absent:
        kind, _, name = absent.partition("/")
        if (SHORT.get(kind, kind), "default", name) in there:
            found.append(f"{absent} is still there")
    if now.swapped:
        found.append("a function is swapped in")
    found += [f"your program {name} does not run" for name in section.own if name not in now.programs]
    return found


def _key(obj: Mapping[str, Any]) -> tuple[str, str, str]:
    metadata = obj["metadata"]
    return str(obj["kind"]), str(metadata.get("namespace", "default")), str(metadata["name"])


def arrange(cluster: Cluster, section: Section, feed: Feed) -> None:
    """Make it so. Idempotent. Raises ClusterError."""
    cluster.unswap()
    for name in own.living(cluster):
        own.stop(cluster, name)
    start(cluster, section.stopped)
    late = {"etcd", "kube-apiserver"} & set(section.stopped)
    for name in set(section.stopped) - late:
        cluster.stop(name)
    for absent in section.absent:
        options = ["--ignore-not-found", "--wait=true", "--timeout=50s"]
        _kubectl(cluster, ["delete", *absent.split(), *options])
    if section.objects:
        given = json.dumps({"apiVersion": "v1", "kind": "List", "items": section.objects})
        _kubectl(cluster, ["apply", "--server-side", "--force-conflicts", "-f", "-"], given)
    if not set(section.stopped) - late:
        settle(feed, section, SETTLE)
    for name in late:
        cluster.stop(name)
    for name, source in section.own.items():
        own.start(cluster, name, source)
    if section.own and not late:
        settle(feed, section, SETTLE, met=lambda row: row.observed == row.desired)


def start(cluster: Cluster, but: Collection[str] = ()) -> None:
    """Start what is stopped and let go what is paused, and wait until the cluster is ready. Raises ClusterError."""
    components = {component.name for component in cluster.plan().components}
    for row in cluster.ps():
        if row["name"] not in components or row["name"] in but:
            continue
        # one that was stopped on purpose stays stopped until somebody asks for it: now somebody does
        if row["state"] == "paused":
            cluster.resume(row["name"])
        elif row["state"] == "stopped":
            cluster.start(row["name"])
    cluster.up()


def _kubectl(cluster: Cluster, arguments: list[str], given: str = "") -> None:
    status, said = magic.run(arguments, given, cluster.name)
    if status:
        raise ClusterError(said.strip())


def settle(feed: Feed, section: Section, seconds: float, met: Callable[[Row], bool] = lambda row: not row.next) -> bool:
    """Wait, by the board's watch, until the section's workloads are what they should be: nobody has to act next, or
    what `met` says of each (a learner's own loop acts where no component would)."""
    end = SYSTEM.monotonic() + seconds
    names = {obj["metadata"]["name"] for obj in section.objects if obj["kind"] in SHORT.values()}
    while True:
        seen = feed.sequence
        found = {row.name: met(row) for row in rows(feed.world) if row.name in names}
        if set(found) == names and all(found.values()):
            return True
        left = end - SYSTEM.monotonic()
        if left <= 0:
            return False
        feed.wait_for_change(seen, left)
