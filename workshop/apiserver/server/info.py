"""What a request asks for, read off its method and path. Upstream: apiserver/pkg/endpoints/request/requestinfo.go.

GET  /api/v1/namespaces/default/pods/web-0/log   get pods/log "web-0" in "default"
GET  /apis/apps/v1/deployments?watch=1           watch deployments.apps everywhere
GET  /healthz                                    no resource: get "/healthz"
"""

from __future__ import annotations

from dataclasses import dataclass

from .http import Request

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get", "HEAD": "get"}
_NAMESPACE_SUBRESOURCES = ("status", "finalize")


@dataclass(frozen=True, slots=True)
class RequestInfo:
    verb: str
    path: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    rest: str = ""  # what a proxy subresource passes on


def parse(request: Request) -> RequestInfo:
    """Never fails: what is no path of a resource is a path."""
    method = request.method
    plain = RequestInfo(
        _VERBS.get(method, method.lower()) if method in ("GET", "HEAD") else method.lower(), request.path
    )
    parts = request.path.strip("/").split("/")
    if parts[0] == "api":
        group, parts = "", parts[1:]
    elif parts[0] == "apis" and len(parts) > 1:
        group, parts = parts[1], parts[2:]
    else:
        return plain
    if len(parts) < 2:
        return plain
    version, parts = parts[0], parts[1:]
    verb = _VERBS.get(method, "")
    if parts[0] == "watch" and len(parts) > 1:  # the old form of a watch
        verb, parts = "watch", parts[1:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = parts[1]
        if len(parts) > 2 and parts[2] not in _NAMESPACE_SUBRESOURCES:
            parts = parts[2:]
    name = parts[1] if len(parts) > 1 else ""
    if not name and verb == "get":
        verb = "list"
    if verb == "list" and request.flag("watch"):
        verb = "watch"
    if verb in ("list", "watch"):
        name = _selected_name(request.option("fieldSelector")) or name
    if not name and verb == "delete":
        verb = "deletecollection"
    return RequestInfo(
        verb=verb,
        path=request.path,
        is_resource=True,
        group=group,
        version=version,
        namespace=namespace,
        resource=parts[0],
        subresource=parts[2] if len(parts) > 2 else "",
        name=name,
        rest="/".join(parts[3:]),
    )


def _selected_name(selector: str) -> str:
    """`metadata.name=web-0` names one object, also for authorization."""
    for term in selector.split(","):
        for sign in ("==", "="):
            key, found, value = term.partition(sign)
            if found and key == "metadata.name":
                return value
    return ""
