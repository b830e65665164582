"""OpenAPI documents as protobuf messages, as client-go asks for them: `openapi.v2.Document`, `openapi.v3.Document`.

>>> encode({"swagger": "2.0", "info": {"title": "T", "version": "1"}}, V2)
b'\\n\\x032.0\\x12\\x06\\n\\x01T\\x12\\x011'

The messages say in fields what the JSON says in names: a map is a list of {name = 1, value = 2}, a choice is a message
with one field set, and what is open (a default, an extension) is YAML text.

Facts: github.com/google/gnostic-models v0.7.0, openapiv2/OpenAPIv2.proto, openapiv3/OpenAPIv3.proto.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Any

import yaml

Message = dict[str, tuple[int, str]]
"""JSON name → field number, kind. A kind is a scalar (`text`, `bool`, `int`, `double`), `any`, the name of a message,
`[…` for a list and `{…` for a message that holds a map. `x-` are the extensions, `*` all other names."""
Messages = dict[str, Message]
_EMPTY = re.compile(r"(?m)(?:(?<=: )|(?<=- )|^)''$")

_SIMPLE = [
    ("type", "text"), ("format", "text"), ("items", "any"), ("collectionFormat", "text"), ("default", "any"),
    ("maximum", "double"), ("exclusiveMaximum", "bool"), ("minimum", "double"), ("exclusiveMinimum", "bool"),
    ("maxLength", "int"), ("minLength", "int"), ("pattern", "text"), ("maxItems", "int"), ("minItems", "int"),
    ("uniqueItems", "bool"), ("enum", "[any"), ("multipleOf", "double"), ("x-", "[ext"),
]  # fmt: skip


def _numbered(*fields: tuple[str, str]) -> Message:
    return {name: (number, kind) for number, (name, kind) in enumerate(fields, 1)}


_PARAMETER = (("required", "bool"), ("in", "text"), ("description", "text"), ("name", "text"))

V2: Messages = {
    "Document": _numbered(
        ("swagger", "text"), ("info", "Info"), ("host", "text"), ("basePath", "text"), ("schemes", "[text"),
        ("consumes", "[text"), ("produces", "[text"), ("paths", "Paths"), ("definitions", "{Schema"),
        ("parameters", "{Parameter"), ("responses", "{Response"), ("security", "[SecurityRequirement"),
        ("securityDefinitions", "{Security"), ("tags", "[Tag"), ("externalDocs", "ExternalDocs"), ("x-", "[ext"),
    ),
    "Info": _numbered(("title", "text"), ("version", "text"), ("description", "text")),
    "Paths": {"x-": (1, "[ext"), "*": (2, "PathItem")},
    "PathItem": _numbered(
        ("$ref", "text"), ("get", "Operation"), ("put", "Operation"), ("post", "Operation"), ("delete", "Operation"),
        ("options", "Operation"), ("head", "Operation"), ("patch", "Operation"), ("parameters", "[ParametersItem"),
        ("x-", "[ext"),
    ),
    "Operation": _numbered(
        ("tags", "[text"), ("summary", "text"), ("description", "text"), ("externalDocs", "ExternalDocs"),
        ("operationId", "text"), ("produces", "[text"), ("consumes", "[text"), ("parameters", "[ParametersItem"),
        ("responses", "Responses"), ("schemes", "[text"), ("deprecated", "bool"), ("security", "[SecurityRequirement"),
        ("x-", "[ext"),
    ),
    "BodyParameter": _numbered(
        ("description", "text"), ("name", "text"), ("in", "text"), ("required", "bool"), ("schema", "Schema"),
        ("x-", "[ext"),
    ),
    "HeaderParameter": _numbered(*_PARAMETER, *_SIMPLE),
    "QueryParameter": _numbered(*_PARAMETER, ("allowEmptyValue", "bool"), *_SIMPLE),
    "PathParameter": _numbered(*_PARAMETER, *_SIMPLE),
    "Reference": _numbered(("$ref", "text"), ("description", "text")),
    "Responses": {"*": (1, "ResponseValue"), "x-": (2, "[ext")},
    "Response": _numbered(
        ("description", "text"), ("schema", "SchemaItem"), ("headers", "any"), ("examples", "any"), ("x-", "[ext")
    ),
    "Schema": _numbered(
        ("$ref", "text"), ("format", "text"), ("title", "text"), ("description", "text"), ("default", "any"),
        ("multipleOf", "double"), ("maximum", "double"), ("exclusiveMaximum", "bool"), ("minimum", "double"),
        ("exclusiveMinimum", "bool"), ("maxLength", "int"), ("minLength", "int"), ("pattern", "text"),
        ("maxItems", "int"), ("minItems", "int"), ("uniqueItems", "bool"), ("maxProperties", "int"),
        ("minProperties", "int"), ("required", "[text"), ("enum", "[any"), ("additionalProperties", "SchemaOrBool"),
        ("type", "TypeItem"), ("items", "ItemsItem"), ("allOf", "[Schema"), ("properties", "{Schema"),
        ("discriminator", "text"), ("readOnly", "bool"), ("xml", "any"), ("externalDocs", "ExternalDocs"),
        ("example", "any"), ("x-", "[ext"),
    ),
    "ExternalDocs": _numbered(("description", "text"), ("url", "text"), ("x-", "[ext")),
    "SecurityRequirement": {"*": (1, "StringArray")},
    "ApiKeySecurity": _numbered(
        ("type", "text"), ("name", "text"), ("in", "text"), ("description", "text"), ("x-", "[ext")
    ),
    "Tag": _numbered(("name", "text"), ("description", "text"), ("externalDocs", "ExternalDocs"), ("x-", "[ext")),
}  # fmt: skip

V3: Messages = {
    "Document": _numbered(
        ("openapi", "text"), ("info", "Info"), ("servers", "[any"), ("paths", "Paths"), ("components", "Components"),
        ("security", "[SecurityRequirement"), ("tags", "[Tag"), ("externalDocs", "ExternalDocs"), ("x-", "[ext"),
    ),
    "Info": {"title": (1, "text"), "description": (2, "text"), "version": (6, "text")},
    "Paths": {"*": (1, "PathItem"), "x-": (2, "[ext")},
    "PathItem": _numbered(
        ("$ref", "text"), ("summary", "text"), ("description", "text"), ("get", "Operation"), ("put", "Operation"),
        ("post", "Operation"), ("delete", "Operation"), ("options", "Operation"), ("head", "Operation"),
        ("patch", "Operation"), ("trace", "Operation"), ("servers", "[any"), ("parameters", "[ParameterOrReference"),
        ("x-", "[ext"),
    ),
    "Operation": _numbered(
        ("tags", "[text"), ("summary", "text"), ("description", "text"), ("externalDocs", "ExternalDocs"),
        ("operationId", "text"), ("parameters", "[ParameterOrReference"), ("requestBody", "RequestBodyOrReference"),
        ("responses", "Responses"), ("callbacks", "any"), ("deprecated", "bool"), ("security", "[SecurityRequirement"),
        ("servers", "[any"), ("x-", "[ext"),
    ),
    "Parameter": _numbered(
        ("name", "text"), ("in", "text"), ("description", "text"), ("required", "bool"), ("deprecated", "bool"),
        ("allowEmptyValue", "bool"), ("style", "text"), ("explode", "bool"), ("allowReserved", "bool"),
        ("schema", "SchemaOrReference"), ("example", "any"), ("examples", "any"), ("content", "{MediaType"),
        ("x-", "[ext"),
    ),
    "Reference": _numbered(("$ref", "text"), ("summary", "text"), ("description", "text")),
    "RequestBody": _numbered(("description", "text"), ("content", "{MediaType"), ("required", "bool"), ("x-", "[ext")),
    "MediaType": _numbered(
        ("schema", "SchemaOrReference"), ("example", "any"), ("examples", "any"), ("encoding", "any"), ("x-", "[ext")
    ),
    "Responses": {"default": (1, "ResponseOrReference"), "*": (2, "ResponseOrReference"), "x-": (3, "[ext")},
    "Response": _numbered(
        ("description", "text"), ("headers", "any"), ("content", "{MediaType"), ("links", "any"), ("x-", "[ext")
    ),
    "Components": _numbered(
        ("schemas", "{SchemaOrReference"), ("responses", "{ResponseOrReference"),
        ("parameters", "{ParameterOrReference"), ("examples", "any"), ("requestBodies", "{RequestBodyOrReference"),
        ("headers", "any"), ("securitySchemes", "{SecuritySchemeOrReference"), ("links", "any"), ("callbacks", "any"),
        ("x-", "[ext"),
    ),
    "SecurityScheme": _numbered(
        ("type", "text"), ("description", "text"), ("name", "text"), ("in", "text"), ("scheme", "text"),
        ("bearerFormat", "text"), ("flows", "any"), ("openIdConnectUrl", "text"), ("x-", "[ext"),
    ),
    "Schema": _numbered(
        ("nullable", "bool"), ("discriminator", "any"), ("readOnly", "bool"), ("writeOnly", "bool"), ("xml", "any"),
        ("externalDocs", "ExternalDocs"), ("example", "any"), ("deprecated", "bool"), ("title", "text"),
        ("multipleOf", "double"), ("maximum", "double"), ("exclusiveMaximum", "bool"), ("minimum", "double"),
        ("exclusiveMinimum", "bool"), ("maxLength", "int"), ("minLength", "int"), ("pattern", "text"),
        ("maxItems", "int"), ("minItems", "int"), ("uniqueItems", "bool"), ("maxProperties", "int"),
        ("minProperties", "int"), ("required", "[text"), ("enum", "[any"), ("type", "text"),
        ("allOf", "[SchemaOrReference"), ("oneOf", "[SchemaOrReference"), ("anyOf", "[SchemaOrReference"),
        ("not", "Schema"), ("items", "ItemsItem"), ("properties", "{SchemaOrReference"),
        ("additionalProperties", "SchemaOrBool"), ("default", "DefaultType"), ("description", "text"),
        ("format", "text"), ("x-", "[ext"),
    ),
    "ExternalDocs": _numbered(("description", "text"), ("url", "text"), ("x-", "[ext")),
    "SecurityRequirement": {"*": (1, "StringArray")},
    "Tag": _numbered(("name", "text"), ("description", "text"), ("externalDocs", "ExternalDocs"), ("x-", "[ext")),
}  # fmt: skip


def encode(document: Mapping[str, Any], messages: Messages) -> bytes:
    """`messages` is `V2` or `V3`. What the messages have no field for is left out, as upstream's parser leaves it."""
    return _message(document, "Document", messages)


def _message(value: Mapping[str, Any], name: str, messages: Messages) -> bytes:
    fields = messages[name]
    parts: list[tuple[int, bytes]] = []
    for key, each in value.items():
        if key in fields:
            number, kind = fields[key]
            parts.append((number, _field(number, each, kind, messages)))
        elif key.startswith("x-") and "x-" in fields:
            number = fields["x-"][0]
            parts.append((number, _bytes(number, _named(key, _any(each)))))
        elif "*" in fields:
            number, kind = fields["*"]
            parts.append((number, _bytes(number, _named(key, _value(each, kind, messages)))))
    return b"".join(part for _, part in sorted(parts, key=lambda part: part[0]))


def _field(number: int, value: Any, kind: str, messages: Messages) -> bytes:
    match kind:
        case "bool":
            return _varint(number << 3) + b"\x01" if value else b""
        case "int":
            return _varint(number << 3) + _varint(int(value) & (1 << 64) - 1) if value else b""
        case "double":
            return _varint(number << 3 | 1) + struct.pack("<d", value) if value else b""
        case "text":
            return _bytes(number, value.encode()) if value else b""
    if kind.startswith("["):
        return b"".join(_bytes(number, _value(each, kind[1:], messages)) for each in value)
    if kind.startswith("{"):
        entries = ((key, _value(each, kind[1:], messages)) for key, each in value.items())
        return _bytes(number, b"".join(_bytes(1, _named(key, made)) for key, made in entries))
    return _bytes(number, _value(value, kind, messages))


def _value(value: Any, kind: str, messages: Messages) -> bytes:
    """The inside of a message of this kind; a choice takes the field that fits."""
    match kind:
        case "text":
            return str(value).encode()
        case "any":
            return _any(value)
        case "StringArray" | "TypeItem":
            return b"".join(_bytes(1, each.encode()) for each in ([value] if isinstance(value, str) else value))
        case "ItemsItem":
            inner = "SchemaOrReference" if messages is V3 else "Schema"
            return b"".join(
                _bytes(1, _value(each, inner, messages)) for each in (value if isinstance(value, list) else [value])
            )
        case "SchemaOrBool":
            inner = "SchemaOrReference" if messages is V3 else "Schema"
            return (
                b"\x10\x01" if value is True else b"\x10\x00" if value is False else _choice(1, value, inner, messages)
            )
        case "DefaultType":
            return _default(value)
        case "SchemaItem":
            return _choice(1, value, "Schema", messages)
        case "Security":
            return _choice(2, value, "ApiKeySecurity", messages)
        case "Parameter" if messages is V2:
            if value["in"] == "body":
                return _choice(1, value, "BodyParameter", messages)
            number, of = {
                "header": (1, "HeaderParameter"),
                "query": (3, "QueryParameter"),
                "path": (4, "PathParameter"),
            }[value["in"]]
            return _bytes(2, _choice(number, value, of, messages))
        case "ParametersItem":
            return (
                _choice(2, value, "Reference", messages)
                if "$ref" in value
                else _choice(1, value, "Parameter", messages)
            )
        case "ResponseValue":
            return (
                _choice(2, value, "Reference", messages) if "$ref" in value else _choice(1, value, "Response", messages)
            )
    if kind.endswith("OrReference"):
        if "$ref" in value:
            return _choice(2, value, "Reference", messages)
        return _choice(1, value, kind.removesuffix("OrReference"), messages)
    return _message(value, kind, messages)


def _choice(number: int, value: Any, kind: str, messages: Messages) -> bytes:
    return _bytes(number, _value(value, kind, messages))


def _default(value: Any) -> bytes:
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int | float):
        return b"\x09" + struct.pack("<d", value)
    return _bytes(3, value.encode()) if isinstance(value, str) else b""


def _any(value: Any) -> bytes:
    """Any value as YAML text (field 2), which writes an empty text as `""`."""
    text = yaml.safe_dump(value, default_flow_style=False, sort_keys=False, allow_unicode=True, width=1 << 30)
    return _bytes(2, _EMPTY.sub('""', text.removesuffix("...\n")).encode())


def _named(name: str, value: bytes) -> bytes:
    return _bytes(1, name.encode()) + _bytes(2, value)


def _bytes(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    made.append(number)
    return bytes(made)
