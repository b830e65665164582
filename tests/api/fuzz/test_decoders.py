"""Any bytes at every door: an answer in words, or a value; nothing else, and in time.

Longer: WORKSHOP_FUZZ=100000 pytest tests/api/fuzz
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workshop.api import codec, decode, errors, fields, labels, meta, protobuf, quantity
from workshop.api.patch import apply, fieldset, merge, strategic
from workshop.api.patch import request as patches
from workshop.api.schema import for_kind

bounded = settings(
    max_examples=int(os.environ.get("WORKSHOP_FUZZ", "60")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
KINDS = (("v1", "Pod"), ("apps/v1", "Deployment"), ("v1", "ConfigMap"))
POD = b"apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {b: c}}\nspec: {containers: [{name: c, image: d}]}\n"
words = st.sampled_from(
    ["metadata", "spec", "name", "labels", "containers", "data", "replicas", "kind", "apiVersion", "$patch", "delete",
     "$setElementOrder/containers", "v1", "Pod", "image", "resources", "limits", "cpu", "1e3", "100m", "", "\x00", "é"]
)  # fmt: skip
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | words
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4))


@st.composite
def bent(draw: st.DrawFn, whole: bytes) -> bytes:
    """A good text with a piece of it replaced."""
    start = draw(st.integers(0, len(whole)))
    end = draw(st.integers(start, min(len(whole), start + 8)))
    return whole[:start] + draw(st.binary(max_size=6)) + whole[end:]


DOORS: dict[str, Callable[[bytes], Any]] = {
    "json": codec.loads,
    "yaml": lambda data: codec.load_yaml(data, doubled=[]),
    "protobuf": protobuf.decode,
    "selector": lambda data: labels.parse(data.decode(errors="replace")),
    "field selector": lambda data: fields.parse(data.decode(errors="replace")),
    "quantity": lambda data: quantity.parse(data.decode(errors="replace")),
    **{f"patch {name}": (lambda data, name=name: patches.read(name, data)) for name in patches.TYPES},
    **{kind: (lambda data, of=(version, kind): decode.decode_kind(*of, data)) for version, kind in KINDS},
}


@pytest.mark.parametrize("door", DOORS)
@bounded
@given(
    data=st.binary(max_size=60)
    | bent(POD)
    | bent(b"k8s\x00\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x07\x0a\x05\x0a\x01a\x12\x00")
)
def test_bytes(door: str, data: bytes) -> None:
    try:
        DOORS[door](data)
    except (errors.ApiError, ValueError) as error:
        assert str(error)


@pytest.mark.parametrize(("version", "kind"), KINDS)
@bounded
@given(value=values)
def test_values_and_what_is_read_reads_the_same_again(version: str, kind: str, value: Any) -> None:
    try:
        read, _ = decode.decode_kind(version, kind, json.dumps(value))
    except errors.ApiError as error:
        assert error.status["code"] == 400
        return
    assert decode.decode_kind(version, kind, json.dumps(read)) == (read, [])


@bounded
@given(live=st.dictionaries(words, values, max_size=4), body=values)
def test_patches_change_or_complain(live: dict[str, Any], body: Any) -> None:
    schema = for_kind("v1", "Pod")
    for name, kind in patches.TYPES.items():
        if kind == "apply":
            continue
        try:
            patches.change(patches.read(name, json.dumps(body).encode()), meta.copy(live), schema)
        except errors.ApiError as error:
            assert error.status["code"] in (400, 422, 500)


keys = st.sampled_from("abc")
plain = st.dictionaries(keys, st.integers(0, 3) | st.dictionaries(keys, st.integers(0, 3), max_size=3), max_size=3)


@bounded
@given(plain, plain)
def test_merges_of_different_fields_commute(first: dict[str, Any], second: dict[str, Any]) -> None:
    second = {f"other-{key}": value for key, value in second.items()}
    live = {"a": 1, "other-a": {"b": 2}}
    assert merge.apply(merge.apply(live, first), second) == merge.apply(merge.apply(live, second), first)


names = st.lists(st.sampled_from("abcd"), unique=True, max_size=4)


@bounded
@given(names, names)
def test_a_strategic_patch_is_idempotent(live: list[str], wanted: list[str]) -> None:
    schema = for_kind("v1", "Pod")
    obj = {"spec": {"containers": [{"name": name, "image": "old"} for name in live]}}
    patch = {"spec": {"containers": [{"name": name, "image": "new"} for name in wanted]}}
    once = strategic.apply(schema, obj, patch)
    assert strategic.apply(schema, once, patch) == once
    assert {c["name"] for c in once["spec"]["containers"]} == {*live, *wanted}


@bounded
@given(st.dictionaries(keys, keys, max_size=3), st.dictionaries(keys, keys, max_size=3))
def test_applying_twice_is_applying_once_and_takes_back_only_ones_own(
    first: dict[str, str], second: dict[str, str]
) -> None:
    types = for_kind("v1", "ConfigMap")
    head = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}}

    def applied(old: meta.Obj | None, manager: str, data: dict[str, str], now: float) -> meta.Obj:
        return apply.apply(old, {**meta.copy(head), "data": data}, manager, True, types, now)

    other = {f"other-{key}": value for key, value in second.items()}
    both = applied(applied(None, "one", first, 1.0), "two", other, 2.0)
    assert applied(both, "one", first, 3.0)["data"] == both["data"] == {**first, **other}
    left = applied(both, "one", {}, 3.0)
    assert (left.get("data") or {}) == other
    owned = {entry["manager"] for entry in left["metadata"]["managedFields"] if fieldset.paths(entry["fieldsV1"])}
    assert "two" in owned or not other


@pytest.mark.parametrize("version", ["\x00", "../../etc/v1", "a/../v1", "v" * 10_000])
def test_a_made_up_version_is_no_path(version: str) -> None:
    with pytest.raises(errors.ApiError):
        decode.decode_kind("v1", "Pod", json.dumps({"apiVersion": version, "kind": "Pod"}))
