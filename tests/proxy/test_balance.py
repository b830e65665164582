from hypothesis import given
from hypothesis import strategies as st

from workshop.proxy.balance import Balance, failed, pick
from workshop.proxy.rules import Endpoint, Target

THREE = tuple(Endpoint(f"10.7.0.{n}", 80) for n in (5, 6, 7))


def test_round_robin_reaches_all_evenly():
    state, target = Balance(), Target("web", THREE, 0)
    picked = [pick(state, target, "10.7.0.9", 0) for _ in range(9)]
    assert all(picked.count(endpoint) == 3 for endpoint in THREE)


def test_nobody_to_pick():
    assert pick(Balance(), Target("web", (), 0), "10.7.0.9", 0) is None


def test_affinity_keeps_a_client_until_its_time_is_over():
    state, target = Balance(), Target("web", THREE, 30)
    first = pick(state, target, "10.7.0.9", 0)
    assert pick(state, target, "10.7.0.9", 29) == first
    assert pick(state, target, "10.7.0.9", 58) == first, "each visit begins the time anew"
    assert pick(state, target, "10.7.0.8", 58) != first
    assert pick(state, target, "10.7.0.9", 88) != first


def test_affinity_to_an_endpoint_that_is_gone():
    state = Balance()
    first = pick(state, Target("web", THREE, 30), "10.7.0.9", 0)
    left = tuple(endpoint for endpoint in THREE if endpoint != first)
    assert pick(state, Target("web", left, 30), "10.7.0.9", 1) in left


def test_an_endpoint_that_refused_is_not_insisted_on():
    state, target = Balance(), Target("web", THREE, 30)
    first = pick(state, target, "10.7.0.9", 0)
    failed(state, "10.7.0.9")
    assert pick(state, target, "10.7.0.9", 1) != first


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 100)), max_size=60))
def test_affinity_remembers_only_those_in_time(visits):
    state, target, now = Balance(), Target("web", THREE, 50), 0
    for client, later in visits:
        now += later
        before = state.sticky.get(client)
        picked = pick(state, target, client, now)
        if before is not None and now - before[1] < 50:
            assert picked == before[0]
    assert set(state.sticky) <= set("abcd")
