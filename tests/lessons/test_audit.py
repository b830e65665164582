"""What components watch and wrote, read off an audit log."""

import json

from workshop.lessons import audit


def event(verb, resource, stage="ResponseComplete", id="1", code=200, user="system:kube-scheduler", **more):
    reference = {"resource": resource, **more}
    status = {"code": code}
    return json.dumps(
        {"verb": verb, "stage": stage, "auditID": id, "user": {"username": user}, "objectRef": reference}
        | {"responseStatus": status, "userAgent": "kube-scheduler"}
    )


def test_open_watches_and_writes_that_succeeded():
    lines = [
        event("watch", "pods", "ResponseStarted", "a"),
        event("watch", "nodes", "ResponseStarted", "b"),
        event("watch", "nodes", "ResponseComplete", "b"),
        event("create", "pods", subresource="binding"),
        event("create", "pods", subresource="binding", code=409),
        event("get", "leases", apiGroup="coordination.k8s.io"),
        event("update", "leases", apiGroup="coordination.k8s.io"),
        event("create", "pods", user="kubernetes-admin"),
        '{"cut off',
    ]
    (found,) = audit.deeds(lines).values()
    assert found.watches == {"pods"}
    assert found.writes == {("create", "pods/binding"): 1, ("update", "leases.coordination.k8s.io"): 1}
    assert audit.told(found) == ["watches: pods", "wrote: leases.coordination.k8s.io ×1, pods/binding ×1"]


def test_who_is_who():
    def who(user, agent=""):
        return audit.component({"user": {"username": user}, "userAgent": agent})

    assert who("system:node:node-1", "kubelet/v1.36.2") == "kubelet-node-1"
    assert who("system:kube-proxy", "kube-proxy/v1.36.2") == "kube-proxy"
    assert who("system:kube-proxy", "kubelet-routes/v1.36.2") == ""
    agent = "kube-controller-manager/workshop/system:serviceaccount:kube-system:job-controller"
    assert who("system:serviceaccount:kube-system:job-controller", agent) == "kube-controller-manager"
    assert who("kubernetes-admin", "kubectl") == ""
