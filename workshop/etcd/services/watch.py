"""Watch: one stream each way, any number of watchers. Upstream: `server/etcdserver/api/v3rpc/watch.go`."""

from __future__ import annotations

import asyncio

from workshop.etcd import errors
from workshop.etcd.auth import permissions
from workshop.etcd.mvcc.operations import Message
from workshop.etcd.mvcc.watch import Stream, WatchHub
from workshop.etcd.rpc.call import Call, Method
from workshop.etcd.services.base import Member, streaming
from workshop.wire import etcd_pb2 as pb


class Watch:
    def __init__(self, member: Member) -> None:
        self._member = member

    def methods(self) -> dict[str, Method]:
        return {"Watch": streaming(self.watch)}

    async def watch(self, call: Call) -> None:
        writing = Writer(self._member.hub, call)
        stream = writing.stream
        writer = asyncio.ensure_future(writing.run())
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


class Writer:
    """Brings a stream's answers to its client: at once where there is room, so that a thousand watchers of one key
    need no thousand tasks to be woken. What a slow client leaves waiting is the business of `run`."""

    def __init__(self, hub: WatchHub, call: Call) -> None:
        self._hub, self._call = hub, call
        self._full = False
        self._something = asyncio.Event()
        self.stream = hub.open(self.wake)

    def wake(self) -> None:
        """There is something in the outbox, or the stream is behind."""
        while self.stream.outbox and not self._full:
            self._full = not self._call.send(self.stream.take())
        if self._full or self.stream.behind:
            self._something.set()

    async def run(self) -> None:
        while True:
            await self._something.wait()
            self._something.clear()
            if self._full:
                await self._call.room()
                self._full = False
                self.wake()
            elif self.stream.behind:
                await asyncio.sleep(0)  # others' turn
                self._hub.catch_up(self.stream)
