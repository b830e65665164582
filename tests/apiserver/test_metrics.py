"""/metrics, read by Prometheus' rules."""

from __future__ import annotations

import asyncio
import re

from tests.api_server import Api
from workshop.apiserver.handlers.etcd_times import EtcdTimes
from workshop.apiserver.handlers.metrics import Metrics

SAMPLE = re.compile(r'^([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\]|\\.)*",?)*)\})? (\S+)$')


async def samples(api: Api) -> dict[tuple[str, str], float]:
    answer = await api("GET", "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = {}
    for line in answer.body.decode().splitlines():
        if not line.startswith("#"):
            match = SAMPLE.match(line)
            assert match, line
            found[match[1], match[2] or ""] = float(match[3])
    return found


def labels(verb: str, resource: str, scope: str) -> str:
    return f'component="apiserver",verb="{verb}",group="",version="v1",resource="{resource}",subresource="",scope="{scope}"'


async def test_requests_are_counted_by_verb_resource_and_code(api: Api) -> None:
    body = {"metadata": {"name": "m"}}
    await api("POST", "/api/v1/namespaces/default/configmaps", body)
    await api("POST", "/api/v1/namespaces/default/configmaps", body)
    await api("GET", "/api/v1/namespaces/default/configmaps/m")
    await api("GET", "/api/v1/configmaps")
    found = await samples(api)
    created = labels("POST", "configmaps", "namespace")
    assert found["apiserver_request_total", f'{created},code="201"'] == 1
    assert found["apiserver_request_total", f'{created},code="409"'] == 1
    assert found["apiserver_request_duration_seconds_count", created] == 2
    assert found["apiserver_request_duration_seconds_bucket", f'{created},le="+Inf"'] == 2
    assert found["apiserver_request_total", f'{labels("GET", "configmaps", "resource")},code="200"'] == 1
    assert found["apiserver_request_total", f'{labels("LIST", "configmaps", "cluster")},code="200"'] == 1
    assert found["apiserver_storage_objects", 'resource="configmaps"'] >= 1
    assert found["apiserver_current_inflight_requests", 'request_kind="mutating"'] == 0
    assert found["process_resident_memory_bytes", ""] > 1_000_000


async def test_buckets_rise(api: Api) -> None:
    for _ in range(3):
        await api("GET", "/api/v1/namespaces/default")
    found = await samples(api)
    wanted = labels("GET", "namespaces", "resource")
    rising = [n for (name, key), n in found.items() if name.endswith("seconds_bucket") and key.startswith(wanted)]
    assert rising == sorted(rising) and rising[-1] == 3


async def test_a_watch_is_long_running_while_it_lasts(api: Api) -> None:
    watch = asyncio.ensure_future(api("GET", "/api/v1/namespaces/default/pods?watch=1"))
    await asyncio.sleep(0)
    wanted = ("apiserver_longrunning_requests", labels("WATCH", "pods", "namespace"))
    assert (await samples(api))[wanted] == 1
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)
    assert (await samples(api))[wanted] == 0


async def test_a_hostile_path_cannot_write_lines_of_its_own(api: Api) -> None:
    await api("GET", '/api/v1/namespaces/default/po"ds\n{x="y"} 7')
    await samples(api)


async def test_what_dashboards_ask_for(api: Api) -> None:
    await api("GET", "/api/v1/namespaces/default")
    await api("GET", "/api/v1/namespaces/default/endpoints")
    found = await samples(api)
    asked = labels("GET", "namespaces", "resource")
    assert found["apiserver_request_sli_duration_seconds_count", asked] == 1
    assert found["apiserver_request_sli_duration_seconds_bucket", f'{asked},le="60"'] == 1
    assert found["authentication_attempts", 'result="success"'] >= 2
    assert found["aggregator_unavailable_apiservice", 'name="v1.apps"'] == 0
    deprecated = 'group="",removed_release="",resource="endpoints",subresource="",version="v1"'
    assert found["apiserver_requested_deprecated_apis", deprecated] == 1
    assert ("apiserver_storage_size_bytes", 'storage_cluster_id="etcd-0"') in found
    assert found["process_max_fds", ""] > 0 and found["process_start_time_seconds", ""] > 1_700_000_000


def test_how_long_etcd_takes() -> None:
    metrics = Metrics(list, "v1.36.2")
    times = EtcdTimes(metrics)
    times.observe("get", "/registry/minions/n1", 0.004, True)
    times.observe("list", "/registry/services/specs/", 0.3, True)
    times.observe("create", "/registry/example.com/things/default/a", 0.01, False)
    text = metrics.text()
    for line in (
        'etcd_request_duration_seconds_bucket{group="",operation="get",resource="nodes",le="0.005"} 1',
        'etcd_requests_total{group="",operation="list",resource="services"} 1',
        'etcd_request_errors_total{group="",operation="create",resource="things"} 1',
    ):
        assert line in text.splitlines()
