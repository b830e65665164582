"""An object's metadata: what is the server's and no client's. Each function changes the metadata that it gets in place.

    create   namespace of the URL, a name for generateName, a fresh uid and creationTimestamp
    update   the same object: name, uid, creationTimestamp, deletionTimestamp and generation stay as they are

Upstream: apiserver/pkg/registry/rest/{meta,create,update}.go.
"""

from __future__ import annotations

from random import Random
from uuid import UUID

from workshop.api import errors
from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.clock import rfc3339

from .strategy import take

NAME_CHARACTERS = "bcdfghjklmnpqrstvwxz2456789"
SUFFIX = 5
MAX_NAME = 63
GONE_WITH_IT = ("deletionTimestamp", "deletionGracePeriodSeconds")
_OTHER_NAMESPACE = "the namespace of the provided object does not match the namespace sent on the request"
_OWNERS_SAID_TWICE = (
    ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject "
    "such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: "
)


# --- a new object


def place(resource: Resource, namespace: str, metadata: Obj) -> None:
    """Into the namespace that the URL names. Raises ApiError 400 where the object names another."""
    given = metadata.get("namespace", "")
    if not resource.namespaced:
        metadata.pop("namespace", None)
    elif given and given != namespace:
        raise errors.bad_request(_OTHER_NAMESPACE)
    else:
        metadata["namespace"] = namespace


def generated_name(prefix: str, random: Random) -> str:
    """`web-` → `web-x7k2q`: no vowels, so that no words come about, and never longer than a label of DNS."""
    return prefix[: MAX_NAME - SUFFIX] + "".join(random.choice(NAME_CHARACTERS) for _ in range(SUFFIX))


def wipe(metadata: Obj) -> None:
    """Take away what a client may not choose."""
    for field in ("uid", "creationTimestamp", *GONE_WITH_IT, "selfLink"):
        metadata.pop(field, None)


def check_new(metadata: Obj, dry_run: bool) -> None:
    """Nothing new has a version. Raises ApiError 500."""
    given = metadata.pop("resourceVersion", None)
    if given and given.isdigit() and given != "0" and not dry_run:
        raise errors.failure(500, "", "resourceVersion should not be set on objects to be created")


def begin(metadata: Obj, now: float, random: Random) -> None:
    """What each new object gets, behind the plugins that change."""
    metadata["creationTimestamp"] = rfc3339(now)
    metadata["uid"] = str(UUID(int=random.getrandbits(128), version=4))


# --- an object that is there


def check_identity(resource: Resource, new: Obj, old: Obj) -> None:
    """The object is the one that the URL names. Raises ApiError 400."""
    name, namespace = old["name"], old.get("namespace", "")
    if not new.get("name"):
        raise errors.bad_request(errors.unnamed(name))
    if new["name"] != name:
        raise errors.bad_request(f"the name of the object ({new['name']}) does not match the name on the URL ({name})")
    if new.get("namespace", namespace) != namespace and resource.namespaced:
        raise errors.bad_request(_OTHER_NAMESPACE)


def keep(resource: Resource, new: Obj, old: Obj) -> None:
    """What no update changes is in `new` as it is in `old`. Another uid or deletion is for validation to refuse."""
    if not resource.namespaced:
        new.pop("namespace", None)
    for field in ("creationTimestamp", "namespace", "name", "selfLink", "resourceVersion"):
        if field in old:
            new[field] = old[field]
    for field in ("uid", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if new.get(field) in (None, ""):
            take(new, old, field)
    take(new, old, "generation")


def only_waited_for_finalizers(obj: Obj) -> bool:
    """Deletion was asked for, no grace is left, and this write took the last finalizer away."""
    metadata = obj["metadata"]
    return (
        "deletionTimestamp" in metadata
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
        and not obj.get("spec", {}).get("finalizers")
    )


# --- both


def own_once(metadata: Obj, warnings: list[str]) -> None:
    """Owners that are named twice are named once, with a word about it in `warnings`."""
    kept: list[Obj] = []
    twice: list[str] = []
    for each in metadata.get("ownerReferences") or []:
        if each not in kept:
            kept.append(each)
        elif each.get("uid", "") not in twice:
            twice.append(each.get("uid", ""))
    if twice:
        metadata["ownerReferences"] = kept
        said = _OWNERS_SAID_TWICE + ", ".join(twice)
        warnings.extend([said] if said not in warnings else [])  # an update may be tried again
