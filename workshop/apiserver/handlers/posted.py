"""What is posted to a door below an object: a Binding, an Eviction. Upstream:
apiserver/pkg/endpoints/handlers/create.go."""

from __future__ import annotations

from workshop.api import errors
from workshop.api.meta import Obj
from workshop.apiserver.registry.options import WriteOptions
from workshop.apiserver.server.http import Request

from .resources import read_body

SUCCESS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


async def read(request: Request, version: str, kind: str, options: WriteOptions) -> Obj:
    """The body, read as strictly as the client wishes. Raises ApiError 400 and 415."""
    body, header = await request.body(), request.header("content-type")
    found, warnings = read_body(body, header, version, kind, options.field_validation)
    request.warnings.extend(warnings)
    request.sent(found)
    return found


def same_namespace(found: Obj, namespace: str) -> None:
    """Raises ApiError 400."""
    if (found.get("metadata") or {}).get("namespace", namespace) not in ("", namespace):
        raise errors.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def same_name(found: Obj, name: str, kind: str) -> None:
    """Raises ApiError 400."""
    if (found.get("metadata") or {}).get("name", "") != name:
        raise errors.bad_request(f"name in URL does not match name in {kind} object")
