"""One watch, on a gRPC stream of its own.

etcd's progress notification concerns all watches of a stream, and says nothing of one that was created after it was
asked for. On a shared stream such an answer would promise a new watch events that it has not had yet: a gap. So each
watch has its stream, and asks for progress only once etcd has said that the watch stands.

Upstream: `go.etcd.io/etcd/client/v3/watch.go`, which tells streams apart by their context for the same reason.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc

from workshop.apiserver.storage.interface import Batch, Compacted, Event, Progress, StorageError, Unavailable
from workshop.wire import etcd_pb2 as pb


class WatchStream:
    """`call` is an open bidirectional call of etcd's Watch; `translate` makes a storage error of a gRPC one."""

    def __init__(self, call: Any, translate: Callable[[grpc.RpcError], StorageError]) -> None:
        self._call, self._translate = call, translate
        self._created = False
        self._progress_wanted = False
        self._asking: asyncio.Future[None] | None = None
        self._writing = asyncio.Lock()

    async def watch(self, create: Any) -> AsyncIterator[Batch]:
        """The batches. Raises Compacted, Unavailable."""
        try:
            await self._write(pb.WatchRequest(create_request=create))
            while (answer := await self._read()) is not grpc.aio.EOF:
                if answer.canceled:
                    raise self._cancellation(answer)
                if answer.created:
                    self._created = True
                    # What comes from the past has not been delivered yet: so far it is complete up to its start.
                    yield Progress(create.start_revision - 1 if create.start_revision else answer.header.revision)
                    if self._progress_wanted:
                        self.request_progress()
                elif answer.events:
                    yield [_event(event) for event in answer.events]
                else:
                    yield Progress(answer.header.revision)
            raise Unavailable("the watch stream has ended")
        finally:
            self._call.cancel()
            if self._asking is not None:
                self._asking.cancel()

    @staticmethod
    def _cancellation(answer: Any) -> StorageError:
        if answer.compact_revision or "compacted" in answer.cancel_reason:
            return Compacted(answer.compact_revision)
        return Unavailable(answer.cancel_reason or "etcd canceled the watch")

    def request_progress(self) -> None:
        """Ask now, or as soon as the watch stands.

        The question is put by a task of the stream's own: gRPC cancels the whole call when whoever writes on it is
        cancelled, and those who ask (requests with a time limit, clients that go away) are cancelled all the time.
        """
        self._progress_wanted = not self._created
        if self._created and (self._asking is None or self._asking.done()):
            self._asking = asyncio.ensure_future(self._ask())

    async def _ask(self) -> None:
        with contextlib.suppress(StorageError):  # a broken stream ends its watch, who follows it learns it there
            await self._write(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))

    async def _write(self, request: Any) -> None:
        with self._translated():
            async with self._writing:
                await self._call.write(request)

    async def _read(self) -> Any:
        with self._translated():
            return await self._call.read()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise self._translate(error) from error
        except asyncio.InvalidStateError as error:
            raise Unavailable("the watch stream has ended") from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Nobody cancelled this task: it is the call that was cancelled.
            raise Unavailable("the watch stream has ended") from None

    def cancel(self) -> None:
        """End it: its watch raises Unavailable."""
        self._call.cancel()


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
