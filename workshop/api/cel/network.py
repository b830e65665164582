"""`url('https://…')`, `ip('10.0.0.1')`, `cidr('10.0.0.0/8')`. Upstream: apiserver/pkg/cel/library/{urls,ip,cidr}.go."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

Value = dict[str, Any]
_NOT_IN_HOSTS = ' "<>\\^`{|}'


def url(text: str) -> Value:
    """Absolute, or a path. Raises ValueError."""
    parts = urlsplit(text)
    if odd := next((char for char in parts.netloc if char in _NOT_IN_HOSTS), ""):
        lead = f"URL parse error during conversion from string: parse {quoted(text)}"
        raise ValueError(f"{lead}: invalid character {quoted(odd)} in host name")
    if not (parts.scheme and (parts.netloc or parts.path or "//" in text)) and not text.startswith("/"):
        raise ValueError(f'URL parse error during conversion from string: parse "{text}": invalid URI for request')
    return {"url": text}


def ip(text: str) -> Value:
    """Raises ValueError for what is none, has a zone, or is IPv4 in IPv6."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        lead = f"IP Address {quoted(text)} parse error during conversion from string"
        raise ValueError(f"{lead}: ParseAddr({quoted(text)}): unable to parse IP") from None
    if "%" in text:
        raise ValueError(f"IP address {quoted(text)} with zone value is not allowed")
    if getattr(found, "ipv4_mapped", None) is not None:
        raise ValueError(f"IPv4-mapped IPv6 address {quoted(text)} is not allowed")
    return {"ip": str(found)}


def cidr(text: str) -> Value:
    """Raises ValueError."""
    address, slash, length = text.rpartition("/")
    try:
        found = ipaddress.ip_interface(text)
        if not slash or not length.isdigit() or (len(length) > 1 and length[0] == "0"):
            raise ValueError(text)
    except ValueError:
        lead = "network address parse error during conversion from string: "
        why = "no '/'" if not slash else f"bad bits after slash: {quoted(length)}"
        if length.isdigit() and not (len(length) > 1 and length[0] == "0"):
            why = "prefix length out of range"
        try:
            if slash:
                ipaddress.ip_address(address)
        except ValueError:
            why = f"ParseAddr({quoted(address)}): unable to parse IP"
        raise ValueError(f"{lead}{lead}netip.ParsePrefix({quoted(text)}): {why}") from None
    if getattr(found.ip, "ipv4_mapped", None) is not None:
        raise ValueError(f"IPv4-mapped IPv6 address {quoted(text)} is not allowed")
    return {"cidr": str(found)}


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _is(read: Callable[[str], Value]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            read(text)
        except ValueError:
            return False
        return True

    return check


def _address(found: Value) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(found["ip"])


def _interface(found: Value) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
    return ipaddress.ip_interface(found["cidr"])


def _contains_ip(outer: Value, address: Any) -> bool:
    inner = _address(address if isinstance(address, dict) else ip(address))
    return inner.version == _interface(outer).version and inner in _interface(outer).network


def _contains_cidr(outer: Value, other: Any) -> bool:
    inner, whole = _interface(other if isinstance(other, dict) else cidr(other)).network, _interface(outer).network
    if isinstance(inner, ipaddress.IPv4Network) and isinstance(whole, ipaddress.IPv4Network):
        return inner.subnet_of(whole)
    if isinstance(inner, ipaddress.IPv6Network) and isinstance(whole, ipaddress.IPv6Network):
        return inner.subnet_of(whole)
    return False


def _host(found: Value) -> str:
    return urlsplit(found["url"]).netloc.rpartition("@")[2]


def _masked(found: Value) -> Value:
    network = _interface(found).network
    return {"cidr": f"{network.network_address}/{network.prefixlen}"}


FUNCTIONS: list[tuple[str, str, str, Callable[..., Any]]] = [
    ("url", "string", "url", url),
    ("isURL", "string", "bool", _is(url)),
    ("+getScheme", "url", "string", lambda u: urlsplit(u["url"]).scheme),
    ("+getHost", "url", "string", _host),
    ("+getHostname", "url", "string", lambda u: urlsplit(u["url"]).hostname or ""),
    ("+getPort", "url", "string", lambda u: _host(u).rpartition("]")[2].partition(":")[2]),
    ("+getEscapedPath", "url", "string", lambda u: urlsplit(u["url"]).path),
    ("+getQuery", "url", "map", lambda u: parse_qs(urlsplit(u["url"]).query, keep_blank_values=True)),
    ("ip", "string", "ip", ip),
    ("isIP", "string", "bool", _is(ip)),
    ("ip.isCanonical", "string", "bool", lambda text: ip(text)["ip"] == text),
    ("+family", "ip", "int", lambda a: _address(a).version),
    ("+isUnspecified", "ip", "bool", lambda a: _address(a).is_unspecified),
    ("+isLoopback", "ip", "bool", lambda a: _address(a).is_loopback),
    ("+isLinkLocalMulticast", "ip", "bool", lambda a: _address(a).is_multicast and _link_local(a)),
    ("+isLinkLocalUnicast", "ip", "bool", lambda a: _address(a).is_link_local),
    ("+isGlobalUnicast", "ip", "bool", lambda a: _global(_address(a))),
    ("cidr", "string", "cidr", cidr),
    ("isCIDR", "string", "bool", _is(cidr)),
    ("+containsIP", "cidr string", "bool", _contains_ip),
    ("+containsIP", "cidr ip", "bool", _contains_ip),
    ("+containsCIDR", "cidr string", "bool", _contains_cidr),
    ("+containsCIDR", "cidr cidr", "bool", _contains_cidr),
    ("+ip", "cidr", "ip", lambda c: {"ip": str(_interface(c).ip)}),
    ("+masked", "cidr", "cidr", _masked),
    ("+prefixLength", "cidr", "int", lambda c: _interface(c).network.prefixlen),
]


def _link_local(found: Value) -> bool:
    address = _address(found)
    if isinstance(address, ipaddress.IPv4Address):
        return address in ipaddress.ip_network("224.0.0.0/24")
    return address.packed[1] & 0x0F == 2


def _global(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    plain = not (address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local)
    return plain and str(address) != "255.255.255.255"
