"""New service-account tokens (`serviceaccounts/token`), and the documents by which others can check them.

A token can be bound to a pod, a Secret or a node and dies with it. The kubelet asks for one a pod and renews it in
time; `kubectl create token` asks for one without a binding.

Upstream: `pkg/registry/core/serviceaccount/storage/token.go`, `pkg/serviceaccount/openidmetadata.go`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any
from uuid import UUID

from workshop.api import errors
from workshop.api.meta import Obj
from workshop.apiserver.authentication.jwt import Key, Signer
from workshop.apiserver.authentication.serviceaccount import (
    EXTENDED_EXPIRATION,
    WARN_ONLY_EXPIRATION,
    Getter,
    claims,
)
from workshop.clock import Clock, rfc3339

DEFAULT_EXPIRATION = 60 * 60
SHORTEST = 10 * 60
LONGEST = 1 << 32
_KIND = "TokenRequest.authentication.k8s.io"
JWKS_PATH = "/openid/v1/jwks"


class TokenIssuer:
    """Signs tokens as `issuer`. `audiences` are the API server's own, the default of a request."""

    def __init__(
        self, signer: Signer, issuer: str, audiences: Sequence[str], get: Getter, clock: Clock, random: Random,
        extend: bool = True, longest: int = 0,
    ) -> None:  # fmt: skip
        self._signer = signer
        self._issuer = issuer
        self._audiences = audiences
        self._get = get
        self._clock = clock
        self._random = random
        self._extend = extend
        self._longest = longest

    async def prepare(self, request: Obj, namespace: str, name: str) -> Obj:
        """The TokenRequest with its defaults, before admission. Raises ApiError (404, 409, 422)."""
        given = (request.get("metadata") or {}).get("name")
        if given and given != name:
            why = f"Invalid value: {errors.quote(given)}: must match the service account name if specified"
            raise errors.invalid(_KIND, name, [errors.cause("FieldValueInvalid", why, "metadata.name")])
        account = await self._account(namespace, name)
        uid = account["metadata"]["uid"]
        metadata = dict(request.get("metadata") or {})
        if metadata.get("uid") and metadata["uid"] != uid:
            asked = f"the UID in the token request ({metadata['uid']})"
            raise errors.conflict(_KIND, name, f"{asked} does not match the UID of the service account ({uid})")
        metadata |= {"name": name, "namespace": namespace, "uid": uid}
        metadata["creationTimestamp"] = rfc3339(self._clock.now())
        spec: dict[str, Any] = dict(request.get("spec") or {})
        spec["audiences"] = spec.get("audiences") or list(self._audiences)
        if spec.get("expirationSeconds") is None:
            spec["expirationSeconds"] = DEFAULT_EXPIRATION
        spec.setdefault("boundObjectRef", None)
        problem = expiration_problem(spec["expirationSeconds"])
        if problem:
            shown = f"Invalid value: {spec['expirationSeconds']}: {problem}"
            raise errors.invalid(_KIND, "", [errors.cause("FieldValueInvalid", shown, "spec.expirationSeconds")])
        return {**{k: v for k, v in request.items() if k != "status"}, "metadata": metadata, "spec": spec}

    async def create(self, request: Obj, namespace: str, name: str, warnings: list[str]) -> Obj:
        """The TokenRequest (prepared and admitted) with a token in its status. Raises ApiError (400, 404, 409)."""
        account = await self._account(namespace, name)
        spec = dict(request["spec"])
        bound = await self._bound(spec.get("boundObjectRef"), namespace, name)
        if self._longest and spec["expirationSeconds"] > self._longest:
            asked = spec["expirationSeconds"]
            warnings.append(f"requested expiration of {asked} seconds shortened to {self._longest} seconds")
            spec["expirationSeconds"] = self._longest
        lifetime, warn_after = spec["expirationSeconds"], 0
        usual = lifetime == WARN_ONLY_EXPIRATION and set(spec["audiences"]) <= set(self._audiences)
        if self._extend and "pod" in bound and usual:
            # clients that never read the file again keep working for a year, and are warned about
            lifetime, warn_after = EXTENDED_EXPIRATION, lifetime
        now = self._clock.now()
        token_id = str(UUID(int=self._random.getrandbits(128), version=4))
        signed = claims(
            account, spec["audiences"], lifetime, now, token_id, self._issuer, warn_after=warn_after, **bound
        )
        expires = rfc3339(now + spec["expirationSeconds"])
        status = {"token": self._signer.sign(signed), "expirationTimestamp": expires}
        return {**request, "spec": spec, "status": status}

    async def _account(self, namespace: str, name: str) -> Obj:
        account = await self._get("serviceaccounts", namespace, name)
        if account is None:
            raise errors.not_found("serviceaccounts", name)
        return account

    async def _bound(self, reference: Obj | None, namespace: str, account: str) -> dict[str, Obj]:
        """The object that the token is to be bound to (and a pod's node), by the name of its claim."""
        if reference is None:
            return {}
        kind, name = reference.get("kind", ""), reference.get("name", "")
        plural = {"Pod": "pods", "Node": "nodes", "Secret": "secrets"}.get(kind)
        group, _, version = reference.get("apiVersion", "").rpartition("/")
        if plural is None or group:
            raise errors.bad_request(f"cannot bind token to object of type {group}/{version}, Kind={kind}")
        if not name:
            raise errors.bad_request("Name parameter required.")
        obj = await self._get(plural, "" if kind == "Node" else namespace, name)
        if obj is None:
            raise errors.not_found(plural, name)
        spec = obj.get("spec") or {}
        if kind == "Pod" and spec.get("serviceAccountName") != account:
            who = f"cannot bind token for serviceaccount {errors.quote(account)}"
            raise errors.bad_request(f"{who} to pod running with different serviceaccount name.")
        if reference.get("uid") and reference["uid"] != obj["metadata"]["uid"]:
            why = "does not match the UID in record. The object might have been deleted and then recreated"
            raise errors.conflict(kind, name, f"the UID in the bound object reference ({reference['uid']}) {why}")
        bound = {kind.lower(): obj}
        if kind == "Pod" and spec.get("nodeName"):
            node = await self._get("nodes", "", spec["nodeName"])
            bound["node"] = node or {"metadata": {"name": spec["nodeName"]}}
        return bound


def expiration_problem(seconds: int) -> str:
    """Why a lifetime is refused, "" if it is not."""
    if seconds < SHORTEST:
        return "may not specify a duration less than 10 minutes"
    if seconds > LONGEST:
        return "may not specify a duration larger than 2^32 seconds"
    return ""


def openid_configuration(issuer: str, jwks_uri: str, keys: Sequence[Key]) -> bytes:
    """What `/.well-known/openid-configuration` answers."""
    return _compact(
        {
            "issuer": issuer,
            "jwks_uri": jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": sorted({key.algorithm for key in keys}),
        }
    )


def jwks(keys: Sequence[Key]) -> bytes:
    """What `/openid/v1/jwks` answers, as `application/jwk-set+json`."""
    return _compact({"keys": [key.jwk() for key in keys]})


def _compact(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
