"""`authorizer.group('').resource('pods').namespace('default').check('create').allowed()` in a policy.

The chain of calls gathers what is asked; `check` asks whoever is set by `asking`. Upstream:
apiserver/pkg/cel/library/authz.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

Value = dict[str, Any]
Answer = tuple[bool, str, str]
"""Allowed, the reason, an error."""
Ask = Callable[[Value], Answer]


def _nobody(asked: Value) -> Answer:
    return False, "", "no authorizer is set"


_ASK: ContextVar[Ask] = ContextVar("authorizer", default=_nobody)


@contextmanager
def asking(ask: Ask) -> Iterator[None]:
    """Within it expressions ask `ask`: a map of user, verb, group, resource, subresource, namespace, name or path."""
    token = _ASK.set(ask)
    try:
        yield
    finally:
        _ASK.reset(token)


AUTHORIZER: Value = {"authorizer": "user"}


def request_resource(group: str, resource: str, subresource: str, namespace: str, name: str) -> Value:
    """`authorizer.requestResource`: what the request at hand is about."""
    asked = {"group": group, "resource": resource, "subresource": subresource, "namespace": namespace, "name": name}
    return {"authorizer": "user", **asked}


def _with(field: str) -> Callable[[Value, str], Value]:
    return lambda asked, value: {**asked, field: value}


def _check(asked: Value, verb: str) -> Value:
    allowed, reason, error = _ASK.get()({**asked, "verb": verb})
    return {"decision": "allow" if allowed else "deny", "reason": reason, "error": error}


def _account(asked: Value, namespace: str, name: str) -> Value:
    return {**asked, "authorizer": f"system:serviceaccount:{namespace}:{name}"}


FUNCTIONS: list[tuple[str, str, str, Callable[..., Any]]] = [
    ("+path", "authorizer string", "path_check", _with("path")),
    ("+check", "path_check string", "decision", _check),
    ("+group", "authorizer string", "group_check", _with("group")),
    ("+serviceAccount", "authorizer string string", "authorizer", _account),
    ("+resource", "group_check string", "resource_check", _with("resource")),
    ("+subresource", "resource_check string", "resource_check", _with("subresource")),
    ("+namespace", "resource_check string", "resource_check", _with("namespace")),
    ("+name", "resource_check string", "resource_check", _with("name")),
    ("+fieldSelector", "resource_check string", "resource_check", _with("field_selector")),
    ("+labelSelector", "resource_check string", "resource_check", _with("label_selector")),
    ("+check", "resource_check string", "decision", _check),
    ("+allowed", "decision", "bool", lambda decision: decision["decision"] == "allow"),
    ("+reason", "decision", "string", lambda decision: decision["reason"]),
    ("+errored", "decision", "bool", lambda decision: bool(decision["error"])),
    ("+error", "decision", "string", lambda decision: decision["error"]),
]
