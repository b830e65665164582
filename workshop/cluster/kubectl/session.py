"""What each command works with: who asks, in which namespace, and which resources exist."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TextIO

from workshop.api import resources
from workshop.api.errors import ApiError
from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.client.rest import Client


class UsageError(Exception):
    """Something is wrong with the command itself: printed as `error: …`, exit status 1."""


@dataclass
class Session:
    """One command's surroundings. `namespace` is None for all of them (`-A`)."""

    client: Client
    namespace: str | None
    out: TextIO = sys.stdout

    def say(self, text: str) -> None:
        self.out.write(text + "\n")
        self.out.flush()

    async def resource(self, name: str) -> Resource:
        """`pods`, `po`, `deploy`, `deployments.apps`. What is not built in is looked up in discovery."""
        try:
            return resources.resource(name.lower())
        except KeyError:
            async for found in self.discovered():
                if name.lower() in (found.plural, found.singular, found.group_resource, *found.short_names):
                    return found
        raise UsageError(f'the server doesn\'t have a resource type "{name}"')

    async def for_object(self, obj: Obj) -> Resource:
        """The resource that holds a manifest's object."""
        version, kind = obj.get("apiVersion"), obj.get("kind")
        if not version or not kind:
            raise UsageError("error validating data: apiVersion and kind must be set")
        built_in = resources.for_kind(version, kind)
        if built_in is not None:
            return built_in
        async for found in self.discovered():
            if (found.api_version, found.kind) == (version, kind):
                return found
        raise UsageError(f'no matches for kind "{kind}" in version "{version}"\nensure CRDs are installed first')

    async def discovered(self) -> AsyncIterator[Resource]:
        """Custom resources, group by group, each in its preferred version."""
        groups = await self.client.request("GET", "/apis")
        for group in groups["groups"]:
            version = group["preferredVersion"]["groupVersion"]
            try:
                listed = await self.client.request("GET", f"/apis/{version}")
            except ApiError as error:
                if error.code not in (404, 503):
                    raise
                continue
            for row in listed["resources"]:
                if "/" not in row["name"]:
                    yield Resource(
                        group=group["name"],
                        version=version.rpartition("/")[2],
                        kind=row["kind"],
                        plural=row["name"],
                        singular=row.get("singularName") or row["kind"].lower(),
                        namespaced=row["namespaced"],
                        verbs=tuple(row["verbs"]),
                        short_names=tuple(row.get("shortNames", ())),
                    )

    def within(self, resource: Resource) -> str | None:
        """The namespace to ask in, or None for a cluster-wide question."""
        return self.namespace if resource.namespaced else None

    async def targets(self, words: list[str]) -> list[tuple[Resource, str | None]]:
        """What the words of a command name: `pod web`, `pod/web svc/web`, `pods,services`, `all`.

        A pair without a name stands for the whole collection.
        """
        if not words:
            raise UsageError("you must specify the type of resource to get")
        if any("/" in word for word in words):
            if not all(word.count("/") == 1 for word in words):
                raise UsageError(
                    "there is no need to specify a resource type as a separate argument when passing "
                    "arguments in resource/name form"
                )
            pairs = [word.split("/") for word in words]
            return [(await self.resource(kind), name) for kind, name in pairs]
        kinds = [kind for part in words[0].split(",") for kind in (ALL if part == "all" else [part])]
        found = [await self.resource(kind) for kind in kinds]
        names: list[str | None] = [*words[1:]] or [None]
        return [(resource, name) for resource in found for name in names]


# The members of the category `all`, in the order in which the stock client prints them.
ALL = ["pods", "replicationcontrollers", "services", "daemonsets", "deployments", "replicasets", "statefulsets",
       "horizontalpodautoscalers", "cronjobs", "jobs"]  # fmt: skip


def described(resource: Resource, name: str) -> str:
    """`deployment.apps/web`, as every message of kubectl names an object."""
    kind = f"{resource.singular}.{resource.group}" if resource.group else resource.singular
    return f"{kind}/{name}"
