"""The seams inside the API server: who asks, may he, and what admission may see and change.

Upstream: `staging/src/k8s.io/apiserver/pkg/{authentication,authorization,admission}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import TYPE_CHECKING, Any, Literal, Protocol

from workshop.api.meta import Obj
from workshop.api.resources import Registry, Resource
from workshop.clock import Clock

if TYPE_CHECKING:
    from workshop.apiserver.webhooks.client import WebhookClient


@dataclass(frozen=True, slots=True)
class UserInfo:
    """Who sends a request."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, Sequence[str]] = field(default_factory=dict)


def user_info(user: UserInfo) -> Obj:
    """A user as the API writes him."""
    info: Obj = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    if user.groups:
        info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info


@dataclass(frozen=True, slots=True)
class Attributes:
    """What an authorizer judges. `path` counts when it is no `resource_request`."""

    user: UserInfo
    verb: str
    api_group: str = ""
    api_version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    resource_request: bool = True
    path: str = ""
    field_selector: str = ""
    label_selector: str = ""


class Decision(Enum):
    ALLOW = "allow"
    DENY = "deny"
    NO_OPINION = "no opinion"


class Authenticator(Protocol):
    async def authenticate(
        self, certificate: bytes | None, headers: Sequence[tuple[str, str]], path: str = ""
    ) -> UserInfo:
        """The caller, by his client certificate (DER) and header lines (names in lower case). Raises ApiError 401."""
        ...


class Authorizer(Protocol):
    async def authorize(self, a: Attributes) -> tuple[Decision, str]:
        """The decision, and a reason that the client may read."""
        ...


Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]


@dataclass
class AdmissionRequest:
    """One write on its way to the store. `object` is the request's own copy: mutating plugins change it in place.

    It is {} for DELETE; for CONNECT it holds the options of the subresource.
    """

    operation: Operation
    resource: Resource
    subresource: str
    namespace: str
    name: str
    object: Obj
    old_object: Obj | None
    user: UserInfo
    dry_run: bool = False
    options: Obj = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)  # for the audit record
    changed: bool = False
    """Set by a webhook or a policy that changed the object: those before it get another look."""
    reinvoked: bool = False
    state: dict[str, Any] = field(default_factory=dict)
    """What plugins remember between the two looks, by their names."""


class AdmissionChain(Protocol):
    """All plugins, one after the other; a plugin has one of these functions, or both."""

    async def admit(self, request: AdmissionRequest) -> None:
        """Change `request.object` in place, or raise ApiError."""
        ...

    async def validate(self, request: AdmissionRequest) -> None:
        """Raise ApiError to refuse. Changes nothing."""
        ...


class Context(Protocol):
    """What plugins may use: objects, the authorizer, what is served, time and randomness."""

    served: Registry
    webhooks: WebhookClient
    clock: Clock
    random: Random
    authorizer: Authorizer

    async def get(self, resource: Resource, name: str, namespace: str = "") -> Obj | None:
        """The object now, from the watch cache; None if there is none. Shared: do not change it."""
        ...

    async def get_live(self, resource: Resource, name: str, namespace: str = "") -> Obj | None:
        """The object as the store has it now, by a consistent read."""
        ...

    async def list(self, resource: Resource, namespace: str = "") -> list[Obj]:
        """All objects (of a namespace), from the watch cache. Shared: do not change them."""
        ...

    def shelf(self, resource: Resource) -> Mapping[str, Any]:
        """The stored objects of a kind (`Stored`: `.revision`, `.obj`) by their keys: for who keeps what he made of
        them."""
        ...

    async def in_version(self, obj: Obj, to: Resource) -> Obj:
        """An object in the version that `to` serves. Raises ApiError 500 when a webhook fails."""
        ...

    async def update_status(self, resource: Resource, obj: Obj) -> bool:
        """Write the status of `obj` as the server itself; False if somebody changed or deleted it since."""
        ...
