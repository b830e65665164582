"""The status that is reported."""

from __future__ import annotations

import dataclasses

import pytest

from tests.kubelet.builders import container, observed, pod, ran
from workshop.kubelet import cri, status
from workshop.kubelet.container_statuses import Facts
from workshop.kubelet.pods import Observed, qos_class


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
    assert qos_class(pod(container(), resources=resources)) == expected  # stated for the pod as a whole


def test_what_stands_in_a_container_status():
    """Mounts as they came to be, who the process is, and what it holds; by name, whatever the order in the spec."""
    held = {"requests": {"cpu": "100m"}, "limits": {"memory": "1Gi"}}
    mounts = [{"name": "cm", "mountPath": "/cm", "readOnly": True}, {"name": "e", "mountPath": "/e"}]
    app, side = container("zed", resources=held, volumeMounts=mounts), container("app")
    runs = dataclasses.replace(ran(app, cri.RUNNING), user=cri.User(1000, 3000, (3000, 4000)))
    found = status.generate(pod(app, side), observed(runs), Facts(), 1000.0)
    first, second = found["containerStatuses"]
    assert (first["name"], second["name"]) == ("app", "zed")
    assert second["volumeMounts"] == [
        {"name": "cm", "mountPath": "/cm", "readOnly": True, "recursiveReadOnly": "Disabled"},
        {"name": "e", "mountPath": "/e"},
    ]
    assert second["user"] == {"linux": {"uid": 1000, "gid": 3000, "supplementalGroups": [3000, 4000]}}
    assert (second["resources"], second["allocatedResources"]) == (held, {"cpu": "100m"})
    assert found["allocatedResources"] == {"cpu": "100m"}
    assert found["resources"] == {"requests": {"cpu": "100m"}, "limits": {"memory": "1Gi"}}


def test_a_container_that_left_no_trace_counts_as_ended():
    app = container()
    spec = pod(app)
    running = status.generate(spec, observed(ran(app, cri.RUNNING)), Facts(), 1000.0)
    lost = status.generate({**spec, "status": running}, observed(), Facts(), 1001.0)
    (entry,) = lost["containerStatuses"]
    assert (lost["phase"], entry["restartCount"]) == ("Running", 1)
    assert entry["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"


def test_a_pod_that_is_refused_has_no_conditions_any_more():
    old = {"conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "x.io/own", "status": "True"}]}
    told = status.refused({**pod(), "status": old}, "OutOfcpu", "no room", 1000.0)
    assert (told["phase"], told["message"], told["conditions"]) == ("Failed", "Pod was rejected: no room", [])
    body = status.patch(old, told, "u1")["status"]
    assert body["conditions"] == [{"type": "PodScheduled", "$patch": "delete"}]  # another's condition stays
    assert not [field for field in body if field.startswith("$")]
    assert "conditions" not in status.patch({}, told, "u1")["status"]


@pytest.mark.parametrize(("told", "code"), [({}, 0), ({"reason": "Evicted", "message": "low on memory"}, 0)])
def test_why_a_pod_ends_is_said_when_it_has_ended(told, code):
    app = container()
    spec, facts = pod(app), Facts(**told)
    going = status.generate(spec, observed(ran(app, cri.RUNNING)), facts, 1000.0)
    assert "reason" not in going and going["phase"] == "Running"
    facts = dataclasses.replace(facts, stopped=True)
    over = status.generate({**spec, "status": going}, observed(ran(app, cri.EXITED)), facts, 1001.0)
    assert over["phase"] == ("Failed" if told else "Succeeded") and over.get("reason") == told.get("reason")


def test_a_readiness_gate_that_is_not_true():
    app = container()
    spec = pod(app, readinessGates=[{"conditionType": "x.io/a"}, {"conditionType": "x.io/b"}])
    spec["status"] = {"conditions": [{"type": "x.io/b", "status": "False", "lastTransitionTime": None}]}
    said = conditions(status.generate(spec, observed(ran(app, cri.RUNNING)), Facts(), 1000.0))["Ready"]
    assert said[1] == "ReadinessGatesNotReady"
    assert said[2] == (
        'corresponding condition of pod readiness gate "x.io/a" does not exist., '
        'the status of pod readiness gate "x.io/b" is not "True", but False'
    )
