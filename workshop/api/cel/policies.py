"""Which variables the expressions of policies and match conditions may name.

A policy's own variables have the types of their expressions: each is known to the checker as `variables.NAME`.
Upstream: apiserver/pkg/admission/plugin/cel/{compile,composition}.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from workshop.api.cel import mutations
from workshop.api.cel.complaints import place
from workshop.api.cel.environment import CompileError, Environment, NoProgram, written
from workshop.api.cel.literals import AT_RUN_TIME, said
from workshop.api.cel.syntax import Type
from workshop.api.cel.types import OWN_NAME, Declared, Messages

ALWAYS = {
    "object": "dyn", "oldObject": "dyn", "request": "dyn", "authorizer": "authorizer",
    "authorizer.requestResource": "resource_check",
}  # fmt: skip
_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}


def message(own_name: str, /, **fields: object) -> dict[str, object]:
    return {OWN_NAME: own_name, "type": "object", "properties": fields}


_KIND = message("GroupVersionKind", group=_TEXT, version=_TEXT, kind=_TEXT)
_RESOURCE = message("GroupVersionResource", group=_TEXT, version=_TEXT, resource=_TEXT)
USER = message(
    "UserInfo", username=_TEXT, uid=_TEXT, groups=_TEXTS, extra={"type": "object", "additionalProperties": _TEXTS}
)
REQUEST = message(
    "AdmissionRequest", kind=_KIND, resource=_RESOURCE, subResource=_TEXT, requestKind=_KIND, requestResource=_RESOURCE,
    requestSubResource=_TEXT, name=_TEXT, namespace=_TEXT, operation=_TEXT, dryRun={"type": "boolean"}, options={},
    userInfo=USER,
)  # fmt: skip
_LABELS = {"type": "object", "additionalProperties": _TEXT}
_TIME = {"type": "string", "format": "date-time"}
_CONDITION = message(
    "NamespaceCondition", status=_TEXT, type=_TEXT, lastTransitionTime=_TIME, message=_TEXT, reason=_TEXT
)
NAMESPACE = message(
    "Namespace",
    metadata=message(
        "NamespaceMetadata", name=_TEXT, generateName=_TEXT, namespace=_TEXT, labels=_LABELS, annotations=_LABELS,
        UID=_TEXT, creationTimestamp=_TIME, deletionGracePeriodSeconds={"type": "integer"}, deletionTimestamp=_TIME,
        generation={"type": "integer"}, resourceVersion=_TEXT, finalizers=_TEXTS,
    ),
    spec=message("NamespaceSpec", finalizers=_TEXTS),
    status=message("NamespaceStatus", phase=_TEXT, conditions={"type": "array", "items": _CONDITION}),
)  # fmt: skip
"""As upstream writes them down by hand: apiserver/pkg/admission/plugin/cel/compile.go."""
OF_POLICIES = {"namespaceObject": "dyn"}
_NAMED = re.compile(r"(?<![\w.])variables\s*\.\s*(\w+)")
_HAS = re.compile(r"\bhas\(\s*variables\s*\.\s*\w+\s*\)")
Types = Mapping[str, Type]
"""The policy's own variables, and the types of their expressions."""
ANYTHING: Type = ("dyn",)


def named(text: str) -> list[str]:
    """The policy's variables in an expression."""
    return _NAMED.findall(text)


def variables(params: bool, conditions_only: bool = False) -> dict[str, str]:
    """Those to run with. `params` where the policy has a paramKind; webhooks' conditions know the request alone."""
    if conditions_only:
        return ALWAYS
    return {**ALWAYS, **OF_POLICIES, "variables": "dyn", **({"params": "dyn"} if params else {})}


@lru_cache(maxsize=4)
def _checker(params: bool, conditions_only: bool, own: tuple[tuple[str, Type], ...], mutating: bool) -> Environment:
    known: dict[str, str | Type | Declared] = dict(variables(params, conditions_only))
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
    own: Types | None,
    want: str = "",
    mutating: bool = False,
) -> Type:
    """The type of the result. `own`: the variables and their types; None for a policy without any. Raises
    CompileError."""
    return judged(text, own, _checker(params, conditions_only, tuple((own or {}).items()), mutating), want)


def judged(text: str, own: Types | None, environment: Environment, want: str = "") -> Type:
    """The same in an environment where the policy's variables stand as `variables.NAME`."""
    for found in _NAMED.finditer(text):
        if own is None:
            raise CompileError(place(text, found.start(), "undeclared reference to 'variables' (in container '')"))
        if found[1] not in own:
            asked = re.search(r"\bhas(\()\s*$", text[: found.start()])
            at = text.index(".", found.start()) if asked is None else asked.start(1)
            raise CompileError(place(text, at, f"undefined field '{found[1]}'"))
    text = _HAS.sub(lambda found: "true".ljust(len(found[0])), text)  # each of them is there
    return environment.compile(text, want).type


@lru_cache(maxsize=2)
def of_tokens(about: str) -> Environment:
    """For an issuer's rules: about the `claims` of a token, or about the `user` that was made of them."""
    user = Declared(USER)
    return Environment({about: user if about == "user" else ("map", ("string",), ("any",))})


def wrong(text: str, want: str, params: bool, conditions_only: bool = False, own: Types | None = None) -> str:
    """What is wrong with an expression; "" if nothing is."""
    try:
        _checked(text, params, conditions_only, own, want)
    except CompileError as error:
        whole = isinstance(error, NoProgram) or str(error).startswith("must evaluate")
        return str(error) if whole else f"compilation failed: {error}"
    return ""


def type_of(text: str, params: bool, own: Types | None) -> Type:
    """The type of a variable's expression, as a later expression knows it."""
    try:
        return _checked(text, params, False, own)
    except CompileError:
        return ANYTHING


def wrong_mutation(text: str, patch: bool, params: bool, own: Types | None = None) -> str:
    """The same of a mutation: a list of JSONPatch, or an Object."""
    wanted = "list(JSONPatch)" if patch else "Object"
    late = ""
    try:
        tree = written(text)
    except CompileError as error:
        return f"compilation failed: {error}"
    try:
        type = _checked(mutations.as_maps(text), params, False, own, mutating=True)
    except NoProgram as error:
        type, late = error.type, str(error)
    except CompileError as error:
        return f"compilation failed: {mutations.told_of(str(error), text)}"
    if why := mutations.wrong(tree, text):
        return f"compilation failed: {why}"
    made = mutations.made(tree.root)
    unknown = not made and type[0] == ("list" if patch else "map") and ("JSONPatch" if patch else "Object") in text
    if made != wanted and not unknown:
        return f"must evaluate to {wanted} but got {made or said(type, AT_RUN_TIME)}"
    return late
