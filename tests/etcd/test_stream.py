"""Both ends of the stream between two members, on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from workshop.etcd.membership import Member
from workshop.etcd.peer import codec, http, stream
from workshop.etcd.peer.stream import Peer
from workshop.etcd.raft import Entry, Message

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def append(index: int, size: int = 10) -> Message:
    return Message("append", 1, 2, 3, index - 1, 3, (Entry(3, index, b"x" * size),), index - 1)


def notice(commit: int) -> Message:
    return Message("append", 1, 2, 3, commit, 3, (), commit, context=1)


class Ear:
    """What was heard; `until` waits for so many messages."""

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self.begun = False
        self._more = asyncio.Event()

    def __call__(self, messages: list[Message]) -> None:
        self.begun = True
        self.heard += messages
        self._more.set()

    async def until(self, count: int) -> list[Message]:
        async with asyncio.timeout(60):
            while len(self.heard) < count:
                self._more.clear()
                await self._more.wait()
        return self.heard


@asynccontextmanager
async def connected(peer: Peer, ear: Ear) -> AsyncIterator[asyncio.Future[None]]:
    """`peer` speaks to whoever listens; the future is the listener's."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await http.read_head(reader)
            writer.write(HEAD)
            await peer.speak(writer)
        except OSError:
            return  # the listener went away
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    listening = asyncio.ensure_future(stream.listen(f"http://127.0.0.1:{port}", None, b"GET / HTTP/1.1\r\n\r\n", ear))
    try:
        yield listening
    finally:
        peer.hush()
        await asyncio.wait([listening], timeout=60)
        server.close()
        assert isinstance(listening.exception(), EOFError)


async def test_what_waited_and_what_comes_is_heard_in_its_order() -> None:
    peer, ear = Peer(Member(2, ("http://h:1",))), Ear()
    for index in range(1, 101):
        peer.put([append(index)])
    async with connected(peer, ear):
        waited = await ear.until(stream.BOX_UNHEARD)
        assert [m.index + 1 for m in waited] == list(range(101 - stream.BOX_UNHEARD, 101)), "the newest were kept"
        peer.put([append(101), append(102, 3 << 20)])
        assert [m.index + 1 for m in (await ear.until(stream.BOX_UNHEARD + 2))[-2:]] == [101, 102]


async def test_a_notice_goes_with_the_next_message_or_soon_alone() -> None:
    peer, ear = Peer(Member(2, ("http://h:1",))), Ear()
    async with connected(peer, ear):
        peer.put([append(1)])
        await ear.until(1)
        peer.remind(notice(1))
        peer.remind(notice(2))
        assert (await ear.until(2))[1:] == [notice(2)], "the last word, though nothing else was said"
        peer.remind(notice(3))
        peer.put([append(4)])
        peer.remind(notice(4))
        heartbeat = Message("heartbeat", 1, 2, 3, commit=4)
        peer.put([heartbeat])
        assert (await ear.until(5))[2:] == [append(4), notice(4), heartbeat], "entries say what a notice would"


async def test_what_is_no_stream_ends_it() -> None:
    for said, problem in (
        (b"SSH-2.0-other\r\n\r\n", http.BadMessage),
        (HEAD + b"zz\r\nabc\r\n", http.BadMessage),
        (HEAD + b"fffffffff\r\n", http.BadMessage),
        (HEAD + http.chunk(b"\x04abc"), codec.Malformed),
        (HEAD + b"1" * 100, http.BadMessage),
        (b"HTTP/1.1 410 Gone\r\n\r\nthe member has been permanently removed", stream.Refused),
        (b"", EOFError),
    ):

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: bytes = said) -> None:
            await http.read_head(reader)
            for place in range(0, len(said), 7):  # in pieces
                writer.write(said[place : place + 7])
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            with pytest.raises(problem):
                async with asyncio.timeout(60):
                    await stream.listen(url, None, b"GET / HTTP/1.1\r\n\r\n", Ear())
        finally:
            server.close()


def test_chunks_come_in_any_pieces() -> None:
    data = b"".join(http.chunk(body) for body in (b"one", b"\r\n", b"x" * 40))
    for cut in range(len(data) + 1):
        first, rest = http.split_chunks(data[:cut], 100)
        then, left = http.split_chunks(rest + data[cut:], 100)
        assert first + then == [b"one", b"\r\n", b"x" * 40] and left == b""
