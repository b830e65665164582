"""Server-side apply and managedFields. The expected sets are a real kube-apiserver's (v1.36.2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workshop.api import errors, meta
from workshop.api.meta import Obj
from workshop.api.patch import apply as ssa
from workshop.api.patch import fieldset, resets, typed
from workshop.api.patch import managed_fields as mf
from workshop.api.schema import for_kind

DEPLOYMENT = for_kind("apps/v1", "Deployment")
SERVICE = for_kind("v1", "Service")
NOW = 60.0
WEB: Obj = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "default", "uid": "u", "labels": {"app": "web"}},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "containers": [
                    {
                        "name": "c",
                        "image": "nginx",
                        "ports": [{"containerPort": 80, "protocol": "TCP"}],
                        "resources": {},
                    }
                ]
            },
        },
    },
    "status": {},
}


def config(**more: object) -> Obj:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"}, **more}


def track(old: Obj | None, new: Obj, manager: str, subresource: str = "", now: float = NOW) -> Obj:
    fields = mf.track_update(
        old, new, manager, DEPLOYMENT, now, subresource, resets.door("deployments.apps", subresource)
    )
    return mf.with_entries(new, fields)


def owners(obj: Obj) -> dict[str, set[str]]:
    found = {}
    for entry in obj["metadata"].get("managedFields", ()):
        found[entry["manager"]] = {fieldset.path_text(path) for path in fieldset.paths(entry["fieldsV1"])}
    return found


def test_creation_is_managed_by_its_creator() -> None:
    created = track(None, WEB, "kubectl-create")
    assert created["metadata"]["managedFields"] == [
        {
            "manager": "kubectl-create",
            "operation": "Update",
            "apiVersion": "apps/v1",
            "time": "1970-01-01T00:01:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                "f:spec": {
                    "f:replicas": {},
                    "f:selector": {},
                    "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}}, "f:type": {}},
                    "f:template": {
                        "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                        "f:spec": {
                            "f:containers": {
                                'k:{"name":"c"}': {
                                    ".": {},
                                    "f:image": {},
                                    "f:name": {},
                                    "f:ports": {
                                        ".": {},
                                        'k:{"containerPort":80,"protocol":"TCP"}': {
                                            ".": {},
                                            "f:containerPort": {},
                                            "f:protocol": {},
                                        },
                                    },
                                    "f:resources": {},
                                }
                            }
                        },
                    },
                },
            },
        }
    ]


def test_an_update_takes_what_it_changes() -> None:
    created = track(None, WEB, "alice")
    changed = meta.copy(created)
    changed["spec"]["replicas"] = 5
    changed["metadata"]["annotations"] = {"a": "b"}
    updated = track(created, changed, "bob", now=120)
    assert owners(updated)["bob"] == {".spec.replicas", ".metadata.annotations", ".metadata.annotations.a"}
    assert ".spec.replicas" not in owners(updated)["alice"]
    times = [entry["time"] for entry in updated["metadata"]["managedFields"]]
    assert times == ["1970-01-01T00:01:00Z", "1970-01-01T00:02:00Z"]
    del changed["metadata"]["annotations"]
    removed = track(updated, mf.with_entries(changed, updated["metadata"]["managedFields"]), "alice", now=180)
    assert owners(removed)["bob"] == {".spec.replicas"}


def test_a_write_that_changes_nothing_moves_no_time() -> None:
    created = track(None, WEB, "alice")
    assert track(created, meta.copy(created), "bob", now=999) == created


def test_status_has_an_entry_of_its_own() -> None:
    created = track(None, WEB, "ctl")
    changed = {**created, "spec": {"ignored": 1}, "status": {"replicas": 3}}
    entries = track(created, changed, "ctl", "status")["metadata"]["managedFields"]
    assert [entry.get("subresource") for entry in entries] == [None, "status"]
    assert entries[1]["fieldsV1"] == {"f:status": {"f:replicas": {}}}


def test_managed_fields_can_be_emptied_but_not_by_forgetting_them() -> None:
    created = track(None, WEB, "alice")
    forgetful = mf.strip(created)
    assert owners(track(created, forgetful, "bob")) == owners(created)
    emptied = {**forgetful, "metadata": {**forgetful["metadata"], "managedFields": []}}
    assert owners(track(created, emptied, "bob")) == {}
    again = mf.with_entries({**forgetful, "spec": {"replicas": 9}}, [])
    assert owners(track(forgetful, again, "bob")) == {}


def test_old_updaters_are_put_together() -> None:
    obj = track(None, WEB, "creator")
    for i in range(12):
        changed = meta.copy(obj)
        changed["metadata"].setdefault("annotations", {})[f"k{i:02}"] = "v"
        obj = track(obj, changed, f"m{i:02}", now=NOW + i)
    found = owners(obj)
    assert len(found) == 10 and mf.ANCIENT in found
    assert {".metadata.annotations.k00", ".spec.replicas"} <= found[mf.ANCIENT]
    assert found["m11"] == {".metadata.annotations.k11"}


def test_a_conflict_names_the_manager_and_the_field() -> None:
    live = track(None, WEB, "creator")
    with pytest.raises(errors.ApiError) as error:
        ssa.apply(live, config(spec={"replicas": 7}), "alice", False, DEPLOYMENT, NOW)
    assert error.value.status["code"] == 409
    assert error.value.message == 'Apply failed with 1 conflict: conflict with "creator" using apps/v1: .spec.replicas'
    assert error.value.causes == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "creator" using apps/v1',
            "field": ".spec.replicas",
        }
    ]


def test_several_conflicts_are_listed_by_manager() -> None:
    live = track(None, WEB, "creator")
    containers = [{"name": "c", "image": "x"}]
    wanted = config(spec={"replicas": 7, "template": {"spec": {"containers": containers}}})
    with pytest.raises(errors.ApiError) as error:
        ssa.apply(live, wanted, "alice", False, DEPLOYMENT, NOW)
    assert error.value.message == (
        'Apply failed with 2 conflicts: conflicts with "creator" using apps/v1:\n- .spec.replicas\n'
        '- .spec.template.spec.containers[name="c"].image'
    )


def test_force_takes_over_and_equal_values_are_shared() -> None:
    live = track(None, WEB, "creator")
    forced = ssa.apply(live, config(spec={"replicas": 7}), "alice", True, DEPLOYMENT, NOW)
    assert forced["spec"]["replicas"] == 7
    assert owners(forced)["alice"] == {".spec.replicas"} and ".spec.replicas" not in owners(forced)["creator"]
    shared = ssa.apply(forced, config(spec={"replicas": 7}), "bob", False, DEPLOYMENT, NOW)
    assert owners(shared)["bob"] == owners(shared)["alice"] == {".spec.replicas"}


def test_what_is_left_out_goes_unless_somebody_else_has_it() -> None:
    first = ssa.apply(None, config(spec={"replicas": 1, "paused": True}), "alice", False, DEPLOYMENT, NOW)
    both = ssa.apply(first, config(spec={"paused": True}), "bob", False, DEPLOYMENT, NOW)
    left = ssa.apply(both, config(), "alice", False, DEPLOYMENT, NOW)
    assert left["spec"] == {"paused": True}
    assert owners(left) == {"bob": {".spec.paused"}}
    assert "spec" not in ssa.apply(left, config(), "bob", False, DEPLOYMENT, NOW)


def test_elements_go_with_their_last_applier() -> None:
    def with_containers(*names: str) -> Obj:
        return config(spec={"template": {"spec": {"containers": [{"name": n, "image": n} for n in names]}}})

    live = ssa.apply(None, with_containers("a", "b"), "alice", False, DEPLOYMENT, NOW)
    live = ssa.apply(live, with_containers("x", "b"), "bob", False, DEPLOYMENT, NOW)
    assert [c["name"] for c in live["spec"]["template"]["spec"]["containers"]] == ["a", "x", "b"]
    live = ssa.apply(live, with_containers("b", "a"), "alice", False, DEPLOYMENT, NOW)
    live = ssa.apply(live, with_containers("a"), "alice", False, DEPLOYMENT, NOW)
    assert sorted(c["name"] for c in live["spec"]["template"]["spec"]["containers"]) == ["a", "b", "x"]
    live = ssa.apply(live, with_containers("x"), "bob", False, DEPLOYMENT, NOW)
    assert [c["name"] for c in live["spec"]["template"]["spec"]["containers"]] == ["x", "a"]


def test_applying_the_same_again_changes_nothing() -> None:
    wanted = config(spec={"replicas": 1, "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}})
    live = ssa.apply(None, wanted, "alice", False, DEPLOYMENT, NOW)
    assert ssa.apply(live, wanted, "alice", False, DEPLOYMENT, 999) == live


def test_an_untracked_object_is_managed_by_before_first_apply() -> None:
    live = ssa.apply(WEB, config(metadata={"name": "web", "labels": {"x": "y"}}), "alice", False, DEPLOYMENT, NOW)
    assert ".spec.replicas" in owners(live)[mf.BEFORE_FIRST_APPLY]
    assert owners(live)["alice"] == {".metadata.labels.x"}


def test_keys_have_defaults() -> None:
    port = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 53}]}}
    live = ssa.apply(None, port, "alice", False, SERVICE, NOW)
    assert '.spec.ports[port=53,protocol="TCP"].port' in owners(live)["alice"]


def test_kubectl_takes_over_from_its_own_client_side_apply() -> None:
    text = '{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"replicas":2}}'
    obj = meta.copy(WEB)
    obj["metadata"]["annotations"] = {ssa.LAST_APPLIED: text}
    live = track(None, obj, "kubectl-client-side-apply")
    wanted = config(spec={"replicas": 3})
    applied = ssa.apply(live, wanted, "kubectl", False, DEPLOYMENT, NOW)
    assert applied["spec"]["replicas"] == 3
    assert '"replicas":3' in meta.annotations(applied)[ssa.LAST_APPLIED]
    with pytest.raises(errors.ApiError, match="1 conflict"):
        ssa.apply(live, wanted, "other", False, DEPLOYMENT, NOW)


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        ({"spec": {"foo": 1}}, 500, "failed to create typed patch object (default/web; apps/v1, Kind=Deployment): .spec.foo: "
         "field not declared in schema"),
        ({"spec": {"template": {"spec": {"containers": [{"name": "x"}, {"name": "x"}]}}}}, 500,
         "failed to create typed patch object (default/web; apps/v1, Kind=Deployment): .spec.template.spec.containers: "
         'duplicate entries for key [name="x"]'),
        ({"metadata": {"name": "web", "managedFields": []}}, 400, "metadata.managedFields must be nil"),
    ],
)  # fmt: skip
def test_refused(more: dict, code: int, message: str) -> None:
    with pytest.raises(errors.ApiError) as error:
        ssa.apply(WEB, config(**more), "alice", False, DEPLOYMENT, NOW)
    assert (error.value.code, error.value.message) == (code, message)


def test_a_struct_may_be_one_value_or_not_by_its_field() -> None:
    volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {}, "spec": {"claimRef": {"name": "a"}}}
    fields = mf.track_update(None, volume, "m", for_kind("v1", "PersistentVolume"), NOW)[0]["fieldsV1"]
    assert fields["f:spec"] == {"f:claimRef": {".": {}, "f:name": {}}}
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {}, "involvedObject": {"name": "a"}, "eventTime": None}
    fields = mf.track_update(None, event, "m", for_kind("v1", "Event"), NOW)[0]["fieldsV1"]
    assert fields == {"f:involvedObject": {}}


def test_custom_resources_by_their_openapi_schema() -> None:
    schema = {
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "rules": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["id"],
                        "items": {"type": "object", "properties": {"id": {"type": "string"}, "do": {"type": "string"}}},
                    },
                    "plain": {"type": "array", "items": {"type": "string"}},
                },
            }
        }
    }
    node = typed.of_custom(schema, typed.of_schema(for_kind("v1", "Pod")).at("metadata"))  # type: ignore[arg-type]

    def rules(*ids: str) -> Obj:
        return {
            "apiVersion": "x.io/v1",
            "kind": "X",
            "metadata": {"name": "x"},
            "spec": {"rules": [{"id": i} for i in ids]},
        }

    live = ssa.apply(None, rules("a", "b"), "alice", False, node, NOW)
    live = ssa.apply(live, rules("c"), "bob", False, node, NOW)
    live = ssa.apply(live, rules("b"), "alice", False, node, NOW)
    assert sorted(rule["id"] for rule in live["spec"]["rules"]) == ["b", "c"]


paths = st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(tuple), max_size=6)


@given(paths, paths)
def test_sets_are_sets(a: list, b: list) -> None:
    def members(trie: fieldset.Trie) -> set:
        return set(fieldset.paths(trie))

    one, two = fieldset.of(*a), fieldset.of(*b)
    first, second = members(one), members(two)
    assert first == {tuple(f"f:{name}" for name in path) for path in a}
    assert members(fieldset.union(one, two)) == first | second
    assert members(fieldset.intersection(one, two)) == first & second
    assert members(fieldset.difference(one, two)) == first - second
    gone = {path for path in first if any(path[: len(p)] == p for p in second)}
    assert members(fieldset.recursive_difference(one, two)) == first - gone
    assert all(fieldset.has(one, path) for path in first)
