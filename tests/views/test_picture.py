"""The board's model: rows, deltas, and what it says where nothing can be observed."""

from workshop.cluster.board import World
from workshop.views.picture import apply, delta, picture


def pod(name, ready=True):
    status = {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": {"nodeName": "n"},
        "status": status,
    }


ALL = frozenset(("etcd", "kube-apiserver", "kubelet-n"))


def test_a_killed_container_shows_in_observed_first():
    row = picture(World((), (pod("a"),), {}, ALL), [])["workload/default/Pod/a"]
    assert (row["desired"], row["reported"], row["observed"]) == (1, 1, 0)
    assert row["next"].startswith("kubelet-n")


def test_where_nothing_can_be_seen_observed_is_empty_not_zero():
    row = picture(World((), (pod("a"),), {}, ALL), [], can_observe=False)["workload/default/Pod/a"]
    assert row["observed"] is None and row["next"] == ""
    row = picture(World((), (pod("a", ready=False),), {}, ALL), [], can_observe=False)["workload/default/Pod/a"]
    assert "cannot be seen" in row["next"]


def test_a_delta_carries_only_what_changed_and_leads_to_the_new_picture():
    old = picture(World((), (pod("a"), pod("b"), pod("c")), {"a": 1, "b": 1}, ALL), [])
    new = picture(World((), (pod("a"), pod("b"), pod("d")), {"a": 1}, ALL), [])
    change = delta(old, new)
    assert set(change["put"]) == {"workload/default/Pod/b", "workload/default/Pod/d"}
    assert change["drop"] == ["workload/default/Pod/c"]
    assert apply(old, change) == new
    assert delta(new, new) is None
