"""A webhook is asked whose token this is. It gets a TokenReview and answers with its status.

Users that it knew are remembered for a while; what it did not know is asked again.
Upstream: apiserver/plugin/pkg/authenticator/token/webhook/webhook.go, apiserver/pkg/authentication/token/cache.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from workshop.api.meta import Obj
from workshop.apiserver.authentication.jwt import InvalidToken
from workshop.apiserver.interfaces import UserInfo
from workshop.apiserver.webhooks.remote import NoAnswer, Remote
from workshop.clock import Clock

logger = logging.getLogger(__name__)
KEPT, PATIENCE = 4096, 30.0
TRIES, FIRST_PAUSE, FACTOR = 5, 0.5, 1.5
Known = tuple[UserInfo, list[str]]
Post = Callable[[Obj], Awaitable[Obj]]


class WebhookTokens:
    """`kubeconfig` names the server; `ttl` in seconds. `audiences` are the API's own."""

    def __init__(
        self,
        kubeconfig: str,
        version: str,
        ttl: float,
        audiences: Sequence[str],
        clock: Clock,
        post: Post | None = None,
    ) -> None:
        """Raises KubeconfigError, OSError."""
        self._version, self._ttl, self._audiences, self._clock = version, ttl, audiences, clock
        self._post = post or Remote(kubeconfig, PATIENCE).post
        self._kept: OrderedDict[str, tuple[float, Known]] = OrderedDict()

    async def authenticate(self, token: str, audiences: Sequence[str] | None) -> Known | None:
        """The user and the audiences that the token is good for; None for a token that it does not know.

        Raises InvalidToken."""
        wanted = list(self._audiences if audiences is None else audiences)
        key = hashlib.sha256("\0".join([token, *wanted]).encode()).hexdigest()
        until, known = self._kept.get(key, (0.0, None))
        if known is not None and until > self._clock.monotonic():
            return known
        status = await self._asked(token, wanted)
        if error := status.get("error"):
            raise InvalidToken(str(error))
        if not status.get("authenticated"):
            return None
        good_for = list(status.get("audiences") or [])
        if wanted and good_for and not set(wanted) & set(good_for):
            return None
        known = _user(status.get("user") or {}), [each for each in wanted if not good_for or each in good_for]
        self._keep(key, known)
        return known

    async def _asked(self, token: str, audiences: list[str]) -> Obj:
        spec: Obj = {"token": token, **({"audiences": audiences} if audiences else {})}
        review = {
            "kind": "TokenReview", "apiVersion": f"authentication.k8s.io/{self._version}",
            "metadata": {"creationTimestamp": None}, "spec": spec, "status": {"user": {}},
        }  # fmt: skip
        pause = FIRST_PAUSE
        for attempt in range(1, TRIES + 1):
            try:
                status = (await self._post(review)).get("status")
                if not isinstance(status, dict):
                    raise NoAnswer("the webhook's answer has no status", again=False)
                return status
            except NoAnswer as error:
                if not error.again or attempt == TRIES:
                    logger.error("Failed to make webhook authenticator request: %s", error)
                    raise InvalidToken(str(error)) from None
            await self._clock.sleep(pause)
            pause *= FACTOR
        raise AssertionError

    def _keep(self, key: str, known: Known) -> None:
        if self._ttl <= 0:
            return
        self._kept[key] = (self._clock.monotonic() + self._ttl, known)
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)


def _user(told: Obj) -> UserInfo:
    extra = {str(key): list(values) for key, values in (told.get("extra") or {}).items()}
    return UserInfo(str(told.get("username", "")), str(told.get("uid", "")), tuple(told.get("groups") or ()), extra)
