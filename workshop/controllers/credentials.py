"""Each controller as itself: its own service account and token. Upstream: `SAControllerClientBuilder`.

With --use-service-account-credentials the manager's certificate serves only to fetch tokens and to watch; what a
controller writes, it writes as system:serviceaccount:kube-system:NAME, which may do just what that controller needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from workshop.api.errors import ApiError, is_already_exists
from workshop.api.resources import resource
from workshop.client.rest import Client
from workshop.client.transport import Refused, Response, Transport, WebSocket
from workshop.clock import Clock, parse_rfc3339

SERVICE_ACCOUNTS = resource("serviceaccounts")
NAMESPACE = "kube-system"
LIFETIME = 3600


class AccountTransport:
    """Adds the account's token to each request. Fetched at the first one, and again after 80 % of its life.

    `transport` must not show a client certificate: the server would believe that and ignore the token.
    """

    def __init__(self, transport: Transport, manager: Client, account: str, clock: Clock) -> None:
        self._transport = transport
        self._manager = manager
        self._account = account
        self._clock = clock
        self._token = ""
        self._renew_at = 0.0
        self._lock = asyncio.Lock()

    async def send(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None, *, stream: bool = False
    ) -> Response:
        answer = await self._transport.send(method, target, await self._signed(headers), body, stream=stream)
        if answer.status == 401:
            self._token = ""  # the account was deleted and made again: the next request fetches a new token
        return answer

    async def websocket(
        self, target: str, headers: Mapping[str, str], protocols: tuple[str, ...]
    ) -> WebSocket | Refused:
        return await self._transport.websocket(target, await self._signed(headers), protocols)

    async def close(self) -> None:
        await self._transport.close()

    async def _signed(self, headers: Mapping[str, str]) -> dict[str, str]:
        async with self._lock:
            if not self._token or self._clock.now() >= self._renew_at:
                await self._fetch()
        return {**headers, "Authorization": f"Bearer {self._token}"}

    async def _fetch(self) -> None:
        request: dict[str, object] = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": LIFETIME},
        }
        try:
            answer = await self._ask(request)
        except ApiError as error:
            if error.code != 404:
                raise
            await self._make_account()
            answer = await self._ask(request)
        self._token = answer["status"]["token"]
        now = self._clock.now()
        self._renew_at = now + 0.8 * (parse_rfc3339(answer["status"]["expirationTimestamp"]) - now)

    async def _ask(self, request: dict[str, object]) -> dict[str, dict[str, str]]:
        answer: dict[str, dict[str, str]] = await self._manager.create(
            SERVICE_ACCOUNTS, request, NAMESPACE, name=self._account, subresource="token"
        )
        return answer

    async def _make_account(self) -> None:
        try:
            await self._manager.create(SERVICE_ACCOUNTS, {"metadata": {"name": self._account}}, NAMESPACE)
        except ApiError as error:
            if not is_already_exists(error):
                raise
