"""The two servers. Each takes (method, path, body, headers) and gives an `Answer` without what is made up anew."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.api_server import assembled, caller, running


@dataclass(frozen=True)
class Answer:
    code: int
    body: Any
    warnings: tuple[str, ...]
    headers: tuple[tuple[str, str], ...] = ()
    """Those of `KEPT`."""


KEPT = ("content-type", "retry-after", "location", "allow")
Headers = tuple[tuple[str, str], ...]


class Server(Protocol):
    async def call(self, method: str, path: str, body: bytes, content_type: str, headers: Headers = ()) -> Answer: ...


class Real:
    """Over HTTPS with a client certificate."""

    def __init__(self, kubeconfig: str) -> None:
        config = yaml.safe_load(Path(kubeconfig).read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        context = ssl.create_default_context()
        context.load_verify_locations(_file(cluster, "certificate-authority"))
        context.load_cert_chain(_file(user, "client-certificate"), _file(user, "client-key"))
        url = urlsplit(cluster["server"])
        self._connect = lambda: http.client.HTTPSConnection(url.hostname or "", url.port, context=context, timeout=20)
        self._connection = self._connect()

    async def call(self, method: str, path: str, body: bytes, content_type: str, headers: Headers = ()) -> Answer:
        sent = {"User-Agent": "test/1", **({"Content-Type": content_type} if body else {}), **dict(headers)}
        try:
            self._connection.request(method, path, body or None, sent)
            answer = self._connection.getresponse()
        except (http.client.HTTPException, OSError) as error:  # the real one may panic: an answer too
            self._connection = self._connect()
            return Answer(0, repr(error), ())
        raw = answer.read()
        told = tuple(_warnings(answer.headers.get_all("warning") or []))
        kept = tuple((name, answer.headers[name]) for name in KEPT if name in answer.headers)
        return Answer(answer.status, _parsed(raw), told, kept)


def _file(section: dict[str, str], name: str) -> str:
    if name in section:
        return section[name]
    with tempfile.NamedTemporaryFile(delete=False) as made:
        made.write(base64.b64decode(section[name + "-data"]))
    return made.name


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode("utf-8", "replace")


def _warnings(headers: list[str]) -> list[str]:
    return [json.loads(m) for header in headers for m in re.findall(r'299 - ("(?:[^"\\]|\\.)*")', header)]


class Ours:
    """In this process, on memory; flags as the real one's, asked by the same client: `admin` of `system:masters`."""

    def __init__(self) -> None:
        self._life = contextlib.AsyncExitStack()

    async def start(self) -> None:
        folder = self._life.enter_context(tempfile.TemporaryDirectory())
        certificate, key, shown = identity(Path(folder))
        server = assembled(
            client_ca_file=certificate,
            service_account_issuer=[ISSUER],
            service_account_key_file=[key],
            service_account_signing_key_file=key,
            authorization_mode=["Node", "RBAC"],
            enable_admission_plugins=["NodeRestriction"],
        )
        self._caller = caller(await self._life.enter_async_context(running(server)), shown)

    async def stop(self) -> None:
        await self._life.aclose()

    async def call(self, method: str, path: str, body: bytes, content_type: str, headers: Headers = ()) -> Answer:
        more = {name.lower(): value for name, value in headers}
        answer = await self._caller(method, path, body or None, content_type, **more)
        told = tuple(_warnings([answer.headers.get("warning", "")]))
        kept = tuple((name, answer.headers[name]) for name in KEPT if name in answer.headers)
        return Answer(answer.status, _parsed(answer.body), told, kept)


ISSUER = "https://kubernetes.default.svc.cluster.local"


def identity(folder: Path) -> tuple[str, str, bytes]:
    """Files of a certificate that signs itself and of its key, and the certificate as a client shows it (DER)."""
    key = ec.generate_private_key(ec.SECP256R1())
    attributes = ((NameOID.ORGANIZATION_NAME, "system:masters"), (NameOID.COMMON_NAME, "admin"))
    subject = x509.Name([x509.NameAttribute(*each) for each in attributes])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "client.crt").write_bytes(certificate.public_bytes(pem))
    (folder / "account.key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    shown = certificate.public_bytes(serialization.Encoding.DER)
    return str(folder / "client.crt"), str(folder / "account.key"), shown
