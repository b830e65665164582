"""The stand-in for sample-apiserver: whom it believes, whom it asks, and what it keeps."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import pytest

from tests.etcd_servers import free_port
from tests.kubelet.test_agnhost import certificate, launched
from workshop.kubelet.images import catalogue
from workshop.kubelet.images.unpack import unpack

__all__ = ["certificate"]
FLUNDERS = "/apis/wardle.example.com/v1alpha1/namespaces/default/flunders"


class Cluster(http.server.BaseHTTPRequestHandler):
    """The cluster's API server, as far as it is asked: whom to trust, and who may (everybody but mallory)."""

    authority = ""

    def do_GET(self) -> None:
        asked = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.command == "GET":
            names = {"requestheader-client-ca-file": self.authority, "requestheader-allowed-names": '["hook"]'}
            answer: object = {"data": names}
        else:
            answer = {"status": {"allowed": json.loads(asked)["spec"]["user"] != "mallory"}}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def port(tmp_path: Path, certificate: tuple[str, str]) -> Iterator[int]:
    account = tmp_path / "var/run/secrets/kubernetes.io/serviceaccount"
    account.mkdir(parents=True)
    (account / "token").write_text("t")
    (account / "ca.crt").write_text(Path(certificate[0]).read_text())
    Cluster.authority = Path(certificate[0]).read_text()
    cluster = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Cluster)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    cluster.socket = context.wrap_socket(cluster.socket, server_side=True)
    thread = threading.Thread(target=cluster.serve_forever)
    thread.start()
    standin, number = catalogue.find("sample-apiserver"), free_port()
    assert standin is not None
    program = unpack(standin, str(tmp_path / "images")) + "/sample-apiserver"
    env = {"WORKSHOP_ROOTFS": str(tmp_path), "WORKSHOP_POD_IP": "127.0.0.1", "KUBERNETES_SERVICE_HOST": "127.0.0.1"}
    env["KUBERNETES_SERVICE_PORT"] = str(cluster.server_port)
    flags = ("--tls-cert-file", certificate[0], "--tls-private-key-file", certificate[1], f"--secure-port={number}")
    process = launched([program, *flags, "--audit-log-path=-"], env)
    yield number
    process.kill()
    process.communicate()
    cluster.shutdown()
    thread.join()
    cluster.server_close()


def test_flunders(port: int, certificate: tuple[str, str]) -> None:
    trusting = ssl.create_default_context(cafile=certificate[0])
    proxy = ssl.create_default_context(cafile=certificate[0])
    proxy.load_cert_chain(*certificate)

    def ask(method: str, path: str, body: object = None, user: str = "ann", context: ssl.SSLContext = proxy) -> Any:
        with closing(HTTPSConnection("127.0.0.1", port, timeout=60, context=context)) as connection:
            headers = {"X-Remote-User": user, "Content-Type": "application/merge-patch+json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    assert ask("GET", FLUNDERS, context=trusting)[1]["reason"] == "Unauthorized"  # no certificate of the front proxy
    assert ask("GET", FLUNDERS, user="mallory")[0] == 403
    flunder = {"kind": "Flunder", "metadata": {"name": "a", "labels": {"x": "1"}}, "spec": {"reference": "b"}}
    status, made = ask("POST", FLUNDERS, flunder)
    assert (status, made["spec"]["referenceType"], made["metadata"]["namespace"]) == (201, "Flunder", "default")
    assert ask("POST", FLUNDERS, flunder)[1]["reason"] == "AlreadyExists"
    assert ask("PATCH", f"{FLUNDERS}/a", {"metadata": {"labels": {"x": None, "y": "2"}}})[1]["metadata"]["labels"] == {
        "y": "2"
    }
    stale = {**flunder, "metadata": {"name": "a", "resourceVersion": made["metadata"]["resourceVersion"]}}
    assert ask("PUT", f"{FLUNDERS}/a", stale)[1]["reason"] == "Conflict"
    assert ask("POST", FLUNDERS, {"metadata": {"name": "c"}, "spec": {"referenceType": "Fischer"}})[0] == 422
    fischer = {"metadata": {"name": "f"}, "disallowedFlunders": ["banned"]}
    assert ask("POST", "/apis/wardle.example.com/v1alpha1/fischers", fischer)[0] == 201
    assert ask("POST", FLUNDERS, {"metadata": {"name": "banned"}})[1]["reason"] == "Forbidden"
    assert [item["metadata"]["name"] for item in ask("GET", f"{FLUNDERS}?labelSelector=y%3D2")[1]["items"]] == ["a"]
    with closing(HTTPSConnection("127.0.0.1", port, timeout=60, context=proxy)) as watch:
        watch.request("GET", f"{FLUNDERS}?watch=true&resourceVersion=0", headers={"X-Remote-User": "ann"})
        events = watch.getresponse()
        assert json.loads(events.readline())["type"] == "ADDED"
        assert ask("DELETE", f"{FLUNDERS}/a")[0] == 200
        assert json.loads(events.readline())["type"] == "DELETED"
    assert ask("GET", f"{FLUNDERS}/a")[0] == 404
