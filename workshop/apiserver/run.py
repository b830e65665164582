"""The process: etcd on one side, HTTPS on the other, the assembly between them."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from argparse import Namespace
from collections.abc import Sequence
from contextlib import AsyncExitStack
from fnmatch import fnmatchcase
from pathlib import Path
from random import SystemRandom

from workshop.api.errors import ApiError
from workshop.clock import SYSTEM
from workshop.component import deep_stack, inherited_sockets
from workshop.serving import listen, serve, server_tls
from workshop.serving.tls_options import TlsOptions, server_names

from .aggregator.backend import FrontProxy
from .assembly import ApiServer, Settings
from .audit.backends import Backends
from .handlers.etcd_times import EtcdTimes
from .handlers.node_proxy import KubeletAccess
from .options import Options
from .storage import encryption
from .storage.compaction import compact_loop
from .storage.encrypted import EncryptedStorage
from .storage.etcd3 import Etcd3Storage
from .storage.interface import Storage, StorageError
from .storage.tending import tend

logger = logging.getLogger(__name__)
RETRY_FIRST, RETRY_MOST = 0.02, 1.0


async def run(options: Options, stop: asyncio.Event) -> None:
    """Serve until `stop` is set. Raises OSError, ssl.SSLError and ValueError for flags that cannot work."""
    deep_stack()
    flags = options.flags
    tls = tls_of(flags)
    sockets = [listen(flags.bind_address, flags.secure_port)]
    sockets += [socket.socket(fileno=number) for number in inherited_sockets()]
    etcd = Etcd3Storage(options.etcd_servers, flags.etcd_cafile, flags.etcd_certfile, flags.etcd_keyfile)
    storage: Storage = etcd
    if flags.encryption_provider_config:
        text = Path(flags.encryption_provider_config).read_bytes()
        storage = EncryptedStorage(etcd, encryption.load(text))
    settings = Settings(
        event_ttl=int(flags.event_ttl),
        min_request_timeout=flags.min_request_timeout,
        request_timeout=flags.request_timeout,
        seats=flags.enable_priority_and_fairness * (flags.max_requests_inflight + flags.max_mutating_requests_inflight),
        loopback_endpoints=flags.allow_loopback_endpoints,
        kubelets=KubeletAccess(
            flags.kubelet_client_certificate, flags.kubelet_client_key, flags.kubelet_certificate_authority
        ),
        front_proxy=FrontProxy(flags.proxy_client_cert_file, flags.proxy_client_key_file),
        aggregator_routing=flags.enable_aggregator_routing,
        runtime_config=flags.runtime_config,
        allowed_origins=flags.cors_allowed_origins,
        strict_transport_security="; ".join(flags.strict_transport_security_directives),
        flags=options.shown,
    )
    records = Backends(flags, SYSTEM)
    audit = (records.policy, records.write) if records.policy is not None and records.recording else None
    server = ApiServer(options.security, settings, storage, SYSTEM, SystemRandom(), audit)
    etcd.observe = EtcdTimes(server.health.metrics).observe
    if audit is not None:
        server.health.metrics.more.append(records.metrics)
    background: set[asyncio.Task[None]] = set()
    if isinstance(storage, EncryptedStorage):
        server.health.live["kms-providers"] = storage.plugins_well
        follow = flags.encryption_provider_config_automatic_reload
        path = Path(flags.encryption_provider_config) if follow else None
        background.add(asyncio.create_task(tend(storage, path, text, SYSTEM)))
    try:
        async with AsyncExitStack() as stack:
            background.add(asyncio.create_task(server.follow()))
            if audit is not None:
                background.add(asyncio.create_task(records.run()))
            if flags.etcd_compaction_interval:
                background.add(asyncio.create_task(compact_loop(etcd, flags.etcd_compaction_interval, SYSTEM)))
            background.add(asyncio.create_task(_until_started(server)))
            for task in background:
                task.add_done_callback(lambda done: _failed(done, stop))
            await stack.enter_async_context(serve(server.app, sockets, tls, streams=server.streams))
            logger.info("Serving securely on %s:%d", flags.bind_address, flags.secure_port)
            await stop.wait()
            server.health.ready["shutdown"] = _shuts_down
            await SYSTEM.sleep(flags.shutdown_delay_duration)
            await _withdraw(server)
    finally:
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await server.close()
        await storage.close()
        await records.close()


async def _shuts_down() -> str:
    """Load balancers send no more requests while those that come are still answered."""
    return "process is shutting down"


def tls_of(flags: Namespace) -> ssl.SSLContext:
    """The certificate that is shown, and others for other names. Raises OSError, ssl.SSLError, ValueError."""
    wanted = TlsOptions(flags.tls_min_version, ciphers=flags.tls_cipher_suites)

    def context(certificate: str, key: str) -> ssl.SSLContext:
        made = server_tls(certificate, key, flags.client_ca_file or None, any_client=True)
        if flags.requestheader_client_ca_file:
            made.load_verify_locations(flags.requestheader_client_ca_file)
        wanted.apply(made)
        return made

    usual = context(flags.tls_cert_file, flags.tls_private_key_file)
    others: list[tuple[Sequence[str], ssl.SSLContext]] = []
    for one in flags.tls_sni_cert_key:
        files, _, names = one.partition(":")
        certificate, comma, key = files.partition(",")
        if not comma:
            raise ValueError(f'invalid argument "{one}" for "--tls-sni-cert-key" flag: expected comma separated paths')
        others.append((names.split(",") if names else server_names(Path(certificate)), context(certificate, key)))

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        for names, other in others:
            if name and any(fnmatchcase(name.lower(), each) for each in names):
                connection.context = other
                return

    if others:
        usual.sni_callback = choose
    return usual


async def _until_started(server: ApiServer) -> None:
    """etcd may come up after us: try again until it is there."""
    pause = RETRY_FIRST
    while True:
        try:
            await server.start()
            return
        except (StorageError, ApiError) as error:
            logger.debug("etcd is not there yet: %s", error)
            await SYSTEM.sleep(pause)
            pause = min(pause * 2, RETRY_MOST)


def _failed(task: asyncio.Task[None], stop: asyncio.Event) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.critical("kube-apiserver cannot go on", exc_info=error)
        stop.set()


async def _withdraw(server: ApiServer) -> None:
    try:
        async with asyncio.timeout(1.0):
            await server.security.bootstrap.withdraw()
    except (StorageError, TimeoutError) as error:
        logger.warning("cannot withdraw this server's address: %s", error)
