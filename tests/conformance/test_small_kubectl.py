"""The small built-in kubectl, for a learner who has no stock one: run as a program of its own."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from .kubectl import eventually

_count = itertools.count()
PROGRAM = "import sys; from pathlib import Path; from workshop.cluster.kubectl import main; sys.exit(main(sys.argv[2:], Path(sys.argv[1])))"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def small(kubeconfig: str) -> Iterator[Run]:
    namespace = f"small{os.getpid()}-{next(_count)}"

    def run(*args: str, stdin: str | None = None, code: int = 0) -> subprocess.CompletedProcess[str]:
        argv = list(args)
        cut = argv.index("--") if "--" in argv else len(argv)
        argv[cut:cut] = ["-n", namespace]
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, kubeconfig, *argv],
            input=stdin or "", capture_output=True, text=True, timeout=90, check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )  # fmt: skip
        assert done.returncode == code, (args, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    run("create", "namespace", namespace)
    yield run
    run("delete", "namespace", namespace, "--wait=false")


TWO = """
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data: {x: "1"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: b}
"""


@pytest.mark.any_mode
def test_apply_get_describe_delete(small: Run) -> None:
    assert small("apply", "-f", "-", stdin=TWO).stdout == "configmap/a created\nconfigmap/b created\n"
    assert small("apply", "-f", "-", stdin=TWO).stdout == "configmap/a unchanged\nconfigmap/b unchanged\n"
    changed = small("apply", "-f", "-", stdin=TWO.replace('"1"', '"2"'))
    assert changed.stdout.startswith("configmap/a configured\n")
    assert small("get", "cm", "a", "-o", "jsonpath={.data.x}").stdout == "2"
    lines = small("get", "configmaps").stdout.splitlines()
    assert lines[0].split() == ["NAME", "DATA", "AGE"] and lines[1].split()[:2] == ["a", "1"]
    assert "Name:         a" in small("describe", "cm", "a").stdout
    assert 'configmap "a" deleted' in small("delete", "cm", "a").stdout
    gone = small("get", "cm", "a", code=1)
    assert gone.stderr == 'Error from server (NotFound): configmaps "a" not found\n'


def test_a_deployment_is_made_scaled_and_waited_for(small: Run) -> None:
    assert small("create", "deployment", "web", "--image=nginx").stdout == "deployment.apps/web created\n"
    assert "successfully rolled out" in small("rollout", "status", "deployment/web", "--timeout=60s").stdout
    assert small("scale", "deployment/web", "--replicas=2").stdout == "deployment.apps/web scaled\n"
    small("wait", "deployment/web", "--for=jsonpath={.status.readyReplicas}=2", "--timeout=60s")
    rows = small("get", "pods", "-l", "app=web", "--no-headers").stdout.splitlines()
    assert [row.split()[1:3] for row in rows] == [["1/1", "Running"]] * 2
    assert "deployment.apps/web" in small("get", "all").stdout


def test_logs_and_exec(small: Run) -> None:
    pod = """
apiVersion: v1
kind: Pod
metadata: {name: box}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: busybox, command: [sh, -c, "echo hello; exec sleep 3600"]}]
"""
    small("create", "-f", "-", stdin=pod)
    small("wait", "pod/box", "--for=condition=Ready", "--timeout=60s")
    eventually(lambda: small("logs", "box").stdout == "hello\n")  # a container that runs need not have spoken yet
    assert small("exec", "box", "--", "echo", "a b").stdout == "a b\n"
    assert small("exec", "-i", "box", "--", "cat", stdin="typed").stdout == "typed"
    failed = small("exec", "box", "--", "sh", "-c", "exit 3", code=3)
    assert "command terminated with exit code 3" in failed.stderr


@pytest.mark.any_mode
def test_labels(small: Run) -> None:
    small("apply", "-f", "-", stdin=TWO)
    assert small("label", "cm", "a", "color=blue").stdout == "configmap/a labeled\n"
    assert "already has a value (blue)" in small("label", "cm", "a", "color=red", code=1).stderr
    assert small("get", "cm", "-l", "color=blue", "-o", "name").stdout == "configmap/a\n"
    assert small("label", "cm", "a", "color-").stdout == "configmap/a unlabeled\n"


@pytest.mark.any_mode
def test_mistakes_are_one_sentence(small: Run) -> None:
    assert small("get", "nonsense", code=1).stderr == 'error: the server doesn\'t have a resource type "nonsense"\n'
    assert "no objects passed" in small("apply", "-f", "-", stdin="", code=1).stderr
    assert "error: error parsing STDIN" in small("apply", "-f", "-", stdin="a: [", code=1).stderr
    assert "does not exist" in small("apply", "-f", "/no/such/file", code=1).stderr
    assert "No resources found" in small("get", "pods").stderr
    assert small("get", "pods", "--nonsense", code=1).stderr.startswith("error: unknown flag: --nonsense\n")
    assert 'required flag(s) "replicas" not set' in small("scale", "deployment", "web", code=1).stderr
    assert small("port-forward", "pod/web", "80", code=1).stderr.startswith(
        "error: the small kubectl has no port-forward."
    )
    assert "the small kubectl has no rollout undo" in small("rollout", "undo", "deployment/web", code=1).stderr
    assert 'unknown command "gte" for "kubectl"' in small("gte", "pods", code=1).stderr


def test_what_the_labs_use(small: Run) -> None:
    """`run`, `expose`, `wait --all`, `create configmap`: a lab goes on where there is no stock kubectl."""
    made = small("create", "deployment", "hello", "--image=agnhost", "--port=9376", "--", "/agnhost", "serve-hostname")
    assert made.stdout == "deployment.apps/hello created\n"
    assert small("expose", "deployment", "hello", "--port=80", "--target-port=9376").stdout == "service/hello exposed\n"
    ports = small("get", "service", "hello", "-o", "jsonpath={.spec.ports[0].targetPort}").stdout
    assert ports == "9376"
    assert small("run", "late", "--image=nginx").stdout == "pod/late created\n"
    assert small("get", "pods", "-l", "run=late", "-o", "name").stdout == "pod/late\n"
    waited = small("wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s").stdout
    assert "pod/late condition met" in waited and waited.count("condition met") == 2
    there = small("create", "configmap", "there", "--request-timeout=20s", "--from-literal=a=b")
    assert there.stdout == "configmap/there created\n"
    small("label", "configmap", "there", "app=lab")
    assert "Name:         there\n" in small("describe", "configmap", "-l", "app=lab").stdout
    assert "managedFields" not in small("get", "configmap", "there", "-o", "yaml").stdout
    assert "managedFields" in small("get", "configmap", "there", "-o", "yaml", "--show-managed-fields").stdout
    assert small("create", "serviceaccount", "reader").stdout == "serviceaccount/reader created\n"
    assert small("auth", "can-i", "list", "pods").stdout == "yes\n"
    assert small("auth", "can-i", "list", "pods", "--as=system:serviceaccount:default:reader", code=1).stdout == "no\n"
    assert "no name was specified" in small("expose", "deployment", "--port=80", code=1).stderr
