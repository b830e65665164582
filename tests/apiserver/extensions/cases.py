"""Definitions and objects that are asked of a real kube-apiserver and of ours: the answers must be the same.

`python -m tests.apiserver.extensions.record https://HOST:PORT DIR` asks a real one (DIR holds ca.crt, admin.crt,
admin.key) and writes `facts.json` anew.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

Obj = dict[str, Any]
OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
STRING: Obj = {"type": "string"}
LIST, KEYS, MAP = "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"
EMBEDDED, PRESERVE = "x-kubernetes-embedded-resource", "x-kubernetes-preserve-unknown-fields"
EITHER = "x-kubernetes-int-or-string"


def crd(plural: str = "gizmos", kind: str = "Gizmo", schema: Obj | None = None, **more: Any) -> Obj:
    """`version` holds fields of its one version, `names` more names, all else goes into the spec."""
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema or dict(OPEN)}}
    version.update(more.pop("version", {}))
    group, names = more.pop("group", "example.com"), {"plural": plural, "kind": kind, **more.pop("names", {})}
    spec = {"group": group, "names": names, "scope": more.pop("scope", "Namespaced"), "versions": [version], **more}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": spec,
    }


def obj(**properties: Any) -> Obj:
    return {"type": "object", "properties": properties}


def many(of: Obj | None = None, **more: Any) -> Obj:
    return {"type": "array", **({"items": of} if of is not None else {}), **more}


def _changed(change: Any) -> Obj:
    made = crd()
    change(made)
    return made


def _schemas() -> Iterator[tuple[str, Obj]]:
    """Of the field `spec`."""
    yield "no type", {}
    yield "unknown type", {"type": "foo"}
    yield "null type", {"type": "null"}
    yield "array without items", many()
    yield "items without type", many({})
    yield "items as array", many([STRING])  # type: ignore[arg-type]
    yield "properties and additional", {**obj(a=STRING), "additionalProperties": STRING}
    yield "reference", {"type": "object", "$ref": "#/x"}
    yield "id", {**STRING, "id": "x"}
    yield "dependencies", {"type": "object", "dependencies": {"a": ["b"]}}
    yield "pattern properties", {"type": "object", "patternProperties": {"a": STRING}}
    yield "unique items", many(STRING, uniqueItems=True)
    yield "preserve false", {"type": "object", PRESERVE: False}
    yield "either and preserve", {PRESERVE: True, EITHER: True}
    yield "embedded without type", {EMBEDDED: True}
    yield "embedded without properties", {"type": "object", EMBEDDED: True}
    yield (
        "anyOf says too much",
        {"type": "object", "anyOf": [{**obj(a={**STRING, "default": "x"}), "description": "x"}]},
    )
    extensions = {"nullable": True, PRESERVE: True, LIST: "set", "title": "x"}
    yield (
        "allOf with extensions",
        {"type": "object", "allOf": [{**extensions, "additionalProperties": {"minLength": 1}}]},
    )
    yield "bad pattern", {**STRING, "pattern": "["}
    yield "list type of an object", {"type": "object", LIST: "set"}
    yield "unknown list type", many(STRING, **{LIST: "foo"})
    yield "map without keys", many(obj(a=STRING), **{LIST: "map"})
    yield "map with unknown keys", many(obj(a=STRING), **{LIST: "map", KEYS: ["b", "b"]})
    yield "map with an optional key", many(obj(a={**STRING, "nullable": True}), **{LIST: "map", KEYS: ["a"]})
    yield "map of scalars", many(STRING, **{LIST: "map", KEYS: ["a"]})
    yield "keys without list type", many(STRING, **{KEYS: ["a"]})
    yield "set of objects", many({"type": "object"}, **{LIST: "set"})
    yield "set of nullables", many({**STRING, "nullable": True}, **{LIST: "set"})
    yield "map type of a string", {**STRING, MAP: "atomic"}
    yield "unknown map type", {"type": "object", MAP: "x"}
    yield "default of another type", {"type": "integer", "default": "x"}
    yield "default with unknown fields", {**obj(a=STRING), "default": {"b": 1}}
    yield "default too long", {**STRING, "maxLength": 1, "default": "abc"}
    yield "unknown format", {**STRING, "format": "foo"}


def _roots() -> Iterator[tuple[str, Obj]]:
    yield "root of another type", dict(STRING)
    yield "root without type", {"properties": {}}
    yield "root with additional", {"type": "object", "additionalProperties": STRING}
    yield "root nullable", {"type": "object", "nullable": True}
    yield "definitions", {"type": "object", "definitions": {"a": STRING}}
    yield "metadata restricted", obj(metadata=obj(labels={"type": "object"}))
    yield "metadata name restricted", obj(metadata=obj(name={**STRING, "maxLength": 5}))
    yield "default in metadata", obj(metadata={"type": "object", "default": {}})
    yield "kind of another type", obj(kind={"type": "integer"})


def _versions() -> Iterator[tuple[str, Obj]]:
    def column(**fields: str) -> Obj:
        return {"additionalPrinterColumns": [{"name": "a", "type": "string", "jsonPath": ".a", **fields}]}

    def scale(spec: str, status: str, **more: str) -> Obj:
        return {"subresources": {"scale": {"specReplicasPath": spec, "statusReplicasPath": status, **more}}}

    yield "column type", column(type="foo")
    yield "column empty", column(name="", type="", jsonPath="")
    yield "column path", column(jsonPath="a")
    yield "column format", column(format="xx")
    yield "scale elsewhere", scale(".a", ".b", labelSelectorPath=".c")
    yield "scale empty", scale("", "")
    yield "scale without dots", scale("spec.a", "status.b")
    yield "warning without deprecation", {"deprecationWarning": "x"}
    yield "warning empty", {"deprecated": True, "deprecationWarning": ""}
    yield "warning too long", {"deprecated": True, "deprecationWarning": "x" * 300}
    yield "warning of two lines", {"deprecated": True, "deprecationWarning": "a\nb"}
    for name, paths in {
        "unknown": [".spec.x"], "an object": [".spec"], "of metadata": [".metadata.name"],
        "twice": [".spec.a", ".spec.a"], "empty": [""], "without dot": ["spec.a"],
    }.items():  # fmt: skip
        fields = [{"jsonPath": path} for path in paths]
        yield f"selectable {name}", {"schema": {"openAPIV3Schema": obj(spec=obj(a=STRING))}, "selectableFields": fields}
    several = obj(spec=obj(**{f"a{i}": STRING for i in range(9)}))
    paths = [{"jsonPath": f".spec.a{i}"} for i in range(9)]
    yield "selectable too many", {"schema": {"openAPIV3Schema": several}, "selectableFields": paths}


def _conversions() -> Iterator[tuple[str, Obj]]:
    def webhook(config: Obj, versions: tuple[str, ...] = ("v1",)) -> Obj:
        return {"strategy": "Webhook", "webhook": {"conversionReviewVersions": [*versions], "clientConfig": config}}

    yield "unknown strategy", {"strategy": "Foo"}
    yield "empty strategy", {"strategy": ""}
    yield "no webhook", {"strategy": "Webhook"}
    yield "None with a webhook", {**webhook({"url": "https://x"}), "strategy": "None"}
    yield "bad url", webhook({"url": "http://x?a#b"})
    yield "url and service", webhook({"url": "https://x", "service": {"name": "a", "namespace": "b"}})
    bad = {"name": "", "namespace": "", "port": 99999, "path": "x"}
    yield "bad service", webhook({"service": bad}, ("v2",))
    yield "no review versions", webhook({"url": "https://x"}, ())
    yield "bad review versions", webhook({"url": "https://x"}, ("v1", "v1", "V_"))


RULES = "x-kubernetes-validations"


def _ruled(*rules: Obj, **more: Any) -> Obj:
    return {**obj(size={"type": "integer"}, name=STRING, tags=many(STRING, maxItems=5)), RULES: [*rules], **more}


def _rules() -> Iterator[tuple[str, Obj]]:
    """Of the field `spec`."""
    yield "good", _ruled({"rule": "self.size > 1"})
    yield "unknown field", _ruled({"rule": "self.foo > 1"})
    yield "wrong operand", _ruled({"rule": "self.size + 'a' == 2"})
    yield "unknown name", _ruled({"rule": "foo"})
    yield "no bool", _ruled({"rule": "self.size"})
    yield "broken", _ruled({"rule": "self.size >"})
    yield "empty", _ruled({"rule": ""})
    yield "lines without message", _ruled({"rule": "self.size >\n1"})
    yield "lines in the message", _ruled({"rule": "self.size > 1", "message": "a\nb"})
    yield "message of another type", _ruled({"rule": "self.size > 1", "messageExpression": "1"})
    yield "message broken", _ruled({"rule": "self.size > 1", "messageExpression": "self.foo"})
    yield "unknown reason", _ruled({"rule": "self.size > 1", "reason": "Foo"})
    yield "unknown fieldPath", _ruled({"rule": "self.size > 1", "fieldPath": ".foo"})
    yield "numbers of two kinds", _ruled({"rule": "self.size > 1.5"})
    yield "old elements of a set", many({**STRING, "maxLength": 5, RULES: [{"rule": "self == oldSelf"}]}, maxItems=5)
    yield "optional without oldSelf", _ruled({"rule": "self.size > 1", "optionalOldSelf": True})
    yield (
        "optional",
        _ruled({"rule": "!oldSelf.hasValue() || self.size >= oldSelf.value().size", "optionalOldSelf": True}),
    )


def definitions() -> dict[str, Obj]:
    """Each is to be refused, or to be dry-run, as the real server does."""
    spec = lambda change: _changed(lambda made: change(made["spec"]))  # noqa: E731
    found = {
        "good": crd(),
        "other name": _changed(lambda made: made["metadata"].update(name="foo")),
        "bad names": spec(lambda s: s["names"].update(plural="Gizmos", kind="G_")),
        "kind and listKind alike": spec(lambda s: s["names"].update(kind="GizmoList", listKind="GizmoList")),
        "bad short names": crd(names={"shortNames": ["A"], "categories": ["B"]}),
        "group without dot": crd(group="foo"),
        "group empty": crd(group=""),
        "group in capitals": crd(group="Foo.com"),
        "unknown scope": crd(scope="Bar"),
        "no scope": crd(scope=""),
        "no versions": spec(lambda s: s["versions"].clear()),
        "nothing stored": crd(version={"storage": False}),
        "a version twice": spec(lambda s: s["versions"].append(copy.deepcopy(s["versions"][0]))),
        "version in capitals": crd(version={"name": "V1"}),
        "no schema": spec(lambda s: s["versions"][0].pop("schema")),
        "preserveUnknownFields": crd(preserveUnknownFields=True),
        "protected group": crd(group="x.k8s.io"),
        "protected group, bad word": _annotated("x"),
        "protected group, unapproved": _annotated("unapproved, x"),
        "second version without type": spec(
            lambda s: s["versions"].append(
                {"name": "v2", "served": True, "storage": False, "schema": {"openAPIV3Schema": obj(spec={})}}
            )
        ),
    }
    found |= {f"root: {name}": crd(schema=schema) for name, schema in _roots()}
    found |= {f"schema: {name}": crd(schema=obj(spec=schema)) for name, schema in _schemas()}
    found |= {f"version: {name}": crd(version=version) for name, version in _versions()}
    found |= {f"rule: {name}": crd(schema=obj(spec=schema)) for name, schema in _rules()}
    found |= {f"conversion: {name}": crd(conversion=conversion) for name, conversion in _conversions()}
    return found


def _annotated(word: str) -> Obj:
    made = crd(group="x.k8s.io")
    made["metadata"]["annotations"] = {"api-approved.kubernetes.io": word}
    return made


WIDGET = obj(
    spec={
        **obj(
            size={"type": "integer", "minimum": 1, "maximum": 10, "default": 3},
            small={"type": "integer", "format": "int32"},
            name={**STRING, "pattern": "^[a-z]+$", "maxLength": 5, "minLength": 2},
            color={**STRING, "enum": ["red", "blue"]},
            tags=many(STRING, maxItems=2, minItems=1, **{LIST: "set"}),
            ports=many(
                {**obj(port={"type": "integer"}, proto={**STRING, "default": "TCP"}), "required": ["port"]},
                **{LIST: "map", KEYS: ["port"]},
            ),
            either={EITHER: True},
            date={**STRING, "format": "date-time"},
            ratio={"type": "number", "multipleOf": 0.5},
            labels={"type": "object", "additionalProperties": STRING, "maxProperties": 2},
            one={**obj(a=STRING, b=STRING), "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
            none={**STRING, "nullable": True},
            raw=dict(OPEN),
            inner={**OPEN, EMBEDDED: True},
        ),
        "required": ["size"],
    },
    status=obj(ok={"type": "boolean"}),
)
WIDGETS = crd(
    "widgets", "Widget", WIDGET,
    version={"subresources": {
        "status": {}, "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.n"},
    }},
)  # fmt: skip


def _widget(spec: Any, **fields: Any) -> Obj:
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec, **fields}


def widgets() -> dict[str, tuple[str, Obj]]:
    """Name → (query, object). All are dry runs."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "foo": 1}, "x": 1}
    specs: dict[str, Any] = {
        "empty": {}, "size a text": {"size": "x"}, "size too small": {"size": 0}, "size too large": {"size": 99},
        "size no integer": {"size": 11.5}, "size a whole float": {"size": 1.0}, "int32 too large": {"small": 1 << 40},
        "name too short": {"name": "A"}, "name too long": {"name": "abcdefgh"}, "name no match": {"name": "x1"},
        "unknown color": {"color": "green"}, "tags twice": {"tags": ["a", "a"]},
        "too many tags": {"tags": ["a", "b", "c"]}, "no tags": {"tags": []},
        "port twice": {"ports": [{"port": 1}, {"port": 1}]}, "port missing": {"ports": [{}]},
        "default in a list": {"ports": [{"port": 1}]}, "either a float": {"either": 1.5}, "no date": {"date": "x"},
        "no multiple": {"ratio": 0.7}, "too many labels": {"labels": {"a": "1", "b": "2", "c": "3"}},
        "label a number": {"labels": {"a": 1}}, "both of one": {"one": {"a": "1", "b": "2"}}, "none of one": {"one": {}},
        "nulls": {"none": None, "name": None, "size": None}, "unknown fields": {"foo": 1, "raw": {"x": 1}},
        "embedded": {"inner": pod}, "embedded without kind": {"inner": {"x": 1}},
        "embedded with a bad name": {"inner": {**pod, "metadata": {"name": 1}}}, "spec a number": 1,
    }  # fmt: skip
    found = {name: ("", _widget(spec)) for name, spec in specs.items()}
    return found | {
        "unknown fields, strict": ("fieldValidation=Strict", _widget({"foo": 1, "bar": {}})),
        "unknown fields, ignored": ("fieldValidation=Ignore", _widget({"foo": 1})),
        "label of metadata a number": ("", _widget({}, metadata={"name": "q", "labels": {"a": 1}})),
        "unknown metadata": ("", _widget({}, metadata={"name": "q", "foo": 1})),
        "bad name": ("", _widget({}, metadata={"name": "Q_"})),
        "other kind": ("", _widget({}, kind="Foo")),
        "no kind": ("", _widget({}, kind="")),
        "status is taken away": ("", _widget({}, status={"ok": True})),
    }


JUDGED = crd("judged", "Judged", obj(
    spec={
        **obj(
            min={"type": "integer"}, max={"type": "integer"}, kind={**STRING, "maxLength": 10},
            frozen={**STRING, "maxLength": 10, RULES: [{"rule": "self == oldSelf", "message": "frozen is frozen"}]},
            ports=many(
                {**obj(port={"type": "integer"}, name={**STRING, "maxLength": 9}), "required": ["port"],
                 RULES: [{"rule": "self.port < 100", "fieldPath": ".port", "reason": "FieldValueForbidden"},
                         {"rule": "self.name == oldSelf.name"}]},
                maxItems=5, **{LIST: "map", KEYS: ["port"]},
            ),
            labels={"type": "object", "maxProperties": 4,
                    "additionalProperties": {**STRING, "maxLength": 5, RULES: [{"rule": "self.startsWith('x')"}]}},
            either={EITHER: True, RULES: [{"rule": "self > 3"}]},
            cpu={**STRING, "maxLength": 9, RULES: [{"rule": "quantity(self).isLessThan(quantity('2'))"}]},
            when={**STRING, "format": "date-time", "maxLength": 30, RULES: [{"rule": "self.getFullYear() > 2000"}]},
        ),
        RULES: [
            {"rule": "!has(self.min) || self.min <= self.max", "messageExpression": "'%d is over %d'.format([self.min, self.max])"},
            {"rule": "!has(self.kind) || self.kind != 'bad'", "reason": "FieldValueRequired", "fieldPath": ".kind"},
            {"rule": "!oldSelf.hasValue() || !has(self.max) || self.max >= oldSelf.value().max",
             "optionalOldSelf": True, "message": "max only grows"},
        ],
    },
))  # fmt: skip


def judged() -> dict[str, list[Obj]]:
    """Name → specs that are written one after the other; the last answer counts."""
    return {
        "good": [{"min": 1, "max": 2}],
        "min over max": [{"min": 3, "max": 2}],
        "min without max": [{"min": 3}],
        "bad kind": [{"kind": "bad"}],
        "bad port": [{"ports": [{"port": 1}, {"port": 200}]}],
        "bad label": [{"labels": {"a": "xa", "b": "ya"}}],
        "either a small number": [{"either": 1}],
        "either a text": [{"either": "a"}],
        "much cpu": [{"cpu": "2500m"}],
        "no cpu": [{"cpu": "x"}],
        "long ago": [{"when": "1999-01-01T00:00:00Z"}],
        "type before rules": [{"min": "x", "kind": "bad"}],
        "frozen stays": [{"frozen": "a"}, {"frozen": "a", "max": 1}],
        "frozen changes": [{"frozen": "a"}, {"frozen": "b"}],
        "frozen is added": [{}, {"frozen": "b"}],
        "max shrinks": [{"max": 5}, {"max": 4}],
        "max grows": [{"max": 5}, {"max": 6}],
        "a port is renamed": [
            {"ports": [{"port": 1, "name": "a"}]},
            {"ports": [{"port": 2, "name": "z"}, {"port": 1, "name": "b"}]},
        ],
    }
