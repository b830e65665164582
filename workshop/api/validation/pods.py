"""Pods and pod templates. Upstream: core/validation (ValidatePodSpec, ValidatePodCreate), v1.36.2.

What a change of a pod may be is in pod_updates.py.
"""

from __future__ import annotations

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation import (
    addresses,
    amounts,
    containers,
    metadata,
    pod_annotations,
    pod_host,
    pod_resources,
    scheduling,
    security,
)
from workshop.api.validation.containers import Within
from workshop.api.validation.field import ErrorList
from workshop.api.validation.volumes import volumes

RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
LARGEST = 2**31 - 1


def pod(errors: ErrorList, obj: Obj) -> None:
    """A new pod."""
    metadata_and_spec(errors, obj)
    spec = obj["spec"]
    if spec.get("ephemeralContainers"):
        errors.forbidden("spec.ephemeralContainers", "cannot be set on create")
    if spec.get("nodeName") and spec.get("schedulingGates"):
        errors.forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared")
    pod_annotations.profiles_match(errors, "spec", obj["metadata"].get("annotations") or {}, spec)


def metadata_and_spec(errors: ErrorList, obj: Obj) -> None:
    """All but the metadata that every kind has."""
    spec = obj["spec"]
    pod_annotations.check(errors, "metadata.annotations", obj["metadata"].get("annotations") or {}, spec)
    pod_spec(errors, "spec", spec, obj["metadata"])
    if not spec.get("serviceAccountName"):
        for index, volume in enumerate(spec.get("volumes") or []):
            for i, source in enumerate((volume.get("projected") or {}).get("sources") or []):
                if source.get("serviceAccountToken") is not None:
                    at = f"spec.volumes[{index}].projected.sources[{i}].serviceAccountToken"
                    errors.forbidden(at, "must not be specified when serviceAccountName is not set")
    for kind in ("containers", "initContainers"):
        for index, each in enumerate(spec.get(kind) or []):
            containers.trimmed_image(errors, f"spec.{kind}[{index}]", each)


def template(errors: ErrorList, path: str, found: Obj) -> None:
    meta, spec = found.get("metadata") or {}, found.get("spec") or {}
    metadata.labels(errors, f"{path}.labels", meta.get("labels"))
    metadata.annotation_map(errors, f"{path}.annotations", meta.get("annotations"))
    pod_annotations.check(errors, f"{path}.annotations", meta.get("annotations") or {}, spec)
    pod_spec(errors, f"{path}.spec", spec)
    pod_annotations.profiles_match(errors, f"{path}.spec", meta.get("annotations") or {}, spec)
    if spec.get("ephemeralContainers"):
        errors.forbidden(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")


def pod_spec(errors: ErrorList, path: str, spec: Obj, meta: Obj | None = None) -> None:
    """`meta` is a pod's; a template has none."""
    is_pod = meta is not None
    if spec.get("terminationGracePeriodSeconds") is None:
        errors.required(f"{path}.terminationGracePeriodSeconds")
    fine = volumes(errors, f"{path}.volumes", spec.get("volumes") or [], meta, is_pod)
    inside = Within(spec, fine)
    _resource_claims(errors, f"{path}.resourceClaims", spec.get("resourceClaims") or [])
    main = spec.get("containers") or []
    containers.containers(errors, f"{path}.containers", main, inside)
    containers.init_containers(errors, f"{path}.initContainers", spec.get("initContainers") or [], main, inside)
    containers.ephemeral_containers(errors, f"{path}.ephemeralContainers", spec, inside)
    pod_resources.pod_level(errors, f"{path}.resources", spec, inside)
    if spec.get("hostNetwork"):
        pod_host.host_ports(errors, f"{path}.containers", main, is_pod)
    errors.one_of(f"{path}.restartPolicy", spec.get("restartPolicy", ""), RESTART_POLICIES)
    errors.one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy", ""), DNS_POLICIES)
    metadata.labels(errors, f"{path}.nodeSelector", spec.get("nodeSelector"))
    security.pod(errors, f"{path}.securityContext", spec.get("securityContext"), spec)
    scheduling.affinity(errors, f"{path}.affinity", spec.get("affinity"))
    _dns_config(errors, f"{path}.dnsConfig", spec.get("dnsConfig"), spec.get("dnsPolicy", ""))
    for index, gate in enumerate(spec.get("readinessGates") or []):
        metadata.label_key(errors, f"{path}.readinessGates[{index}].conditionType", gate.get("conditionType", ""))
    _scheduling_gates(errors, f"{path}.schedulingGates", spec.get("schedulingGates") or [])
    scheduling.spread(errors, f"{path}.topologySpreadConstraints", spec.get("topologySpreadConstraints") or [])
    pod_host.host_process(errors, path, spec)
    pod_host.host_users(errors, path, spec)
    pod_host.host_name(errors, path, spec)
    _names(errors, path, spec)
    scheduling.tolerations(errors, f"{path}.tolerations", spec.get("tolerations") or [])
    for index, alias in enumerate(spec.get("hostAliases") or []):
        at = f"{path}.hostAliases[{index}]"
        addresses.legacy_ip(errors, f"{at}.ip", alias.get("ip", ""))
        for i, host in enumerate(alias.get("hostnames") or []):
            errors.each(f"{at}.hostnames[{i}]", host, names.dns1123_subdomain(host))
    if spec.get("preemptionPolicy") is not None:
        known = ("PreemptLowerPriority", "Never")
        errors.one_of(f"{path}.preemptionPolicy", spec["preemptionPolicy"], known)
    if spec.get("overhead") is not None:
        amounts.requirements(errors, f"{path}.overhead", {"limits": spec["overhead"]})
    pod_host.operating_system(errors, path, spec)
    _file_volumes(errors, path, spec)


NAMES = {
    "serviceAccountName": names.dns1123_subdomain,
    "nodeName": names.dns1123_subdomain,
    "hostname": names.dns1123_label,
    "subdomain": names.dns1123_label,
    "priorityClassName": names.dns1123_subdomain,
}


def _names(errors: ErrorList, path: str, spec: Obj) -> None:
    for name, check in NAMES.items():
        if spec.get(name):
            errors.each(f"{path}.{name}", spec[name], check(spec[name]))
    if (runtime := spec.get("runtimeClassName")) is not None:
        errors.each(f"{path}.runtimeClassName", runtime, names.dns1123_subdomain(runtime))
    errors.within(f"{path}.activeDeadlineSeconds", spec.get("activeDeadlineSeconds"), 1, LARGEST)


def _resource_claims(errors: ErrorList, path: str, found: list[Obj]) -> None:
    seen: set[str] = set()
    for index, each in enumerate(found):
        at, name = f"{path}[{index}]", each.get("name", "")
        claim, template = each.get("resourceClaimName"), each.get("resourceClaimTemplateName")
        shown = {"Name": name, "ResourceClaimName": claim, "ResourceClaimTemplateName": template}
        if not name:
            errors.required(f"{at}.name")
        elif name in seen:
            errors.duplicate(f"{at}.name", name)
        else:
            errors.each(f"{at}.name", name, names.dns1123_label(name))
            seen.add(name)
        lead = "`resourceClaimName` or `resourceClaimTemplateName` may be specified"
        if claim is not None and template is not None:
            errors.invalid(at, shown, f"at most one of {lead}")
        if claim is None and template is None:
            errors.invalid(at, shown, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`")
        for kind, value in (("resourceClaimName", claim), ("resourceClaimTemplateName", template)):
            if value is not None:
                errors.each(f"{at}.{kind}", value, names.dns1123_subdomain(value))


def _dns_config(errors: ErrorList, at: str, found: Obj | None, policy: str) -> None:
    servers, searches = (found or {}).get("nameservers") or [], (found or {}).get("searches") or []
    if policy == "None" and found is None:
        errors.required(at, "must provide `dnsConfig` when `dnsPolicy` is None")
        return
    if policy == "None" and not servers:
        errors.required(f"{at}.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None")
        return
    if found is None:
        return
    if len(servers) > 3:
        errors.invalid(f"{at}.nameservers", servers, "must not have more than 3 nameservers")
    for index, server in enumerate(servers):
        addresses.legacy_ip(errors, f"{at}.nameservers[{index}]", server)
    if len(searches) > 32:
        errors.invalid(f"{at}.searches", searches, "must not have more than 32 search paths")
    if len(" ".join(searches)) > 2048:
        said = "must not have more than 2048 characters (including spaces) in the search list"
        errors.invalid(f"{at}.searches", searches, said)
    for index, search in enumerate(searches):
        if search != ".":
            search = search.removesuffix(".")
            errors.each(f"{at}.searches[{index}]", search, names.dns1123_subdomain_with_underscore(search))
    for index, option in enumerate(found.get("options") or []):
        if not option.get("name"):
            errors.required(f"{at}.options[{index}]", "must not be empty")


def _scheduling_gates(errors: ErrorList, path: str, found: list[Obj]) -> None:
    seen: set[str] = set()
    for index, gate in enumerate(found):
        name = gate.get("name", "")
        metadata.label_key(errors, f"{path}[{index}]", name)
        if name in seen:
            errors.duplicate(f"{path}[{index}]", name)
        seen.add(name)


def _file_volumes(errors: ErrorList, path: str, spec: Obj) -> None:
    known = {volume.get("name", ""): volume for volume in spec.get("volumes") or []}
    for at, each in containers.every(spec, path):
        for index, variable in enumerate(each.get("env") or []):
            if (ref := (variable.get("valueFrom") or {}).get("fileKeyRef")) is None:
                continue
            name, where = ref.get("volumeName", ""), f"{at}.env[{index}].valueFrom.fileKeyRef.volumeName"
            if name not in known:
                errors.not_found(where, name)
            elif known[name].get("emptyDir") is None:
                errors.invalid(where, name, "referenced volume must be of type emptyDir")
