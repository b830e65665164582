"""OpenAPI v3 of a definition: the schemas and paths that kube-apiserver 1.36.2 told of one (custom_openapi.json)."""

import json
from pathlib import Path

from workshop.api import openapi
from workshop.api.custom import definition
from workshop.api.meta import copy

RECORDED = json.loads((Path(__file__).parent / "custom_openapi.json").read_text())


def crd(**version):
    crd = copy(RECORDED["definition"])
    crd["spec"]["versions"][0] |= version
    crd["status"] = {"acceptedNames": crd["spec"]["names"], "conditions": [{"type": "Established", "status": "True"}]}
    return crd


def described(**version):
    return openapi.document("oa.example.com", "v1", definition.resources_of(crd(**version)))


def test_schemas_and_paths_are_the_real_servers():
    document = described()
    own = {name: each for name, each in document["components"]["schemas"].items() if name.startswith("com.")}
    assert own == RECORDED["schemas"]
    assert sorted(document["paths"]) == RECORDED["paths"]


def test_custom_objects_are_not_patched_strategically():
    patch = described()["paths"]["/apis/oa.example.com/v1/namespaces/{namespace}/oagets/{name}"]["patch"]
    assert sorted(patch["requestBody"]["content"]) == [
        "application/apply-patch+yaml",
        "application/json-patch+json",
        "application/merge-patch+json",
    ]
    assert "fieldValidation" in [each["name"] for each in patch["parameters"]]


def test_no_field_is_told_of_a_kind_without_a_schema():
    told = described(schema={})["components"]["schemas"]["com.example.oa.v1.Oaget"]
    assert "properties" not in told
    assert told["x-kubernetes-group-version-kind"]


def test_version_2_leaves_out_what_it_cannot_say():
    document = openapi.swagger(definition.resources_of(crd()), "v1.36.2")
    own = {name: each for name, each in document["definitions"].items() if name.startswith("com.")}
    assert own == RECORDED["v2"]


def test_the_paths_of_a_custom_kind_are_named_as_upstream_names_them():
    paths = openapi.swagger(definition.resources_of(crd()), "v1.36.2")["paths"]
    names = {op["operationId"] for path in paths.values() for key, op in path.items() if key != "parameters"}
    assert {"listOaExampleComV1NamespacedOaget", "patchOaExampleComV1NamespacedOaget"} <= names
