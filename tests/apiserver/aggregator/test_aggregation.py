"""A small server of its own behind an APIService: asked by the front proxy's certificate, discovered, proxied to, and
told of when it is not there."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.api_server import answers, assembled, caller, running, until
from tests.certificates import self_signed
from workshop.apiserver.aggregator import availability, local
from workshop.apiserver.aggregator.backend import FrontProxy
from workshop.apiserver.assembly import ApiServer, Settings
from workshop.serving import Receive, Scope, Send, listen, serve, server_tls

Obj = dict[str, Any]
Api = Callable[..., Awaitable[Any]]
SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
ONE = f"{SERVICES}/v1.fish.example.com"
PATH = "/apis/fish.example.com/v1"
LISTED = {
    "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "fish.example.com/v1",
    "resources": [
        {"name": "carps", "singularName": "carp", "namespaced": True, "kind": "Carp", "verbs": ["get", "list"], "shortNames": ["cp"]},
        {"name": "carps/status", "singularName": "", "namespaced": True, "kind": "Carp", "verbs": ["get"]},
    ],
}  # fmt: skip


class Fish:
    """The aggregated server. `seen` are the requests that it got: path, headers, whether a certificate was shown."""

    def __init__(self, port: int, ca: str) -> None:
        self.port, self.ca = port, ca
        self.seen: list[tuple[str, list[tuple[str, str]], bool]] = []
        self.status = 200

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(k.decode(), v.decode()) for k, v in scope["headers"]]
        self.seen.append((scope["path"], headers, bool(scope["extensions"]["tls"]["client_cert"])))
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        body += message.get("body", b"")
        answer = LISTED if scope["path"] == PATH else {"path": scope["path"], "body": body.decode()}
        raw = json.dumps(answer).encode()
        more = [(b"content-type", b"application/json"), (b"x-fish", b"yes"), (b"content-length", b"%d" % len(raw))]
        await send({"type": "http.response.start", "status": self.status, "headers": more})
        await send({"type": "http.response.body", "body": raw})

    def api_service(self) -> Obj:
        spec = {
            "group": "fish.example.com", "version": "v1", "groupPriorityMinimum": 2000, "versionPriority": 10,
            "service": {"name": "fish", "namespace": "default"}, "caBundle": self.ca,
        }  # fmt: skip
        return {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": "v1.fish.example.com"},
            "spec": spec,
        }


@pytest.fixture
async def fish(tmp_path: Path) -> AsyncIterator[Fish]:
    certificate, key = named(tmp_path, "fish.default.svc")
    socket = listen("127.0.0.1", 0)
    made = Fish(socket.getsockname()[1], base64.b64encode(Path(certificate).read_bytes()).decode())
    async with serve(made, [socket], server_tls(certificate, key, None, any_client=True)):
        yield made


def named(folder: Path, name: str) -> tuple[str, str]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    certificate, key = self_signed(folder, "fish", 30)
    old = x509.load_pem_x509_certificate(Path(certificate).read_bytes())
    private = serialization.load_pem_private_key(Path(key).read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    builder = x509.CertificateBuilder(
        old.issuer, old.subject, private.public_key(), 2, old.not_valid_before_utc, old.not_valid_after_utc
    )
    made = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False).sign(
        private, hashes.SHA256()
    )
    Path(certificate).write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return certificate, key


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    settings = Settings(
        front_proxy=FrontProxy(*self_signed(tmp_path, "front", 30)), aggregator_routing=True, loopback_endpoints=True
    )
    async with running(assembled(settings=settings)) as server:
        yield server


@pytest.fixture
async def api(server: ApiServer) -> Api:
    return caller(server)


async def serve_fish(api: Api, port: int) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "fish"},
        "spec": {"ports": [{"name": "https", "port": 443}]},
    }
    assert (await api("POST", "/api/v1/namespaces/default/services", service)).status == 201
    slice = {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "fish-1", "labels": {"kubernetes.io/service-name": "fish"}},
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }  # fmt: skip
    assert (await api("POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice)).status == 201


async def condition(api: Api, reason: str) -> Obj:
    found: list[Obj] = []

    async def told() -> bool:
        conditions = ((await api("GET", ONE)).json.get("status") or {}).get("conditions") or []
        found[:] = [c for c in conditions if c["reason"] == reason]
        return bool(found)

    await until(told)
    return found[0]


async def test_local_ones_are_available(api: Api) -> None:
    async def all_there() -> bool:
        return len((await api("GET", SERVICES)).json["items"]) >= 21

    await until(all_there)
    found = {item["metadata"]["name"]: item for item in (await api("GET", SERVICES)).json["items"]}
    assert found["v1."]["spec"] == {"version": "v1", "groupPriorityMinimum": 18000, "versionPriority": 1}
    assert found["v2.autoscaling"]["spec"]["versionPriority"] == 30
    assert found["v1.apps"]["status"]["conditions"][0]["reason"] == "Local"


async def test_a_server_is_found_and_passed_on_to(api: Api, fish: Fish) -> None:
    assert (await api("POST", SERVICES, fish.api_service())).status == 201
    assert (await condition(api, "ServiceNotFound"))["status"] == "False"
    assert (await api("GET", f"{PATH}/carps")).status == 503
    await serve_fish(api, fish.port)
    assert (await condition(api, "Passed"))["status"] == "True"
    await answers(api, f"{PATH}/carps", 200)
    assert fish.seen[0][0] == PATH and fish.seen[0][2]  # asked by the front proxy's certificate
    answer = await api(
        "POST", f"{PATH}/namespaces/default/carps?x=1", {"a": 1}, x_remote_user="root", x_remote_group="system:masters"
    )
    assert answer.status == 200 and answer.json == {"path": f"{PATH}/namespaces/default/carps", "body": '{"a": 1}'}
    assert answer.headers["x-fish"] == "yes"
    headers = fish.seen[-1][1]
    assert [v for k, v in headers if k == "x-remote-user"] == ["system:anonymous"]
    assert [v for k, v in headers if k == "x-remote-group"] == ["system:unauthenticated"]
    assert [v for k, v in headers if k == "host"] == ["fish.default.svc"]


async def test_discovery_is_joined(api: Api, fish: Fish) -> None:
    await api("POST", SERVICES, fish.api_service())
    await serve_fish(api, fish.port)
    await condition(api, "Passed")
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    groups = (await api("GET", "/apis", accept=accept)).json["items"]
    (group,) = [g for g in groups if g["metadata"].get("name") == "fish.example.com"]
    (version,) = group["versions"]
    assert version["freshness"] == "Current" and version["resources"][0]["resource"] == "carps"
    assert version["resources"][0]["subresources"][0]["subresource"] == "status"
    plain = [g["name"] for g in (await api("GET", "/apis")).json["groups"]]
    assert plain[-1] == "fish.example.com" and (await api("GET", PATH)).json == LISTED
    assert (await api("GET", "/openapi/v3")).json["paths"]["apis/fish.example.com/v1"]
    assert (await api("GET", "/openapi/v3/apis/fish.example.com/v1")).json[
        "path"
    ] == "/openapi/v3/apis/fish.example.com/v1"
    assert (await api("DELETE", ONE)).status == 200

    await answers(api, PATH, 404)
    assert "fish.example.com" not in [g["name"] for g in (await api("GET", "/apis")).json["groups"]]


async def test_one_that_is_ill(api: Api, fish: Fish) -> None:
    fish.status = 500
    await api("POST", SERVICES, fish.api_service())
    await serve_fish(api, fish.port)
    found = await condition(api, "FailedDiscoveryCheck")
    assert found["message"].endswith(f"bad status from https://fish.default.svc{PATH}: 500")


@pytest.mark.parametrize(
    ("service", "slices", "reason"),
    [
        (None, [], "ServiceNotFound"),
        ({"spec": {"ports": [{"port": 80}]}}, [], "ServicePortError"),
        ({"spec": {"ports": [{"port": 443}]}}, [], "EndpointsNotFound"),
        ({"spec": {"ports": [{"port": 443}]}}, [{"ports": [{"port": 1, "name": "x"}], "endpoints": [{}]}], "MissingEndpoints"),
        ({"spec": {"ports": [{"port": 443}]}}, [{"ports": [{"port": 1, "name": ""}], "endpoints": [{}]}], None),
        ({"spec": {"type": "ExternalName"}}, [], None),
    ],
)  # fmt: skip
def test_obstacles(service: Any, slices: list[Obj], reason: str | None) -> None:
    found = availability.obstacle({"name": "a", "namespace": "b"}, service, slices)
    assert (found and found["reason"]) == reason


def test_what_a_client_removed_stays_away() -> None:
    assert local.changes([], {}, first=False) == ([], [])
    mine = {"v1.gone.example.com": {"metadata": {"labels": {local.AUTOMANAGED: "true"}}}}
    assert local.changes([], mine, first=False) == ([], ["v1.gone.example.com"])
