"""Watch: one stream each way, any number of watchers. Upstream: `server/etcdserver/api/v3rpc/watch.go`."""

from __future__ import annotations

import asyncio

from workshop.etcd import errors
from workshop.etcd.auth import permissions
from workshop.etcd.mvcc.operations import Message
from workshop.etcd.mvcc.watch import Stream
from workshop.etcd.rpc.call import Call, Method
from workshop.etcd.services.base import Member, streaming
from workshop.wire import etcd_pb2 as pb


class Watch:
    def __init__(self, member: Member) -> None:
        self._member = member

    def methods(self) -> dict[str, Method]:
        return {"Watch": streaming(self.watch)}

    async def watch(self, call: Call) -> None:
        """Reads requests here; a task of its own writes what gathers in the stream's outbox."""
        something = asyncio.Event()
        stream = self._member.hub.open(something.set)
        writer = asyncio.ensure_future(self._write(stream, something, call))
        reader = asyncio.ensure_future(self._read(stream, call))
        try:
            # The reader's end is the client's half-close: it will ask nothing more, and still wants its events.
            done, _ = await asyncio.wait([writer, reader], return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            self._member.hub.close(stream)
            for task in (writer, reader):
                task.cancel()
            await asyncio.gather(writer, reader, return_exceptions=True)

    async def _read(self, stream: Stream, call: Call) -> None:
        hub = self._member.hub
        while (data := await call.read()) is not None:
            request = pb.WatchRequest.FromString(data)
            match request.WhichOneof("request_union"):
                case "create_request":
                    self._member.head()  # watch answers carry the term of now
                    hub.create(stream, request.create_request, self._refusal(request.create_request, call))
                case "cancel_request":
                    hub.cancel(stream, request.cancel_request.watch_id)
                case "progress_request":
                    hub.request_progress(stream)

    def _refusal(self, request: Message, call: Call) -> str:
        """Why this caller must not watch this; "" if it may."""
        auth = self._member.machine.auth
        if not auth.enabled:
            return ""
        need = permissions.Need(permissions.READ, request.key or b"\0", request.range_end)
        try:
            auth.require(self._member.who(call), [need])
        except errors.EtcdError as refused:
            return refused.as_go_says()
        return ""

    async def _write(self, stream: Stream, something: asyncio.Event, call: Call) -> None:
        while True:
            await something.wait()
            something.clear()
            while stream.outbox:
                await call.write(stream.take())
            if stream.behind:
                await asyncio.sleep(0)  # others' turn, if nothing was written
                self._member.hub.catch_up(stream)
