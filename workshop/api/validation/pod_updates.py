"""What may change of a pod, door by door: its spec, its status, ephemeral containers, resources. Upstream:
core/validation (ValidatePodUpdate, ValidatePodStatusUpdate, ValidatePodEphemeralContainersUpdate, ValidatePodResize),
v1.36.2."""

from __future__ import annotations

from typing import Any

from workshop.api import names
from workshop.api.meta import Obj, copy
from workshop.api.validation import pod_annotations, pods, scheduling
from workshop.api.validation.diff import diff
from workshop.api.validation.field import ErrorList

MAY_CHANGE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
KINDS = ("containers", "initContainers")


def pod_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    """Of a running pod only images, deadline and added tolerations may change (and gates may go)."""
    pods.metadata_and_spec(errors, new)
    annotation_changes(errors, new, old)
    spec, before = new["spec"], old["spec"]
    for kind in KINDS:
        if not _containers(errors, f"spec.{kind}", spec.get(kind) or [], before.get(kind) or []):
            return
    if not _deadline(errors, spec.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")):
        return
    _tolerations(errors, spec.get("tolerations") or [], before.get("tolerations") or [])
    gates = {gate.get("name") for gate in before.get("schedulingGates") or []}
    for index, gate in enumerate(spec.get("schedulingGates") or []):
        if gate.get("name", "") not in gates:
            said = f"only deletion is allowed, but found new scheduling gate '{gate.get('name', '')}'"
            errors.forbidden(f"spec.schedulingGates[{index}].name", said)
    after = _munged(errors, spec, before)
    if after != before:
        errors.forbidden("spec", f"{MAY_CHANGE}\n{diff(before, after)}")


def _containers(errors: ErrorList, path: str, found: list[Obj], before: list[Obj]) -> bool:
    if len(found) != len(before):
        errors.forbidden(path, "pod updates may not add or remove containers")
        return False
    for index, each in enumerate(found):
        image = each.get("image", "")
        errors.needed(each, f"{path}[{index}]", "image")
        if image != image.strip():
            errors.invalid(f"{path}[{index}].image", image, "must not have leading or trailing whitespace")
    return True


def _deadline(errors: ErrorList, new: int | None, old: int | None) -> bool:
    at = "spec.activeDeadlineSeconds"
    if new is None:
        if old is not None:
            errors.invalid(at, None, "must not update from a positive integer to nil value")
        return True
    if not 0 <= new <= pods.LARGEST:
        errors.invalid(at, new, names.inclusive_range(0, pods.LARGEST))
        return False
    if old is not None and old < new:
        errors.invalid(at, new, "must be less than or equal to previous value")
        return False
    return True


def _tolerations(errors: ErrorList, new: list[Obj], old: list[Obj]) -> None:
    def but_seconds(each: Obj) -> Obj:
        return {name: value for name, value in each.items() if name != "tolerationSeconds"}

    kept = [but_seconds(each) for each in new]
    if any(but_seconds(each) not in kept for each in old):
        said = "existing toleration can not be modified except its tolerationSeconds"
        errors.forbidden("spec.tolerations", said)
        return
    scheduling.tolerations(errors, "spec.tolerations", new)


def _munged(errors: ErrorList, new: Obj, old: Obj) -> Obj:
    """The new spec with all that may change put back: whatever is left of a difference may not be."""
    after = copy(new)
    for kind in KINDS:
        for mine, theirs in zip(after.get(kind) or [], old.get(kind) or [], strict=True):
            put(mine, theirs, "image")
    for name in ("activeDeadlineSeconds", "schedulingGates", "tolerations"):
        put(after, old, name)
    if (old.get("terminationGracePeriodSeconds") or 0) < 0 and after.get("terminationGracePeriodSeconds") == 1:
        put(after, old, "terminationGracePeriodSeconds")
    if old.get("schedulingGates"):
        _gated(errors, after, old)
    return after


def put(into: Obj, source: Obj, name: str) -> None:
    into.pop(name, None)
    if name in source:
        into[name] = source[name]


def _gated(errors: ErrorList, after: Obj, old: Obj) -> None:
    """A pod that waits at a gate may be narrowed down: node selector and affinity take additions."""
    had, has = old.get("nodeSelector") or {}, after.get("nodeSelector") or {}
    if any(has.get(key) != value for key, value in had.items()):
        said = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        errors.invalid("spec.nodeSelector", has or None, said)
    put(after, old, "nodeSelector")
    mine, theirs = ((spec.get("affinity") or {}).get("nodeAffinity") for spec in (after, old))
    if mine != theirs:
        _node_affinity(errors, mine, theirs)
        affinity = dict(after.get("affinity") or {})
        affinity.pop("nodeAffinity", None)
        if theirs is not None:
            affinity["nodeAffinity"] = theirs
        after["affinity"] = affinity
        if not affinity and "affinity" not in old:
            del after["affinity"]


def _node_affinity(errors: ErrorList, new: Obj | None, old: Obj | None) -> None:
    path = f"spec.affinity.nodeAffinity.{scheduling.REQUIRED}.nodeSelectorTerms"
    had, has = (((each or {}).get(scheduling.REQUIRED) or {}).get("nodeSelectorTerms") or [] for each in (old, new))
    if had and len(had) != len(has):
        errors.invalid(path, has, "no additions/deletions to non-empty NodeSelectorTerms list are allowed")
        return
    for index, term in enumerate(had):
        if not _only_more(has[index], term):
            errors.invalid(f"{path}[{index}]", has[index], "only additions are allowed (no mutations or deletions)")


def _only_more(new: Obj, old: Obj) -> bool:
    if not old.get("matchExpressions") and not old.get("matchFields"):
        return not new.get("matchExpressions") and not new.get("matchFields")
    for kind in ("matchExpressions", "matchFields"):
        had = old.get(kind) or []
        if had and (new.get(kind) or [])[: len(had)] != had:
            return False
    return True


def annotation_changes(errors: ErrorList, new: Obj, old: Obj) -> None:
    path = "metadata.annotations"
    has, had = ((obj["metadata"].get("annotations") or {}) for obj in (new, old))
    for key, value in had.items():
        if has.get(key) != value:
            if key.startswith(pod_annotations.APP_ARMOR_OF):
                errors.forbidden(f"{path}[{key}]", "may not remove or update AppArmor annotations")
            if key == pod_annotations.MIRROR:
                errors.forbidden(f"{path}[{key}]", "may not remove or update mirror pod annotation")
    for key in has:
        if key not in had:
            if key.startswith(pod_annotations.APP_ARMOR_OF):
                errors.forbidden(f"{path}[{key}]", "may not add AppArmor annotations")
            if key == pod_annotations.MIRROR:
                errors.forbidden(f"{path}[{key}]", "may not add mirror pod annotation")
    pod_annotations.check(errors, path, has, new["spec"])


def ephemeral_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    if pod_annotations.MIRROR in (old["metadata"].get("annotations") or {}):
        del errors[:]
        errors.forbidden("[]", "static pods do not support ephemeral containers")
        return
    pods.metadata_and_spec(errors, new)
    annotation_changes(errors, new, old)
    found = {each.get("name", ""): each for each in new["spec"].get("ephemeralContainers") or []}
    at = "spec.ephemeralContainers"
    for each in old["spec"].get("ephemeralContainers") or []:
        name = each.get("name", "")
        if name not in found:
            errors.forbidden(at, f'existing ephemeral containers "{name}" may not be removed\n')
        elif found[name] != each:
            said = f'existing ephemeral containers "{name}" may not be changed\n{diff(each, found[name])}'
            errors.forbidden(at, said)


# --- resize ---------------------------------------------------------------------------------------------------------


def resize(errors: ErrorList, new: Obj, old: Obj) -> None:
    pods.metadata_and_spec(errors, new)
    refused = ""
    if pod_annotations.MIRROR in (old["metadata"].get("annotations") or {}):
        refused = "static pods cannot be resized"
    elif (old["spec"].get("os") or {}).get("name") == "windows":
        refused = "windows pods cannot be resized"
    if refused:
        del errors[:]
        errors.forbidden("[]", refused)
        return
    if (old.get("status") or {}).get("qosClass") != qos_class(new["spec"]):
        said = "Pod QOS Class may not change as a result of resizing"
        errors.invalid("spec", (new.get("status") or {}).get("qosClass", ""), said)
    running = [
        s for s in (old.get("status") or {}).get("containerStatuses") or [] if "running" in (s.get("state") or {})
    ]
    if running and running[0].get("resources") is None:
        errors.forbidden("spec", "Pod running on node without support for resize")
    after = copy(new["spec"])
    _pod_level(errors, after, old["spec"])
    if not _same_order(errors, new["spec"], old["spec"]):
        return
    _resized(errors, after, old["spec"])
    if not errors and after != old["spec"]:
        errors.forbidden("spec", "only cpu and memory resources are mutable")


def qos_class(spec: Obj) -> str:
    """Upstream: core/helper/qos. Zero amounts count as none."""
    found: list[Any] = [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]
    if spec.get("resources"):
        found = [spec]
    asked, guaranteed = False, True
    for each in found:
        resources = each.get("resources") or {}
        requests, limits = (
            {k: v for k, v in (resources.get(kind) or {}).items() if k in ("cpu", "memory") and v != "0"}
            for kind in ("requests", "limits")
        )
        asked = asked or bool(requests or limits)
        guaranteed = guaranteed and len(limits) == 2 and (requests or limits) == limits
    return ("Guaranteed" if guaranteed else "Burstable") if asked else "BestEffort"


def _removed(new: Obj | None, old: Obj | None, kind: str) -> bool:
    return bool(set((old or {}).get(kind) or {}) - set((new or {}).get(kind) or {}))


def _pod_level(errors: ErrorList, after: Obj, old: Obj) -> None:
    mine, theirs = after.get("resources"), old.get("resources")
    if not mine and not theirs:
        return
    if theirs and not mine:
        errors.forbidden("spec.resources", "pod-level resources cannot be removed")
        return
    for kind, word in (("requests", "requests"), ("limits", "limits")):
        if theirs and _removed(mine, theirs, kind):
            errors.forbidden(f"spec.resources.{kind}", f"pod-level resource {word} cannot be removed")
    _put_back(after, old)
    if after.get("resources") != theirs:
        errors.forbidden("spec", "only cpu and memory resources are mutable at pod-level")


def _put_back(into: Obj, old: Obj) -> None:
    """cpu and memory of `into.resources` as they were."""
    resources = into.get("resources") or {}
    for kind in ("requests", "limits"):
        kept = {k: v for k, v in (resources.get(kind) or {}).items() if k not in ("cpu", "memory")}
        before = (old.get("resources") or {}).get(kind) or {}
        kept.update({k: v for k, v in before.items() if k in ("cpu", "memory")})
        resources.pop(kind, None)
        if kept or kind in (old.get("resources") or {}):
            resources[kind] = kept
    into["resources"] = {**{k: v for k, v in (old.get("resources") or {}).items() if k == "claims"}, **resources}
    if not into["resources"] and "resources" not in old:
        del into["resources"]


def _same_order(errors: ErrorList, new: Obj, old: Obj) -> bool:
    before = len(errors)
    for kind in KINDS:
        mine, theirs = new.get(kind) or [], old.get(kind) or []
        if len(mine) != len(theirs):
            errors.forbidden(f"spec.{kind}", f"{kind} may not be added or removed on resize")
            continue
        for index, each in enumerate(theirs):
            if mine[index].get("name") != each.get("name"):
                said = f"{kind} may not be renamed or reordered on resize"
                errors.forbidden(f"spec.{kind}[{index}].name", said)
    return len(errors) == before


def _resized(errors: ErrorList, after: Obj, old: Obj) -> None:
    for kind in reversed(KINDS):
        for index, mine in enumerate(after.get(kind) or []):
            theirs = (old.get(kind) or [])[index]
            for part in ("requests", "limits"):
                if _removed(mine.get("resources"), theirs.get("resources"), part):
                    said = f"resource {part} cannot be removed"
                    errors.forbidden(f"spec.{kind}[{index}].resources.{part}", said)
            _put_back(mine, theirs)
            if mine != theirs and kind == "containers":
                errors.forbidden("spec", "only cpu and memory resources are mutable")
            elif mine != theirs:
                said = "only cpu and memory resources for init or sidecar containers are mutable"
                errors.forbidden(f"spec.initContainers[{index}]", said)
