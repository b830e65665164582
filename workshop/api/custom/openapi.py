"""A definition as OpenAPI tells it: the schema of its kind and of the list, as `kubectl explain` reads them. Version 2
knows less than version 3: what it cannot say is left out.

Upstream: apiextensions-apiserver/pkg/controller/openapi/{builder/builder,v2/conversion}.go.
"""

from __future__ import annotations

from typing import Any

from workshop.api.custom import structural
from workshop.api.custom.kind import CustomKind

Schema = dict[str, Any]

CONVENTIONS = "More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
API_VERSION = (
    "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized "
    f"schemas to the latest internal value, and may reject unrecognized values. {CONVENTIONS}#resources"
)
KIND = (
    "Kind is a string value representing the REST resource this object represents. Servers may infer this from the "
    f"endpoint the client submits requests to. Cannot be updated. In CamelCase. {CONVENTIONS}#types-kinds"
)
METADATA = f"Standard object's metadata. {CONVENTIONS}#metadata"
EMBEDDED_API_VERSION = (
    f"apiVersion defines the versioned schema of this representation of an object. {CONVENTIONS}#resources"
)
EMBEDDED_KIND = f"kind is a string value representing the type of this object. In CamelCase. {CONVENTIONS}#types-kinds"
META = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1."
PATCH_TYPES = ("apply-patch+yaml", "json-patch+json", "merge-patch+json")


def name(kind: CustomKind, list_kind: str = "") -> str:
    """`com.example.v1.Widget`"""
    return ".".join([*reversed(kind.group.split(".")), kind.name, list_kind or kind.kind])


def component(kind: CustomKind) -> Schema:
    """The schema of an object. Nothing of its fields is told where the definition has no schema: a client would take
    the three that every object has for all of them."""
    schema = kind.version.get("schema")
    if not (schema or {}).get("openAPIV3Schema"):
        return {"type": "object"}
    told = _told(kind.schema)
    told.setdefault("properties", {})
    told["properties"] |= {
        "apiVersion": _text(API_VERSION),
        "kind": _text(KIND),
        "metadata": _reference("ObjectMeta", METADATA),
    }
    return told


def component_v2(kind: CustomKind) -> Schema:
    """The same for OpenAPI v2."""
    if not kind.schema or kind.schema.get(structural.PRESERVE):
        return {"type": "object"}
    told = _told_v2(kind.schema)
    own = {
        "apiVersion": _text(API_VERSION),
        "kind": _text(KIND),
        "metadata": {"description": METADATA, "$ref": META + "ObjectMeta"},
    }
    return told | {"properties": told.get("properties", {}) | own}


def listing(kind: CustomKind, list_kind: str) -> Schema:
    items = {"$ref": f"#/components/schemas/{name(kind)}"}
    plural = kind.crd["spec"]["names"]["plural"]
    return {
        "description": f"{list_kind} is a list of {kind.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": _text(API_VERSION),
            "items": {"description": f"List of {plural}. {CONVENTIONS}", "type": "array", "items": items},
            "kind": _text(KIND),
            "metadata": _reference("ListMeta", f"Standard list metadata. {CONVENTIONS}#types-kinds"),
        },
    }


def _text(description: str) -> Schema:
    return {"description": description, "type": "string"}


def _reference(struct: str, description: str) -> Schema:
    return {"description": description, "allOf": [{"$ref": META + struct}]}


def _told(schema: Schema) -> Schema:
    """A schema of the definition with what is implied in it, at every depth."""
    made = dict(schema)
    if properties := schema.get("properties"):
        made["properties"] = {key: _told(each) for key, each in properties.items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            made[key] = _told(schema[key])
    if schema.get(structural.INT_OR_STRING) and "anyOf" not in schema and "allOf" not in schema:
        made["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if schema.get(structural.EMBEDDED):
        made["properties"] = made.get("properties", {}) | {
            "apiVersion": _text(EMBEDDED_API_VERSION),
            "kind": _text(EMBEDDED_KIND),
            "metadata": _reference("ObjectMeta", METADATA),
        }
        required = list(schema.get("required") or ())
        made["required"] = required + [key for key in ("kind", "apiVersion") if key not in required]
    return made


_BEYOND_V2 = {"allOf", "anyOf", "oneOf", "not", "nullable", "default"}


def _told_v2(schema: Schema) -> Schema:
    made = {key: value for key, value in schema.items() if key not in _BEYOND_V2}
    nullable, open_ended = schema.get("nullable"), schema.get(structural.PRESERVE)
    if nullable or open_ended:  # clients cannot cope with fields of what is more than they say
        for key in ("items", "properties"):
            made.pop(key, None)
    if (
        nullable
        or (open_ended and made.get("type") == "object")
        or (made.get("type") == "array" and "items" not in made)
    ):
        made.pop("type", None)
    properties = made.get("properties") or {}
    if required := [name for name in made.get("required") or () if not (properties.get(name) or {}).get("nullable")]:
        made["required"] = required
    else:
        made.pop("required", None)
    if properties:
        made["properties"] = {name: _told_v2(each) for name, each in properties.items()}
    for key in ("items", "additionalProperties"):
        if isinstance(made.get(key), dict):
            made[key] = _told_v2(made[key])
    return made
