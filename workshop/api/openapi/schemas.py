"""Kinds as schemas: from the tables of types for built-in ones, from their definitions for custom ones.

What kinds and fields mean is not in the tables of types: see `words.py`. Upstream: k8s.io/kube-openapi/pkg/builder3.
"""

from __future__ import annotations

from typing import Any

from workshop.api import schema
from workshop.api.openapi import words
from workshop.api.schema import Field, Schema, Type

SPECIAL: dict[str, dict[str, Any]] = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "double": {"type": "number", "format": "double"},
    "bytes": {"type": "string", "format": "byte"},
    "struct": {"type": "object"},
}
NAMED: dict[str, tuple[str, dict[str, Any]]] = {
    "time": ("io.k8s.apimachinery.pkg.apis.meta.v1.Time", {"type": "string", "format": "date-time"}),
    "microtime": ("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime", {"type": "string", "format": "date-time"}),
    "quantity": (
        "io.k8s.apimachinery.pkg.api.resource.Quantity",
        {"oneOf": [{"type": "string"}, {"type": "number"}]},
    ),
    "int-or-string": (
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
        {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
    ),
    "raw": ("io.k8s.apimachinery.pkg.runtime.RawExtension", {"type": "object"}),
    "any": ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON", {}),
    "schema-or-array": ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray", {}),
    "schema-or-bool": ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool", {}),
    "schema-or-strings": (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
        {},
    ),
}
FIELDS: tuple[str, dict[str, Any]] = ("io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1", {"type": "object"})
REFERENCE = "#/components/schemas/"


def full_name(of: Schema) -> str:
    """OpenAPI's name of a struct: `io.k8s.api.core.v1.PodSpec`."""
    return f"{schema.prefix(of.package)}.{of.name}"


def collect(of: Schema, components: dict[str, dict[str, Any]]) -> None:
    """Adds a struct and everything that it refers to."""
    name = full_name(of)
    if name in components:
        return
    told = words.of(name, of.package, of.name)
    component: dict[str, Any] = {"type": "object", "properties": {}}
    if text := told.get(""):
        component = {"description": text, **component}
    components[name] = component
    for field in of.fields.values():
        about = _property(field, components)
        if text := told.get(field.name):
            about["description"] = text
        component["properties"][field.name] = about
    if required := [field.name for field in of.fields.values() if field.required]:
        component["required"] = required
    if of.map_type:
        component["x-kubernetes-map-type"] = of.map_type


def _property(field: Field, components: dict[str, dict[str, Any]]) -> dict[str, Any]:
    about = _of_type(field.type, components)
    if "$ref" in about:
        about = {"allOf": [about]}
    if field.default is not None:
        about["default"] = field.default
    elif field.type.kind == "struct" and not field.type.pointer:
        about["default"] = {}
    extensions = {
        "enum": list(field.enum),
        "x-kubernetes-list-type": field.list_type,
        "x-kubernetes-list-map-keys": list(field.map_keys),
        "x-kubernetes-map-type": field.map_type,
        "x-kubernetes-patch-strategy": ",".join(field.patch_strategy),
        "x-kubernetes-patch-merge-key": field.merge_key,
    }
    return about | {name: value for name, value in extensions.items() if value}


def _of_type(kind: Type, components: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if kind.kind in NAMED:
        name, about = FIELDS if kind.go == "v1.FieldsV1" else NAMED[kind.kind]
        told = words.of_struct(name)
        components.setdefault(name, {"description": told, **about} if told else dict(about))
        return {"$ref": REFERENCE + name}
    if kind.kind in ("list", "map"):
        assert kind.element is not None
        inner = _of_type(kind.element, components)
        if kind.kind == "list":
            return {"type": "array", "items": inner}
        return {"type": "object", "additionalProperties": inner}
    if kind.kind == "struct" and (below := kind.schema) is not None:
        collect(below, components)
        return {"$ref": REFERENCE + full_name(below)}
    return dict(SPECIAL[kind.kind])
