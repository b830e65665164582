"""CertificateSigningRequests: approve kubelets' own, sign what is approved, forget the old.

Upstream: `pkg/controller/certificates/{approver,signer,cleaner}`.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from workshop.api import conditions, meta
from workshop.api.errors import ApiError
from workshop.api.meta import Key, Obj, key_of
from workshop.api.resources import resource
from workshop.clock import parse_rfc3339

from .base import Context

REQUESTS = resource("certificatesigningrequests.certificates.k8s.io")
CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
LEGACY = "kubernetes.io/legacy-unknown"
SIGNED = (CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY)
USAGES = {
    CLIENT: {"digital signature", "key encipherment", "client auth"},
    KUBELET_CLIENT: {"digital signature", "key encipherment", "client auth"},
    KUBELET_SERVING: {"digital signature", "key encipherment", "server auth"},
}
HOUR = 3600.0
RECOGNIZERS = (
    ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."),
    ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."),
)


def is_decided(request: Obj) -> bool:
    return conditions.is_true(request, "Approved") or conditions.is_true(request, "Denied")


def pem_request(request: Obj) -> Any:
    """The parsed request. Raises ValueError."""
    from cryptography import x509

    return x509.load_pem_x509_csr(base64.b64decode(request["spec"]["request"]))


def is_kubelet_client(request: Obj, parsed: Any) -> bool:
    """`O=system:nodes, CN=system:node:…`, no names in it, and just the usages of a client."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    usages = set(request["spec"].get("usages") or ())
    names = [a.value for a in parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = [a.value for a in parsed.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    try:
        parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        pass
    else:
        return False
    return (
        groups == ["system:nodes"]
        and len(names) == 1
        and str(names[0]).startswith("system:node:")
        and usages - {"key encipherment"} == {"digital signature", "client auth"}
    )


class _Base:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._clock = context.clock
        self._queue = context.queue()
        self._requests = context.informer("certificatesigningrequests.certificates.k8s.io")
        self._requests.add_handler(self._seen, lambda old, new: self._seen(new))

    def _seen(self, request: Obj) -> None:
        self._queue.add(key_of(request))

    async def run(self) -> None:
        await self._context.controller(self._queue, self.sync, 1).run()

    async def sync(self, key: Key) -> float | None:
        raise NotImplementedError


class ApprovingController(_Base):
    async def sync(self, key: Key) -> float | None:
        request = self._requests.store.get(key)
        if request is None or is_decided(request) or request["spec"]["signerName"] != KUBELET_CLIENT:
            return None
        parsed = pem_request(request)
        if not is_kubelet_client(request, parsed):
            return None
        from cryptography.x509.oid import NameOID

        own = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == request["spec"].get("username")
        for permission, message in RECOGNIZERS:
            if permission == "selfnodeclient" and not own:
                continue
            if await self._allowed(request, permission):
                await self._approve(request, message)
                return None
        return None

    async def _allowed(self, request: Obj, subresource: str) -> bool:
        spec = request["spec"]
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": spec.get("username"),
                "uid": spec.get("uid"),
                "groups": spec.get("groups"),
                "extra": spec.get("extra"),
                "resourceAttributes": {
                    "group": "certificates.k8s.io",
                    "resource": "certificatesigningrequests",
                    "verb": "create",
                    "subresource": subresource,
                    "version": "*",
                },
            },
        }
        answer = await self._client.create(resource("subjectaccessreviews.authorization.k8s.io"), review)
        return bool(answer["status"].get("allowed"))

    async def _approve(self, request: Obj, message: str) -> None:
        listed = list((request.get("status") or {}).get("conditions") or [])
        new = {"type": "Approved", "status": "True", "reason": "AutoApproved", "message": message}
        status = {**(request.get("status") or {}), "conditions": conditions.set(listed, new, self._clock.now())}
        await self._client.update(REQUESTS, {**request, "status": status}, "approval")


class SigningController(_Base):
    def __init__(self, context: Context) -> None:
        super().__init__(context)
        options = context.options
        self._cert = Path(options.cluster_signing_cert_file).read_bytes() if options.cluster_signing_cert_file else b""
        self._key = Path(options.cluster_signing_key_file).read_bytes() if options.cluster_signing_key_file else b""
        self._duration = options.cluster_signing_duration

    async def sync(self, key: Key) -> float | None:
        request = self._requests.store.get(key)
        if request is None or not self._key or not conditions.is_true(request, "Approved"):
            return None
        if (request.get("status") or {}).get("certificate") or conditions.is_true(request, "Failed"):
            return None
        spec = request["spec"]
        if spec["signerName"] not in SIGNED:
            return None
        status = dict(request.get("status") or {})
        problem = self._problem(request)
        if problem:
            new = {"type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": problem}
            status["conditions"] = conditions.set(list(status.get("conditions") or []), new, self._clock.now())
        else:
            certificate = sign(request, self._cert, self._key, self._duration, self._clock.now())
            status["certificate"] = base64.b64encode(certificate).decode()
        await self._client.update(REQUESTS, {**request, "status": status}, "status")
        return None

    def _problem(self, request: Obj) -> str:
        try:
            parsed = pem_request(request)
        except ValueError as error:
            return f"unable to parse csr: {error}"
        name, usages = request["spec"]["signerName"], set(request["spec"].get("usages") or ())
        if name in USAGES and not usages <= USAGES[name]:
            return f"invalid usages for {name}: {sorted(usages)}"
        if name == KUBELET_CLIENT and not is_kubelet_client(request, parsed):
            return "subject organization is not system:nodes"
        return ""


def sign(request: Obj, ca_pem: bytes, key_pem: bytes, duration: float, now: float) -> bytes:
    """The certificate (PEM): the request's subject, names and key; as long as asked for, at most the signer's
    duration."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import ExtendedKeyUsageOID

    parsed, ca = pem_request(request), x509.load_pem_x509_certificate(ca_pem)
    key: Any = serialization.load_pem_private_key(key_pem, None)
    wanted = request["spec"].get("expirationSeconds")
    seconds = max(600.0, min(duration, float(wanted))) if wanted else duration
    start = datetime.fromtimestamp(now, UTC) - timedelta(minutes=5)
    end = min(datetime.fromtimestamp(now + seconds, UTC), ca.not_valid_after_utc)
    usages = set(request["spec"].get("usages") or ())
    builder = (
        x509.CertificateBuilder()
        .subject_name(parsed.subject)
        .issuer_name(ca.subject)
        .public_key(parsed.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature="digital signature" in usages,
                key_encipherment="key encipherment" in usages,
                content_commitment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=False,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    extended = [
        oid
        for usage, oid in (
            ("client auth", ExtendedKeyUsageOID.CLIENT_AUTH),
            ("server auth", ExtendedKeyUsageOID.SERVER_AUTH),
        )
        if usage in usages
    ]
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    try:
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        builder = builder.add_extension(names.value, critical=names.critical)
    except x509.ExtensionNotFound:
        pass
    certificate: bytes = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return certificate


def age_limit(request: Obj) -> float:
    """Seconds after its creation at which a request is forgotten."""
    status = request.get("status") or {}
    if status.get("certificate") or conditions.is_true(request, "Denied") or conditions.is_true(request, "Failed"):
        return HOUR
    return HOUR if conditions.is_true(request, "Approved") else 24 * HOUR


class CleaningController(_Base):
    async def sync(self, key: Key) -> float | None:
        request = self._requests.store.get(key)
        if request is None:
            return None
        left = parse_rfc3339(request["metadata"]["creationTimestamp"]) + age_limit(request) - self._clock.now()
        if left > 0:
            return left
        try:
            await self._client.delete(REQUESTS, key.name, uid=meta.uid(request))
        except ApiError as error:
            if error.code != 404:
                raise
        return None
