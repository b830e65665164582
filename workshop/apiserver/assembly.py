"""The API server put together: storage and keys in, one ASGI application out. No socket is opened here.

Upstream: cmd/kube-apiserver/app/server.go (CreateServerChain), pkg/controlplane.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from random import Random

from workshop.api.meta import Obj
from workshop.api.resources import Registry
from workshop.clock import Clock

from . import chain, security
from .audit.link import Audit, Sink
from .audit.policy import Policy
from .cacher import Cacher
from .dispatch import Dispatch
from .handlers.discovery import Discovery
from .handlers.health import Health
from .handlers.node_proxy import KubeletAccess, NodeProxy
from .handlers.resources import Resources
from .handlers.subresources import Subresources
from .handlers.watch import Watches
from .registry.deletion import Deleter
from .registry.reader import Reader
from .registry.services import Services
from .registry.strategies import Strategies
from .registry.writer import Writer
from .security import Security
from .server.app import Application
from .storage.interface import Storage, StorageError


@dataclass(frozen=True)
class Settings:
    """What the parts take from the flags beside `security.Options`. Seconds."""

    event_ttl: int = 3600
    min_request_timeout: float = 1800
    loopback_endpoints: bool = False
    kubelets: KubeletAccess = field(default_factory=KubeletAccess)


class ApiServer:
    """`app` answers requests once `start` has returned; `follow` runs beside it for ever."""

    def __init__(
        self,
        options: security.Options,
        settings: Settings,
        storage: Storage,
        clock: Clock,
        random: Random,
        audit: tuple[Policy, Sink] | None = None,
    ) -> None:
        """`audit`: which requests are recorded, and where the records go."""
        self._storage, self._settings = storage, settings
        self.cacher = Cacher(storage, clock)
        self.served = Registry()
        self.security = Security(options, storage, self.cacher, self.served, clock, random)
        self.started = asyncio.Event()
        admission = self.security.admission
        strategies = Strategies({"services": lambda resource: Services(resource, self.security.services)})
        reader = Reader(storage, self.cacher)
        writer = Writer(
            storage, self.cacher, admission, strategies, clock, random, settings.event_ttl, settings.loopback_endpoints
        )
        deleter = Deleter(storage, admission, strategies, clock)
        watches = Watches(self.cacher, clock, random, settings.min_request_timeout)
        resources = Resources(reader, writer, deleter, watches, clock)
        self._node_proxy = NodeProxy(reader, writer, settings.kubelets)
        self.health = self._health()
        dispatch = Dispatch(
            served=self.served,
            resources=resources,
            subresources=Subresources(resources, self.cacher),
            node_proxy=self._node_proxy,
            discovery=Discovery(self.served, f"{options.advertise_address}:{options.secure_port}"),
            health=self.health,
            reviews=self.security.reviews(),
            issuer=self.security.issuer,
            documents=self.security.documents(),
            writer=writer,
            components=self._components,
            clock=clock,
        )
        recorder = Audit(*audit, clock, chain.attributes_of) if audit else None
        self.chain = [
            chain.counted(self.health),
            chain.authenticated(self.security.authentication, recorder),
            chain.held_until(self.started),
            *([recorder.link] if recorder else []),
            chain.impersonated(self.security.authorizer),
            chain.authorized(self.security.authorizer),
        ]
        self.app = Application(chain.build(dispatch, self.chain))

    def _health(self) -> Health:
        health = Health()
        health.live["etcd"] = self._etcd_answers
        health.ready["poststarthook/rbac/bootstrap-roles"] = self._hooks_done
        health.ready["poststarthook/start-system-namespaces-controller"] = self._hooks_done
        health.ready["informer-sync"] = self._cache_filled
        health.ready["consistent-lists"] = self._consistent_lists
        if self._settings.loopback_endpoints:
            health.ready["loopback-endpoints"] = _loopback_endpoints
        return health

    async def _etcd_answers(self) -> str:
        try:
            await self._storage.current_revision()
        except StorageError as error:
            return f"error getting data from etcd: {error}"
        return ""

    async def _hooks_done(self) -> str:
        return "" if self.started.is_set() else "not finished"

    async def _cache_filled(self) -> str:
        return (
            "" if self.cacher.ready.is_set() and self.security.indexed.is_set() else "the watch cache is being filled"
        )

    async def _consistent_lists(self) -> str:
        try:
            status = await self._storage.status()
        except StorageError as error:
            return str(error)
        if status.consistent_progress:
            return ""
        return f"note: etcd {status.version} tells no trustworthy progress, consistent lists read etcd directly"

    async def _components(self) -> list[Obj]:
        problem = await self._etcd_answers()
        condition = {"type": "Healthy", "status": "False" if problem else "True", "message": problem or "ok"}
        return [
            {"kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": "etcd-0"}, "conditions": [condition]}
        ]

    async def start(self) -> None:
        """Bring the store to what a cluster holds; cache and indexes have seen it then.

        Raises StorageError, ApiError."""
        await self.security.start()
        await self.cacher.ready.wait()
        await self.cacher.consistent()
        await self.security.indexed.wait()
        self.started.set()

    async def follow(self) -> None:
        """Keep cache, indexes and this server's own records fresh, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.cacher.run())
            group.create_task(self.security.follow())

    async def close(self) -> None:
        await self._node_proxy.close()


async def _loopback_endpoints() -> str:
    return "note: endpoints in 127/8 are allowed (mode plain)"
