"""FlowSchemas and priority levels. Upstream: pkg/apis/flowcontrol/validation, v1.36.2."""

from __future__ import annotations

import math

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation.field import ErrorList

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
SUBJECTS = {"ServiceAccount": "serviceAccount", "User": "user", "Group": "group"}
NAMESPACE = "each member of this list must be '*' or a DNS-1123 label; "
MOST_BITS = 60


def flow_schema(errors: ErrorList, obj: Obj) -> None:
    spec, name = obj["spec"], obj["metadata"].get("name", "")
    precedence, method = spec.get("matchingPrecedence", 0), spec.get("distinguisherMethod")
    at = "spec.matchingPrecedence"
    if precedence <= 0:
        errors.invalid(at, precedence, "must be a positive value")
    if precedence > 10000:
        errors.invalid(at, precedence, "must not be greater than 10000")
    if precedence == 1 and name != "exempt":
        errors.invalid(at, precedence, "only the schema named 'exempt' may have matchingPrecedence 1")
    if method is not None and method.get("type") not in ("ByNamespace", "ByUser"):
        shown = {"Type": method.get("type", "")}
        errors.not_supported("spec.distinguisherMethod.type", shown, ("ByNamespace", "ByUser"))
    level = (spec.get("priorityLevelConfiguration") or {}).get("name", "")
    if level:
        errors.each("spec.priorityLevelConfiguration.name", level, names.dns1123_subdomain(level))
    else:
        errors.required("spec.priorityLevelConfiguration.name", "must reference a priority level")
    for index, rule in enumerate(spec.get("rules") or []):
        _rule(errors, f"spec.rules[{index}]", rule)
    status(errors, obj, obj)


def _rule(errors: ErrorList, at: str, rule: Obj) -> None:
    subjects = rule.get("subjects") or []
    if not subjects:
        errors.required(f"{at}.subjects", "subjects must contain at least one value")
    for index, subject in enumerate(subjects):
        _subject(errors, f"{at}.subjects[{index}]", subject)
    resources, urls = rule.get("resourceRules") or [], rule.get("nonResourceRules") or []
    if not resources and not urls:
        errors.required(at, "at least one of resourceRules and nonResourceRules has to be non-empty")
    for index, each in enumerate(resources):
        _resource_rule(errors, f"{at}.resourceRules[{index}]", each)
    for index, each in enumerate(urls):
        _url_rule(errors, f"{at}.nonResourceRules[{index}]", each)


def _subject(errors: ErrorList, at: str, subject: Obj) -> None:
    kind = subject.get("kind", "")
    if kind not in SUBJECTS:
        errors.not_supported(f"{at}.kind", kind, sorted(SUBJECTS))
        return
    field = SUBJECTS[kind]
    found = subject.get(field)
    if found is None:
        errors.required(f"{at}.{field}", f"{field} is required when subject kind is '{kind}'")
    elif kind == "ServiceAccount":
        name, namespace = found.get("name", ""), found.get("namespace", "")
        if not name:
            errors.required(f"{at}.{field}.name")
        elif name != "*":
            errors.each(f"{at}.{field}.name", name, names.dns1123_subdomain(name))
        if namespace:
            errors.each(f"{at}.{field}.namespace", namespace, names.dns1123_label(namespace))
        else:
            errors.required(f"{at}.{field}.namespace", "must specify namespace for service account")
    else:
        errors.needed(found, f"{at}.{field}", "name")
    for other, name in SUBJECTS.items():
        if other != kind and subject.get(name) is not None:
            errors.forbidden(f"{at}.{name}", f"{name} is forbidden when subject kind is not '{other}'")


def _verbs(errors: ErrorList, at: str, verbs: list[str]) -> None:
    if not verbs:
        errors.required(at, "verbs must contain at least one value")
    elif "*" in verbs:
        _alone(errors, at, verbs, "verbs")
    elif not set(verbs) <= set(VERBS):
        errors.not_supported(at, verbs, VERBS)


def _alone(errors: ErrorList, at: str, found: list[str], what: str) -> None:
    if len(found) > 1 and "*" in found:
        errors.invalid(at, found, f"if '*' is present, must not specify other {what}")


def _resource_rule(errors: ErrorList, at: str, rule: Obj) -> None:
    _verbs(errors, f"{at}.verbs", rule.get("verbs") or [])
    for name, one, many in (("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")):
        if not (found := rule.get(name) or []):
            errors.required(f"{at}.{name}", f"resource rules must supply at least one {one}")
        _alone(errors, f"{at}.{name}", found, many)
    namespaces = rule.get("namespaces") or []
    if not namespaces and not rule.get("clusterScope"):
        said = "resource rules that are not cluster scoped must supply at least one namespace"
        errors.required(f"{at}.namespaces", said)
    elif "*" in namespaces:
        _alone(errors, f"{at}.namespaces", namespaces, "namespaces")
    else:
        for index, name in enumerate(namespaces):
            for said in names.dns1123_label(name):
                errors.invalid(f"{at}.namespaces[{index}]", name, NAMESPACE + said)


def _url_rule(errors: ErrorList, at: str, rule: Obj) -> None:
    _verbs(errors, f"{at}.verbs", rule.get("verbs") or [])
    urls, path = rule.get("nonResourceURLs") or [], f"{at}.nonResourceURLs"
    if not urls:
        errors.required(path, "nonResourceURLs must contain at least one value")
    elif "*" in urls:
        _alone(errors, path, urls, "non-resource URLs")
    else:
        for index, url in enumerate(urls):
            if why := _not_a_url(url):
                errors.invalid(f"{path}[{index}]", url, why)


def _not_a_url(url: str) -> str:
    if not url:
        return "must not be empty"
    if url == "/":
        return ""
    if not url.startswith("/"):
        return "must start with slash"
    if " " in url:
        return "must not contain white-space"
    if "//" in url:
        return "must not contain double slash"
    wild = url.count("*")
    return "wildcard can only do suffix matching" if wild > 1 or (wild and not url.endswith("/*")) else ""


def status(errors: ErrorList, new: Obj, old: Obj) -> None:
    found = [c.get("type", "") for c in (new.get("status") or {}).get("conditions") or []]
    for index, kind in enumerate(found):
        at = f"status.conditions[{index}].type"
        if kind in found[:index]:
            errors.duplicate(at, kind)
        if not kind:
            errors.required(at)


ZERO_SHARES = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares"


def priority_level(errors: ErrorList, obj: Obj) -> None:
    spec, name = obj["spec"], obj["metadata"].get("name", "")
    kind, limited, exempt = spec.get("type", ""), spec.get("limited"), spec.get("exempt")
    if ZERO_SHARES in (obj["metadata"].get("annotations") or {}):
        errors.forbidden("metadata.annotations", f"annotation '{ZERO_SHARES}' is forbidden")
    if (name == "exempt") != (kind == "Exempt"):
        errors.invalid("spec.type", kind, "must be 'Exempt' if and only if `name` is 'exempt'")
    if kind == "Exempt":
        if limited is not None:
            errors.forbidden("spec.limited", "must be nil if the type is not Limited")
        if exempt is not None:
            _shares(errors, "spec.exempt", exempt)
    elif kind == "Limited":
        if exempt is not None:
            errors.forbidden("spec.exempt", "must be nil if the type is Limited")
        if limited is None:
            errors.required("spec.limited", "must not be empty when type is Limited")
        else:
            _limited(errors, limited)
    else:
        errors.not_supported("spec.type", kind, ("Exempt", "Limited"))
    status(errors, obj, obj)


def _shares(errors: ErrorList, at: str, found: Obj) -> None:
    shares, percent = found.get("nominalConcurrencyShares"), found.get("lendablePercent")
    if shares is not None and shares < 0:
        errors.invalid(f"{at}.nominalConcurrencyShares", shares, "must be a non-negative integer")
    errors.within(f"{at}.lendablePercent", percent, 0, 100)


def _limited(errors: ErrorList, found: Obj) -> None:
    at, response, borrowing = "spec.limited", found.get("limitResponse") or {}, found.get("borrowingLimitPercent")
    _shares(errors, at, found)
    kind, queuing = response.get("type", ""), response.get("queuing")
    where = f"{at}.limitResponse"
    if kind == "Reject":
        if queuing is not None:
            errors.forbidden(f"{where}.queuing", "must be nil if limited.limitResponse.type is not Limited")
    elif kind == "Queue":
        if queuing is None:
            errors.required(f"{where}.queuing", "must not be empty if limited.limitResponse.type is Limited")
        else:
            _queuing(errors, f"{where}.queuing", queuing)
    else:
        errors.not_supported(f"{where}.type", kind, ("Queue", "Reject"))
    if borrowing is not None and borrowing < 0:
        errors.invalid(f"{at}.borrowingLimitPercent", borrowing, "if specified, must be a non-negative integer")


def _queuing(errors: ErrorList, at: str, found: Obj) -> None:
    limit, queues, hand = (found.get(name, 0) for name in ("queueLengthLimit", "queues", "handSize"))
    if limit <= 0:
        errors.invalid(f"{at}.queueLengthLimit", limit, "must be positive")
    if queues <= 0:
        errors.invalid(f"{at}.queues", queues, "must be positive")
    elif queues > 10**7:
        errors.invalid(f"{at}.queues", queues, "must not be greater than 10000000")
    if hand <= 0:
        errors.invalid(f"{at}.handSize", hand, "must be positive")
    elif hand > queues:
        errors.invalid(f"{at}.handSize", hand, f"should not be greater than queues ({queues})")
    elif entropy_bits(queues, hand) > MOST_BITS:
        said = f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {MOST_BITS}"
        errors.invalid(f"{at}.handSize", hand, said)


def entropy_bits(deck: int, hand: int) -> int:
    """Bits of hash that dealing a hand of cards takes. Upstream: apiserver/pkg/util/shufflesharding."""
    return math.ceil(math.log2(deck) * hand)
