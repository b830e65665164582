"""Authentication, authorization, admission, allocators and bootstrapping, put together from a server's flags.

`run.py` makes one `Security` and hangs its parts into the chain. What these parts keep in memory (who holds which
role, which pod refers to which Secret) is fed from the watch cache, so that no request reads the store to be
authorized.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from workshop.api.resources import Registry, Resource, resource
from workshop.apiserver.admission import plugins
from workshop.apiserver.admission.configuration import load as load_admission
from workshop.apiserver.admission.default_toleration_seconds import KEYS, DefaultTolerationSeconds
from workshop.apiserver.admission.pod_security import PodSecurity
from workshop.apiserver.admission.rbac_escalation import RbacEscalation
from workshop.apiserver.allocators.services import ServiceAllocator
from workshop.apiserver.authentication import issuer as issuing
from workshop.apiserver.authentication.chain import Authentication, FrontProxy
from workshop.apiserver.authentication.configuration import Anonymous, Configuration
from workshop.apiserver.authentication.configuration import load as load_authentication
from workshop.apiserver.authentication.files import load_certificates, load_private_key, load_public_keys
from workshop.apiserver.authentication.issuer import TokenIssuer
from workshop.apiserver.authentication.jwt import Key, Signer, key_of
from workshop.apiserver.authentication.oidc import Issuer
from workshop.apiserver.authentication.reviews import IdentityReviews
from workshop.apiserver.authentication.serviceaccount import ServiceAccountTokens
from workshop.apiserver.authentication.tokens import BootstrapTokens, parse_token_file
from workshop.apiserver.authentication.webhook import WebhookTokens
from workshop.apiserver.authentication.x509 import ClientCertificates
from workshop.apiserver.authorization import graph, rbac
from workshop.apiserver.authorization.configuration import Mode, Webhook
from workshop.apiserver.authorization.configuration import load as load_authorization
from workshop.apiserver.authorization.modes import AlwaysAllow, AlwaysDeny, SystemMasters, Union
from workshop.apiserver.authorization.node import NodeAuthorizer
from workshop.apiserver.authorization.reviews import AccessReviews
from workshop.apiserver.authorization.webhook import WebhookAuthorizer
from workshop.apiserver.bootstrap import facts
from workshop.apiserver.bootstrap.run import Bootstrap
from workshop.apiserver.bootstrap.system import Config
from workshop.apiserver.cached import Cache, CachedContext, feed
from workshop.apiserver.interfaces import Authorizer
from workshop.apiserver.storage.interface import Storage
from workshop.clock import Clock

logger = logging.getLogger(__name__)
RELOAD_EVERY = 60.0


@dataclass(frozen=True)
class Options:
    """The flags of kube-apiserver that concern these rooms, under their own names."""

    advertise_address: str
    secure_port: int
    service_cluster_ip_range: Sequence[str]
    service_node_port_range: tuple[int, int] = (30000, 32767)
    endpoint_reconciler_type: str = "lease"
    client_ca_file: str = ""
    anonymous_auth: bool = True
    authentication_config: str = ""
    token_auth_file: str = ""
    enable_bootstrap_token_auth: bool = False
    service_account_issuer: Sequence[str] = ()
    service_account_key_file: Sequence[str] = ()
    service_account_signing_key_file: str = ""
    service_account_max_token_expiration: int = 0
    service_account_extend_token_expiration: bool = True
    service_account_jwks_uri: str = ""
    api_audiences: Sequence[str] = ()
    requestheader_client_ca_file: str = ""
    requestheader_allowed_names: Sequence[str] = ()
    requestheader_username_headers: Sequence[str] = ()
    requestheader_uid_headers: Sequence[str] = ()
    requestheader_group_headers: Sequence[str] = ()
    requestheader_extra_headers_prefix: Sequence[str] = ()
    authorization_mode: Sequence[str] = ("AlwaysAllow",)
    authorization_config: str = ""
    authorization_webhook_config_file: str = ""
    authorization_webhook: tuple[float, float, float, bool, str] = (10.0, 300.0, 30.0, False, "v1beta1")
    """Of the webhook of that file: `Webhook`'s fields from its timeout on."""
    oidc: Mapping[str, Any] | None = None
    """An issuer, as an AuthenticationConfiguration names it."""
    authentication_webhook: tuple[str, str, float] | None = None
    """Kubeconfig, version of the reviews, seconds that an answer is kept."""
    admission_control_config_file: str = ""
    default_toleration_seconds: tuple[int, int] = (300, 300)
    """Of nodes that are not ready, and of those that are unreachable."""
    enable_admission_plugins: Sequence[str] = ()
    disable_admission_plugins: Sequence[str] = ()
    hostname: str = "localhost"


class Security:
    """All parts, made from the flags. Raises OSError and ValueError for files that cannot be used."""

    def __init__(
        self, options: Options, storage: Storage, cache: Cache, served: Registry, clock: Clock, random: Random
    ) -> None:
        self._options = options
        self._clock = clock
        self._cache = cache
        self._storage = storage
        self.rbac = rbac.RbacIndex()
        self.graph = graph.ReferenceGraph()
        self._modes = self._authorization_modes()
        self._by_type: dict[str, Authorizer] = {}
        self.authorizer = Union([SystemMasters(), *map(self._authorizer, self._modes)])
        has_rbac, has_nodes = (any(mode.type == name for mode in self._modes) for name in ("RBAC", "Node"))
        self._has_nodes = has_nodes
        self.context = CachedContext(cache, storage, served, self.authorizer, clock, random)
        self.keys = _keys(options)
        self.audiences = tuple(options.api_audiences or options.service_account_issuer)
        self.authentication = self._authentication(clock)
        self.issuer = self._issuer(clock, random)
        self.admission = plugins.chain(
            self.context, options.enable_admission_plugins, options.disable_admission_plugins
        )
        for plugin in self.admission.plugins:
            if isinstance(plugin, DefaultTolerationSeconds):
                plugin.seconds = dict(zip(KEYS, options.default_toleration_seconds, strict=True))
            elif isinstance(plugin, PodSecurity) and options.admission_control_config_file:
                text = Path(options.admission_control_config_file).read_bytes()
                plugin.settings = load_admission(text, lambda path: Path(path).read_bytes())
        if has_rbac:
            self.admission.plugins.append(RbacEscalation(self.context, self.rbac))
        ranges = [str(ipaddress.ip_network(r)) for r in options.service_cluster_ip_range]
        self.services = ServiceAllocator(ranges, options.service_node_port_range, storage, clock, random)
        self.bootstrap = Bootstrap(storage, _bootstrap_config(options), clock, random)
        #: Set when the indexes know all that the watch cache held at first; before that RBAC knows nobody.
        self.indexed = asyncio.Event()
        self.access_reviews = AccessReviews(self.authorizer, self.rbac if has_rbac else None, has_nodes)
        self.identity_reviews = IdentityReviews(self.authentication, clock)

    def _authorization_modes(self) -> list[Mode]:
        """Of the file, or of the flags. Raises OSError, ValueError."""
        options = self._options
        if options.authorization_config:
            return load_authorization(Path(options.authorization_config).read_bytes())
        webhook = None
        if "Webhook" in options.authorization_mode:
            if not options.authorization_webhook_config_file:
                raise ValueError("authorization-mode Webhook's authorization config file not passed")
            webhook = Webhook("default", options.authorization_webhook_config_file, *options.authorization_webhook)
        return [Mode(type, webhook if type == "Webhook" else None) for type in options.authorization_mode]

    def _authorizer(self, mode: Mode) -> Authorizer:
        """One of each type, but of webhooks: what RBAC and Node know stays when the file changes."""
        if mode.webhook is not None:
            return WebhookAuthorizer(mode.webhook, self._clock)
        made: dict[str, Callable[[], Authorizer]] = {
            "AlwaysAllow": AlwaysAllow,
            "AlwaysDeny": AlwaysDeny,
            "RBAC": lambda: self.rbac,
            "Node": lambda: NodeAuthorizer(self.graph, facts.node_rules()),
        }
        if mode.type not in made:
            raise ValueError(f"authorization-mode {json.dumps(mode.type)} is not a valid mode")
        if mode.type not in self._by_type:
            self._by_type[mode.type] = made[mode.type]()
        return self._by_type[mode.type]

    def _authorize_by(self, modes: list[Mode]) -> None:
        """Other webhooks, or another order; which other authorizers there are is settled at the start."""
        before, after = (sorted(mode.type for mode in each if mode.webhook is None) for each in (self._modes, modes))
        if before != after:
            raise ValueError(f"authorizer types may not change: they were {before}, and would be {after}")
        self.authorizer.members = [SystemMasters(), *map(self._authorizer, modes)]
        self._modes = modes

    def _authentication(self, clock: Clock) -> Authentication:
        options = self._options
        get = self.context.by_name
        front_proxy = None
        if options.requestheader_client_ca_file:
            front_proxy = FrontProxy(
                ClientCertificates(load_certificates(options.requestheader_client_ca_file), clock),
                options.requestheader_allowed_names,
                _lower(options.requestheader_username_headers),
                _lower(options.requestheader_uid_headers),
                _lower(options.requestheader_group_headers),
                _lower(options.requestheader_extra_headers_prefix),
            )
        certificates = load_certificates(options.client_ca_file) if options.client_ca_file else None
        token_lines = Path(options.token_auth_file).read_text().splitlines() if options.token_auth_file else []
        accounts = None
        if self.keys and options.service_account_issuer:
            accounts = ServiceAccountTokens(options.service_account_issuer, self.keys, self.audiences, get, clock)
        configured = self._configured() if options.authentication_config else Configuration(None, ())
        issuers = [*configured.issuers, *([Issuer(options.oidc)] if options.oidc else [])]
        webhook = options.authentication_webhook
        return Authentication(
            certificates=ClientCertificates(certificates, clock) if certificates else None,
            front_proxy=front_proxy,
            token_file=parse_token_file(token_lines),
            bootstrap_tokens=BootstrapTokens(get, clock) if options.enable_bootstrap_token_auth else None,
            service_accounts=accounts,
            audiences=self.audiences,
            anonymous=configured.anonymous or Anonymous(options.anonymous_auth),
            issuers=issuers,
            webhook=WebhookTokens(*webhook, self.audiences, clock) if webhook else None,
            clock=clock,
        )

    def _configured(self) -> Configuration:
        """The file of --authentication-config. Raises OSError, ValueError."""
        options = self._options
        text = Path(options.authentication_config).read_bytes()
        try:
            return load_authentication(text, options.service_account_issuer)
        except ValueError as error:
            if str(error).startswith("invalid authentication configuration"):
                raise
            file = json.dumps(options.authentication_config)
            raise ValueError(f"failed to load authentication configuration from file {file}: {error}") from None

    def _take_authentication(self) -> None:
        configured = self._configured()
        self.authentication.issuers = configured.issuers
        self.authentication.anonymous = configured.anonymous or Anonymous(self._options.anonymous_auth)

    def _take_authorization(self) -> None:
        self._authorize_by(self._authorization_modes())

    async def _follow_file(self, path: str, take: Callable[[], None]) -> None:
        """Take the file again when it has changed, for ever; one that cannot be is told of and left."""
        known = await asyncio.to_thread(Path(path).read_bytes)
        while True:
            await self._clock.sleep(RELOAD_EVERY)
            try:
                found = await asyncio.to_thread(Path(path).read_bytes)
                if found != known:
                    known = found
                    take()
                    logger.info("reloaded %s", path)
            except (OSError, ValueError) as error:
                logger.error("failed to load %s: %s", path, error)

    def _issuer(self, clock: Clock, random: Random) -> TokenIssuer | None:
        options = self._options
        if not options.service_account_signing_key_file or not options.service_account_issuer:
            return None
        return TokenIssuer(
            Signer(load_private_key(options.service_account_signing_key_file)),
            options.service_account_issuer[0],
            self.audiences,
            self.context.by_name,
            clock,
            random,
            extend=options.service_account_extend_token_expiration,
            longest=options.service_account_max_token_expiration,
        )

    def documents(self) -> dict[str, tuple[bytes, str]]:
        """The OpenID documents of the issuer, by path: body and content type."""
        options = self._options
        if not options.service_account_issuer:
            return {}
        host = f"[{options.advertise_address}]" if ":" in options.advertise_address else options.advertise_address
        uri = options.service_account_jwks_uri or f"https://{host}:{options.secure_port}{issuing.JWKS_PATH}"
        configuration = issuing.openid_configuration(options.service_account_issuer[0], uri, self.keys)
        return {
            "/.well-known/openid-configuration": (configuration, "application/json"),
            issuing.JWKS_PATH: (issuing.jwks(self.keys), "application/jwk-set+json"),
        }

    def reviews(self) -> dict[str, Callable[..., Any]]:
        """Who answers the kinds that are only posted, by plural."""
        return {
            "tokenreviews": self.identity_reviews.token_review,
            "selfsubjectreviews": self.identity_reviews.self_subject_review,
            "subjectaccessreviews": self.access_reviews.subject_access_review,
            "localsubjectaccessreviews": self.access_reviews.local_subject_access_review,
            "selfsubjectaccessreviews": self.access_reviews.self_subject_access_review,
            "selfsubjectrulesreviews": self.access_reviews.self_subject_rules_review,
        }

    async def start(self) -> None:
        """Bring the store to what a cluster must hold, and learn which addresses and ports are taken.

        Raises StorageError. Call it once the store answers; the watch cache need not be there yet.
        """
        await self.bootstrap.ensure()
        await self.services.repair()

    async def follow(self) -> None:
        """Keep indexes and this server's own records fresh, for ever. The watch cache must be filled."""
        sources: list[tuple[Resource, rbac.RbacIndex | graph.ReferenceGraph]] = [
            (resource(f"{plural}.rbac.authorization.k8s.io"), self.rbac) for plural in rbac.SOURCES
        ]
        if self._has_nodes:
            sources += [(resource(plural), self.graph) for plural in graph.SOURCES]
        waiting = {kind.plural for kind, _ in sources}

        def told(plural: str) -> None:
            waiting.discard(plural)
            if not waiting:
                self.indexed.set()

        async with asyncio.TaskGroup() as tasks:
            for kind, index in sources:
                tasks.create_task(feed(self._cache, kind, index.put, index.remove, told))
            tasks.create_task(self.bootstrap.keep_fresh())
            tasks.create_task(self.services.repair_periodically())
            if file := self._options.authentication_config:
                tasks.create_task(self._follow_file(file, self._take_authentication))
            if file := self._options.authorization_config:
                tasks.create_task(self._follow_file(file, self._take_authorization))


def _lower(names: Sequence[str]) -> list[str]:
    return [name.lower() for name in names]


def _bootstrap_config(options: Options) -> Config:
    def text(path: str) -> str:
        return Path(path).read_text() if path else ""

    return Config(
        advertise_address=options.advertise_address,
        secure_port=options.secure_port,
        service_ranges=options.service_cluster_ip_range,
        client_ca=text(options.client_ca_file),
        request_header_client_ca=text(options.requestheader_client_ca_file),
        request_header_allowed_names=options.requestheader_allowed_names,
        request_header_username_headers=options.requestheader_username_headers,
        request_header_uid_headers=options.requestheader_uid_headers,
        request_header_group_headers=options.requestheader_group_headers,
        request_header_extra_prefixes=options.requestheader_extra_headers_prefix,
        hostname=options.hostname,
        reconcile_endpoints=options.endpoint_reconciler_type == "lease",
    )


def _keys(options: Options) -> list[Key]:
    files = options.service_account_key_file or [f for f in [options.service_account_signing_key_file] if f]
    keys = [key_of(public) for path in files for public in load_public_keys(path)]
    return list({key.id: key for key in keys}.values())
