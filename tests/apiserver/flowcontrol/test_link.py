"""A server whose seats are taken."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api_server import Api
from tests.virtual_clock import VirtualClock
from workshop.apiserver.assembly import ApiServer
from workshop.apiserver.flowcontrol.control import Control
from workshop.apiserver.flowcontrol.follow import with_condition
from workshop.apiserver.flowcontrol.link import FlowControl, RetryAfter
from workshop.apiserver.interfaces import UserInfo
from workshop.apiserver.server.http import Request, Response
from workshop.apiserver.server.info import RequestInfo

SCHEMAS = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas"
RULE = {
    "subjects": [{"kind": "Group", "group": {"name": "system:unauthenticated"}}],
    "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True,
                       "namespaces": ["*"]}],
}  # fmt: skip


def request(path: str = "/api/v1/pods", verb: str = "list") -> Request:
    async def silent(*_: Any) -> Any:
        return {"type": "http.disconnect"}

    made = Request({"type": "http", "path": path, "headers": [], "query_string": b""}, silent, silent)
    made.user = UserInfo("jane", groups=("system:authenticated",))
    made.info = RequestInfo(verb, path, True, "", "v1", "", "pods")
    return made


def level(queues: int) -> Any:
    response = {"type": "Queue", "queuing": {"queues": queues, "handSize": 1, "queueLengthLimit": 1}}
    limited = {"nominalConcurrencyShares": 5, "limitResponse": response if queues else {"type": "Reject"}}
    return {"metadata": {"name": "catch-all", "uid": "level"}, "spec": {"type": "Limited", "limited": limited}}


class Slow:
    """A handler that works until it is told to end."""

    def __init__(self) -> None:
        self.inside = 0
        self.end = asyncio.Event()

    async def __call__(self, request: Request) -> Response:
        self.inside += 1
        await self.end.wait()
        return Response()


async def flood(queues: int, patience: float = 30.0) -> tuple[Slow, list[asyncio.Task[Response]], Control]:
    """One seat, three requests."""
    control = Control(1, VirtualClock())
    control.put("prioritylevelconfigurations", level(queues))
    slow = Slow()
    handle = FlowControl(control, lambda request: 1, patience, VirtualClock()).link(slow)
    tasks = [asyncio.ensure_future(handle(request())) for _ in range(3)]
    for _ in range(5):
        await asyncio.sleep(0)
    return slow, tasks, control


async def test_one_works_one_waits_one_is_sent_away() -> None:
    slow, tasks, control = await flood(queues=1)
    refused = await tasks[2]
    assert (refused.status, dict(refused.headers)["Retry-After"]) == (429, "1")
    assert refused.body == b"Too many requests, please try again later.\n"
    assert slow.inside == 1
    slow.end.set()
    assert [(await task).status for task in tasks[:2]] == [200, 200]
    assert control.states["catch-all"].queues.in_use == 0


async def test_without_queues_all_others_are_sent_away() -> None:
    slow, tasks, _ = await flood(queues=0)
    assert [(await task).status for task in tasks[1:]] == [429, 429]
    slow.end.set()
    await tasks[0]


async def test_who_waits_too_long_is_sent_away() -> None:
    slow, tasks, control = await flood(queues=1, patience=0.0)
    assert (await tasks[1]).status == 429
    slow.end.set()
    await tasks[0]
    assert control.states["catch-all"].queues.count("time-out") == 1


async def test_a_client_that_goes_leaves_its_place() -> None:
    slow, tasks, control = await flood(queues=1)
    tasks[1].cancel()
    await asyncio.gather(tasks[1], return_exceptions=True)
    assert control.states["catch-all"].queues.waiting == 0
    tasks[0].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert control.states["catch-all"].queues.in_use == 0
    assert slow.inside == 1


async def test_masters_and_long_requests_take_no_seat() -> None:
    control = Control(1, VirtualClock())
    control.put("prioritylevelconfigurations", level(0))
    slow = Slow()
    handle = FlowControl(control, lambda request: 1, 1.0, VirtualClock()).link(slow)
    busy = asyncio.ensure_future(handle(request()))
    master, log = request(), request(verb="get")
    master.user = UserInfo("root", groups=("system:masters",))
    log.info = RequestInfo("get", "", True, "", "v1", "a", "pods", "log", "web-0")
    others = [asyncio.ensure_future(handle(one)) for one in (master, log)]
    for _ in range(3):
        await asyncio.sleep(0)
    assert slow.inside == 3
    slow.end.set()
    assert {(await task).status for task in (busy, *others)} == {200}


def test_refused_clients_stay_away_longer_while_many_are_refused() -> None:
    wait = RetryAfter()
    assert [wait.refused(1.0) for _ in range(5)] == [1] * 5
    assert wait.refused(2.0) == 2
    for _ in range(8):
        wait.refused(2.5)
    assert wait.refused(3.0) == 4
    assert wait.refused(60.0) == 2


async def test_answers_name_schema_and_level(api: Api) -> None:
    answer = await api("GET", "/api/v1/namespaces/default")
    schema = (await api("GET", f"{SCHEMAS}/global-default")).json
    assert answer.headers["x-kubernetes-pf-flowschema-uid"] == schema["metadata"]["uid"]
    assert "x-kubernetes-pf-prioritylevel-uid" in answer.headers


async def test_a_schema_of_a_level_that_is_not_there_dangles(api: Api, server: ApiServer) -> None:
    spec = {"priorityLevelConfiguration": {"name": "mine"}, "matchingPrecedence": 5, "rules": [RULE]}
    made = await api("POST", SCHEMAS, {"metadata": {"name": "s"}, "spec": spec})
    assert made.status == 201, made.json
    assert await condition(api, "s") == ("True", "NotFound")
    plain = {"type": "Limited", "limited": {"nominalConcurrencyShares": 5, "limitResponse": {"type": "Reject"}}}
    path = "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations"
    assert (await api("POST", path, {"metadata": {"name": "mine"}, "spec": plain})).status == 201
    assert await condition(api, "s", "False") == ("False", "Found")
    uid = (await api("GET", f"{SCHEMAS}/s")).json["metadata"]["uid"]
    answer = await api("GET", "/api/v1/namespaces/default")
    assert answer.headers["x-kubernetes-pf-flowschema-uid"] == uid
    dump = (await api("GET", "/debug/api_priority_and_fairness/dump_priority_levels")).body.decode()
    assert "mine," in dump and dump.startswith("PriorityLevelName,")
    metrics = (await api("GET", "/metrics")).body.decode()
    assert 'apiserver_flowcontrol_nominal_limit_seats{priority_level="mine"}' in metrics


async def condition(api: Api, name: str, status: str = "") -> tuple[str, str]:
    """The condition Dangling, when it is there (and is `status`)."""
    async with asyncio.timeout(60):
        while True:
            found = (await api("GET", f"{SCHEMAS}/{name}")).json.get("status", {}).get("conditions", [])
            if found and found[0]["status"].startswith(status):
                return found[0]["status"], found[0]["reason"]
            await asyncio.sleep(0)


@pytest.mark.parametrize("found", [True, False])
def test_a_condition_that_is_right_is_left_alone(found: bool) -> None:
    schema = {"metadata": {"name": "s"}, "spec": {"priorityLevelConfiguration": {"name": "x"}}}
    right = with_condition(schema, found, "now")
    assert right is not None
    assert with_condition(right, found, "later") is None
    assert with_condition(right, not found, "later") is not None
