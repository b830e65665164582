"""The three figures of a cluster: cold start, memory and idle load, a Deployment of many pods.

Each function returns `Figure`s: a name, the median of some runs, and the limit and the aim where the project has them.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workshop.cluster.ready import Waiter

from .clusters import Either, memory, processor_seconds

Make = Callable[..., Either]
MB = 1_000_000


@dataclass(frozen=True)
class Figure:
    name: str
    value: float
    unit: str
    limit: float | None = None
    aim: float | None = None
    detail: str = ""

    @property
    def verdict(self) -> str:
        if self.limit is None:
            return ""
        if self.aim is not None and self.value <= self.aim:
            return "aim reached"
        return "within the limit" if self.value <= self.limit else "MISSED"


def spread(values: list[float], digits: int = 2) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in sorted(values))


def cold_start(make: Make, runs: int) -> list[Figure]:
    """Fresh state directory, nothing running, certificates made: until all nodes are Ready."""
    times = []
    for _ in range(runs):
        cluster = make(nodes=2)
        try:
            times.append(cluster.up())
        finally:
            cluster.down()
    return [Figure("cold start, 2 nodes Ready", statistics.median(times), "s", 2.0, 1.0, spread(times))]


def at_rest(make: Make, settle: float, span: float) -> list[Figure]:
    """Memory `settle` seconds after Ready, then the processor's time over `span` seconds."""
    cluster = make(nodes=2)
    try:
        cluster.up()
        time.sleep(settle)
        processes = cluster.processes()
        held = memory(processes)
        before, begun = processor_seconds(processes), time.perf_counter()
        time.sleep(span)
        after, spent = processor_seconds(processes), time.perf_counter() - begun
    finally:
        cluster.down()
    used = {name: 100 * (after[name] - before[name]) / spent for name in before if name in after}
    return [
        Figure("memory (PSS), 2 nodes", sum(held.values()) / MB, "MB", 200, 100, _ranked(held, MB)),
        Figure("idle load, 2 nodes", sum(used.values()), "% of a core", 3.0, None, _ranked(used, 1)),
    ]


def _ranked(values: dict[str, Any], unit: float) -> str:
    ordered = sorted(values.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{name} {value / unit:.1f}" for name, value in ordered)


def many_pods(make: Make, runs: int, replicas: int = 500) -> list[Figure]:
    """One Deployment on 4 nodes of the simulated runtime: from `kubectl create deployment` until all are Ready."""
    times, loads = [], []
    for _ in range(runs):
        cluster = make(nodes=4, simulated=True)
        try:
            cluster.up()
            processes = cluster.processes()
            before = processor_seconds(processes)
            begun = time.perf_counter()
            _create(cluster, replicas)
            _until_ready(cluster, replicas)
            times.append(time.perf_counter() - begun)
            after = processor_seconds(processes)
            loads.append({name: after[name] - before[name] for name in before})
        finally:
            cluster.down()
    name = f"{replicas} pods on 4 nodes Ready"
    return [Figure(name, statistics.median(times), "s", 10.0, 3.0, f"{spread(times)}; CPU s: {_ranked(loads[-1], 1)}")]


def _create(cluster: Either, replicas: int) -> None:
    kubectl = os.environ.get("KUBECTL") or shutil.which("kubectl")
    if kubectl:
        words = ["create", "deployment", "web", "--image=nginx", f"--replicas={replicas}"]
        command = [kubectl, "--kubeconfig", str(cluster.layout.admin_conf), *words]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return
    container = {"name": "nginx", "image": "nginx"}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
    waiter = _waiter(cluster)
    connection = http.client.HTTPSConnection(cluster.plan.addresses.outside, 6443, context=waiter.tls)
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/apis/apps/v1/namespaces/default/deployments", json.dumps(body), headers)
    if connection.getresponse().status != 201:
        raise SystemExit("the Deployment was refused")


def _waiter(cluster: Either) -> Waiter:
    return Waiter(cluster.plan, cluster.layout, 180, lambda: None)


def _until_ready(cluster: Either, replicas: int) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments?watch=1&fieldSelector=metadata.name%3Dweb"
    with _waiter(cluster).get(path, "the pods did not become Ready") as answer:
        while line := answer.readline():
            if json.loads(line)["object"].get("status", {}).get("readyReplicas") == replicas:
                return
    raise SystemExit("the watch ended early")
