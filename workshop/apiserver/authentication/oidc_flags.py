"""The flags `--oidc-…` as the entry of an AuthenticationConfiguration that they stand for. Pure.

Upstream: pkg/kubeapiserver/options/authentication.go (ToAuthenticationConfig).
"""

from __future__ import annotations

from argparse import Namespace
from typing import Any

NAMES = ("issuer_url", "client_id", "ca_file", "groups_claim", "groups_prefix", "username_prefix", "required_claim")


def problem(flags: Namespace) -> str:
    """Why these flags cannot be; "" if they can."""
    given = [name for name in NAMES if getattr(flags, f"oidc_{name}")]
    if not given:
        return ""
    if not flags.oidc_issuer_url or not flags.oidc_client_id:
        return "oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set"
    if flags.authentication_config:
        return "authentication-config file and oidc-* flags are mutually exclusive"
    if any("=" not in claim for claim in flags.oidc_required_claim):
        return f'invalid argument "{",".join(flags.oidc_required_claim)}" for "--oidc-required-claim" flag'
    return ""


def entry(flags: Namespace, authority: str) -> dict[str, Any] | None:
    """The entry of `jwt`; None without an issuer. `authority` is the text of `--oidc-ca-file`."""
    if not flags.oidc_issuer_url:
        return None
    url, claim, prefix = flags.oidc_issuer_url, flags.oidc_username_claim, flags.oidc_username_prefix
    if prefix == "-":
        prefix = ""
    elif not prefix and claim != "email":
        prefix = f"{url}#"  # so that nobody is taken for a user that somebody else vouches for
    mappings: dict[str, Any] = {"username": {"claim": claim, "prefix": prefix}}
    if flags.oidc_groups_claim:
        mappings["groups"] = {"claim": flags.oidc_groups_claim, "prefix": flags.oidc_groups_prefix}
    required = (claim.partition("=") for claim in flags.oidc_required_claim)
    return {
        "issuer": {"url": url, "audiences": [flags.oidc_client_id], "certificateAuthority": authority},
        "claimMappings": mappings,
        "claimValidationRules": [{"claim": name, "requiredValue": value} for name, _, value in required],
    }
