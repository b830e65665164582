"""Health checks of Services for load balancers: one port a Service, that says how many of its endpoints are here.

A load balancer sends a Service with externalTrafficPolicy Local only to nodes that answer 200.
Upstream: `pkg/proxy/healthcheck/service_health.go`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

from workshop.proxy.rules import HealthCheck

Key = tuple[str, str]  # (namespace, name)


def answer(key: Key, endpoints: int, healthy: bool) -> bytes:
    """The whole HTTP answer."""
    body = (
        f'{{\n\t"service": {{\n\t\t"namespace": {json.dumps(key[0])},\n\t\t"name": {json.dumps(key[1])}\n\t}},\n'
        f'\t"localEndpoints": {endpoints},\n\t"serviceProxyHealthy": {json.dumps(healthy)}\n}}'
    ).encode()
    status = "200 OK" if endpoints and healthy else "503 Service Unavailable"
    head = [
        f"HTTP/1.1 {status}",
        "Content-Type: application/json",
        "X-Content-Type-Options: nosniff",
        f"X-Load-Balancing-Endpoint-Weight: {endpoints}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


class ServiceHealth:
    """Keeps the ports open. `healthy` says whether the proxy itself is."""

    def __init__(self, address: str, healthy: Callable[[], bool]) -> None:
        self._address, self._healthy = address, healthy
        self._checks: dict[Key, HealthCheck] = {}
        self._servers: dict[Key, asyncio.Server] = {}

    async def apply(self, wanted: dict[Key, HealthCheck]) -> dict[Key, str]:
        """Listen on these, and no longer on others; returns what failed, in upstream's words without the node."""
        for key in list(self._servers):
            if key not in wanted or wanted[key].port != self._checks[key].port:
                self._servers.pop(key).close()
        self._checks, problems = dict(wanted), {}
        for key, check in wanted.items():
            if key not in self._servers:
                try:
                    self._servers[key] = await asyncio.start_server(self._served(key), self._address, check.port)
                except OSError as problem:
                    why = (problem.strerror or str(problem)).lower()
                    said = f'failed to start healthcheck "{key[0]}/{key[1]}" on port {check.port}'
                    problems[key] = f"{said}: listen tcp {self._address}:{check.port}: bind: {why}"
        return problems

    async def close(self) -> None:
        await self.apply({})

    def _served(self, key: Key) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.readuntil(b"\r\n\r\n")
                check = self._checks.get(key)
                writer.write(answer(key, check.endpoints if check else 0, self._healthy()))
                await writer.drain()
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                return
            finally:
                writer.close()

        return serve
