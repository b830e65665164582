"""IP addresses and ranges, of the older fields that take what Go's parser of old took. Upstream:
apimachinery/pkg/util/validation/ip.go, v1.36.2."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence

from workshop.api.errors import quote
from workshop.api.validation.field import ErrorList

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
NOT_AN_ADDRESS = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
NOT_A_RANGE = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
LOOPBACK = "may not be in the loopback range (127.0.0.0/8, ::1/128)"


def parse(text: str) -> Address | None:
    """As Go's old parser: leading zeros of IPv4 are dropped, an IPv4 address mapped into IPv6 is an IPv4 address."""
    if "." in text and ":" not in text:
        text = re.sub(r"(^|\.)0+(?=\d)", r"\1", text)
    if "%" in text:
        return None
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


def parse_range(text: str) -> Network | None:
    address, slash, length = text.partition("/")
    found = parse(address)
    if not slash or found is None or not (length.isascii() and length.isdigit()):
        return None
    try:
        return ipaddress.ip_network((found, int(length)), strict=False)
    except ValueError:
        return None


def family(text: str) -> str:
    found = parse(text)
    return "" if found is None else "IPv6" if found.version == 6 else "IPv4"


def dual(texts: Sequence[str]) -> bool:
    """Whether both families are there. Upstream: netutils.IsDualStackIPStrings."""
    return {family(text.partition("/")[0]) for text in texts} >= {"IPv4", "IPv6"}


def legacy_ip(errors: ErrorList, path: str, value: str, old: Iterable[str] = ()) -> bool:
    """Whether it was fine. What stood there before (`old`) may stay."""
    if value in old:
        return True
    if parse(value) is None:
        errors.invalid(path, value, NOT_AN_ADDRESS)
        return False
    before = len(errors)
    if _zeros(value):
        errors.invalid(path, value, "must not have leading 0s")
    elif _mapped(value):
        errors.invalid(path, value, "must not be an IPv4-mapped IPv6 address")
    return len(errors) == before


def strict_ip(errors: ErrorList, path: str, value: str) -> bool:
    """A newer field: only the canonical form."""
    if not legacy_ip(errors, path, value):
        return False
    found = parse(value)
    if str(found) != value:
        errors.invalid(path, value, f"must be in canonical form ({quote(str(found))})")
        return False
    return True


def canonical_ip(name: str) -> list[str]:
    """What is wrong with an IPAddress's name."""
    errors = ErrorList()
    strict_ip(errors, "", name)
    return [each.message.removeprefix(f"Invalid value: {quote(name)}: ") for each in errors]


def legacy_range(errors: ErrorList, path: str, value: str, old: Iterable[str] = ()) -> None:
    if value in old:
        return
    found = parse_range(value)
    address, _, length = value.partition("/")
    if found is None:
        errors.invalid(path, value, NOT_A_RANGE)
    elif _zeros(address) or (len(length) > 1 and length.startswith("0")):
        errors.invalid(path, value, "must not have leading 0s in IP or prefix length")
    elif _mapped(address):
        errors.invalid(path, value, "must not have an IPv4-mapped IPv6 address")
    elif parse(address) != found.network_address:
        errors.invalid(path, value, "must not have bits set beyond the prefix length")


def strict_range(errors: ErrorList, path: str, value: str) -> None:
    before = len(errors)
    legacy_range(errors, path, value)
    if len(errors) == before and str(parse_range(value)) != value:
        errors.invalid(path, value, f"must be in canonical form ({quote(str(parse_range(value)))})")


def _zeros(text: str) -> bool:
    return ":" not in text and re.search(r"(^|\.)0\d", text) is not None


def _mapped(text: str) -> bool:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return False
    return isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None


def endpoint_ip(errors: ErrorList, path: str, value: str) -> None:
    """An address that traffic may be sent to. Upstream: core/validation ValidateEndpointIP."""
    found = parse(value)
    if found is None:
        errors.invalid(path, value, "must be a valid IP address")
        return
    if found.is_unspecified:
        errors.invalid(path, value, f"may not be unspecified ({value})")
    if found.is_loopback and not errors.allow_loopback:
        errors.invalid(path, value, LOOPBACK)
    if found.is_link_local:
        errors.invalid(path, value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if found in MULTICAST[found.version]:
        errors.invalid(path, value, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")


MULTICAST: dict[int, Network] = {4: ipaddress.ip_network("224.0.0.0/24"), 6: ipaddress.ip_network("ff02::/16")}
