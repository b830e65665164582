"""Reads the structs of Go packages of Kubernetes: field names, types, protobuf numbers and patch tags.

A struct becomes `{json name: [Go type, protobuf number, flags, {more}]}`. An embedded struct whose fields are inlined
in JSON has the name `+Embedded`. Flags: `o` omitempty, `z` omitzero, `r` required by OpenAPI. More: `list`, `keys`
(list type and map keys), `map` (map type), `strategy`, `merge` (strategic merge patch), `enum`, `default`. Go types are
written as in Go, with references as `Container` (same package) or `core.v1.Container` (another one).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STAGING = "staging/src/k8s.io"
FIELD = re.compile(r"^\t(?P<names>[\w.]+)?\s*(?P<type>[^\s`]+)?\s+`(?P<tags>[^`]*)`")
TAG = re.compile(r'(\w+):"([^"]*)"')
NAMED = re.compile(r"^type (\w+) (=\s*)?(\S+)$")
IMPORT = re.compile(r'^\s*(?:import\s+)?(\w+)?\s*"([\w./-]+)"$')


@dataclass
class Table:
    path: str
    prefix: str
    names: dict[str, str] = field(default_factory=dict)
    structs: dict[str, dict[str, Any]] = field(default_factory=dict)


def package_of(schema_name: str) -> tuple[str, str, str]:
    """OpenAPI's name of a package → (our key, folder in the sources, prefix).

    `io.k8s.api.core.v1` → (`core.v1`, `…/api/core/v1`, `io.k8s.api.core.v1`).
    """
    parts = schema_name.removeprefix("io.k8s.").split(".")
    return ".".join(parts[-2:]), f"{STAGING}/{'/'.join(parts)}", schema_name


def qualify(go_type: str, imports: dict[str, str]) -> str:
    """`metav1.LabelSelector` → `meta.v1.LabelSelector`."""

    def name(match: re.Match[str]) -> str:
        return f"{imports.get(match[1], match[1])}.{match[2]}"

    return re.sub(r"\b(\w+)\.(\w+)", name, go_type)


def read_imports(text: str) -> dict[str, str]:
    found = {}
    for line in text.splitlines():
        if match := IMPORT.match(line):
            alias, path = match.groups()
            parts = path.split("/")
            versioned = re.fullmatch(r"v\d\w*", parts[-1])
            found[alias or parts[-1]] = ".".join(parts[-2:]) if versioned else parts[-1]
    return found


def read_package(folder: Path, table: Table) -> None:
    for path in sorted([*folder.glob("types*.go"), *folder.glob("group_version.go")]):
        if not path.name.endswith(("_test.go", "_generated.go")):
            read_file(path.read_text(), table)


def read_file(text: str, table: Table) -> None:
    imports = read_imports(text.split("\ntype ", 1)[0])
    struct: dict[str, Any] | None = None
    for line in text.splitlines():
        if match := re.match(r"^type (\w+) struct \{(\})?", line):
            struct = table.structs.setdefault(match[1], {})
            if match[2]:
                struct = None
        elif line.startswith("}"):
            struct = None
        elif struct is None:
            if match := NAMED.match(line.partition(" //")[0]):
                table.names[match[1]] = qualify(match[3], imports)
        elif match := FIELD.match(line):
            add_field(struct, match, imports)


def add_field(struct: dict[str, Any], match: re.Match[str], imports: dict[str, str]) -> None:
    tags = dict(TAG.findall(match["tags"]))
    name, *options = tags.get("json", "").split(",")
    number = int(tags["protobuf"].split(",")[1]) if tags.get("protobuf", "-") != "-" else 0
    go_type = qualify(match["type"] or match["names"], imports)
    if name == "-" or "json" not in tags:
        return
    if "inline" in options or not name:
        name = "+" + go_type.rpartition(".")[2]
    more = {key: tags[tag] for key, tag in (("strategy", "patchStrategy"), ("merge", "patchMergeKey")) if tag in tags}
    flags = "o" * ("omitempty" in options) + "z" * ("omitzero" in options)
    struct[name] = [go_type, number, flags, more]


def add_openapi(struct: dict[str, Any], schema: dict[str, Any]) -> None:
    for name, about in schema.get("properties", {}).items():
        if name not in struct:
            continue
        more = struct[name][3]
        for key, extension in (("list", "list-type"), ("keys", "list-map-keys"), ("map", "map-type")):
            if (value := about.get(f"x-kubernetes-{extension}")) is not None:
                more[key] = value
        if "enum" in about:
            more["enum"] = about["enum"]
        default = about.get("default")
        if default not in (None, {}) and (default or struct[name][0].startswith("*")):
            more["default"] = default
        if name in schema.get("required", ()) and "r" not in struct[name][2]:
            struct[name][2] += "r"


def build(source: Path, documents: list[dict[str, Any]]) -> dict[str, Table]:
    """Package key → its table, for every package that the OpenAPI documents speak of."""
    tables: dict[str, Table] = {}
    schemas: dict[str, dict[str, Any]] = {}
    for document in documents:
        schemas |= document.get("components", {}).get("schemas", {})
    packages = {name.rpartition(".")[0] for name in schemas} | {"io.k8s.api.admission.v1"}
    for package in sorted(p for p in packages if re.search(r"\.v\d\w*$", p)):
        key, path, prefix = package_of(package)
        if not (source / path).is_dir():  # a custom resource's
            continue
        tables[key] = table = Table(path, prefix)
        read_package(source / path, table)
    for name, schema in schemas.items():
        package, _, struct = name.rpartition(".")
        fields = tables[key].structs.get(struct) if (key := package_of(package)[0]) in tables else None
        if fields is not None:
            add_openapi(fields, schema)
            if kind := schema.get("x-kubernetes-map-type"):
                fields["#"] = {"map": kind}
    for table in tables.values():
        for struct in table.structs.values():
            for name, row in struct.items():
                while name != "#" and row and row[-1] in ({}, "") and len(row) > 2:
                    row.pop()
    return tables
