"""A server that a kubeconfig names, whose URL is the whole address: of authorization and audit webhooks.

Upstream: apiserver/pkg/util/webhook/webhook.go.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from workshop.api import codec
from workshop.api.meta import Obj
from workshop.client.kubeconfig import load
from workshop.client.transport import HttpTransport, Unreachable


class NoAnswer(Exception):
    """The webhook could not be asked, or said what is no answer. `again`: it may be worth another try."""

    def __init__(self, text: str, again: bool) -> None:
        self.again = again
        super().__init__(text)


class Remote:
    """The server of a kubeconfig, whose URL is the whole address."""

    def __init__(self, kubeconfig: str, timeout: float) -> None:
        """Raises KubeconfigError, OSError for a file that cannot be used."""
        self._timeout = timeout
        access = load(kubeconfig)
        parts = urlsplit(access.server)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if access.token:
            self._headers["Authorization"] = f"Bearer {access.token}"
        server = f"{parts.scheme}://{parts.netloc}"
        self._transport = HttpTransport(server, access.tls(), server_name=access.tls_server_name)

    async def post(self, review: Obj) -> Obj:
        """The object that comes back. Raises NoAnswer."""
        body = await self.send(review)
        try:
            found = codec.loads(body)
        except ValueError as error:
            raise NoAnswer(str(error), again=False) from None
        if not isinstance(found, dict):
            raise NoAnswer("the webhook's answer is no object", again=False)
        return found

    async def send(self, obj: Obj) -> bytes:
        """What comes back, whatever it is. Raises NoAnswer."""
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._transport.send("POST", self._path, self._headers, codec.dumps(obj))
                body = await answer.read()
        except TimeoutError:
            raise NoAnswer("context deadline exceeded", again=False) from None
        except Unreachable as error:
            raise NoAnswer(str(error), again=True) from None
        if answer.status >= 300:
            again = answer.status >= 500 or answer.status == 429
            raise NoAnswer(f"{answer.status}: {body[:200].decode(errors='replace')}", again)
        return body

    async def close(self) -> None:
        await self._transport.close()
