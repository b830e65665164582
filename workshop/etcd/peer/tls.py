"""TLS between members: each shows a certificate, and asks for the other's. Upstream: `client/pkg/transport`."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import replace

from workshop.etcd.config import Fatal, Tls


def peer_server_context(tls: Tls) -> ssl.SSLContext:
    """For members that connect to this one. Raises Fatal."""
    if not tls.cert_file or not tls.key_file:
        raise Fatal("cannot listen on TLS for https peer URLs: KeyFile and CertFile are not presented")
    if tls.client_cert_auth and not tls.trusted_ca_file:
        raise Fatal("--peer-client-cert-auth needs --peer-trusted-ca-file")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, tls)
    if tls.client_cert_auth or tls.trusted_ca_file:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def peer_client_context(tls: Tls, members: Mapping[str, Sequence[str]]) -> ssl.SSLContext | None:
    """For connecting to the others; None where none of them speaks TLS and no certificate is at hand. Raises Fatal."""
    if not tls.cert_file and not any(url.startswith("https:") for urls in members.values() for url in urls):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _load(
        context,
        replace(tls, cert_file=tls.shown_cert_file, key_file=tls.shown_key_file) if tls.shown_cert_file else tls,
    )
    if tls.self_signed:  # so are the others', and nobody vouches for them
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif not tls.trusted_ca_file:
        context.load_default_certs()
    return context


def _load(context: ssl.SSLContext, tls: Tls) -> None:
    try:
        tls.options.apply(context)
        if tls.cert_file:
            context.load_cert_chain(tls.cert_file, tls.key_file)
        if tls.trusted_ca_file:
            context.load_verify_locations(tls.trusted_ca_file)
    except ssl.SSLError as error:
        raise Fatal(f"tls: {error.reason or error}") from error
    except ValueError as error:
        raise Fatal(str(error)) from error
    except OSError as error:
        missing = next((f for f in (tls.cert_file, tls.key_file, tls.trusted_ca_file) if not os.path.exists(f)), "")
        raise Fatal(f"open {missing}: {str(error.strerror).lower()}") from error
