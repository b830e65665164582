"""The API server under a client's load: each verb's requests a second, and events a second through many watches.

The client is Python and shares the machine with the server (and keeps its own processor busy): what counts is the
ratio between the two servers, not the number.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import Awaitable, Callable

from workshop.api.meta import Obj
from workshop.api.resources import resource
from workshop.client.rest import Client

from .clusters import Either
from .figures import Figure, Make

CLIENTS = 16
WATCHES = 50
EVENTS = 200
PODS = 500
MAPS = resource("configmaps")
POD = resource("pods")
LABELS = {"app": "load", "pod-template-hash": "5d8f7c"}


def config_map(name: str) -> Obj:
    metadata = {"name": name, "labels": LABELS}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"text": "x" * 400}}


async def rate(clients: list[Client], calls: int, call: Callable[[Client, int], Awaitable[object]]) -> float:
    """`calls` calls shared out among the clients; how many a second."""
    begun = time.perf_counter()

    async def worker(which: int) -> None:
        for number in range(which, calls, len(clients)):
            await call(clients[which], number)

    await asyncio.gather(*(worker(which) for which in range(len(clients))))
    return calls / (time.perf_counter() - begun)


async def verbs(conf: str, calls: int) -> dict[str, float]:
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client.from_kubeconfig(conf)) for _ in range(CLIENTS)]
        where = "default"
        merge = "application/merge-patch+json"
        found = {
            "create": await rate(clients, calls, lambda c, i: c.create(MAPS, config_map(f"m-{i}"), where)),
            "get": await rate(clients, calls, lambda c, i: c.get(MAPS, f"m-{i}", where)),
            "patch": await rate(
                clients, calls, lambda c, i: c.patch(MAPS, f"m-{i}", {"data": {"n": str(i)}}, where, type=merge)
            ),
            f"list of {calls}": await rate(clients, 20, lambda c, i: c.list(MAPS, where)),
        }
        found[f"events through {WATCHES} watches"] = await fan_out(clients)
        found["delete"] = await rate(clients, calls, lambda c, i: c.delete(MAPS, f"m-{i}", where))
        return found


async def fan_out(clients: list[Client]) -> float:
    """Events a second, over all the watches, while one client writes as fast as it can."""
    seen = 0
    version = (await clients[0].list(MAPS, "default", limit=1))["metadata"]["resourceVersion"]

    async def watcher(client: Client) -> None:
        nonlocal seen
        count = 0
        stream = client.watch(MAPS, "default", resource_version=version)
        async for _ in stream:
            seen += 1
            count += 1
            if count == EVENTS:
                return

    watchers = [asyncio.ensure_future(watcher(clients[i % len(clients)])) for i in range(WATCHES)]
    await asyncio.sleep(0.5)
    begun = time.perf_counter()
    await rate(clients[:4], EVENTS, lambda c, i: c.create(MAPS, config_map(f"w-{i}"), "default"))
    await asyncio.gather(*watchers)
    return seen / (time.perf_counter() - begun)


def requests(make: Make, runs: int, calls: int = 1000) -> list[Figure]:
    results: list[dict[str, float]] = []
    for _ in range(runs):
        cluster: Either = make(nodes=0)
        try:
            cluster.up()
            results.append(asyncio.run(verbs(str(cluster.layout.admin_conf), calls)))
        finally:
            cluster.down()
    return [Figure(f"API: {name}", statistics.median(r[name] for r in results), "a second") for name in results[0]]
