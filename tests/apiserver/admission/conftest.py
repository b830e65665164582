"""A plain Context over dicts, and requests made in one line."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from tests.virtual_clock import HastyClock
from workshop.api.meta import Obj
from workshop.api.resources import Registry, Resource, resource
from workshop.apiserver.interfaces import AdmissionRequest, Attributes, Decision, UserInfo

JANE = UserInfo("jane")


class FakeAuthorizer:
    """Allows `verb resource name` lines."""

    def __init__(self) -> None:
        self.allowed: set[str] = set()

    async def authorize(self, a: Attributes) -> tuple[Decision, str]:
        asked = f"{a.verb} {a.resource} {a.name}"
        return (Decision.ALLOW if asked in self.allowed else Decision.NO_OPINION), ""


class FakeContext:
    def __init__(self) -> None:
        self.served = Registry()
        self.clock = HastyClock()
        self.random = Random(1)
        self.authorizer = FakeAuthorizer()
        self.objects: dict[tuple[str, str, str], Obj] = {}

    def add(self, plural: str, name: str, namespace: str = "", **fields: Any) -> Obj:
        metadata = {"name": name, **({"namespace": namespace} if namespace else {}), **fields.pop("metadata", {})}
        obj = {"metadata": metadata, **fields}
        self.objects[resource(plural).group_resource, namespace, name] = obj
        return obj

    async def get(self, resource: Resource, name: str, namespace: str = "") -> Obj | None:
        return self.objects.get((resource.group_resource, namespace, name))

    async def get_live(self, resource: Resource, name: str, namespace: str = "") -> Obj | None:
        return await self.get(resource, name, namespace)

    async def update_status(self, resource: Resource, obj: Obj) -> bool:
        key = (resource.group_resource, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        current = self.objects.get(key)
        version = lambda o: o["metadata"].get("resourceVersion", "0")  # noqa: E731
        if current is None or version(current) != version(obj):
            return False
        metadata = {**current["metadata"], "resourceVersion": str(int(version(current)) + 1)}
        self.objects[key] = {**current, "metadata": metadata, "status": obj["status"]}
        return True

    def shelf(self, resource: Resource) -> dict[str, Any]:
        return {}

    async def list(self, resource: Resource, namespace: str = "") -> list[Obj]:
        return [
            obj
            for (plural, ns, _), obj in self.objects.items()
            if plural == resource.group_resource and namespace in ("", ns)
        ]


@pytest.fixture
def context() -> FakeContext:
    return FakeContext()


@pytest.fixture
def request_for() -> Callable[..., AdmissionRequest]:
    """`request_for("pods", obj, "UPDATE", old=…, subresource=…, user=…)`; namespaced resources land in `default`."""

    def make(
        plural: str, obj: Obj, operation: Any = "CREATE", *, old: Obj | None = None, subresource: str = "",
        user: UserInfo = JANE, name: str | None = None, namespace: str | None = None, dry_run: bool = False,
    ) -> AdmissionRequest:  # fmt: skip
        kind = resource(plural)
        own = obj.setdefault("metadata", {}).get("name", "") if obj or operation != "DELETE" else ""
        return AdmissionRequest(
            operation, kind, subresource,
            namespace if namespace is not None else "default" if kind.namespaced else "",
            name if name is not None else own,
            obj, old, user, dry_run,
        )  # fmt: skip

    return make
