"""Rules: what one allows, what some cover, how lacking rights are told."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from workshop.apiserver.authorization import rules
from workshop.apiserver.interfaces import Attributes, UserInfo

JANE = UserInfo("jane")


def allows(rule: rules.PolicyRule, **attributes: str) -> bool:
    return rules.compile_rule(rule).allows(Attributes(JANE, **attributes))  # type: ignore[arg-type]


def test_verb_group_resource_and_name_must_all_match() -> None:
    rule = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"], "resourceNames": ["web"]}
    right = {"verb": "get", "api_group": "apps", "resource": "deployments", "name": "web"}
    assert allows(rule, **right)
    for field, other in (("verb", "list"), ("api_group", ""), ("resource", "pods"), ("name", "db"), ("name", "")):
        assert not allows(rule, **{**right, field: other}), field


def test_a_resource_does_not_include_its_subresources() -> None:
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]}
    assert allows(rule, verb="get", resource="pods")
    assert not allows(rule, verb="get", resource="pods", subresource="log")


def test_subresource_wildcard() -> None:
    rule = {"apiGroups": ["*"], "resources": ["*/scale"], "verbs": ["update"]}
    assert allows(rule, verb="update", api_group="apps", resource="deployments", subresource="scale")
    assert not allows(rule, verb="update", api_group="apps", resource="deployments")
    assert not allows(rule, verb="update", api_group="apps", resource="deployments", subresource="status")


def test_star_resource_includes_subresources() -> None:
    rule = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    assert allows(rule, verb="create", resource="pods", subresource="exec", name="web")


def test_paths() -> None:
    rule = rules.compile_rule({"nonResourceURLs": ["/healthz", "/api/*"], "verbs": ["get"]})

    def may(path: str, verb: str = "get") -> bool:
        return rule.allows(Attributes(JANE, verb, resource_request=False, path=path))

    assert (
        may("/healthz")
        and may("/api/v1")
        and not may("/healthz/etcd")
        and not may("/api")
        and not may("/healthz", "post")
    )


def test_a_path_rule_allows_no_resource_and_the_other_way_round() -> None:
    assert not allows({"nonResourceURLs": ["*"], "verbs": ["*"]}, verb="get", resource="pods")
    everything = rules.compile_rule({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]})
    assert not everything.allows(Attributes(JANE, "get", resource_request=False, path="/metrics"))


def test_uncovered_names_single_rights_and_message_joins_verbs() -> None:
    owner = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    wanted = [{"apiGroups": [""], "resources": ["pods", "secrets"], "verbs": ["get", "list"]}]
    lacking = rules.compact(rules.uncovered(owner, wanted))
    assert sorted(map(rules.describe, lacking)) == [
        '{APIGroups:[""], Resources:["pods"], Verbs:["list"]}',
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}',
    ]


def test_a_named_right_does_not_cover_all_names() -> None:
    named = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"], "resourceNames": ["a"]}
    every = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
    assert rules.uncovered([named], [every])
    assert not rules.uncovered([every], [named])


words = st.sampled_from(["a", "b", "*"])
policy_rules = st.builds(
    lambda groups, resources, verbs, names: {
        "apiGroups": groups, "resources": resources, "verbs": verbs, "resourceNames": names,
    },
    st.lists(words, min_size=1, max_size=2),
    st.lists(st.sampled_from(["p", "q", "p/s", "*/s", "*"]), min_size=1, max_size=2),
    st.lists(words, min_size=1, max_size=2),
    st.lists(st.sampled_from(["n", "m"]), max_size=2),
)  # fmt: skip
requests = st.builds(
    lambda verb, group, resource, sub, name: Attributes(
        JANE, verb, api_group=group, resource=resource, subresource=sub, name=name
    ),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["p", "q"]),
    st.sampled_from(["", "s"]),
    st.sampled_from(["n", "m", "x"]),
)


@settings(deadline=None)
@given(st.lists(policy_rules, max_size=3), st.lists(policy_rules, max_size=3), requests)
def test_who_covers_rules_may_do_all_that_they_allow(
    owner: list[rules.PolicyRule], wanted: list[rules.PolicyRule], request: Attributes
) -> None:
    if not rules.uncovered(owner, wanted) and any(rules.compile_rule(r).allows(request) for r in wanted):
        assert any(rules.compile_rule(r).allows(request) for r in owner)


@settings(deadline=None)
@given(policy_rules, requests)
def test_breaking_a_rule_down_changes_nothing(rule: rules.PolicyRule, request: Attributes) -> None:
    whole = rules.compile_rule(rule).allows(request)
    assert whole == any(rules.compile_rule(part).allows(request) for part in rules.breakdown(rule))


def test_go_quoting() -> None:
    assert rules.quoted('a"b\\c\n\x01é') == r'"a\"b\\c\n\x01é"'
    assert rules.quoted_list(["", "x"]) == '["" "x"]'
