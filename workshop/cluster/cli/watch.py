"""`workshop watch`: the board in a terminal, redrawn when something changes."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from typing import Any

from rich.columns import Columns
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from workshop.api.resources import resource
from workshop.client.informer import Informer
from workshop.client.rest import Client
from workshop.cluster import observer
from workshop.cluster.board import World, rows, runs
from workshop.cluster.facade import Cluster

KINDS = (
    "deployments.apps", "replicasets.apps", "statefulsets.apps", "daemonsets.apps", "jobs.batch",
    "replicationcontrollers",
)  # fmt: skip
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
            console.print(_look(cluster, workloads, pods))
            return
        with Live(_look(cluster, workloads, pods), console=console, auto_refresh=False, screen=True) as live:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                live.update(_look(cluster, workloads, pods), refresh=True)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await client.close()


def _look(cluster: Cluster, workloads: list[Informer], pods: Informer) -> Group:
    plan = cluster.plan()
    processes = observer.now(plan, cluster.layout)
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
    synced = all(informer.synced.is_set() for informer in (*workloads, pods))
    return picture(f"{plan.name}: {observer.summary(plan, processes)}", processes, world, synced)


def picture(title: str, processes: list[dict[str, Any]], world: World, synced: bool) -> Group:
    """PURE: workloads first: a small terminal shows the upper part alone. `synced`: the API has been heard once."""
    notes = [Text("Ctrl-C ends", style="dim")]
    if not all(runs(name, world.running) for name in ("etcd", "kube-apiserver")):
        notes.insert(
            0, Text("desired and reported are the API server's last word: it cannot answer now", style="yellow")
        )
    elif not synced:
        notes.insert(0, Text("the API server has not answered yet", style="yellow"))
    return Group(Text(title, style="bold"), _workloads(world, synced), _processes(processes), *notes)


def _processes(processes: list[dict[str, Any]]) -> Columns:
    """`● etcd 4711   ✕ kube-scheduler stopped`: as many in a line as fit."""
    entries = []
    for row in processes:
        lives = row["state"] == "running"
        again = f" (started again {row['restarts']}×)" if row["restarts"] else ""
        said = f"{'●' if lives else '✕'} {row['name']} {row['pid'] if lives else row['state']}{again}"
        entries.append(Text(said, style="" if lives else "bold red", no_wrap=True))
    return Columns(entries, padding=(0, 3))


def _workloads(world: World, synced: bool) -> Table:
    table = Table(expand=False)
    for head in ("workload", "desired", "reported", "observed", "who acts next"):
        table.add_column(head)
    for row in rows(world):
        style = "green" if not row.next else "yellow"
        name = f"{row.kind.lower()}/{row.name}" + ("" if row.namespace == "default" else f" ({row.namespace})")
        table.add_row(name, str(row.desired), str(row.reported), str(row.observed), row.next or "nobody", style=style)
    if not table.row_count:
        table.add_row(
            "no workload yet" if synced else "not known",
            "-",
            "-",
            "-",
            "you: kubectl create deployment …" if synced else "",
        )
    return table
