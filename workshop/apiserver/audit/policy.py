"""Which requests are recorded, and how much of each: the rules of an audit policy, the first that fits decides.

    apiVersion: audit.k8s.io/v1
    kind: Policy
    rules:
    - level: None                 # health checks are not worth a line
      nonResourceURLs: ["/healthz*", "/livez*", "/readyz*"]
    - level: Metadata             # never the contents of a Secret
      resources: [{group: "", resources: [secrets]}]
    - level: RequestResponse

Upstream: `apiserver/pkg/audit/policy/{checker,reader}.go`, `apis/audit/validation/validation.go`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from workshop.api import codec, names
from workshop.apiserver.interfaces import Attributes

STAGES = ("RequestReceived", "ResponseStarted", "ResponseComplete", "Panic")
_RULE_FIELDS = frozenset(
    {
        "level", "users", "userGroups", "verbs", "resources", "namespaces", "nonResourceURLs", "omitStages",
        "omitManagedFields",
    }
)  # fmt: skip


class Level(IntEnum):
    """How much of a request is recorded; each level holds all of the one before."""

    NONE = 0
    METADATA = 1
    REQUEST = 2
    REQUEST_RESPONSE = 3


LEVELS = {"None": Level.NONE, "Metadata": Level.METADATA, "Request": Level.REQUEST,
          "RequestResponse": Level.REQUEST_RESPONSE}  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What a policy wants of one request."""

    level: Level
    omit_stages: frozenset[str]
    omit_managed_fields: bool


@dataclass(frozen=True)
class Rule:
    """One rule as the file has it; what it leaves empty fits everything."""

    level: Level
    users: Sequence[str] = ()
    groups: Sequence[str] = ()
    verbs: Sequence[str] = ()
    resources: Sequence[dict[str, Any]] = ()
    namespaces: Sequence[str] = ()
    paths: Sequence[str] = ()
    omit_stages: frozenset[str] = frozenset()
    omit_managed_fields: bool | None = None

    def fits(self, asked: Attributes) -> bool:
        if self.users and asked.user.name not in self.users:
            return False
        if self.groups and not set(self.groups) & set(asked.user.groups):
            return False
        if self.verbs and asked.verb not in self.verbs:
            return False
        if self.namespaces or self.resources:
            return asked.resource_request and self._fits_resource(asked)
        if self.paths:
            return not asked.resource_request and any(_path_fits(asked.path, pattern) for pattern in self.paths)
        return True

    def _fits_resource(self, asked: Attributes) -> bool:
        if self.namespaces and asked.namespace not in self.namespaces:
            return False
        return not self.resources or any(_resource_fits(wanted, asked) for wanted in self.resources)


@dataclass(frozen=True)
class Policy:
    rules: Sequence[Rule]
    omit_stages: frozenset[str] = frozenset()
    omit_managed_fields: bool = False

    def judge(self, asked: Attributes) -> Verdict:
        """What the first fitting rule says; a request that fits none is not recorded."""
        for rule in self.rules:
            if rule.fits(asked):
                omit = self.omit_managed_fields if rule.omit_managed_fields is None else rule.omit_managed_fields
                return Verdict(rule.level, rule.omit_stages, omit)
        return Verdict(Level.NONE, self.omit_stages, self.omit_managed_fields)


def _path_fits(path: str, pattern: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern.rstrip("*")))


def _resource_fits(wanted: dict[str, Any], asked: Attributes) -> bool:
    if wanted.get("group", "") not in (asked.api_group, "*"):
        return False
    patterns, only = wanted.get("resources") or [], wanted.get("resourceNames") or []
    if not patterns:
        return True
    if only and asked.name not in only:
        return False
    combined = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    return any(
        pattern in (combined, "*")
        or (bool(asked.subresource) and pattern == f"*/{asked.subresource}")
        or pattern == f"{asked.resource}/*"
        for pattern in patterns
    )


def load(text: bytes) -> Policy:
    """The policy of a file. Raises ValueError in upstream's words."""
    try:
        read = codec.load_yaml(text)
    except ValueError as error:
        raise ValueError(f"failed decoding: {error}") from None
    if not isinstance(read, dict) or not read.get("kind"):
        raise ValueError("failed decoding: Object 'Kind' is missing")
    if (read.get("apiVersion"), read["kind"]) != ("audit.k8s.io/v1", "Policy"):
        version, kind = read.get("apiVersion", ""), read["kind"]
        raise ValueError(f'failed decoding: no kind "{kind}" is registered for version "{version}"')
    problems = _problems(read)
    if problems:
        raise ValueError(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")
    if not read.get("rules"):
        raise ValueError("loaded illegal policy with 0 rules")
    everywhere = frozenset(read.get("omitStages") or [])
    return Policy([_rule(rule, everywhere) for rule in read["rules"]], everywhere, bool(read.get("omitManagedFields")))


def _rule(read: dict[str, Any], everywhere: frozenset[str]) -> Rule:
    return Rule(
        level=LEVELS[read["level"]],
        users=read.get("users") or (),
        groups=read.get("userGroups") or (),
        verbs=read.get("verbs") or (),
        resources=read.get("resources") or (),
        namespaces=read.get("namespaces") or (),
        paths=read.get("nonResourceURLs") or (),
        omit_stages=everywhere | frozenset(read.get("omitStages") or []),
        omit_managed_fields=read.get("omitManagedFields"),
    )


def _problems(read: dict[str, Any]) -> list[str]:
    found = _stage_problems(read.get("omitStages") or [], "omitStages")
    for number, rule in enumerate(read.get("rules") or []):
        at = f"rules[{number}]"
        if not isinstance(rule, dict) or set(rule) - _RULE_FIELDS:
            unknown = sorted(set(rule) - _RULE_FIELDS) if isinstance(rule, dict) else [str(rule)]
            found.append(f'strict decoding error: unknown field "{at}.{unknown[0]}"')
            continue
        found += _rule_problems(rule, at)
    return found


def _rule_problems(rule: dict[str, Any], at: str) -> list[str]:
    found = []
    level = rule.get("level", "")
    if not level:
        found.append(f"{at}.level: Required value")
    elif level not in LEVELS:
        known = ", ".join(f'"{name}"' for name in LEVELS)
        found.append(f'{at}.level: Unsupported value: "{level}": supported values: {known}')
    for number, url in enumerate(rule.get("nonResourceURLs") or []):
        field = f"{at}.nonResourceURLs[{number}]"
        if url != "*" and not url.startswith("/"):
            found.append(f"{field}: Invalid value: \"{url}\": non-resource URL rules must begin with a '/' character")
        if url != "*" and "*" in url[:-1]:
            why = "non-resource URL wildcards '*' must be the final character of the rule"
            found.append(f'{field}: Invalid value: "{url}": {why}')
    for wanted in rule.get("resources") or []:
        group = wanted.get("group") or ""
        if group not in ("", "*") and (wrong := names.dns1123_subdomain(group)):
            found.append(f'{at}.resources.group: Invalid value: "{group}": {",".join(wrong)}')
        if wanted.get("resourceNames") and not wanted.get("resources"):
            found.append(
                f"{at}.resources.resourceNames: Invalid value: using resourceNames requires at least one resource"
            )
    found += _stage_problems(rule.get("omitStages") or [], f"{at}.omitStages")
    if rule.get("nonResourceURLs") and (rule.get("resources") or rule.get("namespaces")):
        why = "rules cannot apply to both regular resources and non-resource URLs"
        found.append(f"{at}.nonResourceURLs: Invalid value: {why}")
    return found


def _stage_problems(stages: Sequence[str], at: str) -> list[str]:
    return [
        f'{at}[{number}]: Invalid value: "{stage}": allowed stages are {",".join(STAGES)}'
        for number, stage in enumerate(stages)
        if stage not in STAGES
    ]
