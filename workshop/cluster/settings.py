"""What `up` is to run: the settings that are asked for, those that the cluster has, and the plan that comes of both.

no cluster yet     what was asked for, else what is usual; addresses are taken
it is down         as it was made, but for what may change: nodes, runtime, pods a node
it is running      what is asked for has to be what it has
"""

from __future__ import annotations

import os
import socket
from dataclasses import asdict, dataclass
from typing import Any

from workshop.cluster import blocks, launch
from workshop.cluster import plan as planning
from workshop.cluster.layout import ClusterError, Layout
from workshop.cluster.plan import Plan


@dataclass(frozen=True)
class Settings:
    """None: not asked for."""

    nodes: int | None = None
    masters: int | None = None
    runtime: str | None = None
    max_pods: int | None = None
    mode: str | None = None
    lab: bool | None = None
    only: tuple[str, ...] = ()


def check_running(name: str, old: Plan, asked: Settings) -> None:
    """Raises ClusterError when something is asked for that the running cluster has not."""
    for setting, want in {**asdict(asked), "only": asked.only or None}.items():
        has = len(old.nodes) if setting == "nodes" else getattr(old, setting)
        if want is not None and want != has:
            raise ClusterError(
                f"cluster {name!r} is running with other settings "
                f"({setting}: {_told(has)}, asked for: {_told(want)}): `workshop down --name {name}` first"
            )


def decide(name: str, layout: Layout, old: Plan | None, asked: Settings) -> tuple[Plan, socket.socket | None]:
    """The plan of a cluster that does not run, and the lock on its addresses. `old`: the plan that it had.

    Raises ClusterError."""
    if old is not None and asked.masters not in (None, old.masters):
        raise ClusterError(
            f"cluster {name!r} was made with {old.masters} master{'s' * (old.masters != 1)}, its etcd too: "
            f"`workshop reset --name {name} --masters {asked.masters}` makes it anew"
        )
    runtime = asked.runtime or (old.runtime if old else os.environ.get("WORKSHOP_RUNTIME") or "process")
    endpoint = launch.docker_engine(old) if runtime == "docker" else ""
    mode, why = _mode(name, old, asked.mode, runtime)
    block, guard = _addresses(name, layout, old, mode)
    try:
        plan = planning.make(
            name,
            str(layout.root),
            mode=mode,
            why=why,
            block=block,
            nodes=asked.nodes if asked.nodes is not None else len(old.nodes) if old and old.nodes else 2,
            masters=asked.masters or (old.masters if old else 1),
            only=asked.only or (old.only if old else ()),
            runtime=runtime,
            runtime_endpoint=endpoint,
            max_pods=asked.max_pods or (old.max_pods if old else None) or 110,
            lab=asked.lab if asked.lab is not None else old is not None and old.lab,
        )
    except ValueError as error:
        raise ClusterError(str(error)) from error
    return plan, guard


def of(old: Plan) -> dict[str, Any]:
    """The settings of a plan, for a cluster that is made anew with the same ones. The mode only if it was asked for."""
    return {
        "nodes": len(old.nodes) or None,
        "masters": old.masters,
        "runtime": old.runtime,
        "max_pods": old.max_pods,
        "lab": old.lab,
        **({"mode": old.mode} if old.asked_for else {}),
    }


def _mode(name: str, old: Plan | None, forced: str | None, runtime: str) -> tuple[str, str]:
    """(the mode, why that one)."""
    if old is not None:
        if forced not in (None, old.mode):
            raise ClusterError(
                f"cluster {name!r} was made in mode {old.mode}, and its addresses with it: "
                f"`workshop reset --name {name} --mode {forced}` makes it anew"
            )
        return old.mode, old.why
    from workshop.cluster.network import choose

    found = choose.choose(forced)
    if runtime == "docker" and found.mode == "userns" and forced is None:
        return "plain", "the Docker Engine's containers are outside any user namespace of ours"
    return found.mode, found.why


def _addresses(name: str, layout: Layout, old: Plan | None, mode: str) -> tuple[int, socket.socket | None]:
    """The cluster's block, and the lock on it; none where something of the cluster lives on and has them."""
    if old is None:
        return blocks.take(os.geteuid(), name, mode)
    from workshop.cluster import sweep

    if sweep.survivors(layout, old):
        return old.block, None
    guard = blocks.lock(old.block)
    if guard is None or not blocks.free(old.block):
        raise ClusterError(
            f"the addresses of cluster {name!r} ({old.addresses.range}) are in use by something else: "
            f"stop that, or make the cluster anew with `workshop reset --name {name}`"
        )
    return old.block, guard


def _told(setting: Any) -> str:
    """A setting as `up` takes it: `2`, `etcd,kube-apiserver`, `yes`."""
    if isinstance(setting, bool):
        return "yes" if setting else "no"
    return (",".join(setting) or "everything") if isinstance(setting, tuple) else str(setting)
