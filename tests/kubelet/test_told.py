"""What a learner is told: files of variables that are wrong, fields that a mode cannot heed, hosts and names."""

from __future__ import annotations

import pytest

from tests.kubelet.builders import container, pod
from workshop.kubelet import configs, env, envfile, unheeded
from workshop.kubelet.env import ConfigError
from workshop.kubelet.unheeded import Abilities

PLAIN = Abilities("plain", namespaces=False, users=False, processor=False)
USERNS = Abilities("userns", namespaces=True, users=False, processor=False)
ROOT = Abilities("root", namespaces=True, users=True, processor=True)


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("# c\n\nA='1' # one\nB='2'\n", "B", "2"),
        ("A='one\ntwo'\nB='2'", "A", "one\ntwo"),
        ("A= '1'\n", "A", ""),
        ("A='1'\n", "Z", ""),
        ("A=1\n", "A", "must be enclosed in single quotes"),
        ("A ='1'\n", "A", "whitespace before '=' is not allowed"),
        ("A='1\n", "A", "starting at line 1: unclosed single quote"),
        ("A='1' x\n", "A", "unexpected content after closing quote"),
        ("A\n", "A", "at line 1: missing '='"),
    ],
)
def test_a_file_of_variables(text, key, expected):
    try:
        found = envfile.value(text, key)
    except ValueError as problem:
        found = str(problem)
    assert found == expected or (expected and found.endswith(expected))


def test_a_variable_out_of_a_file():
    def of(text, **more):
        ref = {"volumeName": "v", "path": "f", "key": "A", **more}
        app = container(env=[{"name": "A", "valueFrom": {"fileKeyRef": ref}}])
        known = {"services": [], "lookup": lambda *_: None, "status": {}, "allocatable": {}}
        return env.container_environment(pod(app), app, read=lambda volume, path: text, **known)

    assert of("A='1'") == {"A": "1"} and of("B='1'", optional=True) == {}
    with pytest.raises(ConfigError, match='environment variable key "A" not found in file "f"'):
        of("B='1'")
    with pytest.raises(ConfigError, match="couldn't parse env file"):
        of("A=1")


@pytest.mark.parametrize(
    ("spec", "inner", "able", "expected"),
    [
        ({}, {}, PLAIN, []),
        ({"securityContext": {"fsGroup": 1}}, {}, PLAIN, ["securityContext.fsGroup"]),
        ({"securityContext": {"fsGroup": 1}}, {}, USERNS, ["securityContext.fsGroup"]),
        ({"securityContext": {"fsGroup": 1}}, {}, ROOT, []),
        ({}, {"securityContext": {"seccompProfile": {}}}, ROOT, ["containers[app].securityContext.seccompProfile"]),
        ({}, {"resources": {"limits": {"cpu": "1"}}}, USERNS, ["containers[app].resources.limits.cpu"]),
        ({"hostAliases": [{"ip": "1.2.3.4"}]}, {}, PLAIN, ["hostAliases"]),
        ({}, {"volumeMounts": [{"name": "v", "readOnly": True}]}, PLAIN, ["containers[app].volumeMounts[v].readOnly"]),
        ({}, {"volumeMounts": [{"name": "kube-api-access-x", "readOnly": True}]}, PLAIN, []),
    ],
)
def test_what_is_accepted_and_not_enforced(spec, inner, able, expected):
    assert unheeded.of(pod(container(**inner), **spec), able) == expected


def test_names_of_a_pod():
    spec = pod(hostname="h", subdomain="sub", setHostnameAsFQDN=True)
    assert configs.kernel_hostname(spec, "cluster.local") == "h.sub.default.svc.cluster.local"
    assert "10.0.0.9\th.sub.default.svc.cluster.local\th\n" in configs.etc_hosts(spec, "10.0.0.9", "cluster.local")
    assert configs.kernel_hostname(pod(hostnameOverride="other.example", subdomain="s"), "d") == "other.example"
    with pytest.raises(ConfigError, match="64 characters is the max"):
        configs.kernel_hostname(pod(hostname="h" * 50, subdomain="sub", setHostnameAsFQDN=True), "cluster.local")
    shared = configs.etc_hosts(pod(hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a"]}]), "", "d", node="127.0.0.1 x\n")
    assert shared.splitlines()[0] == "# Kubernetes-managed hosts file (host network)." and "1.2.3.4\ta\n" in shared
