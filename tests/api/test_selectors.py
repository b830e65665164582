import pytest
from hypothesis import given
from hypothesis import strategies as st

from workshop.api import fields, labels


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("", ""),
        ("a=b", "a=b"),
        ("b==c , a!=d", "a!=d,b==c"),
        ("x in (b, a,)", "x in (,a,b)"),
        ("x in ()", "x in ()"),
        ("x notin (a,,b)", "x notin (,a,b)"),
        ("!x,y", "!x,y"),
        ("a>1,b<2", "a>1,b<2"),
        ("in in (in)", "in in (in)"),
        ("a=", "a="),
    ],
)
def test_print_after_parse(text: str, printed: str) -> None:
    assert str(labels.parse(text)) == printed


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (",", "found ',', expected: !, identifier, or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("a in", "unable to parse requirement: found '' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a=!b", "unable to parse requirement: found '!', expected: identifier"),
        ("!(", "unable to parse requirement: found '(', expected: identifier"),
        (
            "a>x",
            'unable to parse requirement: values[0]: Invalid value: "x": '
            "for 'Gt', 'Lt' operators, the value must be an integer",
        ),
        (
            "-a=b",
            'unable to parse requirement: <nil>: Invalid value: "-a": name part must consist of alphanumeric '
            "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or "
            "'my.name',  or "
            "'123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        ),
    ],
)
def test_complaints_are_upstreams(text: str, complaint: str) -> None:
    with pytest.raises(ValueError) as error:
        labels.parse(text)
    assert str(error.value) == complaint


def test_a_missing_label_is_not_in_any_set() -> None:
    assert labels.parse("a notin (b)").matches({}) and labels.parse("a!=b").matches({})
    assert not labels.parse("a in ()").matches({}) and labels.parse("a in ()").matches({"a": ""})
    assert labels.parse("a>1").matches({"a": "2"}) and not labels.parse("a>1").matches({"a": "x"})


def test_null_selects_nothing_and_empty_everything() -> None:
    assert not labels.from_selector(None).matches({})
    assert labels.from_selector({}).matches({"a": "b"})
    selector = {
        "matchLabels": {"b": "c"},
        "matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["y", "x"]}],
    }
    assert str(labels.from_selector(selector)) == "a notin (x,y),b=c"
    with pytest.raises(ValueError, match='"Near" is not a valid label selector operator'):
        labels.from_selector({"matchExpressions": [{"key": "a", "operator": "Near"}]})


words = st.from_regex(r"[a-z]([-a-z.]{0,5}[a-z])?", fullmatch=True).filter(lambda w: w not in ("in", "notin"))
requirements = st.one_of(
    st.builds(lambda k, o, v: f"{k}{o}{v}", words, st.sampled_from(["=", "==", "!="]), words),
    st.builds(
        lambda k, o, v: f"{k} {o} ({','.join(v)})", words, st.sampled_from(["in", "notin"]), st.lists(words, min_size=1)
    ),
    st.builds(lambda k, o: f"{o}{k}", words, st.sampled_from(["", "!"])),
)


@given(st.lists(requirements), st.dictionaries(words, words))
def test_printing_is_a_fixed_point_and_means_the_same(parts: list[str], given_labels: dict[str, str]) -> None:
    selector = labels.parse(",".join(parts))
    again = labels.parse(str(selector))
    assert str(again) == str(selector)
    assert again.matches(given_labels) == selector.matches(given_labels)
    assert selector.matches(given_labels) == all(labels.parse(part).matches(given_labels) for part in parts)


@given(st.text(max_size=12))
def test_any_text_parses_or_complains(text: str) -> None:
    for parse in (labels.parse, fields.parse):
        try:
            str(parse(text))
        except ValueError as error:
            assert str(error)


def test_fields() -> None:
    selector = fields.parse("status.phase!=Failed,metadata.name=a\\,b\\=c")
    assert str(selector) == "metadata.name=a\\,b\\=c,status.phase!=Failed"
    assert selector.exact("metadata.name") == "a,b=c" and selector.exact("status.phase") is None
    assert selector.matches({"metadata.name": "a,b=c"}) and not selector.matches({"metadata.name": "a"})
    assert fields.parse("").empty


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        ("a=\\x", "invalid field selector: invalid escape sequence: \\x"),
    ],
)
def test_field_complaints(text: str, complaint: str) -> None:
    with pytest.raises(ValueError) as error:
        fields.parse(text)
    assert str(error.value) == complaint
