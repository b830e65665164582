"""`--admission-control-config-file`: settings of plugins. Pure.

    apiVersion: apiserver.config.k8s.io/v1
    kind: AdmissionConfiguration
    plugins:
    - name: PodSecurity
      configuration:
        apiVersion: pod-security.admission.config.k8s.io/v1
        kind: PodSecurityConfiguration
        defaults: {enforce: baseline, enforce-version: latest, warn: restricted}
        exemptions: {usernames: [], runtimeClasses: [], namespaces: [kube-system]}

Upstream: apiserver/pkg/admission/config.go, pod-security-admission/admission/api.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from workshop.api import codec

_HEAD = ("apiserver.config.k8s.io/v1", "AdmissionConfiguration")
_POD_SECURITY = "pod-security.admission.config.k8s.io/"
_LEVELS = ("privileged", "baseline", "restricted")
_VERSION = re.compile(r"latest|v1\.(0|[1-9][0-9]*)")
MODES = ("enforce", "audit", "warn")


@dataclass(frozen=True)
class PodSecuritySettings:
    """`defaults`: what a namespace's labels say where it has none, by the labels' last parts."""

    defaults: Mapping[str, str] = field(default_factory=dict)
    usernames: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    runtime_classes: frozenset[str] = frozenset()


def load(text: bytes, read: Callable[[str], bytes]) -> PodSecuritySettings:
    """The configuration of a file; `read(path)` gets the file of a plugin. Raises ValueError, OSError."""
    found = codec.load_yaml(text)
    if not isinstance(found, dict) or (found.get("apiVersion"), found.get("kind")) != _HEAD:
        raise ValueError(f"unable to read admission control configuration: not an {_HEAD[1]} of {_HEAD[0]}")
    settings = PodSecuritySettings()
    for plugin in found.get("plugins") or ():
        if plugin.get("name") != "PodSecurity":
            raise ValueError(f"the admission plugin {plugin.get('name')!r} takes no configuration here")
        given = plugin.get("configuration") or codec.load_yaml(read(plugin.get("path") or ""))
        settings = _pod_security(given)
    return settings


def _pod_security(given: Any) -> PodSecuritySettings:
    known = isinstance(given, dict) and str(given.get("apiVersion", "")).startswith(_POD_SECURITY)
    if not known or given.get("kind") != "PodSecurityConfiguration":
        raise ValueError("failed to load PodSecurity configuration: not a PodSecurityConfiguration")
    defaults: dict[str, str] = {}
    for key, value in (given.get("defaults") or {}).items():
        mode, _, version = key.partition("-version")
        if mode not in MODES or version:
            raise ValueError(f'strict decoding error: unknown field "defaults.{key}"')
        if key == mode and value not in _LEVELS:
            raise ValueError(
                f'defaults.{key}: Invalid value: "{value}": must be one of privileged, baseline, restricted'
            )
        if key != mode and not _VERSION.fullmatch(str(value)):
            raise ValueError(f'defaults.{key}: Invalid value: "{value}": must be "latest" or "v1.x"')
        defaults[key] = str(value)
    exempt = given.get("exemptions") or {}
    return PodSecuritySettings(
        defaults,
        *(frozenset(exempt.get(name) or ()) for name in ("usernames", "namespaces", "runtimeClasses")),
    )
