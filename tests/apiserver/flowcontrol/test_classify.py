"""Which FlowSchema of a new cluster a request falls under."""

from __future__ import annotations

import pytest

from workshop.apiserver.bootstrap import facts
from workshop.apiserver.flowcontrol.classify import in_order, read
from workshop.apiserver.interfaces import UserInfo
from workshop.apiserver.server.info import RequestInfo

BOOT = in_order(read(obj) for kind, obj in facts.objects("") if kind.plural == "flowschemas")
ALL = "system:authenticated"
MANAGER = UserInfo("system:kube-controller-manager", groups=(ALL,))
NODE = UserInfo("system:node:node-1", groups=("system:nodes", ALL))
ACCOUNT = UserInfo("system:serviceaccount:kube-system:x", groups=("system:serviceaccounts", ALL))
JANE = UserInfo("jane", groups=(ALL,))


def on(verb: str, resource: str, namespace: str = "", group: str = "") -> RequestInfo:
    return RequestInfo(verb, "", True, group, "v1", namespace, resource)


LEASES = "coordination.k8s.io"


@pytest.mark.parametrize(
    ("user", "info", "schema", "level"),
    [
        (UserInfo("admin", groups=("system:masters", ALL)), on("delete", "pods", "a"), "exempt", "exempt"),
        (JANE, RequestInfo("get", "/healthz"), "probes", "exempt"),
        (NODE, on("update", "leases", "kube-node-lease", LEASES), "system-node-high", "node-high"),
        (NODE, on("get", "configmaps", "a"), "system-nodes", "system"),
        (MANAGER, on("update", "leases", "kube-system", LEASES), "system-leader-election", "leader-election"),
        (MANAGER, on("create", "pods", "a"), "kube-controller-manager", "workload-high"),
        (UserInfo("system:kube-scheduler", groups=(ALL,)), on("create", "bindings", "a"), "kube-scheduler",
         "workload-high"),
        (ACCOUNT, on("get", "pods", "a"), "kube-system-service-accounts", "workload-high"),
        (UserInfo("system:serviceaccount:a:x", groups=("system:serviceaccounts", ALL)), on("get", "pods", "a"),
         "service-accounts", "workload-low"),
        (JANE, on("list", "pods"), "global-default", "global-default"),
        (UserInfo("nobody"), on("list", "pods"), None, None),
    ],
)  # fmt: skip
def test_first_fit(user: UserInfo, info: RequestInfo, schema: str | None, level: str | None) -> None:
    found = next((s for s in BOOT if s.fits(user, info)), None)
    assert (found and found.name, found and found.level) == (schema, level)


def test_flows_are_told_apart_by_user_or_namespace() -> None:
    by_user = next(s for s in BOOT if s.distinguisher == "ByUser")
    by_namespace = next(s for s in BOOT if s.distinguisher == "ByNamespace")
    assert by_user.flow(JANE, on("get", "pods", "a")) == "jane"
    assert by_namespace.flow(JANE, on("get", "pods", "a")) == "a"
