"""Legacy token Secrets: a Secret of type kubernetes.io/service-account-token gets a token that never expires.

Upstream: `pkg/controller/serviceaccount/tokens_controller.go`. Pods do not need them (theirs are projected and
expire); who asks for one by hand gets it. A Secret whose account is gone is deleted.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workshop.api import meta
from workshop.api.errors import ApiError
from workshop.api.meta import Key, Obj, key_of
from workshop.api.resources import resource

from .base import Context

SECRETS = resource("secrets")
TYPE = "kubernetes.io/service-account-token"
NAME = "kubernetes.io/service-account.name"
UID = "kubernetes.io/service-account.uid"
ISSUER = "kubernetes/serviceaccount"


def claims(secret: Obj, account: Obj) -> dict[str, Any]:
    """What a legacy token says: whose it is, and which Secret holds it. It has no end."""
    namespace, name = meta.namespace(account), meta.name(account)
    return {
        "iss": ISSUER,
        "kubernetes.io/serviceaccount/namespace": namespace,
        "kubernetes.io/serviceaccount/secret.name": meta.name(secret),
        "kubernetes.io/serviceaccount/service-account.name": name,
        "kubernetes.io/serviceaccount/service-account.uid": meta.uid(account),
        "sub": f"system:serviceaccount:{namespace}:{name}",
    }


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signer(pem: bytes) -> Callable[[dict[str, Any]], str]:
    """A function that signs claims with an RSA or P-256 key. `kid` is upstream's: the hash of the public key."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    key = serialization.load_pem_private_key(pem, None)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise ValueError("the service account key must be RSA or ECDSA")
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    head = {"alg": algorithm, "kid": _base64url(hashlib.sha256(public).digest())}

    def sign(body: dict[str, Any]) -> str:
        parts = [_base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (head, body)]
        signed = ".".join(parts).encode()
        if isinstance(key, rsa.RSAPrivateKey):
            signature = key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        else:
            r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
            signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return ".".join([*parts, _base64url(signature)])

    return sign


class ServiceAccountTokenController:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._queue = context.queue()
        options = context.options
        key_file = options.service_account_private_key_file
        self._sign = signer(Path(key_file).read_bytes()) if key_file else None
        self._ca = Path(options.root_ca_file).read_bytes() if options.root_ca_file else None
        self._accounts = context.informer("serviceaccounts")
        self._secrets = context.informers.informer(SECRETS, field_selector=f"type={TYPE}")
        self._accounts.add_handler(self._account_seen, None, self._account_seen)
        self._secrets.add_handler(self._seen, lambda old, new: self._seen(new))

    def _seen(self, secret: Obj) -> None:
        self._queue.add(key_of(secret))

    def _account_seen(self, account: Obj) -> None:
        for secret in self._secrets.store.by_index("namespace", meta.namespace(account)):
            if meta.annotations(secret).get(NAME) == meta.name(account):
                self._seen(secret)

    async def run(self) -> None:
        if self._sign is not None:
            workers = self._context.options.workers("serviceaccount-token")
            await self._context.controller(self._queue, self.sync, workers).run()

    async def sync(self, key: Key) -> None:
        secret = self._secrets.store.get(key)
        if secret is None or "deletionTimestamp" in secret["metadata"]:
            return
        annotations = meta.annotations(secret)
        account = self._accounts.store.get(Key(key.namespace, annotations.get(NAME, "")))
        wanted_uid = annotations.get(UID)
        if account is None or (wanted_uid and wanted_uid != meta.uid(account)):
            await self._remove(secret)
            return
        data = dict(secret.get("data") or {})
        new = dict(data)
        if self._ca is not None:
            new["ca.crt"] = base64.b64encode(self._ca).decode()
        new["namespace"] = base64.b64encode(key.namespace.encode()).decode()
        if not data.get("token") and self._sign is not None:
            new["token"] = base64.b64encode(self._sign(claims(secret, account)).encode()).decode()
        annotations = {**annotations, UID: meta.uid(account)}
        if new != data or annotations != meta.annotations(secret):
            metadata = {**secret["metadata"], "annotations": annotations}
            await self._client.update(SECRETS, {**secret, "metadata": metadata, "data": new})

    async def _remove(self, secret: Obj) -> None:
        """Only if the account is really gone: our cache of accounts may be behind that of Secrets."""
        name = meta.annotations(secret).get(NAME, "")
        try:
            live = await self._client.get(resource("serviceaccounts"), name, meta.namespace(secret))
            if meta.annotations(secret).get(UID) in (None, meta.uid(live)):
                return
        except ApiError as error:
            if error.code != 404:
                raise
        try:
            await self._client.delete(SECRETS, meta.name(secret), meta.namespace(secret), uid=meta.uid(secret))
        except ApiError as error:
            if error.code not in (404, 409):
                raise
