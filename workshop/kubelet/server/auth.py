"""Who may ask a kubelet. Upstream: `pkg/kubelet/server/auth.go` and the delegating authenticator and authorizer.

A certificate of the cluster's authority names a user; one of system:masters, or the API server's own, may do anything.
All others, and bearer tokens, are put to the API server as TokenReview and SubjectAccessReview on the node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from workshop.api.errors import ApiError
from workshop.client.rest import Client
from workshop.client.transport import Unreachable
from workshop.clock import Clock

API_SERVER = ("kube-apiserver-kubelet-client", "kube-apiserver")
CACHE_SECONDS = 30.0

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True)
class User:
    """An authenticated caller."""

    name: str
    groups: tuple[str, ...] = ()


def subresource(path: str) -> str:
    """The node's subresource that stands for a path."""
    first = path.lstrip("/").split("/")[0]
    return {"stats": "stats", "metrics": "metrics", "logs": "log", "healthz": "healthz", "pods": "pods"}.get(
        first, "proxy"
    )


def certificate_user(der: bytes) -> User:
    """CN and O of a client certificate that TLS has verified."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    subject = x509.load_der_x509_certificate(der).subject
    names = [str(entry.value) for entry in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = tuple(str(entry.value) for entry in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME))
    return User(names[0] if names else "", groups)


class Authorizer:
    """Asks the API server, and remembers its answers for half a minute."""

    def __init__(self, client: Client, node_name: str, clock: Clock) -> None:
        self._client, self._node, self._clock = client, node_name, clock
        self._users: dict[str, tuple[float, User]] = {}
        self._allowed: dict[tuple[User, str, str], tuple[float, bool]] = {}

    async def user(self, certificate: bytes | None, header: str) -> User | None:
        """The caller, or None (401)."""
        if certificate is not None:
            return certificate_user(certificate)
        kind, _, token = header.partition(" ")
        if kind.lower() != "bearer" or not token:
            return None
        now = self._clock.monotonic()
        if token in self._users and now < self._users[token][0]:
            return self._users[token][1]
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        try:
            answer = await self._client.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body=body)
        except (ApiError, Unreachable):
            return None
        status = answer.get("status") or {}
        if not status.get("authenticated"):
            return None
        found = User(status["user"].get("username", ""), tuple(status["user"].get("groups") or ()))
        self._users = {**_fresh(self._users, now), token: (now + CACHE_SECONDS, found)}
        return found

    async def allowed(self, user: User, verb: str, path: str) -> bool:
        """Whether the caller may do this on the node."""
        if "system:masters" in user.groups or user.name in API_SERVER:
            return True
        key, now = (user, verb, subresource(path)), self._clock.monotonic()
        if key in self._allowed and now < self._allowed[key][0]:
            return self._allowed[key][1]
        attributes = {"verb": verb, "version": "v1", "resource": "nodes", "subresource": key[2], "name": self._node}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user.name, "groups": list(user.groups), "resourceAttributes": attributes},
        }
        try:
            answer = await self._client.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body=body)
        except (ApiError, Unreachable):
            return False
        verdict = bool((answer.get("status") or {}).get("allowed"))
        self._allowed = {**_fresh(self._allowed, now), key: (now + CACHE_SECONDS, verdict)}
        return verdict


def _fresh(cache: dict[Key, tuple[float, Value]], now: float) -> dict[Key, tuple[float, Value]]:
    return {key: entry for key, entry in cache.items() if entry[0] > now}
