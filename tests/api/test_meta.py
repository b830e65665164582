from workshop.api import conditions, meta

OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web", "uid": "u1"}}


def test_missing_metadata_reads_as_empty() -> None:
    assert meta.name({}) == "" and meta.labels({"metadata": None}) == {} and meta.finalizers({}) == []
    assert meta.deletion_timestamp({}) is None and meta.creation_timestamp({}) == 0.0
    assert str(meta.key_of({"metadata": {"name": "n"}})) == "n"


def test_controller_is_known_by_uid() -> None:
    pod = {"metadata": {"ownerReferences": [{"kind": "Node", "uid": "x"}, meta.owner_reference(OWNER)]}}
    assert meta.controller_of(pod) == {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": "web",
        "uid": "u1",
        "controller": True,
        "blockOwnerDeletion": True,
    }
    assert meta.is_controlled_by(pod, OWNER)
    assert not meta.is_controlled_by(pod, {**OWNER, "metadata": {"name": "web", "uid": "u2"}})
    assert "controller" not in meta.owner_reference(OWNER, controller=False)


def test_times_are_posix_seconds() -> None:
    obj = {"metadata": {"creationTimestamp": "1970-01-01T00:01:00Z", "deletionTimestamp": "1970-01-01T01:00:00+01:00"}}
    assert meta.creation_timestamp(obj) == 60.0
    assert meta.deletion_timestamp(obj) == 0.0


def test_copy_shares_nothing() -> None:
    obj = {"a": [{"b": 1}], "c": {"d": [2]}}
    copied = meta.copy(obj)
    copied["a"][0]["b"] = 9  # type: ignore[index]
    copied["c"]["d"].append(3)  # type: ignore[index, call-overload]
    assert obj == {"a": [{"b": 1}], "c": {"d": [2]}}


def test_condition_transition_time_moves_with_status_only() -> None:
    first = conditions.set([], {"type": "Ready", "status": "False", "reason": "A"}, 0)
    assert first == [{"lastTransitionTime": "1970-01-01T00:00:00Z", "type": "Ready", "status": "False", "reason": "A"}]
    second = conditions.set(first, {"type": "Ready", "status": "False", "reason": "B"}, 60)
    assert second[0]["lastTransitionTime"] == "1970-01-01T00:00:00Z" and second[0]["reason"] == "B"
    third = conditions.set(second, {"type": "Ready", "status": "True", "reason": "C"}, 60)
    assert third[0]["lastTransitionTime"] == "1970-01-01T00:01:00Z"
    assert first[0]["reason"] == "A"
    assert conditions.is_true({"status": {"conditions": third}}, "Ready")
    assert conditions.remove(third, "Ready") == []
