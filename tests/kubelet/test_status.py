"""The status that is reported."""

from __future__ import annotations

import pytest

from tests.kubelet.builders import container, observed, pod, ran
from workshop.kubelet import cri, status
from workshop.kubelet.pods import Observed, qos_class
from workshop.kubelet.status import Facts


def conditions(found):
    return {c["type"]: (c["status"], c.get("reason", ""), c.get("message", "")) for c in found["conditions"]}


def test_before_anything_runs():
    found = status.generate(pod(), Observed(), Facts(host_ip="10.0.0.1"), 1000.0)
    assert found["phase"] == "Pending"
    assert found["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert conditions(found)["PodReadyToStartContainers"][0] == "False"
    assert conditions(found)["Ready"] == ("False", "ContainersNotReady", "containers with unready status: [app]")


def test_waiting_for_init_containers():
    one = container("one")
    found = status.generate(pod(initContainers=[one]), observed(ran(one, cri.RUNNING)), Facts(), 1000.0)
    assert found["phase"] == "Pending"
    assert found["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    expected = ("False", "ContainersNotInitialized", "containers with incomplete status: [one]")
    assert conditions(found)["Initialized"] == expected


def test_running_and_ready():
    app = container(readinessProbe={})
    running = ran(app, cri.RUNNING)
    found = status.generate(pod(app), observed(running), Facts(ready={running.id: True}), 1000.0)
    assert found["phase"] == "Running" and found["podIP"] == "10.0.0.2"
    assert conditions(found)["Ready"][0] == "True" and found["containerStatuses"][0]["ready"]
    unready = status.generate(pod(app), observed(running), Facts(ready={running.id: False}), 1000.0)
    assert conditions(unready)["Ready"][0] == "False"


def test_crash_loop_moves_the_end_to_last_state():
    app = container()
    facts = Facts(waiting={"app": ("CrashLoopBackOff", "back-off 10s restarting failed container=app pod=web")})
    entry = status.generate(pod(app), observed(ran(app, cri.EXITED, exit_code=3, attempt=1)), facts, 1000.0)
    entry_status = entry["containerStatuses"][0]
    assert entry["phase"] == "Running" and entry_status["restartCount"] == 1
    assert entry_status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert entry_status["lastState"]["terminated"]["exitCode"] == 3


@pytest.mark.parametrize(("code", "phase", "reason"), [(0, "Succeeded", "PodCompleted"), (1, "Failed", "PodFailed")])
def test_the_end(code, phase, reason):
    app = container()
    found = status.generate(
        pod(app, restartPolicy="Never"), observed(ran(app, cri.EXITED, exit_code=code)), Facts(), 1000.0
    )
    assert found["phase"] == phase
    assert conditions(found)["Ready"][1] == reason


def test_an_init_container_that_fails_leaves_the_pod_uninitialized():
    first = container(name="first")
    spec = pod(container(), restartPolicy="Never", initContainers=[first])
    found = status.generate(spec, observed(ran(first, cri.EXITED, exit_code=1)), Facts(), 1000.0)
    (initialized,) = [c for c in found["conditions"] if c["type"] == "Initialized"]
    assert found["phase"] == "Failed" and initialized["reason"] == "ContainersNotInitialized"
    assert initialized["message"] == "containers with incomplete status: [first]"


def test_a_condition_keeps_its_time_until_it_changes():
    app = container()
    spec = pod(app)
    first = status.generate(spec, observed(ran(app, cri.RUNNING)), Facts(), 1000.0)
    again = status.generate({**spec, "status": first}, observed(ran(app, cri.RUNNING)), Facts(), 2000.0)
    assert again == first
    assert status.patch(first, again, "u1")["status"] == {}


def test_the_patch_names_the_pod_and_only_what_changed():
    app = container()
    old = status.generate(pod(app), Observed(), Facts(), 1000.0)
    new = status.generate({**pod(app), "status": old}, observed(ran(app, cri.RUNNING)), Facts(), 2000.0)
    body = status.patch(old, new, "u1")
    assert body["metadata"] == {"uid": "u1"}
    assert "qosClass" not in body["status"]
    ready = next(c for c in body["status"]["conditions"] if c["type"] == "Ready")
    assert ready["status"] == "True" and ready["reason"] is None


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}}, "Burstable"),
    ],
)
def test_quality_of_service(resources, expected):
    assert qos_class(pod(container(resources=resources))) == expected
