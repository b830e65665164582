"""A cluster whose pods are containers of a Docker Engine (Debian's dockerd, the test's own), in modes root and plain."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from pathlib import Path

import pytest

from tests.cluster import seats
from tests.cluster.test_end_to_end import Api
from tests.conformance.kubectl import told
from tests.docker_engine import BUSYBOX

pytestmark = [pytest.mark.cluster, pytest.mark.root]
POD = "/api/v1/namespaces/default/pods"


@pytest.fixture(params=["root", "plain"])
def seat(request, engine):
    """root's seat in each of the two modes that the Docker runtime has."""
    with tempfile.TemporaryDirectory(prefix="ws-docker-") as folder:
        made = seats.make("root", Path(folder))
        made.mode = request.param
        made.environment = {**made.environment, "DOCKER_HOST": engine.url}
        try:
            verdict = {check["check"]: check for check in json.loads(made.workshop("doctor", "-o", "json"))}
            if not verdict[f"mode {made.mode}"]["ok"]:
                pytest.skip(verdict[f"mode {made.mode}"]["what"])
            assert verdict["docker"]["ok"], verdict["docker"]
            made.workshop("up", "--runtime", "docker", "--mode", made.mode, "--nodes", "1")
            yield made
        finally:
            made.run(made.python, "-m", "workshop", "down", "--purge")
            left = [entry["Names"] for entry in engine.client.containers(all=True)]
            assert not left, left


def web() -> dict:
    command = ["sh", "-c", "echo $POD_IP > /tmp/index.html; echo serving; exec httpd -f -p 8080 -h /tmp"]
    env = [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    probe = {"httpGet": {"path": "/index.html", "port": 8080}, "periodSeconds": 1}
    container = {"name": "web", "image": BUSYBOX, "command": command, "env": env, "readinessProbe": probe,
                 "resources": {"limits": {"memory": "64Mi", "cpu": "200m"}}}  # fmt: skip
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "labels": {"app": "web"}}, "spec": spec}


def service() -> dict:
    spec = {"selector": {"app": "web"}, "ports": [{"port": 8000, "targetPort": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}


def is_ready(pod: dict) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions", ()))


def kubectl(seat: seats.Seat, *argv: str) -> str:
    return seat.workshop("kubectl", *argv)


def test_pods_are_containers_of_the_engine_and_answer_through_a_service(seat, engine):
    api = Api(seat)
    api("POST", POD, web())
    api("POST", "/api/v1/namespaces/default/services", service())
    pod = api.until(POD, is_ready)
    uid, address = pod["metadata"]["uid"], pod["status"]["podIP"]
    [status] = pod["status"]["containerStatuses"]
    names = {entry["Names"][0] for entry in engine.client.containers()}
    assert names == {f"/k8s_POD_web_default_{uid}_0", f"/k8s_web_web_default_{uid}_0"}
    assert status["containerID"].startswith("docker://") and status["imageID"].startswith("docker://sha256:")
    node = api("GET", "/api/v1/nodes/node-1")
    assert node["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("docker://")
    expected = engine.subnet if seat.mode == "plain" else ".".join(node["spec"]["podCIDR"].split(".")[:3])
    assert address.startswith(f"{expected}.")

    url = seat.workshop("url", "web").strip()
    assert (
        seat.run("curl", "-sS", "--retry", "60", "--retry-all-errors", "--retry-delay", "1", f"{url}index.html").stdout
        == f"{address}\n"
    )
    assert told(lambda: kubectl(seat, "logs", "web"), "serving") == "serving\n"  # an engine's logs follow in their time
    assert kubectl(seat, "exec", "web", "--", "hostname") == "web\n"
    if seat.mode == "root":  # pods reach Services there
        host = url.removeprefix("http://").rstrip("/")
        assert kubectl(seat, "exec", "web", "--", "wget", "-qO-", f"http://{host}/index.html") == f"{address}\n"

    killed = engine.client.inspect_container(f"k8s_web_web_default_{uid}_0")["State"]["Pid"]
    os.kill(killed, signal.SIGKILL)
    again = api.until(POD, lambda pod: is_ready(pod) and pod["status"]["containerStatuses"][0]["restartCount"] == 1)
    assert again["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 137
    assert again["status"]["podIP"] == address  # the sandbox stayed

    seat.workshop("kill", "kubelet")
    dying = api("DELETE", f"{POD}/web")
    api.until(POD, lambda pod: True, "DELETED", since=dying)
    assert engine.client.containers(all=True) == []


def test_an_image_that_cannot_be_pulled_is_said_so(seat):
    api = Api(seat)
    missing = web()
    missing["spec"]["containers"][0]["image"] = "127.0.0.1:1/nowhere:1"
    api("POST", POD, missing)
    waiting = api.until(POD, lambda pod: "waiting" in str(pod["status"]) and "ErrImagePull" in str(pod["status"]))
    assert "Error response from daemon" in str(waiting["status"]["containerStatuses"])
