"""Discovery: which groups, versions and resources are served, in the old form and in the aggregated one; OpenAPI v3.

Upstream: apiserver/pkg/endpoints/discovery/{group,version}.go, discovery/aggregated (KEP-3352),
kube-openapi/pkg/handler3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import msgspec

from workshop.api import errors, openapi
from workshop.api.meta import Obj
from workshop.api.openapi import wire
from workshop.api.resources import Registry, Resource, group_versions
from workshop.apiserver.server.http import Request, Response, json_response
from workshop.apiserver.server.negotiate import JSON, PROTOBUF, YAML, media_types, no_representation, readable

from .health import VERSION

if TYPE_CHECKING:
    from workshop.apiserver.aggregator.controller import Aggregator

encode = msgspec.json.encode
_AGGREGATED = "apidiscovery.k8s.io"


def _only_read(path: str) -> bool:
    """Upstream answers any method where it stitches the documents together itself."""
    parts = path.strip("/").split("/")
    return parts[0] == "api" or (parts[0] == "apis" and len(parts) == 3)


class Discovery:
    """Documents are rendered once and kept until what is served changes."""

    def __init__(self, served: Registry, address: str, aggregator: Aggregator | None = None) -> None:
        """`aggregator` knows what other servers serve."""
        self._served, self._address, self._aggregator = served, address, aggregator
        self._generation = (-1, -1)
        self._refresh()

    def _refresh(self) -> None:
        """Other servers' groups come after those that are served here, by the priorities that they ask for."""
        aggregator = self._aggregator
        now = (self._served.generation, aggregator.generation if aggregator is not None else 0)
        if self._generation == now:
            return
        self._generation = now
        self._documents: dict[str, bytes] = {}
        self._remote = dict(aggregator.remote) if aggregator is not None else {}
        self._versions = group_versions(r for r in self._served if (r.group, r.version) not in self._remote)
        for remote in sorted(self._remote.values(), key=lambda remote: remote.rank):
            self._versions.setdefault(remote.group, []).append(remote.version)

    def handle(self, request: Request) -> Response | None:
        """The answer to a discovery path; None if it is none."""
        self._refresh()
        answer = self._answer(request)
        if answer is not None and request.method not in ("GET", "HEAD") and _only_read(request.path):
            raise errors.not_allowed()
        if answer is not None and not request.path.startswith("/openapi") and not readable(request.header("accept")):
            kinds = (JSON, YAML, PROTOBUF)  # as text of one filter for groups, of another for the rest
            raise no_representation(*kinds) if _only_read(request.path) else errors.not_acceptable(kinds)
        return answer

    def knows(self, group: str) -> bool:
        return group in self._versions

    def paths(self) -> list[str]:
        """All documents of discovery and OpenAPI."""
        self._refresh()
        found = ["/api", "/api/v1", "/apis", "/apis/", "/openapi/v2", "/openapi/v3"]
        for group, versions in self._versions.items():
            if group:
                found += [f"/apis/{group}", *(f"/apis/{group}/{version}" for version in versions)]
        return found

    def _answer(self, request: Request) -> Response | None:
        match request.path.rstrip("/").split("/")[1:]:
            case ["api"]:
                return self._negotiated(request, self._core, legacy=True)
            case ["apis"]:
                return self._negotiated(request, self._groups, legacy=False)
            case ["apis", group] if group in self._versions and group:
                return json_response(self._group(group, standalone=True))
            case ["api", "v1"]:
                return json_response(self._version("", "v1"))
            case ["apis", group, version] if version in self._versions.get(group, ()) and group:
                return json_response(self._version(group, version))
            case ["openapi", *_] if request.path.endswith("/"):
                return None
            case ["openapi", "v3"]:
                return json_response(self._openapi_index)
            case ["openapi", "v2"]:
                return self._openapi_v2(request)
            case ["openapi", "v3", *rest]:
                return self._openapi(request, "/".join(rest))
        return None

    def _negotiated(self, request: Request, plain: Obj, legacy: bool) -> Response:
        for kind, parameters in media_types(request.header("accept")):
            if (
                kind == "application/json"
                and parameters.get("g") == _AGGREGATED
                and parameters.get("v") in ("v2", "v2beta1")
            ):
                body, etag = self._aggregated(parameters["v"], legacy)
                if request.header("if-none-match").strip('"') == etag:
                    return Response(304, headers=[("ETag", f'"{etag}"')])
                content_type = f"application/json;g={_AGGREGATED};v={parameters['v']};as=APIGroupDiscoveryList"
                return Response(200, body, content_type, [("ETag", f'"{etag}"'), ("Vary", "Accept")])
            if kind in ("application/json", "*/*", "application/*") and "as" not in parameters:
                break
        return json_response(plain)

    @property
    def _core(self) -> Obj:
        return {
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": self._address}],
        }

    @property
    def _groups(self) -> Obj:
        return {
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": [self._group(group) for group in self._versions if group],
        }

    def _group(self, group: str, standalone: bool = False) -> Obj:
        versions = [{"groupVersion": f"{group}/{v}", "version": v} for v in self._versions[group]]
        head = {"kind": "APIGroup", "apiVersion": "v1"} if standalone else {}
        return {**head, "name": group, "versions": versions, "preferredVersion": versions[0]}

    def _of(self, group: str, version: str) -> list[Resource]:
        return [r for r in self._served if (r.group, r.version) == (group, version)]

    def _version(self, group: str, version: str) -> Obj:
        rows: list[Obj] = []
        for r in self._of(group, version):
            row: Obj = {"name": r.plural, "singularName": r.singular, "namespaced": r.namespaced, "kind": r.kind,
                        "verbs": _verbs(r)}  # fmt: skip
            if r.short_names:
                row["shortNames"] = list(r.short_names)
            if r.categories:
                row["categories"] = list(r.categories)
            if r.storage_version_hash:
                row["storageVersionHash"] = r.storage_version_hash
            rows.append(row)
            for sub in r.subresources:
                row = {"name": f"{r.plural}/{sub.name}", "singularName": "", "namespaced": r.namespaced}
                if (sub.group, sub.version) != (group, version):
                    row |= {"group": sub.group, "version": sub.version}
                rows.append({**row, "kind": sub.kind, "verbs": sorted(sub.verbs)})
        group_version = f"{group}/{version}" if group else version
        rows.sort(key=lambda row: str(row["name"]))
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": rows}

    def _aggregated(self, version: str, legacy: bool) -> tuple[bytes, str]:
        key = f"{version}/{legacy}"
        if key not in self._documents:
            groups = [group for group in self._versions if bool(group) is not legacy]
            document = {
                "kind": "APIGroupDiscoveryList",
                "apiVersion": f"{_AGGREGATED}/{version}",
                "metadata": {},
                "items": [
                    {
                        "metadata": {"name": group} if group else {},
                        "versions": [
                            {
                                "version": v,
                                **self._shown(group, v),
                            }
                            for v in self._versions[group]
                        ],
                    }
                    for group in groups
                ],
            }
            self._documents[key] = encode(document)
        body = self._documents[key]
        return body, hashlib.sha512(body).hexdigest().upper()

    def _shown(self, group: str, version: str) -> Obj:
        """A group version's resources in aggregated discovery. Of a server that does not answer, what it once said."""
        remote = self._remote.get((group, version))
        if remote is None:
            return {"resources": [_aggregated(r) for r in self._of(group, version)], "freshness": "Current"}
        fresh = remote.fresh and remote.available
        return {"resources": remote.resources, "freshness": "Current" if fresh else "Stale"}

    @property
    def _openapi_index(self) -> Obj:
        paths: dict[str, Any] = {}
        for group, versions in self._versions.items():
            for version in versions:
                path = f"apis/{group}/{version}" if group else f"api/{version}"
                if (group, version) in self._remote:  # its own server says when it changes
                    paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}"}
                    continue
                told = [(r.plural, r.definition and r.definition.version) for r in self._of(group, version)]
                fingerprint = hashlib.sha256(encode(told)).hexdigest().upper()
                paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={fingerprint}"}
        return {"paths": paths}

    def _openapi(self, request: Request, path: str) -> Response:
        parts = path.split("/")
        group, version = ("", parts[1]) if parts[0] == "api" else (parts[1], parts[2]) if len(parts) == 3 else ("", "")
        if version not in self._versions.get(group, ()):
            raise errors.no_such_path()
        members = self._of(group, version)
        answer = self._document(request, path, "v3", lambda: openapi.document(group, version, members))
        if "hash" in request.query:
            answer.headers += [("Cache-Control", "public, immutable")]
        return answer

    def _openapi_v2(self, request: Request) -> Response:
        return self._document(request, "", "v2", lambda: openapi.swagger(self._served, VERSION))

    def _document(self, request: Request, path: str, version: str, make: Callable[[], Obj]) -> Response:
        """As JSON or as a protobuf message, whichever the client names first; 406 for anything else."""
        protobuf = f"application/com.github.proto-openapi.spec.{version}.v1.0+protobuf"
        offered = {
            "application/json": "application/json",
            protobuf: protobuf,
            protobuf.replace(".v1.0", "@v1.0"): protobuf,
        }
        accept = request.header("accept") or "*/*"
        kinds = (each for kind, _ in media_types(accept) for each in offered if fnmatchcase(each, kind))
        if (kind := next(kinds, None)) is None:
            return Response(406, headers=[("Vary", "Accept")])
        key = f"openapi/{version}/{path}"
        if key not in self._documents:
            self._documents[key] = encode(make())
        body, etag = self._documents[key], hashlib.sha512(self._documents[key]).hexdigest().upper()
        headers = [("ETag", f'"{etag}"'), ("Vary", "Accept")]
        if request.header("if-none-match").strip('"') == etag:
            return Response(304, headers=headers)
        if offered[kind] == protobuf:
            key += "/protobuf"
            if key not in self._documents:
                self._documents[key] = wire.encode(msgspec.json.decode(body), getattr(wire, version.upper()))
            body = self._documents[key]
        return Response(200, body, offered[kind], headers)


_OF_CUSTOM = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
"""Upstream's order for custom resources; for its own it is the alphabet's."""


def _verbs(r: Resource) -> list[str]:
    return sorted(r.verbs) if r.definition is None else [verb for verb in _OF_CUSTOM if verb in r.verbs]


def _aggregated(r: Resource) -> Obj:
    kind = {"group": r.group, "version": r.version, "kind": r.kind}
    found: Obj = {
        "resource": r.plural,
        "responseKind": kind,
        "scope": "Namespaced" if r.namespaced else "Cluster",
        "singularResource": r.singular,
        "verbs": _verbs(r),
    }
    if r.short_names:
        found["shortNames"] = list(r.short_names)
    if r.categories:
        found["categories"] = list(r.categories)
    subresources = [
        {"subresource": sub.name, "responseKind": {"group": sub.group, "version": sub.version, "kind": sub.kind},
         "verbs": sorted(sub.verbs)}
        for sub in sorted(r.subresources, key=lambda sub: sub.name)
    ]  # fmt: skip
    if subresources:
        found["subresources"] = subresources
    return found
