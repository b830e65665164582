"""The seam between kubelet and runtime: CRI's verbs as a protocol class.

kubelet knows pods; a runtime knows sandboxes (what a pod's containers share: an address, namespaces, a shim) and
containers. Nothing of a pod's manifest crosses this seam that the real CRI does not carry, so that runtimes for runc,
Docker and containerd fit behind it. Labels carry the pod's name, namespace and uid; kubelet keeps what it wants to
find again after a restart in annotations.

Upstream: `staging/src/k8s.io/cri-api/pkg/apis/runtime/v1/api.proto`, version 1.36. Times are POSIX seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

# the labels that upstream's kubelet puts on everything (pkg/kubelet/types/labels.go)
POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"

READY, NOT_READY = "SANDBOX_READY", "SANDBOX_NOTREADY"
CREATED, RUNNING, EXITED, UNKNOWN = "CONTAINER_CREATED", "CONTAINER_RUNNING", "CONTAINER_EXITED", "CONTAINER_UNKNOWN"


class CriError(Exception):
    """A verb failed. `reason` is one of kubelet's container reasons where the text alone does not say enough."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class NotFound(CriError):
    """No such sandbox, container or image."""


@dataclass(frozen=True)
class PodSandboxConfig:
    """What the containers of a pod share."""

    name: str
    uid: str
    namespace: str
    attempt: int = 0
    hostname: str = ""
    log_directory: str = ""
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    share_processes: bool = False
    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    port_mappings: tuple[PortMapping, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    resources: Resources | None = None
    """Limits that hold for all containers together; None: the pod names none."""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PortMapping:
    """A declared port of a container (`containerPort`), and the node's port if one is wanted."""

    container_port: int
    host_port: int = 0
    protocol: str = "TCP"
    host_ip: str = ""


@dataclass(frozen=True)
class PodSandboxStatus:
    """A sandbox as the runtime sees it."""

    id: str
    name: str
    uid: str
    namespace: str
    attempt: int
    state: str
    created_at: float
    ip: str = ""
    host_network: bool = False
    pid: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Mount:
    """A file or directory of the host, or the files of an image, seen at `container_path`."""

    container_path: str
    host_path: str
    readonly: bool = False
    propagation: str = "None"
    image: str = ""
    sub_path: str = ""
    """In the image."""


@dataclass(frozen=True)
class Resources:
    """Limits. Zero means none."""

    cpu_shares: int = 0
    cpu_quota: int = 0
    cpu_period: int = 100_000
    memory_limit: int = 0
    oom_score_adj: int = 0


@dataclass(frozen=True)
class SecurityContext:
    """Who the process is and what it may do."""

    privileged: bool = False
    run_as_user: int | None = None
    run_as_group: int | None = None
    supplemental_groups: tuple[int, ...] = ()
    add_capabilities: tuple[str, ...] = ()
    drop_capabilities: tuple[str, ...] = ()
    readonly_rootfs: bool = False
    no_new_privs: bool = False
    target_container: str = ""


@dataclass(frozen=True)
class ContainerConfig:
    """A container to be made. `command` replaces the image's ENTRYPOINT, `args` its CMD; both are argument lists."""

    name: str
    attempt: int
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    env: tuple[tuple[str, str], ...] = ()
    mounts: tuple[Mount, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    log_path: str = ""
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    resources: Resources = Resources()
    security: SecurityContext = SecurityContext()
    stop_signal: str = ""


@dataclass(frozen=True)
class User:
    """Who a container's first process is. CRI's LinuxContainerUser."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True)
class ContainerStatus:
    """A container as the runtime sees it. `reason` is Completed, Error, OOMKilled, StartError or empty."""

    id: str
    sandbox_id: str
    name: str
    attempt: int
    state: str
    created_at: float
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0
    signal: int = 0
    image: str = ""
    image_ref: str = ""
    reason: str = ""
    message: str = ""
    pid: int = 0
    log_path: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    user: User | None = None
    layer: str = ""
    """The directory with what it has written to its own files, where there is one."""


@dataclass(frozen=True)
class Image:
    """An image that is on the node. `id` is a digest-like name."""

    id: str
    repo_tags: tuple[str, ...]
    repo_digests: tuple[str, ...] = ()
    size: int = 0
    user: str = ""


@dataclass(frozen=True)
class ExecResult:
    """What `exec_sync` saw."""

    stdout: bytes
    stderr: bytes
    exit_code: int


@dataclass(frozen=True)
class ContainerEvent:
    """CRI's ContainerEventResponse: something changed in this pod. kubelet looks at the whole pod again."""

    container_id: str
    type: str
    pod_uid: str


@dataclass(frozen=True)
class RuntimeCondition:
    """RuntimeReady or NetworkReady."""

    type: str
    status: bool
    reason: str = ""
    message: str = ""


@dataclass(frozen=True)
class RuntimeStatus:
    """The runtime's own health, as kubelet's Ready condition needs it."""

    name: str
    version: str
    conditions: tuple[RuntimeCondition, ...]


class Stream(Protocol):
    """A running exec or attach session. Channels are those of the remote command protocol: 1 stdout, 2 stderr."""

    async def read(self) -> tuple[int, bytes] | None:
        """The next piece of output as (channel, data); None when the process has ended and all is read."""
        ...

    async def write(self, data: bytes) -> None:
        """Send to standard input."""
        ...

    async def close_stdin(self) -> None:
        """The client has no more input."""
        ...

    async def resize(self, width: int, height: int) -> None:
        """The client's terminal changed its size (columns, rows)."""
        ...

    async def exit_code(self) -> int:
        """The process's exit code; call after `read` gave None."""
        ...

    async def close(self) -> None:
        """The client went away."""
        ...


class Runtime(Protocol):
    """A container runtime. Every verb raises CriError; those with an id raise NotFound for an unknown one."""

    async def start(self) -> None:
        """Connect, and find again what was running before kubelet's restart."""
        ...

    async def close(self) -> None:
        """Let go of everything without touching a container."""
        ...

    async def status(self) -> RuntimeStatus: ...

    async def set_pod_cidr(self, cidr: str) -> None:
        """CRI's UpdateRuntimeConfig: the node's pod range is known now."""
        ...

    async def set_routes(self, nodes: dict[str, str]) -> None:
        """The other nodes' pod ranges: {pod CIDR: node address}."""
        ...

    async def run_pod_sandbox(self, config: PodSandboxConfig) -> str: ...

    async def stop_pod_sandbox(self, sandbox_id: str) -> None: ...

    async def remove_pod_sandbox(self, sandbox_id: str) -> None: ...

    async def pod_sandbox_status(self, sandbox_id: str) -> PodSandboxStatus: ...

    async def list_pod_sandbox(self, pod_uid: str | None = None) -> list[PodSandboxStatus]: ...

    async def create_container(self, sandbox_id: str, config: ContainerConfig, sandbox: PodSandboxConfig) -> str: ...

    async def start_container(self, container_id: str) -> None: ...

    async def stop_container(self, container_id: str, timeout: float) -> None: ...

    async def remove_container(self, container_id: str) -> None: ...

    async def list_containers(self, pod_uid: str | None = None) -> list[ContainerStatus]: ...

    async def container_status(self, container_id: str) -> ContainerStatus: ...

    async def update_container_resources(self, container_id: str, resources: Resources) -> None: ...

    async def container_stats(self, container_id: str) -> dict[str, float]:
        """`cpu_seconds` and `memory_bytes`; empty when unknown."""
        ...

    async def exec_sync(self, container_id: str, command: list[str], timeout: float) -> ExecResult: ...

    async def exec(self, container_id: str, command: list[str], *, stdin: bool, tty: bool) -> Stream: ...

    async def attach(self, container_id: str) -> Stream: ...

    async def port_forward(self, sandbox_id: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]: ...

    async def pull_image(self, image: str) -> str: ...

    async def list_images(self) -> list[Image]: ...

    async def image_status(self, image: str) -> Image | None: ...

    async def remove_image(self, image: str) -> None: ...

    def events(self) -> AsyncIterator[ContainerEvent]:
        """CRI's GetContainerEvents: the evented PLEG's source."""
        ...
