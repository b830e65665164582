"""Watches nodes, marks the silent ones, and taints. Upstream: `pkg/controller/nodelifecycle`. Decisions: `node_health`.

One timer, every 5 s, as upstream's; everything that a node's own change brings (a cordon, a Ready again) happens at
once.
"""

from __future__ import annotations

from workshop.api import conditions, meta
from workshop.api.errors import ApiError
from workshop.api.meta import Key, Obj, key_of
from workshop.api.resources import resource
from workshop.clock import to_beat

from . import node_health as health
from .base import Context, all_of, gather_running

NODES = resource("nodes")
PODS = resource("pods")
LEASES = "leases.coordination.k8s.io"


class NodeLifecycleController:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._clock = context.clock
        self._options = context.options
        self._queue = context.queue()
        self._recorder = context.recorders("node-controller")
        self._seen: dict[str, health.Health] = {}
        self._evicting: dict[str, float] = {}
        """zone → when its next node may be tainted NoExecute"""
        options = context.options
        self._limits = health.Limits(
            options.node_eviction_rate,
            options.secondary_node_eviction_rate,
            options.large_cluster_size_threshold,
            options.unhealthy_zone_threshold,
        )
        self._nodes = context.informer("nodes")
        self._leases = context.informer(LEASES)  # of all namespaces: the garbage collector follows them too
        self._pods = context.informer("pods")
        self._pods.store.add_index("node", _by_node)
        self._nodes.add_handler(self._added, self._updated, self._deleted)

    def _added(self, node: Obj) -> None:
        self._recorder.event(
            _about(node),
            "Normal",
            "RegisteredNode",
            f"Node {meta.name(node)} event: Registered Node {meta.name(node)} in Controller",
        )
        self._queue.add(key_of(node))

    def _updated(self, old: Obj, new: Obj) -> None:
        if _facts(old) != _facts(new):
            self._queue.add(key_of(new))

    def _deleted(self, node: Obj) -> None:
        self._seen.pop(meta.name(node), None)
        text = f"Node {meta.name(node)} event: Removing Node {meta.name(node)} from Controller"
        self._recorder.event(_about(node), "Normal", "RemovingNode", text)

    async def run(self) -> None:
        await gather_running(
            self._context.controller(self._queue, self.sync, workers=4).run(),
            self._monitor(),
        )

    async def _monitor(self) -> None:
        while True:
            await self.monitor_once()
            await self._clock.sleep(to_beat(self._clock.now(), self._options.node_monitor_period))

    async def monitor_once(self) -> None:
        """Look at every node: who has been silent for too long becomes Unknown."""
        now = self._clock.monotonic()
        silent: list[Obj] = []
        for node in self._nodes.store.list():
            name = meta.name(node)
            lease = self._leases.store.get(Key("kube-node-lease", name))
            seen = health.observe(node, lease, self._seen.get(name), now)
            self._seen[name] = seen
            period, startup = self._options.node_monitor_grace_period, self._options.node_startup_grace_period
            if now - seen.probed_at > health.grace(node, period, startup):
                silent.append(node)
            elif _ready(node) != "True" and not _has_no_execute(node):
                self._queue.add(key_of(node))
        await all_of(self._mark_unknown(node) for node in silent)

    async def _mark_unknown(self, node: Obj) -> None:
        new = health.unknown_conditions(node, self._clock.now())
        if new == ((node.get("status") or {}).get("conditions") or []):
            self._queue.add(key_of(node))
            return
        try:
            status = {**(node.get("status") or {}), "conditions": new}
            await self._client.update(NODES, {**node, "status": status}, "status")
        except (ApiError, OSError) as error:
            if not (isinstance(error, ApiError) and error.code in (404, 409)):
                raise
            return
        text = f"Node {meta.name(node)} status is now: NodeNotReady"
        self._recorder.event(_about(node), "Normal", "NodeNotReady", text)

    async def sync(self, key: Key) -> float | None:
        """Taints as the conditions say; the pods of an unready node are not ready."""
        node = self._nodes.store.get(key)
        if node is None:
            return None
        wait = self._wait_for_eviction(node)
        wanted = health.taints(node, evict=wait <= 0, now=self._clock.now())
        if wanted != (node["spec"].get("taints") or []):
            patch = {"metadata": {"resourceVersion": meta.resource_version(node)}, "spec": {"taints": wanted}}
            await self._client.patch(NODES, key.name, patch, type="application/merge-patch+json")
        if _ready(node) != "True":
            await self._mark_pods_not_ready(key.name)
            return wait if wait > 0 else None
        return None

    def _wait_for_eviction(self, node: Obj) -> float:
        """0 if this node may get its NoExecute taint now, else the seconds until it may be asked for again."""
        if _ready(node) == "True" or _has_no_execute(node):
            return 0.0
        zones: dict[str, list[int]] = {}
        for one in self._nodes.store.list():
            zones.setdefault(health.zone_of(one), [0, 0])[_ready(one) != "True"] += 1
        everything_down = all(ready == 0 for ready, _ in zones.values())
        zone = health.zone_of(node)
        ready, not_ready = zones[zone]
        # A node that says of itself that it is not ready is alive: only silence can be our own fault.
        rate = health.zone_rate(ready, not_ready, everything_down and _ready(node) == "Unknown", self._limits)
        if rate <= 0:
            return self._options.node_monitor_period
        now = self._clock.monotonic()
        due = self._evicting.get(zone, now)
        if due > now:
            return due - now
        self._evicting[zone] = now + 1.0 / rate
        return 0.0

    async def _mark_pods_not_ready(self, node: str) -> None:
        async def mark(pod: Obj) -> None:
            listed = (pod.get("status") or {}).get("conditions") or []
            new = {"type": "Ready", "status": "False"}
            merged = conditions.set(listed, new, self._clock.now())
            try:
                body = {"metadata": {"uid": meta.uid(pod)}, "status": {"conditions": merged}}
                await self._client.patch(PODS, meta.name(pod), body, meta.namespace(pod), subresource="status")
            except ApiError as error:
                if error.code not in (404, 409):
                    raise
                return
            self._recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready")

        ready = [pod for pod in self._pods.store.by_index("node", node) if conditions.is_true(pod, "Ready")]
        await all_of(mark(pod) for pod in ready)


def _by_node(pod: Obj) -> tuple[str]:
    return (pod["spec"].get("nodeName") or "",)


def _ready(node: Obj) -> str:
    return str((conditions.get(node, "Ready") or {}).get("status", "Unknown"))


def _has_no_execute(node: Obj) -> bool:
    return any(
        t["key"] in (health.NOT_READY, health.UNREACHABLE) and t["effect"] == "NoExecute"
        for t in node["spec"].get("taints") or ()
    )


def _facts(node: Obj) -> object:
    listed = (node.get("status") or {}).get("conditions") or ()
    spec = node["spec"]
    return {c["type"]: c["status"] for c in listed}, spec.get("unschedulable"), spec.get("taints"), health.zone_of(node)


def _about(node: Obj) -> Obj:
    """Events about nodes name the node in the place of its uid and live in `default`, as upstream's."""
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": meta.name(node), "uid": meta.uid(node)}}
