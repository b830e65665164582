"""gRPC calls by our client, answered by gRPC's own server; and by a server that misbehaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import grpc
import pytest

from workshop.http2 import frames as h2
from workshop.http2.client import (
    CANCELLED,
    DEADLINE_EXCEEDED,
    INTERNAL,
    RESOURCE_EXHAUSTED,
    UNAVAILABLE,
    UNIMPLEMENTED,
    Call,
    Channel,
    RpcError,
)

Handler = Any


class Service(grpc.GenericRpcHandler):  # type: ignore[misc]
    """`/t/Echo` answers with what it got, `/t/Fail` never, `/t/Hang` when it is let, `/t/Stream` each message twice."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.hanging = asyncio.Queue[bytes]()
        self.metadata: dict[str, str] = {}

    def service(self, details: Any) -> Handler:
        self.metadata = dict(details.invocation_metadata)
        match details.method:
            case "/t/Echo":
                return grpc.unary_unary_rpc_method_handler(self.echo)
            case "/t/Fail":
                return grpc.unary_unary_rpc_method_handler(self.fail)
            case "/t/Hang":
                return grpc.unary_unary_rpc_method_handler(self.hang)
            case "/t/Stream":
                return grpc.stream_stream_rpc_method_handler(self.twice)
        return None

    async def echo(self, request: bytes, context: Any) -> bytes:
        return request

    async def fail(self, request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no room: 100 % of “it”")
        return b""

    async def hang(self, request: bytes, context: Any) -> bytes:
        self.hanging.put_nowait(request)
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return request

    async def twice(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        try:
            async for request in requests:
                yield request
                yield request
        finally:
            self.cancelled.set()


@pytest.fixture
async def service() -> Service:
    return Service()


@pytest.fixture
async def server(service: Service) -> AsyncIterator[tuple[Any, int]]:
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    made = grpc.aio.server(options=options)
    made.add_generic_rpc_handlers((service,))
    port = made.add_insecure_port("127.0.0.1:0")
    await made.start()
    yield made, port
    await made.stop(None)


@pytest.fixture
async def channel(server: tuple[Any, int]) -> AsyncIterator[Channel]:
    made = Channel("127.0.0.1", server[1])
    yield made
    await made.close()


@pytest.mark.parametrize("size", [0, 1, 16_384, 65_535, 5_000_000])
async def test_a_message_comes_back_whole(channel: Channel, size: int) -> None:
    assert await channel.unary("/t/Echo", b"x" * size, 10) == b"x" * size


async def test_many_calls_share_a_connection(channel: Channel) -> None:
    answers = await asyncio.gather(*(channel.unary("/t/Echo", b"%d" % number * 1000, 10) for number in range(200)))
    assert answers == [b"%d" % number * 1000 for number in range(200)]


async def refusal(call: Any) -> tuple[int, str]:
    with pytest.raises(RpcError) as error:
        await call
    return error.value.code, error.value.text


async def test_a_refusal_has_its_code_and_text(channel: Channel) -> None:
    assert await refusal(channel.unary("/t/Fail", b"", 10)) == (RESOURCE_EXHAUSTED, "no room: 100 % of “it”")
    assert (await refusal(channel.unary("/t/Nothing", b"", 10)))[0] == UNIMPLEMENTED


async def test_a_call_that_takes_too_long_is_given_up_on_both_sides(channel: Channel, service: Service) -> None:
    assert await refusal(channel.unary("/t/Hang", b"", 0.05)) == (DEADLINE_EXCEEDED, "context deadline exceeded")
    await asyncio.wait_for(service.cancelled.wait(), 60)
    assert await channel.unary("/t/Echo", b"still here", 10) == b"still here"


async def test_a_caller_that_is_cancelled_takes_only_its_call_along(channel: Channel, service: Service) -> None:
    other = asyncio.ensure_future(channel.unary("/t/Hang", b"other", 10))
    hanging = asyncio.ensure_future(channel.unary("/t/Hang", b"", 10))
    assert {await service.hanging.get(), await service.hanging.get()} == {b"", b"other"}
    hanging.cancel()
    await asyncio.wait_for(service.cancelled.wait(), 60)
    service.release.set()
    assert await other == b"other"


async def test_a_stream_goes_both_ways(channel: Channel, service: Service) -> None:
    stream = await channel.stream("/t/Stream", (("hasleader", "true"),))
    for word in (b"a", b"b" * 100_000):
        stream.write(word)
        assert [await stream.read(), await stream.read()] == [word, word]
    assert service.metadata["hasleader"] == "true"
    stream.cancel()
    await asyncio.wait_for(service.cancelled.wait(), 60)
    assert (await refusal(stream.read()))[0] == CANCELLED
    with pytest.raises(RpcError):
        stream.write(b"late")


async def test_a_slow_reader_makes_the_server_wait_and_misses_nothing(channel: Channel) -> None:
    stream = await channel.stream("/t/Stream")
    block = b"x" * 1_000_000
    for _ in range(40):  # 80 MB come back: more than all windows together
        stream.write(block)
    seen = 0
    while seen < 80:
        assert await stream.read() == block
        seen += 1
    stream.cancel()


async def test_a_server_that_is_not_there_is_waited_for_or_not(unused_tcp_port: int, service: Service) -> None:
    channel = Channel("127.0.0.1", unused_tcp_port)
    code, text = await refusal(channel.unary("/t/Echo", b"", 5, wait=False))
    assert (code, "connection error" in text) == (UNAVAILABLE, True)
    waiting = asyncio.ensure_future(channel.unary("/t/Echo", b"at last", 10))
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((service,))
    server.add_insecure_port(f"127.0.0.1:{unused_tcp_port}")
    await server.start()
    assert await waiting == b"at last"
    await server.stop(None)
    await channel.close()


async def test_a_server_that_dies_ends_its_calls_and_is_found_again(
    server: tuple[Any, int], channel: Channel, service: Service
) -> None:
    first, port = server
    hanging = asyncio.ensure_future(channel.unary("/t/Hang", b"", 10))
    stream = await channel.stream("/t/Stream")
    stream.write(b"a")
    await stream.read()
    await first.stop(None)
    assert (await refusal(hanging))[0] in (UNAVAILABLE, CANCELLED)
    await stream.read()  # the second of its pair
    assert (await refusal(stream.read()))[0] in (UNAVAILABLE, CANCELLED)
    second = grpc.aio.server()
    second.add_generic_rpc_handlers((service,))
    second.add_insecure_port(f"127.0.0.1:{port}")
    await second.start()
    assert await channel.unary("/t/Echo", b"again", 10) == b"again"
    await second.stop(None)


async def test_a_closed_channel_ends_its_calls(channel: Channel, service: Service) -> None:
    hanging = asyncio.ensure_future(channel.unary("/t/Hang", b"", 10))
    await service.hanging.get()
    await channel.close()
    assert (await refusal(hanging))[0] == CANCELLED
    assert (await refusal(channel.unary("/t/Echo", b"", 10)))[0] == CANCELLED


class Wrong(asyncio.Protocol):
    """A server that says what a test wants when it hears something."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(self.answer)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (h2.head(1 << 20, h2.DATA, 0, 1) + b"x", INTERNAL),
        (h2.frame(h2.CONTINUATION, 0, 1, b""), INTERNAL),
        (h2.frame(h2.HEADERS, h2.END_HEADERS, 1, b"\xff\xff"), INTERNAL),
        (h2.frame(h2.HEADERS, h2.END_HEADERS, 1, b"\x8d"), UNAVAILABLE),  # :status 404
        (h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 1, b"\x88"), INTERNAL),  # no trailers
        (h2.rst_stream(1, h2.REFUSED_STREAM), UNAVAILABLE),
        (h2.rst_stream(1, h2.CANCEL), CANCELLED),
        (h2.goaway(0, h2.NO_ERROR), UNAVAILABLE),
        (h2.frame(h2.DATA, 0, 1, b"\x01\0\0\0\0"), INTERNAL),  # compressed, which nobody asked for
    ],
)
async def test_nonsense_from_a_server_is_an_error_of_the_call(answer: bytes, code: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Wrong(answer), "127.0.0.1", 0)
    channel = Channel("127.0.0.1", server.sockets[0].getsockname()[1])
    assert (await refusal(channel.unary("/t/Echo", b"", 5)))[0] == code
    await channel.close()
    server.close()


async def test_a_silent_server_is_asked_and_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from workshop.http2 import client

    monkeypatch.setattr(client, "QUIET", 0.05)
    monkeypatch.setattr(client, "PATIENCE", 0.05)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Wrong(b""), "127.0.0.1", 0)
    channel = Channel("127.0.0.1", server.sockets[0].getsockname()[1])
    stream: Call = await channel.stream("/t/Stream")
    code, text = await refusal(stream.read())
    assert (code, "keepalive" in text) == (UNAVAILABLE, True)
    server.close()
