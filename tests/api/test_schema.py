"""Schemas out of the tables of types."""

import json
from pathlib import Path

import pytest

from workshop.api import schema
from workshop.api.resources import all_resources

TYPES = sorted((Path(schema.__file__).parent / "tables" / "types").glob("*.json"))


def field(api_version: str, kind: str, path: str) -> schema.Field:
    root = schema.for_kind(api_version, kind)
    assert root is not None
    found = root.field_at(path)
    assert found is not None
    return found


@pytest.mark.parametrize("path", TYPES, ids=lambda path: path.stem)
def test_every_reference_is_resolved(path: Path) -> None:
    for name in json.loads(path.read_text())["structs"]:
        loaded = schema.load(path.stem, name)
        assert loaded is not None
        for each in loaded.fields.values():
            if each.type.struct is not None and each.type.go != "v1.interface{}":
                assert each.schema is not None, (name, each)


def test_every_persisted_resource_has_a_schema() -> None:
    for resource in all_resources(every_version=True):
        if resource.persisted:
            found = schema.for_kind(resource.api_version, resource.kind)
            assert found is not None and {"kind", "apiVersion", "metadata"} <= set(found.fields), resource


def test_merge_facts() -> None:
    containers = field("apps/v1", "Deployment", "spec.template.spec.containers")
    assert (containers.list_type, containers.map_keys) == ("map", ("name",))
    assert (containers.patch_strategy, containers.merge_key) == (("merge",), "name")
    assert field("v1", "Pod", "spec.volumes").patch_strategy == ("merge", "retainKeys")
    assert field("v1", "Pod", "metadata.finalizers").list_type == "set"
    assert field("v1", "Pod", "spec.nodeSelector").map_type == "atomic"


def test_go_types_as_error_texts_name_them() -> None:
    assert field("apps/v1", "Deployment", "spec.template.spec.containers").type.go == "[]v1.Container"
    assert field("v1", "Pod", "spec.restartPolicy").type.go == "v1.RestartPolicy"
    assert field("v1", "Pod", "spec.containers.resources.limits").type.go == "v1.ResourceList"
    assert field("v1", "Pod", "metadata.uid").type.go == "types.UID"


def test_embedded_structs_are_flattened_in_json_and_kept_for_protobuf() -> None:
    probe = schema.load("core.v1", "Probe")
    assert probe is not None
    assert next(iter(probe.fields)) == "exec"
    assert probe.by_number[1].name == "+ProbeHandler"


def test_enum_and_required() -> None:
    assert field("v1", "Service", "spec.ports.protocol").enum == ("SCTP", "TCP", "UDP")
    assert field("v1", "Service", "spec.ports.port").required


def test_unknown_kinds_have_none() -> None:
    assert schema.for_kind("example.com/v1", "Gizmo") is None
    assert schema.for_kind("v1", "Gizmo") is None
