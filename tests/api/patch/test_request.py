"""Reading PATCH requests. Codes and sentences are a real kube-apiserver's (v1.36.2)."""

import pytest

from workshop.api import errors
from workshop.api.patch import request
from workshop.api.schema import for_kind

JSON, MERGE = "application/json-patch+json", "application/merge-patch+json"
STRATEGIC, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
MAP = "Go value of type map[string]interface {}"


@pytest.mark.parametrize(
    ("content_type", "body", "validation", "message"),
    [
        (MERGE, "{", "Warn", "error decoding patch: unexpected end of JSON input"),
        (MERGE, "[]", "Strict", f"error decoding patch: json: cannot unmarshal array into {MAP}"),
        (MERGE, "null", "Warn", "Invalid JSON Patch"),
        (MERGE, "{", "Ignore", "Invalid JSON Patch"),
        (MERGE, '"x"', "Ignore", "Invalid JSON Patch"),
        (STRATEGIC, "{", "Warn", "unexpected end of JSON input"),
        (STRATEGIC, "1", "Ignore", f"json: cannot unmarshal number into {MAP}"),
        (JSON, "{}", "Warn", "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"),
        (JSON, "[1]", "Warn", "error decoding patch: json: cannot unmarshal number into Go value of type handlers.jsonPatchOp"),
        (JSON, "{}", "Ignore", "json: cannot unmarshal object into Go value of type jsonpatch.Patch"),
        (JSON, "[1]", "Ignore", "json: cannot unmarshal number into Go value of type jsonpatch.Operation"),
        (APPLY, "[]", "Warn", f"error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal array into {MAP}"),
        (APPLY, "{", "Warn", "error decoding YAML: error converting YAML to JSON: yaml: line 1: did not find expected node content"),
    ],
)  # fmt: skip
def test_unreadable(content_type: str, body: str, validation: str, message: str) -> None:
    with pytest.raises(errors.ApiError) as error:
        request.read(content_type, body.encode(), field_validation=validation)
    assert (error.value.code, error.value.message) == (400, message)


def test_media_types() -> None:
    assert request.read(f"{JSON}; charset=utf-8", b"[]").kind == "json"
    with pytest.raises(errors.ApiError, match="415: Unsupported Media Type"):
        request.read("application/json", b"{}")
    with pytest.raises(errors.ApiError) as error:
        request.read(STRATEGIC, b"{}", custom=True)
    assert error.value.message == (
        "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, "
        "application/merge-patch+json, application/apply-patch+yaml"
    )


def test_keys_given_twice_are_told() -> None:
    assert request.read(MERGE, b'{"data":{"a":"1","a":"2"}}').twice == ('duplicate field "data.a"',)
    assert request.read(JSON, b'[{"op":"x","op":"y"}]').twice == ('json patch duplicate field "[0].op"',)
    assert request.read(MERGE, b'{"a":1,"a":2}', field_validation="Ignore").twice == ()


def test_each_kind_changes_the_object() -> None:
    live = {"data": {"a": "b"}}
    schema = for_kind("v1", "ConfigMap")
    for content_type, body in (
        (JSON, b'[{"op":"add","path":"/data/c","value":"d"}]'),
        (MERGE, b'{"data":{"c":"d"}}'),
        (STRATEGIC, b'{"data":{"c":"d"}}'),
    ):
        assert request.change(request.read(content_type, body), live, schema) == {"data": {"a": "b", "c": "d"}}
    assert live == {"data": {"a": "b"}}
    assert request.change(request.read(JSON, b"null"), live, schema) == live
    assert request.change(request.read(STRATEGIC, b"null"), live, schema) == live


def test_options_must_go_with_the_patch() -> None:
    with pytest.raises(errors.ApiError) as error:
        request.check_options(request.read(APPLY, b"{}"), "", None)
    assert error.value.message == (
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
    )
    assert error.value.details["group"] == "meta.k8s.io" and error.value.details["kind"] == "PatchOptions"
    with pytest.raises(errors.ApiError, match="force: Forbidden: may not be specified for non-apply patch"):
        request.check_options(request.read(MERGE, b"{}"), "m", True)
    request.check_options(request.read(MERGE, b"{}"), "", None)


def test_a_configuration_must_be_of_the_urls_kind_and_name() -> None:
    for applied, message in (
        ({}, "invalid object type: /, Kind="),
        ({"apiVersion": "v1", "kind": "Secret"}, "invalid object type: /v1, Kind=Secret"),
        ({"apiVersion": "apps/v1", "kind": "ConfigMap"}, "invalid object type: apps/v1, Kind=ConfigMap"),
        (
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}},
            "the name of the object (other) does not match the name on the URL (pt)",
        ),
    ):
        with pytest.raises(errors.ApiError) as error:
            request.check_applied(applied, "v1", "ConfigMap", "pt")
        assert error.value.message == message
    request.check_applied(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "pt"}}, "v1", "ConfigMap", "pt"
    )


def test_what_does_not_decode_is_told_with_the_patch() -> None:
    patch = request.read(STRATEGIC, b'{"data":{"a":1}}')
    error = request.refused(patch, {}, "cannot convert int64 to string")
    assert error.code == 422
    assert error.message == ' "" is invalid: patch: Invalid value: "map[data:map[a:1]]": cannot convert int64 to string'
    assert error.status["details"] == {
        "causes": [
            {
                "reason": "FieldValueInvalid",
                "message": 'Invalid value: "map[data:map[a:1]]": cannot convert int64 to string',
                "field": "patch",
            }
        ]
    }
    merge = request.refused(request.read(MERGE, b'{"nope":1}'), {"kind": "X", "a": 1}, "no")
    assert merge.message == ' "" is invalid: patch: Invalid value: "{\\"a\\":1,\\"kind\\":\\"X\\"}": no'


@pytest.mark.parametrize(("metadata", "told"), [(1, "&{1}"), ("x", "&{x}"), (["a"], "&{[a]}")])
def test_an_applied_object_whose_metadata_are_none(metadata: object, told: str) -> None:
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    with pytest.raises(errors.ApiError) as caught:
        request.check_applied(applied, "v1", "ConfigMap", "c")
    assert caught.value.code == 500 and caught.value.message.endswith(f".metadata: expected map, got {told}")
