"""Where a request to a node, a pod or a Service goes: `https:web:443` and what the objects say.

Upstream: ResourceLocation in pkg/registry/core/{pod,service,node}, validateContainer in that of pods.
"""

from __future__ import annotations

from collections.abc import Sequence

from workshop.api import errors
from workshop.api.meta import Obj


def split(name: str, what: str) -> tuple[str, str, str]:
    """`https:web:443` → (scheme, name, port). Raises ApiError 400. Upstream: net.SplitSchemeNamePort."""
    parts = name.split(":")
    if len(parts) < 3:
        parts = ["", *parts, ""][:3]
    if len(parts) != 3 or not parts[1] or parts[0] not in ("", "http", "https"):
        raise errors.bad_request(f"invalid {what} request {errors.quote(name)}")
    return parts[0], parts[1], parts[2]


def container(pod: Obj, wanted: str) -> str:
    """The container that is meant. Raises ApiError 400 in upstream's words."""
    spec, name = pod["spec"], pod["metadata"]["name"]
    regular = [each["name"] for each in spec["containers"]]
    kinds = ("initContainers", "containers", "ephemeralContainers")
    known = [each["name"] for kind in kinds for each in spec.get(kind) or ()]
    if wanted:
        if wanted not in known:
            raise errors.bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    if len(regular) == 1:
        return str(regular[0])
    listed = f"choose one of: [{' '.join(known)}]"
    raise errors.bad_request(f"a container name must be specified for pod {name}, {listed}")


def service_port(service: Obj, port: str) -> str:
    """The name of the port that is meant by its number or its name. Raises ApiError 503."""
    if not (port.lstrip("+-").isdigit() and port.isascii()):
        return port
    number, name = int(port), service["metadata"]["name"]
    for each in service["spec"].get("ports") or ():
        if each["port"] == number:
            return str(each.get("name", ""))
    raise errors.service_unavailable(f"no service port {number} found for service {errors.quote(name)}")


def endpoints_of(endpoints: Obj, port: str) -> Sequence[tuple[Obj, int]]:
    """(address, port) of all that listen on the port of that name."""
    return [
        (address, found["port"])
        for subset in endpoints.get("subsets") or ()
        for found in subset.get("ports") or ()
        if found.get("name", "") == port
        for address in subset.get("addresses") or ()
    ]
