"""Which rules a definition may have: as kube-apiserver 1.36.2 answered to the same definitions."""

from __future__ import annotations

from typing import Any

import pytest

from workshop.api.custom import rules
from workshop.api.validation.field import ErrorList

TEXT: dict[str, Any] = {"type": "string"}
NUMBER: dict[str, Any] = {"type": "integer"}
ADVICE = " (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"


def many(of: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": of, **more}


def told(properties: dict[str, Any], *given: str) -> list[str]:
    found = ErrorList()
    spec = {"type": "object", "properties": properties, "x-kubernetes-validations": [{"rule": rule} for rule in given]}
    rules.check_schema(found, "schema", {"type": "object", "properties": {"spec": spec}})
    return [f"{each['field'].rpartition('.')[2]}: {each['message'].removesuffix(ADVICE)}" for each in found.causes()]


@pytest.mark.parametrize(
    ("properties", "rule"),
    [
        ({"l": many(TEXT)}, "self.l.all(x, x == 'a')"),
        ({"l": many(NUMBER, maxItems=100)}, "self.l.all(x, self.l.exists(y, y == x))"),
        ({"l": many(NUMBER)}, "self.l.all(i, v, v > i)"),
        ({"s": TEXT}, "self.s.matches('^[a-z]+$')"),
        ({"m": {"type": "object", "additionalProperties": TEXT}}, "self.m.all(k, self.m[k] == k)"),
        ({"l": many(TEXT, maxItems=64)}, "ip(self.l[0]) == ip('1.1.1.1')"),
        ({"x": {"x-kubernetes-int-or-string": True}}, "type(self.x) == int ? self.x > 3 : self.x.contains('a')"),
        ({"e": {"type": "string", "enum": ["a", "bbb"]}}, "self.e.contains(self.e)"),
    ],
)
def test_a_rule_that_is_cheap_enough(properties: dict[str, Any], rule: str) -> None:
    assert told(properties, rule) == []


def test_a_rule_that_is_too_dear() -> None:
    dear = "exceeds budget by factor of more than 100x"
    assert told({"s": TEXT}, "self.s.contains(self.s)") == [
        f"rule: Forbidden: estimated rule cost {dear}",
        "rule: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema",
        f"schema: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema {dear}",
    ]


def test_a_rule_counts_for_each_element() -> None:
    item = {"type": "object", "properties": {"n": TEXT}, "x-kubernetes-validations": [{"rule": "self.n.contains('x')"}]}
    assert (
        told({"l": many(item)})[0] == "rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x"
    )
    bounded = {**item, "properties": {"n": {**TEXT, "maxLength": 20}}}
    assert told({"l": many(bounded, maxItems=1000)}) == []


def test_an_update_that_leaves_the_schema_alone_is_forgiven_one_dear_rule() -> None:
    found = ErrorList()
    rule = {"rule": "self.l.all(x, self.l.exists(y, y == x))"}
    spec = {"type": "object", "properties": {"l": many(NUMBER, maxItems=2000)}, "x-kubernetes-validations": [rule]}
    rules.check_schema(found, "schema", spec, unchanged=True)
    assert found.causes() == []
