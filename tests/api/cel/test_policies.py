"""What is wrong with expressions of policies and of definitions. The sentences are those of kube-apiserver 1.36.2."""

from __future__ import annotations

import pytest

from workshop.api.cel import policies
from workshop.api.cel.environment import Environment
from workshop.api.custom import rules

FAILED, LATE = "compilation failed: ERROR: <input>:", "program instantiation failed: "
OWN = {"list": policies.type_of("[1]", False, {}), "text": policies.type_of("'a' + 'b'", False, {})}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("['x', object.metadata.name].size() == 1", "1:22: expected type 'string' but found 'dyn'"),
        ("[dyn(1), 'a'].size() == 1", "1:10: expected type 'dyn' but found 'string'"),
        ("[duration('1s'), 1].size() == 1", "1:18: expected type 'duration' but found 'int'"),
        ("variables.list == 'x'", "1:16: found no matching overload for '_==_' applied to '(list(int), string)'"),
        ("has(variables.foo)", "1:4: undefined field 'foo'"),
        ("request.userInfo == 1", "1:18: found no matching overload for '_==_' applied to '(kubernetes.UserInfo, int)'"),
        ("object.all(c, 1)", "1:15: expected type 'bool' but found 'int'"),
        ("object.all(1, true)", "1:12: argument must be a simple name"),
        ("sets.contains([1], ['a'])", "1:14: found no matching overload for 'sets.contains' applied to '(list(int), list(string))'"),
        ("[1].indexOf('a') == 1", "1:12: found no matching overload for 'indexOf' applied to 'list(int).(string)'"),
        ("[1].join('-') == ''", "1:9: found no matching overload for 'join' applied to 'list(int).(string)'"),
        ("[1].existsOne(x, x == 1)", "1:14: undeclared reference to 'existsOne' (in container '')"),
        ("(1 < 1.5) + 1 == 2", "1:11: found no matching overload for '_+_' applied to '(bool, int)'"),
        ("1\n<\n1.5\n&& 'x'", "4:4: expected type 'bool' but found 'string'"),
        ("duration(1) == duration('1s')", "1:10: invalid duration argument"),
        ("Object{}", "1:7: undeclared reference to 'Object' (in container '')"),
        ("string(ip('1.1.1.1')) == 1", "1:23: found no matching overload for '_==_' applied to '(string, int)'"),
    ],
)  # fmt: skip
def test_complaints(text: str, why: str) -> None:
    found = policies.wrong(text, "bool", False, own=OWN)
    assert found.startswith(FAILED + why + "\n")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("authorizer", "must evaluate to bool but got kubernetes.authorization.Authorizer"),
        ("null", "must evaluate to bool but got null_type"),
        ("int('x') == 1", LATE + "type conversion error from 'string' to 'int'"),
        ("string(null) == ''", LATE + "no such overload: string(null_type)"),
        ("'a'.find('(') == ''", LATE + "error parsing regexp: missing closing ): `(`"),
        ("string(ip('1.1.1.1')) == '1.1.1.1'", ""),
        ("[1, 2].distinct().map(x, [x, 1]).size() == 1", ""),
        ("variables.text == 'ab' && 1 < 1.5", ""),
        ("request.namespace == 'a' && namespaceObject.metadata.namespace == ''", ""),
    ],
)
def test_results_and_programs(text: str, why: str) -> None:
    assert policies.wrong(text, "bool", False, own=OWN) == why


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[JSONPatch{op: 'remove', path: '/a'}]", ""),
        ("[JSONPatch{op: 1}]", "1:14: expected type of field 'op' is 'string' but provided type is 'int'"),
        ("[JSONPatch{op: 'test'}, 1]", "1:25: expected type 'JSONPatch' but found 'int'"),
        ("JSONPatch{}", "must evaluate to list(JSONPatch) but got JSONPatch"),
        ("[Object{}]", "must evaluate to list(JSONPatch) but got list(Object)"),
    ],
)
def test_mutations(text: str, why: str) -> None:
    found = policies.wrong_mutation(text, True, False).removeprefix(FAILED).partition("\n")[0]
    assert found == why


def test_rules_of_definitions() -> None:
    schema = {
        "type": "object",
        "properties": {"s": {"type": "string"}, "m": {"additionalProperties": {"type": "integer"}, "type": "object"}},
    }

    def error(rule: str) -> str:
        return rules.compiled({**schema, "x-kubernetes-validations": [{"rule": rule}]})[0].error.partition("\n")[0]

    assert error("self.s.find('[') == ''") == LATE + "error parsing regexp: missing closing ]: `[`"
    assert error("self.m.all(k, v, v == 'x')").endswith("'_==_' applied to '(int, string)'")


def test_addresses_as_texts() -> None:
    environment = Environment({})
    assert environment.compile("string(ip('10.0.0.1'))").run({}) == "10.0.0.1"
    assert environment.compile("string(cidr('10.0.0.0/8')) + string(1)").run({}) == "10.0.0.0/81"
