"""Each kind through all its verbs, with what is wrong about them: identities and versions that do not match, options,
selectors, tokens, forms of answers and bodies, methods that a path does not know, doors that it has not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from workshop.api import resources

from .cases import DRY, UID, VERSION, Case, Obj, path_of

JSON_PATCH, MERGE = "application/json-patch+json", "application/merge-patch+json"
STRATEGIC, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
GHOST = "00000000-0000-4000-8000-000000000000"
SELECTABLE = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec", "status", "type", "reason", "source", "reportingComponent",
    "reportingController", "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
    "spec.hostNetwork", "status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName", "spec.unschedulable",
    "status.replicas", "spec.clusterIP", "spec.type", "status.successful", "spec.signerName", "spec.podName",
    "spec.parentRef.name", "spec.driver", "spec.pool.name", "involvedObject.name", "involvedObject.uid", "regarding.name",
    "regarding.uid", "spec.group", "spec.names.kind", "data.a", "spec.replicas", "action", "note", "status.podIPs[0].ip",
)  # fmt: skip
"""Fields that some kind can select by, and some that none can; each kind is asked for all of them."""
DOORS = ("status", "scale", "binding", "eviction", "approval", "finalize", "ephemeralcontainers", "resize", "log", "exec",
         "attach", "portforward", "proxy", "token", "x")  # fmt: skip
BAD_LISTS = (
    "limit=x", "limit=-1&labelSelector=no%3Done", "continue=x", "resourceVersion=x", "resourceVersionMatch=x", "labelSelector=a+b", "fieldSelector=%3D%3D",
    "fieldSelector=metadata.name%21%3Dbase&labelSelector=no%3Done", "fieldSelector=metadata.name%3Da,x.y%3Db", "timeoutSeconds=x", "sendInitialEvents=true",
    "watch=1&sendInitialEvents=true", "watch=1&resourceVersion=x", "watch=1&labelSelector=a+b", "watch=1&fieldSelector=x.y%3Db",
)  # fmt: skip
OPTIONS = (
    "dryRun=Some",
    "fieldValidation=bad",
    "fieldManager=" + "m" * 129,
    "fieldManager=%01",
    "pretty=x",
    "force=true",
)
ACCEPTS = {
    "xml": "application/xml", "text": "text/plain", "none": "*/xml", "table": "application/json;as=Table;v=v1;g=meta.k8s.io",
    "table of an unknown version": "application/json;as=Table;v=v9;g=meta.k8s.io", "unknown form": "application/json;as=X;v=v1;g=meta.k8s.io",
    "metadata": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "metadata, a list": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    "the second one": "application/xml, application/json", "anything": "*/*",
}  # fmt: skip


def all_of(base: Obj) -> Iterator[Case]:
    resource = resources.for_kind(base["apiVersion"], base["kind"])
    assert resource is not None
    at, one = path_of(base), path_of(base, "")
    yield from _identities(base, one)
    yield from _patched(base, one)
    yield from _deleted(at, one)
    yield from _lists(at)
    yield from _options(base, at, one)
    yield from _forms(base, at, one)
    yield from _paths(base, at, one)


def _raw(obj: Any) -> bytes:
    return json.dumps(obj, separators=(",", ":")).encode()


def _meta(base: Obj, **metadata: Any) -> bytes:
    made = {**base["metadata"], **metadata}
    return _raw({**base, "metadata": {key: value for key, value in made.items() if value is not None}})


def _identities(base: Obj, one: str) -> Iterator[Case]:
    yield Case("create: taken", "POST", path_of(base) + DRY, _raw(base))
    yield Case("create: taken, for real", "POST", path_of(base), _raw(base))
    yield Case("create: no name", "POST", path_of(base) + DRY, _meta(base, name=None))
    yield Case("create: another namespace", "POST", path_of(base) + DRY, _meta(base, namespace="other"))
    yield Case("create: a version", "POST", path_of(base) + DRY, _meta(base, name="made", resourceVersion="5"))
    yield Case("create: a version, for real", "POST", path_of(base), _meta(base, name="made", resourceVersion="5"))
    for what, metadata in {
        "stale version": {"resourceVersion": "1"}, "no version": {"resourceVersion": None}, "version x": {"resourceVersion": "x"},
        "version 0": {"resourceVersion": "0"}, "a future version": {"resourceVersion": "99999999999"},
        "another uid": {"uid": GHOST, "resourceVersion": VERSION}, "its uid": {"uid": UID, "resourceVersion": VERSION},
        "another uid, stale version": {"uid": GHOST, "resourceVersion": "1"}, "another name": {"name": "other"}, "no name": {"name": None},
        "another namespace": {"namespace": "other", "resourceVersion": VERSION}, "generateName": {"generateName": "x-", "resourceVersion": VERSION},
        "deletion": {"deletionTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": VERSION},
        "created": {"creationTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": VERSION},
        "generation": {"generation": 77, "resourceVersion": VERSION},
    }.items():  # fmt: skip
        yield Case(f"update: {what}", "PUT", one + DRY, _meta(base, **metadata))
    yield Case("update: missing", "PUT", one + "x" + DRY, _meta(base, name=base["metadata"]["name"] + "x"))
    version, uid = {"resourceVersion": VERSION}, {"uid": GHOST}
    missing = _meta(base, name=base["metadata"]["name"] + "x", **version)
    yield Case("update: missing, with a version", "PUT", one + "x" + DRY, missing)
    missing = _meta(base, name=base["metadata"]["name"] + "x", **uid)
    yield Case("update: missing, with a uid", "PUT", one + "x" + DRY, missing)
    yield Case("update: another kind", "PUT", one + DRY, _raw({**base, "kind": "Foo"}))
    yield Case("update: another version", "PUT", one + DRY, _raw({**base, "apiVersion": "v9"}))


def _patched(base: Obj, one: str) -> Iterator[Case]:
    head = {"apiVersion": base["apiVersion"], "kind": base["kind"]}
    merges: dict[str, Obj] = {
        "nothing": {}, "stale version": {"metadata": {"resourceVersion": "1"}}, "another uid": {"metadata": {"uid": GHOST}},
        "its uid": {"metadata": {"uid": UID}}, "another name": {"metadata": {"name": "other"}}, "no name": {"metadata": {"name": None}},
        "another namespace": {"metadata": {"namespace": "other"}}, "another kind": {"kind": "Foo"}, "another version": {"apiVersion": "v9"},
        "no metadata": {"metadata": None}, "an unknown field": {"x": 1}, "a label": {"metadata": {"labels": {"new": "label"}}},
        "a wrong label": {"metadata": {"labels": {"new": 1}}}, "labels are a list": {"metadata": {"labels": []}}, "spec is a text": {"spec": "x"},
        "no spec": {"spec": None}, "generation": {"metadata": {"generation": 77}}, "managers": {"metadata": {"managedFields": [{}]}},
        "no managers": {"metadata": {"managedFields": None}},
    }  # fmt: skip
    for what, patch in merges.items():
        for media in (MERGE, STRATEGIC):
            yield Case(f"patch: {what} ({media[12:17]})", "PATCH", one + DRY, _raw(patch), media)
        applied = {**head, **patch, "metadata": {"name": base["metadata"]["name"], **(patch.get("metadata") or {})}}
        if "labels" not in what and patch.get("spec", "") == "" and what != "no name":
            path = f"{one}{DRY}&fieldManager=m&force=true"
            yield Case(f"apply: {what}", "PATCH", path, _raw(applied), APPLY)
    for what, operation in {
        "test": {"op": "test", "path": "/metadata/name", "value": "x"}, "name": {"op": "replace", "path": "/metadata/name", "value": "x"},
        "uid": {"op": "replace", "path": "/metadata/uid", "value": GHOST}, "version": {"op": "replace", "path": "/metadata/resourceVersion", "value": "1"},
        "remove nothing": {"op": "remove", "path": "/x"}, "kind": {"op": "replace", "path": "/kind", "value": "Foo"}, "remove metadata": {"op": "remove", "path": "/metadata"},
    }.items():  # fmt: skip
        yield Case(f"json patch: {what}", "PATCH", one + DRY, _raw([operation]), JSON_PATCH)
    yield Case("apply: without manager", "PATCH", one + DRY, _raw(base), APPLY)
    yield Case("apply: as it is", "PATCH", f"{one}{DRY}&fieldManager=m", _raw(base), APPLY)
    yield Case("apply: as it is, forced", "PATCH", f"{one}{DRY}&fieldManager=m&force=true", _raw(base), APPLY)
    for media in (MERGE, STRATEGIC):
        yield Case(f"patch missing ({media[12:17]})", "PATCH", one + "x" + DRY, b"{}", media)
        yield Case(f"patch with force ({media[12:17]})", "PATCH", one + DRY + "&force=true", b"{}", media)
    made = _raw({**base, "metadata": {**base["metadata"], "name": base["metadata"]["name"] + "x"}})
    yield Case("apply: new", "PATCH", f"{one}x{DRY}&fieldManager=m", made, APPLY)
    made = _raw({**base, "metadata": {"name": base["metadata"]["name"] + "x", "uid": GHOST}})
    yield Case("apply: new, with a uid", "PATCH", f"{one}x{DRY}&fieldManager=m", made, APPLY)


def _deleted(at: str, one: str) -> Iterator[Case]:
    bodies: dict[str, Any] = {
        "another uid": {"preconditions": {"uid": GHOST}}, "its uid": {"preconditions": {"uid": UID}}, "another version": {"preconditions": {"resourceVersion": "1"}},
        "its version": {"preconditions": {"resourceVersion": VERSION}}, "policy x": {"propagationPolicy": "x"}, "Foreground": {"propagationPolicy": "Foreground"},
        "Orphan": {"propagationPolicy": "Orphan"}, "both": {"propagationPolicy": "Orphan", "orphanDependents": True}, "orphans": {"orphanDependents": True},
        "grace": {"gracePeriodSeconds": -1}, "grace 0": {"gracePeriodSeconds": 0}, "grace 5": {"gracePeriodSeconds": 5}, "reading": {"ignoreStoreReadErrorWithClusterBreakingPotential": True},
        "unknown": {"x": 1},
    }  # fmt: skip
    yield Case("delete", "DELETE", one + DRY)
    for what, body in bodies.items():
        yield Case(f"delete: {what}", "DELETE", one, _raw({**body, "dryRun": ["All"]}))
    yield Case("delete: dry run x", "DELETE", one + "?dryRun=x")
    yield Case("delete: missing", "DELETE", one + "x" + DRY)
    yield Case("delete all: label", "DELETE", at + DRY + "&labelSelector=a+b")
    yield Case("delete all: field", "DELETE", at + DRY + "&fieldSelector=x.y%3Db")
    yield Case("delete all: dry run x", "DELETE", at + "?dryRun=x")
    yield Case("delete all: policy", "DELETE", at + DRY + "&propagationPolicy=x")
    yield Case("delete all: none", "DELETE", at + DRY + "&labelSelector=no%3Done")
    yield Case("delete all: options", "DELETE", at + "?labelSelector=no%3Done", b'{"dryRun": ["x"]}')


def _lists(at: str) -> Iterator[Case]:
    for field in SELECTABLE:
        yield Case(f"list by {field}", "GET", f"{at}?fieldSelector={quote(field)}%3Dno-one")
    for each in BAD_LISTS:
        soon = "&timeoutSeconds=1" if "watch=" in each and "Seconds" not in each else ""
        yield Case(f"list: {each}", "GET", f"{at}?{each}{soon}")


def _options(base: Obj, at: str, one: str) -> Iterator[Case]:
    body = _meta(base, resourceVersion=VERSION)
    for each in OPTIONS:
        query = each if "dryRun" in each else f"{DRY[1:]}&{each}"
        shown = each[:24]
        yield Case(f"create: {shown}", "POST", f"{at}?{query}", _meta(base, name=base["metadata"]["name"] + "x"))
        yield Case(f"update: {shown}", "PUT", f"{one}?{query}", body)
        yield Case(f"patch: {shown}", "PATCH", f"{one}?{query}", b"{}", MERGE)
        yield Case(f"delete: {shown}", "DELETE", f"{one}?{query}")


def _forms(base: Obj, at: str, one: str) -> Iterator[Case]:
    body, new = _meta(base, resourceVersion=VERSION), _meta(base, name=base["metadata"]["name"] + "x")
    for what, accept in ACCEPTS.items():
        head = (("Accept", accept),)
        yield Case(f"get as {what}", "GET", one, headers=head)
        yield Case(f"list as {what}", "GET", f"{at}?labelSelector=no%3Done", headers=head)
        yield Case(f"update as {what}", "PUT", one + DRY, body, headers=head)
        yield Case(f"create as {what}", "POST", at + DRY, new, headers=head)
        yield Case(f"delete as {what}", "DELETE", one + DRY, headers=head)
        if what in ("xml", "text"):
            yield Case(f"watch as {what}", "GET", f"{at}?watch=1&timeoutSeconds=1&labelSelector=no%3Done", headers=head)
    for media in ("text/plain", "application/xml", "application/merge-patch+json", "x"):
        yield Case(f"create from {media}", "POST", at + DRY, new, media)
        yield Case(f"update from {media}", "PUT", one + DRY, body, media)
        yield Case(f"delete from {media}", "DELETE", one + DRY, b"{}", media)
    for media in ("text/plain", "application/json", "application/yaml", "application/apply-patch+cbor"):
        yield Case(f"patch from {media}", "PATCH", one + DRY, b"{}", media)
    for name, wrong in {"half": b"{", "null": b"null", "list": b"[]", "text": b'"x"', "metadata is a text": b'{"metadata":"x"}', "nothing": b"{}"}.items():  # fmt: skip
        yield Case(f"create: {name}", "POST", at + DRY, wrong)
        yield Case(f"update: {name}", "PUT", one + DRY, wrong)


def _paths(base: Obj, at: str, one: str) -> Iterator[Case]:
    for method, path in (
        ("POST", one),
        ("PUT", at),
        ("PATCH", at),
        ("GET", one + "x"),
        ("GET", one + "/x"),
        ("GET", one + "/x/y"),
        ("HEAD", at),
        ("TRACE", one),
    ):
        yield Case(f"{method} {path}", method, path, b"{}" if method in ("PUT", "POST") else b"")
    for door in DOORS:
        if door == "proxy" and base["kind"] == "Node":  # nobody answers at its address, and it is waited for
            continue
        for name, path in (("", one), (" of what is missing", one + "x")):
            yield Case(f"GET {door}{name}", "GET", f"{path}/{door}")
            yield Case(f"POST {door}{name}", "POST", f"{path}/{door}{DRY}", b"{}")
            yield Case(f"PUT {door}{name}", "PUT", f"{path}/{door}{DRY}", _meta(base, name=path.rpartition("/")[2]))
            yield Case(f"PATCH {door}{name}", "PATCH", f"{path}/{door}{DRY}", b"{}", MERGE)
            yield Case(f"DELETE {door}{name}", "DELETE", f"{path}/{door}{DRY}")
