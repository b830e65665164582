"""The access reviews: answers and what is wrong with a question."""

from __future__ import annotations

from typing import Any

import pytest

from workshop.api.errors import ApiError
from workshop.apiserver.authorization.rbac import RbacIndex
from workshop.apiserver.authorization.reviews import AccessReviews, attributes_of
from workshop.apiserver.interfaces import UserInfo

JANE = UserInfo("jane", groups=("developers",))
NODE = UserInfo("system:node:n1", groups=("system:nodes", "developers"))
READ = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
VERSION = {"nonResourceURLs": ["/version"], "verbs": ["get"]}
PODS = {"verb": "get", "resource": "pods", "namespace": "default"}


@pytest.fixture
def reviews() -> AccessReviews:
    index = RbacIndex()
    index.put("clusterroles", {"metadata": {"name": "reader"}, "rules": [READ, VERSION]})
    subject = {"kind": "Group", "name": "developers"}
    ref = {"kind": "ClusterRole", "name": "reader"}
    index.put("clusterrolebindings", {"metadata": {"name": "b"}, "roleRef": ref, "subjects": [subject]})
    return AccessReviews(index, index, nodes=True)


async def test_for_somebody_else_and_for_oneself(reviews: AccessReviews) -> None:
    spec = {"user": "joe", "groups": ["developers"], "resourceAttributes": PODS}
    status = (await reviews.subject_access_review({"spec": spec}, JANE))["status"]
    assert status["allowed"] and status["reason"].startswith('RBAC: allowed by ClusterRoleBinding "b"')
    alone = {**spec, "groups": []}
    assert (await reviews.subject_access_review({"spec": alone}, JANE))["status"] == {"allowed": False}
    mine = {"spec": {"resourceAttributes": PODS}}
    assert (await reviews.self_subject_access_review(mine, JANE))["status"]["allowed"]
    path = {"spec": {"nonResourceAttributes": {"verb": "get", "path": "/version"}}}
    assert (await reviews.self_subject_access_review(path, JANE))["status"]["allowed"]


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        (
            {"spec": {"resourceAttributes": PODS}},
            'spec.user: Invalid value: "": at least one of user or group must be specified',
        ),
        ({"spec": {"user": "x"}}, "spec.resourceAttributes: Invalid value: null: exactly one of"),
        (
            {"spec": {"user": "x", "resourceAttributes": PODS, "nonResourceAttributes": {"path": "/"}}},
            'spec.nonResourceAttributes: Invalid value: {"Path":"/","Verb":""}: cannot be specified in combination',
        ),
        (
            {"metadata": {"name": "x"}, "spec": {"user": "x", "resourceAttributes": PODS}},
            'metadata: Invalid value: {"name":"x"}: must be empty',
        ),
    ],
)
async def test_wrong_questions(reviews: AccessReviews, obj: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiError) as e:
        await reviews.subject_access_review(obj, JANE)
    assert e.value.code == 422 and message in e.value.message


async def test_local_review_stays_in_its_namespace(reviews: AccessReviews) -> None:
    obj = {
        "metadata": {"namespace": "default"},
        "spec": {"user": "x", "groups": ["developers"], "resourceAttributes": PODS},
    }
    assert (await reviews.local_subject_access_review(obj, JANE, "default"))["status"]["allowed"]
    other = {"spec": {"user": "x", "resourceAttributes": {**PODS, "namespace": "kube-system"}}}
    with pytest.raises(ApiError, match=r"must match metadata\.namespace"):
        await reviews.local_subject_access_review(other, JANE, "default")


async def test_rules_review(reviews: AccessReviews) -> None:
    answer = await reviews.self_subject_rules_review({"spec": {"namespace": "default"}}, JANE)
    assert answer["status"] == {
        "resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}],
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/version"]}],
        "incomplete": False,
    }
    node = (await reviews.self_subject_rules_review({"spec": {"namespace": "default"}}, NODE))["status"]
    assert node["incomplete"] and node["evaluationError"] == "node authorizer does not support user rule resolution"
    with pytest.raises(ApiError, match="no namespace on request"):
        await reviews.self_subject_rules_review({"spec": {}}, JANE)


def test_selectors_of_a_question_reach_the_authorizer() -> None:
    requirements = [{"key": "spec.nodeName", "operator": "In", "values": ["n1"]}]
    spec = {"resourceAttributes": {**PODS, "fieldSelector": {"requirements": requirements}}}
    assert attributes_of(spec, JANE).field_selector == "spec.nodeName=n1"
