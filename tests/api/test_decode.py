"""Reading JSON by a schema. The messages were taken from a real kube-apiserver."""

import json
from typing import Any

import pytest

from workshop.api import decode, reading, schema
from workshop.api.errors import ApiError
from workshop.api.patch import merge
from workshop.api.resources import resource
from workshop.api.self_reading import DecodeError

DEPLOYMENTS = resource("deployments")


def body(**parts: Any) -> str:
    return json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", **parts})


def refusal(text: str, field_validation: str = "Strict") -> str:
    with pytest.raises(ApiError) as caught:
        decode.decode(DEPLOYMENTS, text, field_validation)
    assert caught.value.code == 400 and caught.value.reason == "BadRequest"
    return caught.value.message


CANNOT = 'Deployment in version "v1" cannot be handled as a Deployment: '
DOUBLED = """{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"x","foo":1},"spec":{"replicas":1,"replicas":2,
"bar":1,"template":{"spec":{"containers":[{"name":"a","imagee":"x","ports":[{"a":1}]}]}}}}"""
STRICT = [
    'unknown field "metadata.foo"',
    'duplicate field "spec.replicas"',
    'unknown field "spec.bar"',
    'unknown field "spec.template.spec.containers[0].imagee"',
    'unknown field "spec.template.spec.containers[0].ports[0].a"',
]


def test_strict_tells_all_at_once() -> None:
    assert refusal(DOUBLED) == CANNOT + "strict decoding error: " + ", ".join(STRICT)


def test_warn_prunes_and_keeps_the_last_double() -> None:
    obj, warnings = decode.decode(DEPLOYMENTS, DOUBLED, "Warn")
    assert warnings == STRICT
    assert obj["spec"]["replicas"] == 2
    assert "foo" not in obj["metadata"] and "bar" not in obj["spec"]


def test_ignore_says_nothing() -> None:
    assert decode.decode(DEPLOYMENTS, DOUBLED, "Ignore")[1] == []


def template(**container: Any) -> dict[str, Any]:
    return {"template": {"spec": {"containers": [container]}}}


QUANTITIES = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
INTO = "json: cannot unmarshal {} into Go struct field {} of type {}"


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"spec": {"replicas": "a"}}, INTO.format("string", "DeploymentSpec.spec.replicas", "int32")),
        ({"spec": {"replicas": 1.5}}, INTO.format("number 1.5", "DeploymentSpec.spec.replicas", "int32")),
        (
            {"spec": {"replicas": 99999999999}},
            INTO.format("number 99999999999", "DeploymentSpec.spec.replicas", "int32"),
        ),
        ({"metadata": {"name": 5}, "spec": 1}, INTO.format("number", "ObjectMeta.metadata.name", "string")),
        ({"metadata": {"labels": {"a": 1}}}, INTO.format("number", "ObjectMeta.metadata.labels", "string")),
        (
            {"spec": template(name=5, x=1)},
            INTO.format("number", "Container.spec.template.spec.containers.name", "string"),
        ),
        (
            {"spec": {"template": {"spec": {"restartPolicy": 5}}}},
            INTO.format("number", "PodSpec.spec.template.spec.restartPolicy", "v1.RestartPolicy"),
        ),
        ({"metadata": []}, INTO.format("array", "Deployment.metadata", "v1.ObjectMeta")),
        ({"spec": 5}, INTO.format("number", "Deployment.spec", "v1.DeploymentSpec")),
        (
            {"spec": {"strategy": {"rollingUpdate": {"maxSurge": True}}}},
            INTO.format("bool", "RollingUpdateDeployment.spec.strategy.rollingUpdate.maxSurge", "int32"),
        ),
        ({"spec": template(resources={"limits": {"cpu": "x"}})}, QUANTITIES),
        (
            {"metadata": {"creationTimestamp": "foo"}},
            'parsing time "foo" as "2006-01-02T15:04:05Z07:00": cannot parse "foo" as "2006"',
        ),
        (
            {"metadata": {"creationTimestamp": 5}},
            INTO.format("number", "ObjectMeta.metadata.creationTimestamp", "string"),
        ),
    ],
)
def test_wrong_types(parts: dict[str, Any], message: str) -> None:
    assert refusal(body(**parts)) == CANNOT + message


def test_bodies_that_are_no_deployment() -> None:
    lead = "the object provided is unrecognized (must be of type Deployment): couldn't get version/kind; json parse error: "
    cut = '{"apiVersion":"apps/v1","kind":"Deployment","spec":5,\n'
    assert refusal(cut) == lead + 'unexpected end of JSON input ({"apiVersion":"apps/v1","kind" ...)'
    assert refusal("\n") == lead + "unexpected end of JSON input (0a)"
    assert "json: cannot unmarshal array into Go value of type struct" in refusal("[]")
    assert refusal('{"kind":"Deploymentx","apiVersion":"apps/v1"}') == (
        'Deploymentx in version "v1" cannot be handled as a Deployment: no kind "Deploymentx" is registered for version '
        '"apps/v1" in scheme "pkg/api/legacyscheme/scheme.go:30"'
    )


def test_kind_and_version_may_be_missing() -> None:
    assert decode.decode(DEPLOYMENTS, "{}")[0]["kind"] == "Deployment"


def converted(kind: str, value: dict[str, Any], api_version: str = "v1") -> dict[str, Any]:
    found = schema.for_kind(api_version, kind)
    assert found is not None
    return reading.convert(found, value).obj


def test_canonical_form() -> None:
    pod = converted(
        "Pod",
        {
            "spec": {
                "hostNetwork": False,
                "nodeName": "",
                "tolerations": [],
                "containers": [{"image": "x", "name": "a", "resources": {"limits": {"cpu": "1000m"}}, "env": None}],
            },
            "metadata": {"creationTimestamp": "2026-01-01T01:00:00.75+01:00"},
        },
    )
    assert pod == {
        "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"containers": [{"name": "a", "image": "x", "resources": {"limits": {"cpu": "1"}}}]},
        "status": {},
    }
    assert list(pod["spec"]["containers"][0]) == ["name", "image", "resources"]


def test_what_go_writes_even_when_zero() -> None:
    assert converted("Role", {}, "rbac.authorization.k8s.io/v1") == {"metadata": {}, "rules": None}
    assert converted("Pod", {"status": {"conditions": [{"type": "Ready", "status": "True"}]}})["status"][
        "conditions"
    ] == [{"type": "Ready", "status": "True", "lastProbeTime": None, "lastTransitionTime": None}]


def test_pointers_keep_zero() -> None:
    assert converted("Deployment", {"spec": {"replicas": 0}}, "apps/v1")["spec"]["replicas"] == 0
    env = converted("Pod", {"spec": {"containers": [{"name": "a", "env": [{"name": "A", "value": ""}]}]}})
    assert env["spec"]["containers"][0]["env"] == [{"name": "A"}]


def test_micro_times_need_six_digits() -> None:
    lease = {"spec": {"renewTime": "2026-01-01T00:00:00.123456Z"}}
    assert converted("Lease", lease, "coordination.k8s.io/v1")["spec"] == lease["spec"]
    with pytest.raises(DecodeError, match=r'cannot parse "\.5Z" as "\.000000"'):
        converted("Lease", {"spec": {"renewTime": "2026-01-01T00:00:00.5Z"}}, "coordination.k8s.io/v1")


def test_deep_nesting_is_refused_not_crashed() -> None:
    refusal("[" * 100_000)


def test_what_was_read_before_is_not_read_again() -> None:
    """A merge patch shares what it leaves alone with the object; the rest is read as ever."""
    pod = {"metadata": {"name": "a", "labels": {"b": "c"}}, "spec": {"containers": [{"name": "web", "image": "nginx"}]}}
    old, _ = decode.decode_value("v1", "Pod", pod)
    for patch in (
        {"metadata": {"annotations": {"n": "1"}}},
        {"spec": {"nodeName": "node-1", "nonsense": 1}},
        {"metadata": {"labels": {"b": None}, "more": []}, "status": {"phase": "Running"}},
    ):
        new = merge.apply(old, patch)
        assert decode.decode_value("v1", "Pod", new, known=old) == decode.decode_value("v1", "Pod", new)
    broken = merge.apply(old, {"spec": {"containers": [{"name": 7}]}})
    with pytest.raises(ApiError, match="cannot unmarshal number"):
        decode.decode_value("v1", "Pod", broken, known=old)
