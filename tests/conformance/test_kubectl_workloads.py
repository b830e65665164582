"""Workloads as a person drives them with a stock kubectl."""

from __future__ import annotations

import json
import re

import pytest

from .kubectl import Kubectl, eventually, told


def test_nodes_are_listed_with_their_columns(k: Kubectl) -> None:
    lines = k("get", "nodes", "-o", "wide").splitlines()
    assert re.split(r"\s{2,}", lines[0].strip()) == [
        "NAME", "STATUS", "ROLES", "AGE", "VERSION", "INTERNAL-IP", "EXTERNAL-IP", "OS-IMAGE", "KERNEL-VERSION",
        "CONTAINER-RUNTIME",
    ]  # fmt: skip
    assert len(lines) == 3 and all(" Ready " in line for line in lines[1:])


def test_a_deployment_from_nothing_to_available(k: Kubectl) -> None:
    assert k("create", "deployment", "web", "--image=nginx", "--replicas=3") == "deployment.apps/web created\n"
    assert "successfully rolled out" in k("rollout", "status", "deployment/web", "--timeout=60s")
    assert k("get", "deployment", "web", "--no-headers").split()[:4] == ["web", "3/3", "3", "3"]
    pods = k("get", "pods", "-l", "app=web", "-o", "wide", "--no-headers").splitlines()
    assert len(pods) == 3
    assert all(line.split()[1:3] == ["1/1", "Running"] for line in pods)
    replicaset = json.loads(k("get", "replicaset", "-o", "json"))["items"][0]
    pod = json.loads(k("get", "pods", "-o", "json"))["items"][0]
    owner = pod["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("ReplicaSet", replicaset["metadata"]["name"], True)
    assert pod["metadata"]["labels"]["pod-template-hash"] in replicaset["metadata"]["name"]


def test_scale_up_and_down(k: Kubectl) -> None:
    k("create", "deployment", "web", "--image=nginx")
    assert k("scale", "deployment/web", "--replicas=4") == "deployment.apps/web scaled\n"
    k("wait", "--for=jsonpath={.status.readyReplicas}=4", "deployment/web", "--timeout=60s")
    k("scale", "deployment/web", "--replicas=1", "--current-replicas=4")
    k("wait", "--for=jsonpath={.status.replicas}=1", "deployment/web", "--timeout=60s")
    error = k.fails("scale", "deployment/web", "--replicas=2", "--current-replicas=7")
    assert "expected replicas to be 7, was 1" in error.lower()


def test_rolling_update_and_undo(k: Kubectl) -> None:
    k("create", "deployment", "web", "--image=nginx:1.25", "--replicas=2")
    k("rollout", "status", "deployment/web", "--timeout=60s")
    assert k("set", "image", "deployment/web", "nginx=nginx:1.26") == "deployment.apps/web image updated\n"
    k("rollout", "status", "deployment/web", "--timeout=60s")
    history = k("rollout", "history", "deployment/web")
    assert re.search(r"^1\s", history, re.M) and re.search(r"^2\s", history, re.M)
    assert "rolled back" in k("rollout", "undo", "deployment/web")
    k("rollout", "status", "deployment/web", "--timeout=60s")
    image = k("get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
    assert image == "nginx:1.25"
    assert "3" in k(
        "get", "deployment", "web", "-o", r"jsonpath={.metadata.annotations.deployment\.kubernetes\.io/revision}"
    )


def test_rollout_pause_resume_restart(k: Kubectl) -> None:
    k("create", "deployment", "web", "--image=nginx")
    assert k("rollout", "pause", "deployment/web") == "deployment.apps/web paused\n"
    assert "already paused" in k.fails("rollout", "pause", "deployment/web")
    assert k("rollout", "resume", "deployment/web") == "deployment.apps/web resumed\n"
    assert k("rollout", "restart", "deployment/web") == "deployment.apps/web restarted\n"
    k("rollout", "status", "deployment/web", "--timeout=60s")


def test_expose_makes_a_service_with_endpoints(k: Kubectl) -> None:
    k("create", "deployment", "web", "--image=nginx", "--replicas=2")
    assert k("expose", "deployment", "web", "--port=80") == "service/web exposed\n"
    k("rollout", "status", "deployment/web", "--timeout=60s")
    service = json.loads(k("get", "service", "web", "-o", "json"))
    assert service["spec"]["type"] == "ClusterIP" and service["spec"]["clusterIPs"] == [service["spec"]["clusterIP"]]
    pods = set(k("get", "pods", "-o", "jsonpath={.items[*].status.podIP}").split())

    def all_there() -> bool:
        slices = json.loads(k("get", "endpointslices", "-l", "kubernetes.io/service-name=web", "-o", "json"))["items"]
        return {a for s in slices for e in s["endpoints"] if e["conditions"]["ready"] for a in e["addresses"]} == pods

    eventually(all_there)
    assert k("get", "endpoints", "web", "--no-headers").split()[0] == "web"


def test_run_and_delete_a_pod(k: Kubectl) -> None:
    assert k("run", "one", "--image=nginx", "--labels=a=b") == "pod/one created\n"
    assert k("wait", "--for=condition=Ready", "pod/one", "--timeout=60s") == "pod/one condition met\n"
    described = told(lambda: k("describe", "pod", "one"), "Scheduled", "Started")
    assert re.search(r"^Status: +Running$", described, re.M)
    for wanted in ("IP:", "QoS Class:", "BestEffort"):
        assert wanted in described
    assert re.match(r'pod "one" deleted( from .* namespace)?\n', k("delete", "pod", "one", "--wait", "--timeout=60s"))
    assert 'Error from server (NotFound): pods "one" not found' in k.fails("get", "pod", "one")


def test_a_job_completes(k: Kubectl, containers: None) -> None:
    assert k("create", "job", "once", "--image=busybox", "--", "echo", "hello") == "job.batch/once created\n"
    k("wait", "--for=condition=Complete", "job/once", "--timeout=60s")
    assert k("logs", "job/once") == "hello\n"
    assert k("get", "job", "once", "--no-headers").split()[:3] == ["once", "Complete", "1/1"]


def test_cronjob_and_a_job_from_it(k: Kubectl) -> None:
    k("create", "cronjob", "tick", "--image=busybox", "--schedule=0 0 1 1 *", "--", "true")
    assert k("create", "job", "now", "--from=cronjob/tick") == "job.batch/now created\n"
    assert "tick" in k("get", "job", "now", "-o", "jsonpath={.metadata.ownerReferences[0].name}")


def test_daemonset_runs_on_every_node(k: Kubectl, manifest) -> None:  # type: ignore[no-untyped-def]
    k("apply", "-f", manifest("""
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: c, image: nginx}]}
"""))  # fmt: skip
    k("rollout", "status", "daemonset/agent", "--timeout=60s")
    nodes = set(k("get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}").split())
    assert len(nodes) == 2


def test_statefulset_in_order(k: Kubectl, manifest) -> None:  # type: ignore[no-untyped-def]
    k("apply", "-f", manifest("""
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 6379}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: c, image: redis}]}
"""))  # fmt: skip
    k("rollout", "status", "statefulset/db", "--timeout=60s")
    pods = json.loads(k("get", "pods", "--sort-by=.metadata.name", "-o", "json"))["items"]
    assert [p["metadata"]["name"] for p in pods] == ["db-0", "db-1"]
    assert pods[0]["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "0"
    assert pods[0]["status"]["startTime"] <= pods[1]["metadata"]["creationTimestamp"]


def test_cordon_drain_uncordon(k: Kubectl) -> None:
    k("create", "deployment", "web", "--image=nginx", "--replicas=2")
    k("rollout", "status", "deployment/web", "--timeout=60s")
    node = k("get", "pods", "-o", "jsonpath={.items[0].spec.nodeName}")
    try:
        assert k("cordon", node) == f"node/{node} cordoned\n"
        assert "SchedulingDisabled" in k("get", "node", node)
        out = k(
            "drain",
            node,
            "--ignore-daemonsets",
            "--delete-emptydir-data",
            "--force",
            "--pod-selector=app=web",
            "--timeout=60s",
        )
        assert f"node/{node} drained" in out
        k("rollout", "status", "deployment/web", "--timeout=60s")
        left = k("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[?(@.status.phase=='Running')].spec.nodeName}")
        assert node not in left.split()
    finally:
        assert k("uncordon", node) == f"node/{node} uncordoned\n"


def test_taints_keep_pods_away(k: Kubectl) -> None:
    nodes = k("get", "nodes", "-o", "jsonpath={.items[*].metadata.name}").split()
    try:
        k("taint", "nodes", *nodes, f"only-{k.namespace}=x:NoSchedule")
        k("run", "one", "--image=nginx")
        k("wait", "--for=condition=PodScheduled=false", "pod/one", "--timeout=60s")
        message = k("get", "pod", "one", "-o", "jsonpath={.status.conditions[?(@.type=='PodScheduled')].message}")
        assert message.startswith("0/2 nodes are available: 2 node(s) had untolerated taint(s).")
        told(lambda: k("get", "events", "--field-selector=involvedObject.name=one"), "FailedScheduling")
    finally:
        k("taint", "nodes", *nodes, f"only-{k.namespace}-")
    k("wait", "--for=condition=Ready", "pod/one", "--timeout=60s")


def test_too_large_requests_stay_pending(k: Kubectl) -> None:
    k(
        "run",
        "big",
        "--image=nginx",
        '--overrides={"spec":{"containers":[{"name":"big","image":"nginx","resources":{"requests":{"cpu":"4000"}}}]}}',
    )
    k("wait", "--for=condition=PodScheduled=false", "pod/big", "--timeout=60s")
    message = k("get", "pod", "big", "-o", "jsonpath={.status.conditions[0].message}")
    assert message.startswith("0/2 nodes are available: 2 Insufficient cpu.")
    assert k("get", "pod", "big", "--no-headers").split()[2] == "Pending"


def test_deleting_a_deployment_cascades(k: Kubectl) -> None:
    k("create", "deployment", "web", "--image=nginx", "--replicas=2")
    k("rollout", "status", "deployment/web", "--timeout=60s")
    k("delete", "deployment", "web", "--cascade=foreground", "--timeout=60s")
    assert k("get", "replicasets,pods", "-l", "app=web", "--ignore-not-found", "-o", "name") == ""


def test_orphans_are_adopted(k: Kubectl) -> None:
    k("create", "deployment", "web", "--image=nginx")
    k("rollout", "status", "deployment/web", "--timeout=60s")
    before = k("get", "pods", "-o", "name")
    k("delete", "deployment", "web", "--cascade=orphan")
    assert k("get", "replicasets", "-o", "jsonpath={.items[0].metadata.ownerReferences}") == ""
    k("create", "deployment", "web", "--image=nginx")
    k("rollout", "status", "deployment/web", "--timeout=60s")
    assert k("get", "pods", "-o", "name") == before


@pytest.mark.any_mode
def test_a_quota_is_kept(k: Kubectl) -> None:
    k("create", "quota", "few", "--hard=pods=1")
    k("wait", "--for=jsonpath={.status.hard.pods}=1", "quota/few", "--timeout=60s")
    k("run", "one", "--image=nginx")
    error = k.fails("run", "two", "--image=nginx")
    assert 'pods "two" is forbidden: exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1' in error


def test_eviction_respects_a_budget(k: Kubectl) -> None:
    k("create", "deployment", "web", "--image=nginx")
    k("rollout", "status", "deployment/web", "--timeout=60s")
    k("create", "poddisruptionbudget", "keep", "--selector=app=web", "--min-available=1")
    k("wait", "--for=jsonpath={.status.currentHealthy}=1", "pdb/keep", "--timeout=60s")
    pod = k("get", "pods", "-o", "jsonpath={.items[0].metadata.name}")
    body = json.dumps(
        {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": k.namespace}}
    )
    error = k.fails("create", "--raw", f"/api/v1/namespaces/{k.namespace}/pods/{pod}/eviction", "-f", "-", stdin=body)
    assert "Cannot evict pod as it would violate the pod's disruption budget" in error
