"""Which rule of an audit policy decides, and which policies are refused."""

from __future__ import annotations

import pytest

from workshop.apiserver.audit.policy import Level, load
from workshop.apiserver.interfaces import Attributes, UserInfo

HEAD = "apiVersion: audit.k8s.io/v1\nkind: Policy\n"
JANE = UserInfo("jane", groups=("developers",))


def level(rules: str, **asked: object) -> Level:
    attributes = Attributes(**{"user": JANE, "verb": "get", "resource": "pods", "namespace": "web", **asked})  # type: ignore[arg-type]
    return load((HEAD + "rules:\n" + rules).encode()).judge(attributes).level


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        ("{level: Request}", True),
        ("{level: Request, users: [jane]}", True),
        ("{level: Request, users: [joe]}", False),
        ("{level: Request, userGroups: [developers]}", True),
        ("{level: Request, userGroups: [admins]}", False),
        ("{level: Request, verbs: [get, list]}", True),
        ("{level: Request, verbs: [create]}", False),
        ("{level: Request, namespaces: [web]}", True),
        ('{level: Request, namespaces: [""]}', False),
        ('{level: Request, resources: [{group: "", resources: [pods]}]}', True),
        ('{level: Request, resources: [{group: "*", resources: ["*"]}]}', True),
        ("{level: Request, resources: [{group: apps}]}", False),
        ('{level: Request, resources: [{group: "", resources: [pods/log]}]}', False),
        ('{level: Request, nonResourceURLs: ["*"]}', False),
    ],
)
def test_one_rule(rule: str, fits: bool) -> None:
    assert (level(f"- {rule}") is Level.REQUEST) is fits


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [("pods/log", True), ("*/log", True), ("pods/*", True), ("pods", False), ("*", True), ("*/status", False)],
)
def test_subresources(pattern: str, fits: bool) -> None:
    rule = f'- {{level: Request, resources: [{{group: "", resources: ["{pattern}"]}}]}}'
    assert (level(rule, subresource="log") is Level.REQUEST) is fits


def test_names_count_only_beside_resources() -> None:
    rule = '- {level: Request, resources: [{group: "", resources: [pods], resourceNames: [web-0]}]}'
    assert level(rule, name="web-0") is Level.REQUEST
    assert level(rule, name="web-1") is Level.NONE


@pytest.mark.parametrize(("path", "fits"), [("/healthz", True), ("/healthz/etcd", True), ("/livez", False)])
def test_paths(path: str, fits: bool) -> None:
    rule = '- {level: Metadata, nonResourceURLs: ["/healthz*"]}'
    assert (level(rule, resource_request=False, path=path) is Level.METADATA) is fits


def test_the_first_rule_that_fits_decides() -> None:
    rules = "- {level: None, users: [jane]}\n- {level: RequestResponse}"
    assert level(rules) is Level.NONE
    assert level(rules, user=UserInfo("joe")) is Level.REQUEST_RESPONSE


def test_stages_are_left_out_everywhere_or_by_a_rule() -> None:
    text = HEAD + "omitStages: [RequestReceived]\nrules: [{level: Metadata, omitStages: [Panic]}]\n"
    verdict = load(text.encode()).judge(Attributes(JANE, "get"))
    assert verdict.omit_stages == {"RequestReceived", "Panic"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD, "loaded illegal policy with 0 rules"),
        ("kind: Policy\napiVersion: audit.k8s.io/v1beta1\n", 'no kind "Policy" is registered for version "audit.k8s.io/v1beta1"'),
        ("rules: []", "Object 'Kind' is missing"),
        (HEAD + "rules: [{}]", "rules[0].level: Required value"),
        (HEAD + "rules: [{level: All}]", 'supported values: "None", "Metadata", "Request", "RequestResponse"'),
        (HEAD + "rules: [{level: None, nonResourceURLs: [healthz]}]", "must begin with a '/' character"),
        (HEAD + "rules: [{level: None, nonResourceURLs: [/a, /a*b]}]", "must be the final character of the rule"),
        (HEAD + "rules: [{level: None, nonResourceURLs: [/a], namespaces: [b]}]", "rules cannot apply to both"),
        (HEAD + "rules: [{level: None, resources: [{resourceNames: [a]}]}]", "requires at least one resource"),
        (HEAD + "rules: [{level: None, resources: [{group: a/v1}]}]", "rules[0].resources.group: Invalid value"),
        (HEAD + "rules: [{level: None, omitStages: [Later]}]", "allowed stages are RequestReceived,"),
        (HEAD + "rules: [{level: None, verb: get}]", 'unknown field "rules[0].verb"'),
        (HEAD + "rules: [", "failed decoding"),
    ],
)  # fmt: skip
def test_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError) as refusal:
        load(text.encode())
    assert said in str(refusal.value)
