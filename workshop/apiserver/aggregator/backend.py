"""The connection to the server behind an APIService. It trusts the front proxy's certificate and takes the user from
headers.

Upstream: client-go/transport/round_trippers.go (NewAuthProxyRoundTripper).
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from workshop.api.meta import Obj
from workshop.apiserver.interfaces import UserInfo
from workshop.apiserver.webhooks.addresses import Services
from workshop.client.transport import HttpTransport

AGGREGATOR = UserInfo("system:kube-aggregator", groups=("system:masters",))


@dataclass(frozen=True)
class FrontProxy:
    """The certificate by which other servers know this one. PEM files; "" for none."""

    certificate: str = ""
    key: str = ""


def user_headers(user: UserInfo) -> list[tuple[str, str]]:
    """As a front proxy tells who is asking."""
    found = [("X-Remote-User", user.name)]
    if user.uid:
        found.append(("X-Remote-Uid", user.uid))
    found += [("X-Remote-Group", group) for group in user.groups]
    found += [
        (f"X-Remote-Extra-{quote(key, safe='')}", value) for key, values in user.extra.items() for value in values
    ]
    return found


class Backend:
    """Made anew when the APIService's spec changes. Connections are kept by address."""

    def __init__(self, spec: Obj, services: Services, front: FrontProxy) -> None:
        self._spec, self._services, self._front = spec, services, front
        self._transports: dict[tuple[str, int], HttpTransport] = {}
        self._tls: ssl.SSLContext | None = None

    @property
    def server_name(self) -> str:
        ref = self._spec["service"]
        return f"{ref['name']}.{ref['namespace']}.svc"

    async def transport(self) -> HttpTransport:
        """Raises NoAddress, and OSError or ssl.SSLError for certificates that cannot be used."""
        ref = self._spec["service"]
        address, port = await self._services.find(ref["namespace"], ref["name"], ref.get("port") or 443)
        found = self._transports.get((address, port))
        if found is None:
            shown = f"[{address}]" if ":" in address else address
            found = HttpTransport(f"https://{shown}:{port}", self._context(), server_name=self.server_name)
            self._transports[address, port] = found
        return found

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            ca = self._spec.get("caBundle")
            context = ssl.create_default_context(cadata=base64.b64decode(ca).decode("ascii", "replace") if ca else None)
            if self._spec.get("insecureSkipTLSVerify"):
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            if self._front.certificate:
                context.load_cert_chain(self._front.certificate, self._front.key)
            self._tls = context
        return self._tls

    async def get(self, target: str, accept: str = "application/json") -> tuple[int, Mapping[str, str], bytes]:
        """As the aggregator itself. Raises NoAddress, OSError."""
        transport = await self.transport()
        lines = [("Accept", accept), ("Host", self.server_name), *user_headers(AGGREGATOR)]
        answer = await transport.send("GET", target, HeaderLines(lines), None)
        return answer.status, answer.headers, await answer.read()

    async def close(self) -> None:
        for transport in self._transports.values():
            await transport.close()
        self._transports.clear()


class HeaderLines(dict[str, str]):
    """Header lines, of which several may have one name."""

    def __init__(self, lines: list[tuple[str, str]]) -> None:
        super().__init__(lines)
        self._lines = lines

    def items(self) -> Any:
        return self._lines
