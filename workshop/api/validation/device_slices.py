"""Who offers devices: a slice of a driver's pool, where its devices are, and the counters that they share.
Upstream: pkg/apis/resource/validation (validateResourceSliceSpec), v1.36.2."""

from __future__ import annotations

from functools import partial

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation import device_details, devices, scheduling
from workshop.api.validation.devices import by_name
from workshop.api.validation.field import POSITIVE, ErrorList

MOST_DEVICES, MOST_SPECIAL_DEVICES = 128, 64
MOST_COUNTER_SETS = 8
ONE_PLACE = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
NOT_BOTH = "only one of `sharedCounters` or `devices` is allowed"


def resource_slice(errors: ErrorList, new: Obj, old: Obj | None = None) -> None:
    spec, before = new.get("spec") or {}, ((old or {}).get("spec") or {})
    devices.driver_name(errors, "spec.driver", spec.get("driver", ""))
    _pool(errors, spec.get("pool") or {})
    if old is not None:
        _lasting(errors, spec, before)
    _place(errors, spec)
    if spec.get("sharedCounters") is not None and spec.get("devices") is not None:
        errors.invalid("spec", "", NOT_BOTH)
    found, known = spec.get("devices") or [], {by_name(each): each for each in before.get("devices") or []}
    special = any(each.get("taints") or each.get("consumesCounters") for each in found)

    def device(errors: ErrorList, at: str, each: Obj) -> None:
        each_place = bool(spec.get("perDeviceNodeSelection"))
        device_details.device(errors, at, each, known.get(by_name(each)), each_place)

    most = MOST_SPECIAL_DEVICES if special else MOST_DEVICES
    devices.distinct(errors, "spec.devices", found, most, device, by_name)
    counters = spec.get("sharedCounters") or []
    rule = partial(device_details.counters_of, field="name")
    devices.distinct(errors, "spec.sharedCounters", counters, MOST_COUNTER_SETS, rule, by_name)


def _pool(errors: ErrorList, pool: Obj) -> None:
    devices.pool_name(errors, "spec.pool.name", pool.get("name", ""))
    if (count := pool.get("resourceSliceCount", 0)) <= 0:
        errors.invalid("spec.pool.resourceSliceCount", count, POSITIVE)
    if (generation := pool.get("generation", 0)) < 0:
        errors.invalid("spec.pool.generation", generation, "must be greater than or equal to zero")


def _lasting(errors: ErrorList, spec: Obj, before: Obj) -> None:
    """Pool, driver and node of a slice never change."""
    pools = ((each.get("pool") or {}).get("name", "") for each in (spec, before))
    errors.immutable("spec.pool.name", *pools)
    errors.immutable("spec.driver", spec.get("driver", ""), before.get("driver", ""))
    errors.immutable("spec.nodeName", spec.get("nodeName"), before.get("nodeName"))


def _place(errors: ErrorList, spec: Obj) -> None:
    """On one node, on those that a selector finds, on all, or each device where it says itself."""
    if (node := spec.get("nodeName")) is not None and not node:
        errors.invalid("spec.nodeName", node, "must be either unset or set to a non-empty string")
    elif node is not None:
        errors.each("spec.nodeName", node, names.dns1123_subdomain(node))
    if (selector := spec.get("nodeSelector")) is not None:
        at, terms = "spec.nodeSelector", selector.get("nodeSelectorTerms") or []
        scheduling.node_selector(errors, at, selector)
        if len(terms) != 1:
            shown = selector.get("nodeSelectorTerms")
            errors.invalid(f"{at}.nodeSelectorTerms", shown, "must have exactly one node selector term")
    for name in ("allNodes", "perDeviceNodeSelection"):
        if spec.get(name) is False:
            errors.invalid(f"spec.{name}", False, "must be either unset or set to true")
    chosen = [name for name in ("nodeName", "allNodes", "perDeviceNodeSelection") if spec.get(name)]
    if selector is not None:
        chosen.insert(1 if node else 0, "nodeSelector")
    if not chosen:
        errors.required("spec", ONE_PLACE)
    elif len(chosen) > 1:
        shown = "{" + ", ".join(f"`{name}`" for name in chosen) + "}"
        errors.invalid("spec", shown, f"{ONE_PLACE}, but multiple fields are set")
