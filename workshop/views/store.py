"""`Store(cluster)`: a small etcd client for notebooks and views, over the same gRPC that the API server speaks.

    store = Store(cluster)
    store.put("/lab/a", "1")                                  # the revision
    store.get("/lab/a", revision=7)                           # Stored(key='/lab/a', value='1', …) or None
    store.txn([compare("/lab/a", "mod", "=", 7)], [put("/lab/a", "2")], [get("/lab/a")])
    store.watch("/lab/", since=1, seconds=1)                  # what happened since then

Blocking; any thread may call. A member that is away is passed over, unless `at` names one. Raises Refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from workshop.cluster.dial import dial
from workshop.cluster.facade import Cluster
from workshop.cluster.layout import ClusterError
from workshop.http2.client import UNAVAILABLE, Channel, RpcError
from workshop.wire import etcd_pb2 as pb

T = TypeVar("T")
TIMEOUT = 5.0
"""Seconds that an answer may take; without a quorum there is none."""
STATUS_TIMEOUT = 3.0
"""The same for a member's word about itself, which needs nobody else: then it is away."""
RESULTS = {"=": pb.Compare.EQUAL, ">": pb.Compare.GREATER, "<": pb.Compare.LESS, "!=": pb.Compare.NOT_EQUAL}
TARGETS = {
    "version": (pb.Compare.VERSION, "version"),
    "create": (pb.Compare.CREATE, "create_revision"),
    "mod": (pb.Compare.MOD, "mod_revision"),
    "value": (pb.Compare.VALUE, "value"),
    "lease": (pb.Compare.LEASE, "lease"),
}


class Refused(Exception):
    """etcd's own words, or that no member answered. `compacted`: the oldest revision that a watch may begin at."""

    def __init__(self, text: str, compacted: int = 0) -> None:
        super().__init__(text)
        self.compacted = compacted


@dataclass(frozen=True)
class Stored:
    """A key: made in revision `create`, last written in `mod`, `version` times since it was made."""

    key: str
    value: str
    create: int
    mod: int
    version: int
    lease: int = 0
    raw: bytes = b""

    def __repr__(self) -> str:
        lease = f", lease={self.lease:x}" if self.lease else ""
        return f"{self.key} = {self.value!r} (create={self.create}, mod={self.mod}, version={self.version}{lease})"


@dataclass(frozen=True)
class Change:
    """One event of a watch."""

    revision: int
    what: str
    key: str
    value: str

    def __repr__(self) -> str:
        return f"{self.revision}: {self.what} {self.key}" + (f" = {self.value!r}" if self.what == "PUT" else "")


@dataclass(frozen=True)
class Outcome:
    """Of a transaction: whether the comparisons held, and what the reads in it found."""

    succeeded: bool
    revision: int
    found: tuple[Stored, ...] = ()


@dataclass(frozen=True)
class MemberStatus:
    """`role`: leader, follower, learner, or away. Indexes count entries of the log, revisions count writes."""

    name: str
    role: str
    term: int = 0
    index: int = 0
    applied: int = 0
    revision: int = 0
    id: int = 0


def put(key: str, value: str, lease: int = 0) -> Any:
    """A write, for `txn`."""
    return pb.RequestOp(request_put=pb.PutRequest(key=key.encode(), value=value.encode(), lease=lease))


def get(key: str) -> Any:
    """A read, for `txn`."""
    return pb.RequestOp(request_range=pb.RangeRequest(key=key.encode()))


def delete(key: str) -> Any:
    """A removal, for `txn`."""
    return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key.encode()))


def compare(key: str, what: str, how: str, value: int | str) -> Any:
    """`compare("/a", "mod", "=", 7)`; what: version, create, mod, value, lease; how: = > < !=. A key that is not there
    has version 0."""
    if what not in TARGETS or how not in RESULTS:
        raise ValueError(f"compare one of {', '.join(TARGETS)} by one of {' '.join(RESULTS)}")
    target, field = TARGETS[what]
    given: Any = str(value).encode() if what == "value" else int(value)
    return pb.Compare(key=key.encode(), target=target, result=RESULTS[how], **{field: given})


def after(prefix: str) -> bytes:
    """The end of the range of all keys that begin with `prefix`."""
    key = prefix.encode()
    return key[:-1] + bytes([key[-1] + 1]) if key else b"\0"


class Store:
    """`cluster`'s etcd, with the certificate that its API server shows."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._loop = asyncio.new_event_loop()
        self._channels: dict[str, Channel] = {}
        self._thread = threading.Thread(target=self._loop.run_forever, name="etcd client", daemon=True)
        self._thread.start()

    def close(self) -> None:
        async def end() -> None:
            for channel in self._channels.values():
                await channel.close()

        if self._loop.is_running():
            self._wait(end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5)
            self._loop.close()

    # -- keys --

    def put(self, key: str, value: str, lease: int = 0, at: str = "") -> int:
        """Write; the revision of it."""
        request = pb.PutRequest(key=key.encode(), value=value.encode(), lease=lease)
        return int(self._ask("KV/Put", request, pb.PutResponse, at).header.revision)

    def get(self, key: str, revision: int = 0, serializable: bool = False, at: str = "") -> Stored | None:
        """One key, as of a revision where one is given. `serializable`: what that member has, without asking others."""
        request = pb.RangeRequest(key=key.encode(), revision=revision, serializable=serializable)
        found = self._ask("KV/Range", request, pb.RangeResponse, at).kvs
        return stored(found[0]) if found else None

    def keys(self, prefix: str, limit: int = 0, keys_only: bool = False) -> list[Stored]:
        """All keys that begin with `prefix`, in order."""
        request = pb.RangeRequest(key=prefix.encode(), range_end=after(prefix), limit=limit, keys_only=keys_only)
        return [stored(kv) for kv in self._ask("KV/Range", request, pb.RangeResponse).kvs]

    def delete(self, prefix: str) -> int:
        """Remove all keys that begin with `prefix`; how many there were."""
        request = pb.DeleteRangeRequest(key=prefix.encode(), range_end=after(prefix))
        return int(self._ask("KV/DeleteRange", request, pb.DeleteRangeResponse).deleted)

    def txn(self, compare: Sequence[Any], then: Sequence[Any], otherwise: Sequence[Any] = ()) -> Outcome:
        """If all of `compare` holds do `then`, else `otherwise`: in one step, for everybody."""
        request = pb.TxnRequest(compare=compare, success=then, failure=otherwise)
        answer = self._ask("KV/Txn", request, pb.TxnResponse)
        found = tuple(stored(kv) for op in answer.responses for kv in op.response_range.kvs)
        return Outcome(bool(answer.succeeded), int(answer.header.revision), found)

    def compact(self, revision: int) -> None:
        """Forget what was before `revision`, except what is still so."""
        self._ask("KV/Compact", pb.CompactionRequest(revision=revision), pb.CompactionResponse)

    def revision(self) -> int:
        """The newest."""
        request = pb.RangeRequest(key=b"\0", count_only=True)
        return int(self._ask("KV/Range", request, pb.RangeResponse).header.revision)

    def watch(self, prefix: str, since: int = 0, seconds: float = 1.0, events: int = 0) -> list[Change]:
        """What happens to keys with that prefix, from revision `since` on (0: from now), for so long or so many."""
        return self._wait(self._watch(prefix, since, seconds, events))

    # -- leases --

    def grant(self, seconds: int) -> int:
        """A lease; its id."""
        return int(self._ask("Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=seconds), pb.LeaseGrantResponse).ID)

    def revoke(self, lease: int) -> None:
        self._ask("Lease/LeaseRevoke", pb.LeaseRevokeRequest(ID=lease), pb.LeaseRevokeResponse)

    def time_to_live(self, lease: int) -> tuple[int, int]:
        """Seconds that are left (-1: it is over) and seconds that were granted."""
        request = pb.LeaseTimeToLiveRequest(ID=lease)
        answer = self._ask("Lease/LeaseTimeToLive", request, pb.LeaseTimeToLiveResponse)
        return int(answer.TTL), int(answer.grantedTTL)

    # -- members --

    def members(self) -> dict[str, str]:
        """Process name → address."""
        plan = self.cluster.plan()
        names = [component.name for component in plan.components if component.program == "etcd"]
        return dict(zip(names, plan.addresses.control_planes, strict=True))

    def status(self) -> list[MemberStatus]:
        """Each member asked for itself."""
        return [self._status(name) for name in self.members()]

    def _status(self, name: str) -> MemberStatus:
        try:
            s = self._ask("Maintenance/Status", pb.StatusRequest(), pb.StatusResponse, name, STATUS_TIMEOUT)
        except Refused:
            return MemberStatus(name, "away")
        me = int(s.header.member_id)
        role = "learner" if s.isLearner else "leader" if s.leader == me else "follower"
        if not s.leader:
            role = "without a leader"
        return MemberStatus(
            name, role, int(s.raftTerm), int(s.raftIndex), int(s.raftAppliedIndex), int(s.header.revision), me
        )

    # -- inside --

    def _ask(self, method: str, request: Any, answer: Any, at: str = "", timeout: float = TIMEOUT) -> Any:
        return self._wait(self._call(method, request.SerializeToString(), answer, at, timeout))

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _call(self, method: str, request: bytes, answer: Any, at: str, timeout: float) -> Any:
        names = [at] if at else list(self.members())
        for number, name in enumerate(names):
            try:
                got = await self._channel(name).unary(f"/etcdserverpb.{method}", request, timeout, wait=False)
            except RpcError as error:
                if error.code == UNAVAILABLE and number + 1 < len(names):
                    continue
                raise Refused(error.text) from None
            return answer.FromString(got)
        raise Refused("this cluster has no etcd")

    async def _watch(self, prefix: str, since: int, seconds: float, events: int) -> list[Change]:
        request = pb.WatchCreateRequest(key=prefix.encode(), range_end=after(prefix), start_revision=since)
        last = RpcError(UNAVAILABLE, "no member answered")
        for name in self.members():
            try:
                call = await self._channel(name).stream("/etcdserverpb.Watch/Watch", timeout=TIMEOUT, wait=False)
            except RpcError as error:
                last = error
                continue
            call.write(pb.WatchRequest(create_request=request).SerializeToString())
            found: list[Change] = []
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await _collect(call, found, events)
            finally:
                call.cancel()
            return found
        raise Refused(last.text)

    def _channel(self, name: str) -> Channel:
        if name not in self._channels:
            where = self.members()
            if name not in where:
                raise Refused(f"there is no member {name!r}; there are {', '.join(where)}")
            pki = self.cluster.layout.pki
            try:
                tls = ssl.create_default_context(cafile=str(pki / "etcd/ca.crt"))
                tls.load_cert_chain(str(pki / "apiserver-etcd-client.crt"), str(pki / "apiserver-etcd-client.key"))
            except OSError as error:
                raise ClusterError(f"etcd's certificates cannot be read: {error}") from error
            tls.set_alpn_protocols(["h2"])
            dialled = partial(asyncio.to_thread, dial, self.cluster, where[name], 2379)
            inside = self.cluster.plan().mode == "userns"
            self._channels[name] = Channel(where[name], 2379, tls, dial=dialled if inside else None)
        return self._channels[name]


async def _collect(call: Any, found: list[Change], events: int) -> None:
    while (message := await call.read()) is not None:
        answer = pb.WatchResponse.FromString(message)
        if answer.canceled:
            oldest = f" (the oldest is {answer.compact_revision})" if answer.compact_revision else ""
            why = answer.cancel_reason or "etcdserver: mvcc: required revision has been compacted"
            raise Refused(why + oldest, int(answer.compact_revision))
        for event in answer.events:
            what = "DELETE" if event.type == pb.Event.DELETE else "PUT"
            kv = event.kv
            found.append(Change(int(kv.mod_revision), what, _text(kv.key), _text(kv.value)))
        if events and len(found) >= events:
            return


def stored(kv: Any) -> Stored:
    return Stored(
        _text(kv.key), _text(kv.value), int(kv.create_revision), int(kv.mod_revision), int(kv.version), int(kv.lease),
        bytes(kv.value),
    )  # fmt: skip


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")
