"""A webhook is asked: may he? It gets a SubjectAccessReview and answers with its status.

Answers are kept for a while. Conditions in CEL say of which requests it is asked at all. Where there is no answer
(after a few tries, or a condition that has no value) the failure policy decides.
Upstream: apiserver/plugin/pkg/authorizer/webhook/webhook.go, apiserver/pkg/authorization/cel.
"""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from workshop.api.meta import Obj
from workshop.apiserver.authorization.conditions import environment
from workshop.apiserver.authorization.configuration import Webhook
from workshop.apiserver.interfaces import Attributes, Decision
from workshop.apiserver.webhooks.remote import NoAnswer, Remote
from workshop.clock import Clock

logger = logging.getLogger(__name__)
KEPT, LONGEST_KEY = 8192, 10_000
TRIES, FIRST_PAUSE, FACTOR = 5, 0.5, 1.5
Answer = tuple[Decision, str]
Post = Callable[[Obj], Awaitable[Obj]]


class WebhookAuthorizer:
    """`post` sends a review and gives the answer; it raises NoAnswer."""

    def __init__(self, about: Webhook, clock: Clock, post: Post | None = None) -> None:
        self._about, self._clock = about, clock
        self._post = post or Remote(about.kubeconfig, about.timeout).post
        self._kept: OrderedDict[str, tuple[float, Obj]] = OrderedDict()

    async def authorize(self, a: Attributes) -> Answer:
        spec = spec_of(a)
        if self._about.conditions:
            matches = self._matches(spec)
            if matches is None:
                return self._without_answer, ""
            if not matches:
                return Decision.NO_OPINION, ""
        key = json.dumps(spec, sort_keys=True)
        until, status = self._kept.get(key, (0.0, None))
        if status is None or until <= self._clock.monotonic():
            try:
                status = await self._ask(spec)
            except NoAnswer as error:
                logger.error("Failed to make webhook authorizer request: %s", error)
                return self._without_answer, ""
            self._keep(key, status)
        reason = str(status.get("reason") or "")
        if status.get("denied"):
            return Decision.DENY, reason
        return (Decision.ALLOW if status.get("allowed") else Decision.NO_OPINION), reason

    @property
    def _without_answer(self) -> Decision:
        return Decision.DENY if self._about.denies else Decision.NO_OPINION

    def _matches(self, spec: Obj) -> bool | None:
        """Whether all conditions hold; None where one has no value and none is false."""
        from workshop.api.cel.values import EvaluationError

        wrong = False
        for text in self._about.conditions:
            try:
                if environment().compile(text, "bool").run({"request": spec}) is not True:
                    return False
            except EvaluationError as error:
                logger.error("authorizer %s: match condition %r: %s", self._about.name, text, error)
                wrong = True
        return None if wrong else True

    async def _ask(self, spec: Obj) -> Obj:
        review = {
            "kind": "SubjectAccessReview", "apiVersion": f"authorization.k8s.io/{self._about.version}",
            "metadata": {"creationTimestamp": None}, "spec": _said(spec, self._about.version),
            "status": {"allowed": False},
        }  # fmt: skip
        pause = FIRST_PAUSE
        for attempt in range(1, TRIES + 1):
            try:
                answer = await self._post(review)
                status = answer.get("status")
                if not isinstance(status, dict):
                    raise NoAnswer("the webhook's answer has no status", again=False)
                return status
            except NoAnswer as error:
                if not error.again or attempt == TRIES:
                    raise
            await self._clock.sleep(pause)
            pause *= FACTOR
        raise AssertionError

    def _keep(self, key: str, status: Obj) -> None:
        allowed = bool(status.get("allowed"))
        if len(key) > LONGEST_KEY or not self._about.caches[0 if allowed else 1]:
            return
        lasts = self._about.authorized_ttl if allowed else self._about.unauthorized_ttl
        self._kept[key] = (self._clock.monotonic() + lasts, status)
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)


def _said(spec: Obj, version: str) -> Obj:
    """In v1beta1 groups had another name."""
    if version == "v1":
        return spec
    return {("group" if key == "groups" else key): value for key, value in spec.items()}


def spec_of(a: Attributes) -> Obj:
    """What is asked, as the spec of a SubjectAccessReview."""
    user = {
        "user": a.user.name, "groups": list(a.user.groups), "uid": a.user.uid,
        "extra": {key: list(values) for key, values in a.user.extra.items()},
    }  # fmt: skip
    spec: Obj = {key: value for key, value in user.items() if value}
    if not a.resource_request:
        return {**spec, "nonResourceAttributes": {"path": a.path, "verb": a.verb}}
    about: Obj = {
        "namespace": a.namespace, "verb": a.verb, "group": a.api_group, "version": a.api_version,
        "resource": a.resource, "subresource": a.subresource, "name": a.name,
    }  # fmt: skip
    return {**spec, "resourceAttributes": {key: value for key, value in about.items() if value}}
