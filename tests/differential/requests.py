"""Requests that are wrong as a whole: bodies nobody can read, options nobody knows, patches that do not fit."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

from .cases import Case

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DRY = "dryRun=All"
JSON, YAML, PROTO = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
MIB = 1 << 20
BASE = {
    "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "stored", "labels": {"a": "b"}}, "data": {"a": "b"},
}  # fmt: skip
"""What patches are sent to."""


def _map(**data: Any) -> bytes:
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "made"}, **data}).encode()


def _nested(depth: int, opening: bytes = b"[", closing: bytes = b"]", middle: bytes = b"") -> bytes:
    return opening * depth + middle + closing * depth


HEAD = b'{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "made"}'
SYNTAX: dict[str, bytes] = {
    "nothing": b"", "a blank": b" ", "null": b"null", "a number": b"5", "a text": b'"x"', "a list": b"[]", "a word": b"true",
    "{}": b"{}", "half an object": b'{"metadata": {', "half a text": b'{"metadata": "x', "half a word": b'{"metadata": tr',
    "half a number": b'{"metadata": -', "two values": b"{} {}", "a comma more": b'{"a": 1,}', "no colon": b'{"a" 1}',
    "no quotes": b"{a: 1}", "single quotes": b"{'a': 1}", "a comment": b"// x\n{}", "no value": b'{"a": }',
    "list without comma": b'{"a": [1 2]}', "bad escape": b'{"a": "\\x"}', "bad \\u": b'{"a": "\\u12g4"}',
    "a line break in a text": b'{"a": "x\ny"}', "a NUL in a text": b'{"a": "\x00"}', "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": -Infinity}', "leading zero": b'{"a": 01}', "hex": b'{"a": 0x1}', "plus": b'{"a": +1}',
    "ends with a point": b'{"a": 1.}', "starts with a point": b'{"a": .1}', "no exponent": b'{"a": 1e}',
    "byte order mark": b"\xef\xbb\xbf{}", "utf-16": "{}".encode("utf-16"), "html": b"<html></html>",
    "binary": bytes(range(64)), "a letter after": b"{}x", "a brace after": b"{}}",
}  # fmt: skip
SHAPES: dict[str, bytes] = {
    "no kind": b'{"apiVersion": "v1", "metadata": {"name": "made"}}', "no version": b'{"kind": "ConfigMap", "metadata": {"name": "made"}}',
    "neither": b'{"metadata": {"name": "made"}}', "kind is a number": b'{"apiVersion": "v1", "kind": 5}',
    "version is a list": b'{"apiVersion": [], "kind": "ConfigMap"}', "version has two slashes": b'{"apiVersion": "a/b/c", "kind": "ConfigMap"}',
    "another kind": b'{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "made"}}',
    "unknown kind": b'{"apiVersion": "v1", "kind": "Foo", "metadata": {"name": "made"}}',
    "unknown version": b'{"apiVersion": "v9", "kind": "ConfigMap", "metadata": {"name": "made"}}',
    "unknown group": b'{"apiVersion": "x.y/v1", "kind": "ConfigMap", "metadata": {"name": "made"}}',
    "a list of it": b'{"apiVersion": "v1", "kind": "ConfigMapList", "items": []}',
    "a List": b'{"apiVersion": "v1", "kind": "List", "items": []}',
    "Status": b'{"apiVersion": "v1", "kind": "Status"}', "kind in small letters": b'{"apiVersion": "v1", "kind": "configmap", "metadata": {"name": "made"}}',
    "names in other letters": b'{"APIVERSION": "v1", "Kind": "ConfigMap", "Metadata": {"Name": "made"}}',
    "metadata twice": HEAD + b', "metadata": {"name": "other"}}', "data twice": HEAD + b', "data": {"a": "b", "a": "c"}}',
    "kind twice": b'{"kind": "ConfigMap", "kind": "Pod", "apiVersion": "v1", "metadata": {"name": "made"}}',
    "the same twice": HEAD + b', "immutable": true, "immutable": true}', "null twice": HEAD + b', "data": null, "data": null}',
    "twice within": b'{"metadata": {"name": "made", "labels": {"a": "b", "a": "b"}, "name": "made"}}',
    "unknown fields": HEAD + b', "x": 1, "y": {"z": 2}}', "an unknown field within": b'{"metadata": {"name": "made", "x": {"y": 1}}}',
    "unknown and twice": HEAD + b', "x": 1, "x": 2, "data": {}, "data": {}}',
    "a hundred unknown": HEAD + b"".join(b', "x%d": 1' % i for i in range(120)) + b"}",
    "an unknown field with quotes": HEAD + b', "a\\"b\\\\c": 1}', "an empty name of a field": HEAD + b', "": 1}',
    "data is a list": HEAD + b', "data": []}', "data has a number": HEAD + b', "data": {"a": 1}}',
    "data has null": HEAD + b', "data": {"a": null}}', "two wrong types": HEAD + b', "data": {"a": 1}, "immutable": "x"}',
    "a wrong type and unknown": HEAD + b', "x": 1, "immutable": "x"}', "binaryData is no base64": HEAD + b', "binaryData": {"a": "?"}}',
    "binaryData short": HEAD + b', "binaryData": {"a": "AAA"}}', "a time of another kind": b'{"metadata": {"name": "made", "creationTimestamp": "yesterday"}}',
    "a time that is none": b'{"metadata": {"name": "made", "creationTimestamp": "2026-13-01T00:00:00Z"}}',
    "a float for an integer": b'{"metadata": {"name": "made", "generation": 1.5}}', "1.0 for an integer": b'{"metadata": {"name": "made", "generation": 1.0}}',
    "1e2 for an integer": b'{"metadata": {"name": "made", "generation": 1e2}}', "2^63": b'{"metadata": {"name": "made", "generation": 9223372036854775808}}',
    "1e400": b'{"metadata": {"name": "made", "generation": 1e400}}', "a huge integer": b'{"metadata": {"name": "made", "generation": ' + b"9" * 5000 + b"}}",
    "metadata is a list": b'{"metadata": []}', "metadata is a text": b'{"metadata": "x"}', "metadata is null": b'{"metadata": null}',
    "another namespace": b'{"metadata": {"name": "made", "namespace": "other"}}', "no name": b'{"metadata": {}}',
    "a name of dots": b'{"metadata": {"name": ".."}}', "a slash in the name": b'{"metadata": {"name": "a/b"}}',
    "a version": b'{"metadata": {"name": "made", "resourceVersion": "5"}}', "a version that is none": b'{"metadata": {"name": "made", "resourceVersion": "x"}}',
    "no utf-8 in a value": HEAD + b', "data": {"a": "\xff\xfe"}}', "no utf-8 in a key": HEAD + b', "data": {"\xff": "b"}}',
    "no utf-8 in an unknown field": HEAD + b', "\xff": "b"}', "half a surrogate pair": HEAD + b', "data": {"a": "\\ud800"}}',
    "a wrong pair": HEAD + b', "data": {"a": "\\ud800\\u0041"}}', "a pair": HEAD + b', "data": {"a": "\\ud83d\\ude00"}}',
    "an overlong zero": HEAD + b', "data": {"a": "\xc0\x80"}}', "a coded surrogate": HEAD + b', "data": {"a": "\xed\xa0\x80"}}',
    "a NUL escaped": HEAD + b', "data": {"a": "\\u0000"}}', "a half-read kind": b'{"kind": "ConfigMap\\u0000", "apiVersion": "v1"}',
}  # fmt: skip
DEEP = {
    **{f"{n} lists unknown": HEAD + b', "x": ' + _nested(n) + b"}" for n in (200, 300, 5000, 9998, 9999, 10000, 10001, 100000)},
    **{f"{n} objects unknown": HEAD + b', "x": ' + _nested(n, b'{"a":', b"}", b"1") + b"}" for n in (300, 9998, 9999, 10000, 50000)},
    **{f"{n} lists": _nested(n) for n in (300, 9999, 10000, 10001, 100000)},
    **{f"{n} lists open": b"[" * n for n in (300, 10001, 100000)},
    **{f"{n} objects open": b'{"a":' * n for n in (300, 10001, 100000)},
    "10001 lists in data": HEAD + b', "data": {"a": ' + _nested(10001) + b"}}",
}  # fmt: skip
BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (i, i, b",".join([b"*%c" % (i - 1)] * 9)) for i in range(ord("b"), ord("k"))
)
YAMLS: dict[str, bytes] = {
    "a good one": b"metadata:\n  name: made\n", "nothing": b"", "a comment": b"# x\n", "a scalar": b"x\n", "a list": b"- a\n- b\n", "a number": b"5",
    "tabs": b"metadata:\n\tname: x\n", "no indent": b"metadata:\nname: x: y\n", "unclosed": b"a: [1, 2\n", "unclosed quote": b'a: "x\n',
    "two documents": b"metadata: {name: made}\n---\nmetadata: {name: two}\n", "unknown alias": b"a: *x\n", "bomb": BOMB,
    "key twice": b"metadata: {name: made}\ndata: {a: b, a: c}\n", "key twice on top": b"metadata: {name: made}\nmetadata: {name: made}\n",
    "a tag": b"metadata: !!python/object:os.system {name: made}\n", "own tag": b"metadata: !x {name: made}\n", "merge": b"x: &x {name: made}\nmetadata: {<<: *x}\n",
    "merge of a list": b"metadata: {<<: [1]}\n", "a key that is a list": b"? [a]\n: b\n", "a key that is a number": b"1: b\nmetadata: {name: made}\n",
    "a key that is null": b"~: b\nmetadata: {name: made}\n", "a key that is true": b"true: b\nmetadata: {name: made}\n", "binary": b"a: !!binary AAAA\n",
    "a time": b"metadata: {name: made}\ndata: {a: 2026-01-01}\n", "a float": b"metadata: {name: made}\ndata: {a: 1.5}\n", "yes": b"metadata: {name: made}\nimmutable: yes\n",
    "octal": b"metadata: {name: made, generation: 010}\n", "control": b"a: \x01\n", "no utf-8": b"a: \xff\n", "unknown": b"metadata: {name: made}\nx: 1\n",
    "300 deep": b"metadata: {name: made}\nx: " + _nested(300), "10001 deep": b"metadata: {name: made}\nx: " + _nested(10001), "10001 deep blocks": b"- " * 10001 + b"a\n",
    "json": b'{"metadata": {"name": "made"}}', "half json": b'{"metadata": {"name": ', "directive": b"%YAML 9.9\n---\na: b\n", "an anchor alone": b"&x\n", "colons": b": : :\n",
    "a percent": b"%x\n", "an at": b"@x\n", "a backtick": b"`x\n", "inf": b"metadata: {name: made, generation: .inf}\n", "nan": b"metadata: {name: made, generation: .nan}\n",
    "huge integer": b"metadata: {name: made, generation: " + b"9" * 400 + b"}\n", "self": b"a: &a [*a]\n", "unbalanced": b"a: ]\n", "bad escape": b'a: "\\q"\n',
}  # fmt: skip
STRICTNESS = ("Strict", "Warn", "Ignore", "x", "")
PROTOS: dict[str, bytes] = {
    "nothing": b"", "no magic": b"xxxx", "magic only": b"k8s\x00", "garbage": b"k8s\x00\xff\xff\xff\xff", "truncated": b"k8s\x00\n\x0f\n\x02v1",
    "empty unknown": b"k8s\x00\n\x00", "json inside": b"k8s\x00{}", "a good head, bad raw": b"k8s\x00\n\x0f\n\x02v1\x12\tConfigMap\x12\x04\xff\xff\xff\xff",
    "a good one": b"k8s\x00\n\x0f\n\x02v1\x12\tConfigMap\x12\x08\n\x06\n\x04made", "another kind": b"k8s\x00\n\t\n\x02v1\x12\x03Pod\x12\x08\n\x06\n\x04made",
    "unknown kind": b"k8s\x00\n\t\n\x02v1\x12\x03Foo\x12\x00", "a group": b"k8s\x00\n\x03\x0b\x0b\x0b", "long varint": b"k8s\x00\x0a" + b"\xff" * 12,
    "content type given": b"k8s\x00\n\x0f\n\x02v1\x12\tConfigMap\x12\x02{}\"\x10application/json", "a negative length": b"k8s\x00\n\x0f\n\x02v1\x12\tConfigMap\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    "no utf-8": b"k8s\x00\n\x0f\n\x02v1\x12\tConfigMap\x12\x05\n\x03\n\x01\xff",
}  # fmt: skip
TYPES = ("", "text/plain", "application/json; charset=utf-8", "application/json;x", "application/cbor", "application/xml", "*/*", "application/vnd.kubernetes.protobuf", "application/jsonx",
         "application/json, text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "x", "/", "application/json;charset")  # fmt: skip
PATCHES: dict[str, dict[str, bytes]] = {
    "application/json-patch+json": {
        "nothing": b"", "an object": b"{}", "a good one": b'[{"op": "add", "path": "/data/b", "value": "c"}]', "half": b'[{"op": ', "a number": b"5", "null": b"null", "a null inside": b"[null]",
        "unknown op": b'[{"op": "x", "path": "/data"}]', "no op": b'[{"path": "/data"}]', "no path": b'[{"op": "add", "value": 1}]', "no value": b'[{"op": "add", "path": "/data/x"}]',
        "missing path": b'[{"op": "remove", "path": "/x/y"}]', "missing field": b'[{"op": "remove", "path": "/data/x"}]', "no slash": b'[{"op": "add", "path": "data", "value": {}}]',
        "test fails": b'[{"op": "test", "path": "/data/a", "value": "x"}]', "test of nothing": b'[{"op": "test", "path": "/data/zz", "value": "x"}]', "move from nothing": b'[{"op": "move", "from": "/x", "path": "/data/y"}]',
        "copy from nothing": b'[{"op": "copy", "from": "/x", "path": "/data/y"}]', "no from": b'[{"op": "move", "path": "/data/y"}]', "replace nothing": b'[{"op": "replace", "path": "/data/zz", "value": "x"}]',
        "an index in an object": b'[{"op": "add", "path": "/metadata/managedFields/99", "value": {}}]', "not an index": b'[{"op": "remove", "path": "/metadata/managedFields/x"}]', "whole": b'[{"op": "replace", "path": "", "value": {}}]',
        "remove all": b'[{"op": "remove", "path": ""}]', "a wrong type": b'[{"op": "add", "path": "/data/b", "value": 5}]', "a value for data": b'[{"op": "add", "path": "/data", "value": "x"}]',
        "kind": b'[{"op": "replace", "path": "/kind", "value": "Pod"}]', "name": b'[{"op": "replace", "path": "/metadata/name", "value": "other"}]', "namespace": b'[{"op": "replace", "path": "/metadata/namespace", "value": "other"}]',
        "uid": b'[{"op": "replace", "path": "/metadata/uid", "value": "other"}]', "version": b'[{"op": "replace", "path": "/metadata/resourceVersion", "value": "1"}]', "unknown field": b'[{"op": "add", "path": "/x", "value": 1}]',
        "ten thousand and one": json.dumps([{"op": "test", "path": "/data/a", "value": "b"}] * 10001).encode(), "twice": b'[{"op": "add", "op": "remove", "path": "/data/b", "value": "c"}]', "op is a number": b'[{"op": 5, "path": "/data"}]',
        "tilde": b'[{"op": "add", "path": "/data/~2", "value": "c"}]', "minus": b'[{"op": "add", "path": "/metadata/managedFields/-", "value": {}}]', "negative": b'[{"op": "remove", "path": "/metadata/managedFields/-1"}]',
        "deep": b'[{"op": "add", "path": "/x", "value": ' + _nested(300) + b"}]", "too deep": b'[{"op": "add", "path": "/x", "value": ' + _nested(10001) + b"}]",
    },
    "application/merge-patch+json": {
        "nothing": b"", "a list": b"[]", "null": b"null", "a number": b"5", "a text": b'"x"', "a good one": b'{"data": {"b": "c"}}', "half": b'{"data": ', "a wrong type": b'{"data": {"b": 5}}', "data is a text": b'{"data": "x"}',
        "metadata null": b'{"metadata": null}', "name": b'{"metadata": {"name": "other"}}', "kind": b'{"kind": "Pod"}', "version": b'{"apiVersion": "v9"}', "resource version": b'{"metadata": {"resourceVersion": "1"}}',
        "a version that is none": b'{"metadata": {"resourceVersion": "x"}}', "uid": b'{"metadata": {"uid": "x"}}', "unknown": b'{"x": 1}', "twice": b'{"data": {"b": "c", "b": "d"}}', "labels": b'{"metadata": {"labels": {"Bad Key!": "x"}}}',
        "deep": b'{"x": ' + _nested(300) + b"}", "too deep": b'{"x": ' + _nested(10001) + b"}", "no utf-8": b'{"data": {"b": "\xff"}}', "managedFields": b'{"metadata": {"managedFields": [{"manager": "x", "operation": "x"}]}}',
    },
    "application/strategic-merge-patch+json": {
        "nothing": b"", "a list": b"[]", "null": b"null", "a number": b"5", "a good one": b'{"data": {"b": "c"}}', "half": b'{"data": ', "a wrong type": b'{"data": {"b": 5}}', "data is a text": b'{"data": "x"}', "name": b'{"metadata": {"name": "other"}}',
        "unknown directive": b'{"data": {"$patch": "x"}}', "directive is a number": b'{"data": {"$patch": 5}}', "replace": b'{"data": {"$patch": "replace", "c": "d"}}', "delete": b'{"data": {"$patch": "delete"}}', "retain keys": b'{"data": {"$retainKeys": "x"}}',
        "retain other keys": b'{"data": {"$retainKeys": ["y"], "x": "z"}}', "owners without key": b'{"metadata": {"ownerReferences": [{"name": "x"}]}}', "owners of texts": b'{"metadata": {"ownerReferences": ["x"]}}', "owners no list": b'{"metadata": {"ownerReferences": {}}}',
        "delete from primitive": b'{"metadata": {"$deleteFromPrimitiveList/finalizers": "x"}}', "set order": b'{"metadata": {"$setElementOrder/finalizers": ["x", "x"]}}', "order without list": b'{"metadata": {"$setElementOrder/ownerReferences": [{"name": "x"}]}}',
        "unknown": b'{"x": 1}', "unknown nested": b'{"metadata": {"x": {"y": 1}}}', "kind": b'{"kind": "Pod"}', "resource version": b'{"metadata": {"resourceVersion": "1"}}', "twice": b'{"data": {"b": "c", "b": "d"}}', "deep": b'{"x": ' + _nested(300) + b"}",
        "too deep": b'{"x": ' + _nested(10001) + b"}",
    },
    "application/apply-patch+yaml": {
        "nothing": b"", "a list": b"- a\n", "null": b"null", "a number": b"5", "a good one": b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: stored}\ndata: {b: c}\n", "no kind": b"metadata: {name: stored}\n", "no version": b"kind: ConfigMap\n",
        "another kind": b"apiVersion: v1\nkind: Pod\n", "another version": b"apiVersion: v9\nkind: ConfigMap\nmetadata: {name: stored}\n", "no name": b"apiVersion: v1\nkind: ConfigMap\n", "another name": b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n",
        "conflict": b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: stored}\ndata: {a: other}\n", "a wrong type": b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: stored}\ndata: {b: 5}\n", "data is a list": b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: stored}\ndata: []\n",
        "unknown": b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: stored}\nx: 1\n", "unknown nested": b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: stored, x: 1}\n", "half": b"{apiVersion: v1, ", "tabs": b"a:\n\tb: c\n", "twice": b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: stored}\ndata: {b: c, b: d}\n",
        "managedFields": b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: stored, managedFields: [{}]}\n", "owners twice": b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: stored, ownerReferences: [{uid: u, name: n, kind: k, apiVersion: v1}, {uid: u, name: n, kind: k, apiVersion: v1}]}\n",
        "finalizers twice": b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: stored, finalizers: [a/b, a/b]}\n", "bomb": BOMB, "resource version": b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: stored, resourceVersion: '1'}\n", "uid": b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: stored, uid: x}\n",
        "json": b'{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "stored"}}', "two documents": b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: stored}\n---\na: b\n", "label": b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: stored, labels: {'Bad Key!': x}}\n",
        "a namespace": b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: stored, namespace: other}\n", "immutable is a text": b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: stored}\nimmutable: 'x'\n", "no utf-8": b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: stored}\ndata: {b: \xff}\n",
    },
    "application/json": {"a good one": b"{}"}, "text/plain": {"x": b"x"}, "": {"x": b"{}"}, "application/apply-patch+cbor": {"x": b"\xa0"}, "application/yaml": {"x": b"{}"},
}  # fmt: skip
LIST_OPTIONS = (
    "limit=x", "limit=-1", "limit=1.5", "limit=99999999999999999999", "limit=", "continue=x", "continue=e30", "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NSwic3RhcnQiOiIuLi94In0", "resourceVersion=x", "resourceVersion=-1", "resourceVersion=99999999999",
    "resourceVersionMatch=x", "resourceVersionMatch=Exact", "resourceVersionMatch=NotOlderThan", "resourceVersionMatch=Exact&resourceVersion=0", "resourceVersion=5&resourceVersionMatch=x", "limit=5&resourceVersionMatch=NotOlderThan", "continue=x&resourceVersionMatch=Exact", "continue=x&resourceVersion=5",
    "labelSelector=a+b", "labelSelector=a%3D%3D%3Db", "labelSelector=Bad+Key!%3Dx", "labelSelector=a+in+()", "labelSelector=a+in+(b", "labelSelector=a+notin+b", "labelSelector=!", "labelSelector=a%3DBad+Value!", "labelSelector=a%3E5", "labelSelector=a%3Ex", "labelSelector=,", "labelSelector=a,,b", "labelSelector=%ff",
    "fieldSelector=x%3Dy", "fieldSelector=metadata.name", "fieldSelector=metadata.name%3Da%3Db", "fieldSelector=metadata.name+in+(a)", "fieldSelector=,", "fieldSelector=metadata.name%3D%5C", "fieldSelector=status.phase%3DRunning", "timeoutSeconds=x", "timeoutSeconds=-1", "watch=x", "watch=true&limit=x", "watch=1&resourceVersion=x",
    "watch=1&labelSelector=a+b", "watch=1&fieldSelector=x%3Dy", "watch=1&sendInitialEvents=x", "watch=1&sendInitialEvents=true", "watch=1&sendInitialEvents=true&resourceVersionMatch=Exact", "sendInitialEvents=true", "watch=1&resourceVersionMatch=NotOlderThan", "watch=1&continue=x", "allowWatchBookmarks=x",
    "pretty=x", "pretty=1", "%zz=1", "a=%zz", "limit=1;limit=2", "unknown=1", "limit=1&limit=x", "fieldSelector=metadata.name%3Dstored", "includeObject=x", "shardSelector=x",
)  # fmt: skip
WRITE_OPTIONS = (
    "dryRun=x", "dryRun=All&dryRun=x", "dryRun=", "dryRun=all", f"{DRY}&fieldManager=" + "a" * 129, f"{DRY}&fieldManager=%00", f"{DRY}&fieldManager=a%0Ab", f"{DRY}&fieldValidation=x", f"{DRY}&fieldValidation=strict", f"{DRY}&force=true", f"{DRY}&fieldValidation=Strict&fieldValidation=x",
    f"{DRY}&fieldManager=a&fieldManager=b", f"{DRY}&pretty=true", f"{DRY}&timeout=x", f"{DRY}&timeout=-1s", f"{DRY}&timeout=1", f"{DRY}&timeout=100h",
)  # fmt: skip
DELETE_OPTIONS = (
    "dryRun=x", f"{DRY}&gracePeriodSeconds=x", f"{DRY}&gracePeriodSeconds=-1", f"{DRY}&gracePeriodSeconds=1.5", f"{DRY}&propagationPolicy=x", f"{DRY}&orphanDependents=x", f"{DRY}&orphanDependents=true&propagationPolicy=Orphan", f"{DRY}&orphanDependents=true", f"{DRY}&ignoreStoreReadErrorWithClusterBreakingPotential=true",
    f"{DRY}&ignoreStoreReadErrorWithClusterBreakingPotential=true&propagationPolicy=Orphan",
)  # fmt: skip
DELETE_BODIES: dict[str, bytes] = {
    "not json": b"x", "a list": b"[]", "another kind": b'{"apiVersion": "v1", "kind": "Pod"}', "unknown kind": b'{"apiVersion": "v1", "kind": "X"}', "unknown field": b'{"x": 1, "dryRun": ["All"]}', "unknown policy": b'{"propagationPolicy": "x"}', "both": b'{"propagationPolicy": "Orphan", "orphanDependents": true}', "grace is a text": b'{"gracePeriodSeconds": "x"}',
    "uid of another": b'{"preconditions": {"uid": "x"}, "dryRun": ["All"]}', "version of another": b'{"preconditions": {"resourceVersion": "1"}, "dryRun": ["All"]}', "dry run x": b'{"dryRun": ["x"]}', "good": b'{"apiVersion": "v1", "kind": "DeleteOptions", "dryRun": ["All"]}', "other version": b'{"apiVersion": "apps/v1", "kind": "DeleteOptions", "dryRun": ["All"]}', "twice": b'{"dryRun": ["All"], "dryRun": ["All"]}',
    "grace negative": b'{"gracePeriodSeconds": -5, "dryRun": ["All"]}', "half": b'{"dryRun": ', "dry run is a text": b'{"dryRun": "All"}',
}  # fmt: skip
PATHS: tuple[tuple[str, str], ...] = (
    ("GET", "/x"), ("GET", "/api/v1/x"), ("GET", "/api/v9/pods"), ("GET", "/apis/x/v1/y"), ("GET", "/apis/apps/v9/deployments"), ("GET", "/apis/apps/v1/x"), ("GET", "/apis/x"), ("GET", "/apis/apps/v9"), ("GET", "/api"), ("GET", f"{MAPS}/missing"), ("GET", f"{MAPS}/Bad%20Name!"), ("GET", f"{MAPS}/a%2Fb"),
    ("GET", f"{MAPS}/.."), ("GET", f"{MAPS}/%2e%2e"), ("GET", f"{MAPS}/stored/status"), ("GET", f"{MAPS}/stored/x/y"), ("GET", "/api/v1/namespaces/missing/pods/x"), ("GET", "/api/v1/namespaces//pods"), ("GET", "/api/v1//pods"), ("GET", "//api/v1/pods"), ("GET", "/api/v1/namespaces/missing"), ("GET", "/api/v1/namespaces/default/nodes"), ("GET", "/api/v1/configmaps/x"),
    ("POST", MAPS + "/stored"), ("PUT", MAPS), ("PATCH", MAPS), ("DELETE", "/api/v1/configmaps"), ("POST", "/api/v1/configmaps"), ("PUT", f"{MAPS}/missing"), ("PATCH", f"{MAPS}/missing"), ("DELETE", f"{MAPS}/missing"), ("DELETE", f"{PODS}/missing"), ("POST", f"{PODS}/missing/binding"), ("POST", f"{PODS}/missing/eviction"), ("GET", f"{PODS}/missing/log"), ("POST", f"{PODS}/missing/exec"),
    ("GET", f"{PODS}/missing/exec"), ("POST", f"{PODS}/missing/x"), ("PUT", "/api/v1/componentstatuses/x"), ("DELETE", "/api/v1/componentstatuses/x"), ("GET", "/api/v1/bindings"), ("POST", "/api/v1/namespaces/missing/configmaps"), ("DELETE", "/api/v1/namespaces/missing"), ("DELETE", "/api/v1/namespaces/default"), ("DELETE", "/api/v1/namespaces"), ("TRACE", MAPS), ("BREW", MAPS), ("OPTIONS", MAPS), ("CONNECT", MAPS), ("HEAD", MAPS),
    ("GET", "/apis/authorization.k8s.io/v1/subjectaccessreviews"), ("GET", "/apis/authentication.k8s.io/v1/tokenreviews/x"), ("POST", "/version"), ("POST", "/api"), ("DELETE", "/healthz"), ("GET", "/healthz/x"), ("GET", "/readyz/x"), ("GET", "/openapi/v9"), ("GET", "/openapi/v3/x"), ("GET", f"{MAPS}/stored?x=%zz"), ("GET", "/api/v1/namespaces/default/configmaps/%ff"), ("GET", "/api/v1/namespaces/default/configmaps/%00"),
    ("GET", "/apis/apps/v1/namespaces/default/deployments/x/scale"), ("PUT", "/apis/apps/v1/namespaces/default/deployments/x/scale"), ("PUT", "/apis/apps/v1/namespaces/default/deployments/x/status"), ("GET", "/api/v1/watch/x"), ("GET", "/api/v1/watch/namespaces/default/configmaps/missing?timeoutSeconds=1"), ("GET", "/api/v1/proxy/x"), ("GET", "/api/v1/namespaces/default"), ("GET", "/api/v1/namespaces/default/"), ("GET", "/api/v1/namespaces/default/status"),
    ("PUT", "/api/v1/namespaces/missing/finalize"), ("PATCH", "/api/v1/namespaces/missing/status"),
)  # fmt: skip


def all_cases() -> Iterator[Case]:
    good = _map()
    for name, body in SYNTAX.items():
        yield Case(f"json {name}", "POST", f"{MAPS}?{DRY}", body)
    for strictness in STRICTNESS:
        for name, body in {**SHAPES, **DEEP}.items():
            if strictness == "Warn" or "unknown" in name or "twice" in name or len(body) < 80:
                path = f"{MAPS}?{DRY}&fieldValidation={strictness}"
                yield Case(f"json {strictness} {name}", "POST", path, body)
        for name, body in YAMLS.items():
            if strictness in ("Strict", "Warn"):
                yield Case(
                    f"yaml {strictness} {name}", "POST", f"{MAPS}?{DRY}&fieldValidation={strictness}", body, YAML
                )
    for name, body in PROTOS.items():
        yield Case(f"protobuf {name}", "POST", f"{MAPS}?{DRY}", body, PROTO)
    for content_type in TYPES:
        yield Case(f"type {content_type}", "POST", f"{MAPS}?{DRY}", good, content_type)
        yield Case(f"put type {content_type}", "PUT", f"{MAPS}/stored?{DRY}", good, content_type)
    yield Case("a zipped body", "POST", f"{MAPS}?{DRY}", gzip.compress(good))
    for content_type, patches in PATCHES.items():
        for name, body in patches.items():
            manager = "&fieldManager=m" if "apply" in content_type else ""
            yield Case(f"patch {content_type} {name}", "PATCH", f"{MAPS}/stored?{DRY}{manager}", body, content_type)
            if "unknown" in name or "twice" in name:
                path = f"{MAPS}/stored?{DRY}{manager}&fieldValidation=Strict"
                yield Case(f"patch strict {content_type} {name}", "PATCH", path, body, content_type)
    apply = PATCHES["application/apply-patch+yaml"]["a good one"]
    yield Case("apply without manager", "PATCH", f"{MAPS}/stored?{DRY}", apply, "application/apply-patch+yaml")
    yield Case(
        "force of another patch", "PATCH", f"{MAPS}/stored?{DRY}&force=true", b"{}", "application/merge-patch+json"
    )
    for each in LIST_OPTIONS:
        soon = "&timeoutSeconds=1" if "watch=" in each else ""
        yield Case(f"list {each}", "GET", f"{MAPS}?{each}{soon}")
    for each in ("resourceVersion=x", "resourceVersion=99999999999", "pretty=x", "x=%zz"):
        yield Case(f"get {each}", "GET", f"{MAPS}/stored?{each}")
    for each in WRITE_OPTIONS:
        yield Case(f"create {each}", "POST", f"{MAPS}?{each}", b"{}" if "dryRun=All" not in each else good)
        yield Case(f"update {each}", "PUT", f"{MAPS}/stored?{each}", good)
        yield Case(f"patch {each}", "PATCH", f"{MAPS}/stored?{each}", b"{}", "application/merge-patch+json")
    for each in DELETE_OPTIONS:
        yield Case(f"delete {each}", "DELETE", f"{MAPS}/stored?{each}")
        yield Case(f"delete all {each}", "DELETE", f"{MAPS}?{each}")
    for name, body in DELETE_BODIES.items():
        yield Case(f"delete with {name}", "DELETE", f"{MAPS}/stored?{DRY}", body)
    for method, path in PATHS:
        yield Case(f"{method} {path}", method, path)
    yield from sizes()


def sizes() -> Iterator[Case]:
    """Around the limits: 1.5 MiB for what etcd takes, 3 MiB for a body."""
    for size in (MIB, 1_500_000, 3 * MIB // 2 - 2000, 3 * MIB // 2 + 1000, 2 * MIB, 3 * MIB - 100):
        body = json.dumps({"metadata": {"name": "big", "annotations": None}, "data": {"a": "x" * (size - 100)}})
        yield Case(f"{size} bytes", "POST", f"{MAPS}?{DRY}", body.encode())
        yield Case(f"{size} bytes stored", "POST", MAPS, body.encode())
        if size < 1_200_000:
            yield Case("gone again", "DELETE", f"{MAPS}/big")
    for size in (3 * MIB, 3 * MIB + 1, 4 * MIB):
        yield Case(f"{size} bytes of blanks", "POST", f"{MAPS}?{DRY}", b" " * size)
    long = _map(metadata={"name": "made", "annotations": {"a": "x" * (256 * 1024)}})
    yield Case("annotations over 256 KiB", "POST", f"{MAPS}?{DRY}", long)
    yield Case(
        "an apply of 2 MiB",
        "PATCH",
        f"{MAPS}/stored?{DRY}&fieldManager=m",
        b" " * (2 * MIB),
        "application/apply-patch+yaml",
    )
    yield Case("a patch of 4 MiB", "PATCH", f"{MAPS}/stored?{DRY}", b" " * (4 * MIB), "application/merge-patch+json")
