"""gRPC probes against a real gRPC server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc as grpcio
import pytest

from tests.ports import free_port
from workshop.kubelet.dial import grpc

ANSWERS = {"": b"\x08\x01", "bad": b"\x08\x02", "new": b"\x08\x03", "empty": b""}


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A health service: the nameless service serves, `bad` does not, `gone` is an error, `slow` never answers."""

    async def check(request: bytes, context: grpcio.aio.ServicerContext) -> bytes:
        name = request[2:].decode()
        if name == "slow":
            await asyncio.Event().wait()
        if name not in ANSWERS:
            await context.abort(grpcio.StatusCode.NOT_FOUND, "unknown service")
        return ANSWERS[name]

    methods = {"Check": grpcio.unary_unary_rpc_method_handler(check)}
    server = grpcio.aio.server()
    server.add_generic_rpc_handlers((grpcio.method_handlers_generic_handler("grpc.health.v1.Health", methods),))
    number = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield number
    await server.stop(0)


@pytest.mark.parametrize(
    ("service", "output"),
    [
        ("", ""),
        ("bad", 'service unhealthy (responded with "NOT_SERVING")'),
        ("new", 'service unhealthy (responded with "SERVICE_UNKNOWN")'),
        ("empty", 'service unhealthy (responded with "UNKNOWN")'),
        ("gone", "error: health rpc probe failed: unknown service"),
        ("slow", "timeout: health rpc did not complete within 1s"),
    ],
)
async def test_what_a_health_service_says(port: int, service: str, output: str) -> None:
    result = await grpc("127.0.0.1", port, service, 1)
    assert (result.ok, result.output) == (not output, output)


async def test_nobody_listens() -> None:
    port = free_port()
    result = await grpc("127.0.0.1", port, "", 1)
    assert result.output == (
        f'timeout: failed to connect service "127.0.0.1:{port}" within 1s: context deadline exceeded'
    )
