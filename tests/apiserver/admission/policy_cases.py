"""Policies, bindings and objects that are asked of a real kube-apiserver and of ours: the answers must be the same.

`python -m tests.apiserver.admission.record_policies https://HOST:PORT DIR` asks a real one and writes
`policy_facts.json` anew.
"""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]
GROUP = "admissionregistration.k8s.io/v1"
MAPS = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}
ONLY = {"matchLabels": {"asked": "yes"}}


#: A policy's variables, and a validation that names them.
VARIABLES = [
    ([("a", "1 == 1")], "variables.a"),
    ([("a", "object.x")], "variables.a"),
    ([("a", "1 == 1")], "variables.b"),
    ([("a", "variables.b"), ("b", "1")], "variables.a == 1"),
    ([("a", "1")], "variables.a == 'x'"),
    ([("a", "1"), ("b", "variables.a == 1")], "variables.b"),
    ([("a", "[1, 2]")], "variables.a.all(x, x > 0)"),
    ([("a", "{'x': 1}")], "variables.a.x == 1"),
    ([("a", "'s'")], {"expression": "true", "messageExpression": "variables.a"}),
    ([("a", "object.s")], {"expression": "true", "messageExpression": "variables.a"}),
    ([("a", "variables.a")], "true"),
    ([("a", "authorizer.requestResource")], "variables.a.check('get').allowed()"),
    ([("a", "timestamp('2020-01-01T00:00:00Z')")], "variables.a < timestamp('2021-01-01T00:00:00Z')"),
    ([("a", "quantity('1')")], "variables.a.isGreaterThan(quantity('0'))"),
    ([("a", "1 == 1")], "has(variables.a) && variables.a"),
    ([], "variables.a"),
]


def policy(*expressions: str | Obj, **spec: Any) -> Obj:
    validations = [e if isinstance(e, dict) else {"expression": e} for e in expressions]
    constraints = {"resourceRules": [MAPS], "objectSelector": ONLY}
    return {
        "apiVersion": GROUP, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "p"},
        "spec": {"matchConstraints": constraints, "validations": validations, **spec},
    }  # fmt: skip


def mutation(kind: str, expression: str, **spec: Any) -> Obj:
    field = "applyConfiguration" if kind == "ApplyConfiguration" else "jsonPatch"
    constraints = {"resourceRules": [MAPS], "objectSelector": ONLY}
    mutations = [{"patchType": kind, field: {"expression": expression}}]
    return {
        "apiVersion": GROUP, "kind": "MutatingAdmissionPolicy", "metadata": {"name": "p"},
        "spec": {"matchConstraints": constraints, "mutations": mutations, "reinvocationPolicy": "Never", **spec},
    }  # fmt: skip


def binding(kind: str = "Validating", **spec: Any) -> Obj:
    actions = {"validationActions": ["Deny"]} if kind == "Validating" else {}
    return {
        "apiVersion": GROUP, "kind": f"{kind}AdmissionPolicyBinding", "metadata": {"name": "b"},
        "spec": {"policyName": "p", **actions, **spec},
    }  # fmt: skip


def config(data: Obj | None = None, **labels: str) -> Obj:
    metadata = {"name": "asked", "labels": {"asked": "yes", **labels}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"} if data is None else data}


def judged() -> dict[str, tuple[Obj, Obj, Obj]]:
    """Name → (policy, binding, object): what becomes of the object's (dry-run) creation."""
    params: Obj = {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}
    ref = {"paramRef": {"name": "limits", "namespace": "default", "parameterNotFoundAction": "Deny"}}
    missing = {"paramRef": {"name": "none", "namespace": "default", "parameterNotFoundAction": "Deny"}}
    allowed = {"paramRef": {"name": "none", "namespace": "default", "parameterNotFoundAction": "Allow"}}
    variables = {"variables": [{"name": "n", "expression": "size(object.data)"},
                               {"name": "bad", "expression": "object.data.nope"}]}  # fmt: skip
    return {
        "kept": (policy("object.data.a == '1'"), binding(), config()),
        "broken": (policy("object.data.a == '2'"), binding(), config()),
        "message": (policy({"expression": "false", "message": "never"}), binding(), config()),
        "messageExpression": (
            policy({"expression": "false", "messageExpression": "'a is ' + object.data.a", "reason": "Forbidden"}),
            binding(), config(),
        ),
        "messageExpression fails": (
            policy({"expression": "false", "messageExpression": "object.data.b", "message": "else"}), binding(), config()
        ),
        "no result": (policy("object.data.b == '2'"), binding(), config()),
        "no result, ignored": (policy("object.data.b == '2'", failurePolicy="Ignore"), binding(), config()),
        "warning": (policy("false"), binding(validationActions=["Warn", "Audit"]), config()),
        "condition false": (
            policy("false", matchConditions=[{"name": "c", "expression": "object.data.a == '2'"}]), binding(), config()
        ),
        "condition without result": (
            policy("true", matchConditions=[{"name": "c", "expression": "object.data.b == '2'"}]), binding(), config()
        ),
        "variables": (policy("variables.n > 1", **variables), binding(), config()),
        "variable without result": (policy("variables.bad == 'x'", **variables), binding(), config()),
        "params": (policy("object.data.a == params.data.a", **params), binding(**ref), config({"a": "5"})),
        "params not met": (policy("object.data.a == params.data.a", **params), binding(**ref), config()),
        "params missing": (policy("true", **params), binding(**missing), config()),
        "params missing, allowed": (policy("false", **params), binding(**allowed), config()),
        "no params": (policy("params == null", **params), binding(), config()),
        "request": (
            policy("request.operation == 'UPDATE' || request.userInfo.username == 'nobody'"), binding(), config()
        ),
        "namespaceObject": (policy("namespaceObject.metadata.name == 'default'"), binding(), config()),
        "authorizer": (
            policy("authorizer.group('').resource('pods').namespace('default').check('create').allowed()"), binding(),
            config(),
        ),
        "oldObject": (policy("oldObject == null"), binding(), config()),
        "other label": (policy("false"), binding(matchResources={"objectSelector": {"matchLabels": {"x": "y"}}}),
                        config()),
        "two": (policy("true", "false", {"expression": "false", "message": "third"}), binding(), config()),
        "applied": (
            mutation("ApplyConfiguration", 'Object{metadata: Object.metadata{labels: {"new": "label"}}, data: {"b": object.data.a}}'),
            binding("Mutating"), config(),
        ),
        "patched": (
            mutation("JSONPatch", '[JSONPatch{op: "add", path: "/data/b", value: "2"}, JSONPatch{op: "remove", path: "/data/a"}]'),
            binding("Mutating"), config(),
        ),
        "patched with escape": (
            mutation("JSONPatch", '[JSONPatch{op: "add", path: "/metadata/labels/" + jsonpatch.escapeKey("x/y"), value: "2"}]'),
            binding("Mutating"), config(),
        ),
        "patch fails": (
            mutation("JSONPatch", '[JSONPatch{op: "remove", path: "/data/z"}]'), binding("Mutating"), config(),
        ),
        "mutation without result": (
            mutation("ApplyConfiguration", "Object{data: {'x': object.data.nope}}"), binding("Mutating"), config(),
        ),
    }  # fmt: skip


def _hook(**fields: Any) -> Obj:
    return {
        "name": "a.example.com", "clientConfig": {"url": "https://192.0.2.1/x"}, "rules": [MAPS], "sideEffects": "None",
        "admissionReviewVersions": ["v1"], **fields,
    }  # fmt: skip


def _hooks(*hooks: Obj, kind: str = "Validating") -> Obj:
    return {
        "apiVersion": GROUP, "kind": f"{kind}WebhookConfiguration", "metadata": {"name": "c"}, "webhooks": [*hooks],
    }  # fmt: skip


def refused() -> dict[str, Obj]:
    """Configurations that are wrong, or right: what becomes of their (dry-run) creation."""
    bad = {
        "apiGroups": ["*", "x"],
        "apiVersions": [],
        "operations": ["FOO"],
        "resources": ["pods", "*", "pods/*", "a/b/c"],
    }
    return {
        "policy: good": policy("object.data.a == '1'"),
        "policy: no validations": policy(),
        "policy: empty expression": policy(""),
        "policy: unknown name": policy("foo == 1"),
        "policy: no bool": policy("1"),
        "policy: unknown reason": policy({"expression": "true", "reason": "Foo"}),
        "policy: message with lines": policy({"expression": "true", "message": "a\nb"}),
        "policy: empty message": policy({"expression": "true", "message": " "}),
        "policy: message of another type": policy({"expression": "true", "messageExpression": "1"}),
        "policy: params without kind": policy("params == null"),
        "policy: bad variable": policy("true", variables=[{"name": "1a", "expression": "true"}]),
        "policy: broken variable": policy("true", variables=[{"name": "a", "expression": "foo"}]),
        "policy: variable twice": policy("true", variables=[{"name": "a", "expression": "1"}, {"name": "a", "expression": "2"}]),
        **{f"policy: variables {number}": policy(*rest, variables=[{"name": name, "expression": text} for name, text in own])
           for number, (own, *rest) in enumerate(VARIABLES)},
        "policy: has without variables": policy("has(variables.a)"),
        "policy: bad condition": policy("true", matchConditions=[{"name": "", "expression": "1"}]),
        "policy: condition twice": policy("true", matchConditions=[{"name": "a", "expression": "true"}] * 2),
        "policy: bad failurePolicy": policy("true", failurePolicy="Foo"),
        "policy: no constraints": policy("true", matchConstraints=None),
        "policy: no rules": policy("true", matchConstraints={}),
        "policy: bad rule": policy("true", matchConstraints={"resourceRules": [bad]}),
        "policy: bad param kind": policy("true", paramKind={"apiVersion": "a/b/c", "kind": ""}),
        "policy: bad annotation": policy("true", auditAnnotations=[{"key": "a/b", "valueExpression": "1"}]),
        "binding: good": binding(),
        "binding: no policy": binding(policyName=""),
        "binding: no actions": binding(validationActions=[]),
        "binding: Deny and Warn": binding(validationActions=["Deny", "Warn", "Foo", "Deny"]),
        "binding: empty ref": binding(paramRef={}),
        "binding: name and selector": binding(paramRef={"name": "a", "selector": {}, "parameterNotFoundAction": "Foo"}),
        "mutation: good": mutation("JSONPatch", "[]"),
        "mutation: no bool in JSONPatch": mutation("JSONPatch", "true"),
        "mutation: broken": mutation("ApplyConfiguration", "Object{spec: foo}"),
        "mutation: no reinvocation": mutation("JSONPatch", "[]", reinvocationPolicy=""),
        "mutation: none": mutation("JSONPatch", "[]", mutations=[]),
        "hook: good": _hooks(_hook()),
        "hook: short name": _hooks(_hook(name="a")),
        "hook: twice": _hooks(_hook(), _hook()),
        "hook: no client": _hooks(_hook(clientConfig={})),
        "hook: http": _hooks(_hook(clientConfig={"url": "http://x"})),
        "hook: side effects": _hooks(_hook(sideEffects="Some")),
        "hook: no side effects": _hooks(_hook(sideEffects=None)),
        "hook: versions": _hooks(_hook(admissionReviewVersions=["v2"])),
        "hook: no versions": _hooks(_hook(admissionReviewVersions=[])),
        "hook: timeout": _hooks(_hook(timeoutSeconds=31)),
        "hook: failure policy": _hooks(_hook(failurePolicy="Foo", matchPolicy="Bar")),
        "hook: rule": _hooks(_hook(rules=[bad])),
        "hook: scope": _hooks(_hook(rules=[{**MAPS, "scope": "Foo"}])),
        "hook: condition": _hooks(_hook(matchConditions=[{"name": "a b", "expression": "foo"}])),
        "hook: reinvocation": _hooks(_hook(reinvocationPolicy="Foo"), kind="Mutating"),
        "hook: ca": _hooks(_hook(clientConfig={"url": "https://x", "caBundle": "eA=="})),
    }  # fmt: skip


PLURALS = {
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
    "MutatingAdmissionPolicy": "mutatingadmissionpolicies",
    "MutatingAdmissionPolicyBinding": "mutatingadmissionpolicybindings",
    "ValidatingWebhookConfiguration": "validatingwebhookconfigurations",
    "MutatingWebhookConfiguration": "mutatingwebhookconfigurations",
}


def path(obj: Obj) -> str:
    return f"/apis/{GROUP}/{PLURALS[obj['kind']]}"
