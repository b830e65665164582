"""The Node object as kubelet writes it. Pure. Upstream: `pkg/kubelet/nodestatus/setters.go`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from workshop.clock import rfc3339
from workshop.kubelet import cri
from workshop.kubelet.config import KubeletConfig
from workshop.kubelet.pods import Obj

VERSION = "v1.36.2"
IMAGES = 50
DECLARED = (
    "ExtendWebSocketsToKubelet",
    "InPlacePodVerticalScalingInitContainers",
    "RestartAllContainersOnContainerExits",
)
"""Of upstream's `component-helpers/nodedeclaredfeatures` those that this kubelet has."""
TOLD = {
    ("MemoryPressure", "False"): "NodeHasSufficientMemory",
    ("DiskPressure", "False"): "NodeHasNoDiskPressure",
    ("PIDPressure", "False"): "NodeHasSufficientPID",
    ("Ready", "True"): "NodeReady",
    ("Ready", "False"): "NodeNotReady",
}


@dataclass(frozen=True)
class Machine:
    """What the machine is and has."""

    cpus: int
    memory_bytes: int
    disk_bytes: int
    machine_id: str
    boot_id: str
    kernel: str
    os_image: str
    architecture: str
    operating_system: str = "linux"


def capacity(machine: Machine, max_pods: int) -> dict[str, str]:
    """Quantities as upstream writes them."""
    return {
        "cpu": str(machine.cpus),
        "ephemeral-storage": f"{machine.disk_bytes // 1024}Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "memory": f"{machine.memory_bytes // 1024}Ki",
        "pods": str(max_pods),
    }


def allocatable(found: dict[str, str]) -> dict[str, str]:
    """Capacity less what eviction keeps free (100 MiB of memory, a tenth of the disk)."""
    memory = int(found["memory"].removesuffix("Ki")) - 100 * 1024
    disk = int(found["ephemeral-storage"].removesuffix("Ki")) * 1024 * 9 // 10
    return {**found, "memory": f"{memory}Ki", "ephemeral-storage": str(disk)}


def labels(config: KubeletConfig, machine: Machine) -> dict[str, str]:
    return {
        "beta.kubernetes.io/arch": machine.architecture,
        "beta.kubernetes.io/os": machine.operating_system,
        "kubernetes.io/arch": machine.architecture,
        "kubernetes.io/hostname": config.node_name,
        "kubernetes.io/os": machine.operating_system,
        **config.node_labels,
    }


def taint(text: str) -> Obj:
    """`key=value:effect`. Raises ValueError."""
    head, colon, effect = text.rpartition(":")
    if not colon or effect not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
        raise ValueError(f"invalid taint spec: {text}")
    key, _, value = head.partition("=")
    return {"key": key, "effect": effect, **({"value": value} if value else {})}


def initial(config: KubeletConfig, machine: Machine) -> Obj:
    """The object at registration."""
    taints = [taint(text) for text in config.register_with_taints]
    if config.cloud_provider == "external":
        taints.append(
            {"key": "node.cloudprovider.kubernetes.io/uninitialized", "value": "true", "effect": "NoSchedule"}
        )
    node: Obj = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": config.node_name,
            "labels": labels(config, machine),
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
        },
        "spec": {},
    }
    if taints:
        node["spec"]["taints"] = taints
    if config.pod_cidr:
        node["spec"] |= {"podCIDR": config.pod_cidr, "podCIDRs": [config.pod_cidr]}
    return node


def conditions(old: Iterable[Obj], runtime: cri.RuntimeStatus, now: float) -> list[Obj]:
    """The four conditions. Ready is False with upstream's words while the network is not there."""
    problems = [
        f"container runtime network not ready: {c.type}=false reason:{c.reason} message:{c.message}"
        if c.type == "NetworkReady"
        else f"container runtime not ready: {c.type}=false reason:{c.reason} message:{c.message}"
        for c in runtime.conditions
        if not c.status
    ]
    wanted = [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "False", "KubeletNotReady", "; ".join(problems))
        if problems
        else ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ]
    before = {condition["type"]: condition for condition in old}
    found = []
    for kind, value, reason, message in wanted:
        was = before.get(kind)
        moved = rfc3339(now) if was is None or was["status"] != value else was["lastTransitionTime"]
        found.append(
            {
                "type": kind,
                "status": value,
                "lastHeartbeatTime": rfc3339(now),
                "lastTransitionTime": moved,
                "reason": reason,
                "message": message,
            }
        )
    return found


def status(
    config: KubeletConfig, machine: Machine, old: Obj, runtime: cri.RuntimeStatus, images: list[cri.Image], now: float
) -> Obj:
    """What kubelet owns of `.status`."""
    found = capacity(machine, config.max_pods)
    return {
        "addresses": [
            {"type": "InternalIP", "address": config.node_ip},
            {"type": "Hostname", "address": config.node_name},
        ],
        "capacity": found,
        "allocatable": allocatable(found),
        "conditions": conditions(old.get("conditions") or [], runtime, now),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": config.port}},
        "nodeInfo": {
            "machineID": machine.machine_id,
            "systemUUID": machine.machine_id,
            "bootID": machine.boot_id,
            "kernelVersion": machine.kernel,
            "osImage": machine.os_image,
            "containerRuntimeVersion": f"{runtime.name}://{runtime.version}",
            "kubeletVersion": VERSION,
            "kubeProxyVersion": "",
            "operatingSystem": machine.operating_system,
            "architecture": machine.architecture,
        },
        "images": [
            {"names": [*image.repo_digests, *image.repo_tags], "sizeBytes": image.size}
            for image in sorted(images, key=lambda image: -image.size)[:IMAGES]
        ],
        "declaredFeatures": list(DECLARED),
        "features": {"supplementalGroupsPolicy": True},
        "runtimeHandlers": [{"name": "", "features": {"recursiveReadOnlyMounts": False, "userNamespaces": False}}],
    }


def events(old: Iterable[Obj], new: Iterable[Obj]) -> list[str]:
    """Reasons of the events that tell what has become of the node's conditions. Upstream writes them at each change,
    and of the conditions of pressure once at the beginning.

    >>> events([], [{"type": "DiskPressure", "status": "False"}])
    ['NodeHasNoDiskPressure']
    """
    before = {condition["type"]: condition["status"] for condition in old}
    found = []
    for condition in new:
        was, told = before.get(condition["type"]), TOLD.get((condition["type"], condition["status"]), "")
        if told and was != condition["status"] and (was is not None or condition["type"] != "Ready"):
            found.append(told)
    return found


def changed(old: Obj, new: Obj) -> bool:
    """Whether more than the heartbeats differ."""

    def bare(found: Obj) -> Any:
        kept = [{k: v for k, v in c.items() if k != "lastHeartbeatTime"} for c in found.get("conditions") or ()]
        own = {"MemoryPressure", "DiskPressure", "PIDPressure", "Ready"}
        return [c for c in kept if c["type"] in own], {key: found.get(key) or [] for key in new if key != "conditions"}

    return bool(bare(old) != bare(new))
