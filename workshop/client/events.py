"""What `kubectl get events` shows. Upstream: `client-go/tools/record` and `tools/events`.

    recorder = Recorder(client, "replicaset-controller")
    recorder.event(rs, "Normal", "SuccessfulCreate", "Created pod: web-1-abcde")

`event` never waits and never fails: it notes the event, and `run` writes it in the background. An event that cannot be
written is dropped, because nothing may depend on one. Which are merged or dropped is decided in `event_series`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any

from workshop.api import meta
from workshop.api.errors import ApiError
from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.clock import SYSTEM, Clock, rfc3339, rfc3339_micro

from .event_series import Correlator, Occurrence, Written
from .rest import STRATEGIC_PATCH, Client
from .transport import Unreachable

log = logging.getLogger(__name__)

EVENTS = Resource("", "v1", "Event", "events")
EVENTS_V1 = Resource("events.k8s.io", "v1", "Event", "events")
BUFFER = 1000
RETRIES = 12
RETRY_SECONDS = 1.0


def reference(obj: Obj, field_path: str = "") -> dict[str, str]:
    """An ObjectReference to `obj`, which must carry apiVersion and kind."""
    ref = {
        "kind": obj.get("kind", ""),
        "namespace": meta.namespace(obj),
        "name": meta.name(obj),
        "uid": meta.uid(obj),
        "apiVersion": obj.get("apiVersion", ""),
        "resourceVersion": meta.resource_version(obj),
        "fieldPath": field_path,
    }
    return {k: v for k, v in ref.items() if v}


class Recorder:
    """Events of one component (and, for the kubelet and kube-proxy, of one host).

    With `new_api` they are written as events.k8s.io/v1, as the scheduler does; both kinds are one store on the server.
    """

    def __init__(
        self, client: Client, component: str, *, host: str = "", new_api: bool = False, clock: Clock = SYSTEM
    ) -> None:
        self._client = client
        self._component = component
        self._host = host
        self._new_api = new_api
        self._clock = clock
        self._correlator = Correlator()
        self._pending: deque[tuple[dict[str, str], Occurrence, float, dict[str, str] | None]] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def event(
        self,
        obj: Obj,
        type: str,
        reason: str,
        message: str,
        *,
        action: str = "",
        related: Obj | None = None,
        field_path: str = "",
    ) -> None:
        """`type` is Normal or Warning. `field_path` names a container: `spec.containers{web}`."""
        if len(self._pending) >= BUFFER:
            log.warning("dropping event %s of %s: too many are waiting", reason, meta.key_of(obj))
            return
        ref = reference(obj, field_path)
        subject = (ref.get("kind", ""), ref.get("namespace", ""), ref.get("name", ""), ref.get("uid", ""), field_path)
        occurrence = Occurrence(subject, type, reason, message, action)
        about = reference(related) if related is not None else None
        self._pending.append((ref, occurrence, self._clock.now(), about))
        self._idle.clear()
        self._wake.set()

    async def run(self) -> None:
        """Write events until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                ref, occurrence, now, related = self._pending.popleft()
                written = self._correlator.correlate(occurrence, now)
                if written is not None:
                    await self._write(ref, written, now, related)
            self._idle.set()

    async def flush(self) -> None:
        """Until everything noted so far is written; `run` must be running."""
        await self._idle.wait()

    async def _write(self, ref: dict[str, str], written: Written, now: float, related: dict[str, str] | None) -> None:
        for _ in range(RETRIES):
            try:
                await self._put(ref, written, now, related)
                return
            except ApiError as error:
                # A namespace that is being deleted takes no events; a rejected one will be rejected again.
                log.debug("server rejected event %s: %s", written.occurrence.reason, error)
                return
            except Unreachable as error:
                log.debug("unable to write event (may retry after sleeping): %s", error)
                await self._clock.sleep(RETRY_SECONDS)
        log.warning("unable to write event %s (retry limit exceeded)", written.occurrence.reason)

    async def _put(self, ref: dict[str, str], written: Written, now: float, related: dict[str, str] | None) -> None:
        """Count up the event that was written before, or make it anew. Raises ApiError, Unreachable."""
        res = EVENTS_V1 if self._new_api else EVENTS
        namespace = ref.get("namespace") or "default"
        if written.count > 1 and written.name:
            try:
                await self._client.patch(res, written.name, self._again(written, now), namespace, STRATEGIC_PATCH)
                return
            except ApiError as error:
                if error.code != 404:  # expired on the server after an hour
                    raise
        event = self._new(ref, written, now, related, namespace)
        await self._client.create(res, event, namespace)
        written.name = event["metadata"]["name"]

    def _new(
        self, ref: dict[str, str], written: Written, now: float, related: dict[str, str] | None, namespace: str
    ) -> Obj:
        o = written.occurrence
        event: dict[str, Any] = {
            "metadata": {"name": f"{ref.get('name', '')}.{int(now * 1e9):x}", "namespace": namespace},
            "type": o.type,
            "reason": o.reason,
        }
        if related is not None:
            event["related"] = related
        if self._new_api:
            return event | {
                "eventTime": rfc3339_micro(now),
                "reportingController": self._component,
                "reportingInstance": self._host or self._component,
                "action": o.action,
                "regarding": ref,
                "note": o.message,
            }
        return event | {
            "message": o.message,
            "involvedObject": ref,
            "source": {"component": self._component, **({"host": self._host} if self._host else {})},
            "reportingComponent": self._component,
            "reportingInstance": self._host,
            "firstTimestamp": rfc3339(written.first),
            "lastTimestamp": rfc3339(now),
            "count": written.count,
        }

    def _again(self, written: Written, now: float) -> Obj:
        if self._new_api:
            return {"series": {"count": written.count, "lastObservedTime": rfc3339_micro(now)}}
        return {"message": written.occurrence.message, "count": written.count, "lastTimestamp": rfc3339(now)}
