"""OpenAPI v3 documents."""

import re
from typing import Any

import pytest

from workshop.api import openapi
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
