"""`x-kubernetes-validations`: rules in CEL, at any level of a schema, over the value there (`self`) and, in an update,
over what it was (`oldSelf`).

    self.minReplicas <= self.replicas        judged at each write, but not where an update changed nothing (ratcheting)
    self.size >= oldSelf.size                judged only where there was something before (a transition rule)

A rule below a list is judged for each element; `oldSelf` is there only for elements that have keys to find them by.

Upstream: apiextensions-apiserver/pkg/apiserver/schema/cel/{compilation,validation}.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from workshop.api.cel import types
from workshop.api.cel.costs import PER_OBJECT
from workshop.api.cel.environment import Budget, CompileError, Environment, NoProgram, Program
from workshop.api.cel.values import EvaluationError, Optional
from workshop.api.custom import rule_costs, structural, values
from workshop.api.custom.kind import CustomKind
from workshop.api.custom.rule_costs import Costs
from workshop.api.custom.structural import LIST_TYPE, MAP_TYPE, NOTHING, RULES, Schema
from workshop.api.meta import Obj
from workshop.api.validation.field import ErrorList, shown

MISSING = values.MISSING
OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"
MOST_MESSAGE = 5000
_OPTIONAL = "cel.bind(oldSelf, before.size() == 0 ? optional.none() : optional.of(before[0]), "
"""`oldSelf` as an optional, for the checker; what runs has it as one."""


@dataclass(frozen=True)
class Rule:
    """One rule, compiled. `error` is why it could not be."""

    about: Obj
    program: Program | None
    message: Program | None = None
    error: str = ""

    @property
    def transition(self) -> bool:
        return self.program is not None and "oldSelf" in self.program.uses

    @property
    def optional(self) -> bool:
        return bool(self.about.get("optionalOldSelf"))

    @property
    def told(self) -> str:
        return str(self.about.get("message") or self.about["rule"]).strip()


@dataclass
class Place:
    """A level of a schema that has rules, or something below that has."""

    schema: Schema
    rules: list[Rule]
    fields: dict[str, Place] = field(default_factory=dict)
    more: Place | None = None
    items: Place | None = None

    @property
    def empty(self) -> bool:
        return not (self.rules or self.fields or self.more or self.items)


def place(schema: Schema, root: bool = False) -> Place:
    """The rules of a schema and of all below it, compiled."""
    made = Place(schema, compiled(schema, root))
    for name, each in (schema.get("properties") or NOTHING).items():
        if not (below := place(each)).empty:
            made.fields[name] = below
    more = schema.get("additionalProperties")
    if isinstance(more, dict) and not (below := place(more)).empty:
        made.more = below
    items = schema.get("items")
    if isinstance(items, dict) and not (below := place(items)).empty:
        made.items = below
    return made


def compiled(schema: Schema, root: bool = False) -> list[Rule]:
    given = [rule for rule in schema.get(RULES) or () if (rule.get("rule") or "").strip()]
    if not given:
        return []
    embedded = root or bool(schema.get(structural.EMBEDDED))
    known = types.Declared(types.with_meta(schema) if embedded else schema)
    plain = Environment({"self": known, "oldSelf": known})
    optional = Environment({"self": known, "oldSelf": known, "before": types.listed(known)}, bind=True)
    return [_rule(each, optional if each.get("optionalOldSelf") else plain) for each in given]


def _rule(about: Obj, environment: Environment) -> Rule:
    try:
        program = _compile(environment, about["rule"], bool(about.get("optionalOldSelf")), "bool")
    except CompileError as error:
        text = str(error)
        wrong = "cel expression must evaluate to a bool" if text.startswith("must evaluate") else text
        whole = wrong != text or isinstance(error, NoProgram)
        return Rule(about, None, error=wrong if whole else f"compilation failed: {text}")
    message = None
    if dynamic := about.get("messageExpression"):
        try:
            message = _compile(environment, dynamic, bool(about.get("optionalOldSelf")), "string")
        except CompileError as error:
            return Rule(about, program, error=_message_error(error))
    return Rule(about, program, message)


def _message_error(error: CompileError) -> str:
    text = str(error)
    if isinstance(error, NoProgram):
        return f"messageExpression {text}"
    if text.startswith("must evaluate"):
        return "messageExpression must evaluate to a string"
    return f"messageExpression compilation failed: {text}"


def _compile(environment: Environment, text: str, optional: bool, want: str) -> Program:
    if not optional or "oldSelf" not in text:
        return environment.compile(text, want)
    try:
        return environment.compile(text, want, told=f"{_OPTIONAL}{text})")
    except CompileError as error:
        raise CompileError(_moved(str(error))) from None


def _moved(text: str) -> str:
    """The checker's complaint about a rule that we have put something around."""
    width = len(_OPTIONAL)
    text = re.sub(r"<input>:1:(\d+)", lambda found: f"<input>:1:{int(found[1]) - width}", text)
    text = re.sub(rf"^ \| {re.escape(_OPTIONAL)}(.*)\)$", r" | \1", text, flags=re.MULTILINE)
    return re.sub(rf"^ \| \.{{{width}}}", " | ", text, flags=re.MULTILINE)


# --- judging an object -----------------------------------------------------------------------------------------------


def check(errors: ErrorList, kind: CustomKind, obj: Obj, old: Obj | None) -> None:
    """Adds what the rules of `kind` say of an object. `old` is what an update replaces."""
    before = MISSING if old is None else old
    for _ in _judge(errors, kind.rules, "", obj, before, Budget(PER_OBJECT), root=True):
        break  # out of budget: no further rule is run


def _judge(
    errors: ErrorList, at: Place, path: str, value: Any, old: Any, budget: Budget, root: bool = False
) -> Iterator[None]:
    """Yields where no further rule shall be run."""
    if value is None:
        return
    if at.rules:
        yield from _rules(errors, at, path, value, old, budget, root)
    if isinstance(value, dict):
        before = old if isinstance(old, dict) else NOTHING
        for name, each in value.items():
            if below := at.fields.get(name):
                yield from _judge(errors, below, structural.join(path, name), each, before.get(name, MISSING), budget)
            elif at.more is not None and name not in (at.schema.get("properties") or NOTHING):
                yield from _judge(errors, at.more, f"{path}[{name}]", each, before.get(name, MISSING), budget)
    elif isinstance(value, list) and at.items is not None:
        counterpart = values.correlated(at.schema, old)
        for index, each in enumerate(value):
            yield from _judge(errors, at.items, f"{path}[{index}]", each, counterpart(each), budget)


def _rules(errors: ErrorList, at: Place, path: str, value: Any, old: Any, budget: Budget, root: bool) -> Iterator[None]:
    schema = types.with_meta(at.schema) if root or at.schema.get(structural.EMBEDDED) else at.schema
    seen = types.value(value, schema)
    has_old = old is not MISSING and old is not None
    was = types.value(old, schema) if has_old else None
    unchanged = has_old and values.same(value, old)
    kind = at.schema.get("type") or ""
    for rule in at.rules:
        if rule.error or rule.program is None:
            errors.invalid(path or values.NOWHERE, kind, f"rule compile error: {rule.error}")
            continue
        if (rule.transition and not has_old and not rule.optional) or (unchanged and not rule.transition):
            continue
        used = {"self": seen, "oldSelf": Optional(was, has_old) if rule.optional else was}
        failed: EvaluationError | None = None
        held = False
        try:
            held = rule.program.spend(used, budget) is True
        except EvaluationError as error:
            failed = error
        message = _message(rule, used, budget) if failed is None and not held and not budget.gone else ""
        if budget.gone:
            errors.invalid(path or values.NOWHERE, kind, OUT_OF_BUDGET)
            yield
        elif failed is not None:
            errors.invalid(path or values.NOWHERE, kind, _failed(failed, rule))
            if failed.over_budget:
                yield
        elif not held:
            _tell(errors, rule, path, value, kind, message)


def _failed(error: EvaluationError, rule: Rule) -> str:
    if str(error).startswith("no such overload"):
        why = "call arguments did not match a supported operator, function or macro signature for rule"
        return f"'{error}': {why}: {rule.told}"
    if error.over_budget:
        return (
            f"'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {rule.told}"
        )
    return f"{error} evaluating rule: {rule.told}"


def _message(rule: Rule, variables: Obj, budget: Budget) -> str:
    """What the rule's own expression says, if it has one that says something fit to be said."""
    if rule.message is not None:
        try:
            text = str(rule.message.spend(variables, budget)).strip()
        except EvaluationError:
            text = ""
        if text and "\n" not in text and len(text) <= MOST_MESSAGE:
            return text
    given = (rule.about.get("message") or "").strip()
    return given or f"failed rule: {rule.told}"


def _tell(errors: ErrorList, rule: Rule, path: str, value: Any, kind: str, text: str) -> None:
    place = (path + (rule.about.get("fieldPath") or "")) if path else (rule.about.get("fieldPath") or "")[1:]
    place = place or values.NOWHERE
    match rule.about.get("reason"):
        case "FieldValueRequired":
            errors.required(place, text)
        case "FieldValueForbidden":
            errors.forbidden(place, text)
        case "FieldValueDuplicate":
            if kind in ("object", "array"):
                errors.add(place, "Duplicate", "Duplicate value")
            else:
                errors.duplicate(place, value)
        case _:
            lead = "" if kind in ("object", "array") else f"{shown(value)}: "
            errors.add(place, "Invalid", f"Invalid value: {lead}{text}")


# --- judging a definition --------------------------------------------------------------------------------------------


def check_schema(errors: ErrorList, at: str, schema: Schema, unchanged: bool = False) -> None:
    """Adds what is wrong with the rules of a schema that is right otherwise. `unchanged`: an update left it alone."""
    costs = Costs(unchanged)
    _check_level(errors, at, schema, None, costs, 1, root=True)
    costs.close(errors, at)


def _check_level(
    errors: ErrorList, at: str, schema: Schema, apart: str | None, costs: Costs, times: int | None, root: bool = False
) -> None:
    """`apart` is the path of the nearest level whose elements have no counterpart in an older object, `times` how many
    values there may be here."""
    more, often = schema.get("additionalProperties"), rule_costs.often(schema, times)
    if isinstance(more, dict):
        _check_level(errors, f"{at}.additionalProperties", more, apart, costs, often)
    below = apart if schema.get(MAP_TYPE) != "atomic" else apart or at
    for name, each in (schema.get("properties") or NOTHING).items():
        _check_level(errors, f"{at}.properties[{name}]", each, below, costs, often)
    items = schema.get("items")
    if isinstance(items, dict):
        keyed = schema.get(LIST_TYPE) == "map"
        _check_level(errors, f"{at}.items", items, apart if keyed else apart or at, costs, often)
    seen = types.with_meta(schema) if root or schema.get(structural.EMBEDDED) else schema
    for index, rule in enumerate(compiled(schema, root)):
        place = f"{at}.{RULES}[{index}]"
        if rule.program is not None:
            costs.rule(errors, place, rule.program, seen, times)
        if rule.message is not None:
            costs.message(errors, place, rule.message, seen)
        _check_rule(errors, place, rule, apart)


def _check_rule(errors: ErrorList, at: str, rule: Rule, apart: str | None) -> None:
    if rule.error:
        part = "messageExpression" if rule.error.startswith("messageExpression") else "rule"
        errors.add(f"{at}.{part}", "Invalid", f"Invalid value: {_internal(rule.about)}: {rule.error}")
    if rule.transition and apart is not None:
        text = "oldSelf cannot be used on the uncorrelatable portion of the schema within"
        errors.invalid(f"{at}.rule", rule.about["rule"], f"{text} {apart}")
    elif rule.program is not None and not rule.transition and rule.about.get("optionalOldSelf") is not None:
        optional = rule.about["optionalOldSelf"]
        errors.invalid(f"{at}.optionalOldSelf", optional, "may not be set if oldSelf is not used in rule")


def _internal(about: Obj) -> str:
    """The rule as upstream's errors print it."""
    told = {
        "Rule": about["rule"], "Message": about.get("message") or "",
        "MessageExpression": about.get("messageExpression") or "", "Reason": about.get("reason"),
        "FieldPath": about.get("fieldPath") or "", "OptionalOldSelf": about.get("optionalOldSelf"),
    }  # fmt: skip
    return shown(told)
