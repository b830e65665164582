"""ConfigMaps, Secrets, namespaces, ControllerRevisions. Upstream: core/validation, apps/validation, v1.36.2."""

from __future__ import annotations

import base64
import json

from workshop.api import json_syntax, names
from workshop.api.meta import Obj
from workshop.api.validation import metadata
from workshop.api.validation.field import ErrorList

BIGGEST_DATA = 1024 * 1024
FROZEN = "field is immutable when `immutable` is set"
REDACTED = "<secret contents redacted>"


def config_map(errors: ErrorList, obj: Obj) -> None:
    size, binary = 0, obj.get("binaryData") or {}
    for key, value in (obj.get("data") or {}).items():
        errors.each(f"data[{key}]", key, names.config_map_key(key))
        if key in binary:
            errors.invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
        size += len(value.encode())
    for key, value in binary.items():
        errors.each(f"binaryData[{key}]", key, names.config_map_key(key))
        size += _decoded_size(value)
    if size > BIGGEST_DATA:
        errors.too_long("[]", BIGGEST_DATA)


def _decoded_size(value: str | None) -> int:
    """None is a value too: no bytes."""
    return len(value) // 4 * 3 - value[-2:].count("=") if value else 0


NEEDED = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
}
SERVICE_ACCOUNT = "kubernetes.io/service-account.name"


def secret(errors: ErrorList, obj: Obj) -> None:
    data, kind = obj.get("data") or {}, obj.get("type", "")
    for key in data:
        errors.each(f"data[{key}]", key, names.config_map_key(key))
    if sum(map(_decoded_size, data.values())) > BIGGEST_DATA:
        errors.too_long("data", BIGGEST_DATA)
    for key in NEEDED.get(kind, ()):
        if key not in data:
            errors.required(f"data[{key}]")
        elif key.startswith(".docker") and (why := _not_an_object(base64.b64decode(data[key] or ""))):
            errors.invalid(f"data[{key}]", REDACTED, why)
    if kind == "kubernetes.io/basic-auth" and not {"username", "password"} & set(data):
        errors.required("data[username]")
        errors.required("data[password]")
    if kind == "kubernetes.io/ssh-auth" and not data.get("ssh-privatekey"):
        errors.required("data[ssh-privatekey]")
    account = (obj["metadata"].get("annotations") or {}).get(SERVICE_ACCOUNT)
    if kind == "kubernetes.io/service-account-token" and not account:
        errors.required(f"metadata.annotations[{SERVICE_ACCOUNT}]")


GO_WORDS = {list: "array", str: "string", int: "number", float: "number", bool: "bool"}


def _not_an_object(raw: bytes) -> str:
    """What Go's json.Unmarshal into a map says."""
    text = raw.decode("utf-8", "replace")
    try:
        found = json.loads(text)
    except ValueError:
        return json_syntax.complaint(text)
    if found is None or isinstance(found, dict):
        return ""
    return f"json: cannot unmarshal {GO_WORDS[type(found)]} into Go value of type map[string]interface {{}}"


def frozen_data(errors: ErrorList, new: Obj, old: Obj) -> None:
    """A ConfigMap or Secret that is marked immutable stays so."""
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        errors.forbidden("immutable", FROZEN)
    for name in ("data", "binaryData"):
        if (new.get(name) or {}) != (old.get(name) or {}):
            errors.forbidden(name, FROZEN)


def secret_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    errors.immutable("type", new.get("type"), old.get("type"))
    frozen_data(errors, new, old)


def namespace(errors: ErrorList, obj: Obj) -> None:
    for finalizer in (obj.get("spec") or {}).get("finalizers") or []:
        spec_finalizer(errors, "spec.finalizers", finalizer)


def spec_finalizer(errors: ErrorList, path: str, finalizer: str) -> None:
    errors.each(path, finalizer, names.qualified_name(finalizer))
    metadata.core_finalizer(errors, path, finalizer)


def namespace_finalize(errors: ErrorList, new: Obj, old: Obj) -> None:
    for index, finalizer in enumerate((new.get("spec") or {}).get("finalizers") or []):
        spec_finalizer(errors, f"spec.finalizers[{index}]", finalizer)


def namespace_status(errors: ErrorList, new: Obj, old: Obj) -> None:
    phase, going = (new.get("status") or {}).get("phase", ""), new["metadata"].get("deletionTimestamp")
    if not going and phase != "Active":
        errors.invalid("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")
    if going and phase != "Terminating":
        errors.invalid("status.Phase", phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")


def controller_revision(errors: ErrorList, obj: Obj) -> None:
    if obj.get("revision", 0) < 0:
        errors.invalid("revision", obj["revision"], "must be greater than or equal to 0")
    if obj.get("data") is None:
        errors.required("data", "data is mandatory")
