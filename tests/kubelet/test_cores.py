"""Probes, back-off, environment, images, addresses and configurations: small pure parts."""

from __future__ import annotations

import base64

import pytest

from tests.kubelet.builders import container, pod
from workshop.kubelet import configs, env, node_status, probes
from workshop.kubelet.backoff import Backoff, go_duration
from workshop.kubelet.env import ConfigError
from workshop.kubelet.images import catalogue
from workshop.kubelet.network import NetworkError, load
from workshop.kubelet.network.bridge import route_changes
from workshop.kubelet.network.ipam import Pool
from workshop.kubelet.probes import Result, Settings, State


def test_a_verdict_needs_as_many_equal_results_as_the_threshold():
    settings, state = Settings(failure_threshold=3, success_threshold=2), State(verdict=True)
    for ok, verdict in [(False, True), (False, True), (True, True), (False, True), (False, True), (False, False)]:
        state = probes.observe(state, Result(ok), settings)
        assert state.verdict is verdict
    state = probes.observe(state, Result(True), settings)
    assert state.verdict is False
    assert probes.observe(state, Result(True), settings).verdict is True


def test_back_off_doubles_to_its_limit_and_forgets_after_quiet():
    backoff, now = Backoff(), 1000.0
    waits = []
    for _ in range(7):
        backoff.next("k", now, now)
        waits.append(backoff.wait("k"))
    assert waits == [10, 20, 40, 80, 160, 300, 300]
    assert backoff.remaining("k", now, now + 299) == 1
    assert backoff.remaining("k", now + 601, now + 601) == 0
    assert [go_duration(w) for w in (10, 80, 300)] == ["10s", "1m20s", "5m0s"]


def test_expansion():
    values = {"A": "1", "B": "$(A)"}
    assert env.expand("$(A) $(B) $(C) $$(A) $A", values) == "1 $(A) $(C) $(A) $A"


def test_environment_in_upstreams_order():
    service = {
        "metadata": {"name": "redis-master", "namespace": "default"},
        "spec": {"clusterIP": "10.0.0.11", "ports": [{"name": "db", "port": 6379}]},
    }
    secret = {"kind": "Secret", "data": {"key": base64.b64encode(b"pw").decode()}}
    app = container(
        envFrom=[{"prefix": "P_", "configMapRef": {"name": "c"}}],
        env=[
            {"name": "X", "value": "$(P_a)-$(REDIS_MASTER_SERVICE_PORT_DB)"},
            {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "key"}}},
            {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {
                "name": "L",
                "valueFrom": {"resourceFieldRef": {"containerName": "app", "resource": "limits.cpu", "divisor": "1m"}},
            },
        ],
        resources={"limits": {"cpu": "1500m"}},
    )
    objects = {("ConfigMap", "c"): {"data": {"a": "1"}}, ("Secret", "s"): secret}
    found = env.container_environment(
        pod(app),
        app,
        services=[service],
        lookup=lambda kind, _, name: objects.get((kind, name)),
        status={},
        allocatable={},
    )
    assert found["X"] == "1-6379" and found["S"] == "pw" and found["N"] == "web" and found["L"] == "1500"
    assert found["REDIS_MASTER_PORT_6379_TCP"] == "tcp://10.0.0.11:6379"


def test_a_missing_config_map_is_named():
    app = container(env=[{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}])

    def environment(lookup):
        return env.container_environment(pod(app), app, services=[], lookup=lookup, status={}, allocatable={})

    with pytest.raises(ConfigError, match='configmap "c" not found'):
        environment(lambda *_: None)
    with pytest.raises(ConfigError, match="couldn't find key k in ConfigMap default/c"):
        environment(lambda *_: {"data": {}})


@pytest.mark.parametrize(
    ("image", "name", "policy"),
    [
        ("nginx", "docker.io/library/nginx:latest", "Always"),
        ("nginx:1.25", "docker.io/library/nginx:1.25", "IfNotPresent"),
        ("me/nginx", "docker.io/me/nginx:latest", "Always"),
        ("localhost:5000/a/busybox:1", "localhost:5000/a/busybox:1", "IfNotPresent"),
        (
            "registry.k8s.io/e2e-test-images/agnhost:2.53",
            "registry.k8s.io/e2e-test-images/agnhost:2.53",
            "IfNotPresent",
        ),
    ],
)
def test_image_names(image, name, policy):
    assert catalogue.canonical(image) == name
    assert catalogue.default_pull_policy(image) == policy
    assert catalogue.find(image) is not None


def test_unknown_and_invalid_images():
    assert catalogue.find("nosuch") is None
    assert "nginx" in catalogue.not_found("nosuch")
    with pytest.raises(catalogue.InvalidImageName, match="invalid reference format"):
        catalogue.parse("Bad Image!")


def test_command_replaces_entrypoint_and_args_replace_cmd():
    nginx = catalogue.find("nginx")
    assert catalogue.arguments(nginx, (), ()) == ("/docker-entrypoint.sh", "nginx", "-g", "daemon off;")
    assert catalogue.arguments(nginx, (), ("nginx", "-t")) == ("/docker-entrypoint.sh", "nginx", "-t")
    assert catalogue.arguments(nginx, ("sleep",), ("1",)) == ("sleep", "1")
    assert catalogue.arguments(nginx, ("sleep",), ()) == ("sleep",)


def test_addresses_go_round_before_one_is_given_again():
    pool = Pool("10.4.0.0/29")
    assert [pool.take(owner) for owner in "abc"] == ["10.4.0.2", "10.4.0.3", "10.4.0.4"]
    pool.release("a")
    assert pool.take("d") == "10.4.0.5" and pool.take("b") == "10.4.0.3"
    assert pool.take("e") == "10.4.0.6" and pool.take("f") == "10.4.0.2"
    with pytest.raises(NetworkError, match="no IP addresses available"):
        pool.take("g")


def test_routes_are_changed_not_made_again():
    have = {"10.4.1.0/24": "10.4.254.11", "10.4.2.0/24": "10.4.254.12"}
    want = {"10.4.2.0/24": "10.4.254.12", "10.4.3.0/24": "10.4.254.13"}
    script = "route del 10.4.1.0/24 via 10.4.254.11\nroute replace 10.4.3.0/24 via 10.4.254.13\n"
    assert route_changes(have, want) == script


def test_network_configuration(tmp_path):
    assert load(str(tmp_path / "none")) is None and load(str(tmp_path)) is None
    (tmp_path / "10-w.conf").write_text('{"name": "w", "type": "loopback", "portShift": 5}')
    assert load(str(tmp_path)).port_shift == 5
    (tmp_path / "05-w.conf").write_text('{"name": "w", "type": "flannel"}')
    with pytest.raises(NetworkError, match='failed to find plugin "flannel"'):
        load(str(tmp_path))


def test_security_context_and_resources():
    spec = pod(container(securityContext={"runAsNonRoot": True}))
    with pytest.raises(ConfigError, match="container has runAsNonRoot and image will run as root"):
        configs.security(spec, spec["spec"]["containers"][0])
    app = container(resources={"limits": {"cpu": "500m", "memory": "64Mi"}})
    found = configs.resources(pod(app), app, 8 << 30)
    assert (found.cpu_quota, found.cpu_shares, found.memory_limit) == (50_000, 512, 64 << 20)


def test_dns_of_a_pod():
    servers, searches, options = configs.dns(pod(), ("10.0.0.10",), "cluster.local")
    assert servers == ("10.0.0.10",) and options == ("ndots:5",)
    assert searches == ("default.svc.cluster.local", "svc.cluster.local", "cluster.local")


def test_taints():
    assert node_status.taint("a=b:NoSchedule") == {"key": "a", "value": "b", "effect": "NoSchedule"}
    with pytest.raises(ValueError, match="invalid taint spec"):
        node_status.taint("a=b")
