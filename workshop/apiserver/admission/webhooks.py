"""Mutating and validating admission webhooks: others are asked over HTTPS, with an AdmissionReview.

The mutating ones one after the other, by the names of their configurations; those with `reinvocationPolicy: IfNeeded`
once more when somebody changed the object after them. The validating ones all at once. A webhook that does not answer,
or answers what is no answer, refuses the request (`failurePolicy: Fail`) or is passed over (`Ignore`).

Upstream: apiserver/pkg/admission/plugin/webhook/{mutating,validating}/dispatcher.go, webhook/request.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from workshop.api import errors
from workshop.api.meta import Obj, copy
from workshop.api.patch import json_patch
from workshop.api.resources import Resource
from workshop.apiserver.admission import selecting
from workshop.apiserver.admission.asked import Asked, Configured
from workshop.apiserver.interfaces import AdmissionRequest, Context
from workshop.apiserver.patience import unhurried
from workshop.apiserver.webhooks.client import CallFailed

logger = logging.getLogger(__name__)
GROUP = "admissionregistration.k8s.io"
WITHOUT_SIDE_EFFECTS = ("None", "NoneOnDryRun")


@dataclass(frozen=True)
class Hook:
    """One webhook: `configuration` and its place in it, for audit and for order."""

    configuration: str
    index: int
    about: Obj

    @property
    def name(self) -> str:
        return str(self.about["name"])

    @property
    def fails(self) -> bool:
        return bool(self.about.get("failurePolicy", "Fail") == "Fail")

    @property
    def again(self) -> bool:
        return self.about.get("reinvocationPolicy") == "IfNeeded"


def _hooks(configuration: Obj) -> list[Hook]:
    name = configuration["metadata"]["name"]
    return [Hook(name, index, about) for index, about in enumerate(configuration.get("webhooks") or ())]


class Failed(Exception):
    """A webhook could not be asked, or did not answer as one should."""


class Webhooks(Asked):
    kind: str
    prefix: str
    """Of the audit annotations."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.configured: Configured[list[Hook]] = Configured(context, f"{self.kind}.{GROUP}", _hooks)

    async def _due(self, request: AdmissionRequest) -> list[tuple[Hook, Resource]]:
        """The webhooks that are to be asked, and as what."""
        namespace, found = await self.namespace_of(request), []
        for hook in (hook for hooks in self.configured.all() for hook in hooks):
            about = hook.about
            policy = about.get("matchPolicy") or "Equivalent"
            as_ = selecting.match(about.get("rules") or (), policy, request, self.context.served)
            if as_ is not None and self.selected(about, request, namespace):
                found.append((hook, as_))
        return found

    async def _holds(self, hook: Hook, request: AdmissionRequest, as_: Resource) -> bool:
        """The webhook's matchConditions. Raises ApiError 403 for those without a result that must have one."""
        conditions = hook.about.get("matchConditions")
        if not conditions:
            return True
        from workshop.apiserver.admission.expressions import Evaluation, Unjudged, values_of

        new, old = await self.shown(request, as_)
        values = values_of(request, as_, new, old)
        try:
            evaluation = Evaluation(values, self.context.authorizer, request.user, conditions_only=True)
            return await unhurried(partial(evaluation.conditions_hold, conditions), conditions)
        except Unjudged as error:
            if not hook.fails:
                return False
            raise errors.forbidden(request.resource, request.name or "Unknown!", str(error)) from None

    async def _ask(self, hook: Hook, request: AdmissionRequest, as_: Resource, round: int) -> tuple[Obj, Obj | None]:
        """(the response, the object that was shown). Raises Failed, and ApiError where the webhook says no."""
        about = hook.about
        if request.dry_run and about.get("sideEffects") not in WITHOUT_SIDE_EFFECTS:
            raise errors.bad_request(f"admission webhook {errors.quote(hook.name)} does not support dry run")
        from workshop.apiserver.admission.expressions import review_request

        uid = self.uid()
        new, old = await self.shown(request, as_)
        asked = {**review_request(request, as_, uid), "object": new, "oldObject": old}
        review = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": asked}
        try:
            answer = await self.context.webhooks.post(about["clientConfig"], review, about.get("timeoutSeconds") or 10)
        except CallFailed as error:
            raise Failed(f"failed to call webhook: {error}") from None
        response = checked(answer, uid, self.kind.startswith("mutating"))
        for key, value in (response.get("auditAnnotations") or {}).items():
            request.annotations[f"{hook.name}/{key}"] = str(value)
        request.warnings.extend(str(warning) for warning in response.get("warnings") or ())
        if not response.get("allowed"):
            raise denied(hook.name, response.get("status"))
        return response, new

    def _passed_over(self, hook: Hook, request: AdmissionRequest, round: int, why: Exception) -> None:
        """What becomes of a request when a webhook fails. Raises ApiError 500."""
        told = f"failed calling webhook {errors.quote(hook.name)}: {why}"
        if hook.fails:
            raise errors.internal(told) from None
        logger.warning("failing open: %s", told)
        request.annotations[f"failed-open.{self.prefix}round_{round}_index_{hook.index}"] = hook.name


class MutatingAdmissionWebhook(Webhooks):
    name = "MutatingAdmissionWebhook"
    kind = "mutatingwebhookconfigurations"
    prefix = "mutation.webhook.admission.k8s.io/"

    async def admit(self, request: AdmissionRequest) -> None:
        state = request.state.setdefault(self.name, {"output": None, "again": set()})
        round = int(request.reinvoked)
        if request.reinvoked and state["output"] != request.object:
            state["again"] |= state.setdefault("asked", set())  # somebody changed it since: they may want another look
        for hook, as_ in await self._due(request):
            key = (hook.configuration, hook.index)
            if request.reinvoked and key not in state["again"]:
                continue
            if not await self._holds(hook, request, as_):
                continue
            changed = False
            try:
                changed = await self._one(hook, request, as_, round)
            except Failed as why:
                self._passed_over(hook, request, round, why)
            if changed:
                request.changed = True
                state["again"] |= state.setdefault("asked", set())
            if hook.again:
                state.setdefault("asked", set()).add(key)
        state["output"] = copy(request.object)

    async def _one(self, hook: Hook, request: AdmissionRequest, as_: Resource, round: int) -> bool:
        response, shown = await self._ask(hook, request, as_, round)
        if not response.get("patch"):
            self._note(hook, request, round, False)
            return False
        if shown is None:
            what = "attempted to modify the object, which is not supported for this operation"
            raise errors.internal(f"admission webhook {errors.quote(hook.name)} {what}")
        try:
            operations = json.loads(base64.b64decode(response["patch"]))
        except ValueError as error:
            raise Failed(f"received undecodable patch in webhook response: {error}") from None
        try:
            made = json_patch.apply(shown, operations)
        except errors.ApiError as error:
            raise errors.internal(str(error.__cause__ or error)) from None
        changed = await self.put(request, as_, made)
        self._note(hook, request, round, changed)
        return changed

    def _note(self, hook: Hook, request: AdmissionRequest, round: int, mutated: bool) -> None:
        told = {"configuration": hook.configuration, "webhook": hook.name, "mutated": mutated}
        key = f"{self.prefix}round_{round}_index_{hook.index}"
        request.annotations[key] = msgspec.json.encode(told).decode()


class ValidatingAdmissionWebhook(Webhooks):
    name = "ValidatingAdmissionWebhook"
    kind = "validatingwebhookconfigurations"
    prefix = "validating.webhook.admission.k8s.io/"

    async def validate(self, request: AdmissionRequest) -> None:
        due = await self._due(request)
        ends = await asyncio.gather(*(self._one(hook, request, as_) for hook, as_ in due), return_exceptions=True)
        for end in ends:
            if end is not None:
                raise end

    async def _one(self, hook: Hook, request: AdmissionRequest, as_: Resource) -> None:
        if not await self._holds(hook, request, as_):
            return
        try:
            await self._ask(hook, request, as_, 0)
        except Failed as why:
            self._passed_over(hook, request, 0, why)


def checked(answer: Any, uid: str, mutating: bool) -> Obj:
    """The response in a webhook's answer. Raises Failed for one that breaks the rules."""

    def lie(text: str) -> Failed:
        return Failed(f"received invalid webhook response: {text}")

    given = answer if isinstance(answer, dict) else {}
    response = given.get("response")
    if not isinstance(response, dict):
        raise lie("webhook response was absent")
    if response.get("uid") != uid:
        raise lie(f"expected response.uid={errors.quote(uid)}, got {errors.quote(str(response.get('uid') or ''))}")
    if (given.get("apiVersion"), given.get("kind")) != ("admission.k8s.io/v1", "AdmissionReview"):
        what = f"{given.get('apiVersion') or '/'}, Kind={given.get('kind') or ''}"
        raise lie(f"expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {what}")
    patch, kind = response.get("patch"), response.get("patchType")
    if not mutating and patch:
        raise lie("validating webhook may not return response.patch")
    if not mutating and kind is not None:
        raise lie("validating webhook may not return response.patchType")
    if patch and kind is None:
        raise lie("webhook returned response.patch but not response.patchType")
    if not patch and kind is not None:
        raise lie("webhook returned response.patchType but not response.patch")
    if kind is not None and kind != "JSONPatch":
        raise lie(f"webhook returned invalid response.patchType of {errors.quote(str(kind))}")
    return response


def denied(name: str, status: Any) -> errors.ApiError:
    """The refusal in the webhook's own words and code."""
    result = dict(status) if isinstance(status, dict) else {}
    by = f"admission webhook {errors.quote(name)} denied the request"
    if result.get("message"):
        message = f"{by}: {result['message']}"
    elif result.get("reason"):
        message = f"{by}: {result['reason']}"
    else:
        message = f"{by} without explanation"
    code = result.get("code")
    code = code if isinstance(code, int) and code >= 400 else 400
    return errors.failure(code, str(result.get("reason") or ""), message, result.get("details"))
