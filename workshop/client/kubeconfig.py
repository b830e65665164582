"""Kubeconfig files: where the API server is, and who we are to it.

Upstream: `client-go/tools/clientcmd` and `client-go/rest/config.go`. Reads one file; file names in it are relative to
the file itself. Left out: merging several files, exec and auth-provider plugins.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class KubeconfigError(ValueError):
    """The kubeconfig file cannot be used; the text says why, in clientcmd's words where it has some."""


@dataclass(frozen=True)
class Access:
    """What one context of a kubeconfig says. Certificates and keys are PEM bytes."""

    server: str
    namespace: str = "default"
    ca: bytes | None = None
    client_cert: bytes | None = None
    client_key: bytes | None = None
    token: str | None = None
    token_file: str | None = None
    username: str | None = None
    password: str | None = None
    tls_server_name: str | None = None
    insecure: bool = False
    impersonate: str | None = None

    def tls(self) -> ssl.SSLContext | None:
        """The client's TLS settings, or None for an http:// server. Raises ssl.SSLError for damaged PEM data."""
        if not self.server.startswith("https"):
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self.ca is not None:
            context.load_verify_locations(cadata=self.ca.decode("ascii"))
        else:
            context.load_default_certs()
        if self.client_cert is not None and self.client_key is not None:
            _load_cert_chain(context, self.client_cert + b"\n" + self.client_key)
        return context


def _load_cert_chain(context: ssl.SSLContext, pem: bytes) -> None:
    # OpenSSL reads a client's certificate only from a file; this one is 0600 and gone after the call.
    descriptor, name = tempfile.mkstemp(prefix="client-", suffix=".pem")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
        context.load_cert_chain(name)
    finally:
        os.unlink(name)


def load(path: str | Path, context: str | None = None) -> Access:
    """Read a kubeconfig file and choose `context` (by default its current-context).

    Raises KubeconfigError, and OSError when the file or one that it names cannot be read.
    """
    file = Path(path)
    config = _parse(file.read_text())
    wanted = context or config.get("current-context") or ""
    chosen = _named(config, "contexts", "context", wanted) if wanted else None
    if chosen is None:
        raise KubeconfigError(
            f'context "{wanted}" does not exist'
            if wanted
            else "invalid configuration: no configuration has been provided"
        )
    cluster = _named(config, "clusters", "cluster", chosen.get("cluster", ""))
    if cluster is None or not cluster.get("server"):
        raise KubeconfigError(f'invalid configuration: cluster "{chosen.get("cluster", "")}" has no server defined')
    user: dict[str, Any] = {}
    if chosen.get("user"):
        found = _named(config, "users", "user", chosen["user"])
        if found is None:
            raise KubeconfigError(f'auth info "{chosen["user"]}" does not exist')
        user = found
    here = file.parent
    token_file = user.get("tokenFile")
    return Access(
        server=str(cluster["server"]).rstrip("/"),
        namespace=chosen.get("namespace") or "default",
        ca=_pem(cluster, "certificate-authority", here),
        client_cert=_pem(user, "client-certificate", here),
        client_key=_pem(user, "client-key", here),
        token=user.get("token"),
        token_file=str(here / token_file) if token_file else None,
        username=user.get("username"),
        password=user.get("password"),
        tls_server_name=cluster.get("tls-server-name"),
        insecure=bool(cluster.get("insecure-skip-tls-verify", False)),
        impersonate=user.get("as"),
    )


def _parse(text: str) -> dict[str, Any]:
    if text.lstrip().startswith("{"):
        import json

        parsed = json.loads(text)
    else:
        import yaml  # only here: a component whose kubeconfig is JSON never pays for it

        try:
            parsed = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except yaml.YAMLError as error:
            raise KubeconfigError(f"error loading config file: {error}") from error
    if not isinstance(parsed, dict):
        raise KubeconfigError("error loading config file: not a mapping")
    return parsed


def _named(config: dict[str, Any], section: str, field: str, name: str) -> dict[str, Any] | None:
    for entry in config.get(section) or []:
        if entry.get("name") == name:
            return entry.get(field) or {}
    return None


def _pem(section: dict[str, Any], field: str, here: Path) -> bytes | None:
    """Inline data wins over a file name, as in clientcmd."""
    if section.get(f"{field}-data"):
        try:
            return base64.b64decode(section[f"{field}-data"], validate=True)
        except binascii.Error as error:
            raise KubeconfigError(f"invalid configuration: {field}-data: {error}") from error
    if section.get(field):
        return (here / str(section[field])).read_bytes()
    return None
