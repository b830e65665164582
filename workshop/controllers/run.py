"""The process: clients, leader election, the chosen controllers, the health port."""

from __future__ import annotations

import asyncio
import logging
import uuid
from contextlib import AsyncExitStack
from dataclasses import replace
from random import Random

from workshop import serving
from workshop.client import kubeconfig
from workshop.client.events import Recorder
from workshop.client.informer import InformerFactory
from workshop.client.leaderelection import LeaderElector, Timing
from workshop.client.rest import Client
from workshop.client.transport import HttpTransport, Transport
from workshop.clock import SYSTEM, Clock
from workshop.component import host_name

from . import manager
from .base import Context
from .credentials import AccountTransport
from .health import HealthApp
from .options import Options

log = logging.getLogger(__name__)


class ControllerManager:
    """All controllers of `options.controllers` at one API server."""

    def __init__(
        self, client: Client, accounts: Transport | None, options: Options, clock: Clock, random: Random
    ) -> None:
        self._client = client
        self._accounts = accounts
        self._options = options
        self._clock = clock
        self._random = random
        self._clients: dict[str, Client] = {}
        self._recorders: dict[str, Recorder] = {}
        self.contexts: list[Context] = []

    async def run(self) -> None:
        """Until cancelled, or the first controller fails (none should)."""
        informers = InformerFactory(self._client, clock=self._clock, random=self._random)
        async with asyncio.TaskGroup() as group:
            runs = []
            for descriptor in manager.chosen(self._options.controllers):
                context = self._context(descriptor, informers)
                runs.append((descriptor.name, descriptor.make(context)))
                self.contexts.append(context)
            informers.start()
            for recorder in self._recorders.values():
                group.create_task(recorder.run())
            try:
                await informers.wait_for_sync()
                for name, controller in runs:
                    log.info('Started "%s"', name)
                    group.create_task(controller.run(), name=name)
                await asyncio.get_running_loop().create_future()
            finally:
                await informers.stop()

    def _context(self, descriptor: manager.Descriptor, informers: InformerFactory) -> Context:
        client = self._account_client(descriptor.account)
        recorders = self._recorders

        def recorder(component: str) -> Recorder:
            if component not in recorders:
                recorders[component] = Recorder(client, component, clock=self._clock)
            return recorders[component]

        return Context(client, informers, self._clock, self._random, self._options, recorder, descriptor.name)

    def _account_client(self, account: str) -> Client:
        if self._accounts is None or not account:
            return self._client
        if account not in self._clients:
            transport = AccountTransport(self._accounts, self._client, account, self._clock)
            agent = f"kube-controller-manager/workshop/system:serviceaccount:kube-system:{account}"
            self._clients[account] = Client(transport, user_agent=agent, clock=self._clock)
        return self._clients[account]

    def metrics(self) -> list[tuple[str, str, dict[str, float]]]:
        depth = {
            f'name="{context.name}"': float(sum(len(queue) for queue in context.queues)) for context in self.contexts
        }
        started = {f'name="{context.name}"': 1.0 for context in self.contexts}
        return [
            ("workqueue_depth", "Current depth of workqueue", depth),
            ("running_managed_controllers", "Indicates where instances of a controller are currently running", started),
        ]


async def run(options: Options, stop: asyncio.Event, clock: Clock = SYSTEM) -> None:
    """Serve and work until `stop` is set. Raises LeadershipLost, OSError (port in use), KubeconfigError."""
    random = Random()
    access = kubeconfig.load(options.kubeconfig)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            Client.from_access(access, user_agent="kube-controller-manager/workshop", clock=clock)
        )
        accounts: Transport | None = None
        if options.use_service_account_credentials:
            bare = replace(access, client_cert=None, client_key=None)
            accounts = HttpTransport(bare.server, bare.tls(), server_name=bare.tls_server_name)
            stack.push_async_callback(accounts.close)
        controllers = ControllerManager(client, accounts, options, clock, random)
        if options.secure_port:
            tls = None
            if options.tls_cert_file:
                tls = serving.server_tls(
                    options.tls_cert_file, options.tls_private_key_file, options.client_ca_file or None
                )
            sock = serving.listen(options.bind_address, options.secure_port)
            await stack.enter_async_context(serving.serve(HealthApp(controllers.metrics), [sock], tls))
        work = asyncio.ensure_future(_lead(options, client, controllers, clock, random))
        stopped = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            stopped.cancel()
            work.cancel()
            await asyncio.gather(work, stopped, return_exceptions=True)


async def _lead(options: Options, client: Client, controllers: ControllerManager, clock: Clock, random: Random) -> None:
    if not options.leader_elect:
        await controllers.run()
        return
    elector = LeaderElector(
        client,
        namespace=options.leader_elect_resource_namespace,
        name=options.leader_elect_resource_name,
        identity=f"{host_name()}_{uuid.UUID(int=random.getrandbits(128), version=4)}",
        timing=Timing(
            options.leader_elect_lease_duration,
            options.leader_elect_renew_deadline,
            options.leader_elect_retry_period,
        ),
        clock=clock,
        random=random,
    )
    await elector.run(controllers.run)
