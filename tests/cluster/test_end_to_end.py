"""A whole cluster from the command line, in each of the three modes, as the person who would use it.

The same assertions thrice: as root; as an ordinary user with user namespaces; as one without them.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.cluster import seats
from workshop.cluster import procfs

pytestmark = pytest.mark.cluster


class Api:
    """Raw HTTP with the administrator's certificate: no client library between the test and the server."""

    def __init__(self, seat: seats.Seat) -> None:
        directory = Path(json.loads(seat.workshop("status", "-o", "json"))["directory"])
        self.server = json.loads(seat.workshop("status", "-o", "json"))["server"].removeprefix("https://")
        self.tls = ssl.create_default_context(cafile=str(directory / "pki" / "ca.crt"))
        self.tls.load_cert_chain(str(directory / "pki" / "admin.crt"), str(directory / "pki" / "admin.key"))

    def open(self, method: str, path: str, body: object = None) -> http.client.HTTPResponse:
        host, port = self.server.split(":")
        connection = http.client.HTTPSConnection(host, int(port), timeout=120, context=self.tls)
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Connection": "close"}
        try:
            connection.request(method, path, data, headers)
            return connection.getresponse()
        except BaseException:
            connection.close()
            raise

    def __call__(self, method: str, path: str, body: object = None) -> dict:
        with self.open(method, path, body) as response:
            answer = json.loads(response.read())
        assert response.status < 300, answer
        return answer

    def until(self, path: str, true, *kinds: str, since: dict | None = None) -> dict:
        """Watch a collection until one of these kinds of event has an object that is `true`; the object. All that
        happened after the answer `since` counts; without it, what there is."""
        version = f"&resourceVersion={since['metadata']['resourceVersion']}" if since else ""
        with self.open("GET", f"{path}?watch=1&timeoutSeconds=110{version}") as response:
            while line := response.readline():
                event = json.loads(line)
                if event["type"] in (kinds or ("ADDED", "MODIFIED")) and true(event["object"]):
                    return event["object"]
        raise AssertionError(f"the watch of {path} ended before it came")


def deployment(name: str, replicas: int) -> dict:
    labels = {"app": name}
    container = {"name": "web", "image": "nginx", "ports": [{"containerPort": 80}]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def service(name: str) -> dict:
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 80}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


@pytest.fixture(scope="module", params=["root", "userns", "plain"])
def seat(request):
    with tempfile.TemporaryDirectory(prefix="ws-e2e-") as folder:
        seat = seats.make(request.param, Path(folder))
        try:
            seat.must_be_possible()
            yield seat
        finally:
            seat.run(seat.python, "-m", "workshop", "down", "--purge")
            seats.leave(seat)


@pytest.fixture(scope="module")
def said(seat):
    """What the first `up` printed."""
    return seat.workshop("up", "--nodes", "2", "--mode", seat.mode)


@pytest.fixture(scope="module")
def api(seat, said):
    return Api(seat)


@pytest.fixture(scope="module")
def web(api):
    """A Deployment of three pods behind a Service, ready."""
    api("POST", "/apis/apps/v1/namespaces/default/deployments", deployment("web", 3))
    api("POST", "/api/v1/namespaces/default/services", service("web"))

    def ready(obj):
        return obj["metadata"]["name"] == "web" and obj.get("status", {}).get("readyReplicas") == 3

    api.until("/apis/apps/v1/namespaces/default/deployments", ready)


def test_up_says_what_it_chose_and_what_to_type(seat, said):
    assert f"mode {seat.mode} (" in said
    assert "2 nodes Ready" in said
    assert "workshop kubeconfig" in said or "workshop kubectl" in said


def test_real_processes_under_real_names(seat, said):
    listing = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    directory = json.loads(seat.workshop("status", "-o", "json"))["directory"]
    ours = [line.split()[0] for line in listing.splitlines() if directory in line]
    for program in ("etcd", "kube-apiserver", "kube-scheduler", "kube-controller-manager"):
        assert ours.count(program) == 1, program
    assert ours.count("kubelet") == ours.count("kube-proxy") == 2


def test_a_second_up_changes_nothing(seat, said):
    before = {name: row["pid"] for name, row in seat.processes().items()}
    assert "is running already" in seat.workshop("up")
    assert {name: row["pid"] for name, row in seat.processes().items()} == before


FETCH = """
import sys, time, urllib.error, urllib.request
end = time.monotonic() + 60
while True:  # the Service's endpoints reach each kube-proxy a moment after the API server
    try:
        print(urllib.request.urlopen(sys.argv[1], timeout=60).status)
        break
    except urllib.error.URLError:
        if time.monotonic() > end:
            raise
        time.sleep(0.05)
"""


def test_a_service_answers(seat, web):
    url = seat.workshop("url", "web").strip()
    answer = seat.workshop("shell", "--", seat.python, "-c", FETCH, url)
    assert answer.split()[-1] == "200"


def test_kill_9_of_each_process_loses_nothing(seat, api, web):
    pods = {pod["metadata"]["uid"]: pod["status"]["containerStatuses"][0]["containerID"]
            for pod in api("GET", "/api/v1/namespaces/default/pods?labelSelector=app%3Dweb")["items"]}  # fmt: skip
    assert len(pods) == 3
    victims = {name: row["pid"] for name, row in seat.processes().items() if row["pid"]}
    for number, name in enumerate(victims):
        api(
            "POST",
            "/api/v1/namespaces/default/configmaps",
            {"metadata": {"name": f"written-{number}"}, "data": {"n": str(number)}},
        )
        try:
            os.kill(victims[name], signal.SIGKILL)
        except ProcessLookupError:  # a zygote goes with its supervisor, and the next one may have another already
            assert name == "zygote"
            if heir := seat.processes()[name]["pid"]:
                os.kill(heir, signal.SIGKILL)
        seat.workshop("up")
    os.kill(seat.processes()["supervisor"]["pid"], signal.SIGKILL)  # its heir has to do with the holder's heir
    seat.workshop("up")
    assert seat.processes()["holder"]["pid"] not in (None, victims["holder"])
    names = {item["metadata"]["name"] for item in api("GET", "/api/v1/namespaces/default/configmaps")["items"]}
    assert {f"written-{number}" for number in range(len(victims))} <= names
    now = {pod["metadata"]["uid"]: pod["status"]["containerStatuses"][0]["containerID"]
           for pod in api("GET", "/api/v1/namespaces/default/pods?labelSelector=app%3Dweb")["items"]}  # fmt: skip
    assert now == pods, "no container was touched"


def test_mistakes_are_one_sentence(seat, said):
    assert seat.refuses("logs", "nobody").startswith("workshop: cluster 'workshop' has no process 'nobody'")
    assert "is running with other settings" in seat.refuses("up", "--nodes", "5")


def test_down_leaves_nothing(seat, web):
    directory = json.loads(seat.workshop("status", "-o", "json"))["directory"]
    pids = [row["pid"] for row in seat.processes().values()]
    inside = Path(directory, "nodes").glob("*/run/*/c/*/state.json")
    pids += [json.loads(path.read_text())["pid"] for path in inside]
    assert len(pids) > 11, "containers among them"
    block = json.loads(Path(directory, "cluster.json").read_text())["block"]
    os.kill(seat.processes()["supervisor"]["pid"], signal.SIGKILL)  # nobody takes the containers away in order
    seat.workshop("down", "--purge")
    assert not os.path.exists(directory)
    assert not [pid for pid in pids if (found := procfs.stat(pid)) is not None and found.state not in "ZX"]
    listing = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert [line for line in listing.splitlines() if directory in line and "ps -ww" not in line] == []
    mounts = Path("/proc/self/mountinfo").read_text()
    assert directory not in mounts
    links = os.listdir("/sys/class/net")
    assert not [link for link in links if link == f"ws{block}" or link.startswith(f"ws{block}-")]
    if os.path.isdir("/run/netns"):
        assert not [name for name in os.listdir("/run/netns") if name.startswith(f"ws{block}-")]
