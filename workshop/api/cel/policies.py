"""Which variables the expressions of policies and match conditions may name.

Upstream: apiserver/pkg/admission/plugin/cel/compile.go.
"""

from __future__ import annotations

from workshop.api.cel.environment import CompileError, Environment
from workshop.api.cel.literals import as_maps, told_of

ALWAYS = {
    "object": "dyn", "oldObject": "dyn", "request": "dyn", "authorizer": "authorizer",
    "authorizer.requestResource": "resource_check",
}  # fmt: skip
OF_POLICIES = {"namespaceObject": "dyn", "variables": "dyn"}


def variables(params: bool, conditions_only: bool = False) -> dict[str, str]:
    """`params` where the policy has a paramKind; webhooks' conditions know the request alone."""
    if conditions_only:
        return ALWAYS
    return {**ALWAYS, **OF_POLICIES, **({"params": "dyn"} if params else {})}


def wrong(text: str, want: str, params: bool, conditions_only: bool = False) -> str:
    """What is wrong with an expression; "" if nothing is."""
    try:
        Environment(variables(params, conditions_only)).compile(text, want)
    except CompileError as error:
        return str(error) if str(error).startswith("must evaluate") else f"compilation failed: {error}"
    return ""


def wrong_mutation(text: str, patch: bool, params: bool) -> str:
    """The same of a mutation: a list of JSONPatch, or an Object."""
    try:
        result = Environment(variables(params)).compile(as_maps(text)).result
    except CompileError as error:
        return f"compilation failed: {told_of(str(error), text)}"
    if patch and not (result.startswith("list(") and "JSONPatch" in text) and result != "dyn":
        return f"must evaluate to list(JSONPatch) but got {result}"
    if not patch and not (result.startswith("map(") and "Object" in text):
        return f"must evaluate to Object but got {result}"
    return ""
