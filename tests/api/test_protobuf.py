"""Protobuf bodies, against small ones made by hand here and, where KUBE_SOURCE names a checkout, upstream's own."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from workshop.api import protobuf, schema


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = b""
    while number > 0x7F:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def part(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    type_meta = part(1, api_version) + part(2, kind)
    return protobuf.MAGIC + part(1, type_meta) + part(2, raw) + part(3, "") + part(4, "")


def test_a_config_map_with_labels_and_data() -> None:
    metadata = part(1, "a") + part(11, part(1, "app") + part(2, "web"))
    raw = part(1, metadata) + part(2, part(1, "k") + part(2, "v"))
    assert protobuf.decode(envelope("v1", "ConfigMap", raw)) == {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {"name": "a", "labels": {"app": "web"}},
        "data": {"k": "v"},
    }


def test_int_or_string_and_negative_numbers() -> None:
    port = part(3, 80) + part(4, part(1, 1) + part(3, "http")) + part(5, -1)
    service = protobuf.decode_raw("v1", "Service", part(2, part(1, port)))
    assert service["spec"]["ports"] == [{"port": 80, "targetPort": "http", "nodePort": -1}]


def test_quantity_time_and_embedded_source() -> None:
    claim = part(1, "v") + part(2, part(2, part(2, part(1, "1Gi"))))
    metadata = part(8, part(1, 1_767_225_600))
    pod = protobuf.decode_raw("v1", "Pod", part(1, metadata) + part(2, part(1, claim)))
    assert pod["metadata"]["creationTimestamp"] == "2026-01-01T00:00:00Z"
    assert pod["spec"]["volumes"] == [{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}]


def test_options_and_subresources() -> None:
    uid = part(2, part(1, "u"))
    assert protobuf.decode_raw("v1", "DeleteOptions", part(1, 5) + uid) == {
        "gracePeriodSeconds": 5,
        "preconditions": {"uid": "u"},
    }
    token = protobuf.decode_raw("authentication.k8s.io/v1", "TokenRequest", part(2, part(1, "aud") + part(4, 600)))
    assert token["spec"] == {"audiences": ["aud"], "expirationSeconds": 600, "boundObjectRef": None}


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"{}", "does not appear to be a protobuf message"),
        (envelope("v1", "Gizmo", b""), 'no kind "Gizmo"'),
        (envelope("v1", "Pod", part(1, "x")[:-1] + b""), "unexpected EOF|provided"),
        (envelope("v1", "Pod", b"\x0b"), "illegal wireType"),
        (envelope("v1", "Pod", part(1, part(1, b"\xff"))), "UTF-8"),
        (protobuf.MAGIC + b"\x0a\xff", "unexpected EOF"),
    ],
)
def test_malformed_bodies(body: bytes, complaint: str) -> None:
    with pytest.raises(protobuf.MalformedError, match=complaint):
        protobuf.decode(body)


def upstream_objects() -> list[Path]:
    source = os.environ.get("KUBE_SOURCE", "")
    return sorted((Path(source) / "staging/src/k8s.io/api/testdata/HEAD").glob("*.pb")) if source else []


@pytest.mark.skipif(not upstream_objects(), reason="KUBE_SOURCE names no checkout of kubernetes/kubernetes")
def test_upstreams_objects_are_read_as_their_json() -> None:
    read = 0
    for path in upstream_objects():
        wanted: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
        if schema.for_kind(wanted.get("apiVersion", ""), wanted.get("kind", "")) is not None:
            assert protobuf.decode(path.read_bytes()) == wanted, path.name
            read += 1
    assert read > 100


@pytest.mark.parametrize("body", [b"k8s\x00\x08\x01", b"k8s\x00\n\x02\x08\x01", b"k8s\x00\x10\x01"])
def test_a_number_in_the_place_of_a_message_is_refused(body: bytes) -> None:
    with pytest.raises(protobuf.MalformedError):
        protobuf.decode(body)
