"""Admission webhooks over real HTTPS: what they are asked, what they may answer, and what becomes of those that hang,
lie or point where nobody should go."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.api_server import caller
from tests.apiserver.extensions.conftest import server  # noqa: F401
from tests.apiserver.test_client_certificates import self_signed
from workshop.apiserver.assembly import ApiServer
from workshop.apiserver.webhooks import addresses
from workshop.serving import Receive, Scope, Send, listen, serve, server_tls

Obj = dict[str, Any]
Api = Callable[..., Awaitable[Any]]
MAPS = "/api/v1/namespaces/default/configmaps"
GROUP = "admissionregistration.k8s.io/v1"
RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}


class Hook:
    """An HTTPS server that answers AdmissionReviews as `answer` says; `asked` are the requests it got."""

    def __init__(self, port: int, ca: str) -> None:
        self.port, self.ca = port, ca
        self.asked: list[Obj] = []
        self.answer: Callable[[Obj], Any] = lambda request: {"allowed": True}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        review = json.loads(body + message["body"])
        self.asked.append(review["request"])
        made = self.answer(review["request"])
        if asyncio.iscoroutine(made):
            made = await made
        if "response" not in made:
            made = {"response": {"uid": review["request"]["uid"], **made}}
        raw = json.dumps({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", **made}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(raw))]})
        await send({"type": "http.response.body", "body": raw})

    def configuration(self, kind: str, *more: Obj, **fields: Any) -> Obj:
        webhook = {
            "name": "a.example.com", "rules": [RULE], "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": f"https://127.0.0.1:{self.port}/ask", "caBundle": self.ca}, **fields,
        }  # fmt: skip
        return {
            "apiVersion": GROUP, "kind": f"{kind}WebhookConfiguration", "metadata": {"name": "c"},
            "webhooks": [webhook, *({**webhook, **each} for each in more)],
        }  # fmt: skip


@pytest.fixture
async def hook(tmp_path: Path) -> AsyncIterator[Hook]:
    certificate, key = self_signed(tmp_path, "hook", 30)
    socket = listen("127.0.0.1", 0)
    made = Hook(socket.getsockname()[1], base64.b64encode(Path(certificate).read_bytes()).decode())
    async with serve(made, [socket], server_tls(certificate, key)):
        yield made


@pytest.fixture
async def api(server: ApiServer) -> Api:  # noqa: F811
    return caller(server)


async def put_up(server: ApiServer, configuration: Obj) -> None:  # noqa: F811
    plural = configuration["kind"].lower() + "s"
    made = await caller(server)("POST", f"/apis/{GROUP}/{plural}", configuration)
    assert made.status == 201, made.body
    await server.cacher.consistent()


def config_map(name: str = "m", **metadata: Any) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": {"a": "1"}}


def patch(*operations: Obj) -> Obj:
    return {
        "allowed": True,
        "patchType": "JSONPatch",
        "patch": base64.b64encode(json.dumps(operations).encode()).decode(),
    }


async def test_what_is_asked_and_patched(server: ApiServer, api: Api, hook: Hook) -> None:  # noqa: F811
    hook.answer = lambda request: patch({"op": "add", "path": "/data/b", "value": "2"})
    await put_up(server, hook.configuration("Mutating"))
    made = await api("POST", f"{MAPS}?fieldManager=me", config_map())
    assert made.status == 201 and made.json["data"] == {"a": "1", "b": "2"}
    (asked,) = hook.asked
    assert asked["operation"] == "CREATE" and asked["name"] == "m" and asked["namespace"] == "default"
    assert asked["kind"] == {"group": "", "version": "v1", "kind": "ConfigMap"} == asked["requestKind"]
    assert asked["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
    assert asked["object"]["data"] == {"a": "1"} and asked["oldObject"] is None and asked["dryRun"] is False
    assert asked["userInfo"]["username"] == "system:anonymous"
    await api("DELETE", f"{MAPS}/m")
    assert hook.asked[-1]["operation"] == "DELETE" and hook.asked[-1]["oldObject"]["data"] == {"a": "1", "b": "2"}


async def test_what_is_asked_of_a_connection(server: ApiServer, api: Api, hook: Hook) -> None:  # noqa: F811
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CONNECT"], "resources": ["*/*"]}
    hook.answer = lambda request: {"allowed": False, "status": {"message": "not that one"}}
    await put_up(server, hook.configuration("Validating", rules=[rule]))
    pod = "/api/v1/namespaces/default/pods/p"
    refused = await api("POST", f"{pod}/attach?container=main&stdin=true&stdout=1&stderr=false")
    assert refused.json["message"] == 'admission webhook "a.example.com" denied the request: not that one'
    asked = hook.asked[-1]
    assert asked["object"] == {
        "kind": "PodAttachOptions", "apiVersion": "v1", "container": "main", "stdin": True, "stdout": True,
    }  # fmt: skip
    assert asked["kind"]["kind"] == "PodAttachOptions" and asked["operation"] == "CONNECT"
    assert (asked["subResource"], asked["oldObject"]) == ("attach", None)
    await api("GET", f"{pod}/exec?command=ls&command=-l")
    assert hook.asked[-1]["object"]["command"] == ["ls", "-l"]
    await api("DELETE", "/api/v1/namespaces/default/services/s:80/proxy/a/b/")
    assert hook.asked[-1]["object"] == {"kind": "ServiceProxyOptions", "apiVersion": "v1", "path": "/a/b/"}
    assert (await api("GET", f"{pod}/log")).status == 404 and len(hook.asked) == 3  # reading a log connects nobody


async def test_a_refusal_in_its_own_words(server: ApiServer, api: Api, hook: Hook) -> None:  # noqa: F811
    hook.answer = lambda request: {
        "allowed": False, "status": {"message": "not today", "code": 418, "reason": "Teapot"}, "warnings": ["careful"],
    }  # fmt: skip
    await put_up(server, hook.configuration("Validating"))
    refused = await api("POST", MAPS, config_map())
    assert refused.status == 418 and refused.json["reason"] == "Teapot" and "careful" in refused.headers["warning"]
    assert refused.json["message"] == 'admission webhook "a.example.com" denied the request: not today'
    hook.answer = lambda request: {"allowed": False}
    refused = await api("POST", MAPS, config_map())
    assert refused.status == 400 and refused.json["message"].endswith("denied the request without explanation")


async def test_who_is_not_asked(server: ApiServer, api: Api, hook: Hook) -> None:  # noqa: F811
    fields = {"matchConditions": [{"name": "named", "expression": "object.metadata.name.startsWith('m')"}],
              "objectSelector": {"matchLabels": {"ask": "yes"}}}  # fmt: skip
    await put_up(server, hook.configuration("Validating", **fields))
    await api("POST", MAPS, config_map("m1"))
    await api("POST", MAPS, config_map("x2", labels={"ask": "yes"}))
    await api(
        "POST",
        "/api/v1/namespaces/default/secrets",
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "m", "labels": {"ask": "yes"}}},
    )
    assert hook.asked == []
    await api("POST", MAPS, config_map("m3", labels={"ask": "yes"}))
    assert [request["name"] for request in hook.asked] == ["m3"]


async def test_a_webhook_has_another_look(server: ApiServer, api: Api, hook: Hook) -> None:  # noqa: F811
    def answer(request: Obj) -> Obj:
        data = request["object"]["data"]
        if "b" not in data and len(hook.asked) > 1:
            return patch({"op": "add", "path": "/data/b", "value": "2"})
        return {"allowed": True}

    hook.answer = answer
    await put_up(server, hook.configuration("Mutating", {"name": "b.example.com"}, reinvocationPolicy="IfNeeded"))
    made = await api("POST", MAPS, config_map())
    assert made.json["data"] == {"a": "1", "b": "2"}
    assert ["b" in request["object"]["data"] for request in hook.asked] == [False, False, True]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"response": {"uid": "x", "allowed": True}}, 'received invalid webhook response: expected response.uid="'),
        ({"response": None}, "received invalid webhook response: webhook response was absent"),
        ({"allowed": True, "patch": "W10="}, "webhook returned response.patch but not response.patchType"),
        ({"allowed": True, "patch": "!", "patchType": "JSONPatch"}, "received undecodable patch in webhook response"),
        (
            {"allowed": True, "patch": "W10=", "patchType": "Foo"},
            'webhook returned invalid response.patchType of "Foo"',
        ),
    ],
)
async def test_lies(server: ApiServer, api: Api, hook: Hook, answer: Obj, why: str) -> None:  # noqa: F811
    hook.answer = lambda request: answer
    await put_up(server, hook.configuration("Mutating"))
    refused = await api("POST", MAPS, config_map())
    lead = 'Internal error occurred: failed calling webhook "a.example.com": '
    assert refused.status == 500 and refused.json["message"].startswith(lead) and why in refused.json["message"]


async def test_one_that_hangs(server: ApiServer, api: Api, hook: Hook) -> None:  # noqa: F811
    async def never(request: Obj) -> None:
        await asyncio.Event().wait()

    hook.answer = never  # type: ignore[assignment]
    await put_up(server, hook.configuration("Validating", timeoutSeconds=1))
    refused = await api("POST", MAPS, config_map())
    assert refused.status == 500 and refused.json["message"].endswith("context deadline exceeded")
    configuration = hook.configuration("Validating", timeoutSeconds=1, failurePolicy="Ignore")
    plural = f"/apis/{GROUP}/validatingwebhookconfigurations/c"
    assert (
        await api("PATCH", plural, {"webhooks": configuration["webhooks"]}, "application/merge-patch+json")
    ).status == 200
    await server.cacher.consistent()
    assert (await api("POST", MAPS, config_map())).status == 201


async def test_a_dry_run_asks_only_the_harmless(server: ApiServer, api: Api, hook: Hook) -> None:  # noqa: F811
    configuration = hook.configuration("Validating", sideEffects="NoneOnDryRun")
    await put_up(server, configuration)
    assert (await api("POST", f"{MAPS}?dryRun=All", config_map())).status == 201
    assert hook.asked[0]["dryRun"] is True


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "0.0.0.0", "[::ffff:169.254.169.254]"]
)
async def test_nobody_sends_us_to_the_metadata(server: ApiServer, api: Api, hook: Hook, address: str) -> None:  # noqa: F811
    await put_up(server, hook.configuration("Validating", clientConfig={"url": f"https://{address}/latest"}))
    refused = await api("POST", MAPS, config_map())
    assert refused.status == 500 and "refusing to connect" in refused.json["message"]


async def test_a_service_is_found(server: ApiServer, api: Api, hook: Hook) -> None:  # noqa: F811
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hook"},
               "spec": {"clusterIP": "None", "ports": [{"name": "https", "port": 443}]}}  # fmt: skip
    assert (await api("POST", "/api/v1/namespaces/default/services", service)).status == 201
    await server.cacher.consistent()
    found = server.security.context.webhooks._services
    with pytest.raises(addresses.NoAddress, match="no endpoints available"):
        await found.find("default", "hook", 443)
    with pytest.raises(addresses.NoAddress, match="no service port 80 found"):
        await found.find("default", "hook", 80)
    slice = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
             "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}},
             "endpoints": [{"addresses": ["192.0.2.7"], "conditions": {"ready": True}}],
             "ports": [{"name": "https", "port": 8443, "protocol": "TCP"}]}  # fmt: skip
    assert (await api("POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice)).status == 201
    await server.cacher.consistent()
    assert await found.find("default", "hook", 443) == ("192.0.2.7", 8443)


async def test_a_certificate_that_nobody_knows(server: ApiServer, api: Api, hook: Hook) -> None:  # noqa: F811
    await put_up(server, hook.configuration("Validating", clientConfig={"url": f"https://127.0.0.1:{hook.port}/"}))
    refused = await api("POST", MAPS, config_map())
    assert refused.status == 500 and "tls: failed to verify certificate: x509" in refused.json["message"]
    assert hook.asked == []
