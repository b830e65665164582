"""Consensus and state machine as one: what a committed entry does, to both. Pure.

Upstream: `server/etcdserver/server.go` (`applyAll`, `applyConfChange`).
"""

from __future__ import annotations

from collections.abc import Mapping

from workshop.etcd import errors, state
from workshop.etcd.mvcc.operations import Message
from workshop.etcd.raft import LEADER, Entry, Raft, Ready
from workshop.etcd.snapshot import Snapshot

Answer = state.Applied | errors.EtcdError


class Replica:
    """`applied`: index of the last entry that was done. `leads`: this member leads, and all that was committed
    before its term is applied. `extend`: seconds that leases get on top after a change of leaders."""

    def __init__(self, raft: Raft, machine: state.StateMachine, extend: float = 0.0) -> None:
        self.raft, self.machine, self._extend = raft, machine, extend
        self.applied = raft.log.applied
        self.leads = False
        machine.lessor.demote()

    @property
    def alone(self) -> bool:
        """A cluster of one: nobody to talk to, nobody to lose."""
        return self.raft.configuration.members == {self.raft.id}

    def ready(self) -> Ready:
        """What is to be done. Leases stop being counted with the leadership."""
        if self.leads and self.raft.role != LEADER:
            self.leads = False
            self.machine.lessor.demote()
        return self.raft.ready()

    def apply(self, entry: Entry, now: float, parsed: Mapping[int, Message] | None = None) -> tuple[int, Answer] | None:
        """Do one committed entry; (request id, answer) if it holds a command. `parsed`: messages at hand, by id."""
        self.applied = entry.index
        if not entry.data:
            if entry.term == self.raft.term and self.raft.role == LEADER:
                self.machine.lessor.promote(now, self._extend)
                self.leads = True
            return None
        kind, request_id, payload, who = state.decode_command(entry.data)
        message = parsed.get(request_id) if parsed else None
        if message is None:
            message = state.MESSAGES[kind].FromString(payload)
        try:
            answer: Answer = self.machine.apply(kind, message, now, who, entry.index)
        except errors.EtcdError as refused:
            answer = refused
        if entry.change:
            self.raft.reconfigure(self.machine.cluster.configuration())
        return request_id, answer

    def install(self, taken: Snapshot, now: float) -> None:
        """A snapshot of the leader's replaces the whole state."""
        self.machine.replace(taken, now)
        self.machine.lessor.demote()
        self.applied = taken.index
