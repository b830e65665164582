"""Who sends this request? The authenticators in order; the first that knows the caller decides.

    front proxy → client certificate → bearer token (file, bootstrap, account, others' issuers, webhook) → anonymous

Nobody's credentials are good for more than they say: a caller with wrong credentials is refused (401) and does not
fall back to being anonymous. Whoever is known also belongs to `system:authenticated`.

Upstream: `pkg/kubeapiserver/authenticator/config.go`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

from cryptography import x509 as certificates

from workshop.api import errors
from workshop.apiserver.authentication.configuration import Anonymous
from workshop.apiserver.authentication.jwt import InvalidToken, decode64
from workshop.apiserver.authentication.oidc import Issuer
from workshop.apiserver.authentication.serviceaccount import ServiceAccountTokens
from workshop.apiserver.authentication.tokens import BootstrapTokens
from workshop.apiserver.authentication.webhook import WebhookTokens
from workshop.apiserver.authentication.x509 import ClientCertificates, InvalidCertificate, common_name
from workshop.apiserver.interfaces import UserInfo
from workshop.clock import SYSTEM, Clock

logger = logging.getLogger(__name__)

ANONYMOUS = "system:anonymous"
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
#: A browser cannot set headers on a WebSocket, so the token comes (base64url) in the name of a protocol.
WEBSOCKET_TOKEN = "base64url.bearer.authorization.k8s.io."

Headers = Sequence[tuple[str, str]]
"""Header lines in order; names in lower case."""


@dataclass(frozen=True)
class FrontProxy:
    """A proxy in front (an aggregator) may name the user, if its certificate is signed by this authority."""

    certificates: ClientCertificates
    allowed_names: Sequence[str] = ()
    username_headers: Sequence[str] = ("x-remote-user",)
    uid_headers: Sequence[str] = ()
    group_headers: Sequence[str] = ("x-remote-group",)
    extra_prefixes: Sequence[str] = ("x-remote-extra-",)

    def authenticate(self, certificate: bytes | None, headers: Headers) -> UserInfo | None:
        """The user that the proxy names; None if this is no proxy. Raises InvalidCertificate."""
        name = _first(headers, self.username_headers)
        if not name or certificate is None:
            return None
        self.certificates.authenticate(certificate)
        proxy = common_name(certificates.load_der_x509_certificate(certificate))
        if self.allowed_names and proxy not in self.allowed_names:
            raise InvalidCertificate(f"x509: subject with cn={proxy} is not in the allowed list")
        groups = tuple(value for header in self.group_headers for value in _all(headers, header))
        extra: dict[str, list[str]] = {}
        for header, value in headers:
            for prefix in self.extra_prefixes:
                if header.startswith(prefix):
                    extra.setdefault(unquote(header.removeprefix(prefix)), []).append(value)
        return UserInfo(name, _first(headers, self.uid_headers), groups, extra)


@dataclass
class Authentication:
    """All authenticators of a server. What is not configured is None or empty."""

    certificates: ClientCertificates | None = None
    front_proxy: FrontProxy | None = None
    token_file: Mapping[str, UserInfo] = field(default_factory=dict)
    bootstrap_tokens: BootstrapTokens | None = None
    service_accounts: ServiceAccountTokens | None = None
    audiences: Sequence[str] = ()
    anonymous: Anonymous = field(default_factory=Anonymous)
    issuers: Sequence[Issuer] = ()
    webhook: WebhookTokens | None = None
    clock: Clock = SYSTEM

    async def authenticate(self, certificate: bytes | None, headers: Headers, path: str = "") -> UserInfo:
        """The caller. Raises ApiError (401 Unauthorized)."""
        problems: list[str] = []
        user = self._by_certificate(certificate, headers, problems)
        if user is None:
            token = bearer_token(headers)
            if token is not None:
                try:
                    found = await self.authenticate_token(token)
                    user = found[0] if found else None
                    if found is None:
                        problems.append("invalid bearer token")
                except InvalidToken as e:
                    problems.append(str(e))
        if user is not None:
            return with_authenticated(user)
        if problems or not self.anonymous.fits(path):
            if problems:
                logger.warning("Unable to authenticate the request: %s", ", ".join(problems))
            raise errors.unauthorized("Unauthorized")
        return UserInfo(ANONYMOUS, "", (UNAUTHENTICATED,), {})

    def _by_certificate(self, certificate: bytes | None, headers: Headers, problems: list[str]) -> UserInfo | None:
        if certificate is None:
            return None
        if self.front_proxy is not None:
            try:
                user = self.front_proxy.authenticate(certificate, headers)
            except InvalidCertificate as e:
                problems.append(str(e))
            else:
                if user is not None:
                    return user
        if self.certificates is not None:
            try:
                return self.certificates.authenticate(certificate)
            except InvalidCertificate as e:
                problems.append(str(e))
        return None

    async def authenticate_token(
        self, token: str, audiences: Sequence[str] | None = None
    ) -> tuple[UserInfo, list[str]] | None:
        """The user of a bearer token and the audiences it holds for; None if nobody knows it. Raises InvalidToken."""
        user = self.token_file.get(token)
        if user is None and self.bootstrap_tokens is not None:
            user = await self.bootstrap_tokens.authenticate(token)
        if user is not None:
            return user, list(self.audiences if audiences is None else audiences)
        if self.service_accounts is not None:
            known = await self.service_accounts.authenticate(token, audiences)
            if known is not None:
                return known
        for issuer in self.issuers:
            if (user := await issuer.authenticate(token, self.clock)) is not None:
                return user, list(self.audiences if audiences is None else audiences)
        return await self.webhook.authenticate(token, audiences) if self.webhook is not None else None


def bearer_token(headers: Headers) -> str | None:
    """The token of `Authorization: Bearer …`, or the one a browser's WebSocket hides among its protocols."""
    parts = _first(headers, ("authorization",)).strip().split(" ", 2)
    if len(parts) > 1 and parts[0].lower() == "bearer" and parts[1]:
        return parts[1]
    offered = (name.strip() for line in _all(headers, "sec-websocket-protocol") for name in line.split(","))
    hidden = next((name.removeprefix(WEBSOCKET_TOKEN) for name in offered if name.startswith(WEBSOCKET_TOKEN)), "")
    try:
        return decode64(hidden).decode() or None
    except ValueError:
        return None


def with_authenticated(user: UserInfo) -> UserInfo:
    """The user as a member of `system:authenticated` too, unless he already is one or is anonymous."""
    if user.name == ANONYMOUS or AUTHENTICATED in user.groups or UNAUTHENTICATED in user.groups:
        return user
    return replace(user, groups=(*user.groups, AUTHENTICATED))


def _first(headers: Headers, names: Iterable[str]) -> str:
    return next((value for wanted in names for value in _all(headers, wanted)), "")


def _all(headers: Headers, name: str) -> list[str]:
    return [value for header, value in headers if header == name.lower()]
