"""The three plain patch types. The expected objects and complaints are a real kube-apiserver's (v1.36.2)."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workshop.api import errors, meta
from workshop.api.patch import json_patch, merge, strategic
from workshop.api.schema import for_kind

DEPLOYMENT = for_kind("apps/v1", "Deployment")
NODE = for_kind("v1", "Node")
POD_SPEC = for_kind("v1", "Pod").fields["spec"].schema  # type: ignore[union-attr]

scalars = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from("abc")
objects = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner)
)
documents = st.dictionaries(st.sampled_from("abc"), objects)


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nulls(child) for key, child in value.items() if child is not None}
    return [_without_nulls(child) for child in value] if isinstance(value, list) else value


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(documents, documents)
def test_a_merge_diff_leads_from_one_to_the_other(original: dict, modified: dict) -> None:
    original, modified = _without_nulls(original), _without_nulls(modified)  # type: ignore[assignment]
    kept = meta.copy(original)
    assert merge.apply(original, merge.diff(original, modified)) == modified
    assert original == kept


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(documents, documents)
def test_merging_twice_is_merging_once(obj: dict, patch: dict) -> None:
    """Unless a list with nulls comes in a map's place: upstream's library keeps them there, and drops them in a list's."""
    once = merge.apply(obj, patch)
    assert _without_nulls(merge.apply(once, patch)) == _without_nulls(once)


@pytest.mark.parametrize(
    ("patch", "result"),
    [
        ([{"op": "add", "path": "/l/-", "value": 3}], {"l": [1, 2, 3], "m": {"a/b": "x"}}),
        ([{"op": "add", "path": "/l/0", "value": 0}], {"l": [0, 1, 2], "m": {"a/b": "x"}}),
        ([{"op": "replace", "path": "/m/a~1b", "value": "y"}], {"l": [1, 2], "m": {"a/b": "y"}}),
        ([{"op": "replace", "path": "/m/new", "value": "y"}], {"l": [1, 2], "m": {"a/b": "x", "new": "y"}}),
        ([{"op": "remove", "path": "/l/-1"}], {"l": [1], "m": {"a/b": "x"}}),
        ([{"op": "move", "from": "/l/0", "path": "/m/c"}], {"l": [2], "m": {"a/b": "x", "c": 1}}),
        ([{"op": "copy", "from": "/l", "path": "/c"}], {"l": [1, 2], "m": {"a/b": "x"}, "c": [1, 2]}),
        ([{"op": "test", "path": "/l/1", "value": 2}], {"l": [1, 2], "m": {"a/b": "x"}}),
        ([{"op": "replace", "path": "", "value": {"z": 1}}], {"z": 1}),
    ],
)
def test_json_patch(patch: list, result: dict) -> None:
    original = {"l": [1, 2], "m": {"a/b": "x"}}
    assert json_patch.apply(original, patch) == result
    assert original == {"l": [1, 2], "m": {"a/b": "x"}}


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        ({"op": "remove", "path": "/no"}, "error in remove for path: '/no': Unable to remove nonexistent key: no: missing value"),
        ({"op": "test", "path": "/l/0", "value": True}, "testing value /l/0 failed: test failed"),
        ({"op": "add", "path": "/a/b", "value": 1}, 'add operation does not apply: doc is missing path: "/a/b": missing value'),
        ({"op": "add", "path": "/l/9", "value": 1}, "error in add for path: '/l/9': Unable to access invalid index: 9: invalid index referenced"),
        ({"op": "add", "value": 1}, "add operation failed to decode path: missing value"),
        ({"op": "sing", "path": "/l"}, "Unexpected kind: sing"),
        ({"path": "/l"}, "Unexpected kind: unknown"),
        ({"op": "move", "from": "/l/9", "path": "/x"}, "error in move for path: '9': Unable to access invalid index: 9: invalid index referenced"),
    ],
)  # fmt: skip
def test_json_patch_that_does_not_apply(operation: dict, reason: str) -> None:
    with pytest.raises(errors.ApiError) as error:
        json_patch.apply({"l": [1, 2]}, [operation])
    assert (error.value.code, error.value.reason) == (422, "Invalid")
    assert error.value.message == "the server rejected our request due to an error in our request"
    assert str(error.value.__cause__) == reason


def test_json_patch_limits() -> None:
    test = {"op": "test", "path": "/a", "value": 1}
    assert json_patch.apply({"a": 1}, [test] * 10_000) == {"a": 1}
    with pytest.raises(errors.ApiError) as error:
        json_patch.apply({"a": 1}, [test] * 10_001)
    assert error.value.code == 413
    with pytest.raises(errors.ApiError) as error:
        json_patch.apply({"a": 1}, {"op": "add"})
    assert error.value.code == 400


CONTAINERS = [
    {
        "name": "c",
        "image": "nginx",
        "ports": [{"containerPort": 80, "protocol": "TCP"}],
        "env": [{"name": "A", "value": "1"}],
    }
]
STORIES = [
    ("an element is merged by its key", {"containers": [{"name": "c", "image": "nginx:2"}]},
     [{**CONTAINERS[0], "image": "nginx:2"}]),
    ("a new element stands before those that the patch does not name", {"containers": [{"name": "s", "image": "s"}]},
     [{"name": "s", "image": "s"}, CONTAINERS[0]]),
    ("the order is the patch's where it names one",
     {"$setElementOrder/containers": [{"name": "c"}, {"name": "s"}], "containers": [{"name": "s", "image": "s"}]},
     [CONTAINERS[0], {"name": "s", "image": "s"}]),
    ("an element is deleted", {"containers": [{"name": "c", "$patch": "delete"}]}, []),
    ("deeper lists too", {"containers": [{"name": "c", "env": [{"name": "A", "$patch": "delete"}, {"name": "B", "value": "2"}]}]},
     [{**CONTAINERS[0], "env": [{"name": "B", "value": "2"}]}]),
    ("the list is replaced", {"containers": [{"$patch": "replace"}, {"name": "o", "image": "o"}]}, [{"name": "o", "image": "o"}]),
]  # fmt: skip


@pytest.mark.parametrize(("what", "patch", "containers"), STORIES, ids=[story[0] for story in STORIES])
def test_strategic_lists(what: str, patch: dict, containers: list) -> None:
    original = {"containers": meta.copy(CONTAINERS)}
    assert strategic.apply(POD_SPEC, original, patch)["containers"] == containers
    assert original == {"containers": CONTAINERS}


def test_strategic_retain_keys() -> None:
    old = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic.apply(DEPLOYMENT, old, patch) == {"spec": {"strategy": {"type": "Recreate"}}}
    patch["spec"]["strategy"]["$retainKeys"] = ["nope"]
    with pytest.raises(errors.ApiError) as error:
        strategic.apply(DEPLOYMENT, old, patch)
    assert (error.value.code, error.value.message) == (400, "invalid patch format of retainKeys")


def test_strategic_primitive_lists() -> None:
    old = {"metadata": {"finalizers": ["a/b", "a/c"]}}
    assert strategic.apply(DEPLOYMENT, old, {"metadata": {"finalizers": ["a/d", "a/b"]}}) == {
        "metadata": {"finalizers": ["a/d", "a/b", "a/c"]}
    }
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/b"]}}
    assert strategic.apply(DEPLOYMENT, old, patch) == {"metadata": {"finalizers": ["a/c"]}}


def test_strategic_maps_and_nulls() -> None:
    old = {"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"taints": [{"key": "k"}]}}
    patch = {"metadata": {"labels": {"a": None, "c": "3"}}, "spec": {"taints": None}, "status": {"x": None}}
    assert strategic.apply(NODE, old, patch) == {"metadata": {"labels": {"b": "2", "c": "3"}}, "spec": {}, "status": {}}
    assert strategic.apply(NODE, old, {"spec": {"$patch": "replace", "podCIDR": "x"}})["spec"] == {"podCIDR": "x"}
    assert strategic.apply(NODE, old, {"spec": {"$patch": "delete"}})["spec"] == {}


@pytest.mark.parametrize(
    ("patch", "code", "message"),
    [
        ({"containers": [{"image": "o"}]}, 500, "map: map[image:o] does not contain declared merge key: name"),
        ({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "a"}, {"name": "b"}]}, 500,
         "The order in patch list:\n[map[name:a] map[name:b]]\n doesn't match $setElementOrder list:\n[map[name:b] map[name:a]]\n"),
        ({"securityContext": {"$patch": "sing"}}, 500, "unknown patch type: sing in map: map[$patch:sing]"),
    ],
)  # fmt: skip
def test_strategic_complaints(patch: dict, code: int, message: str) -> None:
    with pytest.raises(errors.ApiError) as error:
        strategic.apply(POD_SPEC, {"containers": CONTAINERS, "securityContext": {}}, patch)
    assert (error.value.code, error.value.message) == (code, message)


names = st.sampled_from("abcdef")
elements = st.lists(
    st.fixed_dictionaries({"name": names, "image": st.sampled_from(["x", "y"])}), unique_by=lambda e: e["name"]
)


@given(elements, elements)
def test_strategic_lists_keep_every_element_once(old: list, patch: list) -> None:
    result = strategic.apply(POD_SPEC, {"containers": old}, {"containers": patch})["containers"]
    found = [element["name"] for element in result]
    assert sorted(found) == sorted({element["name"] for element in old + patch})
    assert [name for name in found if name in {e["name"] for e in patch}] == [e["name"] for e in patch]
    assert all(element in result for element in patch)
