"""Where pods may go: node selectors, affinity, spreading, tolerations, taints. Upstream: core/validation
(ValidateNodeSelector, validateAffinity, validateTopologySpreadConstraints, ValidateTolerations), v1.36.2."""

from __future__ import annotations

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation import metadata
from workshop.api.validation.field import ErrorList

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
REQUIRED, PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)
BOTH = "exists in both matchLabelKeys and labelSelector"
NO_SELECTOR = "must not be specified when labelSelector is not set"


def node_selector(errors: ErrorList, at: str, found: Obj, values_too: bool = True) -> None:
    terms = found.get("nodeSelectorTerms") or []
    if not terms:
        errors.required(f"{at}.nodeSelectorTerms", "must have at least one node selector term")
    for index, term in enumerate(terms):
        node_term(errors, f"{at}.nodeSelectorTerms[{index}]", term, values_too)


def node_term(errors: ErrorList, at: str, term: Obj, values_too: bool) -> None:
    for index, each in enumerate(term.get("matchExpressions") or []):
        path = f"{at}.matchExpressions[{index}]"
        values = each.get("values") or []
        if each.get("operator") in ("Gt", "Lt"):
            if len(values) != 1:
                errors.required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
        else:
            metadata.requirement(errors, path, each)
        metadata.label_key(errors, f"{path}.key", each.get("key", ""))
        for i, value in enumerate(values if values_too else []):
            errors.each(f"{path}.values[{i}]", value, names.label_value(value))
    for index, each in enumerate(term.get("matchFields") or []):
        _field_term(errors, f"{at}.matchFields[{index}]", each)


def _field_term(errors: ErrorList, at: str, each: Obj) -> None:
    values = each.get("values") or []
    if each.get("operator") not in ("In", "NotIn"):
        errors.invalid(f"{at}.operator", each.get("operator", ""), "not a valid selector operator")
    elif len(values) != 1:
        said = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        errors.required(f"{at}.values", said)
    if each.get("key") != "metadata.name":
        errors.invalid(f"{at}.key", each.get("key", ""), "not a valid field selector key")
        return
    for i, value in enumerate(values):
        errors.each(f"{at}.values[{i}]", value, names.dns1123_subdomain(value))


def affinity(errors: ErrorList, at: str, found: Obj | None) -> None:
    nodes = (found or {}).get("nodeAffinity") or {}
    if nodes.get(REQUIRED) is not None:
        node_selector(errors, f"{at}.nodeAffinity.{REQUIRED}", nodes[REQUIRED])
    for index, term in enumerate(nodes.get(PREFERRED) or []):
        path = f"{at}.nodeAffinity.{PREFERRED}[{index}]"
        _weight(errors, path, term)
        node_term(errors, f"{path}.preference", term.get("preference") or {}, False)
    for kind in ("podAffinity", "podAntiAffinity"):
        pods = (found or {}).get(kind) or {}
        for index, term in enumerate(pods.get(REQUIRED) or []):
            _pod_term(errors, f"{at}.{kind}.{REQUIRED}[{index}]", term)
        for index, weighted in enumerate(pods.get(PREFERRED) or []):
            path = f"{at}.{kind}.{PREFERRED}[{index}]"
            _weight(errors, path, weighted)
            _pod_term(errors, f"{path}.podAffinityTerm", weighted.get("podAffinityTerm") or {})


def _weight(errors: ErrorList, at: str, term: Obj) -> None:
    if not 1 <= term.get("weight", 0) <= 100:
        errors.invalid(f"{at}.weight", term.get("weight", 0), "must be in the range 1-100")


def _pod_term(errors: ErrorList, at: str, term: Obj) -> None:
    selector = term.get("labelSelector")
    metadata.selector(errors, f"{at}.labelSelector", selector)
    metadata.selector(errors, f"{at}.namespaceSelector", term.get("namespaceSelector"))
    for name in term.get("namespaces") or []:
        errors.each(f"{at}.namespace", name, names.dns1123_label(name))
    match, mismatch = term.get("matchLabelKeys") or [], term.get("mismatchLabelKeys") or []
    label_keys(errors, at, match, mismatch, selector)
    key = term.get("topologyKey", "")
    if not key:
        errors.required(f"{at}.topologyKey", "can not be empty")
    metadata.label_key(errors, f"{at}.topologyKey", key)


def label_keys(errors: ErrorList, at: str, match: list[str], mismatch: list[str], selector: Obj | None) -> None:
    for kind, keys in (("matchLabelKeys", match), ("mismatchLabelKeys", mismatch)):
        if keys and selector is None:
            errors.forbidden(f"{at}.{kind}", NO_SELECTOR)
            continue
        for index, key in enumerate(keys):
            metadata.label_key(errors, f"{at}.{kind}[{index}]", key)
    seen = set((selector or {}).get("matchLabels") or {})
    places = {key: index for index, key in enumerate(match)}
    for each in (selector or {}).get("matchExpressions") or []:
        key = each.get("key", "")
        if key in places and key in seen:
            errors.invalid(f"{at}[{places[key]}]", key, BOTH)
        seen.add(key)
    for index, key in enumerate(match):
        if key in mismatch:
            errors.invalid(f"{at}.matchLabelKeys[{index}]", key, "exists in both matchLabelKeys and mismatchLabelKeys")


def spread(errors: ErrorList, path: str, found: list[Obj]) -> None:
    for index, each in enumerate(found):
        at, action, least = f"{path}[{index}]", each.get("whenUnsatisfiable", ""), each.get("minDomains")
        if each.get("maxSkew", 0) <= 0:
            errors.invalid(f"{at}.maxSkew", each.get("maxSkew", 0), "must be greater than zero")
        if not each.get("topologyKey"):
            errors.required(f"{at}.topologyKey", "can not be empty")
        errors.among(f"{at}.whenUnsatisfiable", action, ("DoNotSchedule", "ScheduleAnyway"))
        for later in found[index + 1 :]:
            if (later.get("topologyKey"), later.get("whenUnsatisfiable")) == (each.get("topologyKey"), action):
                errors.duplicate(f"{at}.{{topologyKey, whenUnsatisfiable}}", f"{{{each.get('topologyKey')}, {action}}}")
                break
        if least is not None:
            if least <= 0:
                errors.invalid(f"{at}.minDomains", least, "must be greater than zero")
            if action != "DoNotSchedule":
                said = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
                errors.invalid(f"{at}.minDomains", least, said)
        for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if each.get(name) is not None:
                errors.among(f"{at}.{name}", each[name], ("Honor", "Ignore"))
        label_keys(errors, at, each.get("matchLabelKeys") or [], [], each.get("labelSelector"))
        metadata.selector(errors, f"{at}.labelSelector", each.get("labelSelector"))


def effect(errors: ErrorList, path: str, value: str) -> None:
    errors.one_of(path, value, EFFECTS)


def tolerations(errors: ErrorList, path: str, found: list[Obj]) -> None:
    for index, each in enumerate(found):
        at, key = f"{path}[{index}]", each.get("key", "")
        operator, value = each.get("operator", ""), each.get("value", "")
        if key:
            metadata.label_key(errors, f"{at}.key", key)
        elif operator != "Exists":
            meaning = 'which means "match all values and all keys"'
            errors.invalid(f"{at}.operator", operator, f"operator must be Exists when `key` is empty, {meaning}")
        if each.get("tolerationSeconds") is not None and each.get("effect", "") != "NoExecute":
            said = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            errors.invalid(f"{at}.effect", each.get("effect", ""), said)
        if operator in ("", "Equal"):
            if complaints := names.label_value(value):
                errors.invalid(f"{at}.operator", value, ";".join(complaints))
        elif operator == "Exists":
            if value:
                errors.invalid(f"{at}.operator", value, "value must be empty when `operator` is 'Exists'")
        elif operator in ("Lt", "Gt"):
            errors.not_supported(f"{at}.operator", operator, ("Equal", "Exists", "Lt", "Gt"))
        else:
            errors.not_supported(f"{at}.operator", operator, ("Equal", "Exists"))
        if each.get("effect"):
            effect(errors, f"{at}.effect", each["effect"])


def taints(errors: ErrorList, path: str, found: list[Obj]) -> None:
    seen: set[tuple[str, str]] = set()
    for index, each in enumerate(found):
        at, key, value = f"{path}[{index}]", each.get("key", ""), each.get("value", "")
        metadata.label_key(errors, f"{at}.key", key)
        if complaints := names.label_value(value):
            errors.invalid(f"{at}.value", value, ";".join(complaints))
        effect(errors, f"{at}.effect", each.get("effect", ""))
        pair = (each.get("effect", ""), key)
        if pair in seen:
            shown = {"Key": key, "Value": value, "Effect": pair[0], "TimeAdded": each.get("timeAdded")}
            errors.duplicate(at, shown, "taints must be unique by key and effect pair")
        seen.add(pair)


def topology_term(errors: ErrorList, at: str, term: Obj) -> dict[str, set[str]]:
    """A StorageClass's allowed topology: its keys with their values, to find the same one twice."""
    found: dict[str, set[str]] = {}
    for index, each in enumerate(term.get("matchLabelExpressions") or []):
        path, key, values = f"{at}.matchLabelExpressions[{index}]", each.get("key", ""), each.get("values") or []
        if not values:
            errors.required(f"{path}.values")
        for i, value in enumerate(values):
            if value in values[:i]:
                errors.duplicate(f"{path}.values[{i}]", value)
        metadata.label_key(errors, f"{path}.key", key)
        if key in found:
            errors.duplicate(f"{path}.key", key)
        found[key] = set(values)
    return found
