"""Defaults, against what a real kube-apiserver made of the same manifests (tests/api/real, tools/record_answers.py)."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from workshop.api import decode, defaults
from workshop.api.defaults.core import image_tag
from workshop.api.resources import for_kind, resource

REAL = Path(__file__).parent / "real"
# What the registry adds when it creates an object: allocations, identity, bookkeeping.
REGISTRY = {
    "Pod": ["status"],
    "Service": [
        "spec.clusterIP",
        "spec.clusterIPs",
        "spec.ipFamilies",
        "spec.ipFamilyPolicy",
        "spec.healthCheckNodePort",
    ],
    "Namespace": ["spec.finalizers"],
    "PersistentVolume": ["status.lastPhaseTransitionTime"],
    "DaemonSet": ["metadata.annotations"],
    "CertificateSigningRequest": ["spec.username", "spec.extra", "spec.groups"],
}


def without_registry(obj: dict[str, Any]) -> dict[str, Any]:
    for path in REGISTRY.get(obj["kind"], []):
        *parents, last = path.split(".")
        at = obj
        for name in parents:
            at = at.get(name, {})
        at.pop(last, None)
    for port in obj.get("spec", {}).get("ports", []) if obj["kind"] == "Service" else []:
        port.pop("nodePort", None)
    return obj


def manifests() -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all((REAL / "good.yaml").read_text()) if each]


def key(obj: dict[str, Any]) -> str:
    return f"{obj['apiVersion']} {obj['kind']} {obj['metadata']['name']}"


ANSWERS = {key(obj): obj for obj in json.loads((REAL / "good.json").read_text())}


@pytest.mark.parametrize("manifest", manifests(), ids=key)
def test_defaults_are_the_real_ones(manifest: dict[str, Any]) -> None:
    found = for_kind(manifest["apiVersion"], manifest["kind"])
    assert found is not None
    ours = defaults.apply(found, decode.decode(found, json.dumps(manifest), "Strict")[0])
    if found.namespaced:
        ours["metadata"]["namespace"] = "default"
    assert without_registry(ours) == without_registry(json.loads(json.dumps(ANSWERS[key(manifest)])))


def test_the_argument_is_left_alone() -> None:
    pod = {"spec": {"containers": [{"name": "a", "image": "x"}]}}
    before = json.dumps(pod)
    assert defaults.apply(resource("pods"), pod) is not pod
    assert json.dumps(pod) == before


def test_applying_twice_changes_nothing() -> None:
    for answer in ANSWERS.values():
        found = for_kind(answer["apiVersion"], answer["kind"])
        assert found is not None
        once = defaults.apply(found, answer)
        assert defaults.apply(found, once) == once


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        ("a", "latest"),
        ("a:1", "1"),
        ("h:5000/a", "latest"),
        ("h:5000/a:b", "b"),
        ("a@sha256:0", ""),
        ("a:1@sha256:0", "1"),
    ],
)
def test_image_tags(image: str, tag: str) -> None:
    assert image_tag(image) == tag


def test_the_status_of_a_new_object() -> None:
    assert defaults.fresh_status(resource("pv"), {"spec": {}}) == {"phase": "Pending"}
    assert defaults.fresh_status(resource("deployments"), {"spec": {}}) == {}
    assert defaults.fresh_status(resource("configmaps"), {}) is None
