"""The API server put together: storage and keys in, one ASGI application out. No socket is opened here.

Upstream: cmd/kube-apiserver/app/server.go (CreateServerChain), pkg/controlplane.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from workshop.api import conditions, zpages
from workshop.api.resources import Registry, all_resources, resource
from workshop.clock import Clock
from workshop.serving.head import Head

from . import chain, security
from .aggregator.backend import FrontProxy
from .aggregator.controller import Aggregator
from .aggregator.proxy import remote_of
from .aggregator.strategy import APIServices
from .audit.link import Audit, Sink
from .audit.policy import Policy
from .cacher import Cacher
from .components import ComponentStatuses
from .dispatch import Dispatch
from .extensions.controller import DefinitionController
from .extensions.presenting import Presenter
from .extensions.strategies import CustomResources, Definitions
from .flowcontrol import report
from .flowcontrol.control import Control
from .flowcontrol.estimate import list_seats
from .flowcontrol.follow import follow as follow_levels
from .flowcontrol.link import FlowControl
from .handlers.discovery import Discovery
from .handlers.health import VERSION, Health
from .handlers.metrics import Metrics
from .handlers.node_proxy import KubeletAccess, NodeProxy
from .handlers.resources import Resources
from .handlers.reviews import Reviews
from .handlers.subresources import Subresources
from .handlers.tokens import Tokens
from .handlers.watch import Watches
from .registry.deletion import Deleter
from .registry.devices import ResourceClaims, ResourceClaimTemplates
from .registry.reader import Reader
from .registry.services import Services
from .registry.strategies import CUSTOM, Strategies
from .registry.writer import Writer
from .security import Security
from .served import served
from .server.app import Application
from .server.cors import allowing
from .server.http import Request, Response, text_response
from .server.websocket import streams
from .storage.interface import Storage, StorageError
from .webhooks import addresses


@dataclass(frozen=True)
class Settings:
    """What the parts take from the flags beside `security.Options`. Seconds."""

    event_ttl: int = 3600
    min_request_timeout: float = 1800
    request_timeout: float = 60
    seats: int = 600
    """How many requests are worked on at a time, in all priority levels; 0 turns priority and fairness off."""
    loopback_endpoints: bool = False
    kubelets: KubeletAccess = field(default_factory=KubeletAccess)
    front_proxy: FrontProxy = field(default_factory=FrontProxy)
    aggregator_routing: bool = False
    """Servers behind APIServices are asked at their endpoints, not at their Service's ClusterIP."""
    runtime_config: Sequence[str] = ()
    """Which versions and resources are served, as the flag says."""
    allowed_origins: Sequence[str] = ()
    strict_transport_security: str = ""
    flags: Mapping[str, str] = field(default_factory=dict)
    """All flags with their values, for `/flagz`."""


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
        """`audit`: which requests are recorded, and where the records go. Raises OSError, ValueError."""
        self._storage, self._settings, self._clock = storage, settings, clock
        self._begun = clock.now()
        self._flows = Control(settings.seats, clock) if settings.seats else None
        self.cacher = Cacher(storage, clock)
        self.served = Registry(served(all_resources(), settings.runtime_config))
        self.security = Security(options, storage, self.cacher, self.served, clock, random)
        self.started = asyncio.Event()
        admission = self.security.admission
        context = self.security.context
        strategies = Strategies(
            {
                "resourceclaims.resource.k8s.io": lambda resource: ResourceClaims(resource, context),
                "resourceclaimtemplates.resource.k8s.io": lambda resource: ResourceClaimTemplates(resource, context),
                "services": lambda resource: Services(resource, self.security.services),
                "customresourcedefinitions.apiextensions.k8s.io": Definitions,
                "apiservices.apiregistration.k8s.io": lambda resource: APIServices(resource, clock),
                CUSTOM: CustomResources,
            }
        )
        presenter = Presenter(context.conversion)
        reader = Reader(storage, self.cacher, presenter)
        writer = Writer(
            storage, self.cacher, admission, strategies, presenter, clock, random, settings.event_ttl,
            settings.loopback_endpoints,
        )  # fmt: skip
        deleter = Deleter(storage, admission, strategies, presenter, clock)
        watches = Watches(self.cacher, presenter, clock, random, settings.min_request_timeout)
        self.definitions = DefinitionController(self.cacher, self.served, writer, deleter, clock)
        services = addresses.Services(context.get, context.list, random, settings.aggregator_routing)
        self.aggregator = Aggregator(self.cacher, self.served, writer, deleter, services, settings.front_proxy, clock)
        resources = Resources(reader, writer, deleter, watches, clock)
        self._node_proxy = NodeProxy(reader, writer, settings.kubelets, chain.also_allowed(self.security.authorizer))
        self.health = self._health()
        dispatch = Dispatch(
            served=self.served,
            resources=resources,
            subresources=Subresources(resources, self.cacher),
            node_proxy=self._node_proxy,
            discovery=Discovery(self.served, f"{options.advertise_address}:{options.secure_port}", self.aggregator),
            health=self.health,
            reviews=Reviews(self.security.reviews(), clock),
            tokens=Tokens(self.security.issuer, admission, clock) if self.security.issuer is not None else None,
            documents=self.security.documents(),
            definitions=self.definitions,
            aggregator=self.aggregator,
            components=ComponentStatuses(options.advertise_address, self._etcd_answers).list,
            clock=clock,
        )
        recorder = Audit(*audit, clock, chain.attributes_of) if audit else None
        self.chain = [
            *([allowing(settings.allowed_origins)] if settings.allowed_origins else []),
            chain.counted(self.health.metrics, clock),
            chain.in_time(settings.request_timeout),
            chain.authenticated(self.security.authentication, self.health.metrics, recorder),
            chain.held_until(self.started),
            *([recorder.link] if recorder else []),
            chain.impersonated(self.security.authorizer, self.health.metrics),
            *self._flow_control(clock),
            chain.authorized(self.security.authorizer),
        ]
        self.app = Application(chain.build(dispatch, self.chain), settings.strict_transport_security)

    def _flow_control(self, clock: Clock) -> list[chain.Link]:
        """The link of priority and fairness, if it is on."""
        if self._flows is None:
            return []
        flows = self._flows
        self.health.metrics.more.append(lambda: report.metrics(flows))
        folder = "/debug/api_priority_and_fairness"

        def requests(request: Request) -> Response:
            return text_response(report.requests(flows, clock, bool(request.option("includeRequestDetails"))))

        self.health.pages |= {
            f"{folder}/dump_priority_levels": lambda _: text_response(report.priority_levels(flows)),
            f"{folder}/dump_queues": lambda _: text_response(report.queues(flows)),
            f"{folder}/dump_requests": requests,
        }
        return [FlowControl(flows, self._seats, self._settings.request_timeout / 4, clock).link]

    def _flagz(self, request: Request) -> Response:
        return _page(zpages.flagz("apiserver", self._settings.flags, request.header("accept")))

    def _statusz(self, request: Request) -> Response:
        now, paths = self._clock.now(), self.health.paths()
        version = VERSION.removeprefix("v")
        return _page(zpages.statusz("apiserver", version, self._begun, now, paths, request.header("accept")))

    def _seats(self, request: Request) -> int:
        """How many seats a request takes: lists, and watches that begin with a list, by what their answer weighs."""
        info = request.info
        if info.verb not in ("list", "watch") or not info.is_resource:
            return 1
        found = self.served.find(info.group, info.version, info.resource)
        if found is None or not found.persisted:
            return 1
        if info.verb == "watch" and not request.flag("sendInitialEvents") and request.option("resourceVersion") > "0":
            return 1
        items = self.cacher.shelf(found.storage_key()).items
        mean = len(items.peekitem(0)[1].raw) if items else 0
        limit = request.option("limit")
        return list_seats(len(items), mean, int(limit) if limit.isdigit() else 0, bool(info.name))

    def _health(self) -> Health:
        health = Health(Metrics(self._objects, VERSION))
        health.pages |= {"/flagz": self._flagz, "/statusz": self._statusz}
        health.live["etcd"] = self._etcd_answers
        health.metrics.before.append(self._measure_store)
        health.metrics.more.append(self._unavailable)
        health.ready["poststarthook/rbac/bootstrap-roles"] = self._hooks_done
        health.ready["poststarthook/start-system-namespaces-controller"] = self._hooks_done
        health.ready["informer-sync"] = self._cache_filled
        health.ready["consistent-lists"] = self._consistent_lists
        if self._settings.loopback_endpoints:
            health.ready["loopback-endpoints"] = _loopback_endpoints
        return health

    def _objects(self) -> Iterator[tuple[str, int]]:
        for kind in self.served:
            if kind.persisted:
                yield kind.group_resource, len(self.cacher.shelf(kind.storage_key()).items)

    async def _measure_store(self) -> None:
        with contextlib.suppress(StorageError):  # then the last size is told
            status = await self._storage.status()
            self.health.metrics.set("apiserver_storage_size_bytes", status.size, 'storage_cluster_id="etcd-0"')

    def _unavailable(self) -> list[str]:
        """Which APIServices nobody answers."""
        name = "aggregator_unavailable_apiservice"
        shelf = self.cacher.shelf(resource("apiservices.apiregistration.k8s.io").storage_key())
        lines = [f"# TYPE {name} gauge"]
        for stored in shelf.items.values():
            well = conditions.is_true(stored.obj, "Available")
            lines.append(f'{name}{{name="{stored.obj["metadata"]["name"]}"}} {int(not well)}')
        return lines

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

    def streams(self, asked: Head) -> bool:
        """Is there anything to stream over a WebSocket? Of what another server serves that one knows."""
        return streams(asked) or remote_of(asked.path, self.aggregator) is not None

    async def start(self) -> None:
        """Bring the store to what a cluster holds; cache and indexes have seen it then.

        Raises StorageError, ApiError."""
        await self.security.start()
        await self.cacher.ready.wait()
        await self.cacher.consistent()
        await self.security.indexed.wait()
        await self.definitions.told.wait()
        self.started.set()

    async def follow(self) -> None:
        """Keep cache, indexes and this server's own records fresh, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.cacher.run())
            group.create_task(self.security.follow())
            if self._flows is not None:
                group.create_task(follow_levels(self._flows, self.cacher, self.security.context, self._clock))
            group.create_task(self.definitions.run())
            group.create_task(self.aggregator.run(self.started))

    async def close(self) -> None:
        await self._node_proxy.close()
        await self.security.context.webhooks.close()
        await self.aggregator.close()


def _page(page: zpages.Page) -> Response:
    return Response(200, page.body, page.content_type, [("Warning", page.warning)] if page.warning else [])


async def _loopback_endpoints() -> str:
    return "note: endpoints in 127/8 are allowed (mode plain)"
