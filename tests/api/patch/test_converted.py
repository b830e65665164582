"""Patches that put a value where it does not fit: what a real kube-apiserver 1.36.2 says, or makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from workshop.api import errors, schema
from workshop.api.patch import apply, converted, merge, typed

IMAGE = {"name": "a", "image": "b"}


def config_map(**fields: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "n"}, **fields}


def deployment(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "n"}, "spec": spec}


def pod(**fields: Any) -> dict[str, Any]:
    spec = {"containers": [{**IMAGE, **fields}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "n"}, "spec": spec}


def surge(value: Any) -> dict[str, Any]:
    return deployment(strategy={"rollingUpdate": {"maxSurge": value}})


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (config_map(data={"a": 5}), "cannot convert int64 to string"),
        (config_map(data={"a": 1.5}), "unrecognized type: string"),
        (config_map(data={"a": {"b": 1}}), "unrecognized type: string"),
        (config_map(data=7), "cannot restore map from int64"),
        (config_map(immutable="x"), "unrecognized type: bool"),
        (config_map(binaryData={"a": "x"}), "error decoding from json: illegal base64 data at input byte 0"),
        (config_map(binaryData={"a": 5}), "cannot restore slice from int64"),
        (config_map(binaryData={"a": [[]]}), "unrecognized type: uint8"),
        (deployment(replicas=1.5), "cannot convert float64 to int32"),
        (deployment(replicas="1"), "unrecognized type: int32"),
        (deployment(template={"spec": {"containers": {}}}), "cannot restore slice from map"),
        ({**deployment(), "spec": [1]}, "cannot restore struct from: slice"),
        (surge(True), "json: cannot unmarshal bool into Go value of type int32"),
        (surge(5_000_000_000), "json: cannot unmarshal number 5000000000 into Go value of type int32"),
        (pod(imagePullPolicy=5), "cannot convert int64 to v1.PullPolicy"),
        ({**pod(), "status": {"startTime": 5}}, "json: cannot unmarshal number into Go value of type string"),
    ],
)
def test_what_does_not_fit(made: dict[str, Any], said: str) -> None:
    of = schema.for_kind(made["apiVersion"], made["kind"])
    assert of is not None
    with pytest.raises(converted.Unconvertible) as error:
        converted.of_struct(of, made)
    assert str(error.value) == said


def test_numbers_are_cut_to_the_size_of_their_field() -> None:
    of = schema.for_kind("apps/v1", "Deployment")
    assert of is not None
    cut = [converted.of_struct(of, deployment(replicas=n))["spec"]["replicas"] for n in (5_000_000_000, 3.0, 1e300, -1)]
    assert cut == [705_032_704, 3, 0, -1]


CREATE = "failed to create typed patch object (/n; {}): "
MAP, DEPLOYMENT, POD = "/v1, Kind=ConfigMap", "apps/v1, Kind=Deployment", "/v1, Kind=Pod"


@pytest.mark.parametrize(
    ("applied", "kind", "said"),
    [
        (config_map(data={"a": 5}), MAP, ".data.a: expected string, got &value.valueUnstructured{Value:5}"),
        (
            config_map(data={"a": {"b": [{"c": None}, 1.5, "x", True]}}),
            MAP,
            ".data.a: expected string, got &value.valueUnstructured{Value:map[string]interface {}"
            '{"b":[]interface {}{map[string]interface {}{"c":interface {}(nil)}, 1.5, "x", true}}}',
        ),
        (config_map(data=[1]), MAP, ".data: expected map, got &{[1]}"),
        (config_map(immutable={"b": [{"c": None}]}), MAP, ".immutable: expected boolean, got &{map[b:[map[c:<nil>]]]}"),
        (deployment(replicas="1"), DEPLOYMENT, ".spec.replicas: expected numeric (int or float), got string"),
        (
            deployment(template={"spec": {"containers": "x"}}),
            DEPLOYMENT,
            ".spec.template.spec.containers: expected list, got &{x}",
        ),
        (
            pod(resources={"limits": {"cpu": [[]]}}),
            POD,
            '.spec.containers[name="a"].resources.limits.cpu: expected any scalar, got &{[[]]}',
        ),
    ],
)
def test_what_cannot_be_applied(applied: dict[str, Any], kind: str, said: str) -> None:
    of = schema.for_kind(applied["apiVersion"], applied["kind"])
    assert of is not None
    with pytest.raises(errors.ApiError) as error:
        apply.check(applied, typed.of_schema(of))
    assert (error.value.code, error.value.message) == (500, CREATE.format(kind) + said)


def test_nulls_in_what_a_merge_patch_brings_new() -> None:
    patch = {"new": {"list": [{"a": None, "b": 1}, None]}, "old": {"map": [None, {"a": None}], "text": {"a": None}}}
    found = merge.apply({"old": {"map": {}, "text": "x"}}, patch)
    assert found == {"new": {"list": [{"b": 1}, None]}, "old": {"map": [None, {"a": None}], "text": {}}}
