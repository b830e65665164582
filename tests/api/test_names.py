import pytest

from workshop.api import names


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        ("dns1123_label", ["a", "a-b", "1a"], ["", "A", "a.b", "-a", "a-", "a" * 64, "a\n"]),
        ("dns1123_subdomain", ["a.b", "a"], ["a..b", "a_b", ".", "a" * 254]),
        ("dns1035_label", ["a1"], ["1a", "a.b"]),
        ("qualified_name", ["a", "A_b.c", "x.y/Name"], ["", "/a", "a/", "a/b/c", "X/y", "a" * 64]),
        ("label_value", ["", "a", "A_b"], ["-a", "a b", "a" * 64]),
        ("config_map_key", ["a.b", "..a"[1:]], ["", "..", "a/b", "..x"]),
        ("port_name", ["http", "a-1"], ["1", "a--b", "-a", "toolongportname1", "A"]),
        ("env_var_name", ["a", "1 b"], ["", "a=b", "é"]),
        ("path_segment", ["a:b"], [".", "a/b", "a%"]),
    ],
)
def test_rules(rule: str, good: list[str], bad: list[str]) -> None:
    check = getattr(names, rule)
    assert [value for value in good if check(value)] == []
    assert [value for value in bad if not check(value)] == []


def test_sentences() -> None:
    assert names.dns1123_label("a.b") == ["must not contain dots"]
    assert names.dns1123_label("A") == [
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
        "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
        "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    ]
    assert names.label_value("a" * 64) == ["must be no more than 63 bytes"]
    assert names.mask_trailing_dash("web-") == "wea"
