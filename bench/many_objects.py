"""`python -m bench.many_objects PORT RATE`: an API server's list and watch over 5,000 objects of which pods change.

Only what an informer needs, and cheap to serve: what is measured is the board, not the server.
"""

from __future__ import annotations

import asyncio
import random
import sys
from typing import Any
from urllib.parse import parse_qs

import msgspec

from workshop import serving

NODES, PODS, OTHERS = 10, 1000, 997
WEB = "/apis/apps/v1"


def objects() -> dict[str, dict[str, Any]]:
    """5,000 objects by collection and key: Deployments, their ReplicaSets, their pods on ten nodes; Services."""
    found: dict[str, dict[str, Any]] = {}

    def put(collection: str, name: str, namespace: str | None = "default", owner: Any = None, **rest: Any) -> Any:
        kind = rest.pop("kind")
        metadata: dict[str, Any] = {"name": name, "uid": f"{kind}-{name}", "resourceVersion": "1"}
        metadata |= {"namespace": namespace} if namespace else {}
        if owner is not None:
            reference = {"kind": owner["kind"], "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
            metadata["ownerReferences"] = [{**reference, "apiVersion": "apps/v1", "controller": True}]
        metadata["labels"] = rest.pop("labels", {})
        obj = {"kind": kind, "apiVersion": "v1", "metadata": metadata, "spec": {}, "status": {}, **rest}
        found.setdefault(collection, {})[name] = obj
        return obj

    for n in range(NODES):
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        put("/api/v1/nodes", f"node-{n}", None, kind="Node", status=ready)
    for n in range(PODS):
        replicas = {"replicas": 1}
        web = put(f"{WEB}/deployments", f"web-{n}", kind="Deployment", spec=replicas, status={"readyReplicas": 1})
        below = put(f"{WEB}/replicasets", f"web-{n}-1", owner=web, kind="ReplicaSet", spec=replicas)
        put("/api/v1/pods", f"web-{n}-1-x", owner=below, kind="Pod", spec={"nodeName": f"node-{n % NODES}",
            "containers": [{"name": "web", "image": "nginx"}]}, status=status(True))  # fmt: skip
    for n in range(OTHERS):
        put(
            "/api/v1/services",
            f"web-{n}",
            kind="Service",
            spec={"clusterIP": f"10.0.{n // 250}.{n % 250}", "ports": []},
        )
    for n in range(5000 - NODES - 3 * PODS - OTHERS):
        put("/apis/discovery.k8s.io/v1/endpointslices", f"web-{n}-e", kind="EndpointSlice", ports=[{"port": 80}],
            labels={"kubernetes.io/service-name": f"web-{n}"}, endpoints=[{"addresses": [f"10.1.0.{n % 250}"],
            "targetRef": {"kind": "Pod", "namespace": "default", "name": f"web-{n}-1-x"}}])  # fmt: skip
    return found


def status(ready: bool) -> dict[str, Any]:
    return {"phase": "Running", "conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}


class Api:
    def __init__(self, rate: float) -> None:
        self.objects, self.version, self.rate = objects(), 1, rate
        self.watches: dict[str, set[asyncio.Queue[bytes]]] = {}
        self.pods = list(self.objects["/api/v1/pods"].values())

    async def churn(self) -> None:
        """A pod becomes ready or unready, `rate` times a second, once somebody watches."""
        rng, loop = random.Random(1), asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + 1 / self.rate, loop.time() - 0.1)
            await asyncio.sleep(max(0.0, due - loop.time()))
            place = rng.randrange(len(self.pods))
            old = self.pods[place]
            self.version += 1
            ready = old["status"]["conditions"][0]["status"] != "True"
            metadata = {**old["metadata"], "resourceVersion": str(self.version)}
            new = self.pods[place] = {**old, "metadata": metadata, "status": status(ready)}
            self.objects["/api/v1/pods"][metadata["name"]] = new
            line = msgspec.json.encode({"type": "MODIFIED", "object": new}) + b"\n"
            for queue in self.watches.get("/api/v1/pods", ()):
                queue.put_nowait(line)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"].replace("/namespaces/kube-system", "")
        query = parse_qs(scope["query_string"].decode())
        items = list(self.objects.get(path, {}).values())
        head = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}
        await send(head)
        if query.get("watch") != ["true"]:
            listing = {"kind": "List", "metadata": {"resourceVersion": str(self.version)}, "items": items}
            await send({"type": "http.response.body", "body": msgspec.json.encode(listing)})
            return
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.watches.setdefault(path, set()).add(queue)
        try:
            for obj in items if "sendInitialEvents" in query else ():
                line = msgspec.json.encode({"type": "ADDED", "object": obj}) + b"\n"
                await send({"type": "http.response.body", "body": line, "more_body": True})
            end = {"annotations": {"k8s.io/initial-events-end": "true"}, "resourceVersion": str(self.version)}
            queue.put_nowait(msgspec.json.encode({"type": "BOOKMARK", "object": {"metadata": end}}) + b"\n")
            while True:
                await send({"type": "http.response.body", "body": await queue.get(), "more_body": True})
        finally:
            self.watches[path].discard(queue)


async def main(port: int, rate: float) -> None:
    api = Api(rate)
    async with serving.serve(api, [serving.listen("127.0.0.1", port)]):
        print("ready", flush=True)
        await api.churn()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
