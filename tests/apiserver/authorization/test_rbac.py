"""Roles and bindings through the index: who may what, before and after changes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workshop.api.errors import ApiError
from workshop.apiserver.authorization import escalation
from workshop.apiserver.authorization.modes import SystemMasters, Union, forbidden
from workshop.apiserver.authorization.rbac import RbacIndex
from workshop.apiserver.interfaces import Attributes, Decision, UserInfo

READ_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}
JANE = UserInfo("jane", groups=("developers",))
GROUP = "rbac.authorization.k8s.io"


def meta(name: str, namespace: str = "") -> dict[str, str]:
    return {"name": name, "namespace": namespace} if namespace else {"name": name}


def role(name: str, *rules: object, namespace: str = "") -> dict[str, object]:
    return {"metadata": meta(name, namespace), "rules": list(rules)}


def binding(
    name: str, role: str, *subjects: dict[str, str], namespace: str = "", kind: str = "ClusterRole"
) -> dict[str, object]:
    return {
        "metadata": meta(name, namespace),
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role},
        "subjects": list(subjects),
    }


def user(name: str) -> dict[str, str]:
    return {"kind": "User", "apiGroup": GROUP, "name": name}


def group(name: str) -> dict[str, str]:
    return {"kind": "Group", "apiGroup": GROUP, "name": name}


def list_pods(who: UserInfo, namespace: str = "default") -> Attributes:
    return Attributes(who, "list", api_version="v1", resource="pods", namespace=namespace)


def allowed(index: RbacIndex, request: Attributes) -> bool:
    return index.decide(request)[0] is Decision.ALLOW


def test_cluster_role_binding_holds_everywhere() -> None:
    index = RbacIndex()
    index.put("clusterroles", role("reader", READ_PODS))
    index.put("clusterrolebindings", binding("readers", "reader", group("developers")))
    assert index.decide(list_pods(JANE)) == (
        Decision.ALLOW,
        'RBAC: allowed by ClusterRoleBinding "readers" of ClusterRole "reader" to Group "developers"',
    )
    assert allowed(index, list_pods(JANE, ""))
    assert not allowed(index, list_pods(UserInfo("joe")))


def test_role_binding_holds_in_its_namespace() -> None:
    index = RbacIndex()
    index.put("roles", role("reader", READ_PODS, namespace="default"))
    index.put("rolebindings", binding("r", "reader", user("jane"), namespace="default", kind="Role"))
    assert allowed(index, list_pods(JANE))
    assert not allowed(index, list_pods(JANE, "kube-system"))
    assert not allowed(index, list_pods(JANE, ""))


def test_service_account_of_the_bindings_own_namespace() -> None:
    index = RbacIndex()
    index.put("clusterroles", role("reader", READ_PODS))
    index.put("rolebindings", binding("r", "reader", {"kind": "ServiceAccount", "name": "bot"}, namespace="ci"))
    bot = UserInfo("system:serviceaccount:ci:bot")
    decision, reason = index.decide(list_pods(bot, "ci"))
    assert decision is Decision.ALLOW
    assert reason == 'RBAC: allowed by RoleBinding "r/ci" of ClusterRole "reader" to ServiceAccount "bot/ci"'


def test_missing_role_is_told() -> None:
    index = RbacIndex()
    index.put("rolebindings", binding("r", "gone", user("jane"), namespace="default", kind="Role"))
    decision, reason = index.decide(list_pods(JANE))
    assert decision is Decision.NO_OPINION
    error = forbidden(list_pods(JANE), reason)
    assert error.message == (
        'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default": '
        'RBAC: role.rbac.authorization.k8s.io "gone" not found'
    )


def test_changes_and_deletions_count_at_once() -> None:
    index = RbacIndex()
    index.put("clusterroles", role("reader", READ_PODS))
    index.put("clusterrolebindings", binding("b", "reader", user("jane")))
    index.put("clusterrolebindings", binding("b", "reader", user("joe")))
    assert not allowed(index, list_pods(JANE))
    assert allowed(index, list_pods(UserInfo("joe")))
    index.put("clusterroles", role("reader"))
    assert not allowed(index, list_pods(UserInfo("joe")))
    index.put("clusterroles", role("reader", READ_PODS))
    index.remove("clusterrolebindings", binding("b", "reader"))
    assert not allowed(index, list_pods(UserInfo("joe")))


subjects = st.lists(st.sampled_from([user("jane"), user("joe"), group("developers"), group("others")]), max_size=3)
steps = st.lists(
    st.tuples(st.booleans(), st.sampled_from(["b1", "b2"]), st.sampled_from(["", "default"]), subjects), max_size=8
)


@settings(deadline=None)
@given(steps)
def test_index_equals_a_scan_of_all_bindings(steps: list[tuple[bool, str, str, list[dict[str, str]]]]) -> None:
    index = RbacIndex()
    index.put("clusterroles", role("reader", READ_PODS))
    stored: dict[tuple[str, str], list[dict[str, str]]] = {}
    for keep, name, namespace, who in steps:
        plural = "rolebindings" if namespace else "clusterrolebindings"
        obj = binding(name, "reader", *who, namespace=namespace)
        if keep:
            index.put(plural, obj)
            stored[namespace, name] = who
        else:
            index.remove(plural, obj)
            stored.pop((namespace, name), None)
    for person in (JANE, UserInfo("joe")):
        wanted = [user(person.name), *map(group, person.groups)]
        for namespace in ("default", "other"):
            scan = any(s in wanted for (ns, _), who in stored.items() if ns in ("", namespace) for s in who)
            assert allowed(index, list_pods(person, namespace)) == scan


def test_refusals_in_upstreams_words() -> None:
    assert forbidden(Attributes(JANE, "get", resource_request=False, path="/"), "").message == (
        'forbidden: User "jane" cannot get path "/"'
    )
    node = Attributes(JANE, "update", api_group="apps", resource="deployments", subresource="scale", name="web")
    assert forbidden(node, "").message == (
        'deployments.apps "web" is forbidden: User "jane" cannot update resource "deployments/scale" '
        'in API group "apps" at the cluster scope'
    )


async def test_masters_need_no_role() -> None:
    union = Union([SystemMasters(), RbacIndex()])
    admin = UserInfo("admin", groups=("system:masters",))
    assert (await union.authorize(list_pods(admin)))[0] is Decision.ALLOW
    assert (await union.authorize(list_pods(JANE)))[0] is Decision.NO_OPINION


def write(who: UserInfo, resource: str, namespace: str = "", verb: str = "create") -> Attributes:
    return Attributes(who, verb, GROUP, "v1", resource, namespace=namespace)


async def test_nobody_grants_what_he_does_not_hold() -> None:
    index = RbacIndex()
    index.put("clusterroles", role("reader", READ_PODS))
    index.put("clusterrolebindings", binding("b", "reader", user("jane")))
    await escalation.check_write(index, index, write(JANE, "roles", "default"), role("mine", READ_PODS), None)
    secrets = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    with pytest.raises(ApiError) as e:
        await escalation.check_write(index, index, write(JANE, "roles", "default"), role("mine", secrets), None)
    assert e.value.message == (
        'roles.rbac.authorization.k8s.io "mine" is forbidden: user "jane" (groups=["developers"]) is attempting to '
        'grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}'
    )


async def test_escalate_and_bind_verbs_lift_the_check() -> None:
    index = RbacIndex()
    index.put("clusterroles", role("boss", {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}))
    index.put("clusterroles", role("lift", {"apiGroups": [GROUP], "resources": ["*"], "verbs": ["escalate", "bind"]}))
    request = write(JANE, "clusterrolebindings")
    with pytest.raises(ApiError, match="not currently held"):
        await escalation.check_write(index, index, request, binding("x", "boss", user("jane")), None)
    index.put("clusterrolebindings", binding("l", "lift", user("jane")))
    await escalation.check_write(index, index, request, binding("x", "boss", user("jane")), None)
    await escalation.check_write(index, index, write(JANE, "clusterroles"), role("r", READ_PODS), None)


async def test_binding_to_a_missing_role_is_not_found() -> None:
    with pytest.raises(ApiError) as e:
        await escalation.check_write(
            RbacIndex(), RbacIndex(), write(JANE, "clusterrolebindings"), binding("x", "gone", user("jane")), None
        )
    assert (e.value.code, e.value.message) == (404, 'clusterrolebindings.rbac.authorization.k8s.io "gone" not found')


async def test_aggregation_rule_wants_cluster_admin() -> None:
    index = RbacIndex()
    aggregated = {**role("all"), "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}}
    with pytest.raises(ApiError, match="must have cluster-admin privileges to use the aggregationRule"):
        await escalation.check_write(index, index, write(JANE, "clusterroles"), aggregated, None)


async def test_garbage_collection_may_change_owner_references() -> None:
    old = role("r", READ_PODS)
    new = {**old, "metadata": {**meta("r"), "ownerReferences": [{"uid": "1"}]}}
    await escalation.check_write(RbacIndex(), RbacIndex(), write(JANE, "clusterroles", verb="update"), new, old)
