"""The API's one error type: an exception that carries a `Status` object, and constructors in upstream's words.

Upstream: `staging/src/k8s.io/apimachinery/pkg/api/errors/errors.go`,
`staging/src/k8s.io/apiserver/pkg/endpoints/handlers/negotiation/errors.go`.
Where a function takes a `resource` it takes a `workshop.api.resources.Resource` or its `.group_resource` text:
`pods`, `deployments.apps`. `kind` likewise: `Pod`, `Deployment.apps`.

>>> str(not_found("deployments.apps", "web"))
'deployments.apps "web" not found'
>>> not_found("deployments.apps", "web").status["details"]
{'name': 'web', 'group': 'apps', 'kind': 'deployments'}
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

HTTP_REASONS = {  # code → (reason, message) for an answer that says no more
    400: ("BadRequest", "the server rejected our request for an unknown reason"),
    401: ("Unauthorized", "the server has asked for the client to provide credentials"),
    403: ("Forbidden", ""),
    404: ("NotFound", "the server could not find the requested resource"),
    405: ("MethodNotAllowed", "the server does not allow this method on the requested resource"),
    406: ("NotAcceptable", "the server was unable to respond with a content type that the client supports"),
    409: ("Conflict", "the server reported a conflict"),
    415: ("UnsupportedMediaType", ""),
    422: ("Invalid", "the server rejected our request due to an error in our request"),
    429: ("TooManyRequests", "the server has received too many requests and has asked us to try again later"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: (
        "Timeout",
        "the server was unable to return a response in the time allotted, but may still be processing the request",
    ),
}


class _Named(Protocol):
    @property
    def group_resource(self) -> str: ...


class ApiError(Exception):
    """`status` is the whole `Status` object as it goes over the wire."""

    def __init__(self, status: dict[str, Any]) -> None:
        self.status = status
        super().__init__(self.message)

    @property
    def code(self) -> int:
        return int(self.status.get("code") or 0)

    @property
    def reason(self) -> str:
        return str(self.status.get("reason") or "")

    @property
    def message(self) -> str:
        return str(self.status.get("message") or "")

    @property
    def details(self) -> dict[str, Any]:
        return self.status.get("details") or {}

    @property
    def causes(self) -> list[dict[str, Any]]:
        return self.details.get("causes") or []

    @property
    def retry_after(self) -> int:
        """Seconds to wait before the next try; 0 when the server named none. Goes out as `Retry-After` too."""
        return int(self.details.get("retryAfterSeconds") or 0)

    def __str__(self) -> str:
        return self.message


def failure(code: int, reason: str, message: str, details: Mapping[str, Any] | None = None) -> ApiError:
    """Any error, in the field order of Go's `metav1.Status`. Empty values are left out, as `omitempty` does."""
    status: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    if message:
        status["message"] = message
    if reason:
        status["reason"] = reason
    if details is not None:
        order = ("name", "group", "kind", "uid", "causes", "retryAfterSeconds")
        status["details"] = {key: details[key] for key in order if details.get(key)}
    status["code"] = code
    return ApiError(status)


def cause(reason: str, message: str, field: str = "") -> dict[str, str]:
    """One entry of `details.causes`, empty values left out."""
    pairs = (("reason", reason), ("message", message), ("field", field))
    return {key: value for key, value in pairs if value}


def _qualified(resource: str | _Named) -> str:
    return resource if isinstance(resource, str) else resource.group_resource


def _details(resource: str | _Named, name: str = "", **more: Any) -> dict[str, Any]:
    kind, _, group = _qualified(resource).partition(".")
    return {"name": name, "group": group, "kind": kind, **more}


_ESCAPE = re.compile(r"\\(?:u00([01][0-9a-f]|7f)|.)")
_GO = {"07": "\\a", "0b": "\\v"}


def quote(text: str) -> str:
    """A string as Go's `%q` prints it."""

    def shown(found: re.Match[str]) -> str:
        return _GO.get(found[1], f"\\x{found[1]}") if found[1] else found[0]

    return _ESCAPE.sub(shown, json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f"))


# --- 400 ---------------------------------------------------------------------------------------------------------


def bad_request(message: str) -> ApiError:
    return failure(400, "BadRequest", message)


def unauthorized(message: str = "") -> ApiError:
    """The server itself answers with the message `Unauthorized`."""
    return failure(401, "Unauthorized", message or "not authorized")


def forbidden(resource: str | _Named, name: str, message: str) -> ApiError:
    """`resource` is "" for a request to a path that is no resource."""
    qualified = _qualified(resource)
    if not qualified:
        text = f"forbidden: {message}"
    elif not name:
        text = f"{qualified} is forbidden: {message}"
    else:
        text = f"{qualified} {quote(name)} is forbidden: {message}"
    return failure(403, "Forbidden", text, _details(resource, name))


def not_found(resource: str | _Named, name: str) -> ApiError:
    return failure(404, "NotFound", f"{_qualified(resource)} {quote(name)} not found", _details(resource, name))


def no_such_path() -> ApiError:
    """A path, group, version or resource that the server does not know."""
    return failure(404, "NotFound", HTTP_REASONS[404][1], {})


def method_not_supported(resource: str | _Named, action: str) -> ApiError:
    text = f"{action} is not supported on resources of kind {quote(_qualified(resource))}"
    return failure(405, "MethodNotAllowed", text, _details(resource))


def not_allowed() -> ApiError:
    """A method that a path does not know, before anything asks which kind it is about."""
    return failure(405, "MethodNotAllowed", HTTP_REASONS[405][1], {})


def unnamed(name: str) -> str:
    """What is wrong with an object without a name that is sent to the path of `name`."""
    return f"the name of the object ({name} based on URL) was undeterminable: name must be provided"


def not_acceptable(accepted: Iterable[str]) -> ApiError:
    return failure(406, "NotAcceptable", f"only the following media types are accepted: {', '.join(accepted)}")


def already_exists(resource: str | _Named, name: str) -> ApiError:
    text = f"{_qualified(resource)} {quote(name)} already exists"
    return failure(409, "AlreadyExists", text, _details(resource, name))


def generate_name_conflict(resource: str | _Named, name: str, retry_after: int = 1) -> ApiError:
    """After eight generated names were all taken."""
    taken = f"{_qualified(resource)} {quote(name)} already exists"
    text = f"{taken}, the server was not able to generate a unique name for the object"
    return failure(409, "AlreadyExists", text, _details(resource, name, retryAfterSeconds=retry_after))


OPTIMISTIC_LOCK = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(resource: str | _Named, name: str, message: str = OPTIMISTIC_LOCK) -> ApiError:
    text = f"Operation cannot be fulfilled on {_qualified(resource)} {quote(name)}: {message}"
    return failure(409, "Conflict", text, _details(resource, name))


def apply_conflict(causes: list[dict[str, str]], message: str) -> ApiError:
    """Server-side apply met fields of other managers: a cause `FieldManagerConflict` for each."""
    return failure(409, "Conflict", message, {"causes": causes})


def gone_expired(message: str = "The resourceVersion for the provided list is too old.") -> ApiError:
    """A resourceVersion or continue token that was compacted."""
    return failure(410, "Expired", message)


def request_entity_too_large(message: str) -> ApiError:
    """`message` as in `limit is 3145728`."""
    return failure(413, "RequestEntityTooLarge", f"Request entity too large: {message}")


def unsupported_media_type(accepted: Iterable[str]) -> ApiError:
    listed = ", ".join(accepted)
    text = f"the body of the request was in an unknown format - accepted media types include: {listed}"
    return failure(415, "UnsupportedMediaType", text)


def invalid(kind: str, name: str, causes: Iterable[Mapping[str, str]]) -> ApiError:
    """`causes` are dicts of `reason` (`FieldValueInvalid`), `message` (`Invalid value: "x": why`) and `field`
    (`spec.replicas`). Texts that are the same are told once; several are told in brackets."""
    kept = [cause(c.get("reason", ""), c.get("message", ""), c.get("field", "")) for c in causes]
    texts = list(dict.fromkeys(f"{c.get('field', '<nil>')}: {c.get('message', '')}" for c in kept))
    text = f"{kind} {quote(name)} is invalid"
    if texts:
        text += f": {texts[0]}" if len(texts) == 1 else f": [{', '.join(texts)}]"
    return failure(422, "Invalid", text, _details(kind, name, causes=kept))


def too_many_requests(message: str, retry_after: int = 0, causes: list[dict[str, str]] | None = None) -> ApiError:
    """An eviction against a budget passes the cause `DisruptionBudget`."""
    return failure(429, "TooManyRequests", message, {"retryAfterSeconds": retry_after, "causes": causes})


# --- 500 ---------------------------------------------------------------------------------------------------------


def internal(message: str) -> ApiError:
    details = {"causes": [cause("", message)]}
    return failure(500, "InternalError", f"Internal error occurred: {message}", details)


def service_unavailable(message: str) -> ApiError:
    return failure(503, "ServiceUnavailable", message)


def timeout(message: str, retry_after: int = 0) -> ApiError:
    """The operation may still happen."""
    return failure(504, "Timeout", f"Timeout: {message}", {"retryAfterSeconds": retry_after})


def resource_version_too_large(wanted: int, current: int, retry_after: int = 1) -> ApiError:
    error = timeout(f"Too large resource version: {wanted}, current: {current}", retry_after)
    causes = [cause("ResourceVersionTooLarge", "Too large resource version")]
    error.status["details"] = {"causes": causes, "retryAfterSeconds": retry_after}
    return error


# --- what a client received ----------------------------------------------------------------------------------------


def generic(
    code: int,
    verb: str = "",
    resource: str | _Named = "",
    name: str = "",
    server_message: str = "",
    retry_after: int = 0,
    unexpected: bool = False,
) -> ApiError:
    """For an answer that is no `Status`: what its HTTP code says. `unexpected` adds its body as a cause."""
    reason, text = HTTP_REASONS.get(code, ("", ""))
    if code == 409 and verb.upper() == "POST":
        reason = "AlreadyExists"
    elif code in (403, 415) or (code == 406 and server_message not in ("", "unknown")):
        text = server_message
    elif not reason and code >= 500:
        said = quote(server_message)
        reason, text = "InternalError", f"an error on the server ({said}) has prevented the request from succeeding"
    elif not reason:
        text = f"the server responded with the status code {code} but did not return more information"
    qualified = _qualified(resource)
    if qualified:
        text += f" ({' '.join(part for part in (verb.lower(), qualified, name) if part)})"
    causes = [cause("UnexpectedServerResponse", server_message)] if unexpected else None
    return failure(code, reason, text, _details(resource, name, causes=causes, retryAfterSeconds=retry_after))


# --- questions -----------------------------------------------------------------------------------------------------


def _is(error: BaseException, reason: str) -> bool:
    return isinstance(error, ApiError) and error.reason == reason


def is_not_found(error: BaseException) -> bool:
    return _is(error, "NotFound")


def is_already_exists(error: BaseException) -> bool:
    return _is(error, "AlreadyExists")


def is_conflict(error: BaseException) -> bool:
    """A stale resourceVersion, a failed precondition or an apply conflict; not `is_already_exists`."""
    return _is(error, "Conflict")


def is_terminating_namespace(error: BaseException) -> bool:
    """A creation that was refused because its namespace is being deleted."""
    return isinstance(error, ApiError) and any(c.get("reason") == "NamespaceTerminating" for c in error.causes)
