"""Handing leadership over. Dissertation, section 3.10.

The leader takes no more proposals, brings the chosen follower up to date and tells it to campaign at once. If that
has not happened within an election timeout, it goes on leading.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workshop.etcd.raft.messages import LEADER, Message

if TYPE_CHECKING:
    from workshop.etcd.raft.core import Raft


def transfer(raft: Raft, target: int) -> bool:
    """Begin to hand leadership to `target`; a follower asks its leader to. False if that makes no sense now."""
    if raft.role != LEADER:
        if not raft.leader:
            return False
        raft.send("transfer", raft.leader, context=target)
        return True
    if target not in raft.configuration.voters or target == raft.id:
        return False
    raft.transferee = target
    raft.transfer_elapsed = 0
    if not maybe_hand_over(raft, target):
        from workshop.etcd.raft.replication import send_append

        send_append(raft, target)
    return True


def maybe_hand_over(raft: Raft, peer: int) -> bool:
    """Tell the transferee to campaign, if `peer` is it and has the whole log."""
    if raft.transferee != peer or raft.progress[peer].match != raft.log.last:
        return False
    raft.send("timeout-now", peer)
    return True


def tick(raft: Raft) -> None:
    """A transfer that takes longer than an election timeout has failed."""
    if raft.transferee:
        raft.transfer_elapsed += 1
        if raft.transfer_elapsed >= raft.options.election_ticks:
            raft.transferee = 0


def on_transfer(raft: Raft, m: Message) -> None:
    transfer(raft, m.context)
