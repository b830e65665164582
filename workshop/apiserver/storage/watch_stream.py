"""One watch, on a gRPC stream of its own.

etcd's progress notification concerns all watches of a stream, and says nothing of one that was created after it was
asked for. On a shared stream such an answer would promise a new watch events that it has not had yet: a gap. So each
watch has its stream, and asks for progress only once etcd has said that the watch stands.

Upstream: `go.etcd.io/etcd/client/v3/watch.go`, which tells streams apart by their context for the same reason.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any

from workshop.apiserver.storage.interface import Batch, Compacted, Event, Progress, StorageError, Unavailable
from workshop.http2.client import Call, RpcError
from workshop.wire import etcd_pb2 as pb


class WatchStream:
    """`call` is an open call of etcd's Watch; `translate` makes a storage error of a gRPC one."""

    def __init__(self, call: Call, translate: Callable[[RpcError], StorageError]) -> None:
        self._call, self._translate = call, translate
        self._created = False
        self._progress_wanted = False

    async def watch(self, create: Any) -> AsyncGenerator[Batch, None]:
        """The batches. Raises Compacted, Unavailable."""
        try:
            self._call.write(pb.WatchRequest(create_request=create).SerializeToString())
            while (raw := await self._call.read()) is not None:
                answer = pb.WatchResponse.FromString(raw)
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
        except RpcError as error:
            raise self._translate(error) from error
        finally:
            self._call.cancel()

    @staticmethod
    def _cancellation(answer: Any) -> StorageError:
        if answer.compact_revision or "compacted" in answer.cancel_reason:
            return Compacted(answer.compact_revision)
        return Unavailable(answer.cancel_reason or "etcd canceled the watch")

    def request_progress(self) -> None:
        """Ask now, or as soon as the watch stands."""
        self._progress_wanted = not self._created
        if self._created and not self._call.over:
            self._call.write(_PROGRESS)

    def cancel(self) -> None:
        """End it: its watch raises Unavailable."""
        self._call.cancel()


_PROGRESS = pb.WatchRequest(progress_request=pb.WatchProgressRequest()).SerializeToString()


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
