"""The walk that finds where defaults apply, planned once a type: subtrees without any default are not entered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from workshop.api import quantity, schema
from workshop.api.meta import Obj, copy
from workshop.api.resources import Resource
from workshop.api.schema import Schema

Default = Callable[[dict[str, Any]], None]
REGISTERED: dict[tuple[str, str], list[Default]] = {}


def defaults_of(*types: str) -> Callable[[Default], Default]:
    """Registers a function that fills in one Go type, in place: `@defaults_of("core.v1.Container")`."""

    def register(function: Default) -> Default:
        for name in types:
            package, _, struct = name.rpartition(".")
            REGISTERED.setdefault((package, struct), []).append(function)
        return function

    return register


def fill(obj: dict[str, Any], **values: Any) -> None:
    """Sets fields that are unset or have Go's zero value: for fields that are no pointers."""
    for name, value in values.items():
        if not obj.get(name):
            obj[name] = value


def fill_unset(obj: dict[str, Any], **values: Any) -> None:
    """Sets fields that are unset, leaving zeros alone: for pointers."""
    for name, value in values.items():
        if obj.get(name) is None:
            obj[name] = value


def apply(resource: Resource, obj: Obj) -> Obj:
    """A copy of the object with its defaults filled in, a custom resource's by its definition."""
    if resource.definition is not None:
        return resource.definition.filled(obj)
    return apply_kind(resource.api_version, resource.kind, obj)


def apply_kind(api_version: str, kind: str, obj: Obj) -> Obj:
    root = schema.for_kind(api_version, kind)
    if root is None or (plan := plan_of(root)).empty:
        return obj
    made = copy(obj)
    plan.run(made)
    return made


def fresh_status(resource: Resource, obj: Obj) -> Obj | None:
    """The status of an object that was just made: what defaults say (a volume is `Pending`), whatever the client sent.

    None for kinds without one, and for custom resources.
    """
    root = schema.for_kind(resource.api_version, resource.kind)
    about = root.fields.get("status") if root is not None else None
    if about is None or about.type.kind != "struct" or about.type.pointer:
        return None
    status: Obj = apply(resource, {**obj, "status": {}})["status"]
    return status


@dataclass(slots=True)
class Plan:
    """What to do at one type, and the fields below which there is something to do."""

    functions: list[Default] = field(default_factory=list)
    constants: list[tuple[str, Any, bool]] = field(default_factory=list)
    """Name, value, and whether the field is a pointer."""
    amounts: list[str] = field(default_factory=list)
    """Lists of resources: amounts finer than a thousandth are rounded up (SetDefaults_ResourceList)."""
    children: list[tuple[str, str, Plan]] = field(default_factory=list)
    """Name, `struct`, `list` or `map`, and the plan of what is there."""

    @property
    def empty(self) -> bool:
        return not (self.functions or self.constants or self.amounts or self.children)

    def run(self, obj: dict[str, Any]) -> None:
        for function in self.functions:
            function(obj)
        for name in self.amounts:
            for key, amount in (obj.get(name) or {}).items():
                if amount[-1:] in ("n", "u"):
                    obj[name][key] = str(quantity.parse(amount).round_up_milli())
        for name, value, pointer in self.constants:
            if obj.get(name) is None or (not pointer and not obj[name]):
                obj[name] = value
        for name, kind, plan in self.children:
            value = obj.get(name)
            if value is None:
                continue
            if kind == "struct":
                plan.run(value)
            else:
                for item in value.values() if kind == "map" else value:
                    if isinstance(item, dict):
                        plan.run(item)


PLANS: dict[tuple[str, str], Plan] = {}


def plan_of(of: Schema) -> Plan:
    """The plan of a type, made on first use. A type inside itself (JSON schemas) is not entered again."""
    key = (of.package, of.name)
    if key in PLANS:
        return PLANS[key]
    PLANS[key] = plan = Plan()
    for struct in _with_embedded(of):
        plan.functions += REGISTERED.get((struct.package, struct.name), [])
    for name, about in of.fields.items():
        if about.default is not None:
            plan.constants.append((name, about.default, about.type.pointer))
        kind = about.type.kind
        if about.type.go == "v1.ResourceList":
            plan.amounts.append(name)
        if kind in ("struct", "list", "map") and (below := about.schema) is not None:
            child = plan_of(below)
            if not child.empty and child is not plan:
                plan.children.append((name, kind, child))
    return plan


def _with_embedded(of: Schema) -> list[Schema]:
    found = [of]
    for row in of.rows:
        if row.name.startswith("+") and (embedded := row.type.schema) is not None:
            found += _with_embedded(embedded)
    return found
