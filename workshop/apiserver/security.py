"""Authentication, authorization, admission, allocators and bootstrapping, put together from a server's flags.

`run.py` makes one `Security` and hangs its parts into the chain. What these parts keep in memory (who holds which
role, which pod refers to which Secret) is fed from the watch cache, so that no request reads the store to be
authorized.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from workshop.api import errors
from workshop.api.meta import Obj
from workshop.api.resources import Resource, resource
from workshop.apiserver.admission import plugins
from workshop.apiserver.admission.rbac_escalation import RbacEscalation
from workshop.apiserver.allocators.services import ServiceAllocator
from workshop.apiserver.authentication import issuer as issuing
from workshop.apiserver.authentication.chain import Authentication, FrontProxy
from workshop.apiserver.authentication.issuer import TokenIssuer
from workshop.apiserver.authentication.jwt import Key, PrivateKey, PublicKey, Signer, key_of
from workshop.apiserver.authentication.reviews import IdentityReviews
from workshop.apiserver.authentication.serviceaccount import ServiceAccountTokens
from workshop.apiserver.authentication.tokens import BootstrapTokens, parse_token_file
from workshop.apiserver.authentication.x509 import ClientCertificates
from workshop.apiserver.authorization import graph, rbac
from workshop.apiserver.authorization.modes import AlwaysAllow, AlwaysDeny, SystemMasters, Union
from workshop.apiserver.authorization.node import NodeAuthorizer
from workshop.apiserver.authorization.reviews import AccessReviews
from workshop.apiserver.bootstrap import facts
from workshop.apiserver.bootstrap.run import Bootstrap, encode
from workshop.apiserver.bootstrap.system import Config
from workshop.apiserver.interfaces import Authorizer
from workshop.apiserver.storage.interface import Conflict, Storage
from workshop.clock import Clock


@dataclass(frozen=True)
class Options:
    """The flags of kube-apiserver that concern these rooms, under their own names."""

    advertise_address: str
    secure_port: int
    service_cluster_ip_range: Sequence[str]
    service_node_port_range: tuple[int, int] = (30000, 32767)
    client_ca_file: str = ""
    anonymous_auth: bool = True
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
    enable_admission_plugins: Sequence[str] = ()
    disable_admission_plugins: Sequence[str] = ()
    hostname: str = "localhost"


class Cache(Protocol):
    """Of the watch cache (`cacher.Cacher`) what is needed here."""

    revision: int

    def shelf(self, prefix: str) -> Any: ...

    def watch(self, prefix: str, revision: int) -> tuple[list[Any], Any]: ...

    async def wait_until(self, revision: int) -> None: ...


class CachedContext:
    """What plugins may use, over the watch cache and the store."""

    def __init__(self, cache: Cache, storage: Storage, authorizer: Authorizer, clock: Clock, random: Random) -> None:
        self._cache = cache
        self._storage = storage
        self.authorizer = authorizer
        self.clock = clock
        self.random = random

    async def get(self, resource: Resource, name: str, namespace: str = "") -> Obj | None:
        stored = self._cache.shelf(resource.storage_key()).items.get(resource.storage_key(namespace or None, name))
        return stored.obj if stored is not None else None

    async def get_live(self, resource: Resource, name: str, namespace: str = "") -> Obj | None:
        found = await self._storage.get(resource.storage_key(namespace or None, name))
        if found is None:
            return None
        obj: Obj = json.loads(found.value)
        obj["metadata"]["resourceVersion"] = str(found.mod_revision)
        return obj

    async def list(self, resource: Resource, namespace: str = "") -> list[Obj]:
        shelf = self._cache.shelf(resource.storage_key())
        return [stored.obj for stored in shelf.under(resource.storage_key(namespace or None))]

    async def update_status(self, resource: Resource, obj: Obj) -> bool:
        metadata = obj["metadata"]
        key = resource.storage_key(metadata.get("namespace"), metadata["name"])
        stored = {**obj, "metadata": {k: v for k, v in metadata.items() if k != "resourceVersion"}}
        try:
            await self._storage.update(key, encode(stored), int(metadata["resourceVersion"]))
        except Conflict:
            return False
        return True

    async def by_name(self, plural: str, namespace: str, name: str) -> Obj | None:
        """For tokens: from the cache, and from the store what the cache does not hold (yet)."""
        kind = resource(plural)
        return await self.get(kind, name, namespace) or await self.get_live(kind, name, namespace)


class Security:
    """All parts, made from the flags. Raises OSError and ValueError for files that cannot be used."""

    def __init__(self, options: Options, storage: Storage, cache: Cache, clock: Clock, random: Random) -> None:
        self._options = options
        self._cache = cache
        self._storage = storage
        self.rbac = rbac.RbacIndex()
        self.graph = graph.ReferenceGraph()
        self.authorizer = Union([SystemMasters(), *self._modes()])
        self.context = CachedContext(cache, storage, self.authorizer, clock, random)
        self.keys = _keys(options)
        self.audiences = tuple(options.api_audiences or options.service_account_issuer)
        self.authentication = self._authentication(clock)
        self.issuer = self._issuer(clock, random)
        self.admission = plugins.chain(
            self.context, options.enable_admission_plugins, options.disable_admission_plugins
        )
        if "RBAC" in options.authorization_mode:
            self.admission.plugins.append(RbacEscalation(self.context, self.rbac))
        ranges = [str(ipaddress.ip_network(r)) for r in options.service_cluster_ip_range]
        self.services = ServiceAllocator(ranges, options.service_node_port_range, storage, clock, random)
        self.bootstrap = Bootstrap(storage, _bootstrap_config(options), clock, random)
        nodes = "Node" in options.authorization_mode
        has_rbac = "RBAC" in options.authorization_mode
        #: Set when the indexes know all that the watch cache held at first; before that RBAC knows nobody.
        self.indexed = asyncio.Event()
        self.access_reviews = AccessReviews(self.authorizer, self.rbac if has_rbac else None, nodes)
        self.identity_reviews = IdentityReviews(self.authentication, clock)

    def _modes(self) -> list[Authorizer]:
        made: dict[str, Callable[[], Authorizer]] = {
            "AlwaysAllow": AlwaysAllow,
            "AlwaysDeny": AlwaysDeny,
            "RBAC": lambda: self.rbac,
            "Node": lambda: NodeAuthorizer(self.graph, facts.node_rules()),
        }
        unknown = [mode for mode in self._options.authorization_mode if mode not in made]
        if unknown:
            raise ValueError(f"authorization-mode {json.dumps(unknown[0])} is not a valid mode")
        return [made[mode]() for mode in self._options.authorization_mode]

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
        return Authentication(
            certificates=ClientCertificates(certificates, clock) if certificates else None,
            front_proxy=front_proxy,
            token_file=parse_token_file(token_lines),
            bootstrap_tokens=BootstrapTokens(get, clock) if options.enable_bootstrap_token_auth else None,
            service_accounts=accounts,
            audiences=self.audiences,
            anonymous=options.anonymous_auth,
        )

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
        if "Node" in self._options.authorization_mode:
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


async def feed(
    cache: Cache,
    kind: Resource,
    put: Callable[[str, Obj], None],
    remove: Callable[[str, Obj], None],
    told: Callable[[str], None] = lambda plural: None,
) -> None:
    """Tell an index every object of a kind (then call `told`) and all that happens to them, for ever.

    A watcher that was cut off (the cache was built anew) begins again, and what vanished meanwhile is removed. The
    first objects are told before anything is waited for.
    """
    prefix = kind.storage_key()
    known: dict[str, Obj] = {}
    while True:
        while cache.revision == 0:  # the cache is being filled
            try:
                await cache.wait_until(1)
            except errors.ApiError:
                continue
        current = {key: stored.obj for key, stored in cache.shelf(prefix).items.items()}
        for key in known.keys() - current.keys():
            remove(kind.plural, known[key])
        for obj in current.values():
            put(kind.plural, obj)
        known = {key: _identity(obj) for key, obj in current.items()}
        told(kind.plural)
        changes, watcher = cache.watch(prefix, cache.revision)
        while True:
            for change in changes:
                if change.type == "DELETED":
                    remove(kind.plural, change.new.obj)
                    known.pop(change.new.key, None)
                else:
                    put(kind.plural, change.new.obj)
                    known[change.new.key] = _identity(change.new.obj)
            if watcher.cut:
                break
            changes = await watcher.next(None)


def _identity(obj: Obj) -> Obj:
    metadata = obj["metadata"]
    return {"metadata": {key: metadata[key] for key in ("name", "namespace") if key in metadata}}


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
    )


def load_certificates(path: str) -> list[x509.Certificate]:
    """The certificates of a PEM file. Raises OSError, ValueError."""
    return x509.load_pem_x509_certificates(Path(path).read_bytes())


def load_private_key(path: str) -> PrivateKey:
    """The private key of a PEM file. Raises OSError, ValueError."""
    key = serialization.load_pem_private_key(Path(path).read_bytes(), None)
    if isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        return key
    raise ValueError(f"{path}: neither an RSA nor an EC private key")


def load_public_keys(path: str) -> list[PublicKey]:
    """The keys of a PEM file that may hold public keys, certificates or private keys. Raises OSError, ValueError."""
    found: list[PublicKey] = []
    for block in _pem_blocks(Path(path).read_bytes()):
        if b"PRIVATE KEY" in block:
            key: Any = serialization.load_pem_private_key(block, None).public_key()
        elif b"CERTIFICATE" in block:
            key = x509.load_pem_x509_certificate(block).public_key()
        elif b"PUBLIC KEY" in block:
            key = serialization.load_pem_public_key(block)
        else:
            continue  # the parameters of a curve
        if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
            raise ValueError(f"{path}: neither an RSA nor an EC key")
        found.append(key)
    if not found:
        raise ValueError(f"{path}: data does not contain any valid RSA or ECDSA public keys")
    return found


def _pem_blocks(data: bytes) -> list[bytes]:
    blocks, lines = [], []
    for line in data.splitlines():
        lines.append(line)
        if line.startswith(b"-----END"):
            blocks.append(b"\n".join(lines) + b"\n")
            lines = []
    return blocks


def _keys(options: Options) -> list[Key]:
    files = options.service_account_key_file or [f for f in [options.service_account_signing_key_file] if f]
    keys = [key_of(public) for path in files for public in load_public_keys(path)]
    return list({key.id: key for key in keys}.values())
