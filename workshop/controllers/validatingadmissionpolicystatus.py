"""Looks at the expressions of each ValidatingAdmissionPolicy with the types of what it is about, and tells in its
status what cannot be right: `object.spec.replicas > 'x'` for a Deployment.

Types come from the API server: which kind a resource is of from discovery, its fields from OpenAPI.
Upstream: `pkg/controller/validatingadmissionpolicystatus/controller.go`.
"""

from __future__ import annotations

from typing import Any

from workshop.api.errors import ApiError
from workshop.api.meta import Key, Obj, key_of
from workshop.api.resources import resource

from .base import Context

POLICIES = resource("validatingadmissionpolicies.admissionregistration.k8s.io")
FIELD_MANAGER = "validatingadmissionpolicy-status"


class ValidatingAdmissionPolicyStatusController:
    """Judges a policy once for each generation."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._queue = context.queue()
        self._policies = context.informer("validatingadmissionpolicies.admissionregistration.k8s.io")
        self._policies.add_handler(self._add, lambda old, new: self._add(new), lambda gone: None)

    def _add(self, policy: Obj) -> None:
        self._queue.add(key_of(policy))

    async def run(self) -> None:
        await self._context.controller(self._queue, self.sync).run()

    async def sync(self, key: Key) -> None:
        policy = self._policies.store.get(key)
        if policy is None:
            return
        generation = policy["metadata"].get("generation", 1)
        if generation <= (policy.get("status") or {}).get("observedGeneration", 0):
            return
        told = await self._warnings(policy)
        status: dict[str, Any] = {"observedGeneration": generation, "typeChecking": {}}
        if told:
            status["typeChecking"]["expressionWarnings"] = told
        wanted = {
            "apiVersion": POLICIES.api_version,
            "kind": POLICIES.kind,
            "metadata": {"name": key.name},
            "status": status,
        }
        await self._client.patch(
            POLICIES, key.name, wanted, type="application/apply-patch+yaml", subresource="status",
            field_manager=FIELD_MANAGER, force=True,
        )  # fmt: skip

    async def _warnings(self, policy: Obj) -> list[dict[str, str]]:
        from workshop.api.cel import typecheck  # CEL is loaded by the first policy

        kinds: list[typecheck.Kind] = []
        for group, version, plural in typecheck.asked_resources(policy):
            served = await self._get(f"/{_root(group, version)}")
            found = [each["kind"] for each in served.get("resources") or () if each["name"] == plural]
            kinds += [typecheck.Kind(group, version, kind) for kind in found]
        about = typecheck.param_kind(policy)
        schemas = {kind: await self._schema(kind) for kind in {*kinds, *([about] if about else [])}}
        return typecheck.warnings(policy, kinds, schemas.get)

    async def _schema(self, kind: Any) -> dict[str, Any] | None:
        from workshop.api.cel import typecheck

        document = await self._get(f"/openapi/v3/{_root(kind.group, kind.version)}")
        components = (document.get("components") or {}).get("schemas") or {}
        for name, component in components.items():
            for each in component.get("x-kubernetes-group-version-kind") or ():
                if (each["group"], each["version"], each["kind"]) == kind:
                    return typecheck.resolved(name, components)
        return None

    async def _get(self, path: str) -> dict[str, Any]:
        """A document of the API server; nothing where it has none."""
        try:
            found: dict[str, Any] = await self._client.request("GET", path)
        except ApiError as error:
            if error.code == 404:
                return {}
            raise
        return found


def _root(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"
