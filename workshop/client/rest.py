"""`Client`: raw Kubernetes HTTP, one method a verb. Upstream: `client-go/rest` and `client-go/dynamic`.

    client = Client.from_kubeconfig("admin.conf")
    pod = await client.get(resource("pods"), "web-0", "default")
    async for kind, pod in client.watch(resource("pods")):
        ...

Every method raises ApiError (with the server's Status) for an answer that is no success, and Unreachable (an OSError)
when there is no answer. A stale or repeated write is the caller's to handle: only answers that carry Retry-After
are tried again here, as client-go does.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from workshop import trace
from workshop.api.errors import HTTP_REASONS, ApiError
from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.clock import SYSTEM, Clock

from . import kubeconfig
from .transport import HttpTransport, Refused, Response, Transport, Unreachable, WebSocket
from .watch import Watch

__all__ = ["Client", "Response", "Unreachable", "Watch", "WebSocket"]

Query = Mapping[str, Any]

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

MAX_RETRIES = 10
TOKEN_FILE_PERIOD = 60.0


class Client:
    """One identity at one API server."""

    def __init__(
        self,
        transport: Transport,
        *,
        user_agent: str = "workshop",
        token: str | None = None,
        token_file: str | None = None,
        headers: Mapping[str, str] | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        self.transport = transport
        self.namespace = "default"
        self._clock = clock
        self._headers = {"Accept": "application/json", "User-Agent": user_agent, **(headers or {})}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._token_file = token_file
        self._token_read = float("-inf")
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder().decode

    @classmethod
    def from_kubeconfig(
        cls, path: str | Path, *, context: str | None = None, user_agent: str = "workshop", clock: Clock = SYSTEM
    ) -> Client:
        """A client as `path` says. Raises KubeconfigError, OSError, ssl.SSLError."""
        return cls.from_access(kubeconfig.load(path, context), user_agent=user_agent, clock=clock)

    @classmethod
    def from_access(cls, access: kubeconfig.Access, *, user_agent: str = "workshop", clock: Clock = SYSTEM) -> Client:
        headers: dict[str, str] = {}
        if access.username is not None:
            pair = f"{access.username}:{access.password or ''}".encode()
            headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        if access.impersonate:
            headers["Impersonate-User"] = access.impersonate
        client = cls(
            HttpTransport(access.server, access.tls(), server_name=access.tls_server_name),
            user_agent=user_agent,
            token=access.token,
            token_file=access.token_file,
            headers=headers,
            clock=clock,
        )
        client.namespace = access.namespace
        return client

    async def close(self) -> None:
        """Cut all connections, watches included."""
        await self.transport.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # --- the verbs

    async def get(
        self, res: Resource, name: str, namespace: str | None = None, *, subresource: str | None = None, **query: Any
    ) -> Obj:
        return await self._object("GET", _path(res, namespace, name, subresource), query=query)

    async def list(
        self,
        res: Resource,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        limit: int | None = None,
        continue_token: str | None = None,
        resource_version: str | None = None,
        resource_version_match: str | None = None,
    ) -> Obj:
        """The list object; its items carry apiVersion and kind, which the wire leaves out. With `limit` one page:
        `metadata.continue` is the token of the next."""
        found = await self._object(
            "GET",
            _path(res, namespace),
            query={
                "labelSelector": label_selector,
                "fieldSelector": field_selector,
                "limit": limit,
                "continue": continue_token,
                "resourceVersion": resource_version,
                "resourceVersionMatch": resource_version_match,
            },
        )
        found["items"] = [{"apiVersion": res.api_version, "kind": res.kind, **o} for o in found.get("items") or ()]
        return found

    async def create(
        self,
        res: Resource,
        obj: Obj,
        namespace: str | None = None,
        *,
        name: str | None = None,
        subresource: str | None = None,
        **query: Any,
    ) -> Obj:
        """POST. A subresource (`pods/web-0/eviction`, `serviceaccounts/default/token`) also wants `name`."""
        metadata = obj.get("metadata") or {}
        path = _path(res, namespace or metadata.get("namespace"), name, subresource)
        return await self._object("POST", path, query=query, body=_typed(res, obj, subresource))

    async def update(self, res: Resource, obj: Obj, subresource: str | None = None, **query: Any) -> Obj:
        """PUT. A resourceVersion in `obj` must still be the object's (409 Conflict else)."""
        metadata = obj["metadata"]
        path = _path(res, metadata.get("namespace"), metadata["name"], subresource)
        return await self._object("PUT", path, query=query, body=_typed(res, obj, subresource))

    async def patch(
        self,
        res: Resource,
        name: str,
        body: Any,
        namespace: str | None = None,
        type: str = STRATEGIC_PATCH,
        subresource: str | None = None,
        field_manager: str | None = None,
        force: bool | None = None,
        **query: Any,
    ) -> Obj:
        query |= {"fieldManager": field_manager, "force": force}
        path = _path(res, namespace, name, subresource)
        return await self._object("PATCH", path, query=query, body=body, headers={"Content-Type": type})

    async def delete(
        self,
        res: Resource,
        name: str,
        namespace: str | None = None,
        *,
        grace_period_seconds: int | None = None,
        propagation_policy: str | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> Obj:
        """The deleted object, or the Status of the deletion. `uid` and `resource_version` are preconditions (409)."""
        options = _delete_options(grace_period_seconds, propagation_policy, uid, resource_version)
        return await self._object("DELETE", _path(res, namespace, name), body=options)

    async def delete_collection(
        self,
        res: Resource,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        grace_period_seconds: int | None = None,
        propagation_policy: str | None = None,
    ) -> Obj:
        options = _delete_options(grace_period_seconds, propagation_policy, None, None)
        query = {"labelSelector": label_selector, "fieldSelector": field_selector}
        return await self._object("DELETE", _path(res, namespace), query=query, body=options)

    def watch(
        self,
        res: Resource,
        namespace: str | None = None,
        *,
        resource_version: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        send_initial_events: bool | None = None,
        bookmarks: bool = True,
        timeout_seconds: int | None = None,
    ) -> Watch:
        """The changes after `resource_version`. With `send_initial_events` all objects come first, as ADDED, then a
        BOOKMARK annotated `k8s.io/initial-events-end` (KEP-3157)."""
        query = {
            "watch": True,
            "resourceVersion": resource_version,
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "allowWatchBookmarks": bookmarks,
            "timeoutSeconds": timeout_seconds,
        }
        if send_initial_events:
            query |= {"sendInitialEvents": True, "resourceVersionMatch": "NotOlderThan"}
        return Watch(lambda: self.stream("GET", _path(res, namespace), query=query), self._decode)

    # --- below the verbs

    async def _object(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Obj:
        obj: Obj = await self.request(method, path, query, body, headers)
        if method != "GET":
            trace.wrote(method, path, obj)
        return obj

    async def request(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """One request; `body` is encoded as JSON unless it is bytes or text. Answers the decoded body, or text where
        it is no JSON (`/healthz`)."""
        target, data = _target(path, query), self._body(body)
        sent = self._head(headers, data)
        for retries_left in range(MAX_RETRIES, -1, -1):
            response = await self.transport.send(method, target, sent, data)
            answer = await response.read()
            pause = _retry_after(response) if retries_left else None
            if pause is None:
                break
            await self._clock.sleep(pause)
        if not 200 <= response.status < 300:
            raise self._error(response, answer)
        if "json" in response.headers.get("Content-Type", ""):
            return self._decode(answer)
        return answer.decode("utf-8", "replace")

    async def stream(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """A request whose answer is read as it comes (watch, `pods/log?follow=true`). Close it."""
        data = self._body(body)
        response = await self.transport.send(method, _target(path, query), self._head(headers, data), data, stream=True)
        if not 200 <= response.status < 300:
            raise self._error(response, await response.read())
        return response

    async def websocket(
        self, path: str, query: Query | None = None, protocols: tuple[str, ...] = ("v5.channel.k8s.io",)
    ) -> WebSocket:
        """Open `pods/web-0/exec` and its like."""
        answer = await self.transport.websocket(_target(path, query), self._head(None, None), protocols)
        if isinstance(answer, Refused):
            raise self._error(answer.response, await answer.response.read())
        return answer

    def _head(self, headers: Mapping[str, str] | None, data: bytes | None) -> dict[str, str]:
        if self._token_file and self._clock.monotonic() - self._token_read > TOKEN_FILE_PERIOD:
            self._token_read = self._clock.monotonic()
            self._headers["Authorization"] = f"Bearer {_read_token(self._token_file)}"
        head = dict(self._headers)
        if data is not None:
            head["Content-Type"] = "application/json"
        return {**head, **headers} if headers else head

    def _body(self, body: Any) -> bytes | None:
        if body is None or isinstance(body, bytes):
            return body
        return body.encode() if isinstance(body, str) else self._encode(body)

    def _error(self, response: Response, answer: bytes) -> ApiError:
        try:
            status = self._decode(answer)
        except msgspec.DecodeError:
            status = None
        if not isinstance(status, dict) or status.get("kind") != "Status":
            status = {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Failure",
                "message": answer.decode("utf-8", "replace").strip() or f"the server answered {response.status}",
                "reason": HTTP_REASONS.get(response.status, ("Unknown", ""))[0],
                "code": response.status,
            }
        return ApiError(status)


def _read_token(path: str) -> str:
    with open(os.fspath(path)) as file:
        return file.read().strip()


def _path(res: Resource, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
    return res.path(namespace, quote(name, safe="") if name else None, subresource)


def _target(path: str, query: Query | None) -> str:
    pairs: list[tuple[str, str]] = []
    for name, value in (query or {}).items():
        if value is None:
            continue
        for one in value if isinstance(value, list | tuple) else (value,):
            pairs.append((name, str(one).lower() if isinstance(one, bool) else str(one)))
    return f"{path}?{urlencode(pairs)}" if pairs else path


def _typed(res: Resource, obj: Obj, subresource: str | None) -> Obj:
    """A body must say what it is; the caller of create(pods, …) has already said so."""
    if "kind" in obj or subresource is not None:
        return obj
    return {"apiVersion": res.api_version, "kind": res.kind, **obj}


def _delete_options(grace: int | None, policy: str | None, uid: str | None, resource_version: str | None) -> Obj | None:
    options: Obj = {"kind": "DeleteOptions", "apiVersion": "v1"}
    if grace is not None:
        options["gracePeriodSeconds"] = grace
    if policy is not None:
        options["propagationPolicy"] = policy
    preconditions = {k: v for k, v in (("uid", uid), ("resourceVersion", resource_version)) if v is not None}
    if preconditions:
        options["preconditions"] = preconditions
    return options if len(options) > 2 else None


def _retry_after(response: Response) -> float | None:
    """Seconds to wait before the same request again, when the server asks for it (client-go/rest/with_retry.go)."""
    if response.status != 429 and response.status < 500:
        return None
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdigit() else None
