"""Pods and pod templates. Upstream: pkg/apis/core/validation/validation.go."""

from __future__ import annotations

from workshop.api import names, quantity
from workshop.api.meta import Obj, copy
from workshop.api.validation import metadata
from workshop.api.validation.field import ErrorList

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
PROTOCOLS = ("SCTP", "TCP", "UDP")
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
STANDARD_RESOURCES = {"cpu", "memory", "ephemeral-storage", "storage"}
HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
LARGEST = 2**31 - 1
ENV_SOURCES = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"


def pod_spec(errors: ErrorList, path: str, spec: Obj) -> None:
    volumes = _volumes(errors, f"{path}.volumes", spec.get("volumes") or [])
    seen: set[str] = set()
    if not spec.get("containers"):
        errors.required(f"{path}.containers")
    for index, each in enumerate(spec.get("containers") or []):
        _container(errors, f"{path}.containers[{index}]", each, seen, volumes)
    for index, each in enumerate(spec.get("initContainers") or []):
        at = f"{path}.initContainers[{index}]"
        _container(errors, at, each, seen, volumes)
        for name in ("lifecycle", *PROBES):
            if each.get(name) is not None and each.get("restartPolicy") != "Always":
                errors.forbidden(f"{at}.{name}", "may not be set for init containers without restartPolicy=Always")
    errors.one_of(f"{path}.restartPolicy", spec.get("restartPolicy", ""), RESTART_POLICIES)
    errors.one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy", ""), DNS_POLICIES)
    metadata.labels(errors, f"{path}.nodeSelector", spec.get("nodeSelector"))
    for name, check in (
        ("serviceAccountName", names.dns1123_subdomain),
        ("nodeName", names.dns1123_subdomain),
        ("hostname", names.dns1123_label),
        ("subdomain", names.dns1123_label),
    ):
        if spec.get(name):
            errors.each(f"{path}.{name}", spec[name], check(spec[name]))
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= LARGEST:
        errors.invalid(f"{path}.activeDeadlineSeconds", deadline, names.inclusive_range(1, LARGEST))
    _tolerations(errors, f"{path}.tolerations", spec.get("tolerations") or [])


def _volumes(errors: ErrorList, path: str, volumes: list[Obj]) -> set[str]:
    seen: set[str] = set()
    for index, each in enumerate(volumes):
        at, name = f"{path}[{index}]", each.get("name", "")
        if not name:
            errors.required(f"{at}.name")
        elif name in seen:
            errors.duplicate(f"{at}.name", name)
        else:
            errors.each(f"{at}.name", name, names.dns1123_label(name))
        seen.add(name)
        sources = [source for source in each if source != "name"]
        for extra in sources[1:]:
            errors.forbidden(f"{at}.{extra}", "may not specify more than 1 volume type")
        if sources:
            _volume_source(errors, at, sources[0], each[sources[0]] or {})
    return seen


NEEDED = {"secret": "secretName", "persistentVolumeClaim": "claimName", "hostPath": "path", "configMap": "name"}


def _volume_source(errors: ErrorList, at: str, kind: str, source: Obj) -> None:
    needed = NEEDED.get(kind)
    if needed and not source.get(needed):
        errors.required(f"{at}.{kind}.{needed}")
    elif kind == "hostPath" and ".." in source["path"].split("/"):
        errors.invalid(f"{at}.hostPath.path", source["path"], "must not contain '..'")


def _container(errors: ErrorList, at: str, each: Obj, seen: set[str], volumes: set[str]) -> None:
    name = each.get("name", "")
    if not name:
        errors.required(f"{at}.name")
    else:
        errors.each(f"{at}.name", name, names.dns1123_label(name))
        if name in seen:
            errors.duplicate(f"{at}.name", name)
    seen.add(name)
    image = each.get("image", "")
    if not image:
        errors.required(f"{at}.image")
    elif image != image.strip():
        errors.invalid(f"{at}.image", image, "must not have leading or trailing whitespace")
    errors.one_of(f"{at}.imagePullPolicy", each.get("imagePullPolicy", ""), PULL_POLICIES)
    _ports(errors, f"{at}.ports", each.get("ports") or [])
    for index, variable in enumerate(each.get("env") or []):
        _variable(errors, f"{at}.env[{index}]", variable)
    _mounts(errors, f"{at}.volumeMounts", each.get("volumeMounts") or [], volumes)
    resources(errors, f"{at}.resources", each.get("resources") or {})
    for kind in PROBES:
        if each.get(kind) is not None:
            _probe(errors, f"{at}.{kind}", each[kind])


def _ports(errors: ErrorList, path: str, ports: list[Obj]) -> None:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        at, name = f"{path}[{index}]", port.get("name", "")
        if name:
            complaints = names.port_name(name)
            errors.each(f"{at}.name", name, complaints)
            if not complaints and name in seen:
                errors.duplicate(f"{at}.name", name)
            seen.add(name)
        if not port.get("containerPort"):
            errors.required(f"{at}.containerPort")
        else:
            number = port["containerPort"]
            errors.each(f"{at}.containerPort", number, names.port_number(number))
        if port.get("hostPort"):
            errors.each(f"{at}.hostPort", port["hostPort"], names.port_number(port["hostPort"]))
        errors.one_of(f"{at}.protocol", port.get("protocol", ""), PROTOCOLS)


def _variable(errors: ErrorList, at: str, variable: Obj) -> None:
    name, source = variable.get("name", ""), variable.get("valueFrom")
    if not name:
        errors.required(f"{at}.name")
    else:
        errors.each(f"{at}.name", name, names.env_var_name(name))
    if source is None:
        return
    if variable.get("value"):
        errors.invalid(f"{at}.valueFrom", "", "may not be specified when `value` is not empty")
    elif not source:
        errors.invalid(f"{at}.valueFrom", "", f"must specify one of: {ENV_SOURCES}")
    elif len(source) > 1:
        errors.invalid(f"{at}.valueFrom", "", "may not have more than one field specified at a time")


def _mounts(errors: ErrorList, path: str, mounts: list[Obj], volumes: set[str]) -> None:
    seen: set[str] = set()
    for index, mount in enumerate(mounts):
        at, name, where = f"{path}[{index}]", mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            errors.required(f"{at}.name")
        if name not in volumes:
            errors.not_found(f"{at}.name", name)
        if not where:
            errors.required(f"{at}.mountPath")
        elif where in seen:
            errors.invalid(f"{at}.mountPath", where, "must be unique")
        seen.add(where)
        below = mount.get("subPath", "")
        if below.startswith("/"):
            errors.invalid(f"{at}.subPath", below, "must be a relative path")
        if ".." in below.split("/"):
            errors.invalid(f"{at}.subPath", below, "must not contain '..'")


def resources(errors: ErrorList, path: str, found: Obj) -> None:
    limits = found.get("limits") or {}
    for kind in ("limits", "requests"):
        for name, amount in (found.get(kind) or {}).items():
            _amount(errors, f"{path}.{kind}", kind, name, amount, limits)


def _amount(errors: ErrorList, path: str, kind: str, name: str, amount: str, limits: Obj) -> None:
    at, value = f"{path}[{name}]", quantity.parse(amount)
    complaints = names.qualified_name(name)
    errors.each(at, name, complaints)
    if not complaints and "/" not in name and name not in STANDARD_RESOURCES and not name.startswith("hugepages-"):
        errors.invalid(at, name, "must be a standard resource type or fully qualified")
        errors.invalid(at, name, "must be a standard resource for containers")
    if value < quantity.parse("0"):
        errors.invalid(at, amount, "must be greater than or equal to 0")
    if kind == "requests" and name in limits and value > quantity.parse(limits[name]):
        errors.invalid(path, amount, f"must be less than or equal to {name} limit of {limits[name]}")


def _probe(errors: ErrorList, at: str, probe: Obj) -> None:
    handlers = [name for name in HANDLERS if probe.get(name) is not None]
    if not handlers:
        errors.required(at, "must specify a handler type")
    for extra in handlers[1:]:
        errors.forbidden(f"{at}.{extra}", "may not specify more than 1 handler type")
    if handlers[:1] == ["exec"] and not probe["exec"].get("command"):
        errors.required(f"{at}.exec.command")
    if handlers and "port" in (handler := probe[handlers[0]]):
        port = handler["port"]
        check = names.port_name(port) if isinstance(port, str) else names.port_number(port)
        errors.each(f"{at}.{handlers[0]}.port", port, check)
    counts = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
    errors.not_negative(probe, at, *counts)
    if not at.endswith("readinessProbe") and probe.get("successThreshold", 1) > 1:
        errors.invalid(f"{at}.successThreshold", probe["successThreshold"], "must be 1")


def _tolerations(errors: ErrorList, path: str, tolerations: list[Obj]) -> None:
    for index, each in enumerate(tolerations):
        at, key, operator = f"{path}[{index}]", each.get("key", ""), each.get("operator", "")
        if key:
            errors.each(f"{at}.key", key, names.qualified_name(key))
        elif operator != "Exists":
            meaning = 'which means "match all values and all keys"'
            errors.invalid(f"{at}.operator", operator, f"operator must be Exists when `key` is empty, {meaning}")
        if each.get("tolerationSeconds") is not None and each.get("effect", "") != "NoExecute":
            errors.invalid(
                f"{at}.effect", each.get("effect", ""), "effect must be 'NoExecute' when `tolerationSeconds` is set"
            )
        if operator == "Exists" and each.get("value"):
            errors.invalid(f"{at}.operator", each["value"], "value must be empty when `operator` is 'Exists'")
        if operator not in ("", "Equal", "Exists"):
            errors.not_supported(f"{at}.operator", operator, ("Equal", "Exists"))
        if each.get("effect"):
            errors.one_of(f"{at}.effect", each["effect"], EFFECTS)


MAY_CHANGE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def pod_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    """Of a running pod only images, deadline and added tolerations may change (and gates may go)."""
    after, before = copy(new["spec"]), old["spec"]
    if len(after.get("containers", [])) != len(before.get("containers", [])):
        errors.forbidden("spec.containers", "pod updates may not add or remove containers")
        return
    for kind in ("containers", "initContainers"):
        for mine, theirs in zip(after.get(kind) or [], before.get(kind) or [], strict=False):
            mine["image"] = theirs.get("image", "")
    gone = [each for each in before.get("tolerations") or [] if each not in (after.get("tolerations") or [])]
    if gone:
        errors.forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")
    for name in ("activeDeadlineSeconds", "tolerations", "schedulingGates"):
        after.pop(name, None)
        if name in before:
            after[name] = before[name]
    if after != before and not gone:
        errors.forbidden("spec", MAY_CHANGE)


def template(errors: ErrorList, path: str, found: Obj) -> None:
    metadata.labels(errors, f"{path}.metadata.labels", (found.get("metadata") or {}).get("labels"))
    pod_spec(errors, f"{path}.spec", found.get("spec") or {})
