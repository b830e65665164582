"""What the parts of a pod's worker share: what kubelet remembers of a pod, and the node's parts.

Upstream: `pkg/kubelet/pod_workers.go` (`podSyncStatus`), the fields of `kubelet.go`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from workshop.clock import Clock
from workshop.kubelet import cri
from workshop.kubelet.admission import Held
from workshop.kubelet.config import KubeletConfig
from workshop.kubelet.env import Lookup
from workshop.kubelet.image_manager import ImageManager
from workshop.kubelet.pods import Obj
from workshop.kubelet.unheeded import Abilities
from workshop.kubelet.volumes import Volumes


class StatusSink(Protocol):
    """Where statuses go."""

    def set(self, pod: Obj, new: Obj) -> None: ...

    def last(self, uid: str) -> Obj | None: ...

    async def finish(self, pod: Obj) -> None: ...


Event = Callable[[Obj, str, str, str, str], None]  # (pod, type, reason, message, container name or "")


@dataclass
class Worker:
    """What kubelet remembers of a pod."""

    pod: Obj  # as it is allocated: `api`, with the resources that were granted
    api: Obj = field(default_factory=dict)  # as the API server has it
    gone: bool = False  # the API server has no such pod any more
    seen: bool = False
    dirty: bool = False
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    waiting: dict[str, tuple[str, str]] = field(default_factory=dict)
    killed: tuple[str, str] = ("", "")  # (reason, message) when kubelet itself ends the pod
    grace: float | None = None  # of a pod that kubelet itself ends; None: the pod's own
    start_time: float = 0.0
    mount_pause: float = 0.0  # how long the last failed mount of volumes waits
    hurried: set[asyncio.Task[None]] = field(default_factory=set)
    finished: bool = False
    held: Held | None = None  # once it is admitted
    refused: bool = False
    given: dict[str, Any] = field(default_factory=dict)  # container name -> resources that were granted
    actual: dict[str, Any] = field(default_factory=dict)  # container name -> resources that the runtime was told
    resize: dict[str, Obj] = field(default_factory=dict)  # type -> condition
    disrupted: str = ""  # the message of DisruptionTarget, when kubelet ends the pod for another
    ended: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Parts:
    """The node's parts that every worker uses."""

    config: KubeletConfig
    runtime: cri.Runtime
    clock: Clock
    volumes: Volumes
    images: ImageManager
    statuses: StatusSink
    event: Event
    lookup: Lookup
    fetch: Callable[[Obj], Awaitable[None]]
    services: Callable[[], Iterable[Obj]]
    allocatable: dict[str, str]
    memory: int
    shift: Callable[[int], int]
    simulated: bool
    runtime_name: str
    annotate: Callable[[Obj, dict[str, str]], None]
    node: Callable[[], Obj]
    fresh_node: Callable[[], Awaitable[Obj]]
    abilities: Callable[[], Abilities | None] = lambda: None


def grace_of(pod: Obj) -> float:
    """Seconds between SIGTERM and SIGKILL."""
    given = pod["metadata"].get("deletionGracePeriodSeconds")
    if given is None:
        given = pod["spec"].get("terminationGracePeriodSeconds")
    return 30.0 if given is None else float(given)
