"""OpenAPI v3: the index at `/openapi/v3` and a document for each group and version, made from the tables of types.

What clients take from it: kubectl sees that PATCH knows `fieldValidation` (so it leaves checking to the server),
`kubectl explain` reads schemas and descriptions, apply and diff read list types and merge keys. Paths are the ones
that lead from a resource to its kind. Descriptions are not in the tables: they are read from the docstrings of the
installed `kubernetes` package when a document is asked for.

Upstream: k8s.io/kube-openapi/pkg/handler3, api/openapi-spec/v3.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from workshop.api import schema
from workshop.api.custom import openapi as custom
from workshop.api.custom.kind import CustomKind
from workshop.api.resources import Resource
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
REFERENCE = "#/components/schemas/"
QUERY = {
    "patch": ("dryRun", "fieldManager", "fieldValidation", "force"),
    "post": ("dryRun", "fieldManager", "fieldValidation"),
    "put": ("dryRun", "fieldManager", "fieldValidation"),
    "delete": ("dryRun", "gracePeriodSeconds", "propagationPolicy"),
    "get": (),
}
METHODS = {"get": "get", "update": "put", "patch": "patch", "delete": "delete"}
PATCH_TYPES = ("apply-patch+yaml", "json-patch+json", "merge-patch+json", "strategic-merge-patch+json")


def index(resources: Iterable[Resource]) -> dict[str, Any]:
    """The body of `/openapi/v3`. A document's hash changes with its resources, so that clients may cache it."""
    groups: dict[tuple[str, str], list[Resource]] = {}
    for each in resources:
        groups.setdefault((each.group, each.version), []).append(each)
    paths = {}
    for (group, version), members in groups.items():
        path = f"apis/{group}/{version}" if group else f"api/{version}"
        digest = hashlib.sha256(repr(members).encode()).hexdigest().upper()
        paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
    return {"paths": paths}


def document(group: str, version: str, resources: Iterable[Resource]) -> dict[str, Any]:
    """The document of a group and version; its built-in kinds come from the tables, custom ones from definitions."""
    members = [each for each in resources if (each.group, each.version) == (group, version)]
    components: dict[str, dict[str, Any]] = {}
    paths: dict[str, Any] = {}
    for each in members:
        if each.definition is not None:
            _collect_custom(each, each.definition, components)
        for kind in (each.kind, each.list_kind):
            if (found := schema.for_kind(each.api_version, kind)) is not None:
                _collect(found, components)
                _name_kind(components[full_name(found)], group, version, kind)
        paths |= _paths(each)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.2"},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(components.items()))},
    }


def _collect_custom(resource: Resource, kind: CustomKind, components: dict[str, dict[str, Any]]) -> None:
    """A custom kind, its list and what both refer to."""
    name, list_name = custom.name(kind), custom.name(kind, resource.list_kind)
    components[name] = custom.component(kind)
    components[list_name] = custom.listing(kind, resource.list_kind)
    _name_kind(components[name], kind.group, kind.name, kind.kind)
    _name_kind(components[list_name], kind.group, kind.name, resource.list_kind)
    for package, struct in [("meta.v1", "ObjectMeta"), ("meta.v1", "ListMeta"), ("autoscaling.v1", "Scale")]:
        found = schema.load(package, struct)
        if found is not None and (struct != "Scale" or kind.scale):
            _collect(found, components)


def swagger(resources: Iterable[Resource], version: str) -> dict[str, Any]:
    """The OpenAPI v2 document: a frame, in which the custom kinds stand alone. Clients since 1.27 read version 3; what
    they look for here is whether a definition is told of."""
    definitions: dict[str, Any] = {}
    for each in resources:
        if each.definition is not None:
            _collect_custom(each, each.definition, definitions)
            name = custom.name(each.definition)
            definitions[name] = custom.component_v2(each.definition)
            _name_kind(definitions[name], each.group, each.version, each.kind)
            metadata = definitions[custom.name(each.definition, each.list_kind)]["properties"]["metadata"]
            metadata |= metadata.pop("allOf")[0]
    text = json.dumps({name: definitions[name] for name in sorted(definitions)}).replace(REFERENCE, "#/definitions/")
    found = {"swagger": "2.0", "info": {"title": "Kubernetes", "version": version}, "paths": {}}
    return found | ({"definitions": json.loads(text)} if definitions else {})


def _name_kind(component: dict[str, Any], group: str, version: str, kind: str) -> None:
    component["x-kubernetes-group-version-kind"] = [{"group": group, "kind": kind, "version": version}]


def _paths(resource: Resource) -> dict[str, Any]:
    """`…/deployments`, `…/deployments/{name}` and its subresources, each with the operations that are served."""
    made: dict[str, Any] = {}
    scope = "{namespace}" if resource.namespaced else None
    listing = {"get": "list"} if "list" in resource.verbs else {}
    if resource.namespaced and listing:
        made[resource.path()] = _operations(resource, listing)
    if "create" in resource.verbs:
        listing["post"] = "post"
    if listing:
        made[resource.path(scope)] = _operations(resource, listing)
    own = {method: method for verb, method in METHODS.items() if verb in resource.verbs}
    if own:
        made[resource.path(scope, "{name}")] = _operations(resource, own)
    for sub in resource.subresources:
        methods = {METHODS.get(verb, "post"): METHODS.get(verb, "post") for verb in sub.verbs}
        gvk = {"group": sub.group, "kind": sub.kind, "version": sub.version}
        made[resource.path(scope, "{name}", sub.name)] = _operations(resource, methods, gvk)
    return made


def _operations(resource: Resource, methods: dict[str, str], gvk: dict[str, str] | None = None) -> dict[str, Any]:
    gvk = gvk or {"group": resource.group, "kind": resource.kind, "version": resource.version}
    api_version = f"{gvk['group']}/{gvk['version']}" if gvk["group"] else gvk["version"]
    found, kind = schema.for_kind(api_version, gvk["kind"]), resource.definition
    name = full_name(found) if found is not None else custom.name(kind) if kind is not None else None
    body = {"schema": {"$ref": REFERENCE + name} if name is not None else {"type": "object"}}
    patches = PATCH_TYPES if kind is None else custom.PATCH_TYPES
    return {method: _operation(method, action, gvk, body, patches) for method, action in methods.items()}


def _operation(
    method: str, action: str, gvk: dict[str, str], body: dict[str, Any], patches: Iterable[str]
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in QUERY[method]],
        "responses": {"200": {"description": "OK", "content": {"application/json": body}}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": gvk,
    }
    if method in ("post", "put"):
        operation["requestBody"] = {"content": {"application/json": body}, "required": True}
    elif method == "patch":
        content = {f"application/{kind}": {"schema": {"type": "object"}} for kind in patches}
        operation["requestBody"] = {"content": content, "required": True}
    return operation


def full_name(of: Schema) -> str:
    """OpenAPI's name of a struct: `io.k8s.api.core.v1.PodSpec`."""
    return f"{schema.prefix(of.package)}.{of.name}"


def _collect(of: Schema, components: dict[str, dict[str, Any]]) -> None:
    """Adds a struct and everything that it refers to."""
    name = full_name(of)
    if name in components:
        return
    told = descriptions(of.package, of.name)
    component: dict[str, Any] = {"type": "object", "properties": {}}
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
        name, about = NAMED[kind.kind]
        components.setdefault(name, dict(about))
        return {"$ref": REFERENCE + name}
    if kind.kind in ("list", "map"):
        assert kind.element is not None
        inner = _of_type(kind.element, components)
        if kind.kind == "list":
            return {"type": "array", "items": inner}
        return {"type": "object", "additionalProperties": inner}
    if kind.kind == "struct" and (below := kind.schema) is not None:
        _collect(below, components)
        return {"$ref": REFERENCE + full_name(below)}
    return dict(SPECIAL[kind.kind])


DOCSTRING = re.compile(
    r'def (\w+)\(self\):\n        """Gets the [^\n]*\n\n        (?!:)(.*?)  # noqa: E501\n', re.DOTALL
)
NAMES = re.compile(r"attribute_map = \{(.*?)\}", re.DOTALL)


@cache
def _models() -> Path | None:
    found = find_spec("kubernetes")
    locations = found.submodule_search_locations if found else None
    return Path(next(iter(locations))) / "client" / "models" if locations else None


def descriptions(package: str, struct: str) -> dict[str, str]:
    """JSON name → description, from the source text of the official client; empty where it has no such model."""
    folder = _models()
    root, _, version = package.partition(".")
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", struct).lower()
    for name in (f"{version}_{snake}", f"{root}_{version}_{snake}"):
        path = folder / f"{name}.py" if folder else None
        if path and path.exists():
            return _docstrings(path.read_text())
    return {}


def _docstrings(source: str) -> dict[str, str]:
    found = NAMES.search(source)
    names = dict(re.findall(r"'(\w+)': '([^']+)'", found[1])) if found else {}
    return {
        names[name]: " ".join(text.replace('\\"', '"').split())
        for name, text in DOCSTRING.findall(source)
        if name in names
    }


def dumps(made: dict[str, Any]) -> bytes:
    """A document as it goes over the wire."""
    return json.dumps(made, separators=(",", ":")).encode()
