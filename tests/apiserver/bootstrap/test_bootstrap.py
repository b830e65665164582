"""Bootstrapping over a store in memory: complete, idempotent, careful with what users changed."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from random import Random
from typing import Any

from workshop.apiserver.bootstrap import facts, reconcile, system
from workshop.apiserver.bootstrap.run import Bootstrap
from workshop.apiserver.storage import interface as storage
from workshop.apiserver.storage.interface import Batch, KeyValue, ListResult, StorageStatus


class Clock:
    time = 1_800_000_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class Memory:
    """A store of keys, without watch or history; leases end when `expire` says so."""

    def __init__(self) -> None:
        self.data: dict[str, tuple[bytes, int]] = {}
        self.leased: set[str] = set()
        self.revision = 1
        self.writes = 0

    def _put(self, key: str, value: bytes, lease_ttl: int) -> int:
        self.revision += 1
        self.writes += 1
        self.data[key] = (value, self.revision)
        (self.leased.add if lease_ttl else self.leased.discard)(key)
        return self.revision

    def expire(self, key: str) -> None:
        assert key in self.leased
        del self.data[key]

    async def create(self, key: str, value: bytes, lease_ttl: int = 0) -> int:
        if key in self.data:
            raise storage.KeyExists(key)
        return self._put(key, value, lease_ttl)

    async def get(self, key: str, revision: int = 0, serializable: bool = False) -> KeyValue | None:
        return KeyValue(key, *self.data[key]) if key in self.data else None

    async def list(self, prefix: str, revision: int = 0, limit: int = 0, start_after: str | None = None) -> ListResult:
        items = [KeyValue(k, *v) for k, v in sorted(self.data.items()) if k.startswith(prefix)]
        return ListResult(items, self.revision, False, 0)

    async def count(self, prefix: str) -> int:
        return sum(key.startswith(prefix) for key in self.data)

    async def update(self, key: str, value: bytes, expected_revision: int, lease_ttl: int = 0) -> int:
        if self.data.get(key, (b"", 0))[1] != expected_revision:
            raise storage.Conflict(key, await self.get(key))
        return self._put(key, value, lease_ttl)

    async def delete(self, key: str, expected_revision: int) -> KeyValue:
        if key not in self.data:
            raise storage.NotFound(key)
        value, _ = self.data.pop(key)
        self.revision += 1
        return KeyValue(key, value, self.revision)

    def watch(self, prefix: str, start_revision: int) -> AsyncIterator[Batch]:
        raise AssertionError("bootstrapping does not watch")

    async def request_progress(self) -> None: ...
    async def current_revision(self) -> int:
        return self.revision

    async def compact(self, revision: int) -> None: ...
    async def status(self) -> StorageStatus:
        return StorageStatus("3.6.0", 0, self.revision, True)

    async def close(self) -> None: ...

    def object(self, key: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.data[key][0])
        return found

    def change(self, key: str, **fields: Any) -> None:
        self._put(key, json.dumps({**self.object(key), **fields}).encode(), 0)


CONFIG = system.Config(
    advertise_address="10.0.254.1",
    secure_port=6443,
    service_ranges=["10.0.128.0/18"],
    client_ca="PEM",
    hostname="vm",
)


def bootstrap(memory: Memory, config: system.Config = CONFIG) -> Bootstrap:
    return Bootstrap(memory, config, Clock(), Random(1))


async def test_a_new_cluster() -> None:
    memory = Memory()
    await bootstrap(memory).ensure()
    assert memory.object("/registry/namespaces/kube-system")["status"] == {"phase": "Active"}
    service = memory.object("/registry/services/specs/default/kubernetes")
    assert (service["spec"]["clusterIP"], service["spec"]["ports"][0]["targetPort"]) == ("10.0.128.1", 6443)
    assert memory.object("/registry/ipaddresses/10.0.128.1")["spec"]["parentRef"]["name"] == "kubernetes"
    assert memory.object("/registry/servicecidrs/kubernetes")["spec"] == {"cidrs": ["10.0.128.0/18"]}
    assert memory.object("/registry/services/endpoints/default/kubernetes")["subsets"][0]["addresses"] == [
        {"ip": "10.0.254.1"}
    ]
    assert memory.object("/registry/endpointslices/default/kubernetes")["endpoints"][0]["addresses"] == ["10.0.254.1"]
    assert memory.object("/registry/clusterroles/cluster-admin")["rules"][0]["verbs"] == ["*"]
    assert memory.object("/registry/flowschemas/probes")["status"]["conditions"][0]["status"] == "False"
    assert memory.object("/registry/priorityclasses/system-node-critical")["value"] == 2000001000
    assert memory.object("/registry/configmaps/kube-system/extension-apiserver-authentication")["data"] == {
        "client-ca-file": "PEM"
    }
    lease = memory.object(f"/registry/leases/kube-system/{system.server_id('vm')}")
    assert lease["spec"]["leaseDurationSeconds"] == 3600
    everything = [json.loads(value) for key, (value, _) in memory.data.items() if "masterleases" not in key]
    assert len({obj["metadata"]["uid"] for obj in everything}) == len(everything) > 160


async def test_a_second_start_writes_only_its_own_records() -> None:
    memory = Memory()
    await bootstrap(memory).ensure()
    before, first = dict(memory.data), memory.writes
    await bootstrap(memory).ensure()
    changed = {key for key in memory.data if memory.data[key] != before[key]}
    own = {f"/registry/leases/kube-system/{system.server_id('vm')}", "/registry/masterleases/10.0.254.1"}
    assert changed == own and memory.writes == first + 2


async def test_what_was_deleted_comes_back_and_what_users_changed_stays() -> None:
    memory = Memory()
    await bootstrap(memory).ensure()
    del memory.data["/registry/clusterroles/edit"]
    labels = {"kubernetes.io/metadata.name": "default", "team": "a"}
    memory.change("/registry/namespaces/default", metadata={"name": "default", "labels": labels})
    memory.change("/registry/priorityclasses/system-node-critical", description="ours")
    await bootstrap(memory).ensure()
    assert "/registry/clusterroles/edit" in memory.data
    assert memory.object("/registry/namespaces/default")["metadata"]["labels"]["team"] == "a"
    assert memory.object("/registry/priorityclasses/system-node-critical")["description"] == "ours"


async def test_roles_get_back_rules_and_keep_added_ones() -> None:
    memory = Memory()
    await bootstrap(memory).ensure()
    key = "/registry/clusterroles/system:kube-scheduler"
    whole = memory.object(key)
    mine = {"apiGroups": ["x"], "resources": ["y"], "verbs": ["get"]}
    memory.change(key, rules=[mine])
    await bootstrap(memory).ensure()
    rules = memory.object(key)["rules"]
    assert mine in rules
    assert not reconcile.uncovered(rules, whole["rules"])
    opted_out = {**whole["metadata"], "annotations": {reconcile.AUTO_UPDATE: "false"}}
    memory.change(key, metadata=opted_out, rules=[mine])
    await bootstrap(memory).ensure()
    assert memory.object(key)["rules"] == [mine]


async def test_binding_to_another_role_is_made_anew() -> None:
    memory = Memory()
    await bootstrap(memory).ensure()
    key = "/registry/clusterrolebindings/cluster-admin"
    old = memory.object(key)
    memory.change(key, roleRef={**old["roleRef"], "name": "view"}, subjects=[])
    await bootstrap(memory).ensure()
    new = memory.object(key)
    assert (new["roleRef"], new["subjects"]) == (old["roleRef"], old["subjects"])
    assert new["metadata"]["uid"] != old["metadata"]["uid"]


async def test_flow_schema_spec_comes_back() -> None:
    memory = Memory()
    await bootstrap(memory).ensure()
    key = "/registry/flowschemas/probes"
    spec = memory.object(key)["spec"]
    memory.change(key, spec={**spec, "matchingPrecedence": 7})
    await bootstrap(memory).ensure()
    assert memory.object(key)["spec"] == spec
    assert memory.object(key)["metadata"]["generation"] == 2


async def test_two_servers_share_the_endpoints_and_one_leaves() -> None:
    memory = Memory()
    one, two = (
        bootstrap(memory),
        bootstrap(memory, system.Config("10.0.254.2", 6443, ["10.0.128.0/18"], hostname="vm2")),
    )
    await one.ensure()
    await two.ensure()

    def addresses() -> list[str]:
        endpoints = memory.object("/registry/services/endpoints/default/kubernetes").get("subsets", [])
        slices = memory.object("/registry/endpointslices/default/kubernetes")["endpoints"]
        found = [a["ip"] for subset in endpoints for a in subset["addresses"]]
        assert found == list(itertools.chain(*(e["addresses"] for e in slices)))
        return found

    assert addresses() == ["10.0.254.1", "10.0.254.2"]
    await two.withdraw()
    assert addresses() == ["10.0.254.1"]
    await two.renew()
    memory.expire("/registry/masterleases/10.0.254.2")  # it was killed
    await one.renew()
    assert addresses() == ["10.0.254.1"]


async def test_another_server_that_was_faster_is_no_error() -> None:
    memory = Memory()
    listed = memory.list

    async def late(prefix: str, *args: Any, **kwargs: Any) -> ListResult:
        found = await listed(prefix)
        if prefix == "/registry/namespaces/" and not found.items:
            await memory.create("/registry/namespaces/default", json.dumps(system.namespace("default")).encode())
        return found

    memory.list = late  # type: ignore[method-assign]
    await bootstrap(memory).ensure()
    assert memory.object("/registry/namespaces/kube-system")


def test_the_table_is_whole() -> None:
    found = facts.objects("2027-01-15T08:00:00Z")
    names = {(kind.plural, obj["metadata"]["name"]) for kind, obj in found}
    for name in ("cluster-admin", "admin", "edit", "view", "system:node", "system:controller:namespace-controller"):
        assert ("clusterroles", name) in names
    assert not any("openshift" in json.dumps(obj) for _, obj in found)
    assert any(rule["resources"] == ["pods"] for rule in facts.node_rules())


def test_server_id_is_upstreams() -> None:
    assert system.server_id("vm") == "apiserver-wlv32tlttr4jl3gtroqexyxapa"
