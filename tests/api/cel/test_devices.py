"""Expressions that choose devices. What is expected was said by kube-apiserver 1.36.2."""

from __future__ import annotations

import pytest

from workshop.api.cel.devices import judged

UNKNOWN = "must evaluate to bool or the unknown type, not "
FAILED = "compilation failed: ERROR: <input>:"


@pytest.mark.parametrize(
    "text",
    [
        "device.driver == 'gpu.example.com'",
        "device.attributes['a'].b",
        "has(device.driver) && has(device.attributes['a'].b)",
        "device.?driver.orValue('x') == 'a'",
        "cel.bind(dra, device.attributes['a'], dra.oneBool && dra.anotherBool)",
        "device.capacity['a'].memory.compareTo(quantity('40Gi')) >= 0",
        "device.attributes['a'].v.isGreaterThan(semver('0.0.1'))",
        "[1].all(device, device == 1)",
        "!device.allowMultipleAllocations",
        "device.attributes['a'].b.join(',') == 'a'",
    ],
)
def test_what_is_right(text: str) -> None:
    found = judged(text)
    assert found.wrong == "" and found.cost < 1_000_000


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("device.driver", UNKNOWN + "string"),
        ("device", UNKNOWN + "kubernetes.DRADevice"),
        ("dyn(true)", UNKNOWN + "dyn"),
        ("null", UNKNOWN + "null_type"),
        ("type(1)", UNKNOWN + "type(int)"),
        ("device.attributes", UNKNOWN + "map(string, map(string, google.protobuf.Any))"),
        ("device.foo", FAILED + "1:7: undefined field 'foo'\n | device.foo\n | ......^"),
        ("has(device.foo)", FAILED + "1:4: undefined field 'foo'\n | has(device.foo)\n | ...^"),
        ("a.b.c", FAILED + "1:1: undeclared reference to 'a' (in container '')\n | a.b.c\n | ^"),
        ("true && 1", FAILED + "1:9: expected type 'bool' but found 'int'\n | true && 1\n | ........^"),
        (
            "device.attributes['a'].b.all(x, x)",
            FAILED + "1:23: expression of type 'any' cannot be range of a comprehension (must be list, map, or "
            "dynamic)\n | device.attributes['a'].b.all(x, x)\n | ......................^",
        ),
        (
            "device.driver.find('[') == '1'",
            "program instantiation failed: error parsing regexp: missing closing ]: `[`",
        ),
    ],
)
def test_what_is_wrong_is_told_in_upstreams_words(text: str, why: str) -> None:
    assert judged(text).wrong == why


def test_comparisons_of_two_kinds_of_numbers_have_their_price() -> None:
    assert judged("1 < 1.5 && device.driver == 'abcdefghijklmno'").cost == 5


@pytest.mark.parametrize(
    ("text", "too_dear"),
    [
        ("device.attributes.all(d, device.attributes.all(e, d == e))", False),
        ("device.attributes.all(d, device.attributes.all(e, device.attributes.all(f, device.attributes.all(g, true))))",
         True),
    ],
)  # fmt: skip
def test_what_an_expression_may_cost(text: str, too_dear: bool) -> None:
    found = judged(text)
    assert found.wrong == "" and (found.cost > 1_000_000) is too_dear
