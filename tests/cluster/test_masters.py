"""Three masters: any one of their programs may be killed, and the cluster goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os

import pytest

from tests.cluster.storm import storm
from workshop.api.errors import ApiError, is_already_exists
from workshop.api.resources import resource
from workshop.client.rest import Client
from workshop.cluster.facade import Cluster
from workshop.cluster.leaders import leaders

pytestmark = pytest.mark.cluster


async def create(cluster: Cluster, name: str) -> None:
    client = Client.from_kubeconfig(str(cluster.kubeconfig()))
    try:
        await client.create(resource("configmaps"), {"metadata": {"name": name}}, "default")
    finally:
        await client.close()


async def sooner_or_later(cluster: Cluster, name: str) -> None:
    """What was on its way to a process that went may be lost; what comes afterwards goes elsewhere."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await create(cluster, name)
            except ApiError as error:
                if is_already_exists(error):
                    return None
                assert error.code >= 500, error
            except OSError:
                pass
            await asyncio.sleep(0.1)


async def leading(cluster: Cluster) -> str:
    """The member of etcd that leads, once one does: an election may be going on."""
    async with asyncio.timeout(60):
        while True:
            running = [row["name"] for row in cluster.ps() if row["state"] == "running"]
            found = leaders(cluster.plan(), cluster.layout, running)
            leader = next((name for name, leads in found.items() if leads and name.startswith("etcd")), None)
            if leader is not None:
                return leader
            await asyncio.sleep(0.1)


async def test_writes_go_on_when_a_masters_etcd_is_killed(home):
    cluster = Cluster(f"masters-{os.getpid()}")
    try:
        cluster.up(masters=3, nodes=0, mode="plain")
        told = await storm(cluster, writers=50, goal=1, kills=2)
        assert told["conflicts"] and sum(told["breaks"]), "fifty writers met, and somebody noticed the kills"
        await create(cluster, "before")
        first = await leading(cluster)
        cluster.kill(first)
        await create(cluster, "after")  # waits for the election, and is not refused
        cluster.stop("kube-apiserver-master-1")
        await sooner_or_later(cluster, "elsewhere")
        first = await leading(cluster)  # the one that was killed may have been back before anybody missed it
        cluster.stop(first)
        await sooner_or_later(cluster, "without")
        assert await leading(cluster) != first
        rows = {row["name"]: row["state"] for row in cluster.ps()}
        assert rows["kube-apiserver-master-1"] == "stopped" and rows["load-balancer"] == "running"
    finally:
        with contextlib.suppress(Exception):
            cluster.down(purge=True)
