"""Addresses and ranges that mean something, but are not written as they should be.

>>> list(ip("spec.externalIPs[0]", "2001:DB8::1"))
['spec.externalIPs[0]: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")']

Upstream: apimachinery/pkg/util/validation/ip.go (GetWarningsForIP, GetWarningsForCIDR), v1.36.2."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from workshop.api.errors import quote
from workshop.api.validation.addresses import parse, parse_range


def ip(at: str, value: str) -> Iterator[str]:
    found = parse(value)
    if found is None:
        return
    if found.version == 4 and str(found) != value:  # leading zeros, or mapped into IPv6
        yield f"{at}: non-standard IP address {quote(value)} is invalid: use {quote(str(found))}"
    elif str(found) != value:
        yield f"{at}: IPv6 address {quote(value)} should be in RFC 5952 canonical format ({quote(str(found))})"


def cidr(at: str, value: str) -> Iterator[str]:
    found, address = parse_range(value), parse(value.partition("/")[0])
    if found is None or address is None:
        return
    told = False
    if address != found.network_address:
        one = f"{address}/{found.max_prefixlen}"
        told = True
        yield (
            f"{at}: CIDR value {quote(value)} is ambiguous in this context (should be {quote(str(found))} or "
            f"{quote(one)}?)"
        )
    try:
        plain = ipaddress.ip_interface(value)
        mapped = isinstance(plain, ipaddress.IPv6Interface) and plain.ip.ipv4_mapped is not None
    except ValueError:  # leading zeros
        mapped = True
    if mapped:
        yield f"{at}: non-standard CIDR value {quote(value)} is invalid: use {quote(str(found))}"
    elif not told and found.version == 6 and str(found) != value:
        yield f"{at}: IPv6 CIDR value {quote(value)} should be in RFC 5952 canonical format ({quote(str(found))})"
