"""Many watches over one gRPC stream, told apart by their ids. When the stream breaks, all of them end.

Upstream: `go.etcd.io/etcd/client/v3/watch.go`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from workshop.apiserver.storage.interface import Batch, Compacted, Event, Progress, StorageError, Unavailable
from workshop.wire import etcd_pb2 as pb

#: The id of an answer that concerns all watches of the stream.
ALL = -1


class WatchStream:
    """`call` is an open bidirectional call of etcd's Watch; `translate` makes a storage error of a gRPC one."""

    def __init__(self, call: Any, translate: Callable[[grpc.RpcError], StorageError]) -> None:
        self._call, self._translate = call, translate
        self._queues: dict[int, asyncio.Queue[Any]] = {}
        self._last_id = 0
        self._error: StorageError | None = None
        self._answered = False
        self._writing = asyncio.Lock()
        self._reader = asyncio.ensure_future(self._read())

    @property
    def broken(self) -> bool:
        return self._error is not None

    async def watch(self, create: Any) -> AsyncIterator[Batch]:
        """Batches of one watch. Raises Compacted, Unavailable."""
        self._last_id += 1
        id = create.watch_id = self._last_id
        queue = self._queues[id] = asyncio.Queue()
        try:
            await self._write(pb.WatchRequest(create_request=create))
            while True:
                answer = await queue.get()
                if isinstance(answer, StorageError):
                    raise answer
                if answer.canceled:
                    self._queues.pop(id, None)
                    raise self._cancellation(answer)
                if answer.created:
                    # What comes from the past has not been delivered yet: so far it is complete up to its start.
                    yield Progress(create.start_revision - 1 if create.start_revision else answer.header.revision)
                elif answer.events:
                    yield [_event(event) for event in answer.events]
                else:
                    yield Progress(answer.header.revision)
        finally:
            # A stream that has never been answered waits for a connection: so would the cancellation.
            if self._queues.pop(id, None) is not None and self._answered and not self.broken:
                cancel = pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=id))
                with contextlib.suppress(StorageError):
                    await self._write(cancel)

    @staticmethod
    def _cancellation(answer: Any) -> StorageError:
        if answer.compact_revision or "compacted" in answer.cancel_reason:
            return Compacted(answer.compact_revision)
        return Unavailable(answer.cancel_reason or "etcd canceled the watch")

    async def request_progress(self) -> None:
        with contextlib.suppress(StorageError):  # a broken stream ends its watches, they learn it there
            await self._write(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))

    async def _write(self, request: Any) -> None:
        if self._error is not None:
            raise self._error
        try:
            async with self._writing:
                await self._call.write(request)
        except grpc.RpcError as error:
            raise self._translate(error) from error
        except asyncio.InvalidStateError as error:
            raise Unavailable("the watch stream has ended") from error

    async def _read(self) -> None:
        error: StorageError = Unavailable("the watch stream has ended")
        try:
            while (answer := await self._call.read()) is not grpc.aio.EOF:
                self._answered = True
                if answer.watch_id == ALL and not answer.created:
                    for queue in self._queues.values():
                        queue.put_nowait(answer)
                elif answer.watch_id in self._queues:
                    self._queues[answer.watch_id].put_nowait(answer)
        except grpc.RpcError as failed:
            error = self._translate(failed)
        finally:
            self._error = error
            for queue in self._queues.values():
                queue.put_nowait(error)

    async def close(self) -> None:
        self._call.cancel()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)


def _event(event: Any) -> Event:
    kv = event.kv
    deleted = event.type == pb.Event.DELETE
    previous = event.prev_kv.value if event.HasField("prev_kv") else None
    return Event(
        "delete" if deleted else "put",
        kv.key.decode(),
        kv.value,
        previous,
        kv.mod_revision,
        not deleted and kv.create_revision == kv.mod_revision,
    )
