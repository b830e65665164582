"""Routes of the kubelet's server."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from workshop.clock import parse_rfc3339
from workshop.kubelet import cri, pods
from workshop.kubelet.pods import Obj
from workshop.kubelet.server import auth, logs, portforward, remote, stats
from workshop.kubelet.server.answers import Query, Refused, flag, number, respond
from workshop.serving import Receive, Scope, Send

if TYPE_CHECKING:
    from workshop.kubelet.run import Kubelet

JSON = "application/json"

log = logging.getLogger(__name__)


async def _disconnected(receive: Receive) -> None:
    """Return when the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        continue


class Server:
    """The ASGI app."""

    def __init__(self, kubelet: Kubelet) -> None:
        self._kubelet = kubelet
        self._auth = auth.Authorizer(kubelet.client, kubelet.config.node_name, kubelet.clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._guard(scope)
            query = parse_qs(scope["query_string"].decode(), keep_blank_values=True)
            if scope["type"] == "websocket":
                await self._websocket(scope, query, receive, send)
            else:
                await self._http(scope, query, receive, send)
        except (Refused, cri.CriError) as problem:
            code = problem.code if isinstance(problem, Refused) else 500
            await self._refuse(scope, receive, send, code, str(problem))

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, code: int, message: str) -> None:
        if scope["type"] == "http":
            await respond(send, code, message.encode() + b"\n")
            return
        await receive()
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        if "websocket.http.response" in scope.get("extensions", {}):
            await send({"type": "websocket.http.response.start", "status": code, "headers": headers})
            await send({"type": "websocket.http.response.body", "body": message.encode() + b"\n"})
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": message[:120]})

    async def _guard(self, scope: Scope) -> None:
        headers = dict(scope["headers"])
        certificate = scope.get("extensions", {}).get("tls", {}).get("client_cert")
        user = await self._auth.user(certificate, headers.get(b"authorization", b"").decode())
        if user is None:
            raise Refused(401, "Unauthorized")
        method = scope.get("method", "GET")
        verb = {"GET": "get", "POST": "create", "PUT": "update", "DELETE": "delete"}.get(method, "get")
        if not await self._auth.allowed(user, verb, scope["path"]):
            part = auth.subresource(scope["path"])
            raise Refused(403, f"Forbidden (user={user.name}, verb={verb}, resource=nodes, subresource(s)=[{part}])")

    # -- plain requests ------------------------------------------------------------------------------------------

    async def _http(self, scope: Scope, query: Query, receive: Receive, send: Send) -> None:
        parts = [part for part in scope["path"].split("/") if part]
        head = parts[0] if parts else ""
        if head == "healthz":
            await respond(send, 200, b"ok")
        elif head in ("pods", "runningpods"):
            found = self._kubelet.pod_informer.store.list()
            body = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": found}
            await respond(send, 200, json.dumps(body).encode(), JSON)
        elif head == "containerLogs" and len(parts) == 4:
            await self._logs(parts[1], parts[2], parts[3], query, receive, send)
        elif head == "stats" and parts[1:] == ["summary"]:
            await respond(send, 200, json.dumps(await stats.summary(self._kubelet)).encode(), JSON)
        elif head == "metrics":
            await respond(send, 200, await stats.metrics(self._kubelet, parts[1:]), "text/plain; version=0.0.4")
        elif head == "configz":
            body = {"kubeletconfig": {"maxPods": self._kubelet.config.max_pods, "port": self._kubelet.config.port}}
            await respond(send, 200, json.dumps(body).encode(), JSON)
        elif head == "run" and len(parts) == 4:
            status = await self._running(head, parts[1], parts[2], parts[3])
            done = await self._kubelet.runtime.exec_sync(status.id, query.get("cmd", [""])[0].split(), 0)
            await respond(send, 200, done.stdout + done.stderr)
        elif head in ("exec", "attach", "portForward"):
            if head != "portForward" and len(parts) in (4, 5):
                await self._running(head, parts[1], parts[2], parts[-1])
            raise Refused(400, "only WebSocket is served here")
        else:
            raise Refused(404, "404 page not found")

    def _pod(self, namespace: str, name: str) -> Obj:
        pod = self._kubelet.pod(namespace, name)
        if pod is None:
            raise Refused(404, f'pod "{name}" not found')
        return pod

    async def _history(self, pod: Obj, name: str) -> list[cri.ContainerStatus]:
        found = await self._kubelet.runtime.list_containers(pod["metadata"]["uid"])
        return pods.Observed((), tuple(found)).history(name)

    async def _logs(
        self, namespace: str, name: str, container: str, query: Query, receive: Receive, send: Send
    ) -> None:
        pod = self._pod(namespace, name)
        if pods.container_named(pod, container) is None:
            raise Refused(404, f'container "{container}" not found in pod "{name}"')
        status = await self._logged(pod, container, previous=flag(query, "previous"))
        since = query.get("sinceTime", [""])[0]
        seconds = number(query, "sinceSeconds")
        try:
            begin = parse_rfc3339(since) if since else None
        except ValueError:
            raise Refused(400, f"invalid sinceTime: {since}") from None
        if seconds is not None:
            begin = self._kubelet.clock.now() - seconds
        options = logs.Options(
            follow=flag(query, "follow"),
            tail=number(query, "tailLines"),
            since=begin,
            timestamps=flag(query, "timestamps"),
            limit_bytes=number(query, "limitBytes"),
            stream=query.get("stream", ["All"])[0],
        )
        gone = asyncio.create_task(_disconnected(receive))

        async def running() -> bool:
            return not gone.done() and (await self._again(status)).state == cri.RUNNING

        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain; charset=utf-8")]}
        )
        try:
            async for piece in logs.read(status.log_path, options, running, self._kubelet.clock):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                if gone.done():
                    return
            await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()

    async def _again(self, status: cri.ContainerStatus) -> cri.ContainerStatus:
        try:
            return await self._kubelet.runtime.container_status(status.id)
        except cri.NotFound:
            return replace(status, state=cri.EXITED)

    async def _logged(self, pod: Obj, container: str, *, previous: bool) -> cri.ContainerStatus:
        name = pod["metadata"]["name"]
        history = await self._history(pod, container)
        begun = [status for status in history if status.started_at or status.state == cri.RUNNING]
        if previous:
            ended = [status for status in history if status.state == cri.EXITED]
            older = ended if history and history[0].state != cri.EXITED else ended[1:]
            reported = (pod.get("status") or {}).get("containerStatuses") or []
            waiting = any(s["name"] == container and "waiting" in s.get("state", {}) for s in reported)
            chosen = older[:1] or (ended[:1] if waiting else [])
            if not chosen:
                raise Refused(400, f'previous terminated container "{container}" in pod "{name}" not found')
            return chosen[0]
        if begun:
            return begun[0]
        fields = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
        reported = [s for field in fields for s in (pod.get("status") or {}).get(field) or ()]
        reason = "ContainerCreating"
        for entry in reported:
            if entry["name"] == container:
                reason = entry.get("state", {}).get("waiting", {}).get("reason") or reason
        if reason in ("ErrImagePull", "ImagePullBackOff"):
            why = "image can't be pulled" if reason == "ErrImagePull" else "trying and failing to pull image"
        else:
            why = reason
        raise Refused(400, f'container "{container}" in pod "{name}" is waiting to start: {why}')

    # -- streams -------------------------------------------------------------------------------------------------

    async def _running(self, verb: str, namespace: str, name: str, container: str) -> cri.ContainerStatus:
        pod = self._kubelet.pod(namespace, name)
        if pod is None:
            raise Refused(404, "pod does not exist")
        for status in await self._history(pod, container):
            if status.state == cri.RUNNING:
                return status
        if verb == "attach":
            raise Refused(500, f"container {container} not found in pod {name}_{namespace}")
        raise Refused(500, f'container not found ("{container}")')

    async def _websocket(self, scope: Scope, query: Query, receive: Receive, send: Send) -> None:
        parts = [part for part in scope["path"].split("/") if part]
        head = parts[0] if parts else ""
        if head in ("exec", "attach") and len(parts) in (4, 5):
            await self._remote(parts, scope, query, receive, send)
        elif head == "portForward" and len(parts) in (3, 4):
            await self._port_forward(parts[1], parts[2], scope, query, receive, send)
        else:
            raise Refused(404, "404 page not found")

    async def _remote(self, parts: list[str], scope: Scope, query: Query, receive: Receive, send: Send) -> None:
        verb, namespace, name, container = parts[0], parts[1], parts[2], parts[-1]
        protocol = remote.choose(scope)
        if protocol is None:
            raise Refused(400, f"unable to upgrade: supported protocols are {remote.V5}, {remote.V4}, {remote.V1}")
        status = await self._running(verb, namespace, name, container)
        stdin, tty = flag(query, "input", "stdin"), flag(query, "tty")
        # the client has its streams before anything runs that could say something on them
        await receive()
        await send({"type": "websocket.accept", "subprotocol": protocol})
        await remote.send_bytes(send, bytes([remote.STDOUT]))
        stream: cri.Stream
        try:
            if verb == "exec":
                stream = await self._kubelet.runtime.exec(status.id, query.get("command", []), stdin=stdin, tty=tty)
            else:
                stream = await self._kubelet.runtime.attach(status.id)
        except cri.CriError as problem:
            text = f"error executing command in container: {problem}" if verb == "exec" else str(problem)
            await remote.send_bytes(send, remote.told(remote.failure_status(text), protocol))
            await send({"type": "websocket.close", "code": 1000})
            return
        shown = flag(query, "error", "stderr") and not tty
        await remote.serve(stream, receive, send, stdin=stdin, stderr=shown, protocol=protocol)

    async def _port_forward(
        self, namespace: str, name: str, scope: Scope, query: Query, receive: Receive, send: Send
    ) -> None:
        protocol = remote.choose(scope, (portforward.SPDY, remote.V4))
        if protocol is None:
            raise Refused(400, f"unable to upgrade: supported protocols are {portforward.SPDY}, {remote.V4}")
        pod = self._pod(namespace, name)
        ready = [
            sandbox
            for sandbox in await self._kubelet.runtime.list_pod_sandbox(pod["metadata"]["uid"])
            if sandbox.state == cri.READY
        ]
        if not ready:
            raise Refused(500, f'pod not found ("{name}_{namespace}")')
        sandbox_id = ready[-1].id

        async def dial(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            return await self._kubelet.runtime.port_forward(sandbox_id, port)

        await receive()
        await send({"type": "websocket.accept", "subprotocol": protocol})
        if protocol == portforward.SPDY:
            await portforward.Tunnel(dial, send, sandbox_id).run(receive)
            return
        texts = [text for name in ("port", "ports") for entry in query.get(name, []) for text in entry.split(",")]
        ports = [int(text) for text in texts if text.isdigit()]
        await portforward.serve_channels(ports, dial, receive, send, sandbox_id)
