"""What writing a definition, or an object of one, does differently.

Upstream: apiextensions-apiserver/pkg/registry/{customresourcedefinition,customresource}.
"""

from __future__ import annotations

from typing import Any

from workshop.api import conditions
from workshop.api.custom import formats
from workshop.api.custom.definition import CLEANUP
from workshop.api.meta import Obj, copy
from workshop.api.resources import Resource
from workshop.apiserver.registry.strategy import Strategy, Write
from workshop.clock import rfc3339

PENDING = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"


class CustomResources(Strategy):
    def __init__(self, resource: Resource) -> None:
        super().__init__(resource)
        self.counts_generation = True
        self.allows_unconditional_update = False

    def spec_of(self, obj: Obj) -> object:
        return {name: value for name, value in obj.items() if name != "metadata"}

    def prepare_for_status_update(self, new: Obj, old: Obj) -> None:
        """Nothing but the status (and who manages it) changes."""
        status, has, fields = new.get("status"), "status" in new, new["metadata"].get("managedFields")
        new.clear()
        new.update(copy(old))
        new["metadata"].pop("managedFields", None)
        if fields:
            new["metadata"]["managedFields"] = fields
        new.pop("status", None)
        if has:
            new["status"] = status

    def warnings(self, new: Obj, old: Obj | None, subresource: str = "") -> list[str]:
        if subresource:
            return []
        assert self.resource.definition is not None
        return self.resource.definition.finalizer_warnings(new, old)


class Definitions(Strategy):
    """CustomResourceDefinitions: every version that was ever the storage version is remembered."""

    def __init__(self, resource: Resource) -> None:
        super().__init__(resource)
        self.allows_unconditional_update = False

    def prepare_for_create(self, obj: Obj, write: Write) -> None:
        obj["metadata"]["generation"] = 1
        stored = [v["name"] for v in obj["spec"].get("versions") or () if v.get("storage")]
        obj["status"] = {
            "conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": stored[:1],
        }  # fmt: skip

    def prepare_for_update(self, new: Obj, old: Obj, write: Write) -> None:
        super().prepare_for_update(new, old, write)
        if write.subresource:
            return
        status = new["status"] = {**(new.get("status") or {})}
        known = status["storedVersions"] = list(status.get("storedVersions") or ())
        for version in new["spec"].get("versions") or ():
            if version.get("storage") and version["name"] not in known:
                known.append(version["name"])

    def prepare_for_delete(self, obj: Obj, now: float) -> None:
        """Its objects go first: until then a finalizer holds it."""
        finalizers = obj["metadata"].setdefault("finalizers", [])
        if CLEANUP not in finalizers:
            finalizers.append(CLEANUP)
        terminating = {"type": "Terminating", "status": "True", "reason": "InstanceDeletionPending", "message": PENDING,
                       "lastTransitionTime": rfc3339(now)}  # fmt: skip
        status = obj.setdefault("status", {})
        status["conditions"] = conditions.set(list(status.get("conditions") or ()), terminating, now)

    def warnings(self, new: Obj, old: Obj | None, subresource: str = "") -> list[str]:
        if subresource:
            return []
        before = {*_unknown_formats(old)} if old is not None else set()
        return [f'unrecognized format "{each}"' for each in _unknown_formats(new) if each not in before]


def _unknown_formats(crd: Obj) -> list[str]:
    found: list[str] = []
    for version in crd["spec"].get("versions") or ():
        _formats((version.get("schema") or {}).get("openAPIV3Schema"), found)
    return found


def _formats(schema: Any, found: list[str]) -> None:
    if not isinstance(schema, dict):
        return
    if (format := schema.get("format")) and not formats.supported(schema.get("type") or "", format):
        found.append(format)
    for name in ("items", "not", "additionalProperties"):
        _formats(schema.get(name), found)
    for name in ("allOf", "anyOf", "oneOf"):
        for each in schema.get(name) or ():
            _formats(each, found)
    for each in (schema.get("properties") or {}).values():
        _formats(each, found)
