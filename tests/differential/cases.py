"""Requests, made systematically. Each is sent to both servers in the same state: `State` says what is stored before,
and every case is a dry run, which leaves no trace for the next one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from workshop.api import resources, schema

from .mutate import mutations

Obj = dict[str, Any]
FOLDER = Path(__file__).parent
DRY = "?dryRun=All"
VERSION = "@RV@"
"""Stands where the caller fills in the stored object's resourceVersion."""
UID = "@UID@"
"""Stands for its uid."""

NEVER_STORED = ("PriorityLevelConfiguration/free",)
"""Refused whatever is done to it: only its creation is looked at."""


@dataclass(frozen=True)
class Case:
    name: str
    method: str
    path: str
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Sheet:
    """Cases that belong together: what is done to one object through one door."""

    name: str
    base: Obj
    cases: Iterator[Case]
    before: tuple[Case, ...] = ()
    """Makes the state: the object is created, perhaps its status written. Nothing for creations."""
    others: tuple[Obj, ...] = ()
    """What else it creates, to be taken away again."""
    in_order: bool = False
    """Each case leaves its trace for the next one: they are asked all, or none."""


def _load(name: str) -> list[Obj]:
    text = (FOLDER / name).read_text()
    return [each for each in yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if each]


def bases() -> list[Obj]:
    return _load("bases.yaml")


def name_of(base: Obj) -> str:
    return f"{base['kind']}/{base.get('metadata', {}).get('name', '')}"


def sheets() -> Iterator[Sheet]:
    """All of them: `create Pod/base`, `update Pod/base`, `status Pod/base`, `status again Pod/base`, `scale …`."""
    known = {name_of(base): base for base in bases()}
    for name, base in known.items():
        yield Sheet(f"create {name}", base, creations(base))
        if _is_stored(base) and name not in NEVER_STORED:
            yield Sheet(f"update {name}", base, updates(base), (setup(base),))
    for door in _load("doors.yaml"):
        base, at = known[door["of"]], door["at"]
        yield Sheet(f"{at} {door['of']}", base, through(base, door), (setup(base),))
        if at == "status":  # what may follow upon what is told already
            body = _compact(_within(_versioned(base), door["body"]))
            whole = Case("status", "PUT", path_of(base, at), body)
            yield Sheet(f"{at} again {door['of']}", base, through(base, door), (setup(base), whole))
    yield from _crafted(known)
    yield from others(known)
    yield from requests()


def _crafted(known: dict[str, Obj]) -> Iterator[Sheet]:
    from . import devices  # it makes cases, too

    yield from devices.sheets(known)


def others(known: dict[str, Obj]) -> Iterator[Sheet]:
    """`verbs X`, `patches X`: each kind through its other verbs; and the stories of scenarios.yaml. They import this
    module, so they are imported here."""
    from . import patches, scenarios, verbs

    stored = {name: base for name, base in known.items() if _is_stored(base) and name not in NEVER_STORED}
    one_each = {(base["apiVersion"], base["kind"]): base for base in reversed(stored.values())}
    for base in one_each.values():
        yield Sheet(f"verbs {name_of(base)}", base, verbs.all_of(base), (setup(base),))
    for name, base in stored.items():
        yield Sheet(f"patches {name}", base, patches.all_of(base), (setup(base),))
    yield from scenarios.sheets(known)


def requests() -> Iterator[Sheet]:
    """What is wrong with a request as a whole; nothing of it is mutated, so `cases` may know them by now."""
    from . import requests as whole

    yield Sheet("requests", whole.BASE, whole.all_cases(), (setup(whole.BASE),))


def _compact(obj: Obj) -> bytes:
    """As the store keeps it: a field that upstream keeps as bytes is no other one for its blanks."""
    return json.dumps(obj, separators=(",", ":")).encode()


def _is_stored(base: Obj) -> bool:
    found = resources.for_kind(base["apiVersion"], base["kind"])
    return found is not None and "update" in found.verbs


def path_of(base: Obj, subresource: str | None = None) -> str:
    """Of its list; of the object itself with `subresource` "", or of one of its doors."""
    resource = resources.for_kind(base["apiVersion"], base["kind"])
    assert resource is not None, base
    path = resource.path("default", base["metadata"]["name"] if subresource is not None else None)
    return f"{path}/{subresource}" if subresource else path


def creations(base: Obj) -> Iterator[Case]:
    path = path_of(base) + DRY
    yield Case("as it is", "POST", path, _compact(base))
    for what, obj in mutations(base):
        yield Case(what, "POST", path, _compact(obj))


def setup(base: Obj) -> Case:
    return Case("setup", "POST", path_of(base), _compact(base))


def _versioned(base: Obj) -> Obj:
    return {**base, "metadata": {**base["metadata"], "resourceVersion": VERSION}}


def updates(base: Obj) -> Iterator[Case]:
    """PUT of mutations over the stored base; wrong types are read as on creation, so they are left out."""
    path, base = path_of(base, "") + DRY, _versioned(base)
    yield Case("as it is", "PUT", path, _compact(base))
    for what, obj in mutations(base):
        if not what.startswith("metadata.resourceVersion") and "wrong type" not in what:
            yield Case(what, "PUT", path, _compact(obj))


def _within(base: Obj, body: Obj) -> Obj:
    """`body`'s parts put over the base's: {metadata: …, spec: {ephemeralContainers: …}} over a pod."""
    made = dict(base)
    for key, value in body.items():
        merged = isinstance(value, dict) and key != "status"
        made[key] = {**made.get(key, {}), **value} if merged else value
    return made


def through(base: Obj, door: Obj) -> Iterator[Case]:
    """Mutations of what is written through a door of its own: a part of the object, or a kind such as Scale."""
    body, method = door["body"], door.get("method", "PUT")
    path = path_of(base, door["at"]) + DRY
    if "kind" in body:
        whole, parts = body, [""]
    else:
        whole, parts = _within(_versioned(base), body), _parts(body)
    yield Case("as it is", method, path, _compact(whole))
    if schema.for_kind(whole["apiVersion"], whole["kind"]) is None:
        return
    for what, obj in mutations(whole):
        if any(what.startswith(part) for part in parts):
            yield Case(what, method, path, _compact(obj))


def _parts(body: Obj) -> list[str]:
    return [k if k == "status" or not isinstance(v, dict) else f"{k}.{inner}" for k, v in body.items() for inner in v]


def teardown(sheet: Sheet) -> Iterator[Case]:
    """Away with all that it makes, the latest first."""
    for base in (*reversed(sheet.others), sheet.base):
        yield from _gone(base)


def _gone(base: Obj) -> tuple[Case, ...]:
    """Away with it, whatever holds it: finalizers first."""
    if not _is_stored(base):
        return ()
    free = b'{"metadata": {"finalizers": null}}'
    path = path_of(base, "")
    gone = Case("teardown", "DELETE", path + "?gracePeriodSeconds=0")
    if base["kind"] == "Namespace":
        empty = _compact({**base, "spec": {"finalizers": []}})
        return gone, Case("finalized", "PUT", path + "/finalize", empty)
    return Case("freed", "PATCH", path, free, "application/merge-patch+json"), gone
