"""`Cluster.swap`: what travels as source, what is refused, and a whole cluster that runs a learner's function."""

import math
import time

import pytest

from workshop import hooks
from workshop.cluster import swapping
from workshop.cluster.facade import Cluster
from workshop.cluster.layout import ClusterError

DECIDE = hooks.find("kube-controller-manager", "decide")


def from_notebook(text):
    """A function as a notebook's cell defines it: of `__main__`, its source known to linecache."""
    import linecache

    name = f"<cell {abs(hash(text))}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    names = {"__name__": "__main__"}
    exec(compile(text, name, "exec"), names)
    return names["decide"]


def test_what_a_function_uses_travels_with_it():
    text = "import math as m\nLIMIT = 5\ndef few(n):\n    return min(n, LIMIT)\n"
    text += "def decide(owner, active, neighbours, now):\n    return Decision(create=few(m.ceil(replicas(owner))))\n"
    source = swapping.source_of(from_notebook(text), DECIDE)
    assert "import math as m" in source and "LIMIT = 5" in source and "def few(n)" in source
    from workshop import swap

    decided = swap.load(DECIDE, source, "<there>")({"spec": {"replicas": 9}}, [], [], 0.0)
    assert decided.create == 5


@pytest.mark.parametrize(
    "given, sentence",
    [
        ("def decide(owner): return 1", "has to take 4 arguments"),
        ("async def decide(a, b, c, d): ...", "is async"),
        ("decide = 3", "no function in it"),
        ("def decide(:", "no Python"),
    ],
)
def test_what_cannot_run_is_refused_in_a_sentence(given, sentence):
    with pytest.raises(ClusterError, match=sentence):
        swapping.source_of(given, DECIDE)


def test_what_cannot_travel_is_refused_by_its_name():
    text = "lock = object()\ndef decide(owner, active, neighbours, now):\n    return lock\n"
    with pytest.raises(ClusterError, match="uses lock"):
        swapping.source_of(from_notebook(text), DECIDE)
    with pytest.raises(ClusterError, match="made with `def`"):
        swapping.source_of(math.floor, DECIDE)


def test_a_copy_of_the_stock_function_loses_its_mark():
    source = swapping.source_of(DECIDE.stock, DECIDE)
    assert source.startswith("def decide(owner") and "@hook" not in source


def test_only_a_lab_lets_functions_in(fake_cluster):
    cluster = fake_cluster(only=["kube-scheduler"])
    with pytest.raises(ClusterError, match="--lab"):
        cluster.swap("kube-scheduler", "def filter(self, state, pod, node): ...")
    with pytest.raises(ClusterError, match="other settings"):
        cluster.up(lab=True)


def test_source_is_private_and_undone(fake_cluster):
    cluster = fake_cluster(only=["kube-scheduler"], lab=True)
    rows = cluster.swap("kube-scheduler", "def filter(self, state, pod, node):\n    return None\n")
    assert [(row["component"], row["hook"], row["state"]) for row in rows] == [
        ("kube-scheduler", "NodeResourcesFit.filter", "waiting")
    ]
    path = cluster.layout.swaps("kube-scheduler") / "NodeResourcesFit.filter.py"
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    with pytest.raises(ClusterError, match="has no hook 'bind'"):
        cluster.swap("kube-scheduler", "def bind(a): ...")
    assert cluster.unswap() == ["NodeResourcesFit.filter"]
    assert cluster.swapped() == [] and not path.exists()


GREEDY = """
def decide(owner, active, neighbours, now):
    wanted = replicas(owner) + 1
    return Decision(create=max(0, wanted - len(active)))
"""


@pytest.mark.cluster
def test_a_running_controller_manager_runs_it_and_puts_it_out(home):
    cluster = Cluster("swap")
    try:
        cluster.up(mode="plain", nodes=1, runtime="simulated", lab=True)
        api = __import__("kubernetes").client.AppsV1Api(cluster.client())
        cluster.swap("kube-controller-manager", GREEDY)
        labels = {"app": "web"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
        spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
        api.create_namespaced_replica_set("default", {"metadata": {"name": "web"}, "spec": spec})
        assert until(lambda: api.read_namespaced_replica_set("web", "default").status.replicas == 3)
        assert [row["state"] for row in cluster.swapped()] == ["in use"]
        cluster.swap("kube-controller-manager", "def decide(owner, active, neighbours, now):\n    return 1 // 0\n")
        api.patch_namespaced_replica_set_scale("web", "default", {"spec": {"replicas": 1}})
        assert until(lambda: api.read_namespaced_replica_set("web", "default").status.replicas == 1)
        (row,) = cluster.swapped()
        assert row["state"] == "put out" and "ZeroDivisionError" in row["traceback"]
        assert [p["restarts"] for p in cluster.ps() if p["name"] == "kube-controller-manager"] == [0]
    finally:
        cluster.down(purge=True)


def until(right, seconds=60.0):
    end = time.monotonic() + seconds
    while not right():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True
