"""`--authorization-config`: webhooks among the authorizers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.api_server import assembled, caller, running
from tests.virtual_clock import HastyClock, StillClock
from workshop.apiserver.authorization.configuration import Mode, Webhook, load
from workshop.apiserver.authorization.webhook import NoAnswer, WebhookAuthorizer
from workshop.apiserver.interfaces import Attributes, Decision, UserInfo

ABOUT = Webhook("opa", "", 3.0, 300.0, 30.0, denies=True)
JANE = UserInfo("jane", "", ("dev",))
GET = Attributes(JANE, "get", resource="pods", namespace="default", api_version="v1")


class Judge:
    """The webhook: says `answer` (a status or an error), and remembers what it was asked."""

    def __init__(self, **status: Any) -> None:
        self.answer: Any = status
        self.asked: list[Any] = []

    async def post(self, review: Any) -> Any:
        self.asked.append(review)
        if isinstance(self.answer, Exception):
            raise self.answer
        return {"status": self.answer}


async def test_it_gets_a_review_and_its_answer_is_kept() -> None:
    judge, clock = Judge(allowed=True, reason="because"), StillClock(0.0)
    authorizer = WebhookAuthorizer(ABOUT, clock, judge.post)
    assert await authorizer.authorize(GET) == (Decision.ALLOW, "because")
    assert judge.asked[0]["apiVersion"] == "authorization.k8s.io/v1"
    assert judge.asked[0]["spec"] == {
        "user": "jane", "groups": ["dev"],
        "resourceAttributes": {"namespace": "default", "verb": "get", "version": "v1", "resource": "pods"},
    }  # fmt: skip
    judge.answer = {"allowed": False, "denied": True}
    clock.time = 299.0
    assert (await authorizer.authorize(GET))[0] is Decision.ALLOW
    clock.time = 301.0
    assert (await authorizer.authorize(GET))[0] is Decision.DENY
    assert len(judge.asked) == 2


@pytest.mark.parametrize(
    ("conditions", "decision", "asked"),
    [
        (("request.user == 'jane'", "has(request.resourceAttributes)"), Decision.ALLOW, 1),
        (("request.user != 'jane'",), Decision.NO_OPINION, 0),
        (("request.nonResourceAttributes.path == '/'",), Decision.DENY, 0),
        (("request.nonResourceAttributes.path == '/'", "false"), Decision.NO_OPINION, 0),
    ],
)
async def test_conditions(conditions: tuple[str, ...], decision: Decision, asked: int) -> None:
    judge = Judge(allowed=True)
    about = Webhook("opa", "", 3.0, 300.0, 30.0, True, conditions=conditions)
    assert (await WebhookAuthorizer(about, StillClock(0.0), judge.post).authorize(GET))[0] is decision
    assert len(judge.asked) == asked


@pytest.mark.parametrize(("denies", "decision"), [(True, Decision.DENY), (False, Decision.NO_OPINION)])
async def test_no_answer(denies: bool, decision: Decision) -> None:
    judge = Judge()
    judge.answer = NoAnswer("503: busy", again=True)
    about = Webhook("opa", "", 3.0, 300.0, 30.0, denies)
    assert (await WebhookAuthorizer(about, HastyClock(), judge.post).authorize(GET))[0] is decision
    assert len(judge.asked) == 5


def written(tmp_path: Path, **change: Any) -> bytes:
    kubeconfig = tmp_path / "opa.conf"
    kubeconfig.write_text("{}")
    webhook = {
        "timeout": "3s", "authorizedTTL": "5m", "unauthorizedTTL": "30s", "subjectAccessReviewVersion": "v1",
        "matchConditionSubjectAccessReviewVersion": "v1", "failurePolicy": "Deny",
        "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": str(kubeconfig)},
        "matchConditions": [{"expression": "request.user == 'jane'"}], **change,
    }  # fmt: skip
    authorizers = [{"type": "Webhook", "name": "opa", "webhook": webhook}, {"type": "RBAC", "name": "rbac"}]
    about = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration"}
    return yaml.safe_dump({**about, "authorizers": authorizers}).encode()


def test_a_file(tmp_path: Path) -> None:
    first, second = load(written(tmp_path))
    assert second == Mode("RBAC")
    assert first.webhook is not None
    assert (first.webhook.timeout, first.webhook.authorized_ttl, first.webhook.denies) == (3.0, 300.0, True)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"timeout": "31s"}, 'authorizers\\[0\\].timeout: Invalid value: "31s": must be > 0s and <= 30s'),
        ({"failurePolicy": "Allow"}, 'Unsupported value: "Allow": supported values: "NoOpinion", "Deny"'),
        ({"connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": "opa.conf"}}, "must be an absolute path"),
        ({"matchConditions": [{"expression": "request.foo == 1"}]}, "undefined field 'foo'"),
        (
            {"matchConditions": [{"expression": "request.resourceAttributes.namespace == 1"}]},
            r"applied to '\(string, int\)'",
        ),
        ({"matchConditionSubjectAccessReviewVersion": None}, "required if match conditions are specified"),
    ],
)
def test_a_file_that_cannot_be(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        load(written(tmp_path, **change))


async def test_a_file_may_change_its_webhooks_but_not_what_else_there_is(tmp_path: Path) -> None:
    file = tmp_path / "authorization.yaml"
    plain = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration"}
    file.write_text(yaml.safe_dump({**plain, "authorizers": [{"type": "RBAC", "name": "rbac"}]}))
    async with running(assembled(authorization_config=str(file))) as server:
        api = caller(server)
        assert (await api("GET", "/api/v1/nodes")).status == 403
        file.write_text(yaml.safe_dump({**plain, "authorizers": [{"type": "AlwaysAllow", "name": "all"}]}))
        with pytest.raises(ValueError, match="authorizer types may not change"):
            server.security._take_authorization()
