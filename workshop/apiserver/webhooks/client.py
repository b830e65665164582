"""One question to a webhook and its answer: HTTPS to a url or a Service, bounded in time and size.

Upstream: apiserver/pkg/util/webhook/client.go.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec

from workshop.api.meta import Obj
from workshop.client.transport import HttpTransport, Unreachable

from .addresses import NoAddress, Services, look_up

MAX_ANSWER = 3 * 1024 * 1024
KEPT = 32
"""Connections' owners that are kept; those not used for longest go."""


class CallFailed(Exception):
    """The webhook gave no usable answer; in the words of Go's HTTP client. `status` is its HTTP status, 0 if none."""

    def __init__(self, text: str, status: int = 0) -> None:
        self.status = status
        super().__init__(text)


@dataclass(frozen=True)
class Target:
    """Where a `clientConfig` leads. `url` is what errors show."""

    url: str
    host: str
    port: int
    path: str
    service: tuple[str, str] | None
    ca: str

    @property
    def server_name(self) -> str:
        return f"{self.service[1]}.{self.service[0]}.svc" if self.service else self.host


def target_of(config: Obj) -> Target:
    """Of a webhook's clientConfig."""
    ca = config.get("caBundle") or ""
    if service := config.get("service"):
        namespace, name, port = service["namespace"], service["name"], service.get("port") or 443
        path = "/" + (service.get("path") or "").lstrip("/")
        shown = path if path != "/" else ""
        return Target(f"https://{name}.{namespace}.svc:{port}{shown}", "", port, path, (namespace, name), ca)
    parts = urlsplit(config["url"])
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(config["url"], parts.hostname or "", parts.port or 443, path, None, ca)


class WebhookClient:
    """Keeps connections to the webhooks that it knows."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._transports: dict[tuple[str, int, str, str], HttpTransport] = {}

    async def close(self) -> None:
        for transport in self._transports.values():
            await transport.close()
        self._transports.clear()

    async def post(self, config: Obj, body: Mapping[str, Any], timeout: float) -> Any:
        """The answer's JSON. Raises CallFailed."""
        target = target_of(config)
        raw = msgspec.json.encode(body)
        try:
            async with asyncio.timeout(timeout):
                transport = await self._transport(target)
                answer = await transport.send(
                    "POST", target.path + ("&" if "?" in target.path else "?") + f"timeout={timeout:g}s",
                    {"Content-Type": "application/json", "Accept": "application/json", "Host": self._host(target)},
                    raw, stream=True,
                )  # fmt: skip
                data = await _bounded(answer)
        except TimeoutError:
            raise CallFailed(f'Post "{_shown(target, timeout)}": context deadline exceeded') from None
        except NoAddress as error:
            raise CallFailed(f'Post "{_shown(target, timeout)}": {error}') from None
        except (Unreachable, ssl.SSLError) as error:
            raise CallFailed(f'Post "{_shown(target, timeout)}": {_cause(error)}') from None
        if answer.status >= 300:
            told = data.decode(errors="replace").strip() or "the server rejected our request for an unknown reason"
            raise CallFailed(told[:2000], answer.status)
        try:
            return msgspec.json.decode(data)
        except msgspec.DecodeError as error:
            raise CallFailed(f"couldn't get version/kind; json parse error: {error}") from None

    @staticmethod
    def _host(target: Target) -> str:
        return f"{target.server_name}:{target.port}"

    async def _transport(self, target: Target) -> HttpTransport:
        if target.service is not None:
            address, port = await self._services.find(*target.service, target.port)
        else:
            address, port = await look_up(target.host, target.port), target.port
        key = (address, port, target.server_name, target.ca)
        transport = self._transports.pop(key, None)
        if transport is None:
            shown = f"[{address}]" if ":" in address else address
            transport = HttpTransport(f"https://{shown}:{port}", _tls(target.ca), server_name=target.server_name)
            while len(self._transports) >= KEPT:
                await self._transports.pop(next(iter(self._transports))).close()
        self._transports[key] = transport
        return transport


def _shown(target: Target, timeout: float) -> str:
    return f"{target.url}{'&' if '?' in target.url else '?'}timeout={timeout:g}s"


def _tls(ca: str) -> ssl.SSLContext:
    if not ca:
        return ssl.create_default_context()
    return ssl.create_default_context(cadata=base64.b64decode(ca).decode("ascii", "replace"))


def _cause(error: BaseException) -> str:
    inner = error.__cause__ or error
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: x509: {inner.verify_message}"
    return str(error).partition('": ')[2] or str(error)


async def _bounded(answer: Any) -> bytes:
    data = b""
    try:
        async for part in answer.chunks():
            data += part
            if len(data) > MAX_ANSWER:
                raise CallFailed(f"the answer is longer than {MAX_ANSWER} bytes")
    finally:
        answer.close()
    return data
