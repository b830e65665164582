"""The state machine: what an entry of the log does. The same log gives the same state on every member.

An entry's data is one byte that says which command, eight bytes that name the request (so that the member that
proposed it finds who waits), and the request's protobuf bytes. An entry without data does nothing.

Pure, but for leases' clocks: `now` is handed in. Upstream: `server/etcdserver/apply`.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from workshop import trace
from workshop.etcd import encode, errors, membership
from workshop.etcd.auth import permissions
from workshop.etcd.auth.store import ANYONE, AuthStore, Identity
from workshop.etcd.auth.store import MESSAGES as AUTH_MESSAGES
from workshop.etcd.lease import Lessor
from workshop.etcd.mvcc import operations
from workshop.etcd.mvcc.key_index import Record
from workshop.etcd.mvcc.operations import Message
from workshop.etcd.mvcc.store import Store
from workshop.etcd.snapshot import Snapshot
from workshop.wire import etcd_pb2 as pb

PUT, DELETE_RANGE, TXN, COMPACT, LEASE_GRANT, LEASE_REVOKE, ALARM, DOWNGRADE = range(1, 9)
MEMBER_ADD, MEMBER_REMOVE, MEMBER_PROMOTE, MEMBER_UPDATE, MEMBER_PUBLISH = range(32, 37)
COMMAND = struct.Struct("<BQ")
#: Behind the head of a command whose kind is marked: the revision of auth, and the length of the name behind that.
WHO = struct.Struct("<QH")
WITH_WHO = 0x80

#: Commands that a cluster refuses which does not trust its data any more.
DATA = frozenset({PUT, DELETE_RANGE, TXN, COMPACT, LEASE_GRANT, LEASE_REVOKE})
#: Commands that change who belongs to the cluster, of which consensus itself must know.
CHANGES = frozenset({MEMBER_ADD, MEMBER_REMOVE, MEMBER_PROMOTE, MEMBER_UPDATE})

MESSAGES = {
    PUT: pb.PutRequest,
    DELETE_RANGE: pb.DeleteRangeRequest,
    TXN: pb.TxnRequest,
    COMPACT: pb.CompactionRequest,
    LEASE_GRANT: pb.LeaseGrantRequest,
    LEASE_REVOKE: pb.LeaseRevokeRequest,
    ALARM: pb.AlarmRequest,
    DOWNGRADE: pb.DowngradeRequest,
    MEMBER_ADD: pb.Member,
    MEMBER_REMOVE: pb.MemberRemoveRequest,
    MEMBER_PROMOTE: pb.MemberPromoteRequest,
    MEMBER_UPDATE: pb.MemberUpdateRequest,
    MEMBER_PUBLISH: pb.Member,
    **AUTH_MESSAGES,
}


class Command(NamedTuple):
    """One entry of the log, taken apart."""

    kind: int
    request_id: int
    payload: bytes
    who: Identity = ANYONE


def encode_command(kind: int, request_id: int, payload: bytes, who: Identity = ANYONE) -> bytes:
    """The bytes of an entry: what is to be done, under which request's number, and who asked for it."""
    if who == ANYONE:
        return COMMAND.pack(kind, request_id) + payload
    name = who.name.encode()
    return COMMAND.pack(kind | WITH_WHO, request_id) + WHO.pack(who.revision, len(name)) + name + payload


def decode_command(data: bytes) -> Command:
    """What `encode_command` wrote."""
    kind, request_id = COMMAND.unpack_from(data)
    if not kind & WITH_WHO:
        return Command(kind, request_id, data[COMMAND.size :])
    revision, length = WHO.unpack_from(data, COMMAND.size)
    start = COMMAND.size + WHO.size
    name = data[start : start + length].decode()
    return Command(kind & ~WITH_WHO, request_id, data[start + length :], Identity(name, revision))


def grows(kind: int, message: Message) -> bool:
    """Does the command need space? A store over its quota refuses it."""
    if kind == TXN:
        return any(
            op.HasField("request_put") or (op.HasField("request_txn") and grows(TXN, op.request_txn))
            for ops in (message.success, message.failure)
            for op in ops
        )
    return kind in (PUT, LEASE_GRANT)


class Applied(NamedTuple):
    """What a command did: the store's revision right after it, which is the write's own, and the answer's fields
    without the header. (By the time the answer is sent the store may be further.)"""

    revision: int
    body: bytes


class StateMachine:
    """Store, leases, alarms, members, users and roles. `on_change` hears the changes of each transaction right after
    it, `on_compact` that the store is to be scrubbed, `on_replace` that another state took the place of this one, which
    had come to a revision."""

    def __init__(self, member_id: int, lessor: Lessor, store: Store | None = None) -> None:
        self.member_id, self.store, self.lessor = member_id, store or Store(), lessor
        self.alarms: dict[int, set[int]] = {}  # type -> members
        self.cluster = membership.Cluster()
        self.auth = AuthStore()
        #: What is counted under its name in Prometheus.
        self.counts: Counter[str] = Counter()
        self.on_change: Callable[[list[Record]], None] = lambda changes: None
        self.on_compact: Callable[[], None] = lambda: None
        self.on_replace: Callable[[int], None] = lambda revision: None
        self._commands = {
            PUT: self._put,
            DELETE_RANGE: self._delete_range,
            TXN: self._txn,
            COMPACT: self._compact,
            LEASE_GRANT: self._lease_grant,
            LEASE_REVOKE: self._lease_revoke,
            ALARM: self._alarm,
            DOWNGRADE: self._downgrade,
            MEMBER_ADD: self._member_add,
            MEMBER_REMOVE: self._member_remove,
            MEMBER_PROMOTE: self._member_promote,
            MEMBER_UPDATE: self._member_update,
            MEMBER_PUBLISH: self._member_publish,
        }

    def apply(self, kind: int, message: Message, now: float, who: Identity = ANYONE, index: int = 0) -> Applied:
        """Do one command, the log's entry `index`. Raises EtcdError, having changed nothing."""
        if self.alarms:
            self._check_alarms(kind, message)
        if self.auth.handles(kind):
            return Applied(self.store.revision, self.auth.apply(kind, message, who, index, now))
        if self.auth.enabled:
            self._check_permission(kind, message, who)
        answer = self._commands[kind](message, now)
        changes = self.store.commit()
        if changes:
            self.on_change(changes)
            if trace.enabled():
                keys = [record.key.decode("utf-8", "replace") for record in changes]
                trace.emit("etcd.commit", revision=self.store.revision, keys=keys)
        return Applied(self.store.revision, answer)

    def _check_alarms(self, kind: int, message: Message) -> None:
        if pb.CORRUPT in self.alarms and kind in DATA:
            raise errors.CorruptCluster
        if pb.NOSPACE in self.alarms and grows(kind, message):
            raise errors.NoSpace

    def _check_permission(self, kind: int, message: Message, who: Identity) -> None:
        match kind:
            case k if k == PUT:
                self.auth.require(who, permissions.of_put(message))
                self._check_lease(message.lease, who)
            case k if k == DELETE_RANGE:
                self.auth.require(who, permissions.of_delete_range(message))
            case k if k == TXN:
                self.auth.require(who, permissions.of_txn(message))
            case k if k == LEASE_REVOKE:
                self._check_lease(message.ID, who)

    def _check_lease(self, id: int, who: Identity) -> None:
        """With a lease go all its keys: who binds a key to it, or ends it, must be allowed to write them all."""
        if id in self.lessor.leases and not self.auth.is_admin(who):
            needs = (permissions.Need(permissions.WRITE, key) for key in self.lessor.leases[id].keys)
            self.auth.require(who, needs)

    def _put(self, message: Message, now: float) -> bytes:
        operations.check_put(self.store, self.lessor, message)
        self.counts["etcd_mvcc_put_total"] += 1
        return operations.put(self.store, self.lessor, message)

    def _delete_range(self, message: Message, now: float) -> bytes:
        self.counts["etcd_mvcc_delete_total"] += 1
        return operations.delete_range(self.store, self.lessor, message)

    def _txn(self, message: Message, now: float) -> bytes:
        self.counts["etcd_mvcc_txn_total"] += 1
        return operations.txn(self.store, self.lessor, message)

    def _compact(self, message: Message, now: float) -> bytes:
        self.store.compact(message.revision)
        self.on_compact()
        return b""

    def _lease_grant(self, message: Message, now: float) -> bytes:
        lease = self.lessor.grant(message.ID, message.TTL, now)
        return encode.number(2, lease.id) + encode.number(3, lease.ttl)

    def _lease_revoke(self, message: Message, now: float) -> bytes:
        for key in self.lessor.revoke(message.ID):
            self.store.delete(key)
        return b""

    def _alarm(self, message: Message, now: float) -> bytes:
        member = message.memberID
        raised = self.alarms.get(message.alarm, set())
        if message.action == pb.AlarmRequest.ACTIVATE:
            self.alarms[message.alarm] = raised | {member}
        elif message.action == pb.AlarmRequest.DEACTIVATE and member in raised:
            self.alarms[message.alarm] = raised - {member}
            if not self.alarms[message.alarm]:
                del self.alarms[message.alarm]
        else:
            return b""
        return encode.nested(2, encode.number(1, member) + encode.number(2, message.alarm))

    def _downgrade(self, message: Message, now: float) -> bytes:
        self.cluster.downgrade = message.version if message.action == pb.DowngradeRequest.ENABLE else ""
        return b""

    def _member_add(self, message: Message, now: float) -> bytes:
        urls, client_urls = tuple(message.peerURLs), tuple(message.clientURLs)
        self.cluster.add(membership.Member(message.ID, urls, message.name, client_urls, message.isLearner))
        return b""

    def _member_remove(self, message: Message, now: float) -> bytes:
        self.cluster.remove(message.ID)
        for alarm in [alarm for alarm, members in self.alarms.items() if message.ID in members]:
            self.alarms[alarm].discard(message.ID)
            if not self.alarms[alarm]:
                del self.alarms[alarm]
        return b""

    def _member_promote(self, message: Message, now: float) -> bytes:
        self.cluster.promote(message.ID)
        return b""

    def _member_update(self, message: Message, now: float) -> bytes:
        self.cluster.update(message.ID, message.peerURLs)
        return b""

    def _member_publish(self, message: Message, now: float) -> bytes:
        self.cluster.publish(message.ID, message.name, message.clientURLs)
        return b""

    # As a whole

    def snapshot(self, index: int, term: int) -> Snapshot:
        """The state as it is now; cheap, the records are shared."""
        return Snapshot(
            index,
            term,
            self.store.revision,
            self.store.compacted,
            sorted((alarm, member) for alarm, members in self.alarms.items() for member in members),
            [(lease.id, lease.ttl) for lease in self.lessor.leases.values()],
            self.store.history.copy(),
            self.cluster.encode(),
            self.auth.encode(),
        )

    def restore(self, snapshot: Snapshot, now: float) -> None:
        """Take over a snapshot's state, being empty."""
        self.cluster.restore(snapshot.cluster)
        self.auth.decode(snapshot.auth)
        for id, ttl in snapshot.leases:
            self.lessor.grant(id, ttl, now)
        self.store.restore(snapshot.revision, snapshot.compacted, snapshot.records)
        for versions in self.store.live.values():
            if versions[-1].lease:
                self.lessor.attach(versions[-1].lease, versions[-1].key)
        for alarm, member in snapshot.alarms:
            self.alarms.setdefault(alarm, set()).add(member)

    def replace(self, snapshot: Snapshot, now: float) -> None:
        """Take over a snapshot's state in the place of the own one; store and lessor stay the same objects."""
        told = self.store.revision
        self.store.clear()
        self.lessor.leases.clear()
        self.alarms.clear()
        self.restore(snapshot, now)
        self.on_replace(told)
