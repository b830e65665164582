"""Expressions: Kubernetes' functions, the checker's complaints, values that a schema describes."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from workshop.api.cel import authorizer, library, types
from workshop.api.cel.environment import CompileError, Environment, used
from workshop.api.cel.values import EvaluationError

SELF = {"size": 4, "name": "abc", "cpu": "500m", "items": [{"n": "b"}, {"n": "a"}]}
VALUES = {"self": SELF, "l": [3, 1, 2]}
ENVIRONMENT = Environment({"self": "dyn", "l": "list"})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("self.size > 3 && self.name.startsWith('a')", True),
        ("self.size > 3.5", True),
        ("self.?foo.orValue('z')", "z"),
        ("self.items.map(i, i.n).join(',')", "b,a"),
        ("[5].map(x, x * x)[0]", 25),
        ("[1, 5].max()", 5),
        ("duration('1h30m').getMinutes()", 90),
        ("quantity('1') == quantity('1000m')", True),
        ("quantity(self.cpu).isLessThan(quantity('1'))", True),
        ("quantity('1').add(quantity('500m')).asApproximateFloat()", 1.5),
        ("isQuantity('x')", False),
        ("l.isSorted()", False),
        ("[1, 2].sum() + l.max() + l.indexOf(2)", 8),
        ("['a', 'b'].indexOf('b') + 'abc'.indexOf('c')", 3),
        ("l.sort() == [1, 2, 3] && [[1], [2]].flatten() == lists.range(3).slice(1, 3)", True),
        ("'%s=%d'.format(['x', 1]) + 'a-b'.split('-')[1]", "x=1b"),
        ("'a1b2'.findAll('[0-9]') == ['1', '2'] && 'abc12'.find('[0-9]+') == '12'", True),
        ("sets.contains([1, 2], [1]) && !sets.intersects([1], [2])", True),
        ("url('https://a.b:80/p?q=1').getHost() + url('https://a.b:80/').getPort()", "a.b:8080"),
        ("ip('10.0.0.1').family() == 4 && ip('::1').isLoopback() && !isIP('x')", True),
        ("cidr('10.0.0.0/8').containsIP('10.1.1.1') && !cidr('10.0.0.0/8').containsIP(ip('11.1.1.1'))", True),
        ("!format.dns1123Label().validate('abc').hasValue()", True),
        ("format.dns1123Label().validate('A_').value().size()", 1),
        ("semver('1.2.3').isLessThan(semver('1.10.0')) && isSemver('v1.0', true)", True),
    ],
)
def test_functions(text: str, value: Any) -> None:
    assert ENVIRONMENT.compile(text).run(VALUES) == value


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("self.foo", "no such key: foo"),
        ("self.items[9]", "index out of bounds: 9"),
        ("1 / 0", "division by zero"),
        ("self.size + 'a'", "no such overload"),
        ("lists.range(1000).sort().size() > 0", "operation cancelled: actual cost limit exceeded"),
    ],
)  # fmt: skip
def test_no_value(text: str, error: str) -> None:
    with pytest.raises(EvaluationError) as failed:
        ENVIRONMENT.compile(text).run(VALUES)
    assert str(failed.value) == error


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("foo", "ERROR: <input>:1:1: undeclared reference to 'foo' (in container '')\n | foo\n | ^"),
        ("'a' + 1", "ERROR: <input>:1:5: found no matching overload for '_+_' applied to '(string, int)'"),
        ("quantity('1').isLessThan(1)", "found no matching overload for 'isLessThan' applied to 'kubernetes.Quantity.(int)'"),
        ("self.size >", "Syntax error: mismatched input '<EOF>'"),
        ("1", "must evaluate to bool"),
        ("(" * 40 + "true" + ")" * 40, "ERROR: <input>:-1:0: expression recursion limit exceeded: 32"),
        ("'a'" + " + 'a'" * 40 + " == ''", "ERROR: <input>:-1:0: max recursion depth exceeded"),
    ],
)  # fmt: skip
def test_mistakes(text: str, error: str) -> None:
    with pytest.raises(CompileError) as failed:
        ENVIRONMENT.compile(text, want="bool")
    assert error in str(failed.value)


def test_a_schema_is_a_type() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a-b": {"type": "string"},
            "when": {"type": "string", "format": "date-time"},
            "either": {"x-kubernetes-int-or-string": True},
            "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
            "namespace": {"type": "array", "items": {"type": "object", "properties": {"port": {"type": "integer"}}}},
        },
    }
    environment = Environment({"self": types.Declared(types.with_meta(schema))})
    given = {"metadata": {"name": "x"}, "a-b": "q", "when": "2020-01-01T00:00:00Z", "either": "5%", "counts": {"k": 1},
             "namespace": [{"port": 1}]}  # fmt: skip
    variables = {"self": types.value(given, types.with_meta(schema))}
    for text in (
        "self.a__dash__b == 'q'", "self.when.getFullYear() == 2020", "type(self.either) == string",
        "self.counts['k'] == 1", "self.__namespace__.all(p, p.port > 0)", "self.metadata.name == 'x'",
    ):  # fmt: skip
        assert environment.compile(text, "bool").run(variables) is True, text
    for text in ("self.foo", "self.metadata.labels", "self.__namespace__[0].foo", "self.counts.k + 'a'"):
        with pytest.raises(CompileError):
            environment.compile(text)


def test_the_authorizer_is_asked() -> None:
    environment = Environment({"authorizer": "authorizer", "authorizer.requestResource": "resource_check"})
    asked: list[dict[str, str]] = []

    def ask(question: dict[str, str]) -> authorizer.Answer:
        asked.append(question)
        return question["verb"] == "create", "because", ""

    text = "authorizer.group('').resource('pods').namespace('d').check('create').allowed() && "
    text += "!authorizer.requestResource.check('delete').allowed()"
    own = authorizer.request_resource("apps", "deployments", "", "d", "web")
    with authorizer.asking(ask):
        variables = {"authorizer": authorizer.AUTHORIZER, "authorizer.requestResource": own}
        assert environment.compile(text, "bool").run(variables) is True
    assert [(q["resource"], q["verb"]) for q in asked] == [("pods", "create"), ("deployments", "delete")]


def test_what_an_expression_uses() -> None:
    assert used("oldSelf.x == 'self' && variables.foo", dict.fromkeys(["self", "oldSelf", "variables"])) == {
        "oldSelf", "variables",
    }  # fmt: skip


def test_regular_expressions_take_linear_time() -> None:
    assert library.matches("a" * 5000 + "b", "^(a+)+$") is False


def test_nobody_pays_who_does_not_use_it() -> None:
    code = "import sys, workshop.apiserver.assembly; assert not any('cel_expr' in name for name in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
