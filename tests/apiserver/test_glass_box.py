"""What the server tells of a request while somebody listens: each link it passed, what that decided, how long it took."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api_server import Api
from workshop import trace
from workshop.apiserver.glass import changed

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p"},
    "spec": {"containers": [{"name": "a", "image": "b"}]},
}
PODS = "/api/v1/namespaces/default/pods"
Told = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def told() -> Iterator[Told]:
    lines: Told = []
    trace.install(lambda event, fields: lines.append((event, dict(fields))))
    yield lines
    trace.install(None)


def links(told: Told, request: str) -> list[dict[str, Any]]:
    return [fields for event, fields in told if event == "apiserver.link" and fields["request"] == request]


async def test_a_creation_passes_every_link_in_order(api: Api, told: Told) -> None:
    assert (await api("POST", PODS, POD, audit_id="one")).status == 201
    steps = links(told, "one")
    order = list(dict.fromkeys(step["link"] for step in steps))
    assert order == [
        "authentication", "impersonation", "flow control", "authorization", "decoding", "defaulting",
        "mutating admission", "validation", "validating admission", "etcd",
    ]  # fmt: skip
    assert all(step["micros"] >= 0 for step in steps)
    by_plugin = {step.get("plugin"): step for step in steps if step["link"] == "mutating admission"}
    assert "spec.serviceAccountName" in by_plugin["ServiceAccount"]["changed"]
    assert "spec.restartPolicy" in next(s for s in steps if s["link"] == "defaulting")["changed"]
    etcd = steps[-1]
    assert etcd["key"] == "/registry/pods/default/p"
    assert etcd["revision"] > 0
    answer = next(fields for event, fields in told if event == "apiserver.answer" and fields["request"] == "one")
    assert answer["code"] == 201
    assert answer["micros"] >= sum(step["micros"] for step in steps)


async def test_a_refused_request_stops_at_its_link_with_the_reason(api: Api, told: Told) -> None:
    bad = {**POD, "spec": {"containers": []}}
    assert (await api("POST", PODS, bad, audit_id="two")).status == 422
    last = links(told, "two")[-1]
    assert (last["link"], last["code"]) == ("validation", 422)
    assert "spec.containers: Required value" in last["error"]


async def test_requests_at_the_same_time_are_told_apart(api: Api, told: Told) -> None:
    import asyncio

    await asyncio.gather(
        *(api("GET", f"/api/v1/namespaces/{name}", audit_id=name) for name in ("default", "kube-system"))
    )
    asked = {fields["request"]: fields for event, fields in told if event == "apiserver.request"}
    assert {request: fields["name"] for request, fields in asked.items()} == {
        "default": "default", "kube-system": "kube-system",
    }  # fmt: skip
    assert all(step["link"] != "etcd" for step in links(told, "default"))


async def test_without_a_listener_nothing_is_told(api: Api) -> None:
    assert not trace.enabled()
    with trace.step("x") as told:
        told["a"] = 1
    assert (await api("POST", PODS, POD)).status == 201


@pytest.mark.parametrize(
    ("before", "after", "paths"),
    [
        ({}, {}, []),
        ({"a": 1}, {"a": 1, "b": {"c": 2}}, ["b"]),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ["a.b"]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, ["a[0].b"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a"]),
        ({"a": 1}, {}, ["a"]),
    ],
)
def test_changed(before: Any, after: Any, paths: list[str]) -> None:
    assert changed(before, after) == paths
