"""What is particular to pods when they are written. Upstream: pkg/registry/core/pod/strategy.go."""

from __future__ import annotations

from workshop.api import no_controller
from workshop.api.meta import Obj
from workshop.api.quantity import parse
from workshop.api.resources import Resource
from workshop.api.validation import ErrorList, security
from workshop.api.validation.containers import every
from workshop.api.warnings.pods import APP_ARMOR_INSTEAD, APP_ARMOR_OF, app_armor
from workshop.clock import rfc3339

from .options import DeleteOptions
from .strategy import Strategy, Write, take


class Pods(Strategy):
    def __init__(self, resource: Resource) -> None:
        super().__init__(resource)
        self.counts_generation = True

    def prepare_for_create(self, obj: Obj, write: Write) -> None:
        obj["metadata"]["generation"] = 1
        spec = obj.setdefault("spec", {})
        obj["status"] = {"phase": "Pending", "qosClass": qos_class(obj)}
        if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
            spec["terminationGracePeriodSeconds"] = 1
        write.options.warnings.extend(app_armor_of_old(obj))
        if spec.get("schedulingGates"):
            obj["status"]["conditions"] = [
                {
                    "type": "PodScheduled", "status": "False", "lastProbeTime": None,
                    "lastTransitionTime": rfc3339(write.now), "reason": "SchedulingGated",
                    "message": "Scheduling is blocked due to non-empty scheduling gates",
                }
            ]  # fmt: skip

    def prepare_for_update(self, new: Obj, old: Obj, write: Write) -> None:
        if write.subresource == "binding":  # the server's own change: node and condition, no new generation
            return
        if write.subresource == "ephemeralcontainers":
            _only(new, old, {**old["spec"], **_part(new, "ephemeralContainers")}, "ephemeralContainers")
        elif write.subresource == "resize":
            _only(new, old, resized_spec(new["spec"], old["spec"]))
        super().prepare_for_update(new, old, write)
        new.setdefault("status", {}).setdefault("qosClass", old.get("status", {}).get("qosClass") or qos_class(old))

    def prepare_for_status_update(self, new: Obj, old: Obj) -> None:
        super().prepare_for_status_update(new, old)
        take(new["metadata"], old["metadata"], "ownerReferences")  # old kubelets spoilt them
        keep_observed_generations(new.setdefault("status", {}), old.get("status", {}))

    def grace_seconds(self, obj: Obj, options: DeleteOptions) -> int:
        """Nobody has to be asked about a pod that is on no node, or that has ended."""
        spec, phase = obj["spec"], obj.get("status", {}).get("phase")
        if not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
            return 0
        grace = options.grace if options.grace is not None else spec.get("terminationGracePeriodSeconds", 30)
        return max(int(grace), 0)

    def returns_deleted_object(self) -> bool:
        return True

    def warnings(self, new: Obj, old: Obj | None, subresource: str = "") -> list[str]:
        unattended = no_controller.of_pod(new) if old is None else None
        return [*([unattended] if unattended is not None else []), *super().warnings(new, old, subresource)]


def app_armor_of_old(pod: Obj) -> list[str]:
    """Write profiles that annotations of old name into the fields of today, in place; what to say of them. Upstream:
    applyAppArmorVersionSkew."""
    told: list[str] = []
    spec, annotations = pod["spec"], pod["metadata"].get("annotations") or {}
    if (spec.get("os") or {}).get("name") == "windows":
        return told
    for _, container in every(spec, "spec"):
        key = f"{APP_ARMOR_OF}{container.get('name', '')}"
        own = container.get("securityContext") or {}
        if key not in annotations or own.get("appArmorProfile") is not None:
            continue
        found = app_armor(annotations[key])
        fits = found is not None and _is_profile(found)
        if fits and found == (spec.get("securityContext") or {}).get("appArmorProfile"):
            continue
        if fits:
            container["securityContext"] = {**own, "appArmorProfile": found}
        told.append(f"metadata.annotations[{key}]: {APP_ARMOR_INSTEAD}")
    return told


def _is_profile(found: Obj) -> bool:
    problems = ErrorList()
    security.app_armor(problems, "", found)
    return not problems


def _part(pod: Obj, name: str) -> Obj:
    return {name: pod["spec"][name]} if pod["spec"].get(name) else {}


def _only(new: Obj, old: Obj, spec: Obj, *dropped: str) -> None:
    """`new` becomes `old` with another spec: a door that takes the whole pod and looks at a part of it."""
    new["spec"] = {name: value for name, value in spec.items() if name not in dropped or new["spec"].get(name)}
    for name in ("labels", "annotations", "finalizers", "ownerReferences", "deletionTimestamp", "generation"):
        take(new["metadata"], old["metadata"], name)


KINDS = ("containers", "initContainers")


def resized_spec(new: Obj, old: Obj) -> Obj:
    """The old spec with the new one's resources. Where containers came, went or changed places, the new one as it is:
    validation says so. Upstream: dropNonResizeUpdates."""
    if any(len(new.get(kind) or []) != len(old.get(kind) or []) for kind in KINDS):
        return new
    made = {name: value for name, value in old.items() if name != "resources"}
    if "resources" in new:
        made["resources"] = new["resources"]
    for kind in KINDS:
        pairs = list(zip(new.get(kind) or [], old.get(kind) or [], strict=True))
        if any(mine.get("name") != theirs.get("name") for mine, theirs in pairs):
            made[kind] = new[kind]
        elif pairs:
            made[kind] = [_with_resources(theirs, mine) for mine, theirs in pairs]
    return made


def _with_resources(container: Obj, source: Obj) -> Obj:
    made = dict(container)
    for name in ("resources", "resizePolicy"):
        take(made, source, name)
    return made


def keep_observed_generations(status: Obj, before: Obj) -> None:
    """A kubelet that does not know them yet takes none away. Conditions of one type are matched in their order."""
    if not status.get("observedGeneration") and before.get("observedGeneration"):
        status["observedGeneration"] = before["observedGeneration"]
    known: dict[str, list[int]] = {}
    for each in before.get("conditions") or []:
        known.setdefault(each.get("type", ""), []).append(each.get("observedGeneration", 0))
    for each in status.get("conditions") or []:
        kept = known.get(each.get("type", ""))
        generation = kept.pop(0) if kept else 0
        if not each.get("observedGeneration") and generation:
            each["observedGeneration"] = generation


def qos_class(pod: Obj) -> str:
    """Guaranteed, Burstable or BestEffort. Upstream: pkg/apis/core/helper/qos/qos.go."""
    spec = pod["spec"]
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    asked, guaranteed = False, True
    for container in [spec, *containers] if spec.get("resources") is not None else containers:
        resources = container.get("resources") or {}
        requests, limits = ({k: parse(v) for k, v in (resources.get(f) or {}).items() if k in ("cpu", "memory")
                             and not parse(v).is_zero()} for f in ("requests", "limits"))  # fmt: skip
        asked = asked or bool(requests or limits)
        guaranteed = guaranteed and len(limits) == 2 and (requests or limits) == limits
        if container is spec:
            break
    if not asked:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"
