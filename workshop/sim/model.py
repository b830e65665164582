"""A store so simple that it is right: what etcd's answers are compared with.

It applies the log's commands one after the other, with dictionaries and without one line of the real store's code.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from workshop.etcd import state
from workshop.wire import etcd_pb2 as pb


class Version(NamedTuple):
    """A key's version; `version` 0 marks a deletion."""

    key: bytes
    value: bytes
    create: int
    mod: int
    version: int
    lease: int


class Change(NamedTuple):
    """One event: what is there now, and what was before."""

    now: Version
    before: Version | None


def same(kv: Any, version: Version | None) -> bool:
    """Does a `KeyValue` of the wire say the same?"""
    if version is None:
        return not kv.key
    told = (kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease)
    return told == tuple(version)


class Model:
    """`history`: all changes in order. `expect` says whether an answer of the real state machine is right."""

    def __init__(self) -> None:
        self.revision = 1
        self.compacted = 0
        self.live: dict[bytes, Version] = {}
        self.leases: dict[int, set[bytes]] = {}
        self.history: list[Change] = []

    def at(self, key: bytes, revision: int) -> Version | None:
        """The version of `key` that a read at `revision` sees."""
        for change in reversed(self.history):
            if change.now.key == key and change.now.mod <= revision:
                return change.now if change.now.version else None
        return None

    def apply(self, kind: int, message: Any) -> list[Change] | None:
        """Do one command: its changes; None if it is refused."""
        if kind == state.PUT:
            return self._transaction([message], [])
        if kind == state.DELETE_RANGE:
            return self._transaction([], [message.key])
        if kind == state.TXN:
            compare = message.compare[0]
            current = self.live.get(compare.key)
            holds = (current.mod if current else 0) == compare.mod_revision
            branch = message.success if holds else message.failure
            return self._transaction([op.request_put for op in branch if op.HasField("request_put")], [])
        if kind == state.COMPACT:
            if not self.compacted < message.revision <= self.revision:
                return None
            self.compacted = message.revision
        if kind == state.LEASE_GRANT:
            if message.ID in self.leases:
                return None
            self.leases[message.ID] = set()
        if kind == state.LEASE_REVOKE:
            if message.ID not in self.leases:
                return None
            return self._transaction([], sorted(self.leases.pop(message.ID)))
        return []

    def _transaction(self, puts: list[Any], deletes: list[bytes]) -> list[Change] | None:
        if any(put.lease and put.lease not in self.leases for put in puts):
            return None
        changes = []
        for put in puts:
            before = self.live.get(put.key)
            create, version = (before.create, before.version + 1) if before else (self.revision + 1, 1)
            now = Version(put.key, put.value, create, self.revision + 1, version, put.lease)
            self._detach(before)
            self.live[put.key] = now
            if put.lease:
                self.leases[put.lease].add(put.key)
            changes.append(Change(now, before))
        for key in deletes:
            before = self.live.pop(key, None)
            if before is not None:
                self._detach(before)
                changes.append(Change(Version(key, b"", 0, self.revision + 1, 0, 0), before))
        if changes:
            self.revision += 1
            self.history += changes
        return changes

    def _detach(self, before: Version | None) -> None:
        if before is not None and before.lease in self.leases:
            self.leases[before.lease].discard(before.key)


def previous_told(kind: int, body: bytes) -> list[Any]:
    """The previous versions that an answer names."""
    if kind == state.PUT:
        answer = pb.PutResponse.FromString(body)
        return [answer.prev_kv] if answer.HasField("prev_kv") else []
    if kind == state.DELETE_RANGE:
        return list(pb.DeleteRangeResponse.FromString(body).prev_kvs)
    return []
