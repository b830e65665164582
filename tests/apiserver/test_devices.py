"""Who may ask for devices that are in use, and who may write which part of a claim's status. The sentences are those of
kube-apiserver 1.36.2."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.api_server import Api, assembled, caller, running, until

CLAIMS = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims"
TEMPLATES = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaimtemplates"
SLICES = "/apis/resource.k8s.io/v1/resourceslices"
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
GROUP = "rbac.authorization.k8s.io"
MERGE = "application/merge-patch+json"
ACCOUNT = "system:serviceaccount:default:driver"
JANE = {"impersonate_user": "jane"}
ON_NODE = {"impersonate_user": ACCOUNT, "impersonate-extra-authentication.kubernetes.io%2Fnode-name": "n1"}
ELSEWHERE = {"impersonate_user": ACCOUNT, "impersonate-extra-authentication.kubernetes.io%2Fnode-name": "n2"}


def claim(name: str, **exactly: Any) -> dict[str, Any]:
    requests = [{"name": "r", "exactly": {"deviceClassName": "c", **exactly}}]
    return {"metadata": {"name": name}, "spec": {"devices": {"requests": requests}}}


def told(driver: str) -> dict[str, str]:
    return {"driver": driver, "pool": "p", "device": "d"}


DRIVERS = ("any.example.com", "mine.example.com", "other.example.com")
NODE = [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]
ALLOCATION = {
    "devices": {"results": [{"request": "r", **told(driver)} for driver in DRIVERS]},
    "nodeSelector": {"nodeSelectorTerms": [{"matchFields": NODE}]},
}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """The API as an administrator sees it, who may speak as others."""
    tokens = tmp_path / "tokens.csv"
    tokens.write_text('t,admin,1,"system:masters"\n')
    async with running(assembled(authorization_mode=["RBAC"], token_auth_file=str(tokens))) as server:
        call = caller(server)

        async def as_admin(method: str, path: str, body: Any = None, content_type: str = MERGE, **more: str) -> Any:
            return await call(method, path, body, content_type, authorization="Bearer t", **more)

        yield as_admin


async def causes(api: Api, status: Any, **who: str) -> list[str]:
    answer = await api("PATCH", f"{CLAIMS}/c/status?dryRun=All", {"status": status}, MERGE, **who)
    return [f"{each['field']}: {each['message']}" for each in answer.json.get("details", {}).get("causes", [])]


async def test_devices_in_use_are_for_namespaces_with_a_label(api: Api) -> None:
    async def create(path: str, body: dict[str, Any]) -> Any:
        return await api("POST", path, body, "application/json")

    needed = "admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the"
    wanted = claim("c", adminAccess=True)
    for path, body in ((CLAIMS, wanted), (TEMPLATES, {"metadata": {"name": "t"}, "spec": {"spec": wanted["spec"]}})):
        refused = await create(path, body)
        assert [each["field"] for each in refused.json["details"]["causes"]] == ["spec.devices.requests[0].adminAccess"]
        assert needed in refused.json["message"]
    label = {"metadata": {"labels": {"resource.kubernetes.io/admin-access": "true"}}}
    await api("PATCH", "/api/v1/namespaces/default", label)
    assert (await create(CLAIMS, wanted)).status == 201


async def test_who_may_write_which_part_of_a_status(api: Api) -> None:
    rule = {"apiGroups": ["resource.k8s.io"], "resources": ["resourceclaims/driver"]}
    rules = [
        {"apiGroups": ["resource.k8s.io"], "resources": ["resourceclaims/status"], "verbs": ["patch"]},
        {**rule, "resourceNames": ["mine.example.com"], "verbs": ["associated-node:patch"]},
        {**rule, "resourceNames": ["any.example.com"], "verbs": ["arbitrary-node:patch"]},
    ]
    role = {"apiGroup": GROUP, "kind": "Role", "name": "w"}
    subjects = [
        {"kind": "User", "name": "jane", "apiGroup": GROUP},
        {"kind": "ServiceAccount", "name": "driver", "namespace": "default"},
    ]
    for path, body in (
        (f"{RBAC}/roles", {"metadata": {"name": "w"}, "rules": rules}),
        (f"{RBAC}/rolebindings", {"metadata": {"name": "w"}, "roleRef": role, "subjects": subjects}),
        (CLAIMS, claim("c")),
    ):
        assert (await api("POST", path, body, "application/json")).status == 201

    async def known_to_the_authorizer() -> bool:
        return bool((await api("PATCH", f"{CLAIMS}/c/status?dryRun=All", {}, MERGE, **JANE)).status != 403)

    await until(known_to_the_authorizer)
    assert await causes(api, {"allocation": ALLOCATION}, **JANE) == [
        "status.allocation: Forbidden: changing status.allocation or status.reservedFor requires "
        'resource="resourceclaims/binding", verb="patch" permission: resourceclaims.resource.k8s.io is forbidden: User '
        '"jane" cannot patch resource "resourceclaims/binding" in API group "resource.k8s.io" at the cluster scope'
    ]
    await api("PATCH", f"{CLAIMS}/c/status", {"status": {"allocation": ALLOCATION}})
    lead = 'status.devices: Forbidden: changing status.devices requires resource="resourceclaims/driver", verb="['

    async def refused(driver: str, **who: str) -> list[str]:
        found = await causes(api, {"devices": [told(driver)]}, **who)
        return [each.removeprefix(lead).partition(": User ")[0] for each in found]

    anywhere = 'arbitrary-node:patch]" permission: resourceclaims.resource.k8s.io "mine.example.com" is forbidden'
    assert await refused("mine.example.com", **JANE) == [anywhere]
    assert await refused("any.example.com", **JANE) == []
    assert await refused("mine.example.com", **ON_NODE) == []
    assert await refused("mine.example.com", **ELSEWHERE) == [anywhere]
    assert await refused("other.example.com", **ON_NODE) == [
        'associated-node:patch arbitrary-node:patch]" permission: resourceclaims.resource.k8s.io "other.example.com" '
        "is forbidden"
    ]


async def test_a_taint_knows_since_when_it_is_there_and_closed_gates_hide_lists(api: Api) -> None:
    device = {"name": "d", "taints": [{"key": "a", "effect": "None"}], "attributes": {"a": {"int": 1, "ints": [1]}}}
    spec = {"driver": "D.com", "pool": {"name": "p", "resourceSliceCount": 1}, "allNodes": True, "devices": [device]}
    made = await api("POST", SLICES, {"metadata": {"name": "s"}, "spec": spec}, "application/json")
    found = made.json["spec"]["devices"][0]
    assert found["taints"][0]["timeAdded"] == made.json["metadata"]["creationTimestamp"]
    assert found["attributes"] == {"a": {"int": 1}}
    assert "driver names should be lowercase" in made.headers["warning"]
