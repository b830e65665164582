"""What is wrong with a policy's expressions when the types of the objects are known that they will be about. Pure.

    object.spec.replicas > 'x'     found no matching overload for '_>_' applied to '(int, string)'

A policy with such a mistake is in force all the same; its status tells of it. At most ten types are looked at, none
where a group or a version is `*`. Upstream: apiserver/pkg/admission/plugin/policy/validating/typechecking.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from workshop.api.cel import policies
from workshop.api.cel.environment import CompileError, Environment
from workshop.api.cel.syntax import Type
from workshop.api.cel.types import Declared, Messages
from workshop.api.meta import Obj

MOST_TYPES = 10
Schema = dict[str, Any]


class Kind(NamedTuple):
    group: str
    version: str
    kind: str

    def __str__(self) -> str:
        return f"{self.group}/{self.version}, Kind={self.kind}"


def asked_resources(policy: Obj) -> list[tuple[str, str, str]]:
    """Group, version and plural of what the policy's rules name in full, in upstream's order."""
    found = []
    for rule in (policy["spec"].get("matchConstraints") or {}).get("resourceRules") or ():
        groups, versions = rule.get("apiGroups") or (), rule.get("apiVersions") or ()
        if any("*" in name for name in (*groups, *versions)):
            continue
        plurals = sorted(name for name in rule.get("resources") or () if "*" not in name and "/" not in name)
        found += [
            (group, version, name) for group in sorted(groups) for version in sorted(versions) for name in plurals
        ]
    return found


def param_kind(policy: Obj) -> Kind | None:
    about = policy["spec"].get("paramKind")
    if not about:
        return None
    group, _, version = about.get("apiVersion", "").rpartition("/")
    return Kind(group, version, about.get("kind", ""))


def warnings(policy: Obj, kinds: Iterable[Kind], schema_of: Callable[[Kind], Schema | None]) -> list[dict[str, str]]:
    """`expressionWarnings` of the status. `kinds` are those of `asked_resources`; `schema_of` gives a schema without
    references, None for a kind that nobody knows."""
    seen = sorted(set(list(kinds)[:MOST_TYPES]))
    about = param_kind(policy)
    params = schema_of(about) if about is not None else None
    checks = [(kind, _Check(policy, schema, params)) for kind in seen if (schema := schema_of(kind)) is not None]
    told = []
    for index, validation in enumerate(policy["spec"].get("validations") or ()):
        for field in ("expression", "messageExpression"):
            if text := validation.get(field):
                found = [f"{kind}: {why}\n" for kind, check in checks if (why := check.wrong(text))]
                if found:
                    told.append({"fieldRef": f"spec.validations[{index}].{field}", "warning": "\n".join(found)})
    return told


class _Check:
    """The expressions of a policy over objects of one kind."""

    def __init__(self, policy: Obj, schema: Schema, params: Schema | None) -> None:
        spec, messages = policy["spec"], Messages()
        known: dict[str, str | Type | Declared] = dict(policies.variables(spec.get("paramKind") is not None))
        known.pop("variables")
        known |= {
            "object": Declared(schema, messages), "oldObject": Declared(schema, messages),
            "request": Declared(policies.REQUEST, messages),
            "namespaceObject": Declared(policies.NAMESPACE, messages),
        }  # fmt: skip
        if params is not None and "params" in known:
            known["params"] = Declared(params, messages)
        self._own: dict[str, Type] = {}
        for each in spec.get("variables") or ():
            environment = Environment(known | {f"variables.{name}": of for name, of in self._own.items()})
            try:
                self._own[each["name"]] = policies.judged(each["expression"], self._own, environment)
            except CompileError:
                self._own[each["name"]] = policies.ANYTHING
        self._environment = Environment(known | {f"variables.{name}": of for name, of in self._own.items()})

    def wrong(self, text: str) -> str:
        try:
            policies.judged(text, self._own, self._environment)
        except CompileError as error:
            return str(error)
        return ""


def resolved(name: str, components: Mapping[str, Schema], within: tuple[str, ...] = ()) -> Schema:
    """A component of an OpenAPI document with what it refers to in its place, as far as CEL can know it: a field that
    may be of several types, or that holds its own kind again, is left out."""
    return _resolved(components[name], components, (*within, name))


def _resolved(schema: Schema, components: Mapping[str, Schema], within: tuple[str, ...]) -> Schema:
    inner = (schema.get("allOf") or [schema])[0]
    if "$ref" in inner:
        name = inner["$ref"].rpartition("/")[2]
        return {} if name in within or name not in components else resolved(name, components, within)
    if schema.get("format") == "int-or-string":
        return {"x-kubernetes-int-or-string": True}
    made = {key: value for key, value in schema.items() if key in ("type", "format", "x-kubernetes-int-or-string")}
    if properties := schema.get("properties"):
        found = {key: _resolved(each, components, within) for key, each in properties.items()}
        made["properties"] = {key: each for key, each in found.items() if _known(each)}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            made[key] = _resolved(schema[key], components, within)
    return made


def _known(schema: Schema) -> bool:
    if schema.get("x-kubernetes-int-or-string"):
        return True
    inside = [schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)]
    return "type" in schema and all(map(_known, inside)) and (schema["type"] != "array" or bool(inside))
