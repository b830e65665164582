"""Devices' limits and combinations, which no change of one field meets: lists that are too long, policies that do not
fit together, names that are cut, selectors that are too dear. A change is a path and a value: `{"spec.pool.name": ""}`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from . import cases
from .cases import VERSION, Case, Obj, Sheet

LIMITS = {"mem": {"value": "1Gi"}}
COUNTERS = {f"c{i}": {"value": "1"} for i in range(33)}
SELECTOR = {"cel": {"expression": "true"}}
OPAQUE = {"driver": "d.example.com", "parameters": {"a": "b"}}
UID = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
Change = dict[str, Any]


def _numbered(count: int, **more: Any) -> list[Obj]:
    return [{"name": f"n{i}", **more} for i in range(count)]


EXPRESSIONS = (
    "device.driver", "device.foo", "", "device.driver == 1", "true && 1", "a.b.c()", "cel.bind(1, 2, 3)",
    "device.attributes['a'].b.all(x, x)", "device.driver.find('[') == ''", "'" + "a" * 10240 + "' == ''",
    "has(device.foo)", "device.attributes['a'].b.isGreaterThan(semver('1.0.0'))", "1 == ", "device.\n foo",
    "device.attributes.all(a, device.attributes.all(b, device.attributes.all(c, device.attributes.all(d, true))))",
    "device.attributes.all(a, device.attributes.all(b, a == b))", "device.capacity['a'].b == 1",
)  # fmt: skip


def of_classes() -> Iterator[Change]:
    for text in EXPRESSIONS:
        yield {"spec.selectors": [{"cel": {"expression": text}}]}
    yield {"spec.selectors": [SELECTOR] * 32}
    yield {"spec.selectors": [SELECTOR] * 33}
    yield {"spec.config": [{"opaque": OPAQUE}] * 33}
    for parameters in ({"a": "x" * 10230}, {"a": "x" * 10240}, [], 1, "x", {}):
        yield {"spec.config": [{"opaque": {**OPAQUE, "parameters": parameters}}]}
    for name in ("", "x", "kubernetes.io/x", "requests.example.com/x", "example.com/", "example.com/" + "a" * 64):
        yield {"spec.extendedResourceName": name}


def of_claims() -> Iterator[Change]:
    at = "spec.devices"
    exactly = {"deviceClassName": "c"}
    yield {f"{at}.requests": _numbered(33, exactly=exactly)}
    yield {f"{at}.requests": [{"name": "f", "exactly": exactly, "firstAvailable": _numbered(1, **exactly)}]}
    for count in (0, 8, 9):
        yield {f"{at}.requests": [{"name": "f", "firstAvailable": _numbered(count, **exactly)}]}
    yield {f"{at}.requests": [{"name": "f", "firstAvailable": _numbered(2, **exactly) + _numbered(1, **exactly)}]}
    for more in ({"count": 1, "allocationMode": "All"}, {"count": -1}, {"allocationMode": "Some"}, {"count": 0}):
        yield {f"{at}.requests": [{"name": "f", "exactly": {**exactly, **more}}]}
    for toleration in (
        {}, {"operator": "Exists", "value": "x"}, {"operator": "Like"}, {"key": "a b", "effect": "Some"},
        {"value": "a b"}, {"effect": "None", "key": ""},
    ):  # fmt: skip
        yield {f"{at}.requests": [{"name": "f", "exactly": {**exactly, "tolerations": [toleration]}}]}
        yield {
            f"{at}.requests": [{"name": "f", "firstAvailable": [{"name": "n", **exactly, "tolerations": [toleration]}]}]
        }
    yield {f"{at}.requests": [{"name": "f", "exactly": {**exactly, "tolerations": [{"operator": "Exists"}] * 17}}]}
    for constraint in (
        {}, {"matchAttribute": "a"}, {"distinctAttribute": "a"}, {"matchAttribute": "/a"}, {"matchAttribute": "a/"},
        {"matchAttribute": "a/b/c"}, {"matchAttribute": "a/b", "distinctAttribute": "c"}, {"matchAttribute": ""},
        {"matchAttribute": "A.b/" + "x" * 33}, {"matchAttribute": "x" * 64 + "/9"}, {"distinctAttribute": "a b/c d"},
    ):  # fmt: skip
        yield {f"{at}.constraints": [constraint]}
    for name in ("r/s", "f/s", "f/x", "f/s/t", "", "/", "f/", "R"):
        yield {f"{at}.config": [{"requests": [name], "opaque": OPAQUE}]}
        yield {f"{at}.constraints": [{"requests": [name, name], "matchAttribute": "a.b/c"}]}
    yield {f"{at}.constraints": [{"matchAttribute": "a.b/c"}] * 33}
    yield {f"{at}.constraints": [{"requests": [f"n{i}" for i in range(33)], "matchAttribute": "a.b/c"}]}
    yield {f"{at}.config": [{"opaque": OPAQUE}] * 33}


def of_slices() -> Iterator[Change]:
    for driver in ("", "D.Example.com", "a" * 64, "a_b"):
        yield {"spec.driver": driver}
    for name in ("", "a//b", "a" * 254, "a/b/c", "A/b"):
        yield {"spec.pool.name": name}
    for places in (
        {"nodeName": None}, {"allNodes": True}, {"allNodes": False}, {"perDeviceNodeSelection": True},
        {"nodeName": None, "nodeSelector": {"nodeSelectorTerms": []}}, {"nodeName": ""}, {"nodeName": "A b"},
        {"nodeSelector": {"nodeSelectorTerms": [{}, {}]}, "allNodes": True, "perDeviceNodeSelection": False},
        {"nodeName": None, "nodeSelector": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a b"}]}]}},
    ):  # fmt: skip
        yield {f"spec.{name}": value for name, value in places.items()}
    for count, more in ((128, {}), (129, {}), (64, {"taints": [{"key": "a", "effect": "None"}]})):
        yield {"spec.devices": _numbered(count, **more)}
        yield {"spec.devices": _numbered(count + 1, **more)}
    yield {"spec.devices": _numbered(65, consumesCounters=[{"counterSet": "s", "counters": LIMITS}])}
    sets = [{"name": f"s{i}", "counters": LIMITS} for i in range(9)]
    for shared in (sets, sets[:8], [sets[0]] * 2, [{}], [{"name": "A", "counters": {"B": {"value": "1"}}}]):
        yield {"spec.devices": None, "spec.sharedCounters": shared}
    yield {"spec.sharedCounters": sets[:1]}
    yield {"spec.devices": None, "spec.sharedCounters": [{"name": "s", "counters": COUNTERS}]}


def of_devices() -> Iterator[Change]:
    for attributes in (
        {f"a{i}": {"int": i} for i in range(33)}, {"a": {}}, {"a": {"int": 1, "bool": True}}, {"a": {"string": "x" * 65}},
        {"a": {"version": "1.0"}}, {"a": {"version": "1.0.0-" + "x" * 64}}, {"a": {"ints": [1]}}, {"9": {"int": 1}},
        {"a": {"string": "é" * 33}}, {"/a": {"int": 1}}, {"a/": {}}, {"b" * 120: {}}, {"a/b/c": {"int": 1}},
        {"a": {"version": "1.0.0-01"}}, {"a": {"version": "1.0.0+b.1", "string": "x"}}, {"X.y/" + "x" * 33: {"int": 1}},
    ):  # fmt: skip
        yield {"attributes": attributes}
    yield {
        "attributes": {f"a{i}": {"int": i} for i in range(20)},
        "capacity": {f"c{i}": LIMITS["mem"] for i in range(13)},
    }
    for policy in (
        {}, {"default": "1"}, {"default": "1", "validValues": ["1"], "validRange": {"min": "1"}}, {"validValues": ["1"]},
        {"validRange": {"min": "1"}}, {"default": "1", "validRange": {}}, {"default": "3", "validValues": ["2", "1"]},
        {"default": "1", "validValues": ["1", "1000m", "1"]}, {"default": "1", "validValues": ["1", "2G"]},
        {"default": "1", "validValues": [str(i) for i in range(1, 12)]}, {"default": "1", "validValues": []},
        {"default": "0", "validRange": {"min": "1", "max": "5", "step": "3"}}, {"default": "9", "validRange": {"min": "8", "max": "5"}},
        {"default": "1", "validRange": {"min": "2G", "max": "3G", "step": "1"}}, {"default": "4", "validRange": {"min": "2", "step": "2"}},
        {"default": "5", "validRange": {"min": "2", "max": "8", "step": "2"}}, {"default": "3", "validRange": {"min": "1500m", "step": "1500m"}},
        {"default": "2", "validRange": {"min": "2", "step": "1Gi"}},
    ):  # fmt: skip
        capacity = {"m": {"value": "1G", "requestPolicy": policy}}
        yield {"capacity": capacity, "allowMultipleAllocations": True}
    yield {"capacity": {"m": {"value": "1G", "requestPolicy": {"default": "1"}}}}
    yield {"capacity": {"x" * 120: {"value": "1", "requestPolicy": {"default": "1"}}}}
    consumed = {"counterSet": "s", "counters": LIMITS}
    for consumes in ([consumed] * 2, [consumed] * 3, [{}], [{"counterSet": "S", "counters": {"B b": {"value": "1"}}}],
                     [{"counterSet": "s", "counters": COUNTERS}]):  # fmt: skip
        yield {"consumesCounters": consumes}
    taint = {"key": "a", "effect": "NoExecute"}
    for taints in ([taint] * 16, [taint] * 17, [{}], [{"key": "a b", "value": "c d", "effect": "PreferNoSchedule"}]):
        yield {"taints": taints}
    wanted, feared = ["a", "b"], ["c"]
    for conditions in (
        (wanted, None), (None, feared), (wanted, wanted), (["a", "a"], ["c", "c"]), (list("abcde"), list("vwxyz")),
        (["a b"], ["c d"]),
    ):  # fmt: skip
        yield {"bindingConditions": conditions[0], "bindingFailureConditions": conditions[1]}
    yield {"nodeName": "n"}
    yield {"allNodes": False}
    yield {"nodeAllocatableResourceMappings": {"cpu": {"capacityKey": "x"}}}


def of_statuses() -> Iterator[Change]:
    result = {"request": "r", "driver": "d.example.com", "pool": "p", "device": "d"}
    device = {key: value for key, value in result.items() if key != "request"}
    at = "status.allocation.devices"
    yield {f"{at}.results": [result] * 33}
    yield {f"{at}.config": [{"source": "FromClaim", "opaque": OPAQUE}] * 65}
    for request in ("f", "f/s", "f/x", "f/s/t", ""):
        yield {f"{at}.results": [{**result, "request": request}]}
    for share in (UID, UID.upper(), "{" + UID + "}", "urn:uuid:" + UID, "urn:uuix:" + UID, UID.replace("-", ""), "",
                  "x" * 36, "x" * 38, "x" * 32, UID[:-1] + "g", "é" * 18):  # fmt: skip
        yield {f"{at}.results": [{**result, "shareID": share}], "status.devices": None}
        yield {f"{at}.results": [{**result, "shareID": UID}], "status.devices": [{**device, "shareID": share}]}
    yield {f"{at}.results": [{**result, "bindingConditions": ["a"] * 5, "bindingFailureConditions": ["a"]}]}
    yield {"status.reservedFor": [{"resource": "pods", "name": "p", "uid": f"u{i}"} for i in range(257)]}
    yield {"status.reservedFor": [{"resource": "pods", "name": "p", "uid": "u"}], "status.allocation": None}
    condition = {"status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    yield {"status.devices": [{**device, "conditions": [{**condition, "type": f"T{i}"} for i in range(9)]}]}
    for ips in (["10.1.1.1"], ["10.1.1.1/24"] * 17, ["10.1.1.01/24"], ["::ffff:10.1.1.1/120"], ["2001:DB8::1/64"],
                ["10.1.1.1/33"], ["2001:db8:0::1/64", "2001:db8:0::1/64"], ["x/1"], [""], ["10.1.1.1/024"]):  # fmt: skip
        yield {"status.devices": [{**device, "networkData": {"ips": ips}}]}
    yield {"status.devices": [{**device, "networkData": {"interfaceName": "é" * 129, "hardwareAddress": "a" * 129}}]}
    for data in ({"a": "x" * 10240}, [], 1, "x", {}, None):
        yield {"status.devices": [{**device, "data": data}]}
    yield {"status.devices": [device, device, {**device, "device": "x"}]}


def _changed(base: Obj, change: Change, at: tuple[str | int, ...] = ()) -> bytes:
    made = copy.deepcopy(base)
    for path, value in change.items():
        place: Any = made
        *steps, last = [*at, *path.split(".")]
        for step in steps:
            place = place[step] if isinstance(step, int) else place.setdefault(step, {})
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
    return json.dumps(made, separators=(",", ":")).encode()


def _named(number: int, change: Change) -> str:
    return f"{number} {json.dumps(change)[:60]}"


DEVICE: tuple[str | int, ...] = ("spec", "devices", 0)


def sheets(known: dict[str, Obj]) -> Iterator[Sheet]:
    """`known` are the bases by kind and name."""
    for kind, changes, at in (
        ("DeviceClass", of_classes, ()), ("ResourceClaim", of_claims, ()), ("ResourceSlice", of_slices, ()),
        ("ResourceSlice", of_devices, DEVICE),
    ):  # fmt: skip
        base = known[f"{kind}/base"]
        path = cases.path_of(base) + cases.DRY
        made = [Case(_named(i, each), "POST", path, _changed(base, each, at)) for i, each in enumerate(changes())]
        yield Sheet(f"{changes.__name__} {kind}/base", base, iter(made))
    base = known["ResourceClaim/base"]
    versioned = {**base, "metadata": {**base["metadata"], "resourceVersion": VERSION}}
    path = cases.path_of(base, "status") + cases.DRY
    made = [Case(_named(i, each), "PUT", path, _changed(versioned, each)) for i, each in enumerate(of_statuses())]
    yield Sheet("of_statuses ResourceClaim/base", base, iter(made), (cases.setup(base),))
