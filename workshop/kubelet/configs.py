"""From a pod's manifest to CRI configurations. Pure.

Upstream: `pkg/kubelet/kuberuntime/kuberuntime_{sandbox,container}.go`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workshop.api import quantity
from workshop.kubelet import actions, cri, env, pods, sysctls
from workshop.kubelet.env import ConfigError
from workshop.kubelet.pods import Obj

GRACE = "io.kubernetes.pod.terminationGracePeriod"
MESSAGE_PATH = "io.kubernetes.container.terminationMessagePath"
KERNEL_NAME = 64
NO_USERS = "can't set `spec.hostUsers: false`, runtime does not support user namespaces"
MESSAGE_POLICY = "io.kubernetes.container.terminationMessagePolicy"


def hostname(pod: Obj) -> str:
    """At most 63 characters."""
    spec = pod["spec"]
    return str(spec.get("hostnameOverride") or spec.get("hostname") or pod["metadata"]["name"])[:63].rstrip("-.")


def _domain(pod: Obj, domain: str) -> str:
    """What stands behind the hostname of a pod with a subdomain."""
    spec = pod["spec"]
    if not spec.get("subdomain") or spec.get("hostnameOverride"):
        return ""
    return f"{spec['subdomain']}.{pod['metadata'].get('namespace', 'default')}.svc.{domain}"


def kernel_hostname(pod: Obj, domain: str) -> str:
    """What `hostname` prints. Raises ConfigError for a full name that is too long for the kernel."""
    name, behind = hostname(pod), _domain(pod, domain)
    if not behind or not pod["spec"].get("setHostnameAsFQDN"):
        return name
    full = f"{name}.{behind}"
    if len(full) > KERNEL_NAME:
        said = f"FQDN {full} is too long ({KERNEL_NAME} characters is the max, {len(full)} characters requested)"
        raise ConfigError(f"failed to construct FQDN from pod hostname and cluster domain, {said}")
    return full


def labels(pod: Obj) -> dict[str, str]:
    meta = pod["metadata"]
    return {
        **(meta.get("labels") or {}),
        cri.POD_NAME: meta["name"],
        cri.POD_NAMESPACE: meta.get("namespace", "default"),
        cri.POD_UID: meta["uid"],
    }


def dns(
    pod: Obj, cluster_dns: tuple[str, ...], domain: str
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """(nameservers, searches, options) as the pod's dnsPolicy and dnsConfig say."""
    spec = pod["spec"]
    policy = spec.get("dnsPolicy", "ClusterFirst")
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    in_cluster = policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not spec.get("hostNetwork"))
    if in_cluster and cluster_dns:
        namespace = pod["metadata"].get("namespace", "default")
        servers = list(cluster_dns)
        searches = [f"{namespace}.svc.{domain}", f"svc.{domain}", domain]
        options = ["ndots:5"]
    given = spec.get("dnsConfig") or {}
    servers += [server for server in given.get("nameservers") or () if server not in servers]
    searches += [search for search in given.get("searches") or () if search not in searches]
    for option in given.get("options") or ():
        options.append(option["name"] + (f":{option['value']}" if option.get("value") else ""))
    return tuple(servers[:3]), tuple(searches), tuple(options)


def sandbox_config(
    pod: Obj, attempt: int, log_directory: str, cluster_dns: tuple[str, ...], domain: str
) -> cri.PodSandboxConfig:
    """What the pod's containers share. Raises ConfigError."""
    spec, meta = pod["spec"], pod["metadata"]
    if spec.get("hostUsers") is False:
        raise ConfigError(NO_USERS)
    servers, searches, options = dns(pod, cluster_dns, domain)
    return cri.PodSandboxConfig(
        name=meta["name"],
        uid=meta["uid"],
        namespace=meta.get("namespace", "default"),
        attempt=attempt,
        hostname=kernel_hostname(pod, domain),
        log_directory=log_directory,
        host_network=bool(spec.get("hostNetwork")),
        host_pid=bool(spec.get("hostPID")),
        host_ipc=bool(spec.get("hostIPC")),
        share_processes=bool(spec.get("shareProcessNamespace")),
        nameservers=servers,
        searches=searches,
        dns_options=options,
        port_mappings=tuple(
            cri.PortMapping(
                port["containerPort"], port.get("hostPort", 0), port.get("protocol", "TCP"), port.get("hostIP", "")
            )
            for container in [*pods.containers(pod), *(c for c in pods.init_containers(pod) if pods.is_sidecar(c))]
            for port in container.get("ports") or ()
        ),
        sysctls=sysctls.wanted(pod),
        resources=resources(pod, {"resources": spec["resources"]}, 0) if spec.get("resources") else None,
        labels=labels(pod),
        annotations=dict(meta.get("annotations") or {}),
    )


def etc_hosts(pod: Obj, address: str, domain: str, node: str = "") -> str:
    """The pod's /etc/hosts; `node`: that of the node, for a pod in its network."""
    if node:
        lines = ["# Kubernetes-managed hosts file (host network).", node.rstrip("\n")]
    else:
        lines = [
            "# Kubernetes-managed hosts file.",
            "127.0.0.1\tlocalhost",
            "::1\tlocalhost ip6-localhost ip6-loopback",
            "fe00::0\tip6-localnet",
            "fe00::0\tip6-mcastprefix",
            "fe00::1\tip6-allnodes",
            "fe00::2\tip6-allrouters",
        ]
        name, behind = hostname(pod), _domain(pod, domain)
        lines.append(f"{address}\t{name}.{behind}\t{name}" if behind else f"{address}\t{name}")
    aliases = pod["spec"].get("hostAliases") or ()
    if aliases:
        lines += ["", "# Entries added by HostAliases."]
        lines += [f"{alias['ip']}\t" + "\t".join(alias.get("hostnames") or ()) for alias in aliases]
    return "\n".join(lines) + "\n"


def resources(pod: Obj, container: Obj, memory_capacity: int) -> cri.Resources:
    """CPU shares and quota, memory limit and OOM score. Upstream: `pkg/kubelet/cm`, `pkg/kubelet/qos/policy.go`."""
    given = container.get("resources") or {}
    limits, requests = given.get("limits") or {}, given.get("requests") or {}
    cpu_limit = quantity.parse(limits["cpu"]).milli_value() if "cpu" in limits else 0
    cpu_request = quantity.parse(requests["cpu"]).milli_value() if "cpu" in requests else cpu_limit
    memory_limit = quantity.parse(limits["memory"]).value() if "memory" in limits else 0
    memory_request = quantity.parse(requests["memory"]).value() if "memory" in requests else 0
    qos = pods.qos_class(pod)
    score = {"Guaranteed": -997, "BestEffort": 1000}.get(qos, 0)
    if qos == "Burstable":
        score = min(999, max(3, 1000 - (1000 * memory_request) // max(memory_capacity, 1)))
    return cri.Resources(
        cpu_shares=max(2, cpu_request * 1024 // 1000) if cpu_request else 2,
        cpu_quota=max(1000, cpu_limit * 100) if cpu_limit else 0,
        memory_limit=memory_limit,
        oom_score_adj=score,
    )


def security(pod: Obj, container: Obj) -> cri.SecurityContext:
    """The pod's and the container's securityContext. Raises ConfigError for runAsNonRoot without a user."""
    outer, inner = pod["spec"].get("securityContext") or {}, container.get("securityContext") or {}
    merged: dict[str, Any] = {**outer, **inner}
    user = merged.get("runAsUser")
    if merged.get("runAsNonRoot") and not user:
        text = "container has runAsNonRoot and image will run as root"
        if user == 0:
            text = "container's runAsUser breaks non-root policy"
        raise ConfigError(f'{text} (pod: "{pods.full_name(pod)}", container: {container["name"]})')
    capabilities = inner.get("capabilities") or {}
    groups = list(outer.get("supplementalGroups") or ())
    if outer.get("fsGroup") is not None:
        groups.append(outer["fsGroup"])
    return cri.SecurityContext(
        privileged=bool(inner.get("privileged")),
        run_as_user=user,
        run_as_group=merged.get("runAsGroup"),
        supplemental_groups=tuple(groups),
        add_capabilities=tuple(capabilities.get("add") or ()),
        drop_capabilities=tuple(capabilities.get("drop") or ()),
        readonly_rootfs=bool(inner.get("readOnlyRootFilesystem")),
        no_new_privs=inner.get("allowPrivilegeEscalation") is False,
        target_container=container.get("targetContainerName") or "",
    )


def container_config(
    pod: Obj,
    container: Obj,
    attempt: int,
    *,
    values: Mapping[str, str],
    mounts: list[cri.Mount],
    memory_capacity: int = 0,
) -> cri.ContainerConfig:
    """One container. `values`: its environment, for $(VAR). Raises ConfigError."""
    return cri.ContainerConfig(
        name=container["name"],
        attempt=attempt,
        image=container["image"],
        command=tuple(env.expand(word, values) for word in container.get("command") or ()),
        args=tuple(env.expand(word, values) for word in container.get("args") or ()),
        working_dir=container.get("workingDir") or "",
        env=tuple(values.items()),
        mounts=tuple(mounts),
        labels={**labels(pod), cri.CONTAINER_NAME: container["name"]},
        annotations={
            actions.HASH: pods.container_hash(container),
            MESSAGE_PATH: container.get("terminationMessagePath") or "/dev/termination-log",
            MESSAGE_POLICY: container.get("terminationMessagePolicy") or "File",
            GRACE: str(pod["spec"].get("terminationGracePeriodSeconds", 30)),
        },
        log_path=f"{container['name']}/{attempt}.log",
        stdin=bool(container.get("stdin")),
        stdin_once=bool(container.get("stdinOnce")),
        tty=bool(container.get("tty")),
        resources=resources(pod, container, memory_capacity),
        security=security(pod, container),
    )
