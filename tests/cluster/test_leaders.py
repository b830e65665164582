from __future__ import annotations

from workshop.clock import rfc3339_micro
from workshop.cluster.leaders import held


def lease(holder: str, renewed: float) -> dict[str, object]:
    return {"spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": rfc3339_micro(renewed)}}


def test_a_lease_is_held_until_its_time_is_up():
    assert held(lease("me", 1000.0), 1014.9)
    assert not held(lease("me", 1000.0), 1015.1)


def test_a_released_or_new_lease_is_nobodys():
    assert not held(lease("", 1000.0), 1001.0)
    assert not held({"spec": {}}, 1001.0) and not held({}, 1001.0)
