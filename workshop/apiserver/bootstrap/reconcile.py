"""What to write so that a store holds what it must hold: pure decisions over what is there already.

Most objects are only created where they are missing; what a user changed in them stays. Four kinds are mended:
roles get back rules that are missing, bindings get back subjects, flow control gets back its spec, unless the
object's annotation says hands off; and the authentication ConfigMap follows the server's flags.

Upstream: `pkg/registry/rbac/reconciliation`, `pkg/registry/flowcontrol/ensurer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from workshop.api import meta
from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.apiserver.authorization.rules import uncovered

AUTO_UPDATE = "rbac.authorization.kubernetes.io/autoupdate"
AUTO_UPDATE_SPEC = "apf.kubernetes.io/autoupdate-spec"


@dataclass(frozen=True)
class Write:
    """Put `obj` at `key`. `expected_revision` 0: create it. `replaces`: delete the old one first (another roleRef)."""

    key: str
    obj: Obj
    expected_revision: int = 0
    replaces: bool = False


def plan(
    wanted: Iterable[tuple[Resource, Obj]],
    existing: Mapping[str, tuple[Obj, int]],
    identify: Callable[[Obj], Obj],
) -> list[Write]:
    """The writes that bring `existing` (objects and revisions by key) to `wanted`, none if all is well.

    `identify` gives a new object its uid and creation time.
    """
    writes: list[Write] = []
    for kind, obj in wanted:
        key = kind.storage_key(obj["metadata"].get("namespace"), obj["metadata"]["name"])
        if key not in existing:
            writes.append(Write(key, identify(obj)))
            continue
        current, revision = existing[key]
        if "roleRef" in obj and current.get("roleRef") != obj["roleRef"]:
            if _may_mend(current, AUTO_UPDATE):
                writes.append(Write(key, identify(obj), revision, replaces=True))
            continue
        mended = mend(kind.plural, current, obj)
        if mended is not None:
            writes.append(Write(key, mended, revision))
    return writes


def mend(plural: str, current: Obj, wanted: Obj) -> Obj | None:
    """`current` with what it lacks of `wanted`; None if there is nothing to write."""
    if plural in ("clusterroles", "roles"):
        return _changed(current, _mend_role(current, wanted)) if _may_mend(current, AUTO_UPDATE) else None
    if plural in ("clusterrolebindings", "rolebindings"):
        return _changed(current, _mend_binding(current, wanted)) if _may_mend(current, AUTO_UPDATE) else None
    if plural in ("flowschemas", "prioritylevelconfigurations"):
        if not _may_mend(current, AUTO_UPDATE_SPEC) or current["spec"] == wanted["spec"]:
            return None
        generation = current["metadata"].get("generation", 1) + 1
        return {**current, "metadata": {**current["metadata"], "generation": generation}, "spec": wanted["spec"]}
    if plural == "configmaps" and wanted["metadata"]["name"] == "extension-apiserver-authentication":
        return _changed(current, {**current, "data": {**(current.get("data") or {}), **wanted["data"]}})
    return None


def _may_mend(obj: Obj, annotation: str) -> bool:
    return meta.annotations(obj).get(annotation, "true") == "true"


def _changed(current: Obj, mended: Obj) -> Obj | None:
    return mended if mended != current else None


def _with_metadata(current: Obj, wanted: Obj) -> Obj:
    """`current` with the labels and annotations that it lacks; its own values stay."""
    metadata = dict(current["metadata"])
    for field in ("labels", "annotations"):
        both = {**(wanted["metadata"].get(field) or {}), **(metadata.get(field) or {})}
        if both:
            metadata[field] = both
    return {**current, "metadata": metadata}


def _mend_role(current: Obj, wanted: Obj) -> Obj:
    mended = _with_metadata(current, wanted)
    if wanted.get("aggregationRule"):
        # the rules are the aggregation controller's
        held = (current.get("aggregationRule") or {}).get("clusterRoleSelectors") or []
        lacking = [s for s in wanted["aggregationRule"]["clusterRoleSelectors"] if s not in held]
        return {**mended, "aggregationRule": {"clusterRoleSelectors": held + lacking}} if lacking else mended
    lacking = uncovered(current.get("rules") or [], wanted.get("rules") or [])
    return {**mended, "rules": [*(current.get("rules") or []), *lacking]} if lacking else mended


def _mend_binding(current: Obj, wanted: Obj) -> Obj:
    mended = _with_metadata(current, wanted)
    held: list[dict[str, Any]] = current.get("subjects") or []
    lacking = [s for s in wanted.get("subjects") or () if s not in held]
    return {**mended, "subjects": [*held, *lacking]} if lacking else mended
