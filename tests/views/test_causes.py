"""From trace lines to swim lanes."""

from workshop.views.causes import MAX_LINES, Journal, diagram, history

CONTROLLERS = "system:serviceaccount:kube-system:"


def write(version, kind, name, user, verb="create", sub="", at=None, manager=""):
    return {"event": "apiserver.write", "process": "kube-apiserver", "at": float(at or version), "verb": verb,
            "kind": kind, "namespace": "default", "name": name, "uid": name, "subresource": sub,
            "version": str(version), "user": user, "manager": manager}  # fmt: skip


def step(process, read, wrote, at, event="controller.reconcile", path="", **more):
    reads = [["Pod", "default", "x", str(version)] for version in read]
    writes = [{"method": "POST", "path": path, "version": str(version) if version else ""} for version in wrote]
    return {"event": event, "process": process, "begun": at - 0.5, "at": float(at), "read": reads, "wrote": writes,
            "key": "default/x", **more}  # fmt: skip


def commit(revision):
    return {"event": "etcd.commit", "process": "etcd", "at": revision - 0.1, "revision": revision, "keys": []}


def journal(*lines):
    found = Journal()
    for line in lines:
        found.hear(line)
    return found


STORY = journal(
    commit(10),
    write(10, "Deployment", "web", "kubernetes-admin", manager="kubectl-create"),
    commit(11),
    write(11, "ReplicaSet", "web-1", f"{CONTROLLERS}deployment-controller"),
    step("kube-controller-manager", [10], [11], 11, controller="deployment-controller"),
    write(12, "Pod", "web-1-a", f"{CONTROLLERS}replicaset-controller"),
    step("kube-controller-manager", [7, 11], [12], 12, controller="replicaset-controller"),
    write(13, "Pod", "web-1-a", "system:kube-scheduler", "update", "binding"),
    step("kube-scheduler", [12], [None], 13.2, "scheduler.bind",
         path="/api/v1/namespaces/default/pods/web-1-a/binding"),
    write(14, "Pod", "web-1-a", "system:node:node-2", "update", "status"),
    step("kubelet-node-2", [13], [14], 14, "kubelet.status"),
    write(20, "ConfigMap", "other", "kubernetes-admin"),
)  # fmt: skip


def told(key):
    rows = diagram(STORY, key)["rows"]
    return [(row["type"], row["lane"], row["version"], rows[row["cause"]]["version"] if row["cause"] is not None else None)
            for row in rows]  # fmt: skip


WHOLE = [
    ("write", "kubectl", "10", None),
    ("watch", "kube-controller-manager", "10", "10"),
    ("write", "kube-controller-manager", "11", "10"),
    ("watch", "kube-controller-manager", "11", "11"),
    ("write", "kube-controller-manager", "12", "11"),
    ("watch", "kube-scheduler", "12", "12"),
    ("write", "kube-scheduler", "13", "12"),
    ("watch", "kubelet-node-2", "13", "13"),
    ("write", "kubelet-node-2", "14", "13"),
]


def test_a_write_leads_to_a_watch_event_to_a_step_to_the_next_write():
    assert told("Deployment/default/web") == WHOLE


def test_from_the_last_object_the_way_leads_back_to_who_began():
    assert told("Pod/default/web-1-a") == WHOLE


def test_what_nobody_set_off_stands_alone_and_what_is_unknown_is_empty():
    assert told("ConfigMap/default/other") == [("write", "kubernetes-admin", "20", None)]
    assert diagram(STORY, "Pod/default/never")["rows"] == []


def test_lanes_are_etcd_and_the_api_server_then_people_then_who_reacts():
    lanes = diagram(STORY, "Deployment/default/web")["lanes"]
    assert lanes == ["etcd", "kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler", "kubelet-node-2"]


def test_a_revision_is_called_stored_only_when_etcd_said_so():
    rows = diagram(STORY, "Deployment/default/web")["rows"]
    stored = {row["version"]: row["stored"] for row in rows if "stored" in row}
    assert stored["10"] and stored["11"] and not stored["12"]


def test_the_writes_of_one_object():
    assert [(one["who"], one["verb"], one["subresource"]) for one in history(STORY, "Pod/default/web-1-a")] == [
        ("replicaset-controller", "create", ""),
        ("kube-scheduler", "update", "binding"),
        ("kubelet", "update", "status"),
    ]


def test_a_cause_stands_before_its_effect_whatever_the_clocks_say():
    early = journal(
        write(10, "Deployment", "web", "kubernetes-admin", at=10.0),
        write(11, "ReplicaSet", "web-1", f"{CONTROLLERS}deployment-controller", at=9.9),
        step("kube-controller-manager", [10], [11], 9.9, controller="deployment-controller"),
    )
    assert [row["version"] for row in diagram(early, "Deployment/default/web")["rows"]] == ["10", "10", "11"]


def test_the_journal_forgets_the_oldest():
    found = journal(*(write(n, "Pod", f"p{n}", "kubernetes-admin") for n in range(1, MAX_LINES + 2)))
    assert len(found.lines) <= MAX_LINES
    assert diagram(found, "Pod/default/p1")["rows"] == []
    assert len(diagram(found, f"Pod/default/p{MAX_LINES}")["rows"]) == 1
