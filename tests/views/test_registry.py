"""Keys as a tree, and changes as a timeline."""

from workshop.views.registry import Line, grouped, lines, readable
from workshop.views.store import Change, Stored


def key(name, raw=b"{}"):
    return Stored(name, raw.decode(), 1, 2, 1, raw=raw)


def test_a_key_made_written_removed_and_made_again():
    changes = [
        Change(5, "PUT", "/a", "1"),
        Change(6, "PUT", "/b", "1"),
        Change(7, "PUT", "/a", "2"),
        Change(8, "DELETE", "/a", ""),
        Change(9, "PUT", "/a", "3"),
    ]
    assert lines(changes) == (
        [5, 6, 7, 8, 9],
        [
            Line("/a", ("made", "alive", "written", "gone", "made")),
            Line("/b", ("", "made", "alive", "alive", "alive")),
        ],
    )
    assert lines(changes, most=2) == ([8, 9], [Line("/a", ("gone", "made")), Line("/b", ("alive", "alive"))])


def test_keys_by_resource():
    found = grouped(
        [key("/registry/pods/default/web"), key("/registry/apiregistration.k8s.io/apiservices/v1."), key("/registry/namespaces/default")]
    )  # fmt: skip
    assert {name: len(keys) for name, keys in found.items()} == {
        "pods": 1,
        "apiregistration.k8s.io/apiservices": 1,
        "namespaces": 1,
    }


def test_values_are_readable_whatever_they_are():
    assert readable(b'{"a":1}') == '{\n  "a": 1\n}'
    assert readable(b"k8s\0\x0a\x04") == "protobuf, 6 bytes"
    assert readable(b"\xff<b>") == "\\xff<b>"
