import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workshop.api import codec
from workshop.api.json_syntax import complaint


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "unexpected end of JSON input"),
        ("hello", "invalid character 'h' looking for beginning of value"),
        ('{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        ('{"a" 1}', "invalid character '1' after object key"),
        ('{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
        ("[1 2]", "invalid character '2' after array element"),
        ("{} x", "invalid character 'x' after top-level value"),
        ('"a\nb"', "invalid character '\\n' in string literal"),
        ('"\\x"', "invalid character 'x' in string escape code"),
        ('"\\u00g0"', "invalid character 'g' in \\u hexadecimal character escape"),
        ("trie", "invalid character 'i' in literal true (expecting 'u')"),
        ("-a", "invalid character 'a' in numeric literal"),
        ("1.x", "invalid character 'x' after decimal point in numeric literal"),
        ("1e", "invalid character ' ' in exponent of numeric literal"),
        ("nul", "invalid character ' ' in literal null (expecting 'l')"),
        ("{'a'", "invalid character '\\'' looking for beginning of object key string"),
        ("[NaN]", "invalid character 'N' looking for beginning of value"),
    ],
)
def test_json_errors_are_gos(text: str, wrong: str) -> None:
    with pytest.raises(ValueError) as error:
        codec.loads(text)
    assert str(error.value) == wrong


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(values)
def test_round_trip_and_no_complaint(value: object) -> None:
    data = codec.dumps(value)
    assert codec.loads(data) == value
    assert complaint(data.decode()) == ""
    assert codec._encode_pure(value) == data or json.loads(codec._encode_pure(value)) == value


@given(values, st.data())
def test_a_cut_text_is_complained_about(value: object, data: st.DataObject) -> None:
    text = json.dumps([value])
    cut = data.draw(st.integers(0, len(text) - 1))
    assert complaint(text[:cut]).startswith(("unexpected end of JSON input", "invalid character ' ' in"))


def test_depth_is_limited() -> None:
    assert codec.depth(codec.loads("[" * 10_000 + "]" * 10_000)) == 10_000
    for text in ("[" * 10_001 + "]" * 10_001, "[" * 200_000 + "]" * 200_000):
        with pytest.raises(ValueError, match="exceeded max depth"):
            codec.loads(text)
    assert codec.depth(1) == 0 and codec.depth({}) == 1 and codec.depth({"a": [{}]}) == 3


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    assert codec.loads(b'{"a":"\xff"}') == {"a": "�"}


def test_duplicates_are_named_by_path() -> None:
    text = b'{"a":1,"spec":{"c":[{"name":"x","name":"y","name":"z"}],"c2":{}},"a":2}'
    assert codec.duplicates(text) == ["a", "spec.c[0].name"]
    assert codec.duplicates(b'{"a":{"a":1}}') == []


def test_yaml_is_read_as_the_json_it_stands_for() -> None:
    text = "a: 2026-01-31\nb: yes\nc: 0o17\nd: 010\n1: x\ntrue: y\n"
    text += "base: &x {k: 1}\nmine: {<<: *x, j: 2}\ne: !!binary aGk=\n"
    assert codec.load_yaml(text) == {
        "a": "2026-01-31",
        "b": True,
        "c": 15,
        "d": 8,
        "1": "x",
        "true": True,
        "base": {"k": 1},
        "mine": {"k": 1, "j": 2},
        "e": "hi",
    }
    assert codec.load_yaml_all("a: 1\n---\nb: 2\n") == [{"a": 1}, {"b": 2}]
    assert codec.load_yaml("") is None


def test_an_alias_bomb_is_refused_quickly() -> None:
    lines = ['a0: &a0 ["x","x","x","x","x","x","x","x","x"]']
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    started = time.process_time()
    with pytest.raises(ValueError, match="excessive aliasing"):
        codec.load_yaml("\n".join(lines))
    assert time.process_time() - started < 20


def test_bad_yaml_is_told_in_gos_words() -> None:
    for text, wrong in (
        ("a: [x, *b]", "yaml: unknown anchor 'b' referenced"),
        ("a: !!int x", "yaml: cannot decode !!str `x` as a !!int"),
        ("a: .nan", "json: unsupported value: NaN"),
        ("{", "yaml: line 1: did not find expected node content"),
    ):
        with pytest.raises(ValueError) as error:
            codec.load_yaml(text)
        assert str(error.value) == f"error converting YAML to JSON: {wrong}"


@pytest.mark.parametrize("text", ["a: [", "a: &x [*x]", "a: .nan", "? [1]\n: 2", "[" * 100_000, "a: *b"])
def test_bad_yaml_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="error converting YAML to JSON"):
        codec.load_yaml(text)
