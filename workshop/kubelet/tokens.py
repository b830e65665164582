"""Service account tokens for projected volumes: asked for once, renewed when 80 % of their life is over.

Upstream: `pkg/kubelet/token/token_manager.go`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from workshop.api.errors import ApiError
from workshop.api.resources import resource
from workshop.client.rest import Client
from workshop.client.transport import Unreachable
from workshop.clock import Clock, parse_rfc3339
from workshop.kubelet.pods import Obj
from workshop.kubelet.volumes import VolumeError

ACCOUNTS = resource("serviceaccounts")


class Tokens:
    """A cache of tokens, with one timer for the next one that is due."""

    def __init__(self, client: Client, clock: Clock, due: Callable[[str], None]) -> None:
        self._client, self._clock, self._due = client, clock, due
        self._cache: dict[tuple[str, str, int], tuple[str, float]] = {}  # -> (token, when to renew)
        self._timer: asyncio.TimerHandle | None = None

    async def get(self, pod: Obj, audience: str, seconds: int) -> str:
        """A valid token. Raises VolumeError."""
        meta = pod["metadata"]
        key = (meta["uid"], audience, seconds)
        now = self._clock.now()
        if key in self._cache and now < self._cache[key][1]:
            return self._cache[key][0]
        account = pod["spec"].get("serviceAccountName") or "default"
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": seconds,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]},
            },
        }
        path = ACCOUNTS.path(meta.get("namespace", "default"), account, "token")
        try:
            answer = await self._client.request("POST", path, body=body)
        except (ApiError, Unreachable) as problem:
            raise VolumeError(f"failed to fetch token: {problem}") from None
        expires = parse_rfc3339(answer["status"]["expirationTimestamp"])
        self._cache[key] = (answer["status"]["token"], now + 0.8 * (expires - now))
        self._plan()
        return str(answer["status"]["token"])

    def _plan(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._cache:
            first = min(when for _, when in self._cache.values())
            wait = max(1.0, first - self._clock.now())
            self._timer = asyncio.get_running_loop().call_later(wait, self._expire)

    def _expire(self) -> None:
        now = self._clock.now()
        for key in [key for key, (_, when) in self._cache.items() if when <= now]:
            del self._cache[key]
            self._due(key[0])
        self._plan()

    def release(self, uid: str) -> None:
        """The pod is gone."""
        for key in [key for key in self._cache if key[0] == uid]:
            del self._cache[key]
        self._plan()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
