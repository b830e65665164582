"""What the kinds of dynamic resource allocation have in common: names of drivers, pools and attributes, lists with a
length, opaque parameters, selectors in CEL. Upstream: pkg/apis/resource/validation, v1.36.2.

device_claims.py    who asks: DeviceClass, ResourceClaim, ResourceClaimTemplate
device_slices.py    who offers: ResourceSlice; device_details.py: one device of it
device_taints.py    taints, tolerations, binding conditions
claim_statuses.py   what was given: a ResourceClaim's status
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation.field import ErrorList

MOST_REQUESTS = MOST_CONSTRAINTS = MOST_CONFIGS = MOST_SELECTORS = 32
LONGEST_DRIVER, LONGEST_POOL, LONGEST_ID = 63, 253, 32
LONGEST_KEY = LONGEST_DRIVER + 1 + LONGEST_ID
LONGEST_JSON = LONGEST_EXPRESSION = 10 * 1024
MOST_COST = 1_000_000
"""What a selector may cost at worst, in CEL's units."""
Rule = Callable[[ErrorList, str, Any], None]


# --- lists and maps ---------------------------------------------------------------------------------------------------


def items(errors: ErrorList, path: str, found: list[Any], most: int, rule: Rule) -> bool:
    """Each of them; whether they were looked at, for a list that is too long is told of and no more (0: no limit)."""
    if most and len(found) > most:
        errors.too_many(path, len(found), most)
        return False
    for index, each in enumerate(found):
        rule(errors, f"{path}[{index}]", each)
    return True


def distinct(
    errors: ErrorList,
    path: str,
    found: list[Any],
    most: int,
    rule: Rule,
    key: Callable[[Any], Hashable],
    shown: Callable[[Any], Any] | None = None,
) -> None:
    """A list whose members differ by their keys; a second one is told of by its key, or by what `shown` makes of it."""
    if not items(errors, path, found, most, rule):
        return
    seen: set[Hashable] = set()
    for index, each in enumerate(found):
        if (mark := key(each)) in seen:
            errors.duplicate(f"{path}[{index}]", shown(each) if shown is not None else mark)
        seen.add(mark)


def by_name(found: Obj) -> str:
    return str(found.get("name", ""))


def itself(found: Any) -> Hashable:
    return str(found)


def entries(
    errors: ErrorList, path: str, found: Obj, longest: int, key_rule: Callable[[ErrorList, str, str], None], rule: Rule
) -> None:
    """A map: keys at its own path, values at `path[key]`; a long key is shown by its two ends."""
    for key, value in found.items():
        key_rule(errors, path, key)
        rule(errors, f"{path}[{_shortened(key, longest)}]", value)


def _shortened(text: str, most: int) -> str:
    """
    >>> _shortened("hello world how are you", 18)
    'hello wo...are you'
    """
    if len(text) <= most:
        return text
    left = most - len("...")
    return text[: (left + 1) // 2] + "..." + text[len(text) - left // 2 :]


# --- names ------------------------------------------------------------------------------------------------------------


def label(errors: ErrorList, path: str, name: str) -> None:
    errors.each(path, name, names.dns1123_label(name))


def subdomain(errors: ErrorList, path: str, name: str) -> None:
    if not name:
        errors.required(path)
    else:
        errors.each(path, name, names.dns1123_subdomain(name))


def driver_name(errors: ErrorList, path: str, name: str) -> None:
    if not name:
        errors.required(path)
        return
    if len(name.encode()) > LONGEST_DRIVER:
        errors.too_long(path, LONGEST_DRIVER)
    errors.each(path, name, names.dns1123_subdomain(name.lower()))


def pool_name(errors: ErrorList, path: str, name: str) -> None:
    """`a/b`: names that are separated by slashes."""
    if not name:
        errors.required(path)
        return
    if len(name.encode()) > LONGEST_POOL:
        errors.too_long(path, LONGEST_POOL)
    for part in name.split("/"):
        errors.each(path, part, names.dns1123_subdomain(part))


def qualified_name(errors: ErrorList, path: str, name: str) -> None:
    """`domain/identifier`, or the identifier alone; upstream takes what has more slashes."""
    domain, slash, identifier = name.rpartition("/")
    if "/" in domain:
        return
    if slash and not domain:
        errors.invalid(path, "", "the domain must not be empty")
    elif slash:
        driver_name(errors, path, domain)
    if slash and not identifier:
        errors.invalid(path, "", "the name must not be empty")
        return
    if len(identifier.encode()) > LONGEST_ID:
        errors.too_long(path, LONGEST_ID)
    errors.each(path, identifier, names.c_identifier(identifier))


def fully_qualified_name(errors: ErrorList, path: str, name: str) -> None:
    qualified_name(errors, path, name)
    if "/" not in name:
        errors.invalid(path, name, "a fully qualified name must be a domain and a name separated by a slash")


# --- parameters, selectors --------------------------------------------------------------------------------------------


def json_object(errors: ErrorList, path: str, found: Any, stored: bool = False) -> None:
    """What only a driver understands. What is `stored` already may be longer than it may be today."""
    if found is None:
        errors.required(path)
    elif not stored and len(json.dumps(found, separators=(",", ":"), ensure_ascii=False).encode()) > LONGEST_JSON:
        errors.too_long(path, LONGEST_JSON)
    elif not isinstance(found, dict):
        errors.invalid(path, "<value omitted>", "must be a valid JSON object")


def configuration(errors: ErrorList, at: str, found: Obj, stored: bool = False) -> None:
    opaque = found.get("opaque")
    if opaque is None:
        errors.required(f"{at}.opaque")
        return
    driver_name(errors, f"{at}.opaque.driver", opaque.get("driver", ""))
    json_object(errors, f"{at}.opaque.parameters", opaque.get("parameters"), stored)


def selectors(errors: ErrorList, path: str, found: list[Obj]) -> None:
    items(errors, path, found, MOST_SELECTORS, _selector)


def _selector(errors: ErrorList, at: str, found: Obj) -> None:
    expression = found.get("cel")
    if expression is None:
        errors.required(f"{at}.cel")
        return
    path, text = f"{at}.cel.expression", expression.get("expression", "")
    if len(text.encode()) > LONGEST_EXPRESSION:
        errors.too_long(path, LONGEST_EXPRESSION)
        return
    from workshop.api.cel import devices  # loaded by who has expressions

    judged = devices.judged(text)
    if judged.late:
        errors.internal(path, judged.wrong)
    elif judged.wrong:
        errors.invalid(path, text, judged.wrong)
    elif judged.cost > MOST_COST:
        errors.forbidden(path, "too complex, exceeds cost limit")


# --- requests that are named ------------------------------------------------------------------------------------------

IN_CLAIM = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"


def request_names(devices: Obj) -> set[str]:
    """What may be referred to: `request`, and `request/subrequest`."""
    requests = devices.get("requests") or []
    return {by_name(each) for each in requests} | {
        f"{by_name(each)}/{by_name(sub)}" for each in requests for sub in each.get("firstAvailable") or []
    }


def reference(errors: ErrorList, path: str, name: str, known: set[str]) -> None:
    parts = name.split("/")
    for part in parts if len(parts) <= 2 else ():
        label(errors, path, part)
    if name not in known:
        errors.invalid(path, name, IN_CLAIM)


def references(errors: ErrorList, path: str, found: Iterable[str], known: set[str]) -> None:
    def rule(errors: ErrorList, at: str, name: str) -> None:
        reference(errors, at, name, known)

    distinct(errors, path, list(found), MOST_REQUESTS, rule, itself)
