"""Which containers are started again, and when all of them are."""

from __future__ import annotations

import pytest

from tests.kubelet.builders import container, observed, pod, ran
from workshop.kubelet import cri, restarts, status
from workshop.kubelet.actions import Health, compute_pod_actions
from workshop.kubelet.container_statuses import Facts


def rule(action, *codes, operator="In"):
    return {"action": action, "exitCodes": {"operator": operator, "values": list(codes)}}


@pytest.mark.parametrize(
    ("of_pod", "own", "rules", "code", "again"),
    [
        ("Always", None, [], 0, True),
        ("OnFailure", None, [], 0, False),
        ("OnFailure", None, [], 1, True),
        ("Never", None, [], 1, False),
        ("Always", "Never", [], 1, False),
        ("Never", "OnFailure", [], 1, True),
        ("Never", "Never", [rule("Restart", 42)], 42, True),
        ("Never", "Never", [rule("Restart", 42)], 41, False),
        ("Never", "Never", [rule("Restart", 42, operator="NotIn")], 41, True),
        ("Never", "Never", [rule("RestartAllContainers", 42)], 42, True),
        ("Never", None, [rule("Restart", 42)], 42, False),  # rules need a policy beside them
    ],
)
def test_who_is_started_again(of_pod, own, rules, code, again):
    app = container(restartPolicyRules=rules, **({"restartPolicy": own} if own else {}))
    spec = pod(app, restartPolicy=of_pod)
    assert restarts.should_restart(spec, app, ran(app, cri.EXITED, exit_code=code)) is again


def test_an_end_that_has_the_whole_pod_begin_anew():
    """From the end of `a` to the next start: the status tells each step, and nothing of it is an end of the pod."""
    a = container("a", restartPolicy="Never", restartPolicyRules=[rule("RestartAllContainers", 42)])
    b, setup = container("b"), container("setup")
    spec = pod(a, b, restartPolicy="Never", initContainers=[setup])
    done = ran(setup, cri.EXITED)

    def told(last, *containers):
        now = observed(*containers)
        return status.generate({**spec, "status": last}, now, Facts(), 1000.0), now

    def condition(found):
        return next(c["status"] for c in found["conditions"] if c["type"] == restarts.RESTARTING)

    running, _ = told({}, done, ran(a, cri.RUNNING), ran(b, cri.RUNNING))
    assert condition(running) == "False"
    ended, seen = told(running, done, ran(a, cri.EXITED, exit_code=42), ran(b, cri.RUNNING))
    assert (condition(ended), ended["phase"]) == ("True", "Running")
    assert restarts.all_restart(spec, seen, ended)
    actions = compute_pod_actions(spec, seen, Health(), anew=True)
    assert actions.remove == (("b", "b-0", True), ("setup", "setup-0", False), ("a", "a-0", False))
    assert actions.start == ()
    gone, seen = told(ended)
    assert (condition(gone), gone["phase"]) == ("False", "Running")
    state = gone["containerStatuses"][0]
    assert (state["restartCount"], state["state"]["waiting"]["reason"]) == (1, "RestartingAllContainers")
    assert state["lastState"]["terminated"]["exitCode"] == 137
    assert compute_pod_actions(spec, seen, Health(), anew=restarts.all_restart(spec, seen, gone)).start == ("setup",)
    again, _ = told(gone, done, ran(a, cri.RUNNING, attempt=1), ran(b, cri.RUNNING, attempt=1))
    assert [c["restartCount"] for c in again["containerStatuses"]] == [1, 1] and again["phase"] == "Running"
