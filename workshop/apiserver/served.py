"""`--runtime-config`: which built-in versions and resources are served. Pure.

    apps/v1=false   batch/v1/cronjobs=false   api/beta=false   api/all=true

What is wider comes first, so that a resource's own word counts most. Upstream:
apiserver/pkg/server/resourceconfig/helpers.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from workshop.api.resources import Resource

_WIDE: dict[str, Callable[[str], bool]] = {
    "api/all": lambda version: True,
    "api/ga": lambda version: bool(re.fullmatch(r"v\d+", version)),
    "api/beta": lambda version: bool(re.fullmatch(r"v\d+beta\d+", version)),
    "api/alpha": lambda version: bool(re.fullmatch(r"v\d+alpha\d+", version)),
}


def served(resources: Iterable[Resource], wanted: Sequence[str]) -> list[Resource]:
    """Those of `resources` that are served. `wanted`: `key=value`, a key alone is true. Raises ValueError."""
    resources = list(resources)
    values = {key: _value(key, text) for key, _, text in (each.partition("=") for each in wanted)}
    groups = {r.group for r in resources}
    versions = {f"{r.group}/{r.version}" for r in resources}
    for key in values:
        group, *rest = key.split("/")
        group = "" if group == "v1" else group
        if key in _WIDE or not rest:
            continue
        if group not in groups:
            raise ValueError(f"unknown api groups {group}")
        if "/".join(key.split("/")[:2]) not in versions:
            raise ValueError(f"group version {'/'.join(key.split('/')[:2])} that has not been registered")
        if len(rest) == 2 and rest[1] != rest[1].lower():
            why = f'group/version/resource and resource is always lowercase plural, not "{rest[1]}"'
            raise ValueError(f"invalid key {key}: {why}")

    def is_served(r: Resource) -> bool:
        own = "v1" if not r.group else f"{r.group}/{r.version}"
        chosen = [values[key] for key, fits in _WIDE.items() if key in values and fits(r.version)]
        chosen += [values[key] for key in (own, f"{own}/{r.plural}") if key in values]
        return chosen[-1] if chosen else True

    return [r for r in resources if is_served(r)]


def _value(key: str, text: str) -> bool:
    if text not in ("", "true", "false"):
        raise ValueError(f"invalid value of runtime config {key}={text}, must be 'true' or 'false'")
    return text != "false"
