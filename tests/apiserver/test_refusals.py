"""What the server refuses, and with which words: taken from a real kube-apiserver 1.36.2."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

Api = Callable[..., Awaitable[Any]]
MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
JOBS = "/apis/batch/v1/namespaces/default/jobs"
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"
NOT_ALLOWED = "the server does not allow this method on the requested resource"
TEMPLATE = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}
JOB = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j1"}, "spec": {"template": TEMPLATE}}


def config_map(name: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **more}, "data": {"a": "1"}}


# fmt: off
REFUSALS = [
    ("POST", f"{MAPS}/c1", config_map("c1"), "application/json", 405, NOT_ALLOWED),
    ("PUT", MAPS, config_map("c1"), "application/json", 405, NOT_ALLOWED),
    ("POST", "/api/v1/configmaps", config_map("c1"), "application/json", 405, NOT_ALLOWED),
    ("PUT", f"{MAPS}/c2", config_map("c1"), "application/json", 400,
     "the name of the object (c1) does not match the name on the URL (c2)"),
    ("PUT", f"{MAPS}/c1", config_map("c1", resourceVersion="abc"), "application/json", 500,
     'strconv.ParseUint: parsing "abc": invalid syntax'),
    ("PATCH", f"{MAPS}/c1", {}, "application/json", 415, "415: Unsupported Media Type"),
    ("PATCH", f"{MAPS}/c1", [1], MERGE, 400,
     "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"),
    ("PATCH", f"{MAPS}/c1?fieldManager=me", {**config_map("c1"), "foo": 1}, APPLY, 500,
     "failed to create typed patch object (/c1; /v1, Kind=ConfigMap): .foo: field not declared in schema"),
    ("POST", MAPS, "", "application/json", 400,
     "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; "
     "json parse error: unexpected end of JSON input (<empty>)"),
    ("POST", f"{MAPS}?dryRun=Foo", config_map("c3"), "application/json", 422,
     'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Foo"]: supported values: "All"'),
    ("GET", f"{PODS}?resourceVersion=abc", None, "", 400,
     'invalid resource version: resourceVersion: Invalid value: "abc": '
     'strconv.ParseUint: parsing "abc": invalid syntax'),
    ("GET", f"{PODS}/none", None, "", 404, 'pods "none" not found'),
]
# fmt: on


@pytest.mark.parametrize(("method", "target", "body", "content_type", "code", "message"), REFUSALS)
async def test_refusal(
    api: Api, method: str, target: str, body: Any, content_type: str, code: int, message: str
) -> None:
    assert (await api("POST", MAPS, config_map("c1"))).status == 201
    answer = await api(method, target, body, content_type)
    assert (answer.status, answer.json["message"]) == (code, message)
    assert answer.json["kind"] == "Status"


async def test_a_path_that_is_none_is_no_status(api: Api) -> None:
    answer = await api("GET", "/nope")
    assert (answer.status, answer.body) == (404, b"404 page not found\n")


async def test_elements_of_a_list_carry_no_kind(api: Api) -> None:
    await api("POST", MAPS, config_map("c1"))
    listed = (await api("GET", MAPS)).json
    assert listed["kind"] == "ConfigMapList"
    assert [(i["metadata"]["name"], "kind" in i) for i in listed["items"]] == [("c1", False)]


async def test_a_job_is_deleted_without_its_pods_and_the_client_is_warned(api: Api) -> None:
    made = (await api("POST", JOBS, JOB)).json
    assert made["metadata"]["labels"]["job-name"] == "j1"
    answer = await api("DELETE", f"{JOBS}/j1")
    assert answer.json["metadata"]["finalizers"] == ["orphan"]
    assert "child pods are preserved by default" in answer.headers["warning"]


async def test_a_deleted_service_is_answered_whole(api: Api) -> None:
    services = "/api/v1/namespaces/default/services"
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}
    assert (await api("POST", services, service)).status == 201
    assert (await api("DELETE", f"{services}/s")).json["kind"] == "Service"
