"""OpenAPI: which paths there are, what they take and what they answer, as documents. Pure.

- `document(group, version, resources)` is version 3: one document a group and version, behind an index
- `swagger(resources, version)` is version 2, one document of all that is served here
- `wire.encode` makes protobuf messages of both, which client-go asks for

Read in this order: `schemas.py` (a kind as a schema), `paths.py` (a resource as operations), `version2.py` (what
that version says otherwise), `words.py` (what fields mean), `wire.py`.

What clients take from them: kubectl sees that PATCH knows `fieldValidation` (so it leaves checking to the server),
`kubectl explain` reads schemas and descriptions, apply and diff read list types and merge keys.

Upstream: k8s.io/kube-openapi/pkg/{handler,handler3,builder,builder3}, api/openapi-spec.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from workshop.api import schema
from workshop.api.custom import openapi as custom
from workshop.api.custom.kind import CustomKind
from workshop.api.openapi import paths, schemas
from workshop.api.openapi.version2 import swagger_of
from workshop.api.resources import Resource

VERSION = "v1.36.2"
_SECURITY = {
    "BearerToken": {
        "type": "apiKey",
        "description": "Bearer Token authentication",
        "name": "authorization",
        "in": "header",
    }
}
_EVERYWHERE = ("APIResourceList", "DeleteOptions", "Status", "ObjectMeta", "ListMeta")


def index(resources: Iterable[Resource]) -> dict[str, Any]:
    """The body of `/openapi/v3`. A document's hash changes with its resources, so that clients may cache it."""
    groups: dict[tuple[str, str], list[Resource]] = {}
    for each in resources:
        groups.setdefault((each.group, each.version), []).append(each)
    found = {}
    for (group, version), members in groups.items():
        path = f"apis/{group}/{version}" if group else f"api/{version}"
        digest = hashlib.sha256(repr(members).encode()).hexdigest().upper()
        found[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
    return {"paths": found}


def document(group: str, version: str, resources: Iterable[Resource]) -> dict[str, Any]:
    """The document of a group and version; its built-in kinds come from the tables, custom ones from definitions."""
    members = [each for each in resources if (each.group, each.version) == (group, version)]
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": VERSION},
        "paths": _paths(group, version, members),
        "components": {"schemas": _components(members), "securitySchemes": _SECURITY},
    }


def swagger(resources: Iterable[Resource], version: str) -> dict[str, Any]:
    """The OpenAPI v2 document of all that is served here."""
    members = list(resources)
    found: dict[str, Any] = {}
    for group, in_version in dict.fromkeys((each.group, each.version) for each in members):
        found |= _paths(group, in_version, [r for r in members if (r.group, r.version) == (group, in_version)])
    definitions = _components(members)
    own = {}
    for each in members:
        if each.definition is not None:
            name = custom.name(each.definition)
            own[name] = custom.component_v2(each.definition) | {
                "x-kubernetes-group-version-kind": definitions[name]["x-kubernetes-group-version-kind"]
            }
    return swagger_of(version, found, definitions, own, _SECURITY)


def _paths(group: str, version: str, members: Sequence[Resource]) -> dict[str, Any]:
    """A group of custom kinds does not tell the path that lists them."""
    custom_only = bool(members) and all(each.definition is not None for each in members)
    made = {} if custom_only else paths.of_group(group, version)
    for each in members:
        made |= paths.of(each)
    return dict(sorted(made.items()))


def _components(members: Iterable[Resource]) -> dict[str, Any]:
    components: dict[str, dict[str, Any]] = {}
    patch = f"{schema.prefix('meta.v1')}.Patch"
    components[patch] = {"description": "A patch of the type that the request names.", "type": "object"}
    for struct in _EVERYWHERE:
        if (found := schema.load("meta.v1", struct)) is not None:
            schemas.collect(found, components)
    for each in members:
        if each.definition is not None:
            _custom(each, each.definition, components)
        for kind in (each.kind, each.list_kind):
            if (found := schema.for_kind(each.api_version, kind)) is not None:
                schemas.collect(found, components)
                _name_kind(components[schemas.full_name(found)], each.group, each.version, kind)
        for sub in each.subresources:
            if sub.name not in paths.CONNECTED and (found := schema.for_kind(sub.api_version, sub.kind)) is not None:
                schemas.collect(found, components)
                _name_kind(components[schemas.full_name(found)], sub.group, sub.version, sub.kind)
    return dict(sorted(components.items()))


def _custom(resource: Resource, kind: CustomKind, components: dict[str, dict[str, Any]]) -> None:
    """A custom kind, its list and what both refer to."""
    name, list_name = custom.name(kind), custom.name(kind, resource.list_kind)
    components[name] = custom.component(kind)
    components[list_name] = custom.listing(kind, resource.list_kind)
    _name_kind(components[name], kind.group, kind.name, kind.kind)
    _name_kind(components[list_name], kind.group, kind.name, resource.list_kind)
    if kind.scale and (found := schema.load("autoscaling.v1", "Scale")) is not None:
        schemas.collect(found, components)


def _name_kind(component: dict[str, Any], group: str, version: str, kind: str) -> None:
    component["x-kubernetes-group-version-kind"] = [{"group": group, "kind": kind, "version": version}]


def dumps(made: dict[str, Any]) -> bytes:
    """A document as it goes over the wire."""
    return json.dumps(made, separators=(",", ":")).encode()
