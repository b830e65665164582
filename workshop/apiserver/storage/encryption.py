"""Encryption at rest: what the values of some resources look like in etcd, as an EncryptionConfiguration says.

    apiVersion: apiserver.config.k8s.io/v1
    kind: EncryptionConfiguration
    resources:
    - resources: [secrets]
      providers:
      - aesgcm: {keys: [{name: key1, secret: <base64 of 32 bytes>}]}
      - identity: {}

The first provider (and its first key) writes; each of them reads. So a key is rotated by putting a new one in front,
writing everything anew, and taking the old one out. In etcd such a value reads `k8s:enc:aesgcm:v1:key1:` and bytes.

What encrypts stands in `ciphers.py`, keys that a plugin keeps in `kms.py`.
Upstream: `apiserver/pkg/server/options/encryptionconfig`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from workshop.api import codec
from workshop.api.resources import all_resources
from workshop.component import parse_duration

from .ciphers import AesCbc, AesGcm, Identity, Provider, SecretBox, Unreadable

if TYPE_CHECKING:
    from .kms import Kms

AES_SIZES, SECRETBOX_SIZES = (16, 24, 32), (32,)
_HEAD = "EncryptionConfiguration.apiserver.config.k8s.io"


class Providers:
    """The providers of one resource; the first one writes."""

    def __init__(self, providers: Sequence[Provider]) -> None:
        self._providers = providers

    def seal(self, plain: bytes, key: bytes) -> bytes:
        first = self._providers[0]
        return first.prefix + first.seal(plain, key)

    def open(self, stored: bytes, key: bytes) -> tuple[bytes, bool]:
        """The plain value, and whether it is stale: written by another provider than would write now."""
        problem = self._unknown(stored)
        for number, provider in enumerate(self._providers):
            if not stored.startswith(provider.prefix):
                continue
            try:
                return provider.open(stored[len(provider.prefix) :], key), number > 0
            except Unreadable as unreadable:  # two keys may share a name
                if provider.prefix:
                    problem = str(unreadable)
        raise Unreadable(problem)

    def _unknown(self, stored: bytes) -> str:
        """Why no provider knows a value: perhaps it is of their kind, but by another key."""
        for provider in self._providers:
            kind, version, key = provider.prefix.partition(b":v1:")
            if key and stored.startswith(kind + version):
                name = "Secretbox" if kind.endswith(b"secretbox") else "AES"
                return f"no matching key was found for the provided {name} transformer"
        return "no matching prefix found"

    def plugin(self, stored: bytes) -> tuple[Kms, bytes] | None:
        """The plugin that keeps the key of a stored value, and the value as that plugin's provider knows it."""
        from .kms import Kms

        for provider in self._providers:
            if isinstance(provider, Kms) and stored.startswith(provider.prefix):
                return provider, stored[len(provider.prefix) :]
        return None


@dataclass(frozen=True)
class Encryption:
    """Providers by group-resource as the file names them (`secrets`, `*.apps`, `*.*`); the first list counts."""

    by_resource: Mapping[str, Providers]
    plugins: Sequence[Kms] = ()

    def of(self, group: str, plural: str) -> Providers | None:
        for name in (f"{plural}.{group}" if group else plural, f"*.{group}", "*.*"):
            if name in self.by_resource:
                return self.by_resource[name]
        return None

    def by_prefix(self) -> dict[str, Providers]:
        """Providers by storage prefix (`/registry/secrets/`), of the built-in resources."""
        found = {}
        for resource in all_resources():
            providers = self.of(resource.storage_group, resource.plural) if resource.persisted else None
            if providers is not None:
                found[resource.storage_key()] = providers
        return found


_KINDS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "aesgcm": (AesGcm, AES_SIZES),
    "aescbc": (AesCbc, AES_SIZES),
    "secretbox": (SecretBox, SECRETBOX_SIZES),
}


def load(text: bytes) -> Encryption:
    """The configuration of a file. Raises ValueError in upstream's words; a key is never in them."""
    try:
        read = codec.load_yaml(text)
    except ValueError as error:
        raise ValueError(f"error decoding encryption provider configuration file: {error}") from None
    known = isinstance(read, dict) and (read.get("apiVersion"), read.get("kind"))
    if known != ("apiserver.config.k8s.io/v1", "EncryptionConfiguration"):
        raise ValueError("error decoding encryption provider configuration file: not an EncryptionConfiguration of "
                         "apiserver.config.k8s.io/v1")  # fmt: skip
    problems: list[str] = []
    found: dict[str, Providers] = {}
    plugins: list[Kms] = []
    if not read.get("resources"):
        problems.append("resources: Required value: at least one resources is required")
    for number, entry in enumerate(read.get("resources") or []):
        at = f"resources[{number}]"
        names = entry.get("resources") or []
        problems += _name_problems(names, f"{at}.resources")
        providers = _providers(entry.get("providers") or [], f"{at}.providers", problems, plugins)
        for name in names:
            found.setdefault(name, Providers(providers))
    if problems:
        raise ValueError(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")
    return Encryption(found, plugins)


_NO_SUCH_RESOURCE = {
    "*": "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources",
    **dict.fromkeys(
        ("apiserveripinfo", "serviceipallocations", "servicenodeportallocations"),
        "resources which do not have REST API/s cannot be encrypted",
    ),
}
_NO_SUCH_GROUP = {
    "events.k8s.io": "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. "
    "Use 'events' instead in the config file",
    "extensions": "'extensions' group has been removed and cannot be used for encryption",
}


def _name_problems(names: Sequence[str], at: str) -> list[str]:
    if not names:
        return [f"{at}: Required value: at least one {at} is required"]
    problems = []
    told = codec.dumps(list(names)).decode().strip()
    if len(set(names)) < len(names):
        problems.append(f"{at}: Invalid value: {told}: the same resource cannot be specified multiple times")
    if any(_masked(name, names) for name in names):
        why = "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed "
        problems.append(f"{at}: Invalid value: {told}: {why}as they will be masked")
    for number, name in enumerate(names):
        why = _NO_SUCH_RESOURCE.get(name) or _NO_SUCH_GROUP.get(name.partition(".")[2], "")
        if name != name.lower():
            why = "resource name should not contain capital letters"
        elif name.endswith(".*") and name != "*.*":
            why = "encrypting the same resource across groups is not supported"
        if why:
            problems.append(f'{at}[{number}]: Invalid value: "{name}": {why}')
    return problems


def _masked(name: str, names: Sequence[str]) -> bool:
    """Whether a wildcard of the same list covers `name`."""
    group = name.partition(".")[2]
    return any(
        other != name and (other == "*.*" or (other.partition(".")[2] == group and other.startswith("*.")))
        for other in names
    )


def _providers(entries: Sequence[dict[str, Any]], at: str, problems: list[str], plugins: list[Kms]) -> list[Provider]:
    if not entries:
        problems.append(f"{at}: Required value: at least one {at} is required")
    made: list[Provider] = []
    for number, entry in enumerate(entries):
        if len(entry) != 1:
            why = "more than one provider specified in a single element, should split into different list elements"
            if not entry:
                why = (
                    "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity"
                )
            problems.append(f"{at}[{number}]: Invalid value: {why}")
            continue
        ((kind, settings),) = entry.items()
        if kind == "identity":
            made.append(Identity())
        elif kind in _KINDS:
            build, sizes = _KINDS[kind]
            made += [
                build(name, secret)
                for name, secret in _keys(
                    (settings or {}).get("keys") or [], sizes, f"{at}[{number}].{kind}.keys", problems
                )
            ]
        elif kind == "kms":
            plugin = _plugin(settings or {}, f"{at}[{number}].kms", problems, {each.name for each in plugins})
            if plugin is not None:
                plugins.append(plugin)
                made.append(plugin)
        else:
            why = "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity"
            problems.append(f"{at}[{number}]: Invalid value: {why}")
    return made


def _keys(
    keys: Sequence[dict[str, str]], sizes: tuple[int, ...], at: str, problems: list[str]
) -> list[tuple[str, bytes]]:
    if not keys:
        problems.append(f"{at}: Required value: at least one keys is required")
    good = []
    for number, key in enumerate(keys):
        where = f"{at}[{number}]"
        if not key.get("name"):
            problems.append(f"{where}.name: Required value: name is a mandatory field for a key")
        if not key.get("secret"):
            problems.append(f"{where}.secret: Required value: secret is a mandatory field for a key")
            continue
        try:
            secret = base64.b64decode(key["secret"], validate=True)
        except (binascii.Error, ValueError):
            problems.append(f'{where}.secret: Invalid value: "REDACTED": secrets must be base64 encoded')
            continue
        if len(secret) not in sizes:
            expected = f"[{' '.join(map(str, sizes))}]"
            why = f"secret is not of the expected length, got {len(secret)}, expected one of {expected}"
            problems.append(f'{where}.secret: Invalid value: "REDACTED": {why}')
            continue
        good.append((key.get("name", ""), secret))
    return good


def _plugin(settings: dict[str, Any], at: str, problems: list[str], known: set[str]) -> Kms | None:
    """The provider of a plugin; None where the problems say why not."""
    from .kms import Kms

    name, endpoint, version = (settings.get(field) or "" for field in ("name", "endpoint", "apiVersion"))
    found = []
    if not name:
        found.append(f"{at}.name: Required value: name is a mandatory field for a provider")
    if ":" in name:
        found.append(f"{at}.name: Invalid value: \"{name}\": invalid KMS provider name {name}, must not contain ':'")
    if name in known:
        found.append(f'{at}.name: Invalid value: "{name}": duplicate KMS provider name {name}, names must be unique')
    try:
        timeout = parse_duration(str(settings.get("timeout", "3s")))
    except ValueError as error:
        timeout = 3.0
        found.append(f"{at}.timeout: {error}")
    if timeout <= 0:
        found.append(f'{at}.timeout: Invalid value: "{settings["timeout"]}": timeout should be a positive value')
    scheme = urlsplit(endpoint).scheme
    if not endpoint:
        found.append(f'{at}.endpoint: Invalid value: "": endpoint is a mandatory field for a kms')
    elif scheme != "unix":
        why = f'unsupported scheme "{scheme}" for KMS provider, only unix is supported'
        found.append(f'{at}.endpoint: Invalid value: "{endpoint}": {why}')
    if settings.get("cachesize") is not None:
        found.append(f"{at}.cachesize: Invalid value: {settings['cachesize']}: cachesize is not supported in v2")
    if version in ("", "v1"):
        found.append("KMSv1 is deprecated and will only receive security updates going forward. Use KMSv2 instead.  "
                     "Set --feature-gates=KMSv1=true to use the deprecated KMSv1 feature.")  # fmt: skip
    elif version != "v2":
        why = "unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported"
        found.append(f'{at}.apiVersion: Invalid value: "{version}": {why}')
    problems += found
    return None if found else Kms(name, endpoint.removeprefix("unix://"), timeout)
