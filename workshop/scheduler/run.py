"""The process: client, informers, leader election, health. Upstream: `cmd/kube-scheduler/app/server.go`."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import uuid
from functools import partial
from random import Random

from workshop import serving
from workshop.api.resources import Resource, resource
from workshop.client.events import Recorder
from workshop.client.informer import InformerFactory
from workshop.client.leaderelection import LeaderElector, Timing
from workshop.client.rest import Client
from workshop.client.store import by_namespace
from workshop.clock import SYSTEM, Clock
from workshop.component import host_name
from workshop.scheduler.health import Health, exposition
from workshop.scheduler.options import Options
from workshop.scheduler.owners import default_selector
from workshop.scheduler.plugins import DefaultSelector, default_framework
from workshop.scheduler.plugins.dynamic_resources import DynamicResources
from workshop.scheduler.plugins.volume_binding import VolumeBinding
from workshop.scheduler.scheduler import Scheduler, only_selector, without_bulk

UNFINISHED = "status.phase!=Succeeded,status.phase!=Failed"
DEVICES = ("resourceclaims.resource.k8s.io", "deviceclasses.resource.k8s.io")
VOLUMES = ("persistentvolumeclaims", "persistentvolumes", "storageclasses.storage.k8s.io")
CONTROLLERS = ("replicationcontrollers", "replicasets.apps", "statefulsets.apps")


class Program:
    """One kube-scheduler, wired together."""

    def __init__(self, client: Client, options: Options, clock: Clock = SYSTEM, random: Random | None = None) -> None:
        self.client, self.options, self.clock = client, options, clock
        self.random = random or Random()
        self.recorders = {
            profile.name: Recorder(
                client, profile.name, host=f"{profile.name}-{host_name()}", new_api=True, clock=clock
            )
            for profile in options.profiles
        }
        self.informers = InformerFactory(client, clock=clock, random=self.random)
        self.synced = False
        selector_of, binding, devices = self._selectors(), self._volumes(), self._devices()
        frameworks = {
            profile.name: default_framework(
                selector_of,
                binding,
                devices,
                name=profile.name,
                disabled=profile.disabled,
                weights=dict(profile.weights),
            )
            for profile in options.profiles
        }
        budgets = self.informers.informer(resource("poddisruptionbudgets.policy"), transform=without_bulk)
        self.scheduler = Scheduler(client, frameworks, self.recorders, clock, self.random, budgets.store)
        self._connect()

    def _selectors(self) -> DefaultSelector:
        services = self.informers.informer(resource("services"), transform=only_selector)
        services.store.add_index("namespace", by_namespace)
        stores = {}
        for name in CONTROLLERS:
            res: Resource = resource(name)
            stores[res.kind] = self.informers.informer(res, transform=only_selector).store
        return partial(default_selector, services=services.store, controllers=stores)

    def _volumes(self) -> VolumeBinding:
        stores = [self.informers.informer(resource(name), transform=without_bulk).store for name in VOLUMES]
        return VolumeBinding(*stores)

    def _devices(self) -> DynamicResources:
        stores = [self.informers.informer(resource(name), transform=without_bulk).store for name in DEVICES]
        return DynamicResources(*stores)

    def _connect(self) -> None:
        s = self.scheduler
        waited_for = {**dict.fromkeys(VOLUMES, "Claim/Change"), "persistentvolumes": "Volume/Change"}
        for name, what in {**waited_for, **dict.fromkeys(DEVICES, "ResourceClaim/Change")}.items():
            changed = partial(s.objects_changed, what)
            informer = self.informers.informer(resource(name))
            informer.add_handler(partial(changed, None), changed, lambda old: None)
        namespaces = self.informers.informer(resource("namespaces"), transform=without_bulk)
        namespaces.add_handler(s.namespace_changed, lambda old, new: s.namespace_changed(new), s.namespace_removed)
        nodes = self.informers.informer(resource("nodes"), transform=without_bulk)
        nodes.add_handler(s.node_added, s.node_changed, s.node_removed)
        pods = self.informers.informer(resource("pods"), field_selector=UNFINISHED, transform=without_bulk)
        pods.add_handler(s.pod_added, s.pod_changed, s.pod_removed)

    async def run(self) -> None:
        """Until cancelled, or until leadership is lost (raises LeadershipLost)."""
        self.informers.start()
        writing = [asyncio.ensure_future(recorder.run()) for recorder in self.recorders.values()]
        try:
            await self.informers.wait_for_sync()  # also those who wait to lead know the cluster
            self.synced = True
            if not self.options.leader_elect:
                await self.scheduler.run()
                return
            timing = Timing(self.options.lease_duration, self.options.renew_deadline, self.options.retry_period)
            elector = LeaderElector(
                self.client,
                namespace=self.options.resource_namespace,
                name=self.options.resource_name,
                identity=f"{host_name()}_{uuid.uuid4()}",
                timing=timing,
                clock=self.clock,
                random=self.random,
            )
            await elector.run(self.scheduler.run)
        finally:
            for task in writing:
                task.cancel()
            await asyncio.gather(*writing, return_exceptions=True)
            await self.informers.stop()

    # --- what is served

    def checks(self) -> dict[str, bool]:
        return {"informer-sync": self.synced}

    def metrics(self) -> str:
        scheduler = self.scheduler
        return exposition(scheduler.results, scheduler.queue.counts(), scheduler.cache.sizes())


def tls_of(options: Options) -> ssl.SSLContext:
    return serving.server_tls(options.tls_cert_file, options.tls_private_key_file, options.client_ca_file or None)


async def run(options: Options, stop: asyncio.Event) -> None:
    """Run until `stop` is set. Raises OSError where the address cannot be had, LeadershipLost."""
    async with Client.from_kubeconfig(options.kubeconfig, user_agent="kube-scheduler") as client:
        program = Program(client, options)
        async with contextlib.AsyncExitStack() as stack:
            if options.secure_port and options.tls_cert_file:
                listening = serving.listen(options.bind_address, options.secure_port)
                app = Health(program.checks, program.metrics)
                await stack.enter_async_context(serving.serve(app, [listening], tls_of(options)))
            working = asyncio.ensure_future(program.run())
            stopping = asyncio.ensure_future(stop.wait())
            try:
                await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopping.cancel()
                if not working.done():
                    working.cancel()
                await asyncio.gather(stopping, return_exceptions=True)
            with contextlib.suppress(asyncio.CancelledError):
                await working
