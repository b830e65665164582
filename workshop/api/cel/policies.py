"""Which variables the expressions of policies and match conditions may name.

A policy's own variables have the types of their expressions: each is known to the checker as `variables.NAME`.
Upstream: apiserver/pkg/admission/plugin/cel/{compile,composition}.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from workshop.api.cel.environment import BASIC, CompileError, Environment
from workshop.api.cel.library import OPAQUE, SCALARS
from workshop.api.cel.literals import as_maps, told_of
from workshop.api.cel.types import Declared, Messages

ALWAYS = {
    "object": "dyn", "oldObject": "dyn", "request": "dyn", "authorizer": "authorizer",
    "authorizer.requestResource": "resource_check",
}  # fmt: skip
_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}


def _object(**fields: object) -> dict[str, object]:
    return {"type": "object", "properties": fields}


_KIND = _object(group=_TEXT, version=_TEXT, kind=_TEXT)
_RESOURCE = _object(group=_TEXT, version=_TEXT, resource=_TEXT)
USER = _object(username=_TEXT, uid=_TEXT, groups=_TEXTS, extra={"type": "object", "additionalProperties": _TEXTS})
REQUEST = _object(
    kind=_KIND, resource=_RESOURCE, subResource=_TEXT, requestKind=_KIND, requestResource=_RESOURCE,
    requestSubResource=_TEXT, name=_TEXT, namespace=_TEXT, operation=_TEXT, dryRun={"type": "boolean"}, options={},
    userInfo=USER,
)  # fmt: skip
_LABELS = {"type": "object", "additionalProperties": _TEXT}
_TIME = {"type": "string", "format": "date-time"}
NAMESPACE = _object(
    metadata=_object(
        name=_TEXT, generateName=_TEXT, namespace=_TEXT, labels=_LABELS, annotations=_LABELS, UID=_TEXT,
        creationTimestamp=_TIME, deletionGracePeriodSeconds={"type": "integer"}, deletionTimestamp=_TIME,
        generation={"type": "integer"}, resourceVersion=_TEXT, finalizers=_TEXTS,
    ),
    spec=_object(finalizers=_TEXTS), status=_object(phase=_TEXT),
)  # fmt: skip
"""As upstream writes them down by hand: apiserver/pkg/admission/plugin/cel/compile.go."""
OF_POLICIES = {"namespaceObject": "dyn"}
_NAMED = re.compile(r"(?<![\w.])variables\s*\.\s*(\w+)")
_HAS = re.compile(r"\bhas\(\s*variables\s*\.\s*\w+\s*\)")
_TYPES = {text.lower(): name for name, text in OPAQUE.items()}


def named(text: str) -> list[str]:
    """The policy's variables in an expression."""
    return _NAMED.findall(text)


def variables(params: bool, conditions_only: bool = False) -> dict[str, str]:
    """Those to run with. `params` where the policy has a paramKind; webhooks' conditions know the request alone."""
    if conditions_only:
        return ALWAYS
    return {**ALWAYS, **OF_POLICIES, "variables": "dyn", **({"params": "dyn"} if params else {})}


@lru_cache(maxsize=4)
def _checker(params: bool, conditions_only: bool, own: tuple[tuple[str, str], ...], mutating: bool) -> Environment:
    known: dict[str, str | Declared] = dict(variables(params, conditions_only))
    known.pop("variables", None)
    messages = Messages()
    known["request"] = Declared(REQUEST, messages)
    if "namespaceObject" in known:
        known["namespaceObject"] = Declared(NAMESPACE, messages)
    return Environment(known | {f"variables.{name}": kind for name, kind in own}, mutating)


def _checked(
    text: str,
    params: bool,
    conditions_only: bool,
    own: Mapping[str, str] | None,
    want: str = "",
    mutating: bool = False,
) -> str:
    """The type of the result. `own`: the variables and their types; None for a policy without any. Raises
    CompileError."""
    return judged(text, own, _checker(params, conditions_only, tuple((own or {}).items()), mutating), want)


def judged(text: str, own: Mapping[str, str] | None, environment: Environment, want: str = "") -> str:
    """The same in an environment where the policy's variables stand as `variables.NAME`."""
    for found in _NAMED.finditer(text):
        if own is None:
            raise CompileError(_told(text, found.start(), "undeclared reference to 'variables' (in container '')"))
        if found[1] not in own:
            raise CompileError(_told(text, text.index(".", found.start()), f"undefined field '{found[1]}'"))
    text = _HAS.sub(lambda found: "true".ljust(len(found[0])), text)  # each of them is there
    return environment.compile(text, want).result


def _told(text: str, position: int, why: str) -> str:
    before = text[:position].split("\n")
    row, column = len(before), len(before[-1])
    return f"ERROR: <input>:{row}:{column + 1}: {why}\n | {text.split(chr(10))[row - 1]}\n | {'.' * column}^"


def wrong(
    text: str, want: str, params: bool, conditions_only: bool = False, own: Mapping[str, str] | None = None
) -> str:
    """What is wrong with an expression; "" if nothing is."""
    try:
        _checked(text, params, conditions_only, own, want)
    except CompileError as error:
        return str(error) if str(error).startswith("must evaluate") else f"compilation failed: {error}"
    return ""


def type_of(text: str, params: bool, own: Mapping[str, str] | None) -> str:
    """The type of a variable's expression, as a later expression knows it."""
    try:
        found = _checked(text, params, False, own)
    except CompileError:
        return "dyn"
    return plain(found)


def plain(type: str) -> str:
    """The type of a variable, as far as it has a name: `map(string, int)` is a map."""
    found = _TYPES.get(type, type.partition("(")[0])
    return found if found in (*BASIC, *SCALARS) or found in OPAQUE else "dyn"


def wrong_mutation(text: str, patch: bool, params: bool, own: Mapping[str, str] | None = None) -> str:
    """The same of a mutation: a list of JSONPatch, or an Object."""
    try:
        result = _checked(as_maps(text), params, False, own, mutating=True)
    except CompileError as error:
        return f"compilation failed: {told_of(str(error), text)}"
    if patch and not (result.startswith("list(") and "JSONPatch" in text) and result != "dyn":
        return f"must evaluate to list(JSONPatch) but got {result}"
    if not patch and not (result.startswith("map(") and "Object" in text):
        return f"must evaluate to Object but got {result}"
    return ""
