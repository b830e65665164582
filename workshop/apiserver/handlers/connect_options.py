"""What a request to connect asks for, as the object that admission is shown. Pure.

Upstream: pkg/registry/core/{pod,node,service}/rest (NewConnectOptions), apiserver/pkg/endpoints/handlers/get.go.
"""

from __future__ import annotations

from workshop.api import errors
from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.apiserver.server.http import Request

_FLAGS = ("stdin", "stdout", "stderr", "tty")


def connect_options(request: Request, resource: Resource) -> Obj:
    """`kubectl attach -i web -c main` is {"kind": "PodAttachOptions", …, "stdin": true, "container": "main"}."""
    subresource = request.info.subresource
    known = resource.subresource(subresource)
    options: Obj = {"kind": known.kind if known else resource.kind, "apiVersion": "v1"}
    if subresource == "proxy":
        path = f"/{request.info.rest}" if request.info.rest else ""
        slash = "/" if request.path.endswith("/") and not path.endswith("/") else ""
        return {**options, "path": path + slash}
    if subresource == "portforward":
        ports = [_number(port) for text in request.query.get("ports", ()) for port in text.split(",")]
        return {**options, "ports": ports} if ports else options
    options |= {name: True for name in _FLAGS if request.flag(name)}
    if request.option("container"):
        options["container"] = request.option("container")
    if subresource == "exec" and "command" in request.query:
        options["command"] = request.query["command"]
    return options


def _number(text: str) -> int:
    """Raises ApiError 400."""
    if not (text.isascii() and text.isdigit()):
        why = f"strconv.ParseUint: parsing {errors.quote(text)}: invalid syntax"
        raise errors.bad_request(f"cannot convert to []int32: {why}")
    return int(text)
