"""From version to version of a custom resource: with the strategy None only `apiVersion` changes, with Webhook a
webhook is asked. It may change labels and annotations, and nothing else of the metadata.

Upstream: apiextensions-apiserver/pkg/apiserver/conversion.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from workshop.api import errors
from workshop.api.custom.kind import CustomKind
from workshop.api.meta import Obj
from workshop.apiserver.webhooks.client import CallFailed, WebhookClient

TIMEOUT = 30.0
FREE = ("labels", "annotations")
REVIEW = "apiextensions.k8s.io/v1"


class Conversion:
    def __init__(self, client: WebhookClient, random_bits: Any) -> None:
        """`random_bits(128)` makes the uid of a review."""
        self._client, self._random_bits = client, random_bits

    async def convert(self, kind: CustomKind, objects: list[Obj], to: str) -> list[Obj]:
        """`objects` in API version `to`, in their order. Raises ApiError 500."""
        if kind.webhook is None:
            return [{**obj, "apiVersion": to} for obj in objects]
        waiting = [index for index, obj in enumerate(objects) if obj.get("apiVersion") != to]
        if not waiting:
            return objects
        made = await self._ask(kind, [objects[index] for index in waiting], to)
        found = list(objects)
        for index, new in zip(waiting, made, strict=True):
            found[index] = checked(kind, objects[index], new, to)
        return found

    async def _ask(self, kind: CustomKind, objects: list[Obj], to: str) -> list[Obj]:
        assert kind.webhook is not None
        uid = str(UUID(int=self._random_bits(128), version=4))
        known = kind.webhook.get("conversionReviewVersions") or ["v1"]
        version = REVIEW if "v1" in known else f"apiextensions.k8s.io/{known[0]}"
        request = {"uid": uid, "desiredAPIVersion": to, "objects": objects}
        body = {"kind": "ConversionReview", "apiVersion": version, "request": request}
        lead = f"conversion webhook for {objects[0].get('apiVersion')}, Kind={objects[0].get('kind')} failed: "
        try:
            answer = await self._client.post(kind.webhook["clientConfig"], body, TIMEOUT)
        except CallFailed as error:
            raise errors.failure(500, "", f"{lead}{error}") from None
        return converted(answer, uid, version, len(objects), lead)


def converted(answer: Any, uid: str, version: str, count: int, lead: str) -> list[Obj]:
    """The objects of an answer. Raises ApiError 500 for one that breaks the rules."""

    def refuse(text: str) -> errors.ApiError:
        return errors.failure(500, "", lead + text)

    if not isinstance(answer, dict) or answer.get("kind") != "ConversionReview" or answer.get("apiVersion") != version:
        given = f"{answer.get('apiVersion')}, Kind={answer.get('kind')}" if isinstance(answer, dict) else "no object"
        raise refuse(f"invalid response: expected webhook response of {version}, Kind=ConversionReview, got {given}")
    response = answer.get("response")
    if not isinstance(response, dict):
        raise refuse("no response provided")
    if response.get("uid") != uid:
        raise refuse(f"invalid response: expected response.uid={uid}, got {response.get('uid')}")
    result = response.get("result") or {}
    if result.get("status") != "Success":
        if "message" in result or result.get("status"):
            raise refuse(result.get("message") or "<empty>")
        raise refuse("response.result.status was '', not 'Success'")
    objects = response.get("convertedObjects") or []
    if len(objects) != count:
        raise refuse(f"webhook returned {len(objects)} objects, expected {count}")
    return [obj if isinstance(obj, dict) else {} for obj in objects]


def checked(kind: CustomKind, old: Obj, new: Obj, to: str) -> Obj:
    """What the webhook made, with the metadata that it may not change put back. Raises ApiError 500."""
    lead = f"conversion webhook for {old.get('apiVersion')}, Kind={old.get('kind')} returned invalid converted object"
    if new.get("apiVersion") != to:
        raise errors.failure(500, "", f"{lead}: invalid groupVersion (expected {to}, received {new.get('apiVersion')})")
    if new.get("kind") != old.get("kind"):
        raise errors.failure(500, "", f"{lead}: invalid kind (expected {old.get('kind')}, received {new.get('kind')})")
    before, after = old.get("metadata") or {}, new.get("metadata")
    if not isinstance(after, dict):
        raise errors.failure(500, "", f"{lead}: metadata: Required value")
    for name in ("name", "namespace", "uid"):
        if after.get(name) != before.get(name):
            raise errors.failure(500, "", f"{lead}: metadata.{name}: must not change")
    kept = {name: value for name, value in before.items() if name not in FREE}
    changed = {name: after[name] for name in FREE if after.get(name)}
    return {**new, "metadata": {**kept, **changed}}
