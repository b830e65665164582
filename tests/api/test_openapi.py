"""OpenAPI v3 documents."""

import re
from typing import Any

import pytest

from workshop.api import openapi
from workshop.api.openapi import version2, wire, words
from workshop.api.resources import all_resources, group_versions

ALL = all_resources()


@pytest.mark.parametrize("group", ["", "apps", "apiextensions.k8s.io", "autoscaling"])
def test_every_reference_has_its_schema(group: str) -> None:
    for version in group_versions()[group]:
        made = openapi.document(group, version, ALL)
        text = openapi.dumps({"components": made["components"]}).decode()
        referred = set(re.findall(r"#/components/schemas/([\w.-]+)", text))
        assert referred <= set(made["components"]["schemas"])


def test_kubectl_finds_field_validation() -> None:
    patch = openapi.document("apps", "v1", ALL)["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"][
        "patch"
    ]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "kind": "Deployment", "version": "v1"}
    assert "fieldValidation" in [parameter["name"] for parameter in patch["parameters"]]


def test_schemas_carry_merge_facts_and_descriptions() -> None:
    schemas: dict[str, Any] = openapi.document("apps", "v1", ALL)["components"]["schemas"]
    containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert containers["x-kubernetes-list-map-keys"] == ["name"]
    assert containers["description"].startswith("List of containers belonging to the pod.")
    assert schemas["io.k8s.api.apps.v1.DeploymentSpec"]["required"] == ["selector", "template"]


def test_the_index_changes_with_the_resources() -> None:
    whole, less = openapi.index(ALL)["paths"], openapi.index(ALL[:3])["paths"]
    assert whole["api/v1"] != less["api/v1"]
    assert whole["apis/apps/v1"]["serverRelativeURL"].startswith("/openapi/v3/apis/apps/v1?hash=")


def test_operations_have_upstream_names_and_say_what_they_need() -> None:
    paths = openapi.document("", "v1", ALL)["paths"]
    pod = paths["/api/v1/namespaces/{namespace}/pods/{name}"]
    assert pod["put"]["operationId"] == "replaceCoreV1NamespacedPod"
    assert {each["name"] for each in pod["parameters"] if each.get("required")} == {"name", "namespace"}
    assert paths["/api/v1/pods"]["get"]["operationId"] == "listCoreV1PodForAllNamespaces"
    assert paths["/api/v1/namespaces/{namespace}/pods/{name}/exec"]["post"]["x-kubernetes-action"] == "connect"
    assert "/api/v1/nodes/{name}/proxy/{path}" in paths


def test_version_2_has_bodies_as_parameters_and_bare_references() -> None:
    made = openapi.swagger([r for r in ALL if r.group == "apps"], "v1")
    create = made["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments"]["post"]
    body = next(each for each in create["parameters"] if each["in"] == "body")
    assert body["schema"] == {"$ref": "#/definitions/io.k8s.api.apps.v1.Deployment"}
    spec = made["definitions"]["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]
    assert spec["template"]["$ref"] == "#/definitions/io.k8s.api.core.v1.PodTemplateSpec"
    assert "default" not in str(made["definitions"]["io.k8s.api.core.v1.ContainerPort"])
    assert version2.schema({"format": "int-or-string", "oneOf": []}) == {"type": "string", "format": "int-or-string"}


MESSAGE_V2 = (
    "0a03322e3012120a0a4b756265726e657465731204312e333642004a97010a94010a0161128e019a010161aa01021001b201"
    "080a066f626a656374ca01390a160a016112110a0f232f646566696e6974696f6e732f620a1f0a016e121ab201070a056172"
    "726179ba010d0a0bb201080a06737472696e67fa013b0a1f782d6b756265726e657465732d67726f75702d76657273696f6e"
    "2d6b696e64121812162d2067726f75703a2022220a20206b696e643a204b0a"
)
MESSAGE_V3 = (
    "0a05332e302e3012060a014b32013122002a330a310a2f0a0161122a0a28c20105120322220ac201041202790aca01067374"
    "72696e67d2010712050a03232f628a02031a0178"
)
"""As the Go packages openapiv2 and openapiv3 marshal these two documents."""


def test_messages_are_those_of_upstream() -> None:
    schema = {
        "type": "object", "required": ["a"], "x-kubernetes-group-version-kind": [{"group": "", "kind": "K"}],
        "properties": {"a": {"$ref": "#/definitions/b"}, "n": {"type": "array", "items": {"type": "string"}}},
        "additionalProperties": True,
    }  # fmt: skip
    document = {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "1.36"},
        "paths": {},
        "definitions": {"a": schema},
    }
    assert wire.encode(document, wire.V2).hex() == MESSAGE_V2
    told = {"openapi": "3.0.0", "info": {"title": "K", "version": "1"}, "paths": {}, "components": {"schemas": {"a": {
        "type": "string", "default": "x", "enum": ["", "y"], "allOf": [{"$ref": "#/b"}],
    }}}}  # fmt: skip
    assert wire.encode(told, wire.V3).hex() == MESSAGE_V3


def test_kinds_say_what_they_are_and_fields_keep_their_lines() -> None:
    pod = words.of("io.k8s.api.core.v1.Pod", "core.v1", "Pod")
    assert pod[""].startswith("Pod is a collection of containers") and pod["spec"].startswith("Specification of the")
    pull = words.of("io.k8s.api.core.v1.Container", "core.v1", "Container")["imagePullPolicy"]
    assert '\n\nPossible enum values:\n - `"Always"` means' in pull
