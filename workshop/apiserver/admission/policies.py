"""ValidatingAdmissionPolicy and MutatingAdmissionPolicy: the cluster's own rules in CEL, judged in this process.

A policy says which requests it is about and what must hold (or what is changed); a binding puts it into force, for some
of them, with an object of parameters. Nothing of CEL is loaded before the first policy is met.

Upstream: apiserver/pkg/admission/plugin/policy/{validating,mutating,generic}.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from workshop.api import errors, labels
from workshop.api.meta import Obj, copy
from workshop.api.patch import json_patch, managed_fields, typed, walk
from workshop.api.resources import Resource
from workshop.apiserver.admission import selecting
from workshop.apiserver.admission.asked import Asked, Configured
from workshop.apiserver.admission.plugin import forbidden
from workshop.apiserver.interfaces import AdmissionRequest, Context
from workshop.apiserver.patience import unhurried

if TYPE_CHECKING:
    from workshop.apiserver.admission.expressions import Evaluation

GROUP = "admissionregistration.k8s.io"
MOST_MESSAGE, MOST_ANNOTATION = 5_000, 10_240
FAILURE_KEY = "validation.policy.admission.k8s.io/validation_failure"
CODES = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413, "Invalid": 422}


class Misconfigured(Exception):
    """A policy or a binding cannot be used as it stands."""


@dataclass(frozen=True)
class Verdict:
    """A policy that was not kept (or could not be judged)."""

    policy: str
    binding: str
    message: str
    reason: str = ""
    index: int = 0


class Policies(Asked):
    plural: str
    kind: str

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.configured: Configured[Obj] = Configured(context, f"{self.plural}.{GROUP}", lambda obj: obj)
        bindings = self.plural.removesuffix("ies") + "ybindings"
        self._bindings: Configured[Obj] = Configured(context, f"{bindings}.{GROUP}", lambda obj: obj)

    async def _due(self, request: AdmissionRequest) -> list[tuple[Obj, Resource, list[Obj]]]:
        """(policy, as which resource it sees the request, its bindings that match)."""
        namespace, found = await self.namespace_of(request), []
        by_policy: dict[str, list[Obj]] = {}
        for binding in self._bindings.all():
            by_policy.setdefault(binding["spec"].get("policyName", ""), []).append(binding)
        for policy in self.configured.all():
            bindings = by_policy.get(policy["metadata"]["name"])
            if not bindings:
                continue
            as_ = self._match(policy["spec"].get("matchConstraints") or {}, request, namespace)
            if as_ is None:
                continue
            matching = [b for b in bindings if self._binding_matches(b, request, namespace)]
            found.append((policy, as_, matching))
        return found

    def _match(self, about: Obj, request: AdmissionRequest, namespace: Obj | None) -> Resource | None:
        if not self.selected(about, request, namespace):
            return None
        served, policy = self.context.served, about.get("matchPolicy") or "Equivalent"
        if selecting.match(about.get("excludeResourceRules") or (), policy, request, served) is not None:
            return None
        return selecting.match(about.get("resourceRules") or (), policy, request, served)

    def _binding_matches(self, binding: Obj, request: AdmissionRequest, namespace: Obj | None) -> bool:
        about = binding["spec"].get("matchResources")
        if not about:
            return True
        if not about.get("resourceRules"):
            rules = [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*", "*/*"]}]
            about = {**about, "resourceRules": rules}
        return self._match(about, request, namespace) is not None

    async def _params(self, policy: Obj, binding: Obj, namespace: str) -> list[Obj | None]:
        """The objects that the binding names; [None] without parameters. Raises Misconfigured."""
        kind, ref = policy["spec"].get("paramKind"), binding["spec"].get("paramRef")
        if kind is None or ref is None:
            return [None]
        resource = self.context.served.for_kind(kind.get("apiVersion", ""), kind.get("kind", ""))
        if resource is None:
            raise Misconfigured(f"paramKind kind `{kind.get('apiVersion')}, Kind={kind.get('kind')}` not known")
        where = ref.get("namespace") or ""
        if not resource.namespaced and where:
            raise Misconfigured("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
        if resource.namespaced and not (where or namespace):
            text = "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
            raise Misconfigured(text)
        where = (where or namespace) if resource.namespaced else ""
        found: list[Obj | None]
        if ref.get("name"):
            one = await self.context.get(resource, ref["name"], where)
            found = [await self.context.in_version(one, resource)] if one is not None else []
        else:
            selector = labels.from_selector(ref.get("selector") or {})
            listed = await self.context.list(resource, where)
            found = [
                await self.context.in_version(each, resource)
                for each in listed if selector.matches(each["metadata"].get("labels") or {})
            ]  # fmt: skip
        if not found and ref.get("parameterNotFoundAction") == "Deny":
            raise Misconfigured("no params found for policy binding with `Deny` parameterNotFoundAction")
        return found

    async def _evaluation(self, policy: Obj, request: AdmissionRequest, as_: Resource, param: Obj | None) -> Evaluation:
        from workshop.apiserver.admission.expressions import Evaluation, values_of

        new, old = await self.shown(request, as_)
        namespace = None
        if request.namespace and request.resource.group_resource != "namespaces":
            namespace = await self.namespace_of(request)
        values = {**values_of(request, as_, new, old), "namespaceObject": namespace, "params": param}
        variables = policy["spec"].get("variables") or ()
        has_params = policy["spec"].get("paramKind") is not None
        return Evaluation(values, self.context.authorizer, request.user, variables, has_params)


def _fails(policy: Obj) -> bool:
    return bool((policy["spec"].get("failurePolicy") or "Fail") == "Fail")


def fit(text: object) -> str:
    """A message that an expression made; "" for one that is not fit to be shown."""
    told = text.strip() if isinstance(text, str) else ""
    return "" if "\n" in told or len(told) > MOST_MESSAGE else told


class ValidatingAdmissionPolicy(Policies):
    name = "ValidatingAdmissionPolicy"
    plural = "validatingadmissionpolicies"

    async def validate(self, request: AdmissionRequest) -> None:
        refused: list[Verdict] = []
        for policy, as_, bindings in await self._due(request):
            notes: dict[str, list[str]] = {}
            for binding in bindings:
                refused += await self._judge(policy, binding, request, as_, notes)
            for key, values in notes.items():
                request.annotations[f"{policy['metadata']['name']}/{key}"] = ", ".join(values)
        if refused:
            raise self._refusal(request, refused[0])

    async def _judge(
        self, policy: Obj, binding: Obj, request: AdmissionRequest, as_: Resource, notes: dict[str, list[str]]
    ) -> list[Verdict]:
        """What of this policy under this binding refuses the request; warnings and audit are done with here."""
        names = policy["metadata"]["name"], binding["metadata"]["name"]
        try:
            params = await self._params(policy, binding, request.namespace)
        except Misconfigured as error:
            return [Verdict(*names, f"failed to configure binding: {error}")] if _fails(policy) else []
        refused: list[Verdict] = []
        for param in params:
            evaluation = await self._evaluation(policy, request, as_, param)
            verdicts = await unhurried(partial(_verdicts, policy, names, evaluation), policy)
            for action in binding["spec"].get("validationActions") or ():
                if action == "Deny":
                    refused += verdicts
                for verdict in verdicts:
                    if action == "Warn":
                        lead = f"Validation failed for ValidatingAdmissionPolicy '{names[0]}' with binding '{names[1]}'"
                        request.warnings.append(f"{lead}: {verdict.message}")
                    elif action == "Audit":
                        request.annotations[FAILURE_KEY] = _failure(verdict, binding)
            refused += await unhurried(partial(_annotations, policy, names, evaluation, notes), policy)
        return refused

    def _refusal(self, request: AdmissionRequest, verdict: Verdict) -> errors.ApiError:
        by = f"ValidatingAdmissionPolicy '{verdict.policy}' with binding '{verdict.binding}' denied request"
        message = f"{by}: {verdict.message}"
        error = forbidden(request, message)
        reason = verdict.reason or "Invalid"
        error.status |= {"reason": reason, "code": CODES.get(reason, 422)}
        error.status.setdefault("details", {}).setdefault("causes", []).append({"message": message})
        return errors.failure(error.code, reason, error.message, error.status["details"])


def _verdicts(policy: Obj, names: tuple[str, str], evaluation: Evaluation) -> list[Verdict]:
    from workshop.apiserver.admission.expressions import Exhausted, Unjudged

    spec = policy["spec"]
    try:
        if not evaluation.conditions_hold(spec.get("matchConditions") or ()):
            return []
    except Unjudged as error:
        return [Verdict(*names, str(error))] if _fails(policy) else []
    evaluation.refill()
    found: list[Verdict] = []
    for index, validation in enumerate(spec.get("validations") or ()):
        try:
            if evaluation.run(validation["expression"], "bool") is True:
                continue
        except Exhausted as error:  # nothing that was judged before counts
            return [Verdict(*names, str(error))] if _fails(policy) else []
        except Unjudged as error:
            if _fails(policy):
                found.append(Verdict(*names, str(error), index=index))
            continue
        message = ""
        if dynamic := validation.get("messageExpression"):
            try:
                message = fit(evaluation.run(dynamic, "string"))
            except Unjudged:
                message = ""  # then the other one is told
        message = message or (validation.get("message") or "").strip()
        message = message or f"failed expression: {validation['expression'].strip()}"
        found.append(Verdict(*names, message, validation.get("reason") or "Invalid", index))
    return found


def _annotations(
    policy: Obj, names: tuple[str, str], evaluation: Evaluation, notes: dict[str, list[str]]
) -> list[Verdict]:
    """Gathers the policy's audit annotations; one that cannot be made refuses the request."""
    from workshop.apiserver.admission.expressions import Unjudged

    refused = []
    try:
        if not evaluation.conditions_hold(policy["spec"].get("matchConditions") or ()):
            return []
    except Unjudged:
        return []
    evaluation.refill()
    for each in policy["spec"].get("auditAnnotations") or ():
        try:
            value = evaluation.run(each["valueExpression"])
        except Unjudged as error:
            refused += [Verdict(*names, str(error))] if _fails(policy) else []
            continue
        if isinstance(value, str) and value.strip():
            kept = notes.setdefault(each["key"], [])
            if (told := value.strip()[:MOST_ANNOTATION]) not in kept:
                kept.append(told)
    return refused


def _failure(verdict: Verdict, binding: Obj) -> str:
    told = {
        "message": verdict.message, "policy": verdict.policy, "binding": verdict.binding,
        "expressionIndex": verdict.index, "validationActions": binding["spec"].get("validationActions") or [],
    }  # fmt: skip
    return json.dumps([told], separators=(",", ":"))


class MutatingAdmissionPolicy(Policies):
    name = "MutatingAdmissionPolicy"
    plural = "mutatingadmissionpolicies"

    async def admit(self, request: AdmissionRequest) -> None:
        if not request.object:
            return
        state = request.state.setdefault(self.name, {"output": None, "asked": set(), "again": set()})
        if request.reinvoked and state["output"] != request.object:
            state["again"] |= state["asked"]
        for policy, as_, bindings in await self._due(request):
            for binding in bindings:
                await self._under(policy, binding, request, as_, state)
        state["output"] = copy(request.object)

    async def _under(self, policy: Obj, binding: Obj, request: AdmissionRequest, as_: Resource, state: Obj) -> None:
        names = policy["metadata"]["name"], binding["metadata"]["name"]
        from workshop.apiserver.admission.expressions import Unjudged

        try:
            params = await self._params(policy, binding, request.namespace)
            for param in params:
                key = (*names, (param or {}).get("metadata", {}).get("uid", ""))
                if request.reinvoked and key not in state["again"]:
                    continue
                if await self._mutate(policy, request, as_, param):
                    request.changed = True
                    state["again"] |= state["asked"]
                if policy["spec"].get("reinvocationPolicy") == "IfNeeded":
                    state["asked"].add(key)
        except (Unjudged, Misconfigured, errors.ApiError) as error:
            if _fails(policy):
                why = f"failed to configure binding: {error}" if isinstance(error, Misconfigured) else str(error)
                by = f"policy '{names[0]}' with binding '{names[1]}' denied request"
                refusal = forbidden(request, f"{by}: {why}")
                details = refusal.status.get("details") or {}
                causes = [{"message": f"{by}: {why}"}]
                raise errors.failure(403, "Invalid", refusal.message, {**details, "causes": causes}) from None

    async def _mutate(self, policy: Obj, request: AdmissionRequest, as_: Resource, param: Obj | None) -> bool:
        changed = False
        evaluation = await self._evaluation(policy, request, as_, param)
        conditions = policy["spec"].get("matchConditions") or ()
        if not await unhurried(partial(evaluation.conditions_hold, conditions), conditions):
            return False
        for mutation in policy["spec"].get("mutations") or ():
            evaluation = await self._evaluation(policy, request, as_, param)  # of the object as it is by now
            new, _ = await self.shown(request, as_)
            assert new is not None
            made = await unhurried(partial(mutated, mutation, new, as_, evaluation), policy)
            changed |= await self.put(request, as_, made)
        return changed


def mutated(mutation: Obj, obj: Obj, kind: Resource, evaluation: Evaluation) -> Obj:
    """The object after one mutation. Raises Unjudged, ApiError."""
    from workshop.api.cel.mutations import as_maps
    from workshop.apiserver.admission.expressions import Unjudged

    evaluation.refill()
    if mutation["patchType"] == "JSONPatch":
        text = mutation["jsonPatch"]["expression"]
        operations = evaluation.run(as_maps(text), told=text)
        if not isinstance(operations, list):
            raise Unjudged("JSONPatch expression must evaluate to a list")
        try:
            made: Obj = json_patch.apply(obj, operations)
        except errors.ApiError as error:
            raise Unjudged(f"JSON Patch: {error.__cause__ or error}") from None
        return made
    text = mutation["applyConfiguration"]["expression"]
    configuration: Any = evaluation.run(as_maps(text), told=text)
    if not isinstance(configuration, dict):
        raise Unjudged("ApplyConfiguration expression must evaluate to an object")
    node = managed_fields.root_of(typed.types_of(kind))
    try:
        merged: Obj = walk.merge(obj, configuration, node)
    except ValueError as error:
        raise Unjudged(f"error applying patch: {error}") from None
    return merged
