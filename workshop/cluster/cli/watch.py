"""`workshop watch`: the board in a terminal, redrawn when something changes."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from workshop.api.resources import resource
from workshop.client.informer import Informer
from workshop.client.rest import Client
from workshop.cluster import observer
from workshop.cluster.board import World, rows
from workshop.cluster.facade import Cluster

KINDS = ("deployments.apps", "replicasets.apps", "statefulsets.apps", "daemonsets.apps")
LOOK_SECONDS = 0.5
"""How often the operating system is looked at: `/proc` tells of no change by itself."""


def watch(arguments: argparse.Namespace) -> int:
    cluster = Cluster(arguments.name)
    cluster.kubeconfig()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_watch(cluster, arguments.namespace, arguments.once))
    return 0


async def _watch(cluster: Cluster, namespace: str | None, once: bool) -> None:
    client = Client.from_kubeconfig(str(cluster.kubeconfig()))
    workloads = [Informer(client, resource(kind), namespace=namespace) for kind in KINDS]
    pods = Informer(client, resource("pods"), namespace=namespace)
    tasks = [asyncio.ensure_future(informer.run()) for informer in (*workloads, pods)]
    console = Console()
    try:
        with contextlib.suppress(TimeoutError):
            waiting = asyncio.gather(*(informer.synced.wait() for informer in (*workloads, pods)))
            await asyncio.wait_for(waiting, 5.0 if once else 1.0)
        if once:
            console.print(_picture(cluster, workloads, pods))
            return
        with Live(_picture(cluster, workloads, pods), console=console, auto_refresh=False, screen=True) as live:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                live.update(_picture(cluster, workloads, pods), refresh=True)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await client.close()


def _picture(cluster: Cluster, workloads: list[Informer], pods: Informer) -> Group:
    plan = cluster.plan()
    processes = observer.processes(plan, cluster.layout)
    observed: dict[str, int] = {}
    for container in observer.containers(plan, cluster.layout):
        if container["pod"]:
            observed[container["pod"]] = observed.get(container["pod"], 0) + 1
    world = World(
        workloads=tuple(obj for informer in workloads for obj in informer.store.list()),
        pods=tuple(pods.store.list()),
        observed=observed,
        running=frozenset(row["name"] for row in processes if row["state"] == "running"),
    )
    return Group(_processes(processes), _workloads(world), Text("Ctrl-C ends", style="dim"))


def _processes(processes: list[dict[str, Any]]) -> Table:
    table = Table(title="Processes", title_justify="left", expand=False)
    for head in ("name", "pid", "state", "restarts"):
        table.add_column(head)
    for row in processes:
        style = "" if row["state"] == "running" else "bold red"
        table.add_row(row["name"], str(row["pid"] or "-"), row["state"], str(row["restarts"] or 0), style=style)
    return table


def _workloads(world: World) -> Table:
    table = Table(title="Workloads", title_justify="left", expand=False)
    for head in ("workload", "desired", "reported", "observed", "who acts next"):
        table.add_column(head)
    for row in rows(world):
        style = "green" if not row.next else "yellow"
        name = f"{row.kind.lower()}/{row.name}" + ("" if row.namespace == "default" else f" ({row.namespace})")
        table.add_row(name, str(row.desired), str(row.reported), str(row.observed), row.next or "nobody", style=style)
    return table
