"""A definition as OpenAPI v3 tells it: the schema of its kind and of the list, as `kubectl explain` reads them.

Upstream: apiextensions-apiserver/pkg/controller/openapi/builder/builder.go.
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
