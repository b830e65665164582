"""NetworkPolicies. Upstream: pkg/apis/networking/validation, v1.36.2."""

from __future__ import annotations

from collections.abc import Iterable

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation import addresses, metadata, probes
from workshop.api.validation.field import ErrorList

PROTOCOLS = ("TCP", "UDP", "SCTP")


def network_policy(errors: ErrorList, obj: Obj, old: Obj | None = None) -> None:
    spec = obj["spec"]
    known = set(_ranges(old)) if old is not None else set()
    metadata.selector(errors, "spec.podSelector", spec.get("podSelector"))
    for way, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(way) or []):
            at = f"spec.{way}[{index}]"
            for i, port in enumerate(rule.get("ports") or []):
                _port(errors, f"{at}.ports[{i}]", port)
            for i, peer in enumerate(rule.get(peers) or []):
                _peer(errors, f"{at}.{peers}[{i}]", peer or {}, known)
    kinds = spec.get("policyTypes") or []
    if len(kinds) > 2:
        errors.invalid("spec.policyTypes", kinds, "may not specify more than two policyTypes")
        return
    for index, kind in enumerate(kinds):
        errors.among(f"spec.policyTypes[{index}]", kind, ("Ingress", "Egress"))


def _ranges(policy: Obj) -> Iterable[str]:
    """Ranges that stand there already may stay as they are written."""
    for way, peers in (("ingress", "from"), ("egress", "to")):
        for rule in policy["spec"].get(way) or []:
            for peer in rule.get(peers) or []:
                if (block := peer.get("ipBlock")) is not None:
                    yield block.get("cidr", "")
                    yield from block.get("except") or []


def _port(errors: ErrorList, at: str, found: Obj) -> None:
    port, end = found.get("port"), found.get("endPort")
    if found.get("protocol") is not None:
        errors.among(f"{at}.protocol", found["protocol"], PROTOCOLS)
    if port is None:
        if end is not None:
            errors.invalid(f"{at}.endPort", end, "may not be specified when `port` is not specified")
        return
    if isinstance(port, str):
        if end is not None:
            errors.invalid(f"{at}.endPort", end, "may not be specified when `port` is non-numeric")
        probes.port(errors, f"{at}.port", port)
        return
    probes.port(errors, f"{at}.port", port)
    if end is not None:
        if end < port:
            errors.invalid(f"{at}.endPort", port, "must be greater than or equal to `port`")
        errors.each(f"{at}.endPort", end, names.port_number(end))


def _peer(errors: ErrorList, at: str, peer: Obj, known: set[str]) -> None:
    given = [kind for kind in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(kind) is not None]
    for kind in given:
        if kind == "ipBlock":
            _block(errors, f"{at}.ipBlock", peer["ipBlock"], known)
        else:
            metadata.selector(errors, f"{at}.{kind}", peer[kind])
    if not given:
        errors.required(at, "must specify a peer")
    elif len(given) > 1 and "ipBlock" in given:
        errors.forbidden(at, "may not specify both ipBlock and another peer")


def _block(errors: ErrorList, at: str, block: Obj, known: set[str]) -> None:
    cidr = block.get("cidr", "")
    if not cidr:
        errors.required(f"{at}.cidr")
        return
    addresses.legacy_range(errors, f"{at}.cidr", cidr, known)
    whole = addresses.parse_range(cidr)
    if whole is None:
        return
    for index, part in enumerate(block.get("except") or []):
        addresses.legacy_range(errors, f"{at}.except[{index}]", part, known)
        inner = addresses.parse_range(part)
        if inner is None:
            continue
        if inner.network_address not in whole or whole.prefixlen >= inner.prefixlen:
            errors.invalid(f"{at}.except[{index}]", part, "must be a strict subset of `cidr`")
