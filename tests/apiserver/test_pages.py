"""Pages for who looks for a fault: the index, /flagz, /statusz, and the tables of priority and fairness."""

from __future__ import annotations

import pytest

from tests.api_server import Api
from workshop.api import zpages
from workshop.api.errors import ApiError
from workshop.apiserver import options

OBJECT = "application/{};g=config.k8s.io;v={};as={}"


async def test_the_index_names_what_is_served(api: Api) -> None:
    paths = (await api("GET", "/")).json["paths"]
    for one in ("/api/v1", "/apis/apps/v1", "/readyz/ping", "/metrics", "/flagz", "/openapi/v3"):
        assert one in paths
    assert paths == sorted(paths)
    for one in paths:  # and each of them answers
        if "/poststarthook/" not in one:
            assert (await api("GET", one)).status in (200, 406), one


async def test_status_of_a_running_server(api: Api) -> None:
    text = (await api("GET", "/statusz")).body.decode()
    assert text.startswith("\napiserver statusz\nWarning: This endpoint is not meant to be machine parseable")
    assert "Binary version: 1.36.2\n" in text
    answer = await api("GET", "/statusz", accept=OBJECT.format("json", "v1beta1", "Statusz"))
    assert answer.headers["content-type"] == "application/json;g=config.k8s.io;v=v1beta1;as=Statusz"
    assert answer.json["paths"] == ["/flagz", "/healthz", "/livez", "/metrics", "/readyz", "/statusz", "/version"]


def test_flags_as_pflag_writes_them() -> None:
    needed = ["--etcd-servers=http://a:1,http://b:1", "--tls-cert-file=c", "--tls-private-key-file=k"]
    shown = options.parse([*needed, "--event-ttl=90m"]).shown
    page = zpages.flagz("apiserver", shown, "")
    lines = page.body.decode().splitlines()
    for line in (
        "etcd-servers=[http://a:1,http://b:1]", "event-ttl=1h30m0s", "anonymous-auth=true", "audit-policy-file=",
        "audit-webhook-initial-backoff=10s", "max-requests-inflight=400",
    ):  # fmt: skip
        assert line in lines
    old = zpages.flagz("apiserver", shown, OBJECT.format("yaml", "v1alpha1", "Flagz"))
    assert b"apiVersion: config.k8s.io/v1alpha1\n" in old.body and old.warning.startswith('299 - "This version')
    with pytest.raises(ApiError, match="only the following media types are accepted"):
        zpages.flagz("apiserver", shown, "application/json")


async def test_who_is_served_in_which_level(api: Api) -> None:
    folder = "/debug/api_priority_and_fairness"
    await api("GET", "/api/v1/namespaces/default")
    levels = (await api("GET", f"{folder}/dump_priority_levels")).body.decode().splitlines()
    assert {line.split(",")[0] for line in levels[1:]} >= {"exempt", "catch-all", "workload-low"}
    queues = (await api("GET", f"{folder}/dump_queues")).body.decode().splitlines()
    assert queues[0].split() == [
        "PriorityLevelName,", "Index,", "PendingRequests,", "ExecutingRequests,", "SeatsInUse,", "NextDispatchR,",
        "InitialSeatsSum,", "MaxSeatsSum,", "TotalWorkSum",
    ]  # fmt: skip
    requests = (await api("GET", f"{folder}/dump_requests?includeRequestDetails=1")).body.decode().splitlines()
    mine = requests[1].replace(" ", "").split(",")  # the question itself
    assert mine[0:2] == ["global-default", "global-default"] and mine[12] == f"{folder}/dump_requests"
    metrics = (await api("GET", "/metrics")).body.decode()
    labels = 'flow_schema="global-default",priority_level="global-default"'
    assert f"apiserver_flowcontrol_dispatched_requests_total{{{labels}}} " in metrics
    assert f"apiserver_flowcontrol_request_execution_seconds_count{{{labels}}} " in metrics
    await api("GET", "/readyz")
    assert 'kubernetes_healthcheck{name="ping",type="readyz"} 1' in (await api("GET", "/metrics/slis")).body.decode()
