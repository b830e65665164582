from __future__ import annotations

from workshop.clock import rfc3339_micro
from workshop.cluster.leaders import held, holds
from workshop.cluster.plan import Component


def lease(holder: str, renewed: float) -> dict[str, object]:
    return {"spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": rfc3339_micro(renewed)}}


def test_a_lease_is_held_until_its_time_is_up():
    assert held(lease("me", 1000.0), 1014.9)
    assert not held(lease("me", 1000.0), 1015.1)


def test_a_released_or_new_lease_is_nobodys():
    assert not held(lease("", 1000.0), 1001.0)
    assert not held({"spec": {}}, 1001.0) and not held({}, 1001.0)


def test_of_several_masters_the_identity_names_its_own():
    def component(node):
        return Component("kube-scheduler", "kube-scheduler", "", (), node)

    assert holds(component("master-2"), lease("master-2_4711", 0.0))
    assert not holds(component("master-2"), lease("master-21_4711", 0.0))
    assert holds(component(None), lease("host_4711", 0.0))
