"""The API server under load: requests a second by verb, lists, and one change to many watchers.

16 JSON clients on the same machine, Pods of a Deployment's shape. The client is cheap (`http_load`), and its own share
of a processor is told.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Iterable, Iterator

from . import http_load
from .clusters import Either, memory, processor_seconds
from .figures import MB, Figure, Make
from .http_load import Connection, Target, request

CLIENTS = 16
CHANGES = 100
PODS = "/api/v1/namespaces/default/pods"
MERGE = "application/merge-patch+json"


def pod(number: int) -> bytes:
    """A pod as a ReplicaSet would make it; it asks for no node, so nobody runs it."""
    container = {
        "name": "nginx", "image": "nginx", "ports": [{"containerPort": 80}],
        "env": [{"name": "A", "value": "x" * 200}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "readinessProbe": {"httpGet": {"path": "/", "port": 80}},
    }  # fmt: skip
    metadata = {"name": f"load-{number}", "labels": {"app": "load", "pod-template-hash": "5d8f7c"}}
    spec = {"containers": [container], "schedulerName": "nobody"}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}).encode()


def creations(count: int) -> Iterator[bytes]:
    return (request("POST", PODS, pod(number)) for number in range(count))


def gets(count: int, pods: int) -> Iterator[bytes]:
    return (request("GET", f"{PODS}/load-{number * 7 % pods}") for number in range(count))


def patches(count: int, pods: int) -> Iterator[bytes]:
    for number in range(count):
        body = b'{"metadata":{"annotations":{"n":"%d"}}}' % number
        yield request("PATCH", f"{PODS}/load-{number % pods}", body, MERGE)


def deletions(count: int) -> Iterator[bytes]:
    return (request("DELETE", f"{PODS}/load-{number}") for number in range(count))


async def fan_out(
    target: Target, connections: list[Connection], watchers: int, processes: dict[str, int]
) -> tuple[list[float], dict[str, float]]:
    """Seconds from sending a change until each watcher has its event, for each change and watcher; and the processors'
    seconds that all changes took."""
    sent = 0.0
    delays: list[float] = []
    waiting = 0
    all_here = asyncio.Event()

    def event(count: int) -> None:
        nonlocal waiting
        delays.append(time.perf_counter() - sent)
        waiting -= count
        if waiting <= 0:
            all_here.set()

    following = await http_load.connect(target, watchers)
    raw = request("GET", f"{PODS}?watch=1&fieldSelector=metadata.name%3Dload-0&resourceVersion=0&timeoutSeconds=600")
    waiting = watchers
    await asyncio.gather(*(one.follow(raw, event) for one in following))
    await asyncio.wait_for(all_here.wait(), 60)  # each has seen the pod as it is
    delays.clear()
    before = processor_seconds(processes)
    for number in range(CHANGES):
        waiting = watchers
        all_here.clear()
        sent = time.perf_counter()
        body = b'{"metadata":{"annotations":{"change":"%d"}}}' % number
        await connections[0].ask(request("PATCH", f"{PODS}/load-0", body, MERGE))
        await asyncio.wait_for(all_here.wait(), 60)
    after = processor_seconds(processes)
    for one in following:
        one.close()
    return sorted(delays), {name: after[name] - before[name] for name in before}


async def verbs(cluster: Either, pods: int, watchers: int) -> list[Figure]:
    target = Target.of(str(cluster.layout.admin_conf))
    account = request("POST", "/api/v1/namespaces/default/serviceaccounts", b'{"metadata":{"name":"default"}}')
    connections = await http_load.connect(target, CLIENTS)
    await connections[0].ask(account)  # without a controller nobody else makes it
    calls, lists = max(2000, pods), max(CLIENTS, 64_000 // pods)
    half = request("GET", f"{PODS}?limit={pods // 2}")
    whole = request("GET", f"{PODS}?resourceVersion=0")
    processes = cluster.processes()
    figures = []

    async def figure(name: str, requests: Iterable[bytes]) -> None:
        before = processor_seconds(processes)
        result = await http_load.run(connections, requests)
        after = processor_seconds(processes)
        spent = {name: 1000 * (after[name] - before[name]) / result.count for name in before}
        cpu = ", ".join(f"{name} {value:.2f}" for name, value in spent.items() if value >= 0.01)
        detail = f"p50 {result.median:.1f} ms, p99 {result.p99:.1f} ms; CPU ms a request: {cpu}; "
        figures.append(
            Figure(name, result.rate, "a second", detail=f"{detail}client {100 * result.own:.0f} % of a core")
        )

    await figure(f"create {pods} pods", creations(pods))
    await figure("get", gets(calls, pods))
    await figure(f"list of {pods // 2}", [half] * lists)
    await figure(f"list of {pods} from cache", [whole] * lists)
    await figure("merge patch", patches(min(calls, 3000), pods))
    delays, spent = await fan_out(target, connections, watchers, processes)
    cost = ", ".join(f"{name} {1e6 * value / len(delays):.0f}" for name, value in spent.items() if value >= 0.01)
    cost = f"CPU µs an event and watcher: {cost}"
    figures.append(Figure(f"change to {watchers} watchers, p50", 1000 * statistics.median(delays), "ms", detail=cost))
    figures.append(Figure(f"change to {watchers} watchers, p99", 1000 * delays[len(delays) * 99 // 100], "ms"))
    server = {name: pid for name, pid in cluster.processes().items() if name == "kube-apiserver"}
    figures.append(Figure("memory (PSS) of kube-apiserver", sum(memory(server).values()) / MB, "MB"))
    await figure("delete", deletions(pods))
    for one in connections:
        one.close()
    return [Figure(f"API: {f.name}", f.value, f.unit, detail=f.detail) for f in figures]


def requests(make: Make, pods: int = 1000, watchers: int = 100) -> list[Figure]:
    cluster: Either = make(nodes=0)
    try:
        cluster.up()
        return asyncio.run(verbs(cluster, pods, watchers))
    finally:
        cluster.down()
