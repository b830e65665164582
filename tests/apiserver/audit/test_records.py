"""What a server writes down of the requests that it gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api_server import Api, assembled, caller, running
from workshop.api.meta import Obj
from workshop.apiserver.audit.backends import Unrecorded
from workshop.apiserver.audit.policy import load
from workshop.apiserver.interfaces import UserInfo

POLICY = b"""
apiVersion: audit.k8s.io/v1
kind: Policy
omitManagedFields: true
rules:
- {level: None, nonResourceURLs: ["/healthz*"]}
- {level: Metadata, resources: [{group: "", resources: [secrets]}]}
- {level: Request, verbs: [patch], omitStages: [RequestReceived]}
- {level: RequestResponse}
"""
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"password": "hidden"}}
MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "1"}}


class Disk:
    def __init__(self) -> None:
        self.events: list[Obj] = []
        self.full = False
        self.written = asyncio.Queue[str]()

    async def write(self, event: Obj) -> None:
        if self.full:
            raise Unrecorded
        self.events.append(event)
        self.written.put_nowait(event["stage"])


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
async def api(disk: Disk) -> AsyncIterator[Api]:
    server = assembled(audit=(load(POLICY), disk.write), authorization_mode=["RBAC"])
    server.security.authentication.token_file = {
        "t": UserInfo("jane", groups=("system:masters",)),
        "u": UserInfo("joe"),
    }
    async with running(server):
        call = caller(server)

        async def as_jane(method: str, target: str, body: Any = None, **more: str) -> Any:
            return await call(method, target, body, **{"authorization": "Bearer t", **more})

        yield as_jane


async def test_a_creation_with_all_that_was_said(api: Api, disk: Disk) -> None:
    answer = await api("POST", "/api/v1/namespaces/kube-system/configmaps?fieldManager=m", MAP)
    assert answer.status == 201
    received, complete = disk.events
    assert (received["stage"], complete["stage"]) == ("RequestReceived", "ResponseComplete")
    assert received["auditID"] == complete["auditID"] == answer.headers["audit-id"]
    assert received["stageTimestamp"] == received["requestReceivedTimestamp"]
    assert complete["user"] == {"username": "jane", "groups": ["system:masters", "system:authenticated"]}
    assert complete["requestURI"] == "/api/v1/namespaces/kube-system/configmaps?fieldManager=m"
    assert complete["verb"] == "create"
    assert complete["objectRef"] == {
        "resource": "configmaps", "namespace": "kube-system", "name": "m", "apiVersion": "v1",
    }  # fmt: skip
    assert complete["requestObject"]["data"] == {"a": "1"}
    assert complete["responseObject"]["metadata"]["uid"] == answer.json["metadata"]["uid"]
    assert "managedFields" in answer.json["metadata"]
    assert "managedFields" not in complete["responseObject"]["metadata"]
    assert complete["responseStatus"] == {"metadata": {}, "code": 201}
    assert complete["annotations"]["authorization.k8s.io/decision"] == "allow"


async def test_no_word_of_a_secret(api: Api, disk: Disk) -> None:
    assert (await api("POST", "/api/v1/namespaces/kube-system/secrets", SECRET)).status == 201
    assert len(disk.events) == 2
    assert "hidden" not in str(disk.events)


async def test_the_callers_own_audit_id_is_kept(api: Api, disk: Disk) -> None:
    answer = await api("GET", "/api/v1/namespaces/default", audit_id="mine")
    assert answer.headers["audit-id"] == "mine"
    assert {event["auditID"] for event in disk.events} == {"mine"}


async def test_the_policy_leaves_requests_and_stages_out(api: Api, disk: Disk) -> None:
    await api("GET", "/healthz")
    assert disk.events == []
    body = b'{"metadata":{"labels":{"a":"b"}}}'
    await api("PATCH", "/api/v1/namespaces/default", body, content_type="application/merge-patch+json")
    (patched,) = disk.events
    assert patched["stage"] == "ResponseComplete"
    assert patched["requestObject"] == {"metadata": {"labels": {"a": "b"}}}
    assert "responseObject" not in patched


async def test_a_refusal_tells_its_reason(api: Api, disk: Disk) -> None:
    answer = await api("GET", "/api/v1/namespaces/default/pods", authorization="Bearer u")
    assert answer.status == 403
    event = disk.events[-1]
    assert event["annotations"]["authorization.k8s.io/decision"] == "forbid"
    assert event["responseStatus"]["reason"] == "Forbidden"
    assert event["responseStatus"]["message"] == answer.json["message"]


async def test_whom_somebody_acts_as(api: Api, disk: Disk) -> None:
    await api("GET", "/api/v1/namespaces/default", impersonate_user="joe")
    event = disk.events[-1]
    assert event["user"]["username"] == "jane"
    assert event["impersonatedUser"] == {"username": "joe", "groups": ["system:authenticated"]}


async def test_wrong_credentials(api: Api, disk: Disk) -> None:
    assert (await api("GET", "/api/v1/pods", authorization="Bearer wrong")).status == 401
    (event,) = disk.events
    assert event["stage"] == "ResponseStarted"
    assert event["responseStatus"] == {
        "metadata": {}, "message": "Authentication failed, attempted: bearer", "code": 401,
    }  # fmt: skip


async def test_what_cannot_be_recorded_is_not_done(api: Api, disk: Disk) -> None:
    disk.full = True
    answer = await api("POST", "/api/v1/namespaces/kube-system/configmaps", MAP)
    assert (answer.status, answer.json["message"]) == (500, "Internal error occurred: failed to store audit event")
    disk.full = False
    assert (await api("GET", "/api/v1/namespaces/kube-system/configmaps/m")).status == 404


async def test_a_watch_begins_and_ends(api: Api, disk: Disk) -> None:
    watch = asyncio.ensure_future(api("GET", "/api/v1/namespaces/default/pods?watch=1&resourceVersion=1"))
    async with asyncio.timeout(60):
        assert [await disk.written.get(), await disk.written.get()] == ["RequestReceived", "ResponseStarted"]
    watch.cancel()  # the client goes away
    await asyncio.gather(watch, return_exceptions=True)
    assert disk.events[-1]["stage"] == "ResponseComplete"
    assert disk.events[-1]["verb"] == "watch"
