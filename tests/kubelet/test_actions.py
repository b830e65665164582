"""compute_pod_actions: one test a situation."""

from __future__ import annotations

import pytest

from tests.kubelet.builders import container, observed, pod, ran, sandbox
from workshop.kubelet import cri
from workshop.kubelet.actions import Health, compute_pod_actions
from workshop.kubelet.pods import Observed

NOTHING = Health()


def test_a_new_pod_gets_a_sandbox_and_all_its_containers():
    actions = compute_pod_actions(pod(container("a"), container("b")), Observed(), NOTHING)
    assert actions.create_sandbox and actions.attempt == 0
    assert actions.start == ("a", "b")


def test_init_containers_come_first_and_one_at_a_time():
    one, two = container("one"), container("two")
    spec = pod(initContainers=[one, two])
    assert compute_pod_actions(spec, Observed(), NOTHING).start == ("one",)
    assert compute_pod_actions(spec, observed(ran(one, cri.RUNNING)), NOTHING).start == ()
    assert compute_pod_actions(spec, observed(ran(one, cri.EXITED)), NOTHING).start == ("two",)
    done = observed(ran(one, cri.EXITED), ran(two, cri.EXITED))
    assert compute_pod_actions(spec, done, NOTHING).start == ("app",)


@pytest.mark.parametrize(("policy", "start", "kill_pod"), [("Always", ("one",), False), ("Never", (), True)])
def test_a_failed_init_container_is_run_again_unless_never(policy, start, kill_pod):
    one = container("one")
    actions = compute_pod_actions(
        pod(initContainers=[one], restartPolicy=policy), observed(ran(one, cri.EXITED, exit_code=1)), NOTHING
    )
    assert (actions.start, actions.kill_pod) == (start, kill_pod)


def test_a_sidecar_runs_beside_the_others_and_the_next_waits_for_its_startup_probe():
    side = container("side", restartPolicy="Always", startupProbe={"exec": {}})
    spec = pod(initContainers=[side])
    running = ran(side, cri.RUNNING)
    assert compute_pod_actions(spec, observed(running), NOTHING).start == ()
    assert compute_pod_actions(spec, observed(running), Health(started={running.id: True})).start == ("app",)


def test_a_sidecar_that_ended_is_started_again_while_the_pod_runs():
    app, side = container(), container("side", restartPolicy="Always")
    shown = observed(ran(side, cri.EXITED, exit_code=1), ran(app, cri.RUNNING))
    assert compute_pod_actions(pod(app, initContainers=[side]), shown, NOTHING).start == ("side",)


def test_sidecars_end_when_the_work_is_done():
    app, side = container(), container("side", restartPolicy="Always")
    shown = observed(ran(side, cri.RUNNING), ran(app, cri.EXITED))
    assert compute_pod_actions(pod(app, initContainers=[side], restartPolicy="Never"), shown, NOTHING).kill_pod


@pytest.mark.parametrize(
    ("policy", "code", "restarted"),
    [("Always", 0, True), ("Always", 1, True), ("OnFailure", 0, False), ("OnFailure", 1, True), ("Never", 1, False)],
)
def test_restart_policy(policy, code, restarted):
    app = container()
    actions = compute_pod_actions(
        pod(app, restartPolicy=policy), observed(ran(app, cri.EXITED, exit_code=code)), NOTHING
    )
    assert (actions.start == ("app",)) is restarted
    assert actions.kill_pod is not restarted


def test_a_failed_liveness_probe_kills_with_upstreams_words():
    app = container()
    running = ran(app, cri.RUNNING)
    actions = compute_pod_actions(pod(app), observed(running), Health(liveness_failed=frozenset({running.id})))
    assert actions.kill[0].message == "Container app failed liveness probe, will be restarted"


def test_a_new_image_restarts_the_container():
    running = ran(container(), cri.RUNNING)
    actions = compute_pod_actions(pod(container(image="alpine")), observed(running), NOTHING)
    assert actions.kill[0].message == "Container app definition changed, will be restarted"


def test_a_dead_sandbox_is_made_anew_with_the_next_attempt():
    app = container()
    shown = observed(ran(app, cri.EXITED, exit_code=137), box=sandbox(cri.NOT_READY, attempt=2))
    actions = compute_pod_actions(pod(app), shown, NOTHING)
    assert actions.create_sandbox and actions.attempt == 3 and actions.start == ("app",)


def test_a_finished_pod_needs_no_sandbox():
    app = container()
    shown = observed(ran(app, cri.EXITED), box=sandbox(cri.NOT_READY))
    actions = compute_pod_actions(pod(app, restartPolicy="OnFailure"), shown, NOTHING)
    assert not actions.create_sandbox and not actions.start


def test_an_ephemeral_container_is_started_once():
    app, debug = container(), container("debug")
    spec = pod(app, ephemeralContainers=[debug])
    assert compute_pod_actions(spec, observed(ran(app, cri.RUNNING)), NOTHING).start == ("debug",)
    ended = observed(ran(app, cri.RUNNING), ran(debug, cri.EXITED))
    assert compute_pod_actions(spec, ended, NOTHING).start == ()
