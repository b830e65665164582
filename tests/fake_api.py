"""An API server in forty rules, for tests of clients and controllers: objects in a dict, changes in a list.

Knows create, get, list, watch (with initial events), update, merge and strategic patch (as merge), delete, status. No
validation, no admission, no selectors but `metadata.name=`.
"""

import asyncio
import json
import uuid
from typing import Any
from urllib.parse import parse_qs

from workshop.client.asgi import AsgiTransport
from workshop.client.rest import Client


class FakeApi:
    def __init__(self, watch_list: bool = True) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.changes: list[tuple[int, str, dict[str, Any], str]] = []
        self.version = 0
        self.compacted = 0
        self.watch_list = watch_list
        self.requests: list[tuple[str, str]] = []
        self.refuse: list[dict[str, Any]] = []
        """Status objects that answer the next requests, instead of the server"""
        self.down = False
        self._changed = asyncio.Event()
        self._cut = asyncio.Event()

    def client(self, **more: Any) -> Client:
        return Client(AsgiTransport(self), **more)

    # --- what tests do behind the clients' back

    def put(self, collection: str, obj: dict[str, Any]) -> dict[str, Any]:
        name = obj["metadata"].setdefault("name", obj["metadata"].pop("generateName", "") + uuid.uuid4().hex[:12])
        path = f"{collection}/{name}"
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        obj["metadata"].setdefault("uid", str(uuid.uuid4()))
        kind = "MODIFIED" if path in self.objects else "ADDED"
        self._record(kind, path, obj)
        self.objects[path] = obj
        return obj

    def remove(self, path: str) -> dict[str, Any]:
        obj = self.objects.pop(path)
        self.version += 1
        gone = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.version)}}
        self._record("DELETED", path, gone)
        return gone

    def compact(self) -> None:
        self.compacted = self.version

    def cut_watches(self) -> None:
        cut, self._cut = self._cut, asyncio.Event()
        cut.set()
        self._wake()

    def _record(self, kind: str, path: str, obj: dict[str, Any]) -> None:
        self.changes.append((self.version, kind, obj, path))
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    # --- the server

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.down:
            return
        method, path = scope["method"], scope["path"]
        query = {k: v[0] for k, v in parse_qs(scope["query_string"].decode()).items()}
        self.requests.append((method, path))
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        content_type = dict(scope["headers"]).get(b"content-type", b"").decode()
        if self.refuse:
            status = self.refuse.pop(0)
            await reply(send, status["code"], status, status.pop("headers", ()))
        elif query.get("watch") == "true":
            await self._watch(path, query, send)
        else:
            code, answer = self._answer(method, path, query, json.loads(body) if body else None, content_type)
            await reply(send, code, answer)

    def _answer(self, method: str, path: str, query: dict[str, str], body: Any, kind: str) -> tuple[int, Any]:
        status = path.endswith("/status")
        path = path.removesuffix("/status")
        there = self.objects.get(path)
        if method == "POST":
            if there is not None or f"{path}/{body['metadata'].get('name')}" in self.objects:
                return 409, failure(409, "AlreadyExists", "already exists")
            body["metadata"].setdefault("namespace", namespace_of(path))
            body["metadata"].setdefault("creationTimestamp", "2027-01-15T08:00:00Z")
            return 201, self.put(path, body)
        if method == "GET" and path.rsplit("/", 1)[1] in COLLECTIONS:
            found = [o for p, o in self.objects.items() if in_collection(p, path) and selected(o, query)]
            return 200, {"kind": "List", "metadata": {"resourceVersion": str(self.version)}, "items": found}
        if there is None:
            return 404, failure(404, "NotFound", f'"{path.rsplit("/", 1)[1]}" not found')
        if method == "GET":
            return 200, there
        if method == "DELETE":
            return 200, self.remove(path)
        new = merged(there, body) if method == "PATCH" else body
        given = (body.get("metadata") or {}).get("resourceVersion")
        if given not in (None, there["metadata"]["resourceVersion"]):
            return 409, failure(409, "Conflict", "the object has been modified")
        if status:  # annotations may change there too
            new = {**there, "metadata": new.get("metadata") or there["metadata"], "status": new.get("status")}
        else:
            new = {**new, "status": there.get("status")}
        new = {k: v for k, v in new.items() if v is not None}
        return 200, self.put(path.rsplit("/", 1)[0], {**new, "metadata": {**new["metadata"]}})

    async def _watch(self, path: str, query: dict[str, str], send: Any) -> None:
        cut = self._cut
        initial = query.get("sendInitialEvents") == "true"
        if initial and not self.watch_list:
            await reply(send, 422, failure(422, "Invalid", "sendInitialEvents: Forbidden"))
            return
        seen = int(query.get("resourceVersion") or 0)
        if not initial and seen < self.compacted:
            await reply(send, 410, failure(410, "Expired", "too old resource version"))
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})

        async def event(kind: str, obj: Any) -> None:
            line = json.dumps({"type": kind, "object": obj}).encode() + b"\n"
            for start in range(0, len(line), 100):  # lines do not come in one piece
                await send({"type": "http.response.body", "body": line[start : start + 100], "more_body": True})

        if initial:
            seen = self.version
            for p, obj in list(self.objects.items()):
                if in_collection(p, path) and selected(obj, query):
                    await event("ADDED", obj)
            end = {"annotations": {"k8s.io/initial-events-end": "true"}, "resourceVersion": str(seen)}
            await event("BOOKMARK", {"kind": "Bookmark", "metadata": end})
        while not cut.is_set():
            changed = self._changed
            for version, kind, obj, p in list(self.changes):
                if version > seen:
                    seen = version
                    if in_collection(p, path) and selected(obj, query):
                        await event(kind, obj)
            await changed.wait()
        await send({"type": "http.response.body", "body": b""})


COLLECTIONS = {
    "pods", "configmaps", "leases", "events", "replicasets", "deployments", "namespaces", "nodes", "services",
    "endpointslices", "serviceaccounts", "jobs",
}  # fmt: skip


def namespace_of(path: str) -> str | None:
    parts = path.split("/")
    return parts[parts.index("namespaces") + 1] if "namespaces" in parts[:-1] else None


def in_collection(path: str, collection: str) -> bool:
    """`/api/v1/pods` holds the pods of all namespaces."""
    parent = path.rsplit("/", 1)[0]
    if parent == collection:
        return True
    root, plural = collection.rsplit("/", 1)
    return (
        "/namespaces/" not in collection and parent.startswith(f"{root}/namespaces/") and parent.endswith(f"/{plural}")
    )


def selected(obj: dict[str, Any], query: dict[str, str]) -> bool:
    name = query.get("fieldSelector", "").removeprefix("metadata.name=")
    return not name or obj["metadata"]["name"] == name


def merged(old: Any, patch: Any) -> Any:
    if not isinstance(patch, dict) or not isinstance(old, dict):
        return patch
    result = dict(old)
    for key, value in patch.items():
        result[key] = merged(old.get(key), value)
    return {k: v for k, v in result.items() if v is not None}


def failure(code: int, reason: str, message: str) -> dict[str, Any]:
    return {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}


async def reply(send: Any, code: int, answer: Any, headers: Any = ()) -> None:
    head = [(b"content-type", b"application/json"), *headers]
    await send({"type": "http.response.start", "status": code, "headers": head})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})
