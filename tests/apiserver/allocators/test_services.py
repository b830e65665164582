"""Addresses and ports of Services: taken once, given back, correct under dry run and failure."""

from __future__ import annotations

import asyncio
import copy
import json
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.virtual_clock import StillClock
from workshop.api.errors import ApiError
from workshop.apiserver.allocators import families
from workshop.apiserver.allocators.bands import pick, static_band
from workshop.apiserver.allocators.ports import pack, unpack
from workshop.apiserver.allocators.services import ServiceAllocator
from workshop.apiserver.storage.memory import MemoryStorage

IPS = "/registry/ipaddresses/"


class Store(MemoryStorage):
    async def ips(self) -> set[str]:
        return {kv.key.removeprefix(IPS) for kv in (await self.list(IPS)).items}

    async def keep(self, service: dict[str, Any]) -> None:
        meta = service["metadata"]
        key = f"/registry/services/specs/{meta['namespace']}/{meta['name']}"
        await self.create(key, json.dumps(service).encode())

    async def lose(self, ip: str) -> None:
        found = await self.get(IPS + ip)
        assert found is not None
        await self.delete(IPS + ip, found.mod_revision)


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    ports = spec.pop("ports", [{"port": 80, "protocol": "TCP"}])
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"type": "ClusterIP", "ports": ports, "selector": {"app": name}, **spec},
    }


class Cluster:
    def __init__(self, *ranges: str, ports: tuple[int, int] = (30000, 32767), store: Store | None = None) -> None:
        self.store = store or Store()
        self.clock = StillClock()
        self.allocator = ServiceAllocator(ranges or ["10.96.0.0/16"], ports, self.store, self.clock, Random(1))

    async def create(self, obj: dict[str, Any], dry_run: bool = False) -> dict[str, Any]:
        families.prepare(obj, None)
        await (await self.allocator.begin_create(obj, dry_run)).commit()
        return obj

    async def update(self, old: dict[str, Any], **spec: Any) -> dict[str, Any]:
        """Spec fields to set; None removes one."""
        new = copy.deepcopy(old)
        new["spec"] = {k: v for k, v in {**new["spec"], **spec}.items() if v is not None}
        families.prepare(new, old)
        await (await self.allocator.begin_update(new, old)).commit()
        return new

    async def refused(self, obj: dict[str, Any]) -> str:
        before = (await self.store.ips(), set(self.allocator.ports.used))
        with pytest.raises(ApiError) as e:
            await self.create(obj)
        assert (await self.store.ips(), self.allocator.ports.used) == before
        return e.value.message


async def test_a_plain_service_gets_an_address() -> None:
    cluster = Cluster()
    spec = (await cluster.create(service()))["spec"]
    assert spec["clusterIPs"] == [spec["clusterIP"]] and await cluster.store.ips() == {spec["clusterIP"]}
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
    found = await cluster.store.get(IPS + spec["clusterIP"])
    assert found is not None
    stored = json.loads(found.value)
    assert stored["spec"]["parentRef"] == {"group": "", "resource": "services", "namespace": "default", "name": "web"}


async def test_a_named_address_is_given_once() -> None:
    cluster = Cluster()
    await cluster.create(service(clusterIP="10.96.0.7"))
    assert await cluster.refused(service("db", clusterIP="10.96.0.7")) == (
        'Service "db" is invalid: spec.clusterIPs: Invalid value: ["10.96.0.7"]: '
        "failed to allocate IP 10.96.0.7: provided IP is already allocated"
    )
    for outside in ("10.97.0.1", "10.96.0.0", "10.96.255.255"):
        assert (await cluster.refused(service("db", clusterIP=outside))).endswith(
            f"failed to allocate IP {outside}: the provided network does not match the current range"
        )


async def test_headless_and_alias_hold_no_address() -> None:
    cluster = Cluster()
    headless = (await cluster.create(service(clusterIP="None")))["spec"]
    assert (headless["clusterIPs"], headless["ipFamilies"]) == (["None"], ["IPv4"])
    bare = (await cluster.create(service("bare", clusterIP="None", selector=None)))["spec"]
    assert (bare["ipFamilies"], bare["ipFamilyPolicy"]) == (["IPv4", "IPv6"], "RequireDualStack")
    alias = (await cluster.create(service("alias", type="ExternalName", externalName="a.b")))["spec"]
    assert "clusterIP" not in alias and "ipFamilies" not in alias
    assert await cluster.store.ips() == set()


async def test_families_that_the_cluster_has_not() -> None:
    cluster = Cluster()
    assert (await cluster.refused(service(ipFamilyPolicy="RequireDualStack"))).endswith(
        'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services'
    )
    assert (await cluster.refused(service(ipFamilies=["IPv6"]))).endswith(
        'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'
    )
    assert (await cluster.create(service(ipFamilyPolicy="PreferDualStack")))["spec"]["ipFamilies"] == ["IPv4"]


async def test_dual_stack() -> None:
    cluster = Cluster("10.96.0.0/16", "fd00::/108")
    spec = (await cluster.create(service(ipFamilyPolicy="PreferDualStack")))["spec"]
    assert spec["ipFamilies"] == ["IPv4", "IPv6"] and len(await cluster.store.ips()) == 2
    assert spec["clusterIPs"][1].startswith("fd00::")


async def test_node_ports() -> None:
    cluster = Cluster()
    ports = [{"name": "t", "port": 53, "protocol": "TCP"}, {"name": "u", "port": 53, "protocol": "UDP"}, {"port": 80}]
    spec = (await cluster.create(service(type="NodePort", ports=ports)))["spec"]
    numbers = [p["nodePort"] for p in spec["ports"]]
    assert numbers[0] == numbers[1] != numbers[2]
    assert cluster.allocator.ports.used == set(numbers)
    taken = [{"port": 1, "nodePort": numbers[2]}]
    assert await cluster.refused(service("db", type="NodePort", ports=taken)) == (
        f'Service "db" is invalid: spec.ports[0].nodePort: Invalid value: {numbers[2]}: provided port is already allocated'
    )
    low = [{"port": 1, "nodePort": 29999}]
    assert (await cluster.refused(service("db", type="NodePort", ports=low))).endswith(
        "provided port is not in the valid range. The range of valid ports is 30000-32767"
    )


async def test_load_balancer_with_health_check_port() -> None:
    cluster = Cluster()
    spec = (await cluster.create(service(type="LoadBalancer", externalTrafficPolicy="Local")))["spec"]
    assert {spec["healthCheckNodePort"], spec["ports"][0]["nodePort"]} == cluster.allocator.ports.used
    quiet = service("quiet", type="LoadBalancer", allocateLoadBalancerNodePorts=False)
    assert "nodePort" not in (await cluster.create(quiet))["spec"]["ports"][0]


async def test_dry_run_takes_nothing_and_still_sees_conflicts() -> None:
    cluster = Cluster()
    spec = (await cluster.create(service(type="NodePort"), dry_run=True))["spec"]
    assert spec["clusterIP"] and spec["ports"][0]["nodePort"]
    assert await cluster.store.ips() == set() and cluster.allocator.ports.used == set()
    await cluster.create(service(clusterIP="10.96.0.7"))
    with pytest.raises(ApiError, match="provided IP is already allocated"):
        await cluster.create(service("db", clusterIP="10.96.0.7"), dry_run=True)


async def test_rollback_of_a_failed_write() -> None:
    cluster = Cluster()
    obj = service(type="NodePort")
    families.prepare(obj, None)
    transaction = await cluster.allocator.begin_create(obj)
    assert await cluster.store.ips() and cluster.allocator.ports.used
    await transaction.rollback()
    assert await cluster.store.ips() == set() and cluster.allocator.ports.used == set()


async def test_types_change_and_give_back() -> None:
    cluster = Cluster()
    first = await cluster.create(service(type="NodePort"))
    second = await cluster.update(first, type="ClusterIP")
    assert cluster.allocator.ports.used == set() and "nodePort" not in second["spec"]["ports"][0]
    assert second["spec"]["clusterIP"] == first["spec"]["clusterIP"]
    third = await cluster.update(second, type="ExternalName", externalName="a.b")
    assert await cluster.store.ips() == set()
    assert not {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"} & third["spec"].keys()
    fourth = await cluster.update(third, type="NodePort")
    assert await cluster.store.ips() == {fourth["spec"]["clusterIP"]}
    await cluster.allocator.after_delete(fourth)
    assert await cluster.store.ips() == set() and cluster.allocator.ports.used == set()


async def test_update_that_names_nothing_keeps_what_it_has() -> None:
    cluster = Cluster()
    old = await cluster.create(service(type="NodePort"))
    bare = [{"port": 80, "protocol": "TCP"}, {"name": "x", "port": 81, "protocol": "TCP"}]
    new = await cluster.update(old, clusterIP=None, clusterIPs=None, ports=bare)
    assert new["spec"]["clusterIP"] == old["spec"]["clusterIP"]
    assert new["spec"]["ports"][0]["nodePort"] == old["spec"]["ports"][0]["nodePort"]
    assert cluster.allocator.ports.used == {p["nodePort"] for p in new["spec"]["ports"]}


async def test_full_ranges() -> None:
    cluster = Cluster("10.0.0.0/30", ports=(30000, 30000))
    await cluster.create(service("a", type="NodePort"))
    await cluster.create(service("b"))
    assert "failed to allocate a serviceIP" in await cluster.refused(service("c"))
    other = Cluster(ports=(30000, 30000))
    await other.create(service("a", type="NodePort"))
    assert "failed to allocate a nodePort: range is full" in await other.refused(service("b", type="NodePort"))


async def test_repair_at_start() -> None:
    cluster = Cluster()
    lost = await cluster.create(service("lost", type="NodePort"))
    orphan = await cluster.create(service("orphan"))
    await cluster.store.keep(lost)
    await cluster.store.lose(lost["spec"]["clusterIP"])
    fresh = Cluster(store=cluster.store)  # after a restart
    await fresh.allocator.repair()
    assert orphan["spec"]["clusterIP"] in await fresh.store.ips()  # its Service may just be on its way
    fresh.clock.time += 61
    await fresh.allocator.repair()
    assert await fresh.store.ips() == {lost["spec"]["clusterIP"]}
    assert orphan["spec"]["clusterIP"] not in await fresh.store.ips()
    assert fresh.allocator.ports.used == {lost["spec"]["ports"][0]["nodePort"]}


async def test_another_server_took_the_address() -> None:
    cluster = Cluster("10.0.0.0/30")
    await cluster.store.create(IPS + "10.0.0.1", b"{}")  # this process has not heard of it
    assert (await cluster.create(service()))["spec"]["clusterIP"] == "10.0.0.2"


def test_bands() -> None:
    assert [static_band(n, 16, 256, 16) for n in (4, 16, 254, 65534)] == [0, 0, 16, 256]
    assert static_band(2768, 16, 128, 32) == 86


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(0, 10), st.sets(st.integers(0, 40)), st.randoms(use_true_random=False))
def test_pick_finds_a_free_number_whenever_there_is_one(size: int, band: int, used: set[int], random: Random) -> None:
    number = pick(0, size - 1, band, used, random)
    free = set(range(size)) - used
    assert number in free if free else number is None
    if free & set(range(band, size)):
        assert number is not None and number >= band  # the static band is left alone


async def test_two_servers_never_give_away_the_same_node_port() -> None:
    """Each has its own idea of what is taken; the record in the store decides."""
    one, ports = Cluster(ports=(30000, 30019)), []
    two = Cluster(ports=(30000, 30019), store=one.store)
    for number in range(10):
        made = await asyncio.gather(
            one.create(service(f"a{number}", type="NodePort")), two.create(service(f"b{number}", type="NodePort"))
        )
        ports += [obj["spec"]["ports"][0]["nodePort"] for obj in made]
    assert sorted(ports) == list(range(30000, 30020))
    for cluster in (one, two):
        with pytest.raises(ApiError, match="range is full"):
            await cluster.create(service("c", type="NodePort"))
    await two.allocator.ports.release([30007])
    assert (await one.create(service("c", type="NodePort")))["spec"]["ports"][0]["nodePort"] == 30007


async def test_a_named_port_that_another_server_took_or_gave_back() -> None:
    one = Cluster()
    two = Cluster(store=one.store)
    named = [{"port": 80, "protocol": "TCP", "nodePort": 31000}]
    held = await one.create(service("a", type="NodePort", ports=copy.deepcopy(named)))
    for dry_run in (True, False):
        with pytest.raises(ApiError, match="provided port is already allocated"):
            await two.create(service("b", type="NodePort", ports=copy.deepcopy(named)), dry_run=dry_run)
    await one.allocator.after_delete(held)
    await two.create(service("b", type="NodePort", ports=copy.deepcopy(named)))


async def test_a_leaked_node_port_is_freed_by_the_fourth_repair() -> None:
    cluster = Cluster()
    await cluster.allocator.ports.allocate(30100)
    for _ in range(3):
        await cluster.allocator.repair()
        assert cluster.allocator.ports.used == {30100}
    await cluster.allocator.repair()
    assert cluster.allocator.ports.used == set()


@given(st.sets(st.integers(30000, 32767)))
def test_the_record_says_which_ports_are_taken(used: set[int]) -> None:
    assert unpack(pack(30000, 32767, used)) == used
