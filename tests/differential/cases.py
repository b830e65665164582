"""Requests, made systematically. A case is sent to both servers in the same state: all but `setup` are dry runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from workshop.api import resources

from .mutate import mutations

Obj = dict[str, Any]
BASES = Path(__file__).parent / "bases.yaml"
VERSIONED = ("resourceVersion", "uid")


@dataclass(frozen=True)
class Case:
    name: str
    method: str
    path: str
    body: bytes = b""
    content_type: str = "application/json"


def bases() -> list[Obj]:
    return [each for each in yaml.load_all(BASES.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if each]


def name_of(base: Obj) -> str:
    return f"{base['kind']}/{base.get('metadata', {}).get('name', '')}"


def path_of(base: Obj, named: bool = False, subresource: str = "") -> str:
    resource = resources.for_kind(base["apiVersion"], base["kind"])
    assert resource is not None, base
    path = resource.path("default", base["metadata"]["name"] if named else None)
    return f"{path}/{subresource}" if subresource else path


def creations(base: Obj) -> Iterator[Case]:
    path = path_of(base) + "?dryRun=All"
    yield Case("as it is", "POST", path, json.dumps(base).encode())
    for what, obj in mutations(base):
        yield Case(what, "POST", path, json.dumps(obj).encode())


def setup(base: Obj) -> Case:
    return Case("setup", "POST", path_of(base), json.dumps(base).encode())


def updates(base: Obj) -> Iterator[Case]:
    """PUT of mutations over the stored base. The caller fills `metadata.resourceVersion` in where it reads @RV@."""
    path = path_of(base, True) + "?dryRun=All"
    base = {**base, "metadata": {**base["metadata"], "resourceVersion": "@RV@"}}
    for what, obj in mutations(base):
        if what.startswith("metadata.resourceVersion") or "wrong type" in what:
            continue
        yield Case(f"update {what}", "PUT", path, json.dumps(obj).encode())
    for subresource in ("status",):
        yield from _through(base, subresource)


def _through(base: Obj, subresource: str) -> Iterator[Case]:
    """Mutations of the part that is written through a door of its own."""
    resource = resources.for_kind(base["apiVersion"], base["kind"])
    if resource is None or resource.subresource(subresource) is None or not base.get(subresource):
        return
    path = path_of(base, True, subresource) + "?dryRun=All"
    for what, obj in mutations(
        {**{name: base[name] for name in ("apiVersion", "kind")}, subresource: base[subresource]}
    ):
        if what.startswith(subresource):
            yield Case(f"{subresource} {what}", "PUT", path, json.dumps({**base, **obj}).encode())


def teardown(base: Obj) -> Case:
    return Case("teardown", "DELETE", path_of(base, True) + "?gracePeriodSeconds=0")
