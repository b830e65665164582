"""What needs containers that really run: logs, exec, cp, attach, port-forward, debug, probes, Services."""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.request
from pathlib import Path

import pytest

from .kubectl import Kubectl, eventually, told

pytestmark = pytest.mark.usefixtures("containers")


@pytest.fixture
def shell(k: Kubectl) -> Kubectl:
    k("run", "box", "--image=busybox", "--command", "--", "sh", "-c", "echo first; echo second >&2; exec sleep 3600")
    k("wait", "--for=condition=Ready", "pod/box", "--timeout=60s")
    return k


def test_logs(shell: Kubectl) -> None:
    assert sorted(told(lambda: shell("logs", "box"), "first", "second").splitlines()) == ["first", "second"]
    assert len(shell("logs", "box", "--tail=1").splitlines()) == 1
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z ", shell("logs", "box", "--timestamps"))
    assert 'previous terminated container "box" in pod "box" not found' in shell.fails("logs", "box", "--previous")
    assert "container nope is not valid for pod box" in shell.fails("logs", "box", "-c", "nope")


def test_logs_follow_until_the_end(k: Kubectl) -> None:
    k(
        "run",
        "count",
        "--image=busybox",
        "--restart=Never",
        "--command",
        "--",
        "sh",
        "-c",
        "for i in 1 2 3; do echo $i; sleep 0.3; done",
    )
    eventually(lambda: k.run("logs", "count").code == 0)
    assert k("logs", "-f", "count").split() == ["1", "2", "3"]


def test_logs_of_the_previous_container(k: Kubectl) -> None:
    k("run", "twice", "--image=busybox", "--command", "--", "sh", "-c", "echo run; exit 3")
    k("wait", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1", "pod/twice", "--timeout=60s")
    assert k("logs", "twice", "--previous") == "run\n"
    last = json.loads(k("get", "pod", "twice", "-o", "jsonpath={.status.containerStatuses[0].lastState.terminated}"))
    assert (last["exitCode"], last["reason"]) == (3, "Error")
    k(
        "wait",
        "--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}=CrashLoopBackOff",
        "pod/twice",
        "--timeout=60s",
    )
    # an event is written beside the status, not before it
    eventually(lambda: "Back-off restarting failed container" in k("describe", "pod", "twice"), 30)


def test_exec(shell: Kubectl) -> None:
    assert shell("exec", "box", "--", "echo", "hello", "world") == "hello world\n"
    assert shell("exec", "-i", "box", "--", "cat", stdin="typed\n") == "typed\n"
    result = shell.run("exec", "box", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (result.out, result.code) == ("out\n", 7)
    assert "err\n" in result.err and "command terminated with exit code 7" in result.err
    missing = shell.run("exec", "box", "--", "no-such-program")
    assert missing.code != 0 and "no-such-program" in missing.err


def test_exec_with_a_terminal(shell: Kubectl) -> None:
    typed = ["script", "-qec", " ".join(shell.command("exec", "-it", "box", "--", "tty")), "/dev/null"]
    done = subprocess.run(typed, capture_output=True, text=True, timeout=60, check=False)
    assert "/dev/pts/" in done.stdout and done.returncode == 0, done


def test_cp_both_ways(shell: Kubectl, tmp_path: Path) -> None:
    here = tmp_path / "here.txt"
    here.write_text("carried\n" * 1000)
    if os.geteuid() == 0:
        os.chown(here, 1234, 1234)  # somebody's file, whom the pod need not know
    shell("cp", str(here), "box:/tmp/there.txt")
    assert shell("exec", "box", "--", "wc", "-l", "/tmp/there.txt").split()[0] == "1000"
    shell("cp", "box:/tmp/there.txt", str(tmp_path / "back.txt"))
    assert (tmp_path / "back.txt").read_text() == here.read_text()
    shell("exec", "box", "--", "rm", "/tmp/there.txt")


def test_attach(k: Kubectl) -> None:
    k("run", "echo", "--image=busybox", "--stdin", "--command", "--", "cat")
    k("wait", "--for=condition=Ready", "pod/echo", "--timeout=60s")
    attached = k.popen("attach", "-i", "echo", stdin=subprocess.PIPE)
    assert attached.stdin is not None and attached.stdout is not None
    try:
        attached.stdin.write("over there\n")
        attached.stdin.flush()
        assert attached.stdout.readline() == "over there\n"
    finally:
        attached.kill()
        attached.communicate()


def test_run_once_and_remove(k: Kubectl) -> None:
    out = k("run", "once", "--image=busybox", "--rm", "-i", "--restart=Never", "--command", "--", "echo", "done")
    assert "done\n" in out and 'pod "once" deleted' in out


def test_port_forward(k: Kubectl) -> None:
    listening = {"tcpSocket": {"port": 80}, "periodSeconds": 1}
    container = {"name": "web", "image": "nginx", "ports": [{"containerPort": 80}], "readinessProbe": listening}
    k("run", "web", "--image=nginx", "--overrides", json.dumps({"spec": {"containers": [container]}}))
    k("wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
    forward = k.popen("port-forward", "pod/web", ":80")
    try:
        assert forward.stdout is not None and forward.stderr is not None
        first = forward.stdout.readline()
        port = re.search(r"127\.0\.0\.1:(\d+) ->", first)
        assert port, first + forward.stderr.read()
        for _ in range(3):
            with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}/", timeout=60) as answer:
                assert answer.status == 200 and answer.read()
    finally:
        forward.kill()
        forward.communicate()


def test_debug_adds_a_container(shell: Kubectl) -> None:
    out = shell("debug", "box", "--image=busybox", "--container=look", "--", "sh", "-c", "echo looked; sleep 3600")
    assert out == ""
    shell(
        "wait",
        "--for=jsonpath={.status.ephemeralContainerStatuses[0].state.running.startedAt}",
        "pod/box",
        "--timeout=60s",
    )
    eventually(lambda: shell("logs", "box", "-c", "look") == "looked\n")


def test_an_unknown_image(k: Kubectl) -> None:
    k("run", "odd", "--image=example.com/no/such:1")
    for reason in ("ErrImagePull", "ImagePullBackOff"):
        eventually(
            lambda reason=reason: k("get", "pod", "odd", "--no-headers").split()[2] in (reason, "ImagePullBackOff")
        )
    told(lambda: k("describe", "pod", "odd"), 'Failed to pull image "example.com/no/such:1"', "ImagePullBackOff")


def test_a_failing_liveness_probe_restarts(k: Kubectl, manifest) -> None:  # type: ignore[no-untyped-def]
    k("apply", "-f", manifest("""
apiVersion: v1
kind: Pod
metadata: {name: sick}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: busybox
    command: [sleep, "3600"]
    livenessProbe: {exec: {command: ["false"]}, periodSeconds: 1, failureThreshold: 1}
"""))  # fmt: skip
    k("wait", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1", "pod/sick", "--timeout=60s")
    told(lambda: k("get", "events", "--field-selector=involvedObject.name=sick"), "Unhealthy", "Killing")


def test_readiness_takes_a_pod_out_of_its_service(k: Kubectl, manifest) -> None:  # type: ignore[no-untyped-def]
    mark = f"/tmp/{k.namespace}-is-not-ready"  # in mode plain /tmp is everybody's
    k("apply", "-f", manifest(f"""
apiVersion: v1
kind: Pod
metadata: {{name: moody, labels: {{app: moody}}}}
spec:
  containers:
  - name: c
    image: busybox
    command: [sleep, "3600"]
    readinessProbe: {{exec: {{command: [test, "!", "-e", {mark}]}}, periodSeconds: 1, failureThreshold: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: moody}}
spec: {{selector: {{app: moody}}, ports: [{{port: 80}}]}}
"""))  # fmt: skip
    k("wait", "--for=condition=Ready", "pod/moody", "--timeout=60s")
    k("exec", "moody", "--", "touch", mark)
    k("wait", "--for=condition=Ready=false", "pod/moody", "--timeout=60s")
    k("wait", "--for=jsonpath={.endpoints[0].conditions.ready}=false", "endpointslice",
      "-l", "kubernetes.io/service-name=moody", "--timeout=60s")  # fmt: skip
    k("exec", "moody", "--", "rm", mark)
    k("wait", "--for=condition=Ready", "pod/moody", "--timeout=60s")


def test_configuration_reaches_the_container(k: Kubectl, manifest) -> None:  # type: ignore[no-untyped-def]
    k("create", "configmap", "settings", "--from-literal=color=blue")
    k("create", "secret", "generic", "word", "--from-literal=password=hunter2")
    k("apply", "-f", manifest("""
apiVersion: v1
kind: Pod
metadata: {name: reader, labels: {a: b}}
spec:
  restartPolicy: Never
  containers:
  - name: c
    image: busybox
    command: [sh, -c, 'echo $COLOR $PASSWORD $NAME $(GREETING); cat "${WORKSHOP_ROOTFS:-}/etc/settings/color"']
    args: []
    env:
    - {name: GREETING, value: "hi"}
    - {name: COLOR, valueFrom: {configMapKeyRef: {name: settings, key: color}}}
    - {name: PASSWORD, valueFrom: {secretKeyRef: {name: word, key: password}}}
    - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    volumeMounts: [{name: v, mountPath: /etc/settings}]
  volumes: [{name: v, configMap: {name: settings}}]
"""))  # fmt: skip
    k("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/reader", "--timeout=60s")
    assert k("logs", "reader") == "blue hunter2 reader hi\nblue"


def test_graceful_termination_runs_the_hook(k: Kubectl, manifest) -> None:  # type: ignore[no-untyped-def]
    k("apply", "-f", manifest("""
apiVersion: v1
kind: Pod
metadata: {name: polite}
spec:
  terminationGracePeriodSeconds: 20
  containers:
  - name: c
    image: busybox
    command: [sh, -c, "trap 'echo terminated; exit 0' TERM; echo up; while true; do sleep 0.1; done"]
    lifecycle: {preStop: {exec: {command: [sh, -c, "echo hook > /proc/1/fd/1 || true"]}}}
"""))  # fmt: skip
    k("wait", "--for=condition=Ready", "pod/polite", "--timeout=60s")
    follow = k.popen("logs", "-f", "polite")
    assert follow.stdout is not None and follow.stdout.readline() == "up\n"
    k("delete", "pod", "polite", "--timeout=60s")
    out, _ = follow.communicate(timeout=90)
    assert "terminated" in out


def test_a_service_is_balanced_over_its_pods(k: Kubectl) -> None:
    """From inside the cluster, through the ClusterIP, as in every mode."""
    k("create", "deployment", "web", "--image=nginx", "--replicas=3")
    k("expose", "deployment", "web", "--port=8080", "--target-port=80")
    k("rollout", "status", "deployment/web", "--timeout=60s")
    address = k("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    k("run", "client", "--image=python", "--command", "--", "sleep", "3600")
    k("wait", "--for=condition=Ready", "pod/client", "--timeout=60s")
    program = (
        "import urllib.request\n"
        f"for _ in range(40): print(urllib.request.urlopen('http://{address}:8080/hostname', timeout=60).read().decode().strip())"
    )
    pods = set(k("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].metadata.name}").split())
    # each kube-proxy hears of the endpoints in its own time
    eventually(lambda: set(k.run("exec", "client", "--", "python3", "-c", program).out.split()) == pods)


def test_memory_limits_kill(k: Kubectl, manifest) -> None:  # type: ignore[no-untyped-def]
    k("apply", "-f", manifest("""
apiVersion: v1
kind: Pod
metadata: {name: hungry}
spec:
  restartPolicy: Never
  containers: [{name: c, image: memory-eater, resources: {limits: {memory: 64Mi}}}]
"""))  # fmt: skip
    k("wait", "--for=jsonpath={.status.phase}=Failed", "pod/hungry", "--timeout=60s")
    state = json.loads(k("get", "pod", "hungry", "-o", "jsonpath={.status.containerStatuses[0].state.terminated}"))
    assert state["exitCode"] != 0


def test_init_containers_come_first(k: Kubectl, manifest) -> None:  # type: ignore[no-untyped-def]
    k("apply", "-f", manifest("""
apiVersion: v1
kind: Pod
metadata: {name: prepared}
spec:
  restartPolicy: Never
  volumes: [{name: shared, emptyDir: {}}]
  initContainers:
  - {name: first, image: busybox, command: [sh, -c, 'echo made > ${WORKSHOP_ROOTFS:-}/shared/file'], volumeMounts: [{name: shared, mountPath: /shared}]}
  containers:
  - {name: c, image: busybox, command: [sh, -c, 'cat ${WORKSHOP_ROOTFS:-}/shared/file'], volumeMounts: [{name: shared, mountPath: /shared}]}
"""))  # fmt: skip
    k("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/prepared", "--timeout=60s")
    assert k("logs", "prepared") == "made\n"
