"""A member's files, log and snapshots together: what is written when, and what it all says after a crash.

    DATA/member/wal/     the write-ahead log, unless `--wal-dir` says another place
    DATA/member/snap/    snapshots

Upstream: `server/storage/storage.go`, `server/etcdserver/bootstrap.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from workshop.etcd import snapshot, state
from workshop.etcd.disk import SYSTEM_DISK, Disk
from workshop.etcd.membership import Cluster, Member
from workshop.etcd.raft import Configuration, Entry, HardState, Log, Options, Raft, Ready, Rules
from workshop.etcd.snapshot import Snapshot
from workshop.etcd.wal import REMEDY, Corrupt, Replay, WriteAheadLog
from workshop.wire import etcd_pb2 as pb


class Storage:
    """Open it; then `save` each Ready before its promises are sent. Raises OSError as the disk does."""

    def __init__(self, folder: Path, wal: WriteAheadLog, disk: Disk = SYSTEM_DISK) -> None:
        self._snapshots, self._wal, self._disk = folder / "snap", wal, disk

    @classmethod
    def open(
        cls, folder: Path, metadata: Callable[[], bytes], disk: Disk = SYSTEM_DISK, wal_folder: Path | None = None
    ) -> tuple[Storage, bytes, Snapshot, Replay | None]:
        """The files in `folder`; whose they are, the newest snapshot and what the log says after it (None: a new
        directory, whose it is being told by `metadata()`). Raises Corrupt, ValueError."""
        taken = snapshot.load(folder / "snap", disk)
        wal_folder = wal_folder or folder / "wal"
        wal, replay = WriteAheadLog.open(wal_folder, metadata, taken.index, taken.term, disk)
        if replay is None and taken.index:
            missing = f"wal: no log in {wal_folder} that continues the snapshot in {folder}/snap"
            raise Corrupt(f"{missing}: {REMEDY}")
        return cls(folder, wal, disk), wal.metadata, taken, replay

    def save(self, ready: Ready) -> None:
        """Make durable what `ready` promises: at most one frame of the log, one fsync."""
        position = None
        if ready.snapshot is not None:
            taken: Snapshot = ready.snapshot.payload
            snapshot.save(self._snapshots, taken, self._disk)
            position = (taken.index, taken.term)
        if ready.entries:
            self._wal.rotate(ready.entries[0].index)
        self._wal.save(ready.entries, ready.hard_state, position)

    def save_snapshot(self, taken: Snapshot) -> None:
        """Write a snapshot of the own state."""
        snapshot.save(self._snapshots, taken, self._disk)

    def release(self) -> None:
        """Drop the part of the log that no snapshot needs."""
        self._wal.release(snapshot.oldest_index(self._snapshots, self._disk))

    def close(self) -> None:
        self._wal.close()


def found(storage: Storage, founders: Sequence[Member]) -> Replay:
    """Write the log with which a new cluster begins, the same on each of its first members: their additions,
    committed. So who joins later learns of them like of all else."""
    entries = [Entry(1, index, _added(member), True) for index, member in enumerate(founders, 1)]
    hard_state = HardState(1, 0, len(entries))
    storage.save(Ready([], None, hard_state, entries, [], [], []))
    return Replay(b"", hard_state, entries)


def force_alone(storage: Storage, own: int, cluster: Cluster, replay: Replay, last: int) -> Replay:
    """Go on without the others: all that this log holds, up to entry `last`, counts as committed, and behind it that
    they leave. `cluster` is who belongs to it after all that.

    (Upstream drops what it does not know to be committed, and its store knows what is. Here only the log is there to
    say it, and the mark in it may be behind what was acknowledged.)
    """
    commands = [
        (state.MEMBER_REMOVE, pb.MemberRemoveRequest(ID=other).SerializeToString())
        for other in sorted(cluster.members)
        if other != own
    ]
    if own not in cluster.members:
        commands.append((state.MEMBER_ADD, pb.Member(ID=own, peerURLs=["http://localhost:2380"]).SerializeToString()))
    elif cluster.members[own].is_learner:
        commands.append((state.MEMBER_PROMOTE, pb.MemberPromoteRequest(ID=own).SerializeToString()))
    entries = [
        Entry(replay.state.term, last + place, state.encode_command(kind, 0, payload), True)
        for place, (kind, payload) in enumerate(commands, 1)
    ]
    hard_state = HardState(replay.state.term, own, last + len(entries))
    storage.save(Ready([], None, hard_state, entries, [], [], []))
    return Replay(replay.metadata, hard_state, replay.entries + entries)


def _added(member: Member) -> bytes:
    """The command that adds a member; without a name, which it has when it has started."""
    message = pb.Member(ID=member.id, peerURLs=member.peer_urls, isLearner=member.is_learner)
    return state.encode_command(state.MEMBER_ADD, 0, message.SerializeToString())


def raft_from(
    id: int,
    configuration: Configuration,
    taken: Snapshot,
    replay: Replay | None,
    random: Random,
    options: Options,
    rules: Rules | None = None,
) -> Raft:
    """The consensus core as the files say it was; `configuration` is the snapshot's."""
    log = Log(taken.index, taken.term)
    state = HardState()
    if replay is not None:
        log.append(replay.entries)
        log.stable = log.last
        state = replay.state
    return Raft(id, configuration, random, log, state, options, rules or Rules())
