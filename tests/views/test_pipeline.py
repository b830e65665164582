"""Requests on their way through kube-apiserver, as its trace lines tell."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api_server import caller, running
from workshop import trace
from workshop.clock import SYSTEM
from workshop.views.glass import said, steps
from workshop.views.pipeline import KEPT, Passage, Pipeline

PODS = "/api/v1/namespaces/default/pods"
POD = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "b"}]}}


@pytest.fixture
def pipeline() -> Iterator[Pipeline]:
    """It hears what a server in this process tells."""
    made = Pipeline()

    def hear(event: str, fields: dict[str, Any]) -> None:
        made.hear({"event": event, "at": SYSTEM.now(), **fields})

    trace.install(hear)
    yield made
    trace.install(None)


async def asked(*requests: tuple[str, str, Any]) -> None:
    async with running() as server:
        call = caller(server)
        await call("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
        watch = asyncio.ensure_future(call("GET", f"{PODS}?watch=1&resourceVersion=0"))
        await asyncio.sleep(0)
        for number, (method, path, body) in enumerate(requests):
            await call(method, path, body, audit_id=str(number))
        await call("GET", f"{PODS}?limit=1")  # by now the watch has been told
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


async def test_a_write_passes_all_stations_and_its_watchers_are_known(pipeline: Pipeline) -> None:
    await asked(("POST", PODS, POD))
    passage = pipeline.requests["0"]
    assert (passage.code, passage.stopped, passage.verb, passage.resource) == (201, "", "create", "pods")
    assert {step.link for step in passage.steps} == set(passage.stations) - {"answer"}
    assert passage.revision > 0
    assert [who for who, _ in passage.told] == ["test"]
    assert not passage.noise
    assert passage.to_json()["steps"][0]["link"] == "authentication"


async def test_where_a_request_was_stopped_and_why(pipeline: Pipeline) -> None:
    await asked(
        ("POST", PODS, {**POD, "spec": {"containers": []}}),
        ("POST", PODS, b"{"),
        ("GET", f"{PODS}/nobody", None),
        ("POST", "/api/v1/namespaces/nowhere/pods", POD),
    )
    stopped = [(pipeline.requests[str(n)].stopped, pipeline.requests[str(n)].reason) for n in range(4)]
    assert [station for station, _ in stopped] == ["validation", "decoding", "read", "mutating admission"]
    assert "spec.containers: Required value" in stopped[0][1]
    assert 'namespaces "nowhere" not found' in stopped[3][1]


def line(event: str, request: str = "1", **fields: Any) -> dict[str, Any]:
    return {"event": event, "at": 100.0, "request": request, **fields}


def begun(pipeline: Pipeline, request: str = "1", **fields: Any) -> Passage:
    asked = {"method": "GET", "path": "/api/v1/pods", "verb": "list", "resource": "pods", "subresource": "",
             "agent": "kubectl/v1.36.2 (linux/amd64)", **fields}  # fmt: skip
    found = pipeline.hear(line("apiserver.request", request, **asked))
    assert found is not None
    return found


def test_a_refusal_by_decision() -> None:
    pipeline = Pipeline()
    passage = begun(pipeline)
    pipeline.hear(line("apiserver.link", link="authorization", micros=5, decision="no opinion", reason=""))
    pipeline.hear(line("apiserver.answer", code=403, micros=50))
    assert (passage.stopped, passage.reason, passage.agent) == ("authorization", "nothing allows it", "kubectl")


def test_a_refusal_behind_the_links_is_the_answers() -> None:
    pipeline = Pipeline()
    passage = begun(pipeline)
    pipeline.hear(line("apiserver.answer", code=409, micros=50, message='{"kind":"Status","message":"changed"}'))
    assert (passage.stopped, passage.reason) == ("answer", "changed")


def test_the_hum_of_a_cluster_is_told_apart() -> None:
    pipeline = Pipeline()
    assert begun(pipeline, "1", resource="leases", verb="update").noise
    assert begun(pipeline, "2", verb="watch").noise
    assert begun(pipeline, "3", resource="").noise
    assert not begun(pipeline, "4").noise


def test_only_the_newest_are_kept_and_lines_of_others_are_no_error() -> None:
    pipeline = Pipeline()
    for number in range(KEPT + 10):
        begun(pipeline, str(number))
    assert len(pipeline.requests) == KEPT
    assert pipeline.hear(line("apiserver.link", "0", link="etcd", micros=1)) is None
    assert pipeline.hear({"event": "scheduler.bound", "at": 1.0}) is None
    assert pipeline.hear(line("apiserver.watch", agent="x/1", revisions=[7])) is None


def test_the_text_form_has_a_line_for_each_link() -> None:
    pipeline = Pipeline()
    passage = begun(pipeline)
    pipeline.hear(line("apiserver.link", link="authentication", micros=5, user="jane", groups=["a"]))
    pipeline.hear(
        line("apiserver.link", link="mutating admission", plugin="Priority", micros=5, changed=["spec.priority"])
    )
    assert steps(passage).row_count == 2
    assert said(passage.steps[1].told) == "changed spec.priority"
