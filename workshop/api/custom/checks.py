"""Is a CustomResourceDefinition itself right? In upstream's words and with its field paths.

The paths are those of upstream's internal form: what all versions say alike stands at the top, so the schema of a
definition with one version is `spec.validation.openAPIV3Schema`.

Upstream: apiextensions-apiserver/pkg/apis/apiextensions/validation/validation.go, v1/conversion.go.
"""

from __future__ import annotations

import json
from typing import Any

from workshop.api import names
from workshop.api.conditions import is_true
from workshop.api.custom import schema_checks
from workshop.api.custom.naming import APPROVED, approval_state, is_protected
from workshop.api.meta import Obj
from workshop.api.validation import webhooks
from workshop.api.validation.field import ErrorList

COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
MOST_SELECTABLE = 8
MOST_WARNING = 256
SHARED = ("schema", "subresources", "additionalPrinterColumns", "selectableFields")


def new_name(errors: ErrorList, crd: Obj) -> None:
    spec = crd["spec"]
    for field in ("name", "generateName"):
        given = crd["metadata"].get(field, "")
        if given and given != f"{spec['names'].get('plural', '')}.{spec.get('group', '')}":
            errors.invalid(f"metadata.{field}", given, 'must be spec.names.plural+"."+spec.group')


def definition(errors: ErrorList, crd: Obj, old: Obj | None = None) -> None:
    """Everything but the metadata. `old` is what an update replaces."""
    _spec(errors, crd["spec"], crd, old)
    if old is not None:
        _update(errors, crd["spec"], old)
    status = crd.get("status") or {}
    _names(errors, "status.acceptedNames", status.get("acceptedNames") or {})
    _stored_versions(errors, status.get("storedVersions") or None, crd["spec"].get("versions") or [])
    _approval(errors, crd, old)
    if crd["spec"].get("preserveUnknownFields") and not (old and old["spec"].get("preserveUnknownFields")):
        text = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        errors.invalid("spec.preserveUnknownFields", True, text)


def status(errors: ErrorList, crd: Obj) -> None:
    """An update of the status alone."""
    _names(errors, "status.acceptedNames", (crd.get("status") or {}).get("acceptedNames") or {})


def shared(versions: list[Obj]) -> Obj:
    """The fields in which all versions agree: upstream tells of them at the top."""
    return {
        field: versions[0].get(field)
        for field in SHARED
        if versions and all((v.get(field) or None) == (versions[0].get(field) or None) for v in versions)
    }


def _spec(errors: ErrorList, spec: Obj, crd: Obj, old: Obj | None) -> None:
    group, versions = spec.get("group") or "", spec.get("versions") or []
    if not group:
        errors.required("spec.group")
    elif wrong := names.dns1123_subdomain(group):
        errors.invalid("spec.group", group, ",".join(wrong))
    elif "." not in group:
        errors.invalid("spec.group", group, "should be a domain with at least one dot")
    _enum(errors, "spec.scope", spec.get("scope"), ("Cluster", "Namespaced"))
    for index, version in enumerate(versions):
        if (version.get("schema") or {}).get("openAPIV3Schema") is None:
            errors.required(f"spec.versions[{index}].schema.openAPIV3Schema")
    common = shared(versions)
    told = _internal(versions, common)
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        if wrong := names.dns1035_label(version["name"]):
            errors.invalid(f"{path}.name", version["name"], ",".join(wrong))
        _deprecation(errors, path, version)
        _parts(errors, path, version, {f: version.get(f) for f in SHARED if f not in common}, old)
    found = [version["name"] for version in versions]
    if len({*found}) != len(found):
        _versions(errors, told, "must contain unique version names")
    if sum(bool(version.get("storage")) for version in versions) != 1:
        _versions(errors, told, "must have exactly one version marked as storage version")
    if versions and (wrong := names.dns1035_label(versions[0]["name"])):
        errors.invalid("spec.version", versions[0]["name"], ",".join(wrong))
    for field in ("plural", "singular", "kind", "listKind"):
        if not spec["names"].get(field):
            errors.required(f"spec.names.{field}")
    _names(errors, "spec.names", spec["names"])
    if versions:
        _parts(errors, "spec", versions[0], common, old)
    _conversion(errors, "spec.conversion", spec.get("conversion"), old)


def _parts(errors: ErrorList, path: str, version: Obj, fields: Obj, old: Obj | None) -> None:
    """Schema, subresources, columns and selectable fields, where they stand."""
    subresources = version.get("subresources") or {}
    of = version.get("schema") or {}
    schema = of.get("openAPIV3Schema")
    if "schema" in fields and schema is not None:
        before = _old_schema(old, version["name"])
        at = "spec.validation" if path == "spec" else f"{path}.schema"
        schema_checks.check(errors, at, schema, subresources.get("status") is not None, before)
    if "subresources" in fields:
        _scale(errors, f"{path}.subresources.scale", subresources.get("scale"))
    if "additionalPrinterColumns" in fields:
        for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
            _column(errors, f"{path}.additionalPrinterColumns[{index}]", column)
    if "selectableFields" in fields:
        _selectable(errors, f"{path}.selectableFields", version.get("selectableFields") or [], schema or {}, old)


def _old_schema(old: Obj | None, version: str) -> Obj | None:
    for each in (old or {}).get("spec", {}).get("versions") or ():
        if each["name"] == version:
            found: Obj | None = (each.get("schema") or {}).get("openAPIV3Schema")
            return found
    return None


def _internal(versions: list[Obj], common: Obj) -> list[Obj]:
    """The versions as upstream's errors print them."""
    return [
        {
            "Name": v["name"], "Served": bool(v.get("served")), "Storage": bool(v.get("storage")),
            "Deprecated": bool(v.get("deprecated")), "DeprecationWarning": v.get("deprecationWarning"),
            "Schema": None if "schema" in common else v.get("schema"),
            "Subresources": None if "subresources" in common else v.get("subresources"),
            "AdditionalPrinterColumns":
                None if "additionalPrinterColumns" in common else v.get("additionalPrinterColumns"),
            "SelectableFields": None if "selectableFields" in common else v.get("selectableFields"),
        }
        for v in versions
    ]  # fmt: skip


def _versions(errors: ErrorList, told: list[Obj], text: str) -> None:
    shown = json.dumps(told, separators=(",", ":"))
    errors.add("spec.versions", "Invalid", f"Invalid value: {shown}: {text}")


def _enum(errors: ErrorList, path: str, value: Any, known: tuple[str, ...]) -> None:
    if not value:
        errors.required(path)
    elif value not in known:
        errors.not_supported(path, value, known)


def _deprecation(errors: ErrorList, path: str, version: Obj) -> None:
    warning = version.get("deprecationWarning")
    at = f"{path}.deprecationWarning"
    if warning is None:
        return
    if not version.get("deprecated"):
        errors.invalid(at, warning, "can only be set for deprecated versions")
        return
    if len(warning.encode()) > MOST_WARNING:
        errors.invalid(at, warning, f"must be <= {MOST_WARNING} characters long")
    if not warning:
        errors.invalid(at, warning, "must not be an empty string")
    for index, character in enumerate(warning):
        if not character.isprintable():
            text = "must only contain printable UTF-8 characters; non-printable character found at index"
            errors.invalid(at, warning, f"{text} {index}")
            break


def _names(errors: ErrorList, path: str, found: Obj) -> None:
    for field in ("plural", "singular"):
        if found.get(field) and (wrong := names.dns1035_label(found[field])):
            errors.invalid(f"{path}.{field}", found[field], ",".join(wrong))
    for field in ("kind", "listKind"):
        if found.get(field) and (wrong := names.dns1035_label(found[field].lower())):
            text = "may have mixed case, but should otherwise match: " + ",".join(wrong)
            errors.invalid(f"{path}.{field}", found[field], text)
    _labels(errors, f"{path}.shortNames", found.get("shortNames"))
    if found.get("kind") and found["kind"] == found.get("listKind"):
        errors.invalid(f"{path}.listKind", found["listKind"], "kind and listKind may not be the same")
    _labels(errors, f"{path}.categories", found.get("categories"))


def _labels(errors: ErrorList, path: str, found: list[str] | None) -> None:
    for index, each in enumerate(found or ()):
        if wrong := names.dns1035_label(each):
            errors.invalid(f"{path}[{index}]", each, ",".join(wrong))


def _column(errors: ErrorList, path: str, column: Obj) -> None:
    if not column.get("name"):
        errors.required(f"{path}.name")
    must = f"must be one of {','.join(COLUMN_TYPES)}"
    if not column.get("type"):
        errors.required(f"{path}.type", must)
    elif column["type"] not in COLUMN_TYPES:
        errors.invalid(f"{path}.type", column["type"], must)
    if column.get("format") and column["format"] not in COLUMN_FORMATS:
        errors.invalid(f"{path}.format", column["format"], f"must be one of {','.join(COLUMN_FORMATS)}")
    if not column.get("jsonPath"):
        errors.required(f"{path}.JSONPath")
    else:
        _simple_path(errors, f"{path}.JSONPath", column["jsonPath"])


def _simple_path(errors: ErrorList, path: str, value: str) -> bool:
    if not value.startswith("."):
        errors.invalid(path, value, "must be a simple json path starting with .")
        return False
    return True


def _scale(errors: ErrorList, path: str, scale: Obj | None) -> None:
    if scale is None:
        return
    for field, root in (("specReplicasPath", ".spec"), ("statusReplicasPath", ".status")):
        at, value = f"{path}.{field}", scale.get(field) or ""
        if not value:
            errors.required(at)
        elif _simple_path(errors, at, value) and not value.startswith(f"{root}."):
            errors.invalid(at, value, f"should be a json path under {root}")
    value, at = scale.get("labelSelectorPath") or "", f"{path}.labelSelectorPath"
    if value and _simple_path(errors, at, value) and not value.startswith((".spec.", ".status.")):
        errors.invalid(at, value, "should be a json path under either .spec or .status")


def _selectable(errors: ErrorList, path: str, fields: list[Obj], schema: Obj, old: Obj | None) -> None:
    seen: set[str] = set()
    for index, each in enumerate(fields):
        at, value = f"{path}[{index}].jsonPath", each.get("jsonPath") or ""
        if not value:
            errors.required(at)
            continue
        found, wrong = field_at(schema, value)
        if wrong:
            errors.invalid(at, value, f"is an invalid path: {wrong}")
            continue
        if found.get("type") not in ("string", "boolean", "integer"):
            text = (
                "must point to a field of type string, boolean or integer. Enum string fields and strings with "
                "formats are allowed."
            )
            errors.invalid(at, value, text)
        if value in seen:
            errors.duplicate(at, value)
        seen.add(value)
    if len(seen) > MOST_SELECTABLE and not _had_as_many(old, fields):
        errors.add(path, "TooMany", f"Too many: {len(seen)}: must have at most {MOST_SELECTABLE} items")


def _had_as_many(old: Obj | None, fields: list[Obj]) -> bool:
    versions = old["spec"].get("versions") or () if old is not None else ()
    return any(version.get("selectableFields") == fields for version in versions)


def field_at(schema: Obj, path: str) -> tuple[Obj, str]:
    """(the schema at a dotted path, what is wrong with the path)."""
    if not path.startswith("."):
        return {}, f"expected [ or . but got: {path.split('.')[0]}"
    for name in path[1:].split("."):
        if "[" in name:
            return {}, "array notation is not allowed"
        known = schema.get("properties") or {}
        if name not in known:
            return {}, "does not refer to a valid field"
        schema = known[name]
    return schema, ""


def _conversion(errors: ErrorList, path: str, conversion: Obj | None, old: Obj | None) -> None:
    if conversion is None:
        return
    strategy, webhook = conversion.get("strategy"), conversion.get("webhook")
    config = (webhook or {}).get("clientConfig")
    versions = (webhook or {}).get("conversionReviewVersions") or []
    _enum(errors, f"{path}.strategy", strategy, ("None", "Webhook"))
    if strategy != "Webhook":
        text = "should not be set when strategy is not set to Webhook"
        if config is not None:
            errors.forbidden(f"{path}.webhookClientConfig", text)
        if versions:
            errors.forbidden(f"{path}.conversionReviewVersions", text)
        return
    if config is None:
        errors.required(f"{path}.webhookClientConfig", "required when strategy is set to Webhook")
    else:
        service = config.get("service")
        if service is not None:  # upstream hands the two over in the wrong order, and its errors show it
            swapped = {"name": service.get("namespace"), "namespace": service.get("name")}
            config = {**config, "service": {**service, **swapped}}
        webhooks.client_config(errors, f"{path}.webhookClientConfig", config)
    webhooks.review_versions(errors, f"{path}.conversionReviewVersions", versions)


def _update(errors: ErrorList, spec: Obj, old: Obj) -> None:
    before = old["spec"]
    if is_true(old, "Established"):
        errors.immutable("spec.scope", spec.get("scope"), before.get("scope"))
        errors.immutable("spec.names.kind", spec["names"].get("kind"), before["names"].get("kind"))
    errors.immutable("spec.group", spec.get("group"), before.get("group"))
    errors.immutable("spec.names.plural", spec["names"].get("plural"), before["names"].get("plural"))


def _stored_versions(errors: ErrorList, stored: list[str] | None, versions: list[Obj]) -> None:
    path = "status.storedVersions"
    if not stored:
        errors.invalid(path, None, "must have at least one stored version")
        return
    left = {*stored}
    for version in versions:
        if version.get("storage") and version["name"] not in left:
            errors.invalid(path, stored, f"must have the storage version {version['name']}")
        left.discard(version["name"])
    for index, name in enumerate(stored):
        if name in left:
            text = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in "
                f"spec.versions until a storage migration ensures no data remains persisted in {name} and removes "
                f"{name} from status.storedVersions"
            )
            errors.invalid(f"{path}[{index}]", name, text)


def _approval(errors: ErrorList, crd: Obj, old: Obj | None) -> None:
    if not is_protected(crd["spec"].get("group") or ""):
        return
    annotations = crd["metadata"].get("annotations") or {}
    state, reason = approval_state(annotations)
    if old is not None and approval_state(old["metadata"].get("annotations") or {})[0] == state:
        return
    path = f"metadata.annotations[{APPROVED}]"
    if state == "missing":
        errors.required(path, reason)
    elif state == "invalid":
        errors.invalid(path, annotations.get(APPROVED, ""), reason)
