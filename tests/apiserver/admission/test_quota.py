"""ResourceQuota: what counts, what is charged, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from workshop.api.errors import ApiError
from workshop.api.resources import all_resources, resource
from workshop.apiserver.admission.quota_usage import in_scope, kinds_of, usage
from workshop.apiserver.admission.resource_quota import ResourceQuota

NOW = 1_800_000_000.0


def pod(name: str = "web", cpu: str = "", **spec: Any) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "c"}
    if cpu:
        container["resources"] = {"requests": {"cpu": cpu}}
    return {"metadata": {"name": name}, "spec": {"containers": [container], **spec}}


def quota(context: Any, hard: dict[str, str], **spec: Any) -> None:
    context.add("resourcequotas", "q", "default", spec={"hard": hard, **spec})


def used(context: Any) -> dict[str, str]:
    status: dict[str, str] = context.objects["resourcequotas", "default", "q"]["status"]["used"]
    return status


async def create(context: Any, plugin: ResourceQuota, request: Any) -> None:
    """Admit, and store as the registry would."""
    await plugin.validate(request)
    name = request.object["metadata"]["name"]
    context.objects[request.resource.group_resource, request.namespace, name] = request.object


async def refused(plugin: ResourceQuota, request: Any) -> str:
    with pytest.raises(ApiError) as e:
        await plugin.validate(request)
    assert e.value.code == 403
    return e.value.message


async def test_counts_up_to_the_limit(context: Any, request_for: Any) -> None:
    quota(context, {"pods": "2", "count/pods": "5"})
    plugin = ResourceQuota(context)
    for name in ("a", "b"):
        await create(context, plugin, request_for("pods", pod(name)))
    assert used(context) == {"pods": "2", "count/pods": "2"}
    assert await refused(plugin, request_for("pods", pod("c"))) == (
        'pods "c" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2'
    )


async def test_what_was_deleted_is_free_again(context: Any, request_for: Any) -> None:
    quota(context, {"pods": "1"})
    plugin = ResourceQuota(context)
    await create(context, plugin, request_for("pods", pod("a")))
    del context.objects["pods", "default", "a"]
    context.clock.time += 6
    await create(context, plugin, request_for("pods", pod("b")))
    assert used(context) == {"pods": "1"}


async def test_two_writes_under_way_share_no_room(context: Any, request_for: Any) -> None:
    quota(context, {"pods": "1"})
    plugin = ResourceQuota(context)
    await plugin.validate(request_for("pods", pod("a")))  # admitted, not stored yet
    assert "exceeded quota" in await refused(plugin, request_for("pods", pod("b")))


async def test_amounts_and_containers_that_name_none(context: Any, request_for: Any) -> None:
    quota(context, {"requests.cpu": "1"})
    plugin = ResourceQuota(context)
    await create(context, plugin, request_for("pods", pod("a", "600m")))
    assert await refused(plugin, request_for("pods", pod("b", "500m"))) == (
        'pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, limited: requests.cpu=1'
    )
    assert await refused(plugin, request_for("pods", pod("b"))) == (
        'pods "b" is forbidden: failed quota: q: must specify requests.cpu for: c'
    )


async def test_dry_run_charges_nothing(context: Any, request_for: Any) -> None:
    quota(context, {"configmaps": "1"})
    await ResourceQuota(context).validate(request_for("configmaps", {"metadata": {"name": "a"}}, dry_run=True))
    assert "status" not in context.objects["resourcequotas", "default", "q"]


async def test_update_is_charged_by_what_it_adds(context: Any, request_for: Any) -> None:
    def service(kind: str) -> dict[str, Any]:
        return {"metadata": {"name": "s"}, "spec": {"type": kind, "ports": [{"port": 80}, {"port": 81}]}}

    quota(context, {"services": "1", "services.nodeports": "1"})
    plugin = ResourceQuota(context)
    await create(context, plugin, request_for("services", service("ClusterIP")))
    change = request_for("services", service("NodePort"), "UPDATE", old=service("ClusterIP"))
    assert (
        "requested: services.nodeports=2, used: services.nodeports=0, limited: services.nodeports=1"
        in await refused(plugin, change)
    )


async def test_scopes(context: Any, request_for: Any) -> None:
    quota(context, {"pods": "0"}, scopes=["BestEffort"])
    plugin = ResourceQuota(context)
    await plugin.validate(request_for("pods", pod("a", "1")))
    await plugin.validate(request_for("configmaps", {"metadata": {"name": "x"}}))
    assert "exceeded quota" in await refused(plugin, request_for("pods", pod("b")))


def test_priority_class_scope() -> None:
    term = {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}
    quota = {"spec": {"scopeSelector": {"matchExpressions": [term]}}}
    assert in_scope(quota, resource("pods"), pod(priorityClassName="high"))
    assert not in_scope(quota, resource("pods"), pod(priorityClassName="low"))
    assert not in_scope(quota, resource("pods"), pod())


def test_ended_pods_are_only_objects() -> None:
    done = {**pod("a", "1"), "status": {"phase": "Succeeded"}}
    assert set(usage(resource("pods"), done, NOW)) == {"count/pods"}
    assert {"pods", "cpu", "requests.cpu", "count/pods"} <= set(usage(resource("pods"), pod("a", "1"), NOW))


def test_claims_by_their_class() -> None:
    claim = {
        "metadata": {"name": "c"},
        "spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}},
    }
    found = usage(resource("persistentvolumeclaims"), claim, NOW)
    assert str(found["requests.storage"]) == str(found["fast.storageclass.storage.k8s.io/requests.storage"]) == "1Gi"


def test_kinds_that_a_quota_concerns() -> None:
    names = {"requests.storage", "count/deployments.apps", "secrets"}
    assert {k.group_resource for k in kinds_of(names, all_resources())} == {
        "persistentvolumeclaims", "deployments.apps", "secrets",
    }  # fmt: skip
