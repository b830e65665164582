from pathlib import Path

import pytest

from workshop.api import labels
from workshop.api.meta import Key, Obj
from workshop.scheduler import __main__ as program
from workshop.scheduler import options as flags
from workshop.scheduler.health import Health, exposition
from workshop.scheduler.node_info import PodInfo
from workshop.scheduler.owners import default_selector
from workshop.scheduler.plugins import default_framework


def test_flags() -> None:
    options = flags.parse(
        [
            "--kubeconfig=k",
            "--leader-elect=false",
            "--secure-port=0",
            "--leader-elect-lease-duration=30s",
            "--profiling=false",
        ]
    )
    assert (options.kubeconfig, options.leader_elect, options.secure_port) == ("k", False, 0)
    assert options.lease_duration == 30.0 and options.profiles == (flags.Profile(),)


def test_a_configuration_file_wins(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        """
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection: {kubeconfig: /k}
leaderElection: {leaderElect: false, leaseDuration: 20s}
profiles:
- schedulerName: packed
  plugins:
    score:
      disabled: [{name: PodTopologySpread}]
      enabled: [{name: ImageLocality, weight: 9}]
    multiPoint:
      disabled: [{name: NodePorts}]
"""
    )
    options = flags.parse([f"--config={file}", "--leader-elect=true"])
    assert (options.kubeconfig, options.leader_elect, options.lease_duration) == ("/k", False, 20.0)
    profile = options.profiles[0]
    framework = default_framework(name=profile.name, disabled=profile.disabled, weights=dict(profile.weights))
    assert "NodePorts" not in framework.by_name
    assert "PodTopologySpread" in {p.name for p in framework.filters}
    assert "PodTopologySpread" not in {p.name for p in framework.scorers} and framework.weights["ImageLocality"] == 9


@pytest.mark.parametrize("text", ["kind: Pod", "- a", "a: ["])
def test_a_file_that_is_none_is_one_sentence(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    assert program.main([f"--config={file}"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("Error: ") and said.count("\n") == 1


def test_no_kubeconfig_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main([f"--kubeconfig={tmp_path / 'none'}"]) == 1
    said = capsys.readouterr().err
    assert said.splitlines()[-1].startswith("Error: ") and "Traceback" not in said


def test_health_is_for_everybody_and_metrics_are_not() -> None:
    well = {"informer-sync": True}
    health = Health(lambda: well, lambda: exposition({"scheduled": 2}, {"active": 1}, {"nodes": 3}))
    assert health.answer("/healthz") == (200, "ok")
    assert "[+]informer-sync ok" in health.answer("/readyz", "verbose")[1]
    assert health.answer("/metrics")[0] == 401 and health.answer("/nothing")[0] == 404
    status, text = health.answer("/metrics", known=True)
    assert status == 200 and 'scheduler_schedule_attempts_total{result="scheduled"} 2' in text
    well["informer-sync"] = False
    assert health.answer("/readyz")[0] == 500 and health.answer("/livez")[0] == 200


class Shelf:
    def __init__(self, *objects: Obj) -> None:
        self.objects = {Key(o["metadata"]["namespace"], o["metadata"]["name"]): o for o in objects}

    def get(self, key: Key) -> Obj | None:
        return self.objects.get(key)

    def by_index(self, name: str, value: str) -> list[Obj]:
        return [o for key, o in self.objects.items() if key.namespace == value]


def test_pods_of_a_service_and_of_a_controller_belong_together() -> None:
    def named(name: str, selector: Obj) -> Obj:
        return {"metadata": {"namespace": "d", "name": name}, "spec": {"selector": selector}}

    services = Shelf(named("s", {"app": "x"}), named("other", {"app": "y"}), named("headless", {}))
    controllers = {"ReplicaSet": Shelf(named("r", {"matchLabels": {"hash": "1"}}))}
    owner = {"kind": "ReplicaSet", "name": "r", "controller": True}
    pod = PodInfo({"metadata": {"namespace": "d", "labels": {"app": "x", "hash": "1"}, "ownerReferences": [owner]}})
    assert str(default_selector(pod, services, controllers)) == "app=x,hash=1"
    alone = PodInfo({"metadata": {"namespace": "d", "labels": {"app": "z"}}})
    assert default_selector(alone, services, controllers) is None
    assert labels.parse("app=x").matches(pod.labels)
