"""From a data directory and the flags to a member that may run, or the reason why it must not.

    nothing on disk, state new        a first member: the ids follow from the flags
    nothing on disk, state existing   it was added to a running cluster: the others say who it is
    a log on disk                     the log says who it is; the flags are not asked

Upstream: `server/etcdserver/bootstrap.go`.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import ssl
import struct
from dataclasses import dataclass
from pathlib import Path
from random import Random

from workshop.clock import Clock
from workshop.etcd import errors, membership, state
from workshop.etcd.config import Config, Fatal
from workshop.etcd.disk import SYSTEM_DISK, Disk
from workshop.etcd.lease import Lessor
from workshop.etcd.membership import Member
from workshop.etcd.peer import join
from workshop.etcd.raft import Options
from workshop.etcd.replica import Replica
from workshop.etcd.snapshot import Snapshot
from workshop.etcd.storage import Storage, force_alone, found, raft_from
from workshop.etcd.wal import REMEDY, Replay

log = logging.getLogger("etcd")
IDENTITY = struct.Struct("<QQ")


@dataclass
class Start:
    """A member that is ready to run. `others`: members to talk to before the log has told of any."""

    cluster_id: int
    member_id: int
    storage: Storage
    replica: Replica
    others: list[Member]


def lock_directory(config: Config) -> int:
    """Make the data directory and lock it; the lock's file descriptor. Raises Fatal."""
    member = Path(config.data_dir) / "member"
    try:
        member.mkdir(mode=0o700, parents=True, exist_ok=True)
        member.parent.chmod(0o700)
        lock = os.open(member / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Fatal(f"cannot access data directory {config.data_dir}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise Fatal(f"data directory {config.data_dir} is in use by another etcd process") from error
    return lock


def identity(config: Config) -> tuple[int, int]:
    """(cluster id, member id) of a first member, as upstream makes them of the same flags."""
    founders = membership.founders(config.members, config.initial_cluster_token)
    own = next(member.id for member in founders if member.name == config.name)
    return membership.cluster_id(member.id for member in founders), own


def start(config: Config, clock: Clock, random: Random, tls: ssl.SSLContext | None, disk: Disk = SYSTEM_DISK) -> Start:
    """The member as its directory says. Raises Fatal, Corrupt, ValueError, OSError."""
    config.check()
    others: list[Member] = []

    def new() -> bytes:
        nonlocal others
        config.check_members()
        if config.initial_cluster_state == "existing":
            cluster_id, own, others = _join(config, tls)
        else:
            cluster_id, own = identity(config)
            _check_not_here_before(config, own, tls)
        return IDENTITY.pack(cluster_id, own)

    folder = Path(config.data_dir) / "member"
    wal_folder = Path(config.wal_dir) if config.wal_dir else None
    storage, metadata, taken, replay = Storage.open(folder, new, disk, wal_folder)
    cluster_id, own = IDENTITY.unpack(metadata)
    machine = state.StateMachine(own, Lessor(min_ttl=max(1, -int(-1.5 * config.election_timeout // 1))))
    machine.cluster.max_learners = config.max_learners
    machine.restore(taken, clock.monotonic())
    if config.force_new_cluster and replay is not None:
        last = replay.entries[-1].index if replay.entries else taken.index
        replay = force_alone(storage, own, _known_members(taken, replay, last), replay, last)
        log.info("forcing restart member %x alone, in cluster %x", own, cluster_id)
    _check_own_directory(config, _known_members(taken, replay, replay.state.commit if replay else 0), own)
    if replay is None and config.initial_cluster_state == "new":
        replay = found(storage, membership.founders(config.members, config.initial_cluster_token))
    elif replay is None:
        log.info("member %x joins cluster %x", own, cluster_id)
    ticks = max(round(config.election_timeout / config.heartbeat_interval), 1)
    options = Options(election_ticks=ticks, pre_vote=config.pre_vote)
    raft = raft_from(own, machine.cluster.configuration(), taken, replay, random, options)
    return Start(cluster_id, own, storage, Replica(raft, machine, config.election_timeout), others)


def _other_urls(config: Config) -> list[str]:
    return [url for name, urls in sorted(config.members.items()) if name != config.name for url in urls]


def _join(config: Config, tls: ssl.SSLContext | None) -> tuple[int, int, list[Member]]:
    try:
        cluster_id, existing = join.members(_other_urls(config), tls)
    except join.Unknown as error:
        raise Fatal(
            f"cannot fetch cluster info from peer urls: could not retrieve cluster information: {error}"
        ) from error
    try:
        return cluster_id, join.match(dict(config.members), existing, config.name), existing
    except ValueError as error:
        raise Fatal(f"error validating peerURLs: {error}") from error


def _check_not_here_before(config: Config, own: int, tls: ssl.SSLContext | None) -> None:
    """A member whose directory was emptied has forgotten what it promised: it must not come back as if it were new."""
    others = _other_urls(config)
    if not others:
        return
    try:
        _, existing = join.members(others, tls)
    except join.Unknown:
        return  # nobody is there: the cluster is new
    if any(member.id == own and member.client_urls for member in existing):
        raise Fatal(f"member {own:x} has already been bootstrapped: its data directory is empty or new; {REMEDY}")


def _check_own_directory(config: Config, cluster: membership.Cluster, own: int) -> None:
    """Is this the directory of another member of the same cluster?"""
    advertised = set(config.initial_advertise_peer_urls)
    for member in cluster.members.values():
        if member.id != own and advertised & set(member.peer_urls):
            raise Fatal(
                f"data directory {config.data_dir} belongs to member {own:x} of the cluster, but "
                f"--initial-advertise-peer-urls are those of member {member.id:x}: give each member its own; {REMEDY}"
            )


def _known_members(taken: Snapshot, replay: Replay | None, commit: int) -> membership.Cluster:
    """Who belongs to the cluster when the log is done up to entry `commit`."""
    cluster = membership.Cluster()
    machine = state.StateMachine(0, Lessor())
    machine.cluster = cluster
    cluster.restore(taken.cluster)
    for entry in replay.entries if replay else ():
        if entry.data and entry.index <= commit:
            kind, _, payload, _ = state.decode_command(entry.data)
            if kind in state.CHANGES:
                with contextlib.suppress(errors.EtcdError):
                    machine.apply(kind, state.MESSAGES[kind].FromString(payload), 0.0)
    return cluster
