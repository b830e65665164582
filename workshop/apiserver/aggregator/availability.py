"""Can the server behind an APIService be asked? What its Service and its endpoints say. Pure.

Upstream: kube-aggregator/pkg/controllers/status/remote/remote_available_controller.go.
"""

from __future__ import annotations

from workshop.api.errors import quote
from workshop.api.meta import Obj


def condition(true: bool, reason: str, message: str) -> Obj:
    return {"type": "Available", "status": "True" if true else "False", "reason": reason, "message": message}


PASSED = condition(True, "Passed", "all checks passed")


def obstacle(ref: Obj, service: Obj | None, slices: list[Obj]) -> Obj | None:
    """The condition that tells why nobody can answer; None where the server itself must be asked.

    `ref` is `spec.service`, `slices` are the Service's EndpointSlices."""
    named, port = f"service/{ref['name']} in {quote(ref['namespace'])}", ref.get("port") or 443
    if service is None:
        return condition(False, "ServiceNotFound", f"{named} is not present")
    spec = service["spec"]
    if (spec.get("type") or "ClusterIP") != "ClusterIP":
        return None
    found = next((each for each in spec.get("ports") or () if each["port"] == port), None)
    if found is None:
        return condition(False, "ServicePortError", f"{named} is not listening on port {port}")
    if not slices:
        return condition(False, "EndpointsNotFound", f"cannot find endpointslices for {named}")
    if not any(_ready(slice, found.get("name") or "") for slice in slices):
        text = f"endpointslices for {named} have no addresses with port name {quote(found.get('name') or '')}"
        return condition(False, "MissingEndpoints", text)
    return None


def _ready(slice: Obj, port: str) -> bool:
    some = any((each.get("conditions") or {}).get("ready", True) for each in slice.get("endpoints") or ())
    return some and any((each.get("name") or "") == port and each.get("port") for each in slice.get("ports") or ())
