"""Bootstrapping over a store in memory: complete, idempotent, careful with what users changed."""

from __future__ import annotations

import itertools
import json
from random import Random
from typing import Any

from tests.virtual_clock import HastyClock
from workshop.apiserver.bootstrap import facts, reconcile, system
from workshop.apiserver.bootstrap.run import Bootstrap
from workshop.apiserver.storage.interface import ListResult
from workshop.apiserver.storage.memory import MemoryStorage


class Memory(MemoryStorage):
    """A store whose objects a test can look at and change."""

    def __init__(self) -> None:
        self.clock = HastyClock()
        super().__init__(self.clock)

    async def data(self) -> dict[str, tuple[bytes, int]]:
        return {kv.key: (kv.value, kv.mod_revision) for kv in (await self.list("/")).items}

    async def object(self, key: str) -> dict[str, Any]:
        found = await self.get(key)
        assert found is not None, key
        obj: dict[str, Any] = json.loads(found.value)
        return obj

    async def remove(self, key: str) -> None:
        found = await self.get(key)
        assert found is not None
        await self.delete(key, found.mod_revision)

    async def change(self, key: str, **fields: Any) -> None:
        found = await self.get(key)
        assert found is not None
        changed = {**json.loads(found.value), **fields}
        await self.update(key, json.dumps(changed).encode(), found.mod_revision)


CONFIG = system.Config(
    advertise_address="10.0.254.1",
    secure_port=6443,
    service_ranges=["10.0.128.0/18"],
    client_ca="PEM",
    hostname="vm",
)


def bootstrap(memory: Memory, config: system.Config = CONFIG) -> Bootstrap:
    return Bootstrap(memory, config, memory.clock, Random(1))


async def test_a_new_cluster() -> None:
    memory = Memory()
    await bootstrap(memory).ensure()
    assert (await memory.object("/registry/namespaces/kube-system"))["status"] == {"phase": "Active"}
    service = await memory.object("/registry/services/specs/default/kubernetes")
    assert (service["spec"]["clusterIP"], service["spec"]["ports"][0]["targetPort"]) == ("10.0.128.1", 6443)
    assert (await memory.object("/registry/ipaddresses/10.0.128.1"))["spec"]["parentRef"]["name"] == "kubernetes"
    assert (await memory.object("/registry/servicecidrs/kubernetes"))["spec"] == {"cidrs": ["10.0.128.0/18"]}
    assert (await memory.object("/registry/services/endpoints/default/kubernetes"))["subsets"][0]["addresses"] == [
        {"ip": "10.0.254.1"}
    ]
    assert (await memory.object("/registry/endpointslices/default/kubernetes"))["endpoints"][0]["addresses"] == [
        "10.0.254.1"
    ]
    assert (await memory.object("/registry/clusterroles/cluster-admin"))["rules"][0]["verbs"] == ["*"]
    assert (await memory.object("/registry/flowschemas/probes"))["status"]["conditions"][0]["status"] == "False"
    assert (await memory.object("/registry/priorityclasses/system-node-critical"))["value"] == 2000001000
    assert (await memory.object("/registry/configmaps/kube-system/extension-apiserver-authentication"))["data"] == {
        "client-ca-file": "PEM"
    }
    lease = await memory.object(f"/registry/leases/kube-system/{system.server_id('vm')}")
    assert lease["spec"]["leaseDurationSeconds"] == 3600
    everything = [json.loads(value) for key, (value, _) in (await memory.data()).items() if "masterleases" not in key]
    assert len({obj["metadata"]["uid"] for obj in everything}) == len(everything) > 160


async def test_a_second_start_writes_only_its_own_records() -> None:
    memory = Memory()
    await bootstrap(memory).ensure()
    before = await memory.data()
    await bootstrap(memory).ensure()
    after = await memory.data()
    changed = {key for key in after if after[key] != before[key]}
    own = {f"/registry/leases/kube-system/{system.server_id('vm')}", "/registry/masterleases/10.0.254.1"}
    assert changed == own and after.keys() == before.keys()


async def test_what_was_deleted_comes_back_and_what_users_changed_stays() -> None:
    memory = Memory()
    await bootstrap(memory).ensure()
    await memory.remove("/registry/clusterroles/edit")
    labels = {"kubernetes.io/metadata.name": "default", "team": "a"}
    await memory.change("/registry/namespaces/default", metadata={"name": "default", "labels": labels})
    await memory.change("/registry/priorityclasses/system-node-critical", description="ours")
    await bootstrap(memory).ensure()
    assert "/registry/clusterroles/edit" in await memory.data()
    assert (await memory.object("/registry/namespaces/default"))["metadata"]["labels"]["team"] == "a"
    assert (await memory.object("/registry/priorityclasses/system-node-critical"))["description"] == "ours"


async def test_the_service_of_the_api_comes_back_while_the_server_runs() -> None:
    memory = Memory()
    await bootstrap(memory).ensure()
    await memory.remove("/registry/services/specs/default/kubernetes")
    await bootstrap(memory).restore()
    service = await memory.object("/registry/services/specs/default/kubernetes")
    assert service["spec"]["clusterIP"] == "10.0.128.1"


async def test_roles_get_back_rules_and_keep_added_ones() -> None:
    memory = Memory()
    await bootstrap(memory).ensure()
    key = "/registry/clusterroles/system:kube-scheduler"
    whole = await memory.object(key)
    mine = {"apiGroups": ["x"], "resources": ["y"], "verbs": ["get"]}
    await memory.change(key, rules=[mine])
    await bootstrap(memory).ensure()
    rules = (await memory.object(key))["rules"]
    assert mine in rules
    assert not reconcile.uncovered(rules, whole["rules"])
    opted_out = {**whole["metadata"], "annotations": {reconcile.AUTO_UPDATE: "false"}}
    await memory.change(key, metadata=opted_out, rules=[mine])
    await bootstrap(memory).ensure()
    assert (await memory.object(key))["rules"] == [mine]


async def test_binding_to_another_role_is_made_anew() -> None:
    memory = Memory()
    await bootstrap(memory).ensure()
    key = "/registry/clusterrolebindings/cluster-admin"
    old = await memory.object(key)
    await memory.change(key, roleRef={**old["roleRef"], "name": "view"}, subjects=[])
    await bootstrap(memory).ensure()
    new = await memory.object(key)
    assert (new["roleRef"], new["subjects"]) == (old["roleRef"], old["subjects"])
    assert new["metadata"]["uid"] != old["metadata"]["uid"]


async def test_flow_schema_spec_comes_back() -> None:
    memory = Memory()
    await bootstrap(memory).ensure()
    key = "/registry/flowschemas/probes"
    spec = (await memory.object(key))["spec"]
    await memory.change(key, spec={**spec, "matchingPrecedence": 7})
    await bootstrap(memory).ensure()
    assert (await memory.object(key))["spec"] == spec
    assert (await memory.object(key))["metadata"]["generation"] == 2


async def test_two_servers_share_the_endpoints_and_one_leaves() -> None:
    memory = Memory()
    one, two = (
        bootstrap(memory),
        bootstrap(memory, system.Config("10.0.254.2", 6443, ["10.0.128.0/18"], hostname="vm2")),
    )
    await one.ensure()
    await two.ensure()

    async def addresses() -> list[str]:
        endpoints = (await memory.object("/registry/services/endpoints/default/kubernetes")).get("subsets", [])
        slices = (await memory.object("/registry/endpointslices/default/kubernetes"))["endpoints"]
        found = [a["ip"] for subset in endpoints for a in subset["addresses"]]
        assert found == list(itertools.chain(*(e["addresses"] for e in slices)))
        return found

    assert await addresses() == ["10.0.254.1", "10.0.254.2"]
    await two.withdraw()
    assert await addresses() == ["10.0.254.1"]
    await two.renew()
    memory.clock.time += 10
    await one.renew()
    memory.clock.time += 6  # the second one was killed and has not renewed its record
    await one.renew()
    assert await addresses() == ["10.0.254.1"]


async def test_the_lease_of_a_server_that_is_gone_is_forgotten() -> None:
    memory = Memory()
    one = bootstrap(memory)
    two = bootstrap(memory, system.Config("10.0.254.2", 6443, ["10.0.128.0/18"], hostname="vm2"))
    await one.ensure()
    await two.ensure()
    keys = [f"/registry/leases/kube-system/{system.server_id(name)}" for name in (CONFIG.hostname, "vm2")]
    memory.clock.time += 3599
    await one.renew()
    await one.forget_servers()
    assert set(keys) <= set(await memory.data())
    memory.clock.time += 2
    await one.forget_servers()
    assert set(keys) & set(await memory.data()) == {keys[0]}


async def test_endpoints_that_are_somebody_elses_are_left_alone() -> None:
    memory = Memory()
    config = system.Config("10.0.254.1", 6443, ["10.0.128.0/18"], reconcile_endpoints=False)
    await bootstrap(memory, config).ensure()
    await bootstrap(memory, config).withdraw()
    assert "/registry/services/endpoints/default/kubernetes" not in await memory.data()


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
    assert await memory.object("/registry/namespaces/kube-system")


def test_the_table_is_whole() -> None:
    found = facts.objects("2027-01-15T08:00:00Z")
    names = {(kind.plural, obj["metadata"]["name"]) for kind, obj in found}
    for name in ("cluster-admin", "admin", "edit", "view", "system:node", "system:controller:namespace-controller"):
        assert ("clusterroles", name) in names
    assert not any("openshift" in json.dumps(obj) for _, obj in found)
    assert any(rule["resources"] == ["pods"] for rule in facts.node_rules())


def test_server_id_is_upstreams() -> None:
    assert system.server_id("vm") == "apiserver-wlv32tlttr4jl3gtroqexyxapa"
