"""The official Python client as the judge: lists, watches, patches, errors, exec streams and port-forward."""

from __future__ import annotations

import gc
import itertools
import json
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .kubectl import eventually

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import kubernetes
    from kubernetes import client, config, utils, watch
    from kubernetes.client.rest import ApiException
    from kubernetes.stream import portforward, stream

_count = itertools.count()


@pytest.fixture(scope="module")
def api(kubeconfig: str) -> Iterator[client.ApiClient]:
    configuration = client.Configuration()
    config.load_kube_config(kubeconfig, client_configuration=configuration)
    with client.ApiClient(configuration) as api_client:
        yield api_client
        api_client.rest_client.pool_manager.clear()
    collect()


def collect() -> None:
    """The official client leaves sockets to the garbage collector; let that happen here, not in a later test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def ns(api: client.ApiClient) -> Iterator[str]:
    core = client.CoreV1Api(api)
    name = f"py{os.getpid()}-{next(_count)}"
    core.create_namespace({"metadata": {"name": name}})
    # A pod is admitted once its namespace has its default account.
    eventually(lambda: any(o.metadata.name == "default" for o in core.list_namespaced_service_account(name).items))
    yield name
    core.delete_namespace(name)
    collect()


def pod(name: str, *command: str, image: str = "busybox") -> dict[str, Any]:
    container: dict[str, Any] = {"name": "c", "image": image}
    if command:
        container["command"] = list(command)
    return {
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
    }


def running(core: client.CoreV1Api, ns: str, name: str, also: Callable[[Any], bool] = lambda status: True) -> Any:
    """The pod, once it runs and its status is `also` as wanted."""
    for event in watch.Watch().stream(
        core.list_namespaced_pod, ns, field_selector=f"metadata.name={name}", timeout_seconds=60
    ):
        if event["object"].status.phase == "Running" and also(event["object"].status):
            return event["object"]
    raise AssertionError(f"{name} did not run")


def test_the_version(api: client.ApiClient) -> None:
    version = client.VersionApi(api).get_code()
    assert (version.major, version.minor) == ("1", "36")
    assert version.git_version.startswith("v1.36.")


def test_create_read_replace_delete(api: client.ApiClient, ns: str) -> None:
    core = client.CoreV1Api(api)
    made = core.create_namespaced_config_map(ns, {"metadata": {"name": "a"}, "data": {"x": "1"}})
    assert made.metadata.uid and made.metadata.resource_version
    made.data["x"] = "2"
    replaced = core.replace_namespaced_config_map("a", ns, made)
    assert int(replaced.metadata.resource_version) > int(made.metadata.resource_version)
    with pytest.raises(ApiException) as conflict:
        core.replace_namespaced_config_map("a", ns, made)
    assert conflict.value.status == 409
    core.delete_namespaced_config_map("a", ns)
    with pytest.raises(ApiException) as missing:
        core.read_namespaced_config_map("a", ns)
    assert missing.value.status == 404


@pytest.mark.any_mode
def test_patches(api: client.ApiClient, ns: str) -> None:
    apps = client.AppsV1Api(api)
    labels = {"app": "web"}
    apps.create_namespaced_deployment(
        ns,
        {
            "metadata": {"name": "web"},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "c", "image": "nginx"}]},
                },
            },
        },
    )
    side = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "redis"}]}}}}
    patched = apps.patch_namespaced_deployment("web", ns, side)
    assert {c.name for c in patched.spec.template.spec.containers} == {"c", "side"}
    replaced = apps.patch_namespaced_deployment("web", ns, [{"op": "replace", "path": "/spec/paused", "value": True}])
    assert replaced.spec.paused
    scale = apps.patch_namespaced_deployment_scale("web", ns, {"spec": {"replicas": 2}})
    assert scale.spec.replicas == 2


@pytest.mark.any_mode
def test_pages(api: client.ApiClient, ns: str) -> None:
    core = client.CoreV1Api(api)
    for i in range(5):
        core.create_namespaced_config_map(ns, {"metadata": {"name": f"m{i}", "labels": {"paged": "yes"}}})
    seen: list[str] = []
    token = None
    while True:
        page = core.list_namespaced_config_map(ns, limit=2, _continue=token, label_selector="paged=yes")
        seen += [o.metadata.name for o in page.items]
        token = page.metadata._continue
        if not token:
            break
    assert seen == [f"m{i}" for i in range(5)]


@pytest.mark.any_mode
def test_a_watch_sees_all_changes_in_order(api: client.ApiClient, ns: str) -> None:
    core = client.CoreV1Api(api)
    start = core.list_namespaced_config_map(ns).metadata.resource_version

    def write() -> None:
        for i in range(20):
            core.create_namespaced_config_map(ns, {"metadata": {"name": f"w{i}"}})
        core.delete_namespaced_config_map("w0", ns)

    writer = threading.Thread(target=write)
    writer.start()
    events = []
    watcher = watch.Watch()
    for event in watcher.stream(core.list_namespaced_config_map, ns, resource_version=start, timeout_seconds=60):
        if event["object"].metadata.name.startswith("w"):
            events.append(
                (event["type"], event["object"].metadata.name, int(event["object"].metadata.resource_version))
            )
        if event["type"] == "DELETED":
            watcher.stop()
    writer.join()
    assert [e[:2] for e in events] == [*(("ADDED", f"w{i}") for i in range(20)), ("DELETED", "w0")]
    versions = [e[2] for e in events]
    assert versions == sorted(set(versions))


@pytest.mark.any_mode
def test_a_watch_from_the_compacted_past_is_gone(api: client.ApiClient, ns: str) -> None:
    core = client.CoreV1Api(api)
    with pytest.raises(ApiException) as gone:
        for _ in watch.Watch().stream(
            core.list_namespaced_config_map, ns, resource_version="999999999", timeout_seconds=5
        ):
            pass
        core.list_namespaced_config_map(ns, resource_version="999999999", resource_version_match="NotOlderThan")
    assert gone.value.status == 504 or gone.value.status == 410


@pytest.mark.any_mode
def test_create_from_yaml(api: client.ApiClient, ns: str) -> None:
    utils.create_from_dict(api, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}}, namespace=ns)  # fmt: skip
    assert client.CoreV1Api(api).read_namespaced_secret("s", ns).data == {"a": "Yg=="}


@pytest.mark.any_mode
def test_errors_carry_a_status(api: client.ApiClient, ns: str) -> None:
    core = client.CoreV1Api(api)
    with pytest.raises(ApiException) as invalid:
        core.create_namespaced_pod(ns, {"metadata": {"name": "Bad_Name"}, "spec": {"containers": []}})
    status = json.loads(invalid.value.body)
    assert (status["code"], status["reason"], status["details"]["kind"]) == (422, "Invalid", "Pod")
    assert {c["field"] for c in status["details"]["causes"]} >= {"metadata.name", "spec.containers"}


@pytest.mark.any_mode
def test_custom_objects_of_an_unknown_group(api: client.ApiClient) -> None:
    with pytest.raises(ApiException) as missing:
        client.CustomObjectsApi(api).list_cluster_custom_object("example.com", "v1", "things")
    assert missing.value.status == 404


@pytest.mark.any_mode
def test_leases_elect(api: client.ApiClient, ns: str) -> None:
    coordination = client.CoordinationV1Api(api)
    made = coordination.create_namespaced_lease(
        ns, {"metadata": {"name": "l"}, "spec": {"holderIdentity": "me", "leaseDurationSeconds": 15}}
    )
    made.spec.holder_identity = "you"
    assert coordination.replace_namespaced_lease("l", ns, made).spec.holder_identity == "you"


def test_exec_streams_both_ways(api: client.ApiClient, ns: str, containers: None) -> None:
    core = client.CoreV1Api(api)
    core.create_namespaced_pod(ns, pod("box", "sleep", "3600"))
    running(core, ns, "box")
    assert stream(
        core.connect_get_namespaced_pod_exec, "box", ns, command=["echo", "hello"],
        stdout=True, stderr=True, stdin=False, tty=False,
    ) == "hello\n"  # fmt: skip
    session = stream(
        core.connect_get_namespaced_pod_exec, "box", ns, command=["sh"],
        stdout=True, stderr=True, stdin=True, tty=False, _preload_content=False,
    )  # fmt: skip
    session.write_stdin("echo typed; exit 5\n")
    assert session.readline_stdout(timeout=60) == "typed"
    session.run_forever(timeout=60)
    assert session.returncode == 5
    session.close()


def test_logs_and_port_forward(api: client.ApiClient, ns: str, containers: None) -> None:
    core = client.CoreV1Api(api)
    web = pod("web", image="nginx")
    web["spec"]["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": 80}, "periodSeconds": 1}
    core.create_namespaced_pod(ns, web)
    running(core, ns, "web", lambda status: all(c.ready for c in status.container_statuses))
    forward = portforward(core.connect_get_namespaced_pod_portforward, "web", ns, ports="80")
    socket = forward.socket(80)
    try:
        socket.setblocking(True)
        socket.sendall(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
        answer = b""
        while data := socket.recv(4096):
            answer += data
    finally:
        forward.close()
    assert answer.startswith(b"HTTP/1.1 200")
    assert forward.error(80) is None
    eventually(lambda: "GET / " in core.read_namespaced_pod_log("web", ns))


def test_the_client_is_of_this_level() -> None:
    assert kubernetes.__version__.startswith("36.")
