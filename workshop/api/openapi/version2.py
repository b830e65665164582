"""What OpenAPI v2 says otherwise than version 3: a body is a parameter, an answer has one schema, a reference stands
alone, nothing is told of defaults and choices.

Upstream: k8s.io/kube-openapi/pkg/openapiconv/convert.go, the other way round.
"""

from __future__ import annotations

from typing import Any

from workshop.api.openapi.schemas import REFERENCE

Item = dict[str, Any]
DEFINITIONS = "#/definitions/"
_PLAIN = {"int-or-string": {"type": "string", "format": "int-or-string"}}
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch")


def swagger_of(
    version: str, paths: dict[str, Item], components: dict[str, Item], own: dict[str, Item], security: Item
) -> Item:
    """The document. `own` are the definitions that are written for version 2 (custom kinds)."""
    definitions = {name: schema(own.get(name) or each) for name, each in components.items()}
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": version},
        "paths": {path: _path(item) for path, item in sorted(paths.items())},
        "definitions": definitions,
        "securityDefinitions": security,
        "security": [{name: []} for name in security],
    }


def schema(given: Item) -> Item:
    """A schema of version 3 in version 2."""
    if "oneOf" in given and given.get("format") in _PLAIN:
        return {**_PLAIN[given["format"]], **_told(given)}
    if "oneOf" in given and "type" not in given and "x-kubernetes-preserve-unknown-fields" not in given:
        return {"type": "string", **_told(given)}  # a quantity
    made = {key: value for key, value in given.items() if key not in ("default", "oneOf", "anyOf", "not", "nullable")}
    if (wrapped := made.get("allOf")) and len(wrapped) == 1 and set(wrapped[0]) == {"$ref"}:
        del made["allOf"]
        made["$ref"] = wrapped[0]["$ref"]
    if "$ref" in made:
        made["$ref"] = made["$ref"].replace(REFERENCE, DEFINITIONS)
    if "properties" in made:
        made["properties"] = {name: schema(each) for name, each in made["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(made.get(key), dict):
            made[key] = schema(made[key])
    return made


def _told(given: Item) -> Item:
    return {"description": given["description"]} if "description" in given else {}


def _path(item: Item) -> Item:
    made = {method: _operation(item[method]) for method in _METHODS if method in item}
    return {
        **made,
        **({"parameters": [_parameter(each) for each in item["parameters"]]} if "parameters" in item else {}),
    }


def _operation(operation: Item) -> Item:
    made = {key: value for key, value in operation.items() if key not in ("parameters", "requestBody", "responses")}
    kinds: dict[str, None] = {}
    responses: Item = {}
    for code, response in operation["responses"].items():
        responses[code] = {"description": response["description"]}
        for kind, media in (response.get("content") or {}).items():
            kinds[kind] = None
            responses[code]["schema"] = schema(media["schema"])
    parameters = [_parameter(each) for each in operation.get("parameters") or ()]
    body = operation.get("requestBody")
    if body:
        inner = schema(next(iter(body["content"].values()))["schema"])
        needed = {"required": True} if body.get("required") else {}
        parameters.insert(0, {"name": "body", "in": "body", **needed, "schema": inner})
    consumes = list(body["content"]) if body else ["*/*"]
    made |= {"consumes": consumes, "produces": list(kinds) or ["application/json"], "schemes": ["https"]}
    return {**made, **({"parameters": parameters} if parameters else {}), "responses": responses}


def _parameter(given: Item) -> Item:
    return {**{key: value for key, value in given.items() if key != "schema"}, **given["schema"]}
