"""Every resource that the server serves now, custom ones included, each in its preferred version.

Upstream: `client-go/discovery`. Two requests (aggregated discovery, KEP-3352), asked for when somebody needs it:
nothing is polled. Whoever must follow new custom resources watches CustomResourceDefinitions and APIServices.
"""

from __future__ import annotations

from typing import Any

from workshop.api.errors import ApiError
from workshop.api.resources import Resource
from workshop.client.rest import Client

ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


class DiscoveryFailed(Exception):
    """Some groups did not answer (a server behind an APIService is away): what was `found` is not everything.

    Nothing may be concluded from what is missing of those groups; with the others the caller goes on."""

    def __init__(self, found: list[Resource], failed: dict[tuple[str, str], str]) -> None:
        """`failed`: group and version → what is wrong."""
        told = ", ".join(f"{group}/{version}: {why}" for (group, version), why in sorted(failed.items()))
        many = len(failed)
        super().__init__(f"{many} failing: unable to retrieve the complete list of server APIs: {told}")
        self.found, self.groups = found, {group for group, _ in failed}


class Discovery:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def resources(self) -> list[Resource]:
        """Raises DiscoveryFailed, ApiError, OSError."""
        found: list[Resource] = []
        failed: dict[tuple[str, str], str] = {}
        for root in ("/api", "/apis"):
            answer = await self._client.request("GET", root, headers={"Accept": ACCEPT})
            if answer.get("kind") == "APIGroupDiscoveryList":
                found += _aggregated(answer, failed)
            else:
                found += await self._group_by_group(root, answer, failed)
        if failed:
            raise DiscoveryFailed(found, failed)
        return found

    async def _group_by_group(
        self, root: str, answer: dict[str, Any], failed: dict[tuple[str, str], str]
    ) -> list[Resource]:
        if root == "/api":
            versions = [("", version) for version in answer["versions"][:1]]
        else:
            versions = [(g["name"], g["preferredVersion"]["version"]) for g in answer["groups"]]
        found: list[Resource] = []
        for group, version in versions:
            path = f"/api/{version}" if not group else f"/apis/{group}/{version}"
            try:
                listed = await self._client.request("GET", path)
            except ApiError as error:
                failed[group, version] = str(error)
                continue
            found += [
                _resource(group, version, r["kind"], r["name"], r["namespaced"], r["verbs"])
                for r in listed["resources"]
                if "/" not in r["name"]
            ]
        return found


def _aggregated(answer: dict[str, Any], failed: dict[tuple[str, str], str]) -> list[Resource]:
    found: list[Resource] = []
    for group in answer["items"]:
        name = (group.get("metadata") or {}).get("name", "")
        seen: set[str] = set()
        for each in group["versions"]:  # the preferred one stands first
            version = each["version"]
            if each.get("freshness") == "Stale":
                failed[name, version] = f"stale GroupVersion discovery: {name}/{version}"
                continue
            for r in each.get("resources") or ():
                if r["resource"] in seen or "responseKind" not in r:
                    continue
                seen.add(r["resource"])
                kind, scope = r["responseKind"]["kind"], r["scope"] == "Namespaced"
                found.append(_resource(name, version, kind, r["resource"], scope, r["verbs"]))
    return found


def _resource(group: str, version: str, kind: str, plural: str, namespaced: bool, verbs: list[str]) -> Resource:
    return Resource(group, version, kind, plural, namespaced=namespaced, verbs=tuple(verbs))
