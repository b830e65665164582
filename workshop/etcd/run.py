"""Bring a member up from its data directory, serve, and end cleanly.

Upstream: `server/embed/etcd.go`, `server/etcdserver/bootstrap.go`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import random
import signal
import socket
import ssl
from pathlib import Path
from typing import Any

from workshop import trace
from workshop.clock import SYSTEM, Clock
from workshop.etcd import encode, errors, state
from workshop.etcd.auth.jwt import tokens_from
from workshop.etcd.auth.tokens import TokenProvider, Tokens
from workshop.etcd.bootstrap import Start, lock_directory, start
from workshop.etcd.compactor import Scrubber, compact_periodically
from workshop.etcd.config import Config, Fatal, Tls, address, parse_auth_token
from workshop.etcd.corruption import CorruptionCheck
from workshop.etcd.disk import SystemDisk
from workshop.etcd.lease_expiry import expire_leases
from workshop.etcd.mvcc.watch import WatchHub
from workshop.etcd.node import Node
from workshop.etcd.peer.doors import PeerDoors
from workshop.etcd.peer.tls import peer_client_context, peer_server_context
from workshop.etcd.peer.transport import Transport
from workshop.etcd.peers import Peers
from workshop.etcd.raft import LostEntries
from workshop.etcd.rpc.door import Door, bind, tls_context
from workshop.etcd.self_signed import self_signed
from workshop.etcd.services.base import VERSION, Member
from workshop.etcd.services.server import client_door, metrics_door
from workshop.etcd.surroundings import Removed, Timing
from workshop.etcd.wal import REMEDY, Corrupt
from workshop.wire import etcd_pb2 as pb

log = logging.getLogger("etcd")


def listen(urls: list[str]) -> list[tuple[socket.socket, bool]]:
    """(listening socket, does it want TLS) for each URL. Raises Fatal."""
    sockets = []
    for url in urls:
        host, port, secure = address(url)
        try:
            sockets.append((bind(host, port), secure))
        except OSError as error:
            where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            raise Fatal(f"listen tcp {where}: bind: {str(error.strerror).lower()}") from error
    return sockets


def client_context(tls: Tls) -> ssl.SSLContext:
    """TLS for clients. Raises Fatal."""
    if not tls.cert_file or not tls.key_file:
        raise Fatal("cannot listen on TLS for https client URLs: KeyFile and CertFile are not presented")
    require = tls.client_cert_auth or bool(tls.trusted_ca_file)
    if require and not tls.trusted_ca_file:
        raise Fatal("--client-cert-auth needs --trusted-ca-file")
    try:
        context = tls_context(tls.cert_file, tls.key_file, tls.trusted_ca_file or None, require)
        tls.options.apply(context)
        return context
    except ssl.SSLError as error:
        raise Fatal(f"tls: {error.reason or error}") from error
    except ValueError as error:
        raise Fatal(str(error)) from error
    except OSError as error:
        missing = next((f for f in (tls.cert_file, tls.key_file, tls.trusted_ca_file) if not os.path.exists(f)), "")
        raise Fatal(f"open {missing}: {str(error.strerror).lower()}") from error


async def open_door(door: Door, sockets: list[tuple[socket.socket, bool]], context: ssl.SSLContext | None) -> None:
    for listening, secure in sockets:
        await door.open(listening, context if secure else None)


def _sign_for_itself(config: Config, clock: Clock) -> None:
    """Certificates where the flags ask for such. Raises Fatal."""
    fixtures, years, now = Path(config.data_dir) / "fixtures", config.self_signed_years, clock.now()
    if config.client_auto_tls:
        urls = config.listen_client_urls
        config.client_tls = self_signed(config.client_tls, fixtures / "client", urls, years, now)
    if config.peer_auto_tls:
        urls = config.listen_peer_urls
        config.peer_tls = self_signed(config.peer_tls, fixtures / "peer", urls, years, now)


def _tokens(config: Config, clock: Clock) -> TokenProvider:
    """How clients show who they are. Raises Fatal."""
    kind, options = parse_auth_token(config.auth_token)
    return tokens_from(options, clock.now) if kind == "jwt" else Tokens(config.auth_token_ttl)


async def serve(config: Config, clock: Clock = SYSTEM) -> None:
    """Run a member until SIGTERM or SIGINT. Raises Fatal, Removed, and Corrupt or OSError of the disk."""
    lock = lock_directory(config)
    try:
        await _run(config, clock)
    finally:
        os.close(lock)


async def _run(config: Config, clock: Clock) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    trace.follow()
    async with contextlib.AsyncExitStack() as stack:
        without_grpc = config.listen_client_http_urls + config.listen_metrics_urls
        urls = (config.listen_client_urls, without_grpc, config.listen_peer_urls)
        client_sockets, metrics_sockets, peer_sockets = map(listen, urls)
        _sign_for_itself(config, clock)
        tls = (
            client_context(config.client_tls) if any(secure for _, secure in client_sockets + metrics_sockets) else None
        )
        incoming = peer_server_context(config.peer_tls) if any(secure for _, secure in peer_sockets) else None
        outgoing = peer_client_context(config.peer_tls, config.members)
        gc.disable()  # nothing that is loaded now is garbage
        disk = SystemDisk(sync=not config.unsafe_no_fsync)
        begun = start(config, clock, random.SystemRandom(), outgoing, disk)
        node, transport = _node(config, begun, clock, outgoing)
        doors = PeerDoors(transport, config.peer_tls.allowed_cn)
        peers = Peers(node, transport, clock, config.strict_reconfig_check)
        corruption = CorruptionCheck(node, transport)
        doors.routes.update(peers.routes() | corruption.routes())
        stack.callback(doors.close)
        stack.callback(transport.close)
        for listening, secure in peer_sockets:
            await doors.open(listening, incoming if secure else None)
        member = _member(config, begun, node, peers, clock)
        running = asyncio.ensure_future(node.run())
        stack.push_async_callback(_finish, node, running)
        await _first(running, stop.wait(), _publish(config, node))
        if stop.is_set():
            return
        if config.initial_corrupt_check and await corruption.differs_from_others():
            raise Fatal(f"checkInitialHashKV failed: found data inconsistency with peers: {REMEDY}")
        # What was loaded stays: the collector need not walk it again and again.
        gc.freeze()
        gc.enable()
        gc.set_threshold(20_000, 20, 50)
        for door, sockets in ((client_door(member), client_sockets), (metrics_door(member), metrics_sockets)):
            stack.callback(door.close)
            await open_door(door, sockets, tls)
        log.info("etcd %s serves client traffic on %s", VERSION, ",".join(config.listen_client_urls))
        background = [
            asyncio.ensure_future(expire_leases(node, clock)),
            asyncio.ensure_future(member.scrubber.run()),
            asyncio.ensure_future(_report_progress(member, config.watch_progress_notify_interval, clock)),
            asyncio.ensure_future(
                compact_periodically(node, clock, config.auto_compaction_mode, config.auto_compaction_retention)
            ),
        ]
        if config.corrupt_check_time:
            background.append(asyncio.ensure_future(corruption.run(clock, config.corrupt_check_time)))
        try:
            await _first(running, stop.wait(), *background)
        finally:
            for task in background:
                task.cancel()
        if not running.done():
            await _hand_over(node)
        log.info("etcd ends")


def _node(config: Config, begun: Start, clock: Clock, tls: ssl.SSLContext | None) -> tuple[Node, Transport]:
    timing = Timing(
        config.heartbeat_interval,
        begun.replica.raft.options.election_ticks,
        config.snapshot_count,
        config.snapshot_catchup_entries,
    )
    node = Node(begun.replica, begun.storage, clock, timing)
    transport = Transport(begun.cluster_id, begun.member_id, node, clock, tls)
    node.transport, node.others = transport, begun.others

    def heard() -> None:
        """With a majority in hearing there is no need to wait for a leader's sign a whole election timeout long."""
        voters = node.raft.configuration.voters
        if sum(transport.connected_since(voter) is not None for voter in voters) + 1 > len(voters) // 2:
            node.hasten()

    if config.initial_election_tick_advance:
        transport.on_heard = heard
    return node, transport


def _member(config: Config, begun: Start, node: Node, peers: Peers, clock: Clock) -> Member:
    header = encode.Header(begun.cluster_id, begun.member_id)
    hub = WatchHub(node.machine.store, header, config.limits.request_bytes)
    node.machine.on_change, node.machine.on_replace = hub.notify, hub.resync
    scrubber = Scrubber(node.machine.store)
    node.machine.on_compact = scrubber.wake
    node.machine.auth.tokens = _tokens(config, clock)
    return Member(
        begun.member_id,
        config.name,
        node,
        peers,
        hub,
        scrubber,
        header,
        config.limits,
        clock,
        random.SystemRandom(),
        config.client_tls.client_cert_auth,
        config.bcrypt_cost,
        frozenset(config.host_whitelist),
    )


async def _publish(config: Config, node: Node) -> None:
    """Tell the cluster what this member is called and where clients reach it; return when it is known."""
    await node.ready.wait()
    while True:
        known = node.cluster.members.get(node.raft.id)
        if known is not None and (known.name, list(known.client_urls)) == (config.name, config.advertise_client_urls):
            return
        told = pb.Member(ID=node.raft.id, name=config.name, clientURLs=config.advertise_client_urls)
        try:
            await node.propose(state.MEMBER_PUBLISH, told)
        except errors.Stopped:
            raise
        except errors.EtcdError as error:
            log.warning("the member cannot be published yet: %s", error)


async def _hand_over(node: Node) -> None:
    """A leader that ends lets another lead before, so that nobody has to wait for its silence."""
    if not node.leads or node.replica.alone:
        return
    ready = {peer: p.match for peer, p in node.raft.progress.items() if peer in node.raft.configuration.voters}
    heard = [peer for peer in ready if node.transport.connected_since(peer) is not None]
    if heard:
        try:
            await node.transfer_leadership(max(heard, key=lambda peer: ready[peer]))
        except errors.EtcdError as error:
            log.warning("leadership could not be handed over: %s", error)


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
    if isinstance(error, LostEntries):
        return f"{error}: {REMEDY}"
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = "its disk is full; make room, and etcd goes on where it was" if full else error.strerror
        return f"cannot write the data directory: {what}"
    if isinstance(error, (Fatal, Corrupt, Removed, ValueError)):
        return str(error)
    raise error
