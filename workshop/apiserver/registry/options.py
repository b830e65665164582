"""What steers a verb besides its object: CreateOptions, UpdateOptions, PatchOptions, DeleteOptions, ListOptions.

Upstream: apimachinery/pkg/apis/meta/v1/types.go and validation/validation.go.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from workshop.api import codec, decode, errors, labels, protobuf, reading, schema
from workshop.api.fields import Selector as Fields
from workshop.api.fields import Term
from workshop.api.resources import Resource
from workshop.api.self_reading import DecodeError
from workshop.apiserver.interfaces import UserInfo
from workshop.apiserver.server.http import Request
from workshop.apiserver.server.negotiate import JSON, PROTOBUF, YAML, body_type

from . import fields
from .reader import ListOptions, Selection

_SCHEME = "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27"


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Who writes and how. `manager` is the field manager; `warnings` collects what the client is told, `annotations`
    what admission says for the audit record."""

    user: UserInfo
    manager: str
    warnings: list[str]
    dry_run: bool = False
    field_validation: str = "Warn"
    force: bool = False
    explicit_manager: bool = False
    annotations: dict[str, str] = field(default_factory=dict)
    verb: str = "update"
    """As authorizers call it: `create`, `update`, `patch`."""


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    grace: int | None = None
    uid: str | None = None
    version: str | None = None
    propagation: str | None = None
    orphan: bool | None = None
    dry_run: bool = False


def write_options(request: Request) -> WriteOptions:
    """Raises ApiError 422 for values that are none."""
    dry = request.query.get("dryRun", [])
    kind = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}.get(request.info.verb, "")
    causes = _bad_dry_run(dry)
    validation = request.option("fieldValidation") or "Warn"
    if validation not in ("Ignore", "Warn", "Strict"):
        causes.append(_unsupported("fieldValidation", validation, ["", "Ignore", "Strict", "Warn"]))
    manager = request.option("fieldManager")
    if len(manager) > 128:
        causes.append(errors.cause("FieldValueTooLong", "Too long: may not be more than 128 bytes", "fieldManager"))
    for position, char in enumerate(manager):
        if not char.isprintable():
            said = (
                f"Invalid value: {errors.quote(manager)}: invalid character U+{ord(char):04X} (at position {position})"
            )
            causes.append(errors.cause("FieldValueInvalid", said, "fieldManager"))
            break
    if causes:
        raise errors.invalid(f"{kind}.meta.k8s.io", "", causes)
    return WriteOptions(
        user=request.user,
        manager=manager or _agent(request.header("user-agent")),
        warnings=request.warnings,
        dry_run=bool(dry),
        field_validation=validation,
        force=request.flag("force"),
        explicit_manager=bool(manager),
        annotations=request.annotations,
        verb=request.info.verb,
    )


def _agent(header: str) -> str:
    """The default field manager: the User-Agent up to its first slash, at most 128 bytes."""
    return "".join(c for c in header.partition("/")[0] if c.isprintable())[:128] or "unknown"


def _bad_dry_run(values: list[str]) -> list[dict[str, str]]:
    """The only known value is `All`; upstream quotes the whole list."""
    if all(value == "All" for value in values):
        return []
    told = ",".join(errors.quote(str(value)) for value in values)
    message = f'Unsupported value: [{told}]: supported values: "All"'
    return [errors.cause("FieldValueNotSupported", message, "dryRun")]


def _unsupported(field: str, value: str, known: list[str]) -> dict[str, str]:
    quoted = ", ".join(f'"{k}"' for k in known)
    return errors.cause("FieldValueNotSupported", f'Unsupported value: "{value}": supported values: {quoted}', field)


async def delete_options(request: Request) -> DeleteOptions:
    """From the body where there is one, else from the query. Raises ApiError 400, 415, 422."""
    body = await request.body()
    options: dict[str, Any] = {}
    if body.strip():
        kind = body_type(request.header("content-type"), (JSON, YAML, PROTOBUF))
        options = _read_options(parse_body(body, kind))
    else:
        options = {"gracePeriodSeconds": request.number("gracePeriodSeconds"),
                   "propagationPolicy": request.option("propagationPolicy") or None,
                   "dryRun": request.query.get("dryRun")}  # fmt: skip
        if "orphanDependents" in request.query:
            options["orphanDependents"] = request.flag("orphanDependents")
    return options_of(options)


def _read_options(given: dict[str, Any]) -> dict[str, Any]:
    """A body of DeleteOptions, its types checked. Raises ApiError 400."""
    if given.get("kind") not in (None, "", "DeleteOptions"):
        kind, version = given["kind"], given.get("apiVersion", "")
        raise errors.bad_request(f'no kind "{kind}" is registered for version "{version}" in scheme "{_SCHEME}"')
    known = schema.load("meta.v1", "DeleteOptions")
    assert known is not None
    try:
        return reading.convert(known, given).obj
    except DecodeError as error:
        raise errors.bad_request(str(error)) from None


def options_of(options: dict[str, Any]) -> DeleteOptions:
    """DeleteOptions that are a dict already. Raises ApiError 422."""
    preconditions = options.get("preconditions") or {}
    policy, orphan = options.get("propagationPolicy"), options.get("orphanDependents")
    dry = options.get("dryRun") or []
    causes = _bad_dry_run(dry)
    if policy is not None and orphan is not None:
        message = f'Invalid value: "{policy}": orphanDependents and deletionPropagation cannot be both set'
        causes.append(errors.cause("FieldValueInvalid", message, "propagationPolicy"))
    if policy not in (None, "Foreground", "Background", "Orphan"):
        causes.append(_unsupported("propagationPolicy", str(policy), ["Foreground", "Background", "Orphan", "nil"]))
    if causes:
        raise errors.invalid("DeleteOptions.meta.k8s.io", "", causes)
    grace = options.get("gracePeriodSeconds")
    return DeleteOptions(
        grace=None if grace is None else max(1, int(grace)) if int(grace) < 0 else int(grace),
        uid=preconditions.get("uid"),
        version=preconditions.get("resourceVersion"),
        propagation=policy,
        orphan=orphan,
        dry_run=bool(dry),
    )


def parse_body(body: bytes, kind: str) -> dict[str, Any]:
    """A small body of options as a dict. Raises ApiError 400."""
    try:
        value = (
            protobuf.decode(body) if kind == PROTOBUF else codec.load_yaml(body) if kind == YAML else codec.loads(body)
        )
    except ValueError as error:
        raise errors.bad_request(f"couldn't get version/kind; json parse error: {error}") from None
    if not isinstance(value, dict):
        raise errors.bad_request(decode.no_head(value))
    return value


def selection(request: Request, resource: Resource) -> Selection:
    """Namespace and selectors of a list, a watch or a deletecollection. Raises ApiError 400."""
    try:
        by_labels = labels.parse(request.option("labelSelector"))
    except ValueError as error:
        raise errors.bad_request(str(error)) from None
    by_fields = fields.parse(resource, request.option("fieldSelector"))
    if request.info.verb == "watch" and request.info.name:  # `/api/v1/watch/namespaces/x/pods/NAME`
        by_fields = Fields((*by_fields.terms, Term("metadata.name", request.info.name)))
    return Selection(resource, request.info.namespace if resource.namespaced else "", by_labels, by_fields)


def list_options(request: Request) -> ListOptions:
    """Raises ApiError 400 and 422."""
    match, version = request.option("resourceVersionMatch"), request.option("resourceVersion")
    limit, token = request.number("limit") or 0, request.option("continue")
    request.number("timeoutSeconds")  # 400 if it is none
    causes = _watch_causes(request, match, token) if request.flag("watch") else _list_causes(request, match, version)
    if causes:
        raise errors.invalid("ListOptions.meta.k8s.io", "", causes)
    return ListOptions(max(0, limit), token, version, match)


def _forbidden(why: str, field: str = "resourceVersionMatch") -> dict[str, str]:
    return errors.cause("FieldValueForbidden", f"Forbidden: {why}", field)


WITH_CONTINUE = "resourceVersionMatch is forbidden when continue is provided"


def _list_causes(request: Request, match: str, version: str) -> list[dict[str, str]]:
    found = []
    if match and not version:
        found.append(_forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided"))
    if match and request.option("continue"):
        found.append(_forbidden(WITH_CONTINUE))
    if match not in ("", "Exact", "NotOlderThan"):
        found.append(_unsupported("resourceVersionMatch", match, ["Exact", "NotOlderThan", ""]))
    if match == "Exact" and version == "0":
        found.append(_forbidden('resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
    if "sendInitialEvents" in request.query:
        found.append(_forbidden("sendInitialEvents is forbidden for list", "sendInitialEvents"))
    return found


def _watch_causes(request: Request, match: str, token: str) -> list[dict[str, str]]:
    found = []
    initial = "sendInitialEvents" in request.query
    if initial and match != "NotOlderThan":
        found.append(_forbidden("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
    if match and not initial:
        found.append(_forbidden("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"))
    if match not in ("", "NotOlderThan"):
        found.append(_unsupported("resourceVersionMatch", match, ["NotOlderThan"]))
    if token:
        found.append(_forbidden(WITH_CONTINUE))
    return found
