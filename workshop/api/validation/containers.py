"""Containers of all three kinds. Upstream: core/validation (validateContainerCommon and what it calls), v1.36.2."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation import amounts, probes, security
from workshop.api.validation.field import ErrorList
from workshop.api.validation.paths import descending, no_backsteps
from workshop.api.validation.projected import ENV_FIELDS, field_ref, resource_ref

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
PROTOCOLS = ("SCTP", "TCP", "UDP")
ENV_SOURCES = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
RESTART_POLICIES = ("Always", "Never", "OnFailure")


@dataclass(frozen=True)
class Within:
    """What a container has to know of its pod."""

    spec: Obj
    volumes: dict[str, Obj] = field(default_factory=dict)
    """Those that are as they should be, by name."""

    @property
    def claims(self) -> set[str]:
        return {c["name"] for c in self.spec.get("resourceClaims") or [] if c.get("name")}

    @property
    def grace(self) -> int | None:
        seconds: int | None = self.spec.get("terminationGracePeriodSeconds")
        return seconds

    @property
    def restart_policy(self) -> str:
        return str(self.spec.get("restartPolicy", ""))

    @property
    def host_users(self) -> bool:
        return self.spec.get("hostUsers") is not False

    @property
    def os(self) -> str | None:
        found = self.spec.get("os")
        return None if found is None else found.get("name", "")


def containers(errors: ErrorList, path: str, found: list[Obj], pod: Within) -> None:
    if not found:
        errors.required(path)
        return
    seen: set[str] = set()
    for index, each in enumerate(found):
        at = f"{path}[{index}]"
        common(errors, at, each, pod)
        if each.get("name", "") in seen:
            errors.duplicate(f"{at}.name", each.get("name", ""))
        seen.add(each.get("name", ""))
        _run_time(errors, at, each, pod)
        _restart(errors, at, each)
    _host_ports(errors, path, found)


NOT_FOR_INIT = "may not be set for init containers without restartPolicy=Always"


def init_containers(errors: ErrorList, path: str, found: list[Obj], others: list[Obj], pod: Within) -> None:
    seen = {each.get("name", "") for each in others}
    for index, each in enumerate(found):
        at, name = f"{path}[{index}]", each.get("name", "")
        sidecar = each.get("restartPolicy") == "Always"
        common(errors, at, each, pod)
        _restart(errors, at, each)
        if name in seen:
            errors.duplicate(f"{at}.name", name)
        elif name:
            seen.add(name)
        _host_ports(errors, path, [each])
        if sidecar:
            _run_time(errors, at, each, pod)
            continue
        for part in ("lifecycle", *probes.PROBES):
            if each.get(part) is not None:
                errors.forbidden(f"{at}.{part}", NOT_FOR_INIT)
        for i, policy in enumerate(each.get("resizePolicy") or []):
            if policy.get("restartPolicy") == "RestartContainer":
                said = "must not be set to 'RestartContainer' for non-sidecar initContainers"
                errors.invalid(f"{at}.resizePolicy[{i}].restartPolicy", "RestartContainer", said)


EPHEMERAL_MAY_NOT = ("ports", "resources", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle")
NOT_EPHEMERAL = "cannot be set for an Ephemeral Container"


def ephemeral_containers(errors: ErrorList, path: str, spec: Obj, pod: Within) -> None:
    others = {c.get("name", "") for kind in ("containers", "initContainers") for c in spec.get(kind) or []}
    seen = set(others)
    for index, each in enumerate(spec.get("ephemeralContainers") or []):
        at, name, target = f"{path}[{index}]", each.get("name", ""), each.get("targetContainerName", "")
        common(errors, at, each, pod)
        trimmed_image(errors, at, each)
        if name in seen:
            errors.duplicate(f"{at}.name", name)
        seen.add(name)
        if target and target not in others:
            errors.not_found(f"{at}.targetContainerName", target)
        for part in (*EPHEMERAL_MAY_NOT, "resizePolicy", "restartPolicy", "restartPolicyRules"):
            if each.get(part):
                errors.forbidden(f"{at}.{part}", NOT_EPHEMERAL)
        for i, mount in enumerate(each.get("volumeMounts") or []):
            for part in ("subPath", "subPathExpr"):
                if mount.get(part):
                    errors.forbidden(f"{at}.volumeMounts[{i}].{part}", NOT_EPHEMERAL)


def trimmed_image(errors: ErrorList, at: str, each: Obj) -> None:
    """Templates may have blanks there: pods may not."""
    image = each.get("image", "")
    if image != image.strip():
        errors.invalid(f"{at}.image", image, "must not have leading or trailing whitespace")


def _run_time(errors: ErrorList, at: str, each: Obj, pod: Within) -> None:
    if each.get("lifecycle") is not None:
        probes.lifecycle(errors, f"{at}.lifecycle", each["lifecycle"], pod.grace, pod.os)
    for kind in probes.PROBES:
        if each.get(kind) is not None:
            probes.probe(errors, f"{at}.{kind}", kind, each[kind], pod.grace)


def common(errors: ErrorList, at: str, each: Obj, pod: Within) -> None:
    name = each.get("name", "")
    if not name:
        errors.required(f"{at}.name")
    else:
        errors.each(f"{at}.name", name, names.dns1123_label(name))
    errors.needed(each, at, "image")
    errors.one_of(
        f"{at}.terminationMessagePolicy", each.get("terminationMessagePolicy"), ("File", "FallbackToLogsOnError")
    )
    mounts, devices = each.get("volumeMounts") or [], each.get("volumeDevices") or []
    _ports(errors, f"{at}.ports", each.get("ports") or [])
    for index, variable in enumerate(each.get("env") or []):
        _variable(errors, f"{at}.env[{index}]", variable)
    _env_from(errors, f"{at}.envFrom", each.get("envFrom") or [])
    _mounts(errors, f"{at}.volumeMounts", each, {d.get("name", ""): d.get("devicePath", "") for d in devices}, pod)
    _devices(errors, f"{at}.volumeDevices", devices, {m.get("name", ""): m.get("mountPath", "") for m in mounts}, pod)
    errors.one_of(f"{at}.imagePullPolicy", each.get("imagePullPolicy", ""), PULL_POLICIES)
    amounts.requirements(errors, f"{at}.resources", each.get("resources") or {}, pod.claims)
    _resize_policy(errors, f"{at}.resizePolicy", each.get("resizePolicy") or [], pod.restart_policy)
    security.container(errors, f"{at}.securityContext", each.get("securityContext"), pod.host_users)


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
        errors.needed(port, at, "containerPort")
        for kind in ("containerPort", "hostPort"):
            if port.get(kind):
                errors.each(f"{at}.{kind}", port[kind], names.port_number(port[kind]))
        errors.one_of(f"{at}.protocol", port.get("protocol", ""), PROTOCOLS)


def _host_ports(errors: ErrorList, path: str, found: list[Obj]) -> None:
    seen: set[str] = set()
    for index, each in enumerate(found):
        for i, port in enumerate(each.get("ports") or []):
            if port.get("hostPort"):
                key = f"{port.get('protocol', '')}/{port.get('hostIP', '')}/{port['hostPort']}"
                if key in seen:
                    errors.duplicate(f"{path}[{index}].ports[{i}].hostPort", key)
                seen.add(key)


def _variable(errors: ErrorList, at: str, variable: Obj) -> None:
    name, source = variable.get("name", ""), variable.get("valueFrom")
    if not name:
        errors.required(f"{at}.name")
    else:
        errors.each(f"{at}.name", name, names.env_var_name(name))
    if source is None:
        return
    at = f"{at}.valueFrom"
    given = [kind for kind in SOURCES if source.get(kind) is not None]
    for kind in given:
        SOURCES[kind](errors, f"{at}.{kind}", source[kind])
    if not given:
        errors.invalid(at, "", f"must specify one of: {ENV_SOURCES}")
    elif variable.get("value"):
        errors.invalid(at, "", "may not be specified when `value` is not empty")
    elif len(given) > 1:
        errors.invalid(at, "", "may not have more than one field specified at a time")


def _key_ref(errors: ErrorList, at: str, ref: Obj) -> None:
    errors.each(f"{at}.name", ref.get("name", ""), names.dns1123_subdomain(ref.get("name", "")))
    errors.needed(ref, at, "key")
    if ref.get("key"):
        errors.each(f"{at}.key", ref["key"], names.config_map_key(ref["key"]))


def _file_ref(errors: ErrorList, at: str, ref: Obj) -> None:
    checks = {"key": names.env_var_name, "volumeName": names.dns1123_label}
    for part in ("key", "volumeName", "path"):
        if not (value := ref.get(part)):
            errors.required(f"{at}.{part}")
        elif part == "path":
            no_backsteps(errors, f"{at}.path", value)
        else:
            errors.each(f"{at}.{part}", value, checks[part](value))


SOURCES = {
    "fieldRef": lambda errors, at, ref: field_ref(errors, at, ref, ENV_FIELDS),
    "resourceFieldRef": lambda errors, at, ref: resource_ref(errors, at, ref, False),
    "configMapKeyRef": _key_ref,
    "secretKeyRef": _key_ref,
    "fileKeyRef": _file_ref,
}


def _env_from(errors: ErrorList, path: str, found: list[Obj]) -> None:
    for index, each in enumerate(found):
        at, prefix = f"{path}[{index}]", each.get("prefix", "")
        if prefix:
            errors.each(f"{at}.prefix", prefix, names.env_var_name(prefix))
        given = [kind for kind in ("configMapRef", "secretRef") if each.get(kind) is not None]
        for kind in given:
            name = each[kind].get("name", "")
            errors.needed(each[kind], f"{at}.{kind}", "name")
            if name:
                errors.each(f"{at}.{kind}.name", name, names.dns1123_subdomain(names.mask_trailing_dash(name)))
        if not given:
            errors.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(given) > 1:
            errors.invalid(path, "", "may not have more than one field specified at a time")


PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")


def _mounts(errors: ErrorList, path: str, container: Obj, devices: dict[str, str], pod: Within) -> None:
    seen: set[str] = set()
    privileged = (container.get("securityContext") or {}).get("privileged")
    for index, mount in enumerate(container.get("volumeMounts") or []):
        at, name, where = f"{path}[{index}]", mount.get("name", ""), mount.get("mountPath", "")
        errors.needed(mount, at, "name")
        if name not in pod.volumes:
            errors.not_found(f"{at}.name", name)
        errors.needed(mount, at, "mountPath")
        if where in seen:
            errors.invalid(f"{at}.mountPath", where, "must be unique")
        seen.add(where)
        if name in devices:
            errors.invalid(f"{at}.name", name, "must not already exist in volumeDevices")
        if where in devices.values():
            errors.invalid(f"{at}.mountPath", where, "must not already exist as a path in volumeDevices")
        below, expression = mount.get("subPath", ""), mount.get("subPathExpr", "")
        if below:
            descending(errors, f"{path}.subPath", below)
        if expression:
            if below:
                errors.invalid(f"{at}.subPathExpr", expression, "subPathExpr and subPath are mutually exclusive")
            descending(errors, f"{path}.subPathExpr", expression)
        propagation = mount.get("mountPropagation")
        if propagation is not None:
            errors.among(f"{path}.mountPropagation", propagation, PROPAGATIONS)
            if propagation == "Bidirectional" and not privileged:
                said = "Bidirectional mount propagation is available only to privileged containers"
                errors.forbidden(f"{path}.mountPropagation", said)
        _recursive(errors, f"{path}.recursiveReadOnly", mount)


def _recursive(errors: ErrorList, at: str, mount: Obj) -> None:
    wish = mount.get("recursiveReadOnly")
    if wish is None or wish == "Disabled":
        return
    if wish not in ("Enabled", "IfPossible"):
        errors.not_supported(at, wish, ("Disabled", "Enabled", "IfPossible"))
        return
    if not mount.get("readOnly"):
        errors.forbidden(at, "may only be specified when readOnly is true")
    if mount.get("mountPropagation") not in (None, "None"):
        errors.forbidden(at, "may only be specified when mountPropagation is None or not specified")


def _devices(errors: ErrorList, path: str, devices: list[Obj], mounts: dict[str, str], pod: Within) -> None:
    paths: set[str] = set()
    seen: set[str] = set()
    for index, device in enumerate(devices):
        at, name, where = f"{path}[{index}]", device.get("name", ""), device.get("devicePath", "")
        volume = pod.volumes.get(name)
        errors.needed(device, at, "name")
        if name in seen:
            errors.invalid(f"{at}.name", name, "must be unique")
        if volume is None:
            errors.not_found(f"{at}.name", name)
        elif volume.get("persistentVolumeClaim") is None and volume.get("ephemeral") is None:
            said = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            errors.invalid(f"{at}.name", name, said)
        errors.needed(device, at, "devicePath")
        if where in paths:
            errors.invalid(f"{at}.devicePath", where, "must be unique")
        if ".." in where.split("/"):
            errors.invalid(f"{at}.devicePath", where, "can not contain backsteps ('..')")
        else:
            paths.add(where)
        if name in mounts:
            errors.invalid(f"{at}.name", name, "must not already exist in volumeMounts")
        if where in mounts.values():
            errors.invalid(f"{at}.devicePath", where, "must not already exist as a path in volumeMounts")
        if name:
            seen.add(name)


def _resize_policy(errors: ErrorList, path: str, found: list[Obj], restart_policy: str) -> None:
    seen: set[str] = set()
    for index, each in enumerate(found):
        name, policy = each.get("resourceName", ""), each.get("restartPolicy", "")
        if name in seen:
            errors.duplicate(f"{path}[{index}]", name)
        seen.add(name)
        errors.one_of(path, name, ("cpu", "memory"))
        errors.one_of(path, policy, ("NotRequired", "RestartContainer"))
        if restart_policy == "Never" and policy != "NotRequired":
            errors.invalid(path, policy, "must be 'NotRequired' when pod `restartPolicy` is 'Never'")


ACTIONS = ("Restart", "RestartAllContainers")


def _restart(errors: ErrorList, at: str, each: Obj) -> None:
    policy, rules = each.get("restartPolicy"), each.get("restartPolicyRules") or []
    if policy is None:
        if rules:
            errors.required(f"{at}.restartPolicy", "must specify restartPolicy when restart rules are used")
    else:
        errors.among(f"{at}.restartPolicy", policy, RESTART_POLICIES)
    if len(rules) > 20:
        errors.too_many(f"{at}.restartPolicyRules", len(rules), 20)
    for index, rule in enumerate(rules):
        path, codes = f"{at}.restartPolicyRules[{index}]", rule.get("exitCodes")
        errors.among(f"{path}.action", rule.get("action"), ACTIONS)
        if codes is None:
            errors.required(f"{path}.exitCodes", "must be specified")
            continue
        errors.among(f"{path}.exitCodes.operator", codes.get("operator"), ("In", "NotIn"))
        if len(codes.get("values") or []) > 255:
            errors.too_many(f"{path}.exitCodes.values", len(codes["values"]), 255)


def every(spec: Obj, path: str) -> Iterable[tuple[str, dict[str, Any]]]:
    """All containers with their paths, in upstream's order (VisitContainersWithPath)."""
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for index, each in enumerate(spec.get(kind) or []):
            yield f"{path}.{kind}[{index}]", each
