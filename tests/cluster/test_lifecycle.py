from workshop.cluster import lifecycle
from workshop.cluster import plan as planning


def test_back_off_doubles_up_to_its_limit():
    delays = [lifecycle.back_off(n) for n in range(10)]
    assert delays[:3] == [0.05, 0.1, 0.2]
    assert delays == sorted(delays)
    assert lifecycle.back_off(1000) == lifecycle.LAST_DELAY


def test_clients_stop_before_those_they_call():
    plan = planning.make("lab", "/state", mode="plain", block=7, nodes=1)
    first, second, third = lifecycle.stop_order(plan.components)
    assert second == ["kube-apiserver"]
    assert third == ["etcd"]
    assert "kubelet-node-1" in first


def test_exits_are_named():
    assert lifecycle.describe_exit(-15) == "SIGTERM"
    assert lifecycle.describe_exit(3) == "status 3"
    assert lifecycle.describe_exit(None) == "an unknown status"
