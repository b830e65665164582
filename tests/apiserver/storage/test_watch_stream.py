"""What gRPC's calls do when somebody is cancelled, and that a watch outlives it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from workshop.apiserver.storage.interface import Progress, Unavailable
from workshop.apiserver.storage.watch_stream import WatchStream
from workshop.wire import etcd_pb2 as pb


class Call:
    """As grpc.aio's stream: whoever is cancelled while he writes takes the whole call with him."""

    def __init__(self) -> None:
        self.answers: asyncio.Queue[Any] = asyncio.Queue()
        self.open = asyncio.Event()
        self.written: list[Any] = []
        self.asked = asyncio.Event()
        self.cancelled = False

    async def write(self, request: Any) -> None:
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancel()
            raise
        self.written.append(request)
        if request.HasField("progress_request"):
            self.asked.set()

    async def read(self) -> Any:
        answer = await self.answers.get()
        if answer is None:
            raise asyncio.CancelledError
        return answer

    def cancel(self) -> None:
        self.cancelled = True
        self.answers.put_nowait(None)


async def standing() -> tuple[Call, WatchStream, Any]:
    call = Call()
    call.open.set()
    stream = WatchStream(call, lambda error: Unavailable(str(error)))
    batches = stream.watch(pb.WatchCreateRequest(key=b"/registry/", start_revision=5))
    call.answers.put_nowait(pb.WatchResponse(created=True))
    assert await anext(batches) == Progress(4)
    return call, stream, batches


async def test_a_client_that_stops_asking_for_progress_does_not_end_the_watch() -> None:
    call, stream, batches = await standing()
    call.open.clear()  # the connection takes no more bytes for a moment

    async def ask() -> None:
        stream.request_progress()
        await asyncio.Event().wait()

    asking = asyncio.create_task(ask())
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    call.open.set()
    async with asyncio.timeout(5):
        await call.asked.wait()
    call.answers.put_nowait(pb.WatchResponse(header=pb.ResponseHeader(revision=9)))
    assert await anext(batches) == Progress(9)
    assert not call.cancelled
    assert [request.WhichOneof("request_union") for request in call.written] == ["create_request", "progress_request"]
    await batches.aclose()


async def test_a_cancelled_call_is_told_as_what_it_is() -> None:
    call, _, batches = await standing()
    call.cancel()
    with pytest.raises(Unavailable):
        await anext(batches)


async def test_a_cancelled_reader_stays_cancelled() -> None:
    _, _, batches = await standing()
    reader = asyncio.create_task(anext(batches))
    await asyncio.sleep(0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
