"""The CEL of policies and match conditions: which variables there are, and what a request puts into them.

    object, oldObject    the object as it will be and as it was; null where there is none
    request              the AdmissionRequest that a webhook would get, without the objects
    params               the object that a binding names, for policies with a paramKind
    namespaceObject      the Namespace of the request
    variables.NAME       the policy's own, each judged when it is first asked for
    authorizer           may the user do this or that?

Upstream: apiserver/pkg/admission/plugin/cel.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from workshop.api.cel import authorizer as cel_authorizer
from workshop.api.cel import policies
from workshop.api.cel.costs import PER_CONDITIONS, PER_OBJECT
from workshop.api.cel.environment import Budget, CompileError, Environment, Program
from workshop.api.cel.values import EvaluationError
from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.apiserver.interfaces import AdmissionRequest, Attributes, Authorizer, Decision, UserInfo, user_info

_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}


class Unjudged(Exception):
    """An expression has no result; the text is upstream's."""


class Exhausted(Unjudged):
    """The expressions together cost more than they may."""


OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"


@lru_cache(maxsize=2)
def environment(params: bool, conditions_only: bool = False) -> Environment:
    return Environment(policies.variables(params, conditions_only), mutating=True)  # who may not was told before


@lru_cache(maxsize=1024)
def compiled(text: str, want: str, params: bool = False, conditions_only: bool = False) -> Program | str:
    """A program, or why there is none."""
    try:
        known = want if "variables" not in text else ""  # their types were known where the policy was checked
        return environment(params, conditions_only).compile(text, known)
    except CompileError as error:
        return str(error)


class Evaluation:
    """The expressions of one policy (or webhook) over one request."""

    def __init__(
        self, values: Obj, authorizer: Authorizer, user: UserInfo, variables: Iterable[Obj] = (), params: bool = False,
        conditions_only: bool = False,
    ) -> None:  # fmt: skip
        self._values, self._authorizer, self._user = values, authorizer, user
        self._variables = {each["name"]: each["expression"] for each in variables}
        self._known: Obj = {}
        self._params, self._conditions_only = params, conditions_only
        self._budget = Budget(PER_OBJECT)

    def refill(self) -> None:
        """A new budget: for the validations and their messages, for the annotations, for a mutation."""
        self._budget = Budget(PER_OBJECT)

    def run(self, text: str, want: str = "", told: str = "") -> Any:
        """Raises Unjudged, which names the expression as `told` where it was rewritten."""
        program = compiled(text, want, self._params, self._conditions_only)
        if isinstance(program, str):
            raise Unjudged(f"compilation error: compilation failed: {program}")
        values = {name: self._values[name] for name in program.uses if name in self._values}
        lead = f"expression '{told or text}' resulted in error"
        if "variables" in program.uses:
            try:
                values["variables"] = {name: self._variable(name) for name in policies.named(text)}
            except Exhausted:
                raise
            except Unjudged as error:
                raise Unjudged(f"{lead}: {error}") from None
        try:
            with cel_authorizer.asking(self._ask):
                return program.spend(values, self._budget)
        except EvaluationError as error:
            raise Unjudged(f"{lead}: {error}") from None
        finally:
            if self._budget.gone:
                raise Exhausted(OUT_OF_BUDGET)

    def _variable(self, name: str) -> Any:
        if name not in self._known:
            if name not in self._variables:
                raise Unjudged(f"undefined field '{name}'")
            try:
                self._known[name] = self.run(self._variables[name])
            except Exhausted:
                raise
            except Unjudged as error:
                why = str(error).partition("resulted in error: ")[2] or str(error)
                raise Unjudged(f'composited variable "{name}" fails to evaluate: {why}') from None
        return self._known[name]

    def conditions_hold(self, conditions: Iterable[Obj]) -> bool:
        """All matchConditions, in order. Raises Unjudged when one has no result and none is false."""
        self._budget = Budget(PER_CONDITIONS)
        wrong: list[str] = []
        for each in conditions:
            try:
                if self.run(each["expression"], "bool") is not True:
                    return False
            except Exhausted:
                raise
            except Unjudged as error:
                wrong.append(str(error))
        if wrong:
            raise Unjudged(wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]")
        return True

    def _ask(self, asked: dict[str, Any]) -> cel_authorizer.Answer:
        user = self._user
        if asked.get("authorizer", "user") != "user":
            name = asked["authorizer"]
            groups = ("system:serviceaccounts", f"system:serviceaccounts:{name.split(':')[2]}", "system:authenticated")
            user = UserInfo(name, groups=groups)
        attributes = Attributes(
            user=user, verb=asked["verb"], api_group=asked.get("group", ""), api_version="*",
            resource=asked.get("resource", ""), subresource=asked.get("subresource", ""),
            namespace=asked.get("namespace", ""), name=asked.get("name", ""), resource_request="path" not in asked,
            path=asked.get("path", ""), field_selector=asked.get("field_selector", ""),
            label_selector=asked.get("label_selector", ""),
        )  # fmt: skip
        decision, reason = at_once(self._authorizer, attributes)
        return decision is Decision.ALLOW, reason, ""


def at_once(authorizer: Authorizer, attributes: Attributes) -> tuple[Decision, str]:
    """An authorizer's answer without waiting: ours decide from memory."""
    asking = authorizer.authorize(attributes)
    try:
        asking.send(None)
    except StopIteration as done:
        found: tuple[Decision, str] = done.value
        return found
    asking.close()
    return Decision.NO_OPINION, "the authorizer could not answer at once"


def values_of(request: AdmissionRequest, resource: Resource, new: Obj | None, old: Obj | None, uid: str = "") -> Obj:
    """The variables of a request, its object in the version of `resource`."""
    return {
        "object": new,
        "oldObject": old,
        "request": review_request(request, resource, uid),
        "authorizer": cel_authorizer.AUTHORIZER,
        "authorizer.requestResource": cel_authorizer.request_resource(
            request.resource.group, request.resource.plural, request.subresource, request.namespace, request.name
        ),
    }


def review_request(request: AdmissionRequest, resource: Resource, uid: str) -> Obj:
    """An AdmissionRequest (admission.k8s.io/v1) without its objects."""
    kind, plural = _kind(request, resource), _plural(resource)
    options = (
        {"kind": _OPTIONS[request.operation], "apiVersion": "meta.k8s.io/v1"} if request.operation in _OPTIONS else None
    )
    if options is not None:
        options |= request.options
    told: Obj = {
        "uid": uid, "kind": kind, "resource": plural, "requestKind": _kind(request, request.resource),
        "requestResource": _plural(request.resource), "name": name_of(request), "operation": request.operation,
        "userInfo": user_info(request.user),
        "dryRun": request.dry_run, "options": options,
    }  # fmt: skip
    if request.namespace:
        told["namespace"] = request.namespace
    elif request.resource.group_resource == "namespaces":
        told["namespace"] = name_of(request)
    if request.subresource:
        told |= {"subResource": request.subresource, "requestSubResource": request.subresource}
    return told


def name_of(request: AdmissionRequest) -> str:
    return request.name or str((request.object.get("metadata") or {}).get("name") or "")


def _kind(request: AdmissionRequest, resource: Resource) -> Obj:
    sub = resource.subresource(request.subresource) if request.subresource else None
    if sub is not None and sub.kind:
        return {"group": sub.group, "version": sub.version, "kind": sub.kind}
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _plural(resource: Resource) -> Obj:
    return {"group": resource.group, "version": resource.version, "resource": resource.plural}
