"""Who may approve, sign and attest certificates, and for whom nobody may.

CertificateApproval, CertificateSigning and ClusterTrustBundleAttest ask for a verb on the signer, by its name or
its domain (`example.com/*`); CertificateSubjectRestriction keeps `system:masters` out of client certificates.

Upstream: `plugin/pkg/admission/certificates`, `pkg/apis/certificates/authorization/authorization.go`.
"""

from __future__ import annotations

from cryptography.x509.oid import NameOID

from workshop.api.meta import Obj
from workshop.apiserver.admission.node_restriction import load_request
from workshop.apiserver.admission.plugin import Plugin, forbidden
from workshop.apiserver.authorization.modes import MASTERS
from workshop.apiserver.interfaces import AdmissionRequest, Attributes, Decision

REQUESTS = "certificatesigningrequests.certificates.k8s.io"
CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"


class _SignerPlugin(Plugin):
    async def _require(self, request: AdmissionRequest, verb: str, signer: str, refusal: str) -> None:
        for name in (signer, signer.split("/", 1)[0] + "/*"):
            asked = Attributes(request.user, verb, "certificates.k8s.io", "*", "signers", name=name)
            decision, _ = await self.context.authorizer.authorize(asked)
            if decision is Decision.ALLOW:
                return
        raise forbidden(request, f'user not permitted to {refusal} "{signer}"')


def _signer(obj: Obj | None) -> str:
    return str(((obj or {}).get("spec") or {}).get("signerName", ""))


class CertificateApproval(_SignerPlugin):
    name = "CertificateApproval"
    operations = ("UPDATE",)
    resources = (REQUESTS,)
    subresources = ("approval",)

    async def validate(self, request: AdmissionRequest) -> None:
        signer = _signer(request.old_object)
        await self._require(request, "approve", signer, "approve requests with signerName")


class CertificateSigning(_SignerPlugin):
    name = "CertificateSigning"
    operations = ("UPDATE",)
    resources = (REQUESTS,)
    subresources = ("status",)

    async def validate(self, request: AdmissionRequest) -> None:
        old, new = (request.old_object or {}).get("status") or {}, request.object.get("status") or {}
        if old.get("certificate") == new.get("certificate") and _failed(old) == _failed(new):
            return
        await self._require(request, "sign", _signer(request.old_object), "sign requests with signerName")


def _failed(status: Obj) -> list[Obj]:
    return [c for c in status.get("conditions") or () if c.get("type") == "Failed"]


class ClusterTrustBundleAttest(_SignerPlugin):
    name = "ClusterTrustBundleAttest"
    resources = ("clustertrustbundles.certificates.k8s.io",)

    async def validate(self, request: AdmissionRequest) -> None:
        signer = _signer(request.object)
        if signer and (request.old_object is None or request.old_object.get("spec") != request.object.get("spec")):
            await self._require(request, "attest", signer, "attest for signerName")


class CertificateSubjectRestriction(Plugin):
    name = "CertificateSubjectRestriction"
    operations = ("CREATE",)
    resources = (REQUESTS,)

    async def validate(self, request: AdmissionRequest) -> None:
        spec = request.object.get("spec") or {}
        if spec.get("signerName") != CLIENT_SIGNER:
            return
        try:
            asked = load_request(spec.get("request", ""))
        except ValueError as e:
            raise forbidden(request, f"failed to parse CSR: {e}") from None
        groups = asked.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        if any(group.value == MASTERS for group in groups):
            raise forbidden(request, f"use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed")
