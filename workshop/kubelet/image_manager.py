"""Pull policy, pulls and their back-off. Upstream: `pkg/kubelet/images/image_manager.go`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from workshop.clock import Clock
from workshop.kubelet import cri
from workshop.kubelet.backoff import Backoff
from workshop.kubelet.images import catalogue
from workshop.kubelet.pods import Obj

Event = Callable[[Obj, str, str, str, str], None]


@dataclass(frozen=True)
class Problem:
    """Why a container's image is not there; `retry_after` seconds until it is worth another try."""

    reason: str
    message: str
    retry_after: float = 0.0


class ImageManager:
    """Brings images onto the node."""

    def __init__(self, runtime: cri.Runtime, clock: Clock, event: Event, pulled: Callable[[], None]) -> None:
        self._runtime, self._clock, self._event, self._pulled = runtime, clock, event, pulled
        self._backoff = Backoff()
        self._failed: dict[str, tuple[float, str]] = {}

    async def ensure(self, pod: Obj, container: Obj) -> Problem | None:
        """The image is there (None), or why not."""
        image, name = container["image"], container["name"]
        try:
            policy = container.get("imagePullPolicy") or catalogue.default_pull_policy(image)
            present = await self._runtime.image_status(image)
        except catalogue.InvalidImageName as problem:
            self._event(pod, "Warning", "InspectFailed", str(problem), name)
            self._event(pod, "Warning", "Failed", "Error: InvalidImageName", name)
            return Problem("InvalidImageName", str(problem))
        if present is not None and policy != "Always":
            text = f'Container image "{image}" already present on machine and can be accessed by the pod'
            self._event(pod, "Normal", "Pulled", text, name)
            return None
        if present is None and policy == "Never":
            text = f'Container image "{image}" is not present with pull policy of Never'
            self._event(pod, "Warning", "ErrImageNeverPull", text, name)
            self._event(pod, "Warning", "Failed", "Error: ErrImageNeverPull", name)
            return Problem("ErrImageNeverPull", text, 10.0)
        return await self._pull(pod, container, f"{pod['metadata']['uid']}_{image}")

    async def _pull(self, pod: Obj, container: Obj, key: str) -> Problem | None:
        image, name, now = container["image"], container["name"], self._clock.now()
        if key in self._failed:
            at, reason = self._failed[key]
            left = self._backoff.remaining(key, at, now)
            if left > 0:
                text = f'Back-off pulling image "{image}"'
                self._event(pod, "Normal", "BackOff", text, name)
                self._event(pod, "Warning", "Failed", "Error: ImagePullBackOff", name)
                return Problem("ImagePullBackOff", f"{text}: {reason}", left)
        self._event(pod, "Normal", "Pulling", f'Pulling image "{image}"', name)
        begun = self._clock.monotonic()
        try:
            await self._runtime.pull_image(image)
        except cri.CriError as problem:
            code = "NotFound" if isinstance(problem, cri.NotFound) else "Unknown"
            reason = f"rpc error: code = {code} desc = {problem}"
            text = f'Failed to pull image "{image}": {reason}'
            self._event(pod, "Warning", "Failed", text, name)
            self._event(pod, "Warning", "Failed", "Error: ErrImagePull", name)
            self._backoff.next(key, now, now)
            self._failed[key] = (now, f"ErrImagePull: {reason}")
            return Problem("ErrImagePull", reason, 1.0)
        except OSError as problem:
            return Problem("ErrImagePull", f"cannot unpack image: {problem}", 10.0)
        self._failed.pop(key, None)
        took = f"{round((self._clock.monotonic() - begun) * 1000)}ms"
        found = await self._runtime.image_status(image)
        size = found.size if found else 0
        text = f'Successfully pulled image "{image}" in {took} ({took} including waiting). Image size: {size} bytes.'
        self._event(pod, "Normal", "Pulled", text, name)
        self._pulled()
        return None
