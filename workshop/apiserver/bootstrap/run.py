"""Bootstrapping: read what there is, write what is missing; then keep this server's own records fresh.

It writes to the store directly: these objects are the server's own, and two hundred of them are to be there a third
of a second after a cold start. One list a resource and the writes run side by side; when two servers start at once,
the slower one finds the keys taken and looks again.

Upstream: `pkg/controlplane/instance.go` (post-start hooks), `pkg/controlplane/reconcilers/lease.go`,
`staging/src/k8s.io/component-helpers/apimachinery/lease`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from uuid import UUID

from workshop.api.meta import Obj
from workshop.api.resources import Resource, resource
from workshop.apiserver.bootstrap import facts, system
from workshop.apiserver.bootstrap.reconcile import Write, plan
from workshop.apiserver.bootstrap.system import Config
from workshop.apiserver.storage.interface import Conflict, KeyExists, NotFound, Storage, StorageError
from workshop.clock import Clock, parse_rfc3339, rfc3339, rfc3339_micro, to_beat

logger = logging.getLogger(__name__)

RENEW_EVERY = 10.0
#: A server that has not renewed its record for this long is no endpoint of `default/kubernetes` any more (seconds).
MASTER_LEASE_TTL = 15
MASTER_LEASES = "/registry/masterleases/"
ATTEMPTS = 5
FORGET_EVERY = 3600.0
"""How often the leases of servers that are gone are looked for (seconds)."""


def encode(obj: Obj) -> bytes:
    """An object as it stands in the store."""
    return json.dumps(obj, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


class Bootstrap:
    """Ensures and renews what one API server owes the cluster."""

    def __init__(self, storage: Storage, config: Config, clock: Clock, random: Random) -> None:
        self._storage = storage
        self._config = config
        self._clock = clock
        self._random = random
        self._holder = f"{system.server_id(config.hostname)}_{self._uid()}"

    def _uid(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def _identify(self, obj: Obj) -> Obj:
        created = {"uid": self._uid(), "creationTimestamp": rfc3339(self._clock.now())}
        return {**obj, "metadata": {**obj["metadata"], **created}}

    async def ensure(self) -> None:
        """Everything that a new cluster holds is there. Raises StorageError."""
        now = rfc3339(self._clock.now())
        wanted = system.objects(self._config, now) + facts.objects(now)
        await asyncio.gather(self._ensure(wanted), self.renew())

    async def _ensure(self, wanted: list[tuple[Resource, Obj]]) -> None:
        """Until the store holds `wanted`. Somebody else may write at the same time."""
        for _ in range(ATTEMPTS):
            prefixes = list(dict.fromkeys(kind.storage_key() for kind, _ in wanted))
            lists = await asyncio.gather(*(self._storage.list(prefix) for prefix in prefixes))
            existing = {kv.key: (json.loads(kv.value), kv.mod_revision) for found in lists for kv in found.items}
            writes = plan(wanted, existing, self._identify)
            done = await asyncio.gather(*(self._write(write) for write in writes))
            if all(done):
                return
        raise StorageError("bootstrapping does not come to an end: others keep writing the same objects")

    async def _write(self, write: Write) -> bool:
        """False if somebody else was faster."""
        try:
            if write.replaces:
                await self._storage.delete(write.key, write.expected_revision)
            if write.replaces or not write.expected_revision:
                await self._storage.create(write.key, encode(write.obj))
            else:
                await self._storage.update(write.key, encode(write.obj), write.expected_revision)
        except (KeyExists, Conflict, NotFound):
            return False
        return True

    async def renew(self) -> None:
        """Renew this server's lease and its address in the endpoints of `default/kubernetes`. Raises StorageError."""
        await asyncio.gather(self._renew_identity(), self._renew_endpoints())

    async def keep_fresh(self) -> None:
        """Renew every ten seconds, for ever; what fails is tried again the next time."""
        looked_at = self._clock.monotonic()
        while True:
            await self._clock.sleep(to_beat(self._clock.now(), RENEW_EVERY))
            try:
                await self.renew()
                await self.restore()
                if self._clock.monotonic() - looked_at >= FORGET_EVERY:
                    looked_at = self._clock.monotonic()
                    await self.forget_servers()
            except StorageError as e:
                logger.warning("cannot renew the records of this server: %s", e)

    async def restore(self) -> None:
        """Make the Service `default/kubernetes` again when somebody has deleted it. Raises StorageError."""
        if await self._storage.get(resource("services").storage_key("default", "kubernetes")) is None:
            await self._ensure(system.objects(self._config, rfc3339(self._clock.now())))

    async def forget_servers(self) -> None:
        """Delete the identity Leases of servers that have not renewed them for as long as they hold.

        Raises StorageError. Upstream: `pkg/controlplane/controller/apiserverleasegc/gc_controller.go`.
        """
        found = await self._storage.list(resource("leases.coordination.k8s.io").storage_key("kube-system"))
        for each in found.items:
            lease = json.loads(each.value)
            if system.is_identity(lease) and _expired(lease, self._clock.now()):
                try:
                    await self._storage.delete(each.key, each.mod_revision)
                except (Conflict, NotFound):
                    continue  # it lives again, or another server was faster

    async def _renew_identity(self) -> None:
        lease = system.identity_lease(self._config, self._holder, rfc3339_micro(self._clock.now()))
        await self._upsert(resource("leases.coordination.k8s.io"), lease, _renewed)

    async def _renew_endpoints(self) -> None:
        if not self._config.reconcile_endpoints:
            return
        address = self._config.advertise_address
        record = {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {"name": address},
            "subsets": [{"addresses": [{"ip": address}]}],
        }
        key = MASTER_LEASES + address
        for _ in range(ATTEMPTS):
            current = await self._storage.get(key)
            revision = current.mod_revision if current else 0
            try:
                await self._storage.update(key, encode(record), revision, lease_ttl=MASTER_LEASE_TTL)
            except Conflict:
                continue
            break
        await self._publish(await self._masters())

    async def _masters(self) -> list[str]:
        """Addresses of the servers that live."""
        found = await self._storage.list(MASTER_LEASES)
        return sorted(kv.key.removeprefix(MASTER_LEASES) for kv in found.items)

    async def _publish(self, addresses: Sequence[str]) -> None:
        port = self._config.secure_port
        await asyncio.gather(
            self._upsert(resource("endpoints"), system.endpoints(addresses, port), _same_addresses),
            self._upsert(
                resource("endpointslices.discovery.k8s.io"), system.endpoint_slice(addresses, port), _same_addresses
            ),
        )

    async def withdraw(self) -> None:
        """At shutdown: this server is no endpoint any more. Raises StorageError."""
        if not self._config.reconcile_endpoints:
            return
        current = await self._storage.get(MASTER_LEASES + self._config.advertise_address)
        if current is not None:
            try:
                await self._storage.delete(current.key, current.mod_revision)
            except (Conflict, NotFound):
                return
        await self._publish(await self._masters())

    async def _upsert(self, kind: Resource, wanted: Obj, merge: Callable[[Obj, Obj], Obj | None]) -> None:
        """Create `wanted`, or write `merge(current, wanted)` (None: leave it)."""
        key = kind.storage_key(wanted["metadata"]["namespace"], wanted["metadata"]["name"])
        for _ in range(ATTEMPTS):
            current = await self._storage.get(key)
            write: Awaitable[int]
            if current is None:
                write = self._storage.create(key, encode(self._identify(wanted)))
            else:
                merged = merge(json.loads(current.value), wanted)
                if merged is None:
                    return
                write = self._storage.update(key, encode(merged), current.mod_revision)
            try:
                await write
            except (KeyExists, Conflict):
                continue
            return


def _expired(lease: Obj, now: float) -> bool:
    spec = lease.get("spec") or {}
    if not spec.get("renewTime") or spec.get("leaseDurationSeconds") is None:
        return True
    return bool(parse_rfc3339(spec["renewTime"]) + spec["leaseDurationSeconds"] < now)


def _renewed(current: Obj, wanted: Obj) -> Obj:
    metadata = {**current["metadata"], **wanted["metadata"]}
    return {**current, "metadata": metadata, "spec": {**current["spec"], **wanted["spec"]}}


def _same_addresses(current: Obj, wanted: Obj) -> Obj | None:
    """None if `current` names the same servers already; what a user added to its labels stays."""
    fields = ("subsets", "endpoints", "ports", "addressType")
    if all(current.get(field) == wanted.get(field) for field in fields):
        return None
    rest = {k: v for k, v in current.items() if k not in fields}
    metadata = {**current["metadata"]}
    if "endpoints" in wanted:
        metadata["generation"] = metadata.get("generation", 1) + 1
    return {**rest, "metadata": metadata, **{f: wanted[f] for f in fields if f in wanted}}
