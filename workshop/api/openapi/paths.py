"""The operations of a resource: what a client may ask at which path, with which parameters, and what comes back.

    /apis/apps/v1/deployments                                       get: listAppsV1DeploymentForAllNamespaces
    /apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale   get, put, patch: …NamespacedDeploymentScale

Answers are told as JSON, which is what is served. Upstream: apiserver/pkg/endpoints/installer.go,
apiserver/pkg/endpoints/openapi/openapi.go (names of operations).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from workshop.api import schema
from workshop.api.custom import openapi as custom
from workshop.api.openapi.schemas import REFERENCE, full_name
from workshop.api.resources import Resource, Subresource

Item = dict[str, Any]
META = f"{REFERENCE}io.k8s.apimachinery.pkg.apis.meta.v1."
JSON = "application/json"
WATCH = "application/json;stream=watch"
BODIES = (JSON, "application/yaml", "application/vnd.kubernetes.protobuf")
PATCHES = ("apply-patch+yaml", "json-patch+json", "merge-patch+json", "strategic-merge-patch+json")

_LISTS = {
    "allowWatchBookmarks": "boolean", "continue": "string", "fieldSelector": "string", "labelSelector": "string",
    "limit": "integer", "resourceVersion": "string", "resourceVersionMatch": "string", "sendInitialEvents": "boolean",
    "shardSelector": "string", "timeoutSeconds": "integer", "watch": "boolean",
}  # fmt: skip
_WRITES = {"dryRun": "string", "fieldManager": "string", "fieldValidation": "string"}
_DELETES = {
    "dryRun": "string", "gracePeriodSeconds": "integer", "ignoreStoreReadErrorWithClusterBreakingPotential": "boolean",
    "orphanDependents": "boolean", "propagationPolicy": "string",
}  # fmt: skip
_LOG = {
    "container": "string", "follow": "boolean", "insecureSkipTLSVerifyBackend": "boolean", "limitBytes": "integer",
    "previous": "boolean", "sinceSeconds": "integer", "stream": "string", "tailLines": "integer",
    "timestamps": "boolean",
}  # fmt: skip
_STREAMS = {"container": "string", "stderr": "boolean", "stdin": "boolean", "stdout": "boolean", "tty": "boolean"}
CONNECTED = {
    "exec": {"command": "string", **_STREAMS}, "attach": _STREAMS, "portforward": {"ports": "integer"},
    "proxy": {"path": "string"},
}  # fmt: skip
_EVERY_METHOD = ("delete", "get", "head", "options", "patch", "post", "put")
_RETURNS_DELETED = {
    "": ("pods", "services", "serviceaccounts", "persistentvolumes", "persistentvolumeclaims", "podtemplates",
         "resourcequotas"),
    "storage.k8s.io": ("csidrivers", "csinodes", "storageclasses", "volumeattachments", "volumeattributesclasses"),
    "resource.k8s.io": ("deviceclasses", "resourceclaims", "resourceclaimtemplates", "resourceslices"),
}  # fmt: skip
_ACTIONS = {"read": "get", "list": "list", "create": "post", "replace": "put", "patch": "patch", "delete": "delete"}


def pascal(group: str, version: str) -> str:
    """`RbacAuthorizationV1`, `CoreV1`: of operations' names."""
    parts = (group.removesuffix(".k8s.io") or "core").split(".")
    return "".join(part[:1].upper() + part[1:] for part in [*parts, version])


def tag(group: str, version: str) -> str:
    """`rbacAuthorization_v1`, `core_v1`."""
    made = pascal(group, "")
    return f"{made[:1].lower()}{made[1:]}_{version}"


def of_group(group: str, version: str) -> dict[str, Item]:
    """The path that lists the resources of a group and version."""
    path = f"/apis/{group}/{version}/" if group else f"/api/{version}/"
    listed = _returns({"200": f"{META}APIResourceList"})
    told = {"tags": [tag(group, version)], "description": "get available resources", "responses": listed}
    return {path: {"get": {**told, "operationId": f"get{pascal(group, version)}APIResources"}}}


def of(resource: Resource) -> dict[str, Item]:
    """Every path of a resource and of its subresources."""
    made: dict[str, Item] = {}
    scope = "{namespace}" if resource.namespaced else None
    verbs = _Verbs(resource, None)
    one = resource.path(scope, "{name}")
    if resource.namespaced and "list" in resource.verbs:
        made[resource.path()] = _item(resource, {"get": verbs.list(everywhere=True)}, everywhere=True, lists=True)
    methods = {"list": "get", "create": "post", "deletecollection": "delete"}
    many = {method: getattr(verbs, verb)() for verb, method in methods.items() if verb in resource.verbs}
    if many:
        made[resource.path(scope)] = _item(resource, many)
    methods = {"get": "get", "update": "put", "delete": "delete", "patch": "patch"}
    own = {method: getattr(verbs, verb)() for verb, method in methods.items() if verb in resource.verbs}
    if own:
        made[one] = _item(resource, own, named=True)
    for sub in resource.subresources:
        path = resource.path(scope, "{name}", sub.name)
        if sub.name in CONNECTED:
            made[path] = _connected(resource, sub)
            if sub.name == "proxy":
                made[f"{path}/{{path}}"] = _connected(resource, sub, with_path=True)
            continue
        verbs = _Verbs(resource, sub)
        told = {
            method: getattr(verbs, verb)()
            for verb, method in {**methods, "create": "post"}.items()
            if verb in sub.verbs
        }
        made[path] = _item(resource, told, named=True, more=_LOG if sub.name == "log" else {})
    return made


class _Verbs:
    """The operations of a resource, or of one of its subresources."""

    def __init__(self, resource: Resource, sub: Subresource | None) -> None:
        self._resource, self._sub = resource, sub
        group, version, kind = (sub or resource).group, (sub or resource).version, (sub or resource).kind
        self._gvk = {"group": group, "kind": kind, "version": version}
        self._ref = reference(resource, group, version, kind)

    def _named(self, verb: str, action: str = "", collection: str = "", everywhere: bool = False) -> Item:
        r, sub = self._resource, self._sub
        name = f"{collection}{'Namespaced' if r.namespaced and not everywhere else ''}{r.kind}"
        name += sub.name[:1].upper() + sub.name[1:] if sub else ""
        name += "ForAllNamespaces" if everywhere else ""
        return {
            "tags": [tag(r.group, r.version)],
            "operationId": f"{verb}{pascal(r.group, r.version)}{name}",
            "x-kubernetes-action": action or _ACTIONS[verb],
            "x-kubernetes-group-version-kind": self._gvk,
        }

    def list(self, everywhere: bool = False) -> Item:
        listed = reference(self._resource, self._resource.group, self._resource.version, self._resource.list_kind)
        told = {"description": f"list or watch objects of kind {self._resource.kind}"}
        told |= self._named("list", everywhere=everywhere)
        query = {} if everywhere else {"parameters": _query(_LISTS)}
        return {**told, **query, "responses": _returns({"200": listed}, (JSON, WATCH))}

    def get(self) -> Item:
        told = {"description": f"read {self._what}", **self._named("read")}
        if self._sub is not None and self._sub.name == "log":
            return {**told, "responses": _returns({"200": {"type": "string"}}, ("text/plain",))}
        return {**told, "responses": _returns({"200": self._ref})}

    def create(self) -> Item:
        return self._write("create", "create", ("200", "201", "202"))

    def update(self) -> Item:
        return self._write("replace", "replace", ("200", "201"))

    def patch(self) -> Item:
        made = self._write("patch", "partially update", ("200", "201"))
        kinds = PATCHES if self._resource.definition is None else custom.PATCH_TYPES
        content = {f"application/{kind}": {"schema": {"$ref": f"{META}Patch"}} for kind in kinds}
        made["parameters"] = _query({**_WRITES, "force": "boolean"})
        return {**made, "requestBody": {"content": content, "required": True}}

    def _write(self, verb: str, told: str, codes: Iterable[str]) -> Item:
        content = {kind: {"schema": _schema(self._ref)} for kind in BODIES}
        return {
            "description": f"{told} {self._what}",
            **self._named(verb),
            "parameters": _query(_WRITES),
            "requestBody": {"content": content, "required": True},
            "responses": _returns(dict.fromkeys(codes, self._ref)),
        }

    def delete(self) -> Item:
        whole = _RETURNS_DELETED.get(self._resource.group, ())
        back = self._ref if self._resource.plural in whole else f"{META}Status"
        return {
            "description": f"delete {self._what}",
            **self._named("delete"),
            "parameters": _query(_DELETES),
            "requestBody": {"content": {kind: {"schema": {"$ref": f"{META}DeleteOptions"}} for kind in BODIES}},
            "responses": _returns({"200": back, "202": back}),
        }

    def deletecollection(self) -> Item:
        query = {**{k: v for k, v in _LISTS.items() if k not in ("watch", "allowWatchBookmarks")}, **_DELETES}
        return {
            "description": f"delete collection of {self._resource.kind}",
            **self._named("delete", "deletecollection", collection="Collection"),
            "parameters": _query(query),
            "requestBody": {"content": {kind: {"schema": {"$ref": f"{META}DeleteOptions"}} for kind in BODIES}},
            "responses": _returns({"200": f"{META}Status"}),
        }

    @property
    def _what(self) -> str:
        return f"{f'{self._sub.name} of ' if self._sub else ''}the specified {self._resource.kind}"


def _connected(resource: Resource, sub: Subresource, with_path: bool = False) -> Item:
    """Streams, which are no objects: any method for a proxy."""
    methods = _EVERY_METHOD if sub.name == "proxy" else ("get", "post")
    ending = f"{sub.name[:1].upper()}{sub.name[1:]}{'WithPath' if with_path else ''}"
    scoped = "Namespaced" if resource.namespaced else ""
    lead = f"connect{pascal(resource.group, resource.version)}"
    made = {}
    for method in methods:
        made[method] = {
            "tags": [tag(resource.group, resource.version)],
            "description": f"connect {method.upper()} requests to {sub.name} of {resource.kind}",
            "operationId": f"{lead}{method.capitalize()}{scoped}{resource.kind}{ending}",
            "responses": _returns({"200": {"type": "string"}}, ("*/*",)),
            "x-kubernetes-action": "connect",
            "x-kubernetes-group-version-kind": {"group": sub.group, "kind": sub.kind, "version": sub.version},
        }
    item = _item(resource, made, named=True, more=CONNECTED[sub.name], pretty=False)
    if with_path:
        item["parameters"].insert(0, _parameter("path", "string", "path"))
    return item


def reference(resource: Resource, group: str, version: str, kind: str) -> str | Item:
    """Where the schema of a kind stands, or a schema that says nothing."""
    found = schema.for_kind(f"{group}/{version}" if group else version, kind)
    if found is not None:
        return REFERENCE + full_name(found)
    if resource.definition is not None:
        return REFERENCE + custom.name(resource.definition, kind if kind == resource.list_kind else "")
    return {"type": "object"}


def _item(
    resource: Resource,
    methods: dict[str, Item],
    named: bool = False,
    everywhere: bool = False,
    lists: bool = False,
    more: dict[str, str] | None = None,
    pretty: bool = True,
) -> Item:
    """A path with its methods and the parameters that are common to them."""
    common = _query({**(_LISTS if lists else {}), **(more or {}), **({"pretty": "string"} if pretty else {})})
    if named:
        common.append(_parameter("name", "string", "path"))
    if resource.namespaced and not everywhere:
        common.append(_parameter("namespace", "string", "path"))
    return {**methods, "parameters": sorted(common, key=lambda each: str(each["name"]))}


def _query(types: dict[str, str]) -> list[Item]:
    return [_parameter(name, kind, "query") for name, kind in sorted(types.items())]


def _parameter(name: str, kind: str, place: str) -> Item:
    needed = {"required": True} if place == "path" else {}
    return {"name": name, "in": place, **needed, "schema": {"type": kind, "uniqueItems": True}}


_TOLD = {"200": "OK", "201": "Created", "202": "Accepted"}


def _returns(codes: dict[str, Any], kinds: Iterable[str] = (JSON,)) -> Item:
    made: Item = {
        code: {"description": _TOLD[code], "content": {kind: {"schema": _schema(about)} for kind in kinds}}
        for code, about in codes.items()
    }
    return {**made, "401": {"description": "Unauthorized"}}


def _schema(about: str | Item) -> Item:
    return {"$ref": about} if isinstance(about, str) else about
