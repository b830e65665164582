"""agnhost's servers as they stand in an image: programs of their own, asked over the wire."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPSConnection

import pytest

from tests.etcd_servers import free_port
from workshop.kubelet.dial import grpc
from workshop.kubelet.images import catalogue
from workshop.kubelet.images.unpack import unpack

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    standin = catalogue.find("registry.k8s.io/e2e-test-images/agnhost:2.63.0")
    assert standin is not None
    return unpack(standin, str(tmp_path_factory.mktemp("images")))


def launched(command: list[str], env: dict[str, str]) -> subprocess.Popen[str]:
    """Runs a stand-in, and returns when it listens (or has ended): then it closes the pipe that it was given."""
    reading, writing = os.pipe()
    given = {**os.environ, **env, "WORKSHOP_READY": str(writing)}
    process = subprocess.Popen(command, env=given, stdout=subprocess.PIPE, text=True, pass_fds=(writing,))
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        pipe.read()
    return process


@pytest.fixture
def start(image: str) -> Iterator[Start]:
    """Runs agnhost on 127.0.0.1."""
    running: list[subprocess.Popen[str]] = []

    def run(*arguments: str, **env: str) -> subprocess.Popen[str]:
        given = {"WORKSHOP_ROOTFS": image, "WORKSHOP_POD_IP": "127.0.0.1", **env}
        running.append(launched([f"{image}/agnhost", *arguments], given))
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.communicate()


def post(connection: HTTPConnection, path: str, body: object) -> tuple[int, str]:
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("pki")
    paths = str(folder / "tls.crt"), str(folder / "tls.key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
         "/CN=hook", "-addext", "subjectAltName=IP:127.0.0.1", "-out", paths[0], "-keyout", paths[1]],
        check=True, capture_output=True,
    )  # fmt: skip
    return paths


def secure(port: int, certificate: tuple[str, str]) -> HTTPSConnection:
    return HTTPSConnection("127.0.0.1", port, timeout=60, context=ssl.create_default_context(cafile=certificate[0]))


def test_webhooks_review(start: Start, certificate: tuple[str, str]) -> None:
    port = free_port()
    flags = (f"--tls-cert-file={certificate[0]}", f"--tls-private-key-file={certificate[1]}", "--port", str(port))
    start("webhook", *flags, "--sidecar-image=sidecar:1")
    pods = {"group": "", "version": "v1", "resource": "pods"}
    pod = {"metadata": {"name": "a", "labels": {"webhook-e2e-test": "webhook-disallow"}},
           "spec": {"containers": [{"name": "webhook-disallow-me", "image": "x"}]}}  # fmt: skip

    with closing(secure(port, certificate)) as hook:

        def ask(
            path: str, obj: object, operation: str = "CREATE", version: str = "v1", **more: object
        ) -> dict[str, object]:
            request = {"uid": "u-1", "operation": operation, "resource": pods, "object": obj, **more}
            review = {"apiVersion": f"admission.k8s.io/{version}", "kind": "AdmissionReview", "request": request}
            status, text = post(hook, path, review)
            answer = json.loads(text)
            assert (status, answer["apiVersion"]) == (200, f"admission.k8s.io/{version}")
            assert answer["response"].pop("uid") == "u-1"
            return answer["response"]

        refused = ask("/pods", pod, version="v1beta1")
        assert refused["allowed"] is False
        reasons = "the pod contains unwanted label; the pod contains unwanted container name;"
        assert refused["status"]["message"] == reasons
        changed = ask("/mutating-pods-sidecar", pod)
        assert (changed["allowed"], changed["patchType"]) == (True, "JSONPatch")
        assert json.loads(base64.b64decode(changed["patch"]))[0]["value"]["image"] == "sidecar:1"
        assert ask("/mutating-pods", pod) == {"allowed": True}
        wrong = ask("/crd", {"metadata": {}})
        assert wrong["allowed"] is False and "customresourcedefinitions" in wrong["status"]["message"]
        kept = {"data": {"webhook-e2e-test": "webhook-nondeletable"}}
        assert ask("/custom-resource", kept)["allowed"] is True
        assert ask("/custom-resource", None, "DELETE", oldObject=kept)["allowed"] is False

        assert post(hook, "/pods", {"kind": "ConversionReview", "apiVersion": "v1", "request": {}})[0] == 400
        assert post(hook, "/nowhere", {})[0] == 404


def test_conversion_there_and_back(start: Start, certificate: tuple[str, str]) -> None:
    port = free_port()
    flags = (f"--tls-cert-file={certificate[0]}", f"--tls-private-key-file={certificate[1]}", f"--port={port}")
    start("crd-conversion-webhook", *flags)
    first = {"apiVersion": "stable.example.com/v1", "kind": "T", "metadata": {"name": "t"}, "hostPort": "here:80"}

    with closing(secure(port, certificate)) as hook:

        def convert(obj: object, wanted: str) -> dict[str, object]:
            request = {"uid": "c", "desiredAPIVersion": f"stable.example.com/{wanted}", "objects": [obj]}
            review = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "request": request}
            return json.loads(post(hook, "/crdconvert", review)[1])["response"]

        second = convert(first, "v2")["convertedObjects"][0]
        assert (second["host"], second["port"], "hostPort" in second) == ("here", "80", False)
        assert convert(second, "v1")["convertedObjects"] == [first]
        failed = convert(first, "v3")["result"]
        assert (failed["status"], failed["message"]) == (
            "Failure",
            'unexpected conversion version "stable.example.com/v3"',
        )


async def test_grpc_health_goes_ill_when_told(start: Start) -> None:
    port, switch = free_port(), free_port()
    start("grpc-health-checking", f"--port={port}", f"--http-port={switch}", "--service=s")
    assert (await grpc("127.0.0.1", port, "s", 60)).ok
    assert "unknown service" in (await grpc("127.0.0.1", port, "", 60)).output
    with closing(HTTPConnection("127.0.0.1", switch, timeout=60)) as connection:
        connection.request("GET", "/make-not-serving")
        assert connection.getresponse().status == 200
    assert "NOT_SERVING" in (await grpc("127.0.0.1", port, "s", 60)).output


def test_nettest_counts_who_wrote(start: Start) -> None:
    port = free_port()
    start("nettest", f"--port={port}", KUBERNETES_SERVICE_HOST="127.0.0.1", KUBERNETES_SERVICE_PORT="1")
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        assert post(connection, "/write", {"Source": "prestop"})[0] == 200
        connection.request("GET", "/read")
        assert json.load(connection.getresponse())["Received"] == {"prestop": 1}


@pytest.mark.parametrize(
    ("arguments", "output"),
    [(("entrypoint-tester", "a", "b"), "/agnhost entrypoint-tester a b]\n"), (("nonsense",), "")],
)
def test_small_commands(start: Start, arguments: tuple[str, ...], output: str) -> None:
    process = start(*arguments)
    said, _ = process.communicate(timeout=60)
    assert said.endswith(output) and process.returncode == (0 if output else 1)


def test_porter_says_what_it_is_told_by_tls(start: Start, image: str) -> None:
    port = free_port()
    start("porter", WORKSHOP_IMAGE=image, **{f"SERVE_TLS_PORT_{port}": "hello"})
    with closing(secure(port, (f"{image}/localhost.crt", ""))) as connection:
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"hello"


def test_netexec_answers_datagrams_and_takes_a_negative_port(start: Start, image: str) -> None:
    port, datagrams = free_port(), free_port()
    start("netexec", "--http-port", str(port), "--udp-port", str(datagrams), HOSTNAME="me")
    asked = [f"{image}/usr/bin/nc", "-u", "-w", "0.2", "127.0.0.1", str(datagrams)]
    while not (said := subprocess.run(asked, input=b"hostName\n", capture_output=True, check=False).stdout):
        pass  # the server of datagrams begins after the other
    assert said == b"me"
    other = free_port()
    start("netexec", "--udp-port", "-1", "--http-port", str(other))
