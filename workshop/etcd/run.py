"""Bring a member up from its data directory, serve, and end cleanly.

    DATA/member/lock     held while a process uses the directory
    DATA/member/wal/     the write-ahead log
    DATA/member/snap/    snapshots

Upstream: `server/embed/etcd.go`, `server/etcdserver/bootstrap.go`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import hashlib
import logging
import os
import random
import signal
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from workshop import trace
from workshop.clock import SYSTEM, Clock
from workshop.etcd import encode, snapshot
from workshop.etcd.compactor import Scrubber, compact_periodically
from workshop.etcd.lease import Lessor
from workshop.etcd.mvcc.watch import WatchHub
from workshop.etcd.node import Node, expire_leases
from workshop.etcd.raft import HardState, Log, Raft
from workshop.etcd.rpc.door import Door, bind, tls_context
from workshop.etcd.services.base import VERSION, Limits, Member
from workshop.etcd.services.server import client_door, metrics_door
from workshop.etcd.state import StateMachine
from workshop.etcd.wal import Corrupt, WriteAheadLog

log = logging.getLogger("etcd")


class Fatal(Exception):
    """The member cannot run; the message is one sentence for the user."""


@dataclass
class Tls:
    cert_file: str = ""
    key_file: str = ""
    trusted_ca_file: str = ""
    client_cert_auth: bool = False


@dataclass
class Config:
    """What the flags say. Times in seconds."""

    name: str = "default"
    data_dir: str = ""
    listen_client_urls: list[str] = field(default_factory=lambda: ["http://localhost:2379"])
    advertise_client_urls: list[str] = field(default_factory=lambda: ["http://localhost:2379"])
    initial_advertise_peer_urls: list[str] = field(default_factory=lambda: ["http://localhost:2380"])
    initial_cluster: list[str] = field(default_factory=list)
    initial_cluster_token: str = "etcd-cluster"
    listen_metrics_urls: list[str] = field(default_factory=list)
    client_tls: Tls = field(default_factory=Tls)
    limits: Limits = field(default_factory=Limits)
    snapshot_count: int = 10_000
    election_timeout: float = 1.0
    auto_compaction_mode: str = "periodic"
    auto_compaction_retention: str = "0"
    watch_progress_notify_interval: float = 600.0


def identity(config: Config) -> tuple[int, int]:
    """(cluster id, member id), made from peer URLs and token as upstream makes them."""
    urls = sorted(config.initial_advertise_peer_urls)
    digest = hashlib.sha1("".join([*urls, config.initial_cluster_token]).encode(), usedforsecurity=False).digest()
    member = int.from_bytes(digest[:8], "big")
    cluster = hashlib.sha1(member.to_bytes(8, "big"), usedforsecurity=False).digest()
    return int.from_bytes(cluster[:8], "big"), member


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


def recover(config: Config, cluster_id: int, member_id: int, clock: Clock) -> Node:
    """The node as its disk says it was, ready to run. Raises Corrupt, ValueError, OSError, Fatal."""
    folder = Path(config.data_dir) / "member"
    taken = snapshot.load(folder / "snap")
    wal, replay = WriteAheadLog.open(folder / "wal", encode.varint(cluster_id) + encode.varint(member_id), taken.index)
    if replay is None and taken.index:
        raise Fatal(f"wal: no log in {folder}/wal that continues the snapshot in {folder}/snap")
    lessor = Lessor(min_ttl=max(1, -int(-1.5 * config.election_timeout // 1)))
    machine = StateMachine(member_id, lessor)
    machine.restore(taken, clock.monotonic())
    raft_log = Log(taken.index, taken.term)
    state = HardState()
    if replay is not None:
        raft_log.append(replay.entries)
        raft_log.stable = raft_log.last
        state = replay.state
    raft = Raft(member_id, [member_id], random.SystemRandom(), raft_log, state)
    return Node(raft, wal, machine, folder / "snap", clock, config.snapshot_count)


def _address(url: str) -> tuple[str, int, bool]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.port or not parts.hostname:
        raise Fatal(f'URL scheme must be http or https and the host a "host:port": {url}')
    return parts.hostname, parts.port, parts.scheme == "https"


def listen(urls: list[str]) -> list[tuple[socket.socket, bool]]:
    """(listening socket, does it want TLS) for each URL. Raises Fatal."""
    sockets = []
    for url in urls:
        host, port, secure = _address(url)
        try:
            sockets.append((bind(host, port), secure))
        except OSError as error:
            address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            raise Fatal(f"listen tcp {address}: bind: {str(error.strerror).lower()}") from error
    return sockets


def client_context(tls: Tls) -> ssl.SSLContext:
    """TLS for clients. Raises Fatal."""
    if not tls.cert_file or not tls.key_file:
        raise Fatal("cannot listen on TLS for https client URLs: KeyFile and CertFile are not presented")
    require = tls.client_cert_auth or bool(tls.trusted_ca_file)
    if require and not tls.trusted_ca_file:
        raise Fatal("--client-cert-auth needs --trusted-ca-file")
    try:
        return tls_context(tls.cert_file, tls.key_file, tls.trusted_ca_file or None, require)
    except ssl.SSLError as error:
        raise Fatal(f"tls: {error.reason or error}") from error
    except OSError as error:
        missing = next((f for f in (tls.cert_file, tls.key_file, tls.trusted_ca_file) if not os.path.exists(f)), "")
        raise Fatal(f"open {missing}: {str(error.strerror).lower()}") from error


async def open_door(door: Door, sockets: list[tuple[socket.socket, bool]], tls: Tls) -> None:
    context = client_context(tls) if any(secure for _, secure in sockets) else None
    for listening, secure in sockets:
        await door.open(listening, context if secure else None)


async def serve(config: Config, clock: Clock = SYSTEM) -> None:
    """Run a member until SIGTERM or SIGINT. Raises Fatal, and Corrupt or OSError of the disk."""
    lock = lock_directory(config)
    try:
        cluster_id, member_id = identity(config)
        node = recover(config, cluster_id, member_id, clock)
        header = encode.Header(cluster_id, member_id)
        hub = WatchHub(node.machine.store, header, config.limits.request_bytes)
        node.machine.on_change = hub.notify
        scrubber = Scrubber(node.machine.store)
        node.machine.on_compact = scrubber.wake
        member = Member(
            member_id,
            config.name,
            config.initial_advertise_peer_urls,
            config.advertise_client_urls,
            node,
            hub,
            scrubber,
            header,
            config.limits,
            clock,
            random.SystemRandom(),
        )
        await _run(config, member, clock)
    finally:
        os.close(lock)


async def _run(config: Config, member: Member, clock: Clock) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    trace.follow()
    node = member.node
    async with contextlib.AsyncExitStack() as stack:
        running = asyncio.ensure_future(node.run())
        stack.push_async_callback(_finish, node, running)
        await _first(running, node.ready.wait())
        # What was loaded stays: the collector need not walk it again and again.
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        for door, urls in (
            (client_door(member), config.listen_client_urls),
            (metrics_door(member), config.listen_metrics_urls),
        ):
            stack.callback(door.close)
            await open_door(door, listen(urls), config.client_tls)
        log.info("etcd %s serves client traffic on %s", VERSION, ",".join(config.listen_client_urls))
        background = [
            asyncio.ensure_future(expire_leases(node, clock)),
            asyncio.ensure_future(member.scrubber.run()),
            asyncio.ensure_future(_report_progress(member, config.watch_progress_notify_interval, clock)),
            asyncio.ensure_future(
                compact_periodically(node, clock, config.auto_compaction_mode, config.auto_compaction_retention)
            ),
        ]
        try:
            await _first(running, stop.wait(), *background)
        finally:
            for task in background:
                task.cancel()
        log.info("etcd ends")


async def _finish(node: Node, running: asyncio.Future[None]) -> None:
    node.stop()
    await asyncio.wait([running])


async def _first(*waits: Any) -> None:
    """Return when one of them ends; raise what it raised."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
    for task, given in zip(tasks, waits, strict=True):
        if task is not given:
            task.cancel()


async def _report_progress(member: Member, interval: float, clock: Clock) -> None:
    while True:
        await clock.sleep(interval * (1 + member.random.random() / 10))
        member.hub.report_progress()


def failure(error: Exception) -> str:
    """One sentence for the user. Re-raises what is a fault of the program."""
    if isinstance(error, OSError):
        return f"cannot write the data directory: {error.strerror}"
    if isinstance(error, (Fatal, Corrupt, ValueError)):
        return str(error)
    raise error
