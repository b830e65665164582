"""APIServices. Upstream: kube-aggregator/pkg/apis/apiregistration/validation/validation.go."""

from __future__ import annotations

import base64

from workshop.api import names
from workshop.api.errors import quote
from workshop.api.meta import Obj
from workshop.api.validation.field import ErrorList


def api_service(errors: ErrorList, obj: Obj) -> None:
    spec = obj["spec"]
    group, version = spec.get("group") or "", spec.get("version") or ""
    needed = quote(f"{version}.{group}")
    for field in ("name", "generateName"):
        given = obj["metadata"].get(field) or ""
        if given and given != f"{version}.{group}":
            errors.invalid(f"metadata.{field}", given, f'must be `spec.version+"."+spec.group`: {needed}')
    if not group and version != "v1":
        errors.required("spec.group", "only v1 may have an empty group and it better be legacy kube")
    if group:
        errors.each("spec.group", group, names.dns1123_subdomain(group))
    errors.each("spec.version", version, names.dns1035_label(version))
    for field, most in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        value = spec.get(field) or 0
        if not 0 < value <= most:
            errors.invalid(f"spec.{field}", value, f"must be positive and less than {most}")
    _service(errors, spec)


def _service(errors: ErrorList, spec: Obj) -> None:
    service, ca, insecure = spec.get("service"), spec.get("caBundle"), spec.get("insecureSkipTLSVerify")
    if service is None:
        if ca:
            size = len(base64.b64decode(ca))
            errors.invalid("spec.caBundle", f"{size} bytes", "local APIServices may not have a caBundle")
        if insecure:
            text = "local APIServices may not have insecureSkipTLSVerify"
            errors.invalid("spec.insecureSkipTLSVerify", True, text)
        return
    for field in ("namespace", "name"):
        if not service.get(field):
            errors.required(f"spec.service.{field}")
    port = service.get("port")
    if port is not None and not 1 <= port <= 65535:
        text = "port is not valid: must be between 1 and 65535, inclusive"
        errors.invalid("spec.service.port", port, text)
    if insecure and ca:
        errors.invalid("spec.insecureSkipTLSVerify", True, "may not be true if caBundle is present")


def status(errors: ErrorList, new: Obj, old: Obj) -> None:
    for index, each in enumerate((new.get("status") or {}).get("conditions") or ()):
        if each.get("status") not in ("True", "False", "Unknown"):
            path = f"status.conditions[{index}].status"
            errors.not_supported(path, each.get("status") or "", ("True", "False", "Unknown"))
