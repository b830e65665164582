"""Deployment arithmetic, against cases of upstream's deployment_util_test.go and worked by hand."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workshop.controllers import deployment_util as util
from workshop.controllers import history
from workshop.controllers.hashing import ALPHABET, template_hash

NOW = 1_800_000_000.0


def deployment(replicas: int, surge: Any = "25%", unavailable: Any = "25%", **spec: Any) -> dict[str, Any]:
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {
        "metadata": {"name": "web", "namespace": "default", "uid": "d", "generation": 1},
        "spec": {
            "replicas": replicas,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "a"}]}},
            **spec,
        },
    }


def replica_set(name: str, replicas: int, available: int | None = None, **annotations: str) -> dict[str, Any]:
    available = replicas if available is None else available
    return {
        "metadata": {
            "name": name,
            "uid": name,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": annotations,
        },
        "spec": {"replicas": replicas, "template": {"metadata": {"labels": {}}, "spec": {}}},
        "status": {"replicas": replicas, "availableReplicas": available, "readyReplicas": available},
    }


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (10, "25%", "25%", (3, 2)),
        (10, 0, 0, (0, 1)),
        (1, "25%", "25%", (1, 0)),
        (4, 2, "50%", (2, 2)),
        (3, 0, "10%", (0, 1)),
    ],
)
def test_fenceposts(replicas: int, surge: Any, unavailable: Any, expected: tuple[int, int]) -> None:
    assert util.fenceposts(deployment(replicas, surge, unavailable)) == expected


def test_the_new_one_grows_into_the_surge() -> None:
    d, new, old = deployment(10, 3, 2), replica_set("new", 0), replica_set("old", 10)
    assert util.new_size(d, [new, old], new) == 3


def test_the_old_one_shrinks_by_what_is_available_beyond_the_minimum() -> None:
    d, new, old = deployment(10, 3, 2), replica_set("new", 3, 0), replica_set("old", 10)
    assert util.scale_down_plan(d, [new, old], new, [old]) == {"old": 8}
    d, new, old = deployment(10, 3, 0), replica_set("new", 3, 0), replica_set("old", 10)
    assert util.scale_down_plan(d, [new, old], new, [old]) == {}


def test_unhealthy_old_pods_go_first() -> None:
    d, new = deployment(10, 0, 2), replica_set("new", 0)
    sick, well = replica_set("a-sick", 4, 1), replica_set("b-well", 6)
    # 8 must stay, 10 there are: two may go, and the sick ones cost nothing.
    assert util.scale_down_plan(d, [new, sick, well], new, [sick, well]) == {"a-sick": 2}


@given(st.integers(1, 40), st.integers(0, 10), st.integers(0, 10), st.integers(0, 40), st.integers(0, 40), st.randoms())
def test_a_step_never_breaks_the_promise(
    wanted: int, surge: int, unavailable: int, old_size: int, new_size: int, random: Any
) -> None:
    d = deployment(wanted, surge, unavailable)
    old = replica_set("old", old_size, random.randint(0, old_size))
    new = replica_set("new", min(new_size, wanted), random.randint(0, min(new_size, wanted)))
    max_surge, max_unavailable = util.fenceposts(d)
    grown = util.new_size(d, [old, new], new)
    assert grown <= wanted
    if grown > util.size(new):
        assert grown + old_size <= wanted + max_surge
    plan = util.scale_down_plan(d, [old, new], new, [old])
    kept = plan.get("old", old_size)
    assert 0 <= kept <= old_size
    if kept < old_size:
        healthy = min(old["status"]["availableReplicas"], kept) + new["status"]["availableReplicas"]
        before = old["status"]["availableReplicas"] + new["status"]["availableReplicas"]
        assert healthy >= min(before, wanted - max_unavailable)


def test_scaling_in_a_rollout_shares_in_proportion() -> None:
    d = deployment(20, 0, 1)
    mark = {"deployment.kubernetes.io/max-replicas": "10", "deployment.kubernetes.io/desired-replicas": "10"}
    sets = [replica_set("a", 5, **mark), replica_set("b", 5, **mark)]
    sizes = util.proportional_sizes(d, sets)
    assert sorted(sizes.values()) == [10, 10]
    assert sum(util.proportional_sizes(deployment(7, 0, 1), sets).values()) == 7
    assert sum(util.proportional_sizes(deployment(0, 0, 1), sets).values()) == 0


def test_the_new_set_is_found_by_template_not_by_hash() -> None:
    d = deployment(1)
    rs = replica_set("web-x", 1)
    rs["spec"]["template"] = {
        "metadata": {"labels": {"app": "web", "pod-template-hash": "x"}, "creationTimestamp": None},
        "spec": {"containers": [{"name": "c", "image": "a"}]},
    }
    assert util.find_new(d, [rs]) is rs
    d["spec"]["template"]["spec"]["containers"][0]["image"] = "b"
    assert util.find_new(d, [rs]) is None


def test_revisions_and_their_history() -> None:
    d, rs = deployment(3), replica_set("web-x", 3, **{util.REVISION: "1"})
    d["metadata"]["annotations"] = {"team": "red", util.LAST_APPLIED: "{}"}
    first = util.set_annotations(d, rs, 3, existed=True)
    assert first == {"team": "red", util.REVISION: "3", util.REVISION_HISTORY: "1"}
    rs["metadata"]["annotations"] = first
    again = util.set_annotations(d, rs, 5, existed=True)
    assert again[util.REVISION_HISTORY] == "1,3"


def test_progress_then_done_then_stuck() -> None:
    d, new = deployment(2, progressDeadlineSeconds=10), replica_set("new", 2, 0)
    status = util.with_progress(d, util.compute_status(d, [new], new, NOW), [new], new, NOW)
    progressing = {c["type"]: c for c in status["conditions"]}["Progressing"]
    assert (progressing["reason"], progressing["message"]) == ("ReplicaSetUpdated", 'ReplicaSet "new" is progressing.')
    d["status"] = status
    late = util.with_progress(d, util.compute_status(d, [new], new, NOW + 11), [new], new, NOW + 11)
    assert {c["type"]: c["reason"] for c in late["conditions"]}["Progressing"] == "ProgressDeadlineExceeded"
    done = replica_set("new", 2)
    status = util.with_progress(d, util.compute_status(d, [done], done, NOW + 5), [done], done, NOW + 5)
    assert {c["type"]: c["reason"] for c in status["conditions"]} == {
        "Available": "MinimumReplicasAvailable",
        "Progressing": "NewReplicaSetAvailable",
    }


def test_hashes_are_stable_short_and_spell_no_word() -> None:
    template = {"spec": {"b": 1, "a": [1, 2]}}
    assert template_hash(template) == template_hash({"spec": {"a": [1, 2], "b": 1}})
    assert template_hash(template) != template_hash(template, 1)
    assert len(template_hash(template)) <= 10
    assert set(template_hash(template)) <= set(ALPHABET)


def test_a_revision_is_written_as_go_writes_maps() -> None:
    template = {"spec": {"b": [{"d": 1, "c": 2}], "a": 3}, "metadata": {}}
    assert json.dumps(history.data_of({"spec": {"template": template}})) == json.dumps(
        {"spec": {"template": {"$patch": "replace", "metadata": {}, "spec": {"a": 3, "b": [{"c": 2, "d": 1}]}}}}
    )
