"""Which object a write is meant for, and in which version: what it asks is held against what the store has.

Upstream: apiserver/pkg/storage/interfaces.go (Preconditions),
apiserver/pkg/registry/generic/registry/store.go (Update).
"""

from __future__ import annotations

from workshop.api import errors
from workshop.api.meta import Obj
from workshop.api.resources import Resource

from .encoding import key_of
from .strategy import Strategy


class Stale(Exception):
    """What was decided rests on an object that may be old: look again."""


def check_version(strategy: Strategy, metadata: Obj, old: Obj) -> None:
    """The resourceVersion that an update is made of; none, or 0, means whichever there is. Raises Stale when it is
    another than the store has, ApiError 422 where a kind asks for one, 500 for what is no number."""
    wanted = metadata.get("resourceVersion") or "0"
    if wanted == "0":
        if not strategy.allows_unconditional_update:
            why = "Invalid value: 0: must be specified for an update"
            causes = [errors.cause("FieldValueInvalid", why, "metadata.resourceVersion")]
            raise errors.invalid(strategy.resource.group_resource, old["name"], causes)
        return
    check_number(wanted)
    if wanted != old["resourceVersion"]:
        raise Stale


def check_number(version: str) -> None:
    """Raises ApiError 500 in Go's words for a version that is none of etcd's."""
    if not (version.isascii() and version.isdigit()):
        raise errors.failure(500, "", f"strconv.ParseUint: parsing {errors.quote(version)}: invalid syntax")


def check_uid(resource: Resource, obj: Obj, uid: str | None, dry_run: bool) -> None:
    """Raises ApiError 409 when the write means another object of the same name."""
    found = obj["metadata"]["uid"]
    if uid and uid != found:
        raise failed(resource, obj, "UID", uid, found, dry_run)


def failed(resource: Resource, obj: Obj, what: str, wanted: str, found: str, dry_run: bool) -> errors.ApiError:
    """The 409 of a write that is meant for an object with another uid or version."""
    key = key_of(resource, obj)
    key = key.removeprefix("/registry") if dry_run else key  # upstream's dry run knows no prefix
    return errors.conflict(
        resource, obj["metadata"]["name"],
        f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: "
        f"Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}",
    )  # fmt: skip
