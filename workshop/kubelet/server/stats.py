"""How much the node's containers use. Upstream: `pkg/kubelet/server/stats`, `pkg/kubelet/metrics/collectors`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workshop.clock import rfc3339
from workshop.kubelet import cri
from workshop.kubelet.pods import Obj

if TYPE_CHECKING:
    from workshop.kubelet.run import Kubelet


async def summary(kubelet: Kubelet) -> Obj:
    """`/stats/summary`: what each container uses now."""
    now = rfc3339(kubelet.clock.now())
    found = []
    for pod in kubelet.pod_informer.store.list():
        entries = []
        for status in await kubelet.runtime.list_containers(pod["metadata"]["uid"]):
            if status.state != cri.RUNNING:
                continue
            used = await kubelet.runtime.container_stats(status.id)
            memory, cpu = int(used.get("memory_bytes", 0)), int(used.get("cpu_seconds", 0) * 1e9)
            entries.append(
                {
                    "name": status.name,
                    "startTime": rfc3339(status.started_at),
                    "cpu": {"time": now, "usageCoreNanoSeconds": cpu},
                    "memory": {"time": now, "workingSetBytes": memory, "usageBytes": memory},
                }
            )
        meta = pod["metadata"]
        ref = {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]}
        found.append({"podRef": ref, "containers": entries})
    return {"node": {"nodeName": kubelet.config.node_name, "startTime": now}, "pods": found}


async def metrics(kubelet: Kubelet, rest: list[str]) -> bytes:
    """`/metrics`, and `/metrics/resource` with what each container uses, as Prometheus reads it."""
    running = [c for c in await kubelet.runtime.list_containers() if c.state == cri.RUNNING]
    lines = [
        "# HELP kubelet_running_pods [BETA] Number of pods that have a running pod sandbox",
        "# TYPE kubelet_running_pods gauge",
        f"kubelet_running_pods {len({c.sandbox_id for c in running})}",
        "# HELP kubelet_running_containers [BETA] Number of containers currently running",
        "# TYPE kubelet_running_containers gauge",
        f'kubelet_running_containers{{container_state="running"}} {len(running)}',
    ]
    if rest == ["resource"]:
        lines = [
            "# TYPE container_memory_working_set_bytes gauge",
            "# TYPE container_cpu_usage_seconds_total counter",
        ]
        for status in running:
            used = await kubelet.runtime.container_stats(status.id)
            namespace, pod = status.labels.get(cri.POD_NAMESPACE, ""), status.labels.get(cri.POD_NAME, "")
            where = f'container="{status.name}",namespace="{namespace}",pod="{pod}"'
            lines.append(f"container_memory_working_set_bytes{{{where}}} {int(used.get('memory_bytes', 0))}")
            lines.append(f"container_cpu_usage_seconds_total{{{where}}} {used.get('cpu_seconds', 0)}")
    return ("\n".join(lines) + "\n").encode()
