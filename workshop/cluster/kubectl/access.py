"""auth can-i: whether I, or somebody whom I may impersonate, may do this."""

from __future__ import annotations

from .session import Session, UsageError

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


async def can_i(s: Session, words: list[str], impersonated: str) -> int:
    """Print `yes` or `no`; the exit status is 0 for yes, 1 for no. `*` stands for every verb and every resource."""
    if len(words) < 2:
        raise UsageError("you must specify two arguments: verb resource or verb resource/resourceName")
    verb, what, names = words[0], words[1], words[2:]
    kind, _, name = what.partition("/")
    group, plural, namespace = "*", "*", s.namespace or ""
    if kind != "*":
        found = await s.resource(kind)
        group, plural, namespace = found.group, found.plural, s.within(found) or ""
    asked = {
        "verb": verb,
        "group": group,
        "resource": plural,
        "namespace": namespace,
        "name": name or "".join(names[:1]),
    }
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {key: value for key, value in asked.items() if value}},
    }
    headers = {"Impersonate-User": impersonated} if impersonated else None
    answer = await s.client.request("POST", REVIEWS, body=body, headers=headers)
    allowed = bool(answer["status"].get("allowed"))
    s.say("yes" if allowed else "no")
    return 0 if allowed else 1
