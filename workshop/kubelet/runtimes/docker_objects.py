"""PURE: CRI's words in the Docker Engine's, and back: names, labels, the bodies of `POST /containers/create`, statuses.

    k8s_web_web-0_default_1b4e28ba-…_2        container `web` of pod `default/web-0`, third attempt
    k8s_POD_web-0_default_1b4e28ba-…_0        its sandbox: a `pause` that owns the namespaces

Names and labels are dockershim's (kubernetes v1.23 `pkg/kubelet/dockershim/{naming,helpers,docker_container}.go`,
removed in 1.24): Docker keeps labels only, so annotations are stored as labels with a prefix. Bodies: Docker Engine
API 1.41.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workshop.clock import parse_rfc3339
from workshop.kubelet import cri

TYPE = "io.kubernetes.docker.type"
SANDBOX, CONTAINER = "podsandbox", "container"
SANDBOX_ID = "io.kubernetes.sandbox.id"
LOG_PATH = "io.kubernetes.container.logpath"
ANNOTATION = "annotation."
OWNER = "workshop.kubelet.root-dir"
"""A label of ours: which kubelet made it, since several share one engine. Its value is the kubelet's --root-dir."""
PAUSE_IMAGE = "registry.k8s.io/pause:3.10.2"
"""kubeadm's for 1.36 (`cmd/kubeadm/app/constants/constants.go`)."""
ZERO_TIME = "0001-01-01T00:00:00Z"


def sandbox_name(config: cri.PodSandboxConfig) -> str:
    """
    >>> sandbox_name(cri.PodSandboxConfig("web-0", "7d1", "default"))
    'k8s_POD_web-0_default_7d1_0'
    """
    return "_".join(("k8s", "POD", config.name, config.namespace, config.uid, str(config.attempt)))


def container_name(config: cri.ContainerConfig, sandbox: cri.PodSandboxConfig) -> str:
    return "_".join(("k8s", config.name, sandbox.name, sandbox.namespace, sandbox.uid, str(config.attempt)))


def parse_name(name: str) -> tuple[str, str, str, str, int]:
    """(container or `POD`, pod, namespace, uid, attempt). Raises ValueError for a name that is not kubelet's.

    >>> parse_name("/k8s_web_web-0_default_7d1_2")
    ('web', 'web-0', 'default', '7d1', 2)
    """
    parts = name.removeprefix("/").split("_")
    if len(parts) not in (6, 7) or parts[0] != "k8s" or not parts[5].isdigit():
        raise ValueError(f"container is not managed by kubernetes: {name!r}")
    return parts[1], parts[2], parts[3], parts[4], int(parts[5])


def labels(kind: str, owner: str, given: Mapping[str, str], annotations: Mapping[str, str]) -> dict[str, str]:
    """Labels and annotations together, as Docker keeps them."""
    return {**given, **{ANNOTATION + key: value for key, value in annotations.items()}, TYPE: kind, OWNER: owner}


def split_labels(found: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """What `labels` joined: (labels, annotations), without those that are the runtime's own."""
    own = (TYPE, SANDBOX_ID, LOG_PATH, OWNER)
    plain = {key: value for key, value in found.items() if not key.startswith(ANNOTATION) and key not in own}
    return plain, {key.removeprefix(ANNOTATION): v for key, v in found.items() if key.startswith(ANNOTATION)}


def sandbox_body(
    config: cri.PodSandboxConfig,
    owner: str,
    image: str,
    *,
    own_network: bool,
    node_ip: str,
    may_lower_oom: bool = True,
) -> dict[str, Any]:
    """The sandbox. `own_network`: a CNI plugin of ours sets it up and Docker gives it none; else Docker's bridge.

    `may_lower_oom`: runc ends without a word where it may not protect a container from the kernel's killer.
    """
    network = "host" if config.host_network else "none" if own_network else "bridge"
    host: dict[str, Any] = {
        "NetworkMode": network,
        "IpcMode": "host" if config.host_ipc else "shareable",
        "PidMode": "host" if config.host_pid else "",
        "UTSMode": "host" if config.host_network else "",
        "Sysctls": dict(config.sysctls),
        "CpuShares": 2,
        "OomScoreAdj": -998 if may_lower_oom else 0,
        "SecurityOpt": ["no-new-privileges"],
        "Dns": list(config.nameservers),
        "DnsSearch": list(config.searches),
        "DnsOptions": list(config.dns_options),
    }
    body: dict[str, Any] = {
        "Image": image,
        "Labels": labels(SANDBOX, owner, {**config.labels, cri.CONTAINER_NAME: "POD"}, config.annotations),
        "HostConfig": host,
    }
    if not config.host_network:
        body["Hostname"] = config.hostname
    wanted = [port for port in config.port_mappings if port.host_port and network == "bridge"]
    if wanted:
        keys = {port: f"{port.container_port}/{port.protocol.lower()}" for port in wanted}
        body["ExposedPorts"] = {key: {} for key in keys.values()}
        host["PortBindings"] = {keys[p]: [{"HostIp": node_ip, "HostPort": str(p.host_port)}] for p in wanted}
    return body


_PROPAGATION = {"None": "rprivate", "HostToContainer": "rslave", "Bidirectional": "rshared"}


def _processes(sandbox: cri.PodSandboxConfig, shared: str) -> str:
    """Whose processes a container sees: its own, the pod's or the host's."""
    return "host" if sandbox.host_pid else shared if sandbox.share_processes else ""


def container_body(
    sandbox_id: str,
    config: cri.ContainerConfig,
    sandbox: cri.PodSandboxConfig,
    owner: str,
    log_path: str,
    target: str = "",
    *,
    may_lower_oom: bool = True,
) -> dict[str, Any]:
    """A container in the namespaces of its sandbox. Empty `command` and `args` leave the image's own.

    `target`: the container whose processes an ephemeral container is to see.
    """
    security, wanted = config.security, config.resources
    shared = f"container:{sandbox_id}"
    host: dict[str, Any] = {
        "NetworkMode": shared,
        "IpcMode": "host" if sandbox.host_ipc else shared,
        "PidMode": f"container:{target}" if target else _processes(sandbox, shared),
        "UTSMode": "host" if sandbox.host_network else "",
        "Privileged": security.privileged,
        "ReadonlyRootfs": security.readonly_rootfs,
        "CapAdd": list(security.add_capabilities),
        "CapDrop": list(security.drop_capabilities),
        "GroupAdd": [str(group) for group in security.supplemental_groups],
        "SecurityOpt": ["no-new-privileges"] if security.no_new_privs else [],
        "Mounts": [
            {
                "Type": "image",
                "Source": mount.image,
                "Target": mount.container_path,
                "ReadOnly": True,
                "ImageOptions": {"Subpath": mount.sub_path},
            }
            if mount.image
            else {
                "Type": "bind",
                "Source": mount.host_path,
                "Target": mount.container_path,
                "ReadOnly": mount.readonly,
                "BindOptions": {"Propagation": _PROPAGATION.get(mount.propagation, "rprivate")},
            }
            for mount in config.mounts
        ],
        "OomScoreAdj": wanted.oom_score_adj if may_lower_oom else max(0, wanted.oom_score_adj),
        **limits(wanted),
    }
    kept = {
        **labels(CONTAINER, owner, config.labels, config.annotations),
        SANDBOX_ID: sandbox_id,
        LOG_PATH: log_path,
    }
    body: dict[str, Any] = {
        "Image": config.image,
        "Env": [f"{name}={value}" for name, value in config.env],
        "Labels": kept,
        "OpenStdin": config.stdin,
        "StdinOnce": config.stdin_once,
        "Tty": config.tty,
        "HostConfig": host,
        "Healthcheck": {"Test": ["NONE"]},  # kubelet's probes decide, not the image's
    }
    if config.command:
        body["Entrypoint"] = list(config.command)
    if config.args:
        body["Cmd"] = list(config.args)
    if config.working_dir:
        body["WorkingDir"] = config.working_dir
    if config.stop_signal:
        body["StopSignal"] = config.stop_signal
    if security.run_as_user is not None:
        group = f":{security.run_as_group}" if security.run_as_group is not None else ""
        body["User"] = f"{security.run_as_user}{group}"
    return body


def limits(wanted: cri.Resources) -> dict[str, int]:
    """A HostConfig's limits; zero is none. Swap is never added (MemorySwap equals Memory)."""
    found = {"CpuShares": wanted.cpu_shares}
    if wanted.cpu_quota:
        found |= {"CpuQuota": wanted.cpu_quota, "CpuPeriod": wanted.cpu_period}
    if wanted.memory_limit:
        found |= {"Memory": wanted.memory_limit, "MemorySwap": wanted.memory_limit}
    return found


def moment(text: str) -> float:
    """POSIX seconds of Docker's time stamps; 0 for its zero time.

    >>> moment("1970-01-01T00:00:01.5Z"), moment(ZERO_TIME)
    (1.5, 0.0)
    """
    if not text or text == ZERO_TIME:
        return 0.0
    seconds, _, fraction = text.rstrip("Z").partition(".")
    return parse_rfc3339(seconds + "Z") + float(f"0.{fraction or 0}")


def sandbox_status(found: Mapping[str, Any], address: str, node_ip: str) -> cri.PodSandboxStatus:
    """From `GET /containers/ID/json`; `address` is what a plugin of ours gave. Raises ValueError for a foreign name."""
    _, name, namespace, uid, attempt = parse_name(found["Name"])
    kept, annotations = split_labels(found["Config"]["Labels"])
    kept.pop(cri.CONTAINER_NAME, None)
    state, host_network = found["State"], found["HostConfig"]["NetworkMode"] == "host"
    given = (found.get("NetworkSettings") or {}).get("IPAddress") or ""
    return cri.PodSandboxStatus(
        found["Id"],
        name,
        uid,
        namespace,
        attempt,
        cri.READY if state["Running"] else cri.NOT_READY,
        moment(found["Created"]),
        ip=node_ip if host_network else address or given,
        host_network=host_network,
        pid=state["Pid"],
        labels=kept,
        annotations=annotations,
    )


def container_status(found: Mapping[str, Any], image: Mapping[str, Any]) -> cri.ContainerStatus:
    """From `GET /containers/ID/json` and its image's `GET /images/ID/json`. Raises ValueError for a foreign name."""
    name, _, _, _, attempt = parse_name(found["Name"])
    every = found["Config"]["Labels"]
    kept, annotations = split_labels(every)
    state, created = found["State"], moment(found["Created"])
    started, finished, code = moment(state["StartedAt"]), moment(state["FinishedAt"]), int(state["ExitCode"])
    now, reason = cri.CREATED, ""
    if state["Running"]:
        now, finished, code = cri.RUNNING, 0.0, 0
    elif finished:
        now = cri.EXITED
        reason = "OOMKilled" if state.get("OOMKilled") else "Error" if code else "Completed"
    elif code:  # it could not be started
        now, started, finished, reason = cri.EXITED, created, created, "ContainerCannotRun"
    return cri.ContainerStatus(
        found["Id"],
        every.get(SANDBOX_ID, ""),
        name,
        attempt,
        now,
        created,
        started,
        finished,
        code,
        image=found["Config"]["Image"],
        image_ref=pullable(image) if image else found["Image"],
        reason=reason,
        message=state.get("Error") or "",
        pid=state["Pid"],
        log_path=every.get(LOG_PATH, ""),
        labels=kept,
        annotations=annotations,
    )


def pullable(image: Mapping[str, Any]) -> str:
    """An image's name in a container's status: by digest where it was pulled, else by the engine's id."""
    digests = image.get("RepoDigests") or ()
    return f"docker-pullable://{digests[0]}" if digests else f"docker://{image['Id']}"


def image(found: Mapping[str, Any]) -> cri.Image:
    """From `GET /images/NAME/json` or an entry of `GET /images/json`."""
    tags = tuple(tag for tag in found.get("RepoTags") or () if tag != "<none>:<none>")
    digests = tuple(digest for digest in found.get("RepoDigests") or () if not digest.startswith("<none>"))
    user = (found.get("Config") or {}).get("User") or ""
    return cri.Image(found["Id"], tags, digests, int(found.get("Size") or 0), user)


def stats(told: Mapping[str, Any]) -> dict[str, float]:
    """From `GET /containers/ID/stats`: CPU and memory used, without page cache that may go. Empty when it ended."""
    memory = told.get("memory_stats") or {}
    if "usage" not in memory:
        return {}
    kinds = memory.get("stats") or {}
    cache = kinds.get("total_inactive_file", kinds.get("inactive_file", 0))
    seconds = told["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9
    return {"cpu_seconds": seconds, "memory_bytes": float(max(0, memory["usage"] - cache))}


def log_line(entry: bytes, stream: int) -> bytes:
    """A log message with its time stamp in CRI's format. Docker splits at 16 KiB: such a part has no line end.

    >>> log_line(b"2026-01-31T09:00:00.000000000Z hello\\n", 1)
    b'2026-01-31T09:00:00.000000000Z stdout F hello\\n'
    """
    when, _, text = entry.partition(b" ")
    whole = text.endswith(b"\n")
    name = b"stderr" if stream == 2 else b"stdout"
    return when + b" " + name + (b" F " if whole else b" P ") + text.rstrip(b"\n") + b"\n"
