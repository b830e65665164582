"""Storage over etcd v3 gRPC. gRPC's errors end here.

The transactions are upstream's: `If MOD(k)==rev Then Put Else Range`, `… Then DeleteRange Else Range`. Reads are sent
again when a connection breaks; a write is not, since nobody knows whether it happened.

Upstream: `staging/src/k8s.io/apiserver/pkg/storage/etcd3/store.go`, `watcher.go`.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import urlsplit

from workshop import component
from workshop.apiserver.storage import compaction
from workshop.apiserver.storage.interface import (
    Batch,
    Compacted,
    Conflict,
    FutureRevision,
    KeyExists,
    KeyValue,
    ListResult,
    NotFound,
    StorageError,
    StorageStatus,
    Timeout,
    TooLarge,
    Unavailable,
    check_message,
)
from workshop.apiserver.storage.leases import LeaseReuse, granted_ttl
from workshop.apiserver.storage.watch_stream import WatchStream
from workshop.clock import SYSTEM, Clock
from workshop.http2.client import DEADLINE_EXCEEDED, UNAVAILABLE, Channel, RpcError
from workshop.wire import etcd_pb2 as pb

#: Seconds that one request may take.
TIMEOUT = 10.0


def prefix_end(prefix: bytes) -> bytes:
    """The first key after all that start with `prefix`: `/pods/` → `/pods0`."""
    for place in range(len(prefix) - 1, -1, -1):
        if prefix[place] < 0xFF:
            return prefix[:place] + bytes([prefix[place] + 1])
    return b"\x00"


def translate(error: RpcError) -> StorageError:
    """What a gRPC status means to the registry; etcd's refusals are told apart by their texts."""
    text = error.text
    if "required revision has been compacted" in text:
        return Compacted()
    if "required revision is a future revision" in text:
        return FutureRevision()
    if "request is too large" in text or "message larger than max" in text:
        return TooLarge(text)
    if error.code == DEADLINE_EXCEEDED or "request timed out" in text:
        return Timeout(f"etcd does not answer: {text}")
    return Unavailable(text or f"gRPC status {error.code}")


def consistent_progress(version: str) -> bool:
    """Do progress notifications of this etcd never overtake events? (3.4.31 and later, but 3.5.0 to 3.5.12.)"""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    number = tuple(int(part) for part in found.groups()) if found else (0, 0, 0)
    return number >= (3, 4, 31) and not (3, 5, 0) <= number <= (3, 5, 12)


Observe = Callable[[str, str, float, bool], None]
"""(operation, key or prefix, seconds, whether etcd answered)."""
P = ParamSpec("P")
R = TypeVar("R")


def _timed(
    operation: str,
) -> Callable[
    [Callable[Concatenate[Etcd3Storage, str, P], Awaitable[R]]],
    Callable[Concatenate[Etcd3Storage, str, P], Coroutine[Any, Any, R]],
]:
    """How long etcd takes is told to the storage's `observe`."""

    def around(
        method: Callable[Concatenate[Etcd3Storage, str, P], Awaitable[R]],
    ) -> Callable[Concatenate[Etcd3Storage, str, P], Coroutine[Any, Any, R]]:
        async def timed(self: Etcd3Storage, key: str, /, *args: P.args, **more: P.kwargs) -> R:
            begun, well = self._clock.monotonic(), True
            try:
                return await method(self, key, *args, **more)
            except (Unavailable, Timeout):
                well = False
                raise
            finally:
                self.observe(operation, key, self._clock.monotonic() - begun, well)

        return timed

    return around


class Etcd3Storage:
    """`endpoints` are URLs. With https, `ca_file` verifies the server; `cert_file` and `key_file` identify us.

    Make one inside a running event loop. Raises OSError when a certificate cannot be read.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        ca_file: str = "",
        cert_file: str = "",
        key_file: str = "",
        clock: Clock = SYSTEM,
    ) -> None:
        self._clock = clock
        self._channels = [self._connect(url, ca_file, cert_file, key_file) for url in endpoints]
        self._current = 0
        self._leases: dict[int, LeaseReuse] = {}
        self._lease_lock = asyncio.Lock()
        self._watches: set[WatchStream] = set()
        self.observe: Observe = lambda operation, key, seconds, well: None

    @staticmethod
    def _connect(url: str, ca_file: str, cert_file: str, key_file: str) -> Channel:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port or 2379
        if parts.scheme == "http":
            return Channel(parts.hostname or "", port)
        component.lean_tls()
        tls = ssl.create_default_context(cafile=ca_file or None)
        tls.set_alpn_protocols(["h2"])
        if cert_file:
            tls.load_cert_chain(cert_file, key_file)
        return Channel(parts.hostname or "", port, tls)

    # Requests

    async def _call(self, method: str, request: Any, answer: Any, retry: bool) -> Any:
        """One unary call. A sole endpoint is waited for; of several the next one is tried. What may not be done twice
        is tried again only where nobody has begun with it."""
        sole = len(self._channels) == 1
        attempts, untried = 3 if retry else 1, len(self._channels)
        while True:
            attempts, untried = attempts - 1, untried - 1
            try:
                channel = self._channels[self._current]
                raw = await channel.unary(f"/etcdserverpb.{method}", request.SerializeToString(), TIMEOUT, wait=sole)
                return answer.FromString(raw)
            except RpcError as error:
                if error.code == UNAVAILABLE:
                    self._current = (self._current + 1) % len(self._channels)
                    if attempts > 0 or (error.unseen and untried > 0):
                        continue
                raise translate(error) from error

    async def _range(self, **fields: Any) -> Any:
        return await self._call("KV/Range", pb.RangeRequest(**fields), pb.RangeResponse, retry=True)

    async def _txn(self, key: bytes, revision: int, then: Any, otherwise: Any = None) -> Any:
        """`If MOD(key)==revision Then … Else …`"""
        request = pb.TxnRequest(
            compare=[pb.Compare(target=pb.Compare.MOD, key=key, mod_revision=revision)],
            success=[then],
            failure=[otherwise] if otherwise is not None else [],
        )
        check_message(request.ByteSize())
        return await self._call("KV/Txn", request, pb.TxnResponse, retry=False)

    # Storage

    @_timed("create")
    async def create(self, key: str, value: bytes, lease_ttl: int = 0) -> int:
        name = key.encode()
        lease = await self._lease(lease_ttl)
        answer = await self._txn(name, 0, pb.RequestOp(request_put=pb.PutRequest(key=name, value=value, lease=lease)))
        if not answer.succeeded:
            raise KeyExists(key, answer.header.revision)
        return int(answer.header.revision)

    @_timed("get")
    async def get(self, key: str, revision: int = 0, serializable: bool = False) -> KeyValue | None:
        answer = await self._range(key=key.encode(), limit=1, revision=revision, serializable=serializable)
        return _key_value(answer.kvs[0]) if answer.kvs else None

    @_timed("list")
    async def list(self, prefix: str, revision: int = 0, limit: int = 0, start_after: str | None = None) -> ListResult:
        start = start_after.encode() + b"\x00" if start_after is not None else prefix.encode()
        end = prefix_end(prefix.encode())
        answer = await self._range(key=start, range_end=end, revision=revision, limit=limit)
        items = [_key_value(kv) for kv in answer.kvs]
        remaining = answer.count - len(items) if answer.more else 0
        return ListResult(items, revision or answer.header.revision, answer.more, remaining)

    @_timed("listWithCount")
    async def count(self, prefix: str) -> int:
        name = prefix.encode()
        answer = await self._range(key=name, range_end=prefix_end(name), count_only=True)
        return int(answer.count)

    @_timed("update")
    async def update(self, key: str, value: bytes, expected_revision: int, lease_ttl: int = 0) -> int:
        name = key.encode()
        lease = await self._lease(lease_ttl)
        put = pb.RequestOp(request_put=pb.PutRequest(key=name, value=value, lease=lease))
        answer = await self._txn(name, expected_revision, put, _get(name))
        if not answer.succeeded:
            raise Conflict(key, _found(answer))
        return int(answer.header.revision)

    @_timed("delete")
    async def delete(self, key: str, expected_revision: int) -> KeyValue:
        name = key.encode()
        delete = pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=name, prev_kv=True))
        answer = await self._txn(name, expected_revision, delete, _get(name))
        if answer.succeeded:
            deleted = answer.responses[0].response_delete_range.prev_kvs
            if deleted:
                return KeyValue(key, deleted[0].value, answer.header.revision)
            raise NotFound(key, answer.header.revision)  # it was expected at revision 0: not to be there
        current = _found(answer)
        if current is None:
            raise NotFound(key, answer.header.revision)
        raise Conflict(key, current)

    async def current_revision(self) -> int:
        answer = await self._range(key=compaction.KEY.encode(), count_only=True)
        return int(answer.header.revision)

    async def compact(self, revision: int) -> None:
        request = pb.CompactionRequest(revision=revision)
        await self._call("KV/Compact", request, pb.CompactionResponse, retry=True)

    async def claim_compaction(self, version: int, revision: int) -> tuple[bool, int, int]:
        """See `compaction.Compactable`."""
        key = compaction.KEY.encode()
        request = pb.TxnRequest(
            compare=[pb.Compare(target=pb.Compare.VERSION, key=key, version=version)],
            success=[pb.RequestOp(request_put=pb.PutRequest(key=key, value=str(revision).encode()))],
            failure=[_get(key)],
        )
        answer = await self._call("KV/Txn", request, pb.TxnResponse, retry=False)
        if answer.succeeded:
            return True, version + 1, answer.header.revision
        kvs = answer.responses[0].response_range.kvs
        return False, kvs[0].version if kvs else 0, answer.header.revision

    async def status(self) -> StorageStatus:
        answer = await self._call("Maintenance/Status", pb.StatusRequest(), pb.StatusResponse, retry=True)
        consistent = consistent_progress(answer.version)
        return StorageStatus(answer.version, answer.header.revision, consistent, answer.dbSize)

    async def _lease(self, ttl: int) -> int:
        if not ttl:
            return 0
        async with self._lease_lock:
            now = self._clock.monotonic()
            reuse = self._leases.setdefault(ttl, LeaseReuse())
            found = reuse.find(ttl, now)
            if found:
                return found
            request = pb.LeaseGrantRequest(TTL=granted_ttl(ttl))
            answer = await self._call("Lease/LeaseGrant", request, pb.LeaseGrantResponse, retry=True)
            reuse.granted(answer.ID, ttl, now)
            return reuse.id

    # Watches

    async def _stream(self) -> WatchStream:
        channel = self._channels[self._current]
        try:
            call = await channel.stream(
                "/etcdserverpb.Watch/Watch", (("hasleader", "true"),), TIMEOUT, wait=len(self._channels) == 1
            )
        except RpcError as error:
            self._current = (self._current + 1) % len(self._channels)
            raise translate(error) from error
        return WatchStream(call, translate)

    async def watch(self, prefix: str, start_revision: int) -> AsyncGenerator[Batch, None]:
        stream = await self._stream()
        name = prefix.encode()
        request = pb.WatchCreateRequest(
            key=name,
            range_end=prefix_end(name),
            start_revision=start_revision,
            prev_kv=True,
            progress_notify=True,
        )
        self._watches.add(stream)
        try:
            async with aclosing(stream.watch(request)) as batches:
                async for batch in batches:
                    yield batch
        except Unavailable:
            self._current = (self._current + 1) % len(self._channels)
            raise
        finally:
            self._watches.discard(stream)

    def stale(self, key: str, revision: int) -> bool:
        return False

    async def request_progress(self) -> None:
        for stream in list(self._watches):
            stream.request_progress()

    async def close(self) -> None:
        for stream in list(self._watches):
            stream.cancel()
        for channel in self._channels:
            await channel.close()


def _key_value(kv: Any) -> KeyValue:
    return KeyValue(kv.key.decode(), kv.value, kv.mod_revision)


def _get(key: bytes) -> Any:
    return pb.RequestOp(request_range=pb.RangeRequest(key=key))


def _found(answer: Any) -> KeyValue | None:
    kvs = answer.responses[0].response_range.kvs
    return _key_value(kvs[0]) if kvs else None
