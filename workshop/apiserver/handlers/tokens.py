"""serviceaccounts/NAME/token: a TokenRequest comes back with a token in its status; nothing is stored.

Upstream: apiserver/pkg/endpoints/handlers/create.go, pkg/registry/core/serviceaccount/storage/token.go.
"""

from __future__ import annotations

from dataclasses import dataclass

from workshop.api import errors, schema
from workshop.api.patch import managed_fields
from workshop.api.resources import Resource
from workshop.apiserver.authentication.issuer import DEFAULT_EXPIRATION, TokenIssuer
from workshop.apiserver.interfaces import AdmissionChain, AdmissionRequest
from workshop.apiserver.registry.options import write_options
from workshop.apiserver.server.http import Request, Response
from workshop.apiserver.server.negotiate import accepted
from workshop.clock import Clock

from . import forms, posted

VERSION, KIND = "authentication.k8s.io/v1", "TokenRequest"
REQUEST = schema.for_kind(VERSION, KIND)


@dataclass(frozen=True)
class Tokens:
    issuer: TokenIssuer
    admission: AdmissionChain
    clock: Clock

    async def create(self, request: Request, accounts: Resource) -> Response:
        """Raises ApiError 400, 403, 404, 405, 409 and 422."""
        info = request.info
        if info.verb != "create":
            raise errors.not_allowed()
        form, options = accepted(request.header("accept"), table=False), write_options(request)
        obj = await posted.read(request, VERSION, KIND, options)
        posted.same_namespace(obj, info.namespace)
        metadata = obj.get("metadata") or {}  # the uid is a precondition: nothing of it is wiped
        spec = dict(obj.get("spec") or {})
        if spec.get("expirationSeconds") is None:
            spec["expirationSeconds"] = DEFAULT_EXPIRATION
        obj = {**obj, "metadata": {**metadata, "namespace": info.namespace}, "spec": spec}
        now = self.clock.now()
        entries = managed_fields.track_update(None, obj, options.manager, REQUEST, now, "token")
        obj = managed_fields.with_entries(obj, entries)
        # The plugins that change see the request as it was sent: NodeRestriction compares its audience with the pod's.
        admission = AdmissionRequest(
            "CREATE", accounts, "token", info.namespace, info.name, obj, None, request.user, options.dry_run,
            annotations=request.annotations,
        )  # fmt: skip
        await self.admission.admit(admission)
        admission.object = await self.issuer.prepare(admission.object, info.namespace, info.name)
        await self.admission.validate(admission)
        answer = await self.issuer.create(admission.object, info.namespace, info.name, request.warnings)
        return forms.one(request, accounts, answer, form, now, 201)
