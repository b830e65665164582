"""The server's side of gRPC, frame by frame: a connection without a network, and calls through a real one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workshop.etcd.errors import NoSpace
from workshop.etcd.rpc.call import Call, Method
from workshop.etcd.rpc.connection import Connection
from workshop.etcd.rpc.door import Door, bind, finder
from workshop.etcd.rpc.http1 import Request, Response
from workshop.http2 import frames as h2
from workshop.http2 import hpack

LIMIT = 1 << 20


async def echo(request: bytes, call: Call) -> bytes:
    if request == b"full":
        raise NoSpace
    if request == b"who":
        return call.metadata["user-agent"].encode()
    return request * int(call.metadata.get("times", "1"))


async def count(call: Call) -> None:
    """Answers every message with as many as it says, then the end."""
    while (message := await call.read()) is not None:
        for number in range(int(message)):
            await call.write(b"%d" % number * 1000)


SERVICES = {"test.Echo": {"Once": Method(unary=echo), "Many": Method(stream=count)}}


async def plain(request: Request) -> Response:
    return Response(200, "text/plain", f"{request.method} {request.path} {request.query}".encode() + request.body)


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.closed = bytearray(), False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


class Client:
    """Writes frames into a `Connection`, reads frames out of it."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.server = Connection(finder(SERVICES), LIMIT, set(), http=plain)
        self.server.connection_made(self.wire)

    def say(self, *frames: bytes) -> None:
        self.server.data_received(b"".join(frames))

    async def heard(self) -> list[h2.Frame]:
        for _ in range(5):
            await asyncio.sleep(0)
        frames, rest = h2.split(bytes(self.wire.written))
        assert not rest
        self.wire.written.clear()
        return [frame for frame in frames if frame.kind not in (h2.SETTINGS, h2.WINDOW_UPDATE)]

    def open(self, stream: int, path: str = "/test.Echo/Once", flags: int = h2.END_HEADERS, **fields: str) -> bytes:
        block = hpack.encode([(":path", path), ("content-type", "application/grpc"), *fields.items()])
        return h2.frame(h2.HEADERS, flags, stream, block)


def message(data: bytes) -> bytes:
    return b"\0" + len(data).to_bytes(4, "big") + data


def data(stream: int, payload: bytes, flags: int = h2.END_STREAM) -> bytes:
    return h2.frame(h2.DATA, flags, stream, payload)


def status(frame: h2.Frame) -> tuple[str, str]:
    fields = hpack.Decoder().decode(frame.payload)
    return fields["grpc-status"], fields.get("grpc-message", "")


@pytest.fixture
async def client() -> Client:
    opened = Client()
    opened.say(h2.PREFACE, h2.settings({}))
    return opened


async def test_one_call(client: Client) -> None:
    client.say(client.open(1), data(1, message(b"hello")))
    headers, answer, trailers = await client.heard()
    assert answer.payload == message(b"hello") and status(trailers) == ("0", "")
    assert trailers.flags & h2.END_STREAM and not headers.flags & h2.END_STREAM
    assert not client.server.calls


async def test_bytes_may_come_one_by_one() -> None:
    client = Client()
    for byte in h2.PREFACE + h2.settings({}) + client.open(1) + data(1, message(b"slow")):
        client.say(bytes((byte,)))
    assert [frame.payload for frame in await client.heard() if frame.kind == h2.DATA] == [message(b"slow")]


async def test_headers_may_be_cut_and_padded(client: Client) -> None:
    block = client.open(1)[9:]
    client.say(
        h2.frame(h2.HEADERS, h2.PADDED | h2.HAS_PRIORITY, 1, b"\x03" + b"\0\0\0\0\x10" + block[:10] + b"\0\0\0"),
        h2.frame(h2.CONTINUATION, h2.END_HEADERS, 1, block[10:]),
        data(1, b"\x02" + message(b"x") + b"\0\0", h2.END_STREAM | h2.PADDED),
    )
    assert [frame.payload for frame in await client.heard() if frame.kind == h2.DATA] == [message(b"x")]


async def test_a_refusal_is_the_calls_status(client: Client) -> None:
    client.say(client.open(1), data(1, message(b"full")))
    [only] = await client.heard()
    assert status(only) == ("8", "etcdserver: mvcc: database space exceeded")


async def test_plain_http_2_is_answered_too(client: Client) -> None:
    for stream, method in ((1, "GET"), (3, "HEAD")):
        block = hpack.encode([(":method", method), (":path", "/health?a=b")])
        client.say(h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, stream, block))
    frames = await client.heard()
    assert hpack.Decoder().decode(frames[0].payload)[":status"] == "200"
    assert [frame.payload for frame in frames if frame.kind == h2.DATA] == [b"GET /health a=b"]
    assert [frame.stream for frame in frames if frame.flags & h2.END_STREAM] == [1, 3]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/test.Echo/Never", "unknown method Never for service test.Echo"),
        ("/test.Other/Once", "unknown service test.Other"),
    ],
)
async def test_what_nobody_serves_is_unimplemented(client: Client, path: str, text: str) -> None:
    client.say(client.open(1, path))
    [only] = await client.heard()
    assert status(only) == ("12", text)


async def test_a_message_that_is_too_large(client: Client) -> None:
    client.say(client.open(1), data(1, b"\0" + (LIMIT + 1).to_bytes(4, "big"), 0))
    only, reset = await client.heard()
    assert status(only) == ("8", f"grpc: received message larger than max ({LIMIT + 1} vs. {LIMIT})")
    assert reset.kind == h2.RST_STREAM


async def test_flow_control_holds_a_large_answer_back(client: Client) -> None:
    client.say(h2.settings({h2.INITIAL_WINDOW_SIZE: 1000}), client.open(1, times="100"), data(1, message(b"x" * 100)))
    frames = await client.heard()
    assert sum(len(frame.payload) for frame in frames if frame.kind == h2.DATA) == 1000
    client.say(h2.window_update(1, 9_004))
    frames = await client.heard()
    assert [len(frame.payload) for frame in frames] == [9_004]
    client.say(h2.window_update(1, 1))
    last, trailers = await client.heard()
    assert len(last.payload) == 1 and status(trailers) == ("0", "")


async def test_a_stream_waits_for_a_slow_reader(client: Client) -> None:
    client.say(h2.settings({h2.INITIAL_WINDOW_SIZE: 5000}), client.open(1, "/test.Echo/Many"), data(1, message(b"10")))
    frames = await client.heard()
    assert sum(len(frame.payload) for frame in frames if frame.kind == h2.DATA) == 5000
    assert len(client.server.calls[1].out) < 1010, "one message waits, not all"
    client.say(h2.window_update(1, 100_000))
    assert status((await client.heard())[-1]) == ("0", "")


async def test_a_reset_ends_the_handler(client: Client) -> None:
    client.say(client.open(1, "/test.Echo/Many"), data(1, message(b"1"), 0))
    await client.heard()
    task = client.server.calls[1].task
    assert task is not None
    client.say(h2.rst_stream(1, h2.CANCEL))
    await asyncio.wait([task], timeout=60)
    assert task.cancelled() and not client.server.calls


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (h2.frame(h2.DATA, 0, 7, b"x"), h2.PROTOCOL_ERROR),
        (h2.frame(h2.HEADERS, h2.END_HEADERS, 2, b"\x82"), h2.PROTOCOL_ERROR),
        (h2.frame(h2.HEADERS, h2.END_HEADERS, 1, b"\xff\xff"), h2.COMPRESSION_ERROR),
        (h2.frame(h2.HEADERS, 0, 1, b"\x82") + h2.frame(h2.PING, 0, 0, b"x" * 8), h2.PROTOCOL_ERROR),
        (h2.frame(h2.CONTINUATION, 0, 1, b""), h2.PROTOCOL_ERROR),
        (h2.frame(h2.PING, 0, 0, b"short"), h2.FRAME_SIZE_ERROR),
        (h2.frame(h2.SETTINGS, 0, 0, b"short"), h2.FRAME_SIZE_ERROR),
        (h2.settings({h2.INITIAL_WINDOW_SIZE: 1 << 31}), h2.FLOW_CONTROL_ERROR),
        (h2.frame(h2.WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), h2.FLOW_CONTROL_ERROR),
        (h2.frame(h2.PUSH_PROMISE, 0, 1, b""), h2.PROTOCOL_ERROR),
        (b"\xff\xff\xff\x00\x00\x00\x00\x00\x01", h2.FRAME_SIZE_ERROR),
    ],
)
async def test_a_broken_protocol_ends_the_connection_with_its_reason(client: Client, bad: bytes, code: int) -> None:
    client.say(bad)
    assert client.wire.closed
    last = (await client.heard())[-1]
    assert last.kind == h2.GOAWAY and int.from_bytes(last.payload[4:8], "big") == code


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 255), st.integers(0, 5), st.binary(max_size=40))))
def test_frames_at_random_break_nothing(frames: list[tuple[int, int, int, bytes]]) -> None:
    async def feed() -> None:
        client = Client()
        client.say(h2.PREFACE, h2.settings({}))
        for frame in frames:
            client.say(h2.frame(*frame))
        await asyncio.sleep(0)
        client.server.connection_lost(None)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    asyncio.run(feed())


@pytest.fixture
async def door() -> AsyncIterator[str]:
    opened, listening = Door(SERVICES, plain, LIMIT), bind("127.0.0.1", 0)
    await opened.open(listening)
    yield f"127.0.0.1:{listening.getsockname()[1]}"
    opened.close()


async def test_grpcs_own_client_is_served(door: str) -> None:
    async with grpc.aio.insecure_channel(door) as channel:
        once = channel.unary_unary("/test.Echo/Once")
        assert await asyncio.gather(*(once(b"%d" % i) for i in range(200))) == [b"%d" % i for i in range(200)]
        assert len(await once(b"x" * 100_000, metadata=[("times", "30")])) == 3_000_000
        many = channel.stream_stream("/test.Echo/Many")()
        await many.write(b"3000")
        await many.done_writing()
        assert len([answer async for answer in many]) == 3000
        with pytest.raises(grpc.RpcError) as refused:
            await once(b"full")
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def exchange(address: str, request: bytes) -> Iterator[bytes]:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), 60) as line:
        line.sendall(request)
        while data := line.recv(65536):
            yield data


async def test_http_1_on_the_same_port(door: str) -> None:
    def ask(request: bytes) -> bytes:
        return b"".join(exchange(door, request))

    answer = await asyncio.to_thread(ask, b"GET /health?a=b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and answer.endswith(b"\r\n\r\nGET /health a=b")
    two = b"POST /p HTTP/1.1\r\nContent-Length: 4\r\n\r\nbodyHEAD /q HTTP/1.1\r\nConnection: close\r\n\r\n"
    answer = await asyncio.to_thread(ask, two)
    assert answer.count(b"HTTP/1.1 200 OK") == 2 and b"POST /p body" in answer and b"HEAD" not in answer
    for wrong in (
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"P / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ):
        assert (await asyncio.to_thread(ask, wrong)).startswith(b"HTTP/1.1 400 ")
